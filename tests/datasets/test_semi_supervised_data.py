"""Splits: exact, balanced, disjoint, and the same on every machine."""

import builtins
import dataclasses

import keras
import numpy as np
import pytest
import sklearn.datasets
import tensorflow as tf

from mpl_keras import augment, datasets, pipeline
from mpl_keras.checks import arrays
from mpl_keras.datasets import toys

X = np.random.RandomState(0).normal(size=(12, 3)).astype("float32")
Y = np.arange(4) % 2
LABELED, UNLABELED = X[:4], X[4:]


# Taken from one machine, to be found on every other: the stream is frozen.
GOLDEN_SUMS = [186.4375, 389.6875, 10480.375, 2466.3125]
GOLDEN_INDEX = [6, 8, 10, 11, 16, 24]
GOLDEN_UNBALANCED = [6, 11, 26, 27, 28]


def rows(x):
    """The examples of an array as a set, to compare sets of images."""
    return {row.tobytes() for row in x}


def stacked(dataset):
    x, y = zip(*dataset.as_numpy_iterator(), strict=True)
    return np.concatenate(x), np.concatenate(y)


def test_digits_are_the_real_ones():
    data = datasets.digits(num_labeled=20)
    x, y = data.labeled
    assert x.shape == (20, 8, 8, 1) and x.dtype == np.float32
    assert y.dtype == np.int32 and data.unlabeled.shape == (1257, 8, 8, 1)
    assert data.unlabeled.min() == 0 and data.unlabeled.max() == 1
    np.testing.assert_array_equal(data.unlabeled * 16 % 1, 0)
    assert data.class_names == tuple("0123456789") and data.num_classes == 10
    assert data.validation is None
    assert data.views == augment.digits_views()
    x_test, y_test = stacked(data.test)
    assert x_test.shape == (540, 8, 8, 1)
    # 178 zeros and 174 eights of 1,797 images, 540 of them held out.
    counts = np.bincount(y_test)
    assert counts.sum() == 540 and (counts[0], counts[8]) == (54, 52)


def test_digits_split_is_the_same_on_every_machine():
    sums = [
        float(x.sum(dtype="float64"))
        for x in (
            datasets.digits(10, seed=0).labeled[0],
            datasets.digits(20, seed=7).labeled[0],
            stacked(datasets.digits(10).test)[0],
            stacked(datasets.digits(10, validation_fraction=0.1).validation)[0],
        )
    ]
    assert sums == GOLDEN_SUMS


def test_digits_test_set_is_the_same_for_every_seed():
    first, again = (stacked(datasets.digits(10, seed).test) for seed in (0, 5))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])


@pytest.mark.parametrize("kept_in", [True, False])
def test_digits_sets_are_disjoint(kept_in):
    data = datasets.digits(
        40, seed=3, validation_fraction=0.2, labeled_in_unlabeled=kept_in
    )
    labeled, unlabeled = rows(data.labeled[0]), rows(data.unlabeled)
    test, validation = rows(stacked(data.test)[0]), stacked(data.validation)[0]
    assert len(validation) == round(0.2 * 1257)
    assert len(data.unlabeled) == 1257 - 251 - (0 if kept_in else 40)
    assert labeled <= unlabeled if kept_in else not labeled & unlabeled
    for training in (labeled, unlabeled):
        assert not training & (test | rows(validation))
    assert not rows(validation) & test
    counts = np.bincount(stacked(data.validation)[1])
    assert counts.min() >= 23 and counts.max() <= 27


def test_digits_truth_belongs_to_the_unlabeled_images():
    data = datasets.digits(100, seed=1)
    truth = {
        row.tobytes(): label
        for row, label in zip(
            data.unlabeled, data.unlabeled_labels, strict=True
        )
    }
    for row, label in zip(*data.labeled, strict=True):
        assert truth[row.tobytes()] == label


def test_validation_does_not_change_the_labeled_choice():
    plain = datasets.digits(20, seed=2)
    held = datasets.digits(20, seed=2, validation_fraction=0.3)
    np.testing.assert_array_equal(plain.labeled[0], held.labeled[0])


