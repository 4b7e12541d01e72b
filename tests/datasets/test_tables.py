"""Data frames as data: what is learned from which rows, and every error."""

import ast
import os
import pathlib
import pickle
import re

import keras
import numpy as np
import pandas as pd
import pytest
import scripts

import mpl_keras
from mpl_keras import augment, export, pipeline
from mpl_keras.datasets import columns, tables

ROOT = pathlib.Path(__file__).parents[2]
N = 60


def make_frame():
    random = np.random.RandomState(0)
    return pd.DataFrame(
        {
            # A number of its own in every row, to tell rows by.
            "age": random.permutation(N) * 1.5 + 20,
            "visits": random.randint(0, 9, N),
            "smoker": random.uniform(size=N) < 0.5,
            "city": np.where(np.arange(N) % 3 == 0, "Rome", "Oslo"),
            "ill": np.where(np.arange(N) % 2 == 0, "yes", "no"),
        }
    )


FRAME = make_frame()
NEW = make_frame().iloc[:10]


def load(frame=FRAME, target="ill", **changes):
    return tables.from_dataframe(
        frame, target, **(dict(num_labeled=4) | changes)
    )


def stacked(dataset):
    x, y = zip(*dataset.as_numpy_iterator(), strict=True)
    return np.concatenate(x), np.concatenate(y)


def ages(data, x):
    """The ages of some rows, by which they are known."""
    encoder = data.encoder
    return (x[:, 0] / encoder.scale[0] + encoder.shift[0]).round(1).tolist()


def row_sets(data):
    """Ages of labeled, unlabeled, validation and test rows."""
    measured = (data.validation, data.test)
    sets = [data.labeled[0], data.unlabeled]
    sets += [stacked(part)[0] for part in measured if part is not None]
    return [ages(data, x) for x in sets]


# Features.


def test_features_are_what_the_columns_say():
    data = load()
    names = ("age", "visits", "smoker", "city=Oslo", "city=Rome")
    assert data.encoder.feature_names == names
    assert data.unlabeled.dtype == np.float32
    want = [
        (FRAME.age - FRAME.age.mean()) / FRAME.age.std(ddof=0),
        (FRAME.visits - FRAME.visits.mean()) / FRAME.visits.std(ddof=0),
        FRAME.smoker,
        FRAME.city == "Oslo",
        FRAME.city == "Rome",
    ]
    np.testing.assert_allclose(data.unlabeled.T, want, rtol=1e-5, atol=1e-6)
    assert data.encoder.is_number.tolist() == [True, True, False, False, False]


def test_numbers_as_they_are():
    data = load(standardize=False)
    np.testing.assert_array_equal(data.unlabeled[:, 0], FRAME.age)
    np.testing.assert_array_equal(data.unlabeled[:, 1], FRAME.visits)
    deviation = 0.2 * FRAME.age.std(ddof=0)
    assert data.views.strong.stddev[0] == pytest.approx(deviation)
    constant = load(FRAME.assign(age=-3.0), standardize=False)
    np.testing.assert_array_equal(constant.unlabeled[:, 0], -3)


@pytest.mark.parametrize("measure", ["test", "validation"])
def test_rows_set_aside_never_move_mean_and_deviation(measure):
    fraction = {f"{measure}_fraction": 0.25}
    plain = load(**fraction)
    aside = set(row_sets(plain)[-1])
    outlier = FRAME.copy()
    outlier.loc[FRAME.age.isin(aside), "visits"] += 1000
    changed = load(outlier, **fraction)
    np.testing.assert_array_equal(plain.unlabeled, changed.unlabeled)
    np.testing.assert_array_equal(plain.labeled[0], changed.labeled[0])
    x = stacked(getattr(changed, measure))[0]
    assert len(x) == N // 4 and (x[:, 1] > 100).all()
    # Training rows, labeled and unlabeled, do move them.
    outlier = FRAME.copy()
    outlier.loc[FRAME.age == row_sets(plain)[1][0], "visits"] += 1000
    assert load(outlier, **fraction).encoder.shift[1] > 10


