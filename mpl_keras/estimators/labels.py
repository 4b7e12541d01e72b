"""Which rows have a label, and which classes there are."""

from typing import Any

import numpy as np

from mpl_keras.checks import names
from mpl_keras.checks.arguments import ArgumentError

names.require("sklearn", "mpl_keras.estimators", "scikit-learn")

from sklearn.utils import assert_all_finite, column_or_1d  # noqa: E402
from sklearn.utils.multiclass import check_classification_targets  # noqa: E402

# What numpy makes of -1 and NaN where it makes texts of a whole list.
_SIGNS_AS_TEXT = ("-1", "nan")


def known_rows(y: Any) -> tuple[np.ndarray, np.ndarray]:
    """The labels that are known, and the rows that they are of.

    Args:
        y: One label for each row: numbers, texts or booleans; -1, NaN, None or
            pandas' NA where it is not known.

    Returns:
        The labels without the unknown ones, and a boolean for each row.

    Raises:
        ValueError: `y` is not one column of classes.

    Example:
    >>> known_rows(["cat", None, "dog", -1])
    (array(['cat', 'dog'], dtype=object), array([ True, False,  True, False]))
    >>> known_rows([0, -1, 2])[0]
    array([0, 2])
    """
    y = column_or_1d(_as_array(y), warn=True)
    if y.dtype.kind == "f":
        assert_all_finite(y, allow_nan=True, input_name="y")
    if y.dtype == object:
        known = ~np.array([_is_sign(value) for value in y], bool)
    elif y.dtype.kind in "iuf":
        known = (y == y) & (y != -1)
    else:
        known = np.ones(len(y), bool)
    values = y[known]
    if y.dtype == object and not _are_texts(values):
        values = np.array(values.tolist())
    _check_no_sign_as_text(values)
    if len(values):
        check_classification_targets(values)
    return values, known


def classes_of(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The classes in order, and each label as the number of its class.

    Args:
        values: Labels, all known.

    Raises:
        ValueError: There are fewer than two classes.

    Example:
    >>> classes_of(np.array(["dog", "cat", "dog"]))
    (array(['cat', 'dog'], dtype='<U3'), array([1, 0, 1], dtype=int32))
    """
    classes, numbers = np.unique(values, return_inverse=True)
    if len(classes) < 2:
        count = f"1 class, {classes[0]}," if len(classes) else "no class"
        raise ValueError(
            "`y` must have labels of at least two classes; -1, NaN and None "
            f"are rows without a label. Received: {count} in {len(values)} "
            "rows with a label"
        )
    return classes, numbers.astype(np.int32)


def _as_array(y):
    """Values as they are, where numpy or pandas would make others of them."""
    if y is None:
        raise ValueError(
            "This classifier requires y to be passed, but the target y is "
            "None; a row without a label has -1."
        )
    if isinstance(y, (list, tuple)):
        y = np.array(y, object)
    elif hasattr(y, "to_numpy"):
        y = y.to_numpy(object)
    return y


def _is_sign(value) -> bool:
    """Whether it stands for a label that is not known."""
    if value is None:
        return True
    if isinstance(value, (str, bytes, bool, np.bool_)):
        return False
    try:
        return bool(value != value) or bool(value == -1)
    except (TypeError, ValueError):  # pandas' NA is neither true nor false
        return type(value).__name__ == "NAType"


def _are_texts(values) -> bool:
    return all(isinstance(value, str) for value in values)


def _check_no_sign_as_text(values):
    """Raises where -1 or NaN has become a text like the classes."""
    texts = values.dtype == object or values.dtype.kind in "US"
    found = [sign for sign in _SIGNS_AS_TEXT if texts and sign in values]
    if found:
        raise ArgumentError(
            "y",
            "be an array of objects where texts and -1, NaN or None stand "
            "together: `np.array(y, dtype=object)`. Otherwise numpy makes a "
            "text, and so a class, of the sign",
            f"the text {found[0]!r} among the classes",
        )