def test_evaluate_takes_the_test_set():
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(loss=loss, metrics=["accuracy"])
    result = model.evaluate(datasets.digits(10).test, verbose=0)
    assert np.isfinite(result).all()


def test_split_labeled_is_balanced_seeded_and_nested():
    y = np.random.RandomState(0).randint(0, 5, 300)
    chosen = {
        (count, seed): datasets.split_labeled(y, count, seed, 5)
        for count in (10, 50)
        for seed in (0, 1)
    }
    for (count, _), index in chosen.items():
        assert np.bincount(y[index]).tolist() == [count // 5] * 5
        assert (np.diff(index) > 0).all()
    assert not np.array_equal(chosen[10, 0], chosen[10, 1])
    assert set(chosen[10, 0]) <= set(chosen[50, 0])
    one_hot = np.eye(5)[y]
    np.testing.assert_array_equal(
        datasets.split_labeled(one_hot, 10, 0, 5), chosen[10, 0]
    )


def test_split_labeled_golden_values():
    y = np.arange(30) % 3
    assert datasets.split_labeled(y, 6, 0, 3).tolist() == GOLDEN_INDEX
    assert (
        datasets.split_labeled(y, 5, 1, 3, balanced=False).tolist()
        == GOLDEN_UNBALANCED
    )


def test_unbalanced_counts_differ_by_one_and_vary_by_seed():
    y = np.arange(100) % 10
    extra = set()
    for seed in range(20):
        index = datasets.split_labeled(y, 13, seed, 10, balanced=False)
        counts = np.bincount(y[index], minlength=10)
        assert counts.sum() == 13 and set(counts) == {1, 2}
        extra |= set(np.flatnonzero(counts == 2))
    assert len(extra) > 5


def test_unbalanced_takes_from_others_where_a_class_is_scarce():
    y = np.array([0] * 8 + [1])
    index = datasets.split_labeled(y, 6, 0, 2, balanced=False)
    assert np.bincount(y[index]).tolist() == [5, 1]


def test_two_moons():
    data = datasets.two_moons(num_labeled=6, seed=4)
    x = data.unlabeled
    assert x.shape == (2000, 2) and x.dtype == np.float32
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(x.std(axis=0), 1, atol=1e-5)
    assert np.bincount(data.labeled[1]).tolist() == [3, 3]
    assert np.bincount(data.unlabeled_labels).tolist() == [1000, 1000]
    assert rows(data.labeled[0]) <= rows(x)
    x_test, _ = stacked(data.test)
    assert len(x_test) == 1000 and not rows(x_test) & rows(x)
    out = datasets.two_moons(seed=4, labeled_in_unlabeled=False)
    assert rows(out.unlabeled) == rows(x) - rows(data.labeled[0])


def test_two_moons_lie_on_their_half_circles():
    data = datasets.two_moons(num_points=400, noise=0.0)
    x, y = data.unlabeled.astype("float64"), data.unlabeled_labels
    # Scaling turned circles into ellipses: undo it by the ranges, (-1, 2) and
    # (-0.5, 1).
    low, high = x.min(axis=0), x.max(axis=0)
    x = (x - low) / (high - low) * [3, 1.5] - [1, 0.5]
    center = np.where(y[:, None] == 0, [0, 0], [1, 0.5])
    np.testing.assert_allclose(np.linalg.norm(x - center, axis=1), 1, atol=0.01)
    assert (x[y == 0, 1] >= -0.01).all() and (x[y == 1, 1] <= 0.51).all()


def test_two_moons_seed():
    first, again, other = (datasets.two_moons(seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.unlabeled, again.unlabeled)
    assert not rows(first.unlabeled) & rows(other.unlabeled)
    assert not rows(stacked(first.test)[0]) & rows(stacked(other.test)[0])


def test_from_arrays_appends_the_labeled_or_not():
    data = datasets.from_arrays(
        LABELED, Y, UNLABELED, unlabeled_labels=np.ones(8, int)
    )
    np.testing.assert_array_equal(
        data.unlabeled, np.concatenate([UNLABELED, LABELED])
    )
    assert data.unlabeled_labels.tolist() == [1] * 8 + Y.tolist()
    out = datasets.from_arrays(
        LABELED, Y, UNLABELED, labeled_in_unlabeled=False
    )
    np.testing.assert_array_equal(out.unlabeled, UNLABELED)
    assert out.unlabeled_labels is None
    assert repr(out) == "SemiSupervisedData(labeled=4, unlabeled=8, classes=2)"


def test_from_arrays_takes_structures():
    def make(x):
        return {"a": x, "b": [x[:, 0], x[:, :2]]}

    data = datasets.from_arrays(
        make(LABELED), Y, make(UNLABELED), test=(make(UNLABELED), Y.repeat(2))
    )
    assert data.unlabeled["b"][1].shape == (12, 2)
    x, _ = next(iter(data.test))
    np.testing.assert_array_equal(x["b"][0], UNLABELED[:, 0])
    assert data.views is None


def test_from_arrays_keeps_uint8_images():
    x = np.arange(4 * 64, dtype="uint8").reshape(4, 8, 8, 1)
    data = datasets.from_arrays(x, Y, x, labeled_in_unlabeled=False)
    assert data.unlabeled.dtype == np.uint8
    assert data.views == augment.image_views(8, 8)


@pytest.mark.parametrize(
    ("labels", "names", "want"),
    [
        (Y, None, ("0", "1")),
        (Y[:, None], ["no", "yes"], ("no", "yes")),
        (np.eye(2)[Y], None, ("0", "1")),
        (np.float32([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5], [1, 0]]), None, "01"),
    ],
)
def test_from_arrays_label_forms(labels, names, want):
    data = datasets.from_arrays(LABELED, labels, UNLABELED, class_names=names)
    assert data.class_names == tuple(want) and data.num_classes == 2
    rows = labels.shape[1:] == (2,)
    assert data.labeled[1].shape == ((4, 2) if rows else (4,))


def test_data_is_frozen():
    data = datasets.from_arrays(LABELED, Y, UNLABELED)
    with pytest.raises(dataclasses.FrozenInstanceError):
        data.labeled = None


def test_labels_in_every_form():
    for y in (Y, Y[:, None], Y.tolist(), tf.constant(Y), Y.astype("uint8")):
        np.testing.assert_array_equal(arrays.labels(y, 2), Y)
    for y in (np.eye(2)[Y], np.eye(2, dtype=int)[Y]):
        assert arrays.labels(y, 2).shape == (4, 2)
        np.testing.assert_array_equal(arrays.class_ids(y), Y)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0, 1, 3], r"`y` must be integers in \[0, 3\).* value 3 at index 2"),
        ([1, 2, 3], "value 3 at index 2. Class .* begin at 0: subtract 1"),
        ([0, 1, 2, 3], "value 3 at index 3$"),
        ([1, 5], "value 5 at index 1$"),
        ([[0], [-1]], "value -1 at index 1"),
        ([0.0, 1.0], r"shape=\(2,\), dtype=float64, first 0.0; .*astype\(int"),
        ([0, 1, 0.5, 1], "float64, value 0.5 at index 2$"),
        ([0, 1, np.inf], "float64, value inf at index 2$"),
        (np.array([0, "1"], object), "dtype=object, value 1 at index 1$"),
        ([[1.0], [2.0]], r"shape=\(2, 1\), dtype=float64"),
        ([[1.0, 0.0]], r"rows of 3 probabilities.* shape=\(1, 2\)"),
        ([[1, 0, 0, 0]], r"shape=\(1, 4\)"),
        ([[1.0, 0.0, 0.0], [0.5, 0.2, 0.0]], "sums to 0.7 at index 1"),
        ([[1, 1, 0]], "sums to 2 at index 0"),
        ([[1.5, -0.5, 0.0]], r"value -0.5 at index \(0, 1\)"),
        ([[1.0, np.nan, 0.0]], r"value nan at index \(0, 1\)"),
        (["cat", "dog"], "first cat"),
        ([True, False], "dtype=bool"),
        (1, r"shape=\(\)"),
    ],
)
def test_label_errors(y, message):
    with pytest.raises(ValueError, match=message):
        arrays.labels(y, 3)