def test_a_test_frame_is_scaled_as_the_training_rows():
    test = NEW.assign(age=FRAME.age.mean() + FRAME.age.std(ddof=0))
    x, y = stacked(load(test=test, validation=NEW).test)
    np.testing.assert_allclose(x[:, 0], 1, atol=1e-6)
    np.testing.assert_array_equal(y, NEW.ill == "yes")


def test_column_order_and_index_do_not_matter():
    shuffled = NEW[NEW.columns[::-1]].set_axis([5] * len(NEW))
    plain, turned = (load(test=test).test for test in (NEW, shuffled))
    np.testing.assert_array_equal(stacked(plain)[0], stacked(turned)[0])
    same = load(FRAME.set_axis([1] * N))
    np.testing.assert_array_equal(load().unlabeled, same.unlabeled)


def test_what_never_varied_in_training_is_zero():
    city = pd.Categorical(["Oslo"] * N, categories=["Rome", "Oslo", "Bern"])
    frame = FRAME.assign(visits=0.1, smoker=True, city=city)
    test = frame.iloc[:4].assign(visits=9.0, smoker=False)
    test["city"] = ["Rome", "Oslo", "Bern", "Bern"]
    data = load(frame, test=test)
    assert data.encoder.feature_names[3:] == (
        "city=Rome",
        "city=Oslo",
        "city=Bern",
    )
    np.testing.assert_array_equal(data.unlabeled[:, 1:], 0)
    np.testing.assert_array_equal(stacked(data.test)[0][:, 1:], 0)
    assert data.views.weak.stddev[1:] == (0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    "column",
    [
        pd.array(range(N), dtype="Int64"),
        pd.array(range(N), dtype="Float32"),
        np.arange(N, dtype="uint8"),
        np.array(list(range(N)), dtype=object),
    ],
)
def test_numbers_of_every_dtype(column):
    data = load(FRAME.assign(age=column))
    want = (np.arange(N) - (N - 1) / 2) / np.arange(N).std()
    np.testing.assert_allclose(data.unlabeled[:, 0], want, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["boolean", "bool", "object"])
def test_booleans_of_every_dtype(dtype):
    data = load(FRAME.assign(smoker=FRAME.smoker.astype(dtype)))
    np.testing.assert_array_equal(data.unlabeled[:, 2], FRAME.smoker)


@pytest.mark.parametrize("dtype", ["object", "string", "str", "category"])
def test_text_of_every_dtype(dtype):
    data = load(FRAME.assign(city=FRAME.city.astype(dtype)), test=NEW)
    np.testing.assert_array_equal(data.unlabeled[:, 4], FRAME.city == "Rome")


def test_features_by_name():
    data = load(features=["city", "age"], test=NEW.assign(besides=1))
    assert data.encoder.feature_names == ("city=Oslo", "city=Rome", "age")
    assert load(features="age").encoder.feature_names == ("age",)


def test_columns_of_any_name():
    frame = FRAME.set_axis(range(5), axis=1)
    data = load(frame, 4)
    assert data.encoder.feature_names[0] == "0"
    pairs = pd.MultiIndex.from_product([["a"], list("vwxyz")])
    data = load(FRAME.set_axis(pairs, axis=1), ("a", "z"))
    assert data.encoder.feature_names[0] == "('a', 'v')"


def test_new_rows_by_the_encoder():
    data = load(test_fraction=0.2)
    new = FRAME.drop(columns="ill")[["city", "smoker", "visits", "age"]]
    x = data.encoder(new.assign(besides="x"))
    np.testing.assert_array_equal(
        x[FRAME.age.isin(ages(data, data.unlabeled))], data.unlabeled
    )
    again = pickle.loads(pickle.dumps(data.encoder))
    np.testing.assert_array_equal(again(new), x)


# Labels and splits.


