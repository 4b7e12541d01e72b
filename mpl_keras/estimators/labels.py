"""Which rows have a label, and which classes there are."""

from typing import Any

import numpy as np

from mpl_keras.checks import names
from mpl_keras.datasets import labels

names.require("sklearn", "mpl_keras.estimators", "scikit-learn")

from sklearn.utils import assert_all_finite, column_or_1d  # noqa: E402
from sklearn.utils.multiclass import check_classification_targets  # noqa: E402


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
    >>> known_rows([0, -1, 2])
    (array([0, 2]), array([ True, False,  True]))
    """
    if y is None:
        raise ValueError(
            "This classifier requires y to be passed, but the target y is "
            "None; a row without a label has -1."
        )
    y = column_or_1d(labels.as_array(y), warn=True)
    if y.dtype.kind == "f":
        assert_all_finite(y, allow_nan=True, input_name="y")
    values, known = labels.known_rows(y)
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