def test_finite():
    x = {"a": np.zeros(3, int), "b": [np.zeros((2, 3)), np.ones((4, 2))]}
    arrays.finite(x, "x")
    x["b"][1][2, 1] = np.inf
    x["b"][1][3, 0] = np.nan
    message = r"`x\['b'\]\[1\]` must be finite.* 2 NaN .* of 8 .*\(2, 1\): inf"
    with pytest.raises(ValueError, match=message):
        arrays.finite(x, "x")
    with pytest.raises(ValueError, match="1 NaN"):
        arrays.finite(tf.constant([1.0, np.nan], tf.bfloat16), "x")


def from_arrays(**changes):
    arguments = dict(x_labeled=LABELED, y_labeled=Y, x_unlabeled=UNLABELED)
    return datasets.from_arrays(**(arguments | changes))


NAN = np.where(np.arange(24).reshape(8, 3) == 7, np.nan, UNLABELED)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(x_unlabeled=NAN), r"`x_unlabeled` must be finite.* \(2, 1\)"),
        (dict(x_labeled=np.full((4, 3), np.inf)), "`x_labeled` .* 12 NaN"),
        (dict(y_labeled=[0, 1, 0]), "`y_labeled` .* 3 labels for 4 examples"),
        (dict(y_labeled=[0, 1, 0, 2], num_classes=2), "`y_labeled` .* value 2"),
        (dict(y_labeled=[0, 0, 2, 2]), r"`y_labeled` .* none of class \[1\]"),
        (dict(y_labeled=[1, 2, 1, 2]), r"class \[0\]. .* 0: subtract 1"),
        (dict(y_labeled=[2, 2, 3, 3]), r"class \[0, 1\]$"),
        (dict(num_classes=4), r"4 classes.* none of class \[2, 3\]"),
        (dict(y_labeled=[0, 0, 0, 0]), "`num_classes` must .* >= 2.*=1"),
        (dict(num_classes=2.0), "`num_classes` must be an integer.*2.0"),
        (dict(class_names=["a"]), "`num_classes` must be .* >= 2"),
        (dict(class_names=["a", "a"]), "`class_names` must be 2 different"),
        (dict(class_names="abc", num_classes=2), "`class_names` must be 2"),
        (dict(x_unlabeled=UNLABELED[:0]), "`x_unlabeled` .* at least one"),
        (dict(x_unlabeled=UNLABELED[:, :2]), "`x_unlabeled` .*`x_labeled`"),
        (dict(x_unlabeled=UNLABELED.astype("float64")), "float32.*float64"),
        (dict(x_unlabeled={"a": UNLABELED}), r"structure.*\['a'\]"),
        (dict(x_labeled=LABELED.tolist()), r"`x_labeled\[0\]\[0\]` .*asarray"),
        (dict(x_labeled=(X, LABELED)), "the same number .* 12.* 4"),
        (dict(unlabeled_labels=[1, 0]), "`unlabeled_labels` .* 2 labels for 8"),
        (dict(unlabeled_labels=[2] * 8), "`unlabeled_labels` .* value 2"),
        (dict(test=LABELED), r"`test` must be a pair \(x, y\).*ndarray"),
        (dict(test=(LABELED, [0, 1, 0, 5])), r"`test\[1\]` .* value 5"),
        (dict(test=(X[:, :1], Y.repeat(3))), r"`test\[0\]` must have"),
        (dict(validation=(X, Y)), r"`validation\[1\]` .* 4 labels for 12"),
    ],
)
def test_from_arrays_errors(changes, message):
    with pytest.raises(ValueError, match=message):
        from_arrays(**changes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(num_labeled=5), "be at least 10, one for each of 10 cl.*=5"),
        (dict(num_labeled=25), "a multiple of 10, .*balanced=False.*=25"),
        (dict(num_labeled=1500), "at most .* of class .*balanced=False"),
        (dict(num_labeled=0), "at least 10, one for each .*=0"),
        (dict(num_labeled=1300, balanced=False), "at most 1257: .*=1300"),
        (dict(num_labeled=20.0), "must be an integer.*20.0"),
        (dict(num_labeled=True), "must be an integer.*True"),
        (dict(num_labeled=20, seed=-1), "`seed` must .*=-1"),
        (dict(num_labeled=20, seed=0.5), "`seed` must .*=0.5"),
        (
            dict(num_labeled=20, validation_fraction=1.2),
            ">= 0 and < 1.*=1.2",
        ),
        (
            dict(num_labeled=20, validation_fraction=0.99),
            "at least one example",
        ),
        (
            dict(num_labeled=20, validation_fraction=1e-5),
            "at least one example",
        ),
    ],
)
def test_digits_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        datasets.digits(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(num_labeled=7), "multiple of 2"),
        (dict(noise=-0.1), "`noise` must"),
        (dict(num_points=3), "`num_points` must"),
        (dict(num_test=0), "`num_test` must"),
        (dict(seed=2**32), "`seed` must .* <= 4294967295"),
    ],
)
def test_two_moons_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        datasets.two_moons(**arguments)