def test_rows_without_target_are_the_unlabeled():
    frame = FRAME.copy()
    frame.loc[10:, "ill"] = None
    data = load(frame, num_labeled=None)
    assert repr(data) == "TableData(labeled=10, unlabeled=60, classes=2)"
    assert data.class_names == ("no", "yes") and data.unlabeled_labels is None
    labeled, unlabeled = row_sets(data)
    assert labeled == FRAME.age[:10].tolist()
    assert unlabeled == FRAME.age.tolist()
    np.testing.assert_array_equal(data.labeled[1], FRAME.ill[:10] == "yes")
    out = load(frame, num_labeled=None, labeled_in_unlabeled=False)
    assert row_sets(out)[1] == FRAME.age[10:].tolist()
    few = load(frame, num_labeled=4, labeled_in_unlabeled=False)
    assert len(few.unlabeled) == N - 4 and few.unlabeled_labels is None


@pytest.mark.parametrize("kept_in", [True, False])
@pytest.mark.parametrize("num_labeled", [None, 6])
def test_sets_are_disjoint_and_complete(kept_in, num_labeled):
    frame = FRAME.copy()
    frame.loc[40:, "ill"] = None
    data = load(
        frame,
        num_labeled=num_labeled,
        test_fraction=0.25,
        validation_fraction=0.2,
        labeled_in_unlabeled=kept_in,
    )
    labeled, unlabeled, validation, test = map(set, row_sets(data))
    assert len(test) == 10 and len(validation) == 6
    assert len(labeled) == (num_labeled or 24)
    assert labeled <= unlabeled if kept_in else not labeled & unlabeled
    for one, other in (
        (labeled | unlabeled, test | validation),
        (test, validation),
    ):
        assert not one & other
    assert labeled | unlabeled | validation | test == set(FRAME.age)
    assert np.bincount(stacked(data.test)[1]).tolist() == [5, 5]
    assert set(FRAME.age[40:]) <= unlabeled


def test_truth_belongs_to_the_rows():
    data = load(num_labeled=20, test_fraction=0.2)
    truth = dict(zip(FRAME.age, FRAME.ill == "yes", strict=True))
    for x, y in (
        data.labeled,
        (data.unlabeled, data.unlabeled_labels),
        stacked(data.test),
    ):
        assert [truth[age] for age in ages(data, x)] == y.tolist()


def test_unlabeled_rows_lead_to_the_frame():
    """Which row to label: its number counts those that are set aside too."""
    for options in ({}, {"labeled_in_unlabeled": False}):
        data = load(test_fraction=0.2, validation_fraction=0.2, **options)
        found = FRAME.age.iloc[data.unlabeled_rows]
        assert found.tolist() == ages(data, data.unlabeled)


def test_the_seed_chooses_labels_but_no_test_rows():
    def sets(seed, **changes):
        fractions = dict(test_fraction=0.3, validation_fraction=0.2)
        return row_sets(load(seed=seed, **(fractions | changes)))

    first, again, other = sets(1), sets(1), sets(2)
    assert first == again
    assert first[0] != other[0] and first[2] != other[2]
    assert first[3] == other[3]
    # One choice of labels, with or without validation.
    assert sets(1, validation_fraction=0.0)[0] == first[0]
    frame = FRAME.assign(ill=FRAME.ill.where(FRAME.age > 30))
    known, again, other = (
        sets(seed, frame=frame, num_labeled=None) for seed in (1, 1, 2)
    )
    assert known == again
    assert known[2] != other[2] and known[3] == other[3]


def test_num_labeled_is_exact():
    assert np.bincount(load(num_labeled=10).labeled[1]).tolist() == [5, 5]
    counts = np.bincount(load(num_labeled=7, balanced=False).labeled[1])
    assert sorted(counts) == [3, 4]


KINDS = ["b", "a", "c"]


