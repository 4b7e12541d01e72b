"""What people write where a value is missing, and for numbers and dates."""

import warnings

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from mpl_keras import datasets
from mpl_keras.checks import ArgumentError, arrays
from mpl_keras.datasets import columns, signs, tables

N = 40
RANDOM = np.random.RandomState(0)
FRAME = pd.DataFrame(
    {
        "age": RANDOM.permutation(N) * 1.5,
        "city": np.where(np.arange(N) % 3 == 0, "Rome", "Oslo"),
        "ill": np.where(np.arange(N) % 2 == 0, "yes", "no"),
    }
)


def mixed(column, *values):
    """The frame, in which some rows of a column hold other values."""
    changed = FRAME[column].astype(object)
    for row, value in enumerate(values):
        changed[3 * row + 1] = value
    return FRAME.assign(**{column: changed})


def load(frame, **arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return tables.from_dataframe(frame, "ill", num_labeled=4, **arguments)


# Classes.


@pytest.mark.parametrize(
    "sign", ["?", "", " ", "unknown", "Unknown ", "N/A", "nan", "NULL", "-"]
)
def test_a_class_that_looks_missing_is_refused(sign):
    frame = mixed("ill", sign, sign)
    with pytest.raises(ValueError) as caught:
        load(frame)
    told = str(caught.value)
    assert "`target`" in told and f"'ill', which holds {sign!r} 2 ti" in told
    assert f"missing={(sign,)!r}" in told and "missing=()" in told
    data = load(frame, missing=[sign])
    assert data.class_names == ("no", "yes")
    assert len(data.unlabeled) == N and data.unlabeled_labels is None
    assert sign in load(frame, missing=(), balanced=False).class_names


def test_minus_one_beside_class_numbers_is_refused():
    numbers = np.arange(N) % 4 - 1
    with pytest.raises(ValueError, match="'ill', which holds -1 10 times"):
        load(FRAME.assign(ill=numbers))
    data = load(FRAME.assign(ill=numbers), missing=[-1], balanced=False)
    assert data.num_classes == 3
    with pytest.raises(ValueError, match="`test` .* class.*: 10 missing"):
        load(
            FRAME.assign(ill=numbers % 3),
            test=FRAME.assign(ill=numbers),
            missing=(-1,),
            balanced=False,
        )
    for values in ([-1, 1], [-1, 7, 30], [-2, -1, 0]):
        ill = np.array(values)[np.arange(N) % len(values)]
        data = load(FRAME.assign(ill=ill), balanced=False)
        assert data.num_classes == len(values)
    declared = mixed("ill", "?").astype({"ill": "category"})
    with pytest.raises(ValueError, match="'ill', which holds '\\?' 1 times"):
        load(declared)
    assert load(declared, missing="?".split()).num_classes == 2


@pytest.mark.parametrize("other", [" yes", "Yes", "YES", "y es\t"])
def test_classes_that_differ_in_case_or_blanks_are_refused(other):
    frame = mixed("ill", other, "no")
    with pytest.raises(ValueError, match="`target` .*case and blanks.*'yes'"):
        load(frame)
    declared = frame.astype({"ill": "category"})
    assert load(declared, balanced=False).num_classes == 3


def test_plus_and_minus_are_classes():
    ill = np.where(np.arange(N) % 2 == 0, "+", "-")
    assert load(FRAME.assign(ill=ill)).class_names == ("+", "-")


# Features.

NUMBERS = [f"{value:.1f}" for value in np.arange(N) * 37.0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["?", *NUMBERS[1:]], r"'x', .*as numbers, .* beside '\?'"),
        ([f"{n:,}" for n in np.arange(N) * 1234], "'x', .*reads as numbers"),
        ([f"$ {n}" for n in range(N)], "'x', .*reads as numbers"),
        (["1.234,5", "12,5"] * (N // 2), "'x', .*reads as numbers"),
        (["7", "8"] * (N // 2), "'x', .*reads as numbers"),
        (
            [f"2020-01-{day % 28 + 1:02}" for day in range(N)],
            "'x', .*reads as dates, such as '2020-01-01'",
        ),
        (
            [f"{day % 28 + 1}/3/21 10:00" for day in range(N)],
            "'x', .*reads as dates",
        ),
        (
            [f"patient {row}" for row in range(N)],
            "'x', .*40 different texts in 40 rows, such as 'patient 0'",
        ),
    ],
)
def test_text_that_is_no_category_is_refused(values, message):
    frame = FRAME.assign(x=values)
    with pytest.raises(ValueError, match=f"`features` .*{message}"):
        load(frame)
    load(frame.astype({"x": "category"}), missing=())
    load(frame, features=["age", "city"])


def test_a_sign_among_numbers_leaves_numbers():
    frame = FRAME.assign(x=np.array(["?", *NUMBERS[1:]], object))
    with pytest.raises(ValueError, match="missing values, 1 in 'x'"):
        load(frame, missing=["?"])
    data = load(frame, missing=["?"], fill_missing=True)
    assert data.encoder.feature_names[-1] == "x"
    assert frame.x[1] == NUMBERS[1]  # as it came
    filled = data.encoder(frame)[0, -1]
    assert filled == data.encoder(frame.assign(x=20 * 37.0))[0, -1]
    whole = data.encoder(FRAME.assign(x=np.arange(N) * 37.0))
    np.testing.assert_array_equal(whole[1:], data.encoder(frame)[1:])


def test_what_may_be_missing_in_text_is_warned_of():
    frame = mixed("city", "?", "?", "oslo ")
    with pytest.warns(UserWarning) as warned:
        tables.from_dataframe(frame, "ill", num_labeled=4)
    one, other = (str(warning.message) for warning in warned)
    assert "'city' holds '?' 2 times" in one and "missing=('?',)" in one
    assert "'city' holds 'Oslo', 'oslo '" in other
    assert warned[0].filename == __file__
    assert load(frame, missing=()).unlabeled.shape[1] == 5
    with pytest.raises(ValueError, match="missing values, 2 in 'city'"):
        load(frame, missing=["?"])


def test_gaps_are_filled_from_the_training_rows():
    frame = FRAME.assign(smoker=np.arange(N) % 4 != 0)
    frame = frame.astype({"smoker": object})
    frame.loc[[2, 7], "age"] = np.nan
    frame.loc[[3], "city"] = None
    frame.loc[[4], "smoker"] = None
    data = load(frame, fill_missing=True, test_fraction=0.25)
    names = data.encoder.feature_names
    assert names == ("age", "city=Oslo", "city=Rome", "smoker")
    x = data.encoder(frame)
    assert x[3, 1:3].tolist() == [0, 0] and x[4, 3] == 1
    fill = data.encoder.columns[0].fill
    assert x[2, 0] == x[7, 0] == data.encoder(frame.assign(age=fill))[0, 0]
    rows = data.unlabeled[:, 0] / data.encoder.scale[0] + data.encoder.shift[0]
    assert fill == pytest.approx(np.median(rows), rel=1e-5)
    empty = frame.assign(age=None, city=None, smoker=pd.NA)
    assert (data.encoder(empty) == data.encoder(empty)[0]).all()
    with pytest.raises(ValueError, match="a value in a training row.*'age'"):
        load(frame.assign(age=np.nan), fill_missing=True)
    with pytest.raises(ValueError, match="no value at all in column 'city'"):
        load(frame.assign(city=None), fill_missing=True)


def test_signs_may_be_numpys_and_pandas():
    """Files hold no numbers of numpy's, and NA is equal to nothing."""
    given = [*np.array([-1, -9]), np.str_("?"), pd.NA, np.nan, None, pd.NaT]
    found = signs.check_signs(given)
    assert found == (-1, -9, "?")
    assert [type(sign) for sign in found] == [int, int, str]
    frame = mixed("ill", "?", None, pd.NA, np.nan)
    assert load(frame, missing=given).class_names == ("no", "yes")


def test_a_zero_that_is_missing_is_not_false():
    frame = FRAME.assign(glucose=np.arange(N) % 5, smoker=np.arange(N) % 3 == 0)
    plain = load(frame, fill_missing=True).encoder(frame)
    data = load(frame, fill_missing=True, missing=[0])
    names = data.encoder.feature_names
    x = data.encoder(frame)
    smoker, glucose = names.index("smoker"), names.index("glucose")
    assert (x[:, smoker] == plain[:, smoker]).all()
    filled = frame.assign(glucose=frame.glucose.replace(0, np.nan))
    again = load(filled, fill_missing=True).encoder(filled)
    assert (x[:, glucose] == again[:, glucose]).all()


def test_names_of_classes_may_be_an_array():
    for names in (np.array(["no", "yes"]), pd.Index(["no", "yes"])):
        data = load(FRAME, class_names=names)
        assert data.class_names == ("no", "yes")


@pytest.mark.parametrize("missing", ["?", 7, [["?"]]])
def test_missing_is_a_list(missing):
    with pytest.raises(ValueError, match="`missing` must"):
        load(FRAME, missing=missing)


# Wide frames.


def test_a_wide_frame_is_read_at_once(monkeypatch):
    """Not column by column, which takes a third of a millisecond each."""
    values = RANDOM.normal(size=(3, 3000))
    frame = pd.DataFrame(values).assign(word=["a", "b", "a"])
    encoder = columns.fit(frame, frame.columns)
    calls = []
    plain = pd.DataFrame.__getitem__

    def counting(self, key):
        calls.append(key)
        return plain(self, key)

    monkeypatch.setattr(pd.DataFrame, "__getitem__", counting)
    x = encoder(frame)
    assert not calls
    np.testing.assert_array_equal(encoder(frame[frame.columns[::-1]]), x)
    want = (values - values.mean(0)) / values.std(0)
    np.testing.assert_allclose(x[:, :3000], want, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(x[:, 3000:], [[1, 0], [0, 1], [1, 0]])
    frame[1234] = [1, np.inf, 2]
    with pytest.raises(ValueError, match="column 1234, the first in row 1: in"):
        encoder(frame)


# Arrays.


def test_missing_probabilities_are_named():
    x = np.zeros((3, 2), "float32")
    message = "`y_labeled` must be .*`x_unlabeled`.*1 of 3 missing.*row 2"
    with pytest.raises(ValueError, match=message):
        datasets.from_arrays(x, [[1, 0], [0, 1], [np.nan, np.nan]], x)


MISSING = [
    [0, 1, np.nan],
    [0, 1, None],
    np.array([0, 1, np.nan], object),
    np.ma.masked_equal([0, 1, 2], 2),
    np.ma.masked_greater([[0], [1], [2]], 1),
]


@pytest.mark.parametrize("labels", MISSING, ids=str)
@pytest.mark.parametrize("name", ["test", "validation", "unlabeled_labels"])
def test_a_missing_label_of_other_sets_is_named(name, labels):
    x = np.zeros((3, 2), "float32")
    given = labels if name == "unlabeled_labels" else (x, labels)
    argument = name if name == "unlabeled_labels" else rf"{name}\[1\]"
    said = f"`{argument}` must be the class of each.*1 of 3 missing.*row 2"
    with pytest.raises(ArgumentError, match=said):
        datasets.from_arrays(x[:2], [0, 1], x, **{name: given})


def test_labels_that_are_all_missing_are_named():
    x = np.zeros((3, 2), "float32")
    for labels in ([-1, -1, -1], [None] * 3, [np.nan] * 3):
        with pytest.raises(
            ValueError, match="`y_labeled` must hold a .*=3 labels"
        ):
            datasets.from_arrays(x, labels)


def test_masked_labels_of_training_and_of_evaluation():
    x, masked = np.zeros((3, 2), "float32"), np.ma.masked_equal([0, 1, 2], 2)
    found = datasets.from_arrays(x, masked, x, labeled_in_unlabeled=False)
    assert found.labeled[1].tolist() == [0, 1] and len(found.unlabeled) == 4
    with pytest.raises(ArgumentError, match="`y` must be the class of each"):
        arrays.labels(masked, 3)
    whole = np.ma.masked_array([0, 1, 0])
    assert datasets.from_arrays(x, whole, x).num_classes == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: np.ma.masked_greater(x, 4), "masked values.*1 of 6 values"),
        (lambda x: {"a": np.ma.masked_less(x, 2)}, "masked values.*2 of 6"),
        (lambda x: x.astype("complex64"), r"np.stack\(\[x.real.*complex64"),
        (lambda x: x.astype("S4"), "np.char.decode.*S4"),
        (lambda x: x.astype("M8[D]"), "dates as numbers.*datetime64"),
        (lambda x: x.astype("m8[D]"), "astype.*timedelta64"),
        (lambda x: x.astype("V4"), "astype.*V4"),
        (lambda x: x.astype("longdouble"), "astype.*float128"),
    ],
)
def test_examples_that_no_network_takes(change, said):
    x = np.arange(6.0).reshape(3, 2)
    bad = change(x)
    with pytest.raises(ArgumentError, match=f"`x_labeled.* must.*{said}"):
        datasets.from_arrays(bad, [0, 1, 0], bad)


def test_examples_that_networks_take():
    x = np.arange(6.0).reshape(3, 2)
    for kind in ("float16", "int8", "uint8", "bool", "U3", "bfloat16"):
        kind = tf.bfloat16.as_numpy_dtype if kind == "bfloat16" else kind
        x = np.ma.masked_array(x) if kind == "int8" else x
        same = x.astype(kind)
        datasets.from_arrays(same, [0, 1, 0], same)


def test_numbers_and_signs_are_told_apart():
    assert signs.as_number("1_000") is None and signs.as_number("inf") is None
    assert signs.are(np.array([1.0, -1.0]), (-1, "?")).tolist() == [False, True]
    assert signs.are(np.array([True, 1], object), (1,)).tolist() == [
        False,
        True,
    ]


def test_minus_one_as_text_is_refused():
    values = ["a", "-1", "b"]
    with pytest.raises(ValueError, match=r"missing=\('-1',\).*'-1' 1 times"):
        signs.check_classes(values, "y", None, False)
    signs.check_classes(values, "y", (), False)
    signs.check_classes(["1", "-1"], "y", None, False)


# Forms of Unicode.


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("caf\xe9", "cafe\u0301"),
        ("\ufb01x", "fix"),
        ("A1", "\uff21\uff11"),
        ("\u212b", "A\u030a"),
        ("tea", "te\u200ba"),
    ],
    ids=["accent", "ligature", "width", "sign", "no width"],
)
def test_classes_that_differ_in_unicode_alone_are_refused(one, other):
    ill = np.where(np.arange(N) % 2 == 0, one, other).astype(object)
    ill[:10] = "no"
    frame = FRAME.assign(ill=ill)
    with pytest.raises(ArgumentError, match="differ in more.*NFKC") as error:
        load(frame)
    shown = str(error.value).split("which holds")[1]
    assert shown.isascii()  # or they would look the same
    declared = frame.assign(ill=pd.Series(ill).astype("category"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tables.from_dataframe(declared, "ill", num_labeled=6)
    with pytest.warns(UserWarning, match="form of accents"):
        tables.from_dataframe(
            FRAME.assign(city=ill), "ill", num_labeled=4, features=["city"]
        )


def test_a_category_in_another_form_is_told_apart():
    frame = FRAME.assign(city=["caf\xe9", "bar"] * (N // 2))
    encoder = columns.fit(frame, ["city"])
    with pytest.raises(ValueError, match=r"'cafe\\u0301'.*'caf\\xe9'"):
        encoder(frame.replace({"city": {"caf\xe9": "cafe\u0301"}}))


@pytest.mark.parametrize("sign", ["?", "unknown", "\uff1f", "un\u200bknown"])
def test_a_declared_category_that_looks_missing_is_warned_of(sign):
    frame = mixed("city", sign).astype({"city": "category"})
    with pytest.warns(UserWarning, match="The column 'city' holds .*1 times"):
        data = tables.from_dataframe(frame, "ill", num_labeled=4)
    assert len(data.encoder.feature_names) == 4
    load(frame, missing=())
    data = load(frame, missing=(sign,), fill_missing=True)
    assert len(data.encoder.feature_names) == 3


@pytest.mark.parametrize("sign", ["?", "n/a"])
def test_a_sign_among_objects_that_are_numbers(sign):
    frame = mixed("age", sign)
    with pytest.raises(ValueError, match="mixed.*'age', which holds .*missing"):
        load(frame)
    assert load(frame, missing=(sign,), fill_missing=True)
    with pytest.raises(ValueError, match="mixed with numbers in column 'age'$"):
        load(mixed("age", "red"))