def test_digits_are_those_of_scikit_learn_and_do_not_need_it(monkeypatch):
    pixels, labels = sklearn.datasets.load_digits(return_X_y=True)
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("sklearn"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    x, y = toys._load_digits()
    np.testing.assert_array_equal(x.reshape(-1, 64) * 16, pixels)
    np.testing.assert_array_equal(y, labels)


# What is no array, and how it becomes one.


def objects(*values):
    array = np.empty(len(values), object)
    array[:] = values
    return array


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"x_unlabeled": tf.data.Dataset.from_tensor_slices(UNLABELED)},
            "`x_unlabeled`.*np.stack.*Received: x_unlabeled=_Tensor",
        ),
        (
            {"x_labeled": tf.data.Dataset.from_tensors(LABELED).batch(2)},
            "`x_labeled`.*np.concatenate.*Received: x_labeled=_Batch",
        ),
        (
            {"y_labeled": tf.data.Dataset.from_tensor_slices(Y)},
            "`y_labeled` must be an array",
        ),
        (
            {"x_labeled": objects("a", "b", "c", "d")},
            r"text: `x.astype\(str\)`.*shape=\(4,\), first a str",
        ),
        (
            {"x_unlabeled": objects(*(np.zeros(n) for n in range(1, 5)))},
            "`x_unlabeled`.*different sizes.*ndarray",
        ),
        (
            {"x_labeled": LABELED.astype(object)},
            r"numbers: `x.astype\('float32'\)`.*first a float",
        ),
        ({"x_unlabeled": iter(UNLABELED)}, "iterator.*np.stack"),
        (
            {"y_labeled": np.array(["a", "b", -1, "b"])},
            "`y_labeled` must be an array of objects.*the text '-1'",
        ),
    ],
)
def test_what_is_no_array(changes, message):
    given = {"x_labeled": LABELED, "y_labeled": Y, "x_unlabeled": UNLABELED}
    with pytest.raises(ValueError, match=message) as error:
        datasets.from_arrays(**{**given, **changes})
    assert len(str(error.value)) < 300  # no array is printed whole


@pytest.mark.parametrize("dtype", ["uint16", "int32"])
def test_images_of_16_bits_are_named(dtype):
    x = np.zeros((4, 8, 8, 3), dtype)
    data = datasets.from_arrays(x, Y, x)
    with pytest.raises(ValueError, match=f"images of {dtype}.*'uint8'"):
        pipeline.training_dataset(data, 2, 2)
