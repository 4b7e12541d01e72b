"""Class names, and rows without a label, in arrays."""

import decimal

import numpy as np
import pandas as pd
import pytest

from mpl_keras import datasets
from mpl_keras.datasets import labels

X = np.arange(12, dtype="float32").reshape(6, 2)
OTHERS = -np.ones((3, 2), "float32")


@pytest.mark.parametrize(
    "y",
    [
        [0, 1, -1, 1, -1, -1],
        np.array([0, 1, -1, 1, -1, -1], "int8"),
        np.array([[0], [1], [-1], [1], [-1], [-1]]),
        [0, 1, np.nan, 1, np.nan, -1],
        [0, 1, None, 1, np.nan, -1],
        np.array([0.0, 1, np.nan, 1, np.nan, np.nan], "float32"),
        pd.Series([0, 1, None, 1, None, None], dtype="Int64"),
        pd.Series([0, 1, None, 1, None, None]),
    ],
)
def test_rows_without_a_label_are_unlabeled(y):
    data = datasets.from_arrays(X, y, labeled_in_unlabeled=False)
    assert data.labeled[1].tolist() == [0, 1, 1]
    assert data.labeled[1].dtype.kind == "i"
    np.testing.assert_array_equal(data.labeled[0], X[[0, 1, 3]])
    np.testing.assert_array_equal(data.unlabeled, X[[2, 4, 5]])
    assert data.class_names == ("0", "1")


def test_they_are_added_to_the_unlabeled_ones():
    y = [0, 1, -1, 1, -1, -1]
    data = datasets.from_arrays({"a": X}, y, {"a": OTHERS})
    unlabeled = np.concatenate([OTHERS, X[[2, 4, 5]], X[[0, 1, 3]]])
    np.testing.assert_array_equal(data.unlabeled["a"], unlabeled)


@pytest.mark.parametrize(
    "y",
    [
        ["dog", "cat", -1, "cat", None, np.nan],
        np.array(["dog", "cat", None, "cat", None, -1], object),
        pd.Series(["dog", "cat", None, "cat", None, None]),
        pd.Series(["dog", "cat", None, "cat", None, None], dtype="category"),
        pd.Series(["dog", "cat", None, "cat", None, None], dtype="string"),
    ],
)
def test_names_are_classes(y):
    data = datasets.from_arrays(X, y, test=(X[:2], ["cat", "dog"]))
    assert data.class_names == ("cat", "dog")
    assert data.labeled[1].tolist() == [1, 0, 0]
    assert data.test.stream.read([0, 1])[1].numpy().tolist() == [0, 1]


def test_names_in_an_order_of_their_own():
    names = ["small", "large"]
    given = ["large", "small", "small"]
    data = datasets.from_arrays(
        X[:3],
        np.array(given),
        X[3:],
        class_names=names,
        unlabeled_labels=given,
        validation=(X[:2], given[:2]),
    )
    assert data.labeled[1].tolist() == [1, 0, 0]
    assert data.unlabeled_labels.tolist() == [1, 0, 0, 1, 0, 0]
    assert data.validation.stream.read([0])[1].numpy().tolist() == [1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y_labeled": [0, 1, 1, 0, 1, 0]}, "`x_unlabeled` must.*none missing"),
        (
            {"y_labeled": [1, -1, 1, -1, 1, 1]},
            r"\(-1 stands for no label\).*none of class \[0\]",
        ),
        (
            {"y_labeled": np.array(["a", "b", np.nan] * 2)},
            "`y_labeled` must be an array of objects.*the text 'nan'",
        ),
        (
            {"y_labeled": ["a", "b", None] * 2, "unlabeled_labels": [0, 1]},
            "`unlabeled_labels` must not be given.*are missing",
        ),
        (
            {"y_labeled": ["a", "b", None] * 2, "class_names": ["a", "c"]},
            r"`y_labeled` must be names .*\['a', 'c'\].*\['b'\]",
        ),
        (
            {"y_labeled": ["a", "b", None] * 2, "test": (X[:1], ["c"])},
            r"`test\[1\]` must be names .*\['a', 'b'\].*\['c'\]",
        ),
        (
            {"y_labeled": ["a", "b", None]},
            "`y_labeled` must have a label .* 3 labels for 6",
        ),
        (
            {
                "y_labeled": [0, 1, -1] * 2,
                "x_unlabeled": OTHERS.astype("float64"),
            },
            "`x_unlabeled` must have .*float32.*float64",
        ),
        ({"y_labeled": [None] * 6}, "`num_classes`|`y_labeled`"),
        (
            {"y_labeled": ["a", "b", " "] * 2},
            "`y_labeled` must have a name in each label, and None .*empty text",
        ),
    ],
)
def test_what_is_said(arguments, message):
    with pytest.raises(ValueError, match=message):
        datasets.from_arrays(X, **arguments)


def test_booleans_are_no_signs():
    values, known = labels.known_rows(np.array([True, False]))
    assert known.all() and values.tolist() == [True, False]
    values, known = labels.known_rows(np.array([True, None, False], object))
    assert known.tolist() == [True, False, True] and values.dtype == bool


def test_gaps_of_every_kind():
    """One meaning for arrays, texts and tables."""
    gaps = [None, float("nan"), np.float32("nan"), pd.NA, pd.NaT]
    gaps += [np.datetime64("NaT"), decimal.Decimal("nan")]
    assert labels.with_gaps(gaps) == [None] * len(gaps)
    assert not labels.known_rows(np.array([*gaps, -1], object))[1].any()
    values = [np.str_("a"), b"b", np.int8(-1), 2.0, np.True_, True, ["?"], 0.5]
    plain = labels.with_gaps(values)
    assert plain == ["a", "b", -1, 2, True, True, ["?"], 0.5]
    assert [type(v) for v in plain[:5]] == [str, str, int, int, bool]
    # A sign is what is equal to it; no boolean is, though True == 1.
    signs = ["a", -1, 1, 2]
    expected = [None, "b", None, None, True, True, ["?"], 0.5]
    assert labels.with_gaps(values, signs) == expected
    gone = pd.array([1, None], dtype="Int64")
    assert labels.with_gaps(gone, ["?"]) == [1, None]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0, 1, "cat", 1], "Received: y='cat' at index 2, beside 0 at index 0"),
        (["cat", None, 3, "dog"], "Received: y=3 at index 2, beside 'cat' at"),
        ([True, "1", "0"], "Received: y=True at index 0, beside '1' at"),
    ],
)
def test_numbers_and_names_are_no_classes_together(y, message):
    with pytest.raises(ValueError, match="or names of classes alone") as error:
        labels.known_rows(labels.as_array(y))
    assert message in str(error.value)
    assert labels.known_rows(labels.as_array(["a", -1, None]))[1].sum() == 1