@pytest.mark.parametrize(
    ("target", "names"),
    [
        (np.array(KINDS * 20), ("a", "b", "c")),
        (pd.array(KINDS * 20, dtype="string"), ("a", "b", "c")),
        (pd.Categorical(KINDS * 20, ["d", *KINDS]), ("b", "a", "c")),
        (np.array([7, -1, 30] * 20), ("-1", "7", "30")),
        (np.array([7.0, np.nan, 30.0] * 20), ("7", "30")),
        (pd.array([1, 0, None] * 20, dtype="Int64"), ("0", "1")),
        (np.array([True, False] * 30), ("False", "True")),
        (np.array([True, False, None] * 20, object), ("False", "True")),
        (pd.array([True, False, None] * 20, dtype="boolean"), None),
        (pd.cut(np.arange(N), [-1, 9, 99]), ("(-1, 9]", "(9, 99]")),
    ],
)
def test_targets_of_every_kind(target, names):
    frame = FRAME.assign(ill=target)
    data = load(frame, num_labeled=6)
    assert data.class_names == (names or ("False", "True"))
    x, y = data.labeled
    came = [data.class_names[k] for k in y]
    rows = [FRAME.age.tolist().index(age) for age in ages(data, x)]
    want = frame.ill.iloc[rows].tolist()
    if not isinstance(want[0], float):
        assert came == [str(value) for value in want]
    else:
        assert came == [str(int(value)) for value in want]


def test_class_names_of_the_users():
    assert load(class_names=["well", "ill"]).class_names == ("well", "ill")


# Views.


def test_views_jitter_numbers_alone():
    data = load()
    for view, size in ((data.views.weak, 0.05), (data.views.strong, 0.2)):
        np.testing.assert_allclose(view.stddev, [size, size, 0, 0, 0], 1e-5)
    batches = pipeline.training_dataset(data, 4, 16)
    strong = next(iter(batches))[0]["strong"].numpy()
    assert set(np.unique(strong[:, 2:])) == {0, 1}
    assert len(np.unique(strong[:, 1])) == 16
    own = augment.jitter_views()
    assert load(views=own).views is own


def test_views_are_asked_for_where_no_number_varies():
    data = load(features=["city", "smoker"])
    assert data.views is None
    with pytest.raises(ValueError, match="`views`"):
        pipeline.training_dataset(data, 4, 16)


def test_a_model_trains_on_a_table():
    data = load(test=NEW)
    net = keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)])
    model = mpl_keras.UDA(net)
    model.compile("sgd", metrics=["accuracy"])
    batches = pipeline.training_dataset(data, 4, 16)
    model.fit(batches, validation_data=data.test, verbose=0)
    assert model.predict(data.encoder(NEW), verbose=0).shape == (10, 2)


# Errors.


def without(rows, column):
    """The frame without some values of a column."""
    frame = FRAME.astype({column: object})
    frame.loc[rows, column] = None
    return frame


