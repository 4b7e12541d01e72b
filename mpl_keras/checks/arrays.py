"""What arrays, numbers and batches must be; raised before a step is spent.

Every error names the argument, what it must be, and what came.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpl_keras.checks.arguments import ArgumentError


def labels(y: Any, num_classes: int, argument: str = "y") -> np.ndarray:
    """Checks concrete labels, and returns them as an array.

    Args:
        y: Integers in [0, `num_classes`), shaped (N,) or (N, 1); or N rows of
            `num_classes` probabilities (one-hot or soft), which sum to 1.
        num_classes: Number of classes, at least 2.
        argument: The name by which an error calls `y`.

    Returns:
        The labels as they came, but for (N, 1), which is squeezed to (N,).

    Raises:
        ValueError: With the first offending value and its index.

    Example:
    >>> labels([[2], [0]], num_classes=3)
    array([2, 0])
    """
    _check_known(y, argument)
    y = np.asarray(y)
    whole = np.issubdtype(y.dtype, np.integer)
    if whole and y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if whole and y.ndim == 1:
        problem = _range_problem(y, num_classes)
    elif (whole or _is_float(y)) and y.shape[1:] == (num_classes,):
        problem = _rows_problem(y)
    else:
        problem = f"shape={y.shape}, dtype={y.dtype}" + _not_whole(y)
    if problem:
        raise ValueError(
            f"`{argument}` must be integers in [0, {num_classes}), shaped (N,) "
            f"or (N, 1), or rows of {num_classes} probabilities that sum to "
            f"1. Received: {problem}"
        )
    return y


def missing(y: Any) -> np.ndarray:
    """The rows in which a label is None, NaN or masked.

    Args:
        y: Labels of any form, the first axis the examples.

    Example:
    >>> missing([0, None, 1, float("nan")])
    array([1, 3])
    """
    masked = np.ma.getmaskarray(y) if np.ma.isMaskedArray(y) else False
    y = np.asarray(y)
    if y.dtype == object:
        gone = np.array([v is None or _is_nan(v) for v in y.ravel()], bool)
        gone = gone.reshape(y.shape)
    else:
        gone = y != y
    gone = np.atleast_1d(gone | masked)
    return np.flatnonzero(gone.reshape(len(gone), -1).any(axis=1))


def _is_nan(value):
    return isinstance(value, (float, np.floating)) and value != value


def _check_known(y, argument):
    """Raises where a class is missing; rows have words of their own."""
    gone = missing(y)
    if len(gone) and (np.ndim(y) != 2 or np.ma.isMaskedArray(y)):
        raise ArgumentError(
            argument,
            "be the class of each example: leave out the examples whose class "
            "is not known",
            f"{len(gone)} of {len(y)} missing",
            note=f", the first in row {gone[0]}",
        )


def class_ids(y: np.ndarray) -> np.ndarray:
    """Class numbers, int32, of labels that `labels` has let pass.

    Example:
    >>> class_ids(np.array([[0.1, 0.9], [1.0, 0.0]]))
    array([1, 0], dtype=int32)
    """
    return (np.argmax(y, axis=1) if y.ndim == 2 else y).astype(np.int32)


def finite(x: Any, argument: str) -> None:
    """Raises if a float array in the structure `x` holds a NaN or infinity.

    Example:
    >>> finite({"image": np.zeros((2, 3))}, "x_unlabeled")
    """
    for path, leaf in keras.tree.flatten_with_path(x):
        if reads_by_number(leaf):
            continue  # not read before it is needed
        _check_unmasked(leaf, _name(argument, path))
        leaf = np.asarray(leaf)
        if not _is_float(leaf):
            continue
        bad = ~np.isfinite(leaf)
        if bad.any():
            where = tuple(int(i) for i in np.argwhere(bad)[0])
            raise ValueError(
                f"`{_name(argument, path)}` must be finite. Received: "
                f"{bad.sum()} NaN or infinite of {leaf.size} values, the "
                f"first at index {where}: {leaf[where]}"
            )


def arrays(x: Any, argument: str) -> Any:
    """Returns the structure `x` with arrays as leaves and tuples for lists.

    Args:
        x: An array, a `datasets.Source`, or a nested structure of these, whose
            first axes all count the same examples, at least one.
        argument: The name by which an error calls `x`.

    Raises:
        ValueError: A leaf without examples, or leaves with different numbers
            of them.

    Example:
    >>> x = arrays({"a": np.zeros((5, 2)), "b": np.ones(5)}, "x")
    >>> num_examples(x)
    5
    """
    for path, leaf in keras.tree.flatten_with_path(x):
        _check_read(leaf, _name(argument, path))
        _check_unmasked(leaf, _name(argument, path))
    x = keras.tree.lists_to_tuples(keras.tree.map_structure(_array, x))
    sizes = {}
    for path, leaf in keras.tree.flatten_with_path(x):
        name = _name(argument, path)
        if not leaf.shape or leaf.dtype == object:
            hint, received = _no_array(leaf)
            raise ArgumentError(
                name,
                f"be an array, its first axis the examples ({hint})",
                received,
            )
        _check_dtype(leaf.dtype, name)
        sizes[name] = leaf.shape[0]
    if len(set(sizes.values())) != 1 or 0 in sizes.values():
        raise ValueError(
            f"`{argument}` must hold at least one example, the same number in "
            f"every array. Received: numbers of examples {sizes}"
        )
    return x


def _check_unmasked(leaf, name):
    """Raises for an array whose masked values numpy would show again."""
    if np.ma.isMaskedArray(leaf) and np.ma.getmaskarray(leaf).any():
        count = int(np.ma.getmaskarray(leaf).sum())
        raise ArgumentError(
            name,
            "be an array without masked values: fill them, as by "
            "`x.filled(0)`, or leave these examples out",
            f"a masked array, {count} of {leaf.size} values masked",
        )


def check_leaf(leaf: Any, name: str) -> None:
    """Raises for what no network takes, but for its shape.

    Args:
        leaf: An array, a tensor, or its specification.
        name: What an error calls it.

    Raises:
        ArgumentError: It is no array, holds objects, or is of a dtype that
            TensorFlow does not have; or values are masked.

    Example:
    >>> check_leaf(np.zeros((2, 3)), "x")
    """
    if not hasattr(leaf, "dtype"):
        received = type(leaf).__name__
        raise ArgumentError(
            name, "be an array or a tensor (call np.asarray)", received
        )
    if getattr(leaf.dtype, "kind", "") == "O":
        hint, received = _no_array(leaf)
        raise ArgumentError(name, f"be an array ({hint})", received)
    _check_unmasked(leaf, name)
    if not isinstance(leaf.dtype, str):  # as a symbolic tensor's
        _check_dtype(leaf.dtype, name)


def _check_dtype(dtype, name):
    """Raises for what no network takes."""
    hint = "`x.astype('float32')`"
    try:
        fine = not tf.as_dtype(dtype).is_complex
    except TypeError:
        fine = False
    kind = getattr(dtype, "kind", "")
    if not fine or kind == "S":
        if kind == "c":
            hint = "`np.stack([x.real, x.imag], axis=-1)`"
        elif kind == "S":
            hint = "text: `np.char.decode(x, 'utf-8')`; pictures: decode them"
        elif kind == "M":
            hint = "dates as numbers, such as days since the first one"
        raise ArgumentError(
            name,
            f"hold numbers that a network takes, or text ({hint})",
            f"an array of dtype {dtype}",
        )


def num_examples(x: Any) -> int:
    """Number of examples in a structure that `arrays` has let pass."""
    return int(keras.tree.flatten(x)[0].shape[0])


def examples(x: Any, argument: str) -> Any:
    """Returns what `arrays` does, and raises as it and `finite` do."""
    x = arrays(x, argument)
    finite(x, argument)
    return x


def pair(
    x: Any, y: Any, num_classes: int, x_argument: str, y_argument: str
) -> tuple[Any, np.ndarray]:
    """Returns finite examples and their labels, as many of each, or raises.

    Example:
    >>> x, y = pair(np.zeros((2, 4)), [[1], [0]], 2, "x", "y")
    >>> y
    array([1, 0])
    """
    x, y = examples(x, x_argument), labels(y, num_classes, y_argument)
    same_length(x, y, x_argument, y_argument)
    return x, y


def same_length(x: Any, y: Any, x_argument: str, y_argument: str) -> None:
    """Raises if there are not as many labels `y` as examples `x`."""
    if num_examples(x) != len(y):
        raise ValueError(
            f"`{y_argument}` must have a label for each example of "
            f"`{x_argument}`. Received: {len(y)} labels for "
            f"{num_examples(x)} examples"
        )


def same_form(x: Any, reference: Any, argument: str, other: str) -> None:
    """Raises unless examples of `x` look like those of `reference`.

    They must have one structure and, leaf by leaf, the same shape (but for
    the first axis) and dtype.

    Example:
    >>> same_form(np.zeros((9, 4)), np.zeros((3, 4)), "x_u", "x_labeled")
    """
    came, want = _form(x), _form(reference)
    if came != want:
        raise ValueError(
            f"`{argument}` must have the structure, shapes and dtypes of "
            f"`{other}`: {want}. Received: {came}"
        )


def reads_by_number(leaf: Any) -> bool:
    """Whether it stands for an array, and reads examples by their number.

    Example:
    >>> reads_by_number(np.zeros((2, 3)))
    False
    """
    return callable(getattr(leaf, "read", None)) and hasattr(leaf, "view_shape")


def _array(leaf: Any) -> Any:
    return leaf if reads_by_number(leaf) else np.asarray(leaf)


def _check_read(leaf: Any, argument: str) -> None:
    """Raises for what other libraries read, before all of it is read."""
    kinds = {kind.__module__.split(".")[0] for kind in type(leaf).__mro__}
    of_keras = isinstance(leaf, keras.utils.PyDataset)
    if of_keras or (
        kinds & {"datasets", "torch"} and not hasattr(leaf, "__array__")
    ):
        raise ArgumentError(
            argument,
            "be an array, its first axis the examples; `datasets.Items(x)` "
            "reads a HuggingFace dataset, a torch dataset (`loader.dataset`) "
            "or a `keras.utils.PyDataset`",
            type(leaf).__name__,
        )


def _no_array(leaf: np.ndarray) -> tuple[str, str]:
    """How what numpy made no array of becomes one, and what it is."""
    first = leaf.flat[0] if leaf.size else None
    kind = type(first).__name__
    if leaf.shape:
        received = f"an array of objects, shape={leaf.shape}, first a {kind}"
        if isinstance(first, (str, bytes)):
            hint = "text: `x.astype(str)`, or `datasets.from_text`"
            return hint, received
        if hasattr(first, "shape") or isinstance(first, (list, tuple)):
            return "examples of different sizes: make them alike", received
        return "numbers: `x.astype('float32')`", received
    if isinstance(first, tf.data.Dataset):
        hint = "a dataset: `np.stack(list(dataset.as_numpy_iterator()))`"
        if type(first).__name__.startswith("_Batch"):
            hint = hint.replace("stack", "concatenate")
        return hint, kind
    if hasattr(first, "__next__"):
        return "an iterator: `np.stack(list(x))`", kind
    return "nested lists of numbers: call np.asarray", f"{leaf.item()!r}"


def _form(x: Any) -> dict[str, tuple[tuple, str]]:
    """Path -> (shape of one example, dtype) of every leaf."""
    return {
        _name("", path): (tuple(leaf.shape[1:]), tf.as_dtype(leaf.dtype).name)
        for path, leaf in keras.tree.flatten_with_path(x)
    }


def _name(argument: str, path: tuple) -> str:
    return argument + "".join(f"[{key!r}]" for key in path)


def _is_float(array: np.ndarray) -> bool:
    # Through TensorFlow, because numpy does not count bfloat16 as a float.
    return array.dtype != object and tf.as_dtype(array.dtype).is_floating


def _first(y: np.ndarray, index: int) -> str:
    return f", first {y[index]}" if y.ndim and len(y) else ""


def _not_whole(y: np.ndarray) -> str:
    """The first label that is no whole number, or the first one of all."""
    if y.ndim != 1 or not len(y) or y.dtype.kind not in "Of":
        return _first(y, 0)
    for index, value in enumerate(y):
        whole = isinstance(value, (int, np.integer)) or (
            isinstance(value, (float, np.floating))
            and float(value).is_integer()
        )
        if not whole:
            return f", value {value!s} at index {index}"
    return f"{_first(y, 0)}; whole numbers become integers by `y.astype(int)`"


def _range_problem(y: np.ndarray, num_classes: int) -> str:
    """What is wrong with integer labels shaped (N,), or nothing."""
    bad = (y < 0) | (y >= num_classes)
    if not bad.any():
        return ""
    index = int(np.argmax(bad))
    hint = from_one(y, num_classes)
    return f"value {y[index]} at index {index}{hint}"


def from_one(y: np.ndarray, num_classes: int) -> str:
    """What to do about class numbers that begin at 1, or nothing.

    Args:
        y: Integers shaped (N,).
        num_classes: The number of classes, or the largest label and one.

    Example:
    >>> from_one(np.array([2, 1]), 2)
    '. Class numbers begin at 0: subtract 1 from labels that begin at 1'
    """
    if not len(y) or y.min() != 1 or not 0 <= y.max() - num_classes + 1 <= 1:
        return ""
    return ". Class numbers begin at 0: subtract 1 from labels that begin at 1"


def _rows_problem(y: np.ndarray) -> str:
    """What is wrong with rows of class probabilities, or nothing."""
    y = y.astype(np.float64)
    bad = ~np.isfinite(y) | (y < 0)
    if bad.any():
        row, column = (int(i) for i in np.argwhere(bad)[0])
        return f"value {y[row, column]} at index ({row}, {column})"
    # Wide enough for smoothed labels in half precision.
    bad = np.abs(y.sum(axis=1) - 1) > 5e-3
    if bad.any():
        row = int(np.argmax(bad))
        return f"a row that sums to {y[row].sum():.6g} at index {row}"
    return ""