TWICE = FRAME.rename(columns={"visits": "age"})
KEYS = [f"key {i}" for i in range(1001)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(frame="table.csv"), "`frame` .* DataFrame.*read_csv.*: str"),
        (dict(frame=FRAME.to_numpy()), "`frame` must be .*: ndarray"),
        (dict(frame=FRAME.age), "`frame` must be .*: Series"),
        (dict(frame=FRAME.iloc[:0]), "`frame` must have rows.*: no rows"),
        (dict(frame=TWICE), "`frame` .* different names.*'age' twice"),
        (dict(target="il"), "`target` must .*: no 'il' among 'ill'"),
        (dict(target=["ill"]), r"`target` must .*: no \['ill'\] among"),
        (dict(target="age"), "`target` .* not whole in column 'age'"),
        (
            dict(frame=FRAME.assign(ill=["a", 1] * 30)),
            "`target` .*: categories mixed with numbers in column 'ill'",
        ),
        (
            dict(frame=FRAME.assign(ill=pd.Timestamp("2020-01-01"))),
            "`target` .*: Timestamp in column 'ill'",
        ),
        (
            dict(frame=FRAME.assign(ill=None)),
            "`target` .* at least two classes.* known in 0 of 60 rows$",
        ),
        (
            dict(frame=FRAME.assign(ill="no")),
            "`target` .* at least two .* 60 of 60 rows, always 'no'",
        ),
        (
            dict(num_labeled=None),
            "`frame` .* without a target.*`num_labeled`.*60 .* all labeled",
        ),
        (dict(num_labeled=60), "`frame` must have training rows without"),
        (dict(num_labeled=5), "`num_labeled` must be a multiple of 2"),
        (dict(num_labeled=70), "`num_labeled` must be at most 60"),
        (dict(seed=-1), "`seed` must .*-1"),
        (dict(seed=0.5, num_labeled=None), "`seed` must .*0.5"),
        (dict(test_fraction=1.0), "`test_fraction` must .* < 1"),
        (dict(validation_fraction=-0.1), "`validation_fraction` must .* >= 0"),
        (dict(test=NEW, test_fraction=0.1), "`test_fraction` must be 0 where"),
        (
            dict(validation=NEW, validation_fraction=0.1),
            "`validation_fraction` must be 0 where `validation`",
        ),
        (
            dict(test_fraction=0.001),
            "`test_fraction` .* at least one row.* 60 rows with a target",
        ),
        (
            dict(frame=without(range(4, N), "ill"), num_labeled=None)
            | dict(validation_fraction=0.7),
            r"`validation_fraction` .* each class.* none of class",
        ),
        (dict(test_fraction=0.99), r"`test_fraction` .* each class.*\[0, 1\]"),
        (
            dict(num_labeled=None, validation_fraction=1e-6),
            "`validation_fraction` .* at least one",
        ),
        (dict(features=[]), "`features` must be at least one"),
        (dict(features=["age", "ill"]), "`features` .* not `target`"),
        (dict(features=["age", "age"]), "`features` .* each once"),
        (dict(features=["age", "citi"]), "`features` .*: no 'citi' .*'city'"),
        (dict(frame=FRAME[["ill"]]), "`features` must be at least one"),
        (
            dict(frame=without([3, 5], "age")),
            "`frame` .* every feature.*fillna.*`features`.*, 2 in 'age'$",
        ),
        (dict(frame=without([3], "city")), "missing values, 1 in 'city'"),
        (
            dict(frame=FRAME.assign(age=np.inf)),
            "`frame` .* finite .* 60 others in column 'age'.* row 0: inf",
        ),
        (dict(frame=FRAME.assign(age=1e39)), "finite .*float32.*1e\\+39"),
        (
            dict(frame=FRAME.assign(city=["Rome", 1] * 30)),
            "`features` .*: categories mixed with numbers in column 'city'",
        ),
        (
            dict(frame=FRAME.assign(day=pd.Timestamp("2020-01-01"))),
            "`features` .*: Timestamp in column 'day'",
        ),
        (dict(frame=FRAME.assign(age=1j)), "`features` .*: complex"),
        (
            dict(
                frame=pd.concat([FRAME] * 17)[:1001].assign(key=KEYS),
            ),
            "`features` .* at most 1,000 categories.*: 1,001 in column 'key'",
        ),
        (dict(class_names=["a"]), "`class_names` must be 2 different"),
        (dict(test=(NEW, NEW)), "`test` must be a pandas DataFrame.*tuple"),
        (dict(test=NEW[:0]), "`test` must have rows"),
        (dict(test=NEW.drop(columns="ill")), "`test` .*: no 'ill' among"),
        (
            dict(test=NEW.rename(columns={"city": "citi"})),
            "`test` .*: no 'city' among 'citi' and 'citi' besides",
        ),
        (dict(validation=NEW.assign(day=1)), "`validation` .*: 'day' besides"),
        (dict(test=NEW.assign(city="Paris")), "`test` .* dtype .*'Paris' in"),
        (dict(test=NEW.assign(city=1)), "`test` .* categories in 'city'.*numb"),
        (dict(test=NEW.assign(age=None)), "`test` .* every feature.* 10 in"),
        (dict(test=NEW.assign(age=np.inf)), "`test` must hold finite"),
        (
            dict(test=NEW.assign(ill="maybe")),
            "`test` .* 'no', 'yes'.*: classes 'maybe' in column 'ill'",
        ),
        (
            dict(validation=NEW.assign(ill=[None, *NEW.ill[1:]])),
            "`validation` must have in every row .*: 1 missing in",
        ),
    ],
)
def test_errors(changes, message):
    with pytest.raises(ValueError, match=message):
        load(**changes)


def test_errors_of_the_encoder():
    encoder = load().encoder
    with pytest.raises(ValueError, match="`frame` .*: no 'age'"):
        encoder(NEW.drop(columns="age"))
    with pytest.raises(ValueError, match="`patients` must be a pandas"):
        encoder([1, 2], "patients")


def test_the_library_does_not_need_pandas():
    for module in (columns, tables):
        tree = ast.parse(pathlib.Path(module.__file__).read_text("utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                assert "pandas" not in ast.unparse(node)


# The example, run as people run it.


SCRIPT = ROOT / "examples" / "tabular.py"


@pytest.mark.slow
def test_tabular(tmp_path):
    flags = "--dataset=wine", "--num_labeled=7", "--seed=3", "--steps=60"
    accuracies = []
    for out in ("one", "other"):
        result = scripts.run(
            SCRIPT,
            *flags,
            f"--output_dir={out}",
            cwd=tmp_path,
            true=out == "one",
        )
        assert result.returncode == 0, result.stderr
        # Every row has a target: there is nothing to predict.
        written = sorted(os.listdir(tmp_path / out))
        assert written == ["classifier", "classifier.json", "classifier.md"]
        last = result.stdout.splitlines()[-1]
        (found,) = re.findall(r"^test accuracy: (\d+\.\d\d) %$", last)
        accuracies.append(float(found))
    assert accuracies[0] == accuracies[1]
    assert accuracies[0] > 60


@pytest.mark.slow
def test_tabular_on_a_table_of_the_users(tmp_path):
    frame = FRAME.copy()
    frame.loc[20:, "ill"] = None
    frame.to_csv(tmp_path / "patients.csv", index=False)
    result = scripts.run(
        SCRIPT,
        "--csv=patients.csv",
        "--target=ill",
        "--steps=6",
        "--output_dir=out",
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    predicted = pd.read_csv(tmp_path / "out/predictions.csv")
    assert predicted.columns.tolist() == ["row", "predicted", "probability"]
    assert predicted["row"].tolist() == list(range(20, N))
    assert set(predicted["predicted"]) <= {"yes", "no"}
    assert predicted["probability"].between(0.5, 1).all()
    classifier = export.load(tmp_path / "out/classifier")
    rows = frame[20:].drop(columns="ill")
    answers = classifier({name: rows[name] for name in rows})
    np.testing.assert_allclose(
        answers.max(axis=-1), predicted["probability"], atol=1e-5
    )


REFUSED = [
    (["--seed=one"], "--seed=one"),
    (["--steps=0"], "--steps=0"),
    (["--dataset=wine", "--num_labeled=2"], "`num_labeled` must be"),
    (["--csv=table.csv", "--target=il"], "no 'il' among 'ill'"),
    (["--csv=table.csv"], "no 'target' among"),
    (["--csv=nowhere.csv", "--target=ill"], "nowhere.csv"),
    (["surplus"], "surplus"),
    (["--output_dir=."], "--output_dir=.: must be a new folder"),
]


@pytest.mark.parametrize(("flags", "message"), REFUSED)
def test_tabular_refuses_before_it_writes(flags, message, tmp_path):
    FRAME.to_csv(tmp_path / "table.csv", index=False)
    result = scripts.run(SCRIPT, "--output_dir=out", *flags, cwd=tmp_path)
    assert result.returncode == 1
    assert message in "\n".join(result.stderr.splitlines()[-3:])
    assert [file.name for file in tmp_path.iterdir()] == ["table.csv"]
