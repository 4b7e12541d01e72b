"""Labels as people have them: class names, and rows without a label."""

import numbers
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np

from mpl_keras.checks import names
from mpl_keras.checks.arguments import ArgumentError

# What numpy makes of -1 and NaN where it makes texts of a whole list.
_SIGNS_AS_TEXT = ("-1", "nan")


def as_array(y: Any) -> np.ndarray:
    """Labels as an array, in which numbers beside texts stay numbers.

    What is masked becomes None.

    Example:
    >>> as_array(["cat", -1])
    array(['cat', -1], dtype=object)
    """
    if np.ma.isMaskedArray(y):
        masked, y = np.ma.getmaskarray(y), y.data
        if masked.any():
            y = y.astype(object)
            y[masked] = None
            y = y[:, 0] if y.shape[1:] == (1,) else y
    plain = np.asarray(y)
    if plain.dtype.kind in "US" and isinstance(y, (list, tuple)):
        return np.array(y, object)
    return plain


def with_gaps(y: Iterable[Any], signs: Sequence = ()) -> list[Any]:
    """One label for each example as Python has it, None where it is missing.

    Missing are None, NaN and pandas' NA and NaT. Numbers that are whole become
    integers, texts and bytes Python's texts.

    Args:
        y: Texts, numbers, booleans or others, and gaps.
        signs: What stands for a missing label besides, as "?" or -1.

    Example:
    >>> with_gaps(["cat", None, b"dog", "?"], signs=["?"])
    ['cat', None, 'dog', None]
    >>> with_gaps(np.array([1.0, np.nan, -1.0]))
    [1, None, -1]
    """
    return [None if _is_gap(v, signs) else _plain(v) for v in map(_own, y)]


def _own(value):
    """A value of Python in place of numpy's, a text in place of bytes."""
    value = value.item() if isinstance(value, np.generic) else value
    return value.decode() if isinstance(value, bytes) else value


def _plain(value):
    """A whole number as an integer, a text as no other kind of text."""
    if isinstance(value, bool):
        return value
    if isinstance(value, numbers.Real) and float(value).is_integer():
        return int(value)
    return str(value) if isinstance(value, str) else value


def _is_gap(value, signs):
    """Whether it stands for a label that is not known."""
    if value is None:
        return True
    if isinstance(value, (bool, np.bool_)):
        return False
    try:
        if isinstance(value, Hashable) and value in signs:
            return True
        return bool(value != value)
    except (TypeError, ValueError):  # pandas' NA is neither true nor false
        return type(value).__name__ == "NAType"


def known_rows(
    y: np.ndarray, argument: str = "y"
) -> tuple[np.ndarray, np.ndarray]:
    """The labels that are known, and the rows that they are of.

    Args:
        y: Shape `(rows,)`: numbers, texts or booleans; -1, NaN, None or
            pandas' NA where the label is not known.
        argument: The name by which an error calls it.

    Returns:
        The labels without the unknown ones, and a boolean for each row.

    Raises:
        ArgumentError: -1 or NaN has become a text among texts, a text is
            empty, or texts and numbers are mixed.

    Example:
    >>> known_rows(as_array(["cat", None, "dog", -1]))
    (array(['cat', 'dog'], dtype=object), array([ True, False,  True, False]))
    >>> known_rows(np.array([0.0, np.nan, 2.0]))[0]
    array([0., 2.])
    """
    if y.dtype == object:
        known = ~np.array([_is_gap(value, (-1,)) for value in y], bool)
    elif y.dtype.kind in "iuf":
        known = (y == y) & (y != -1)
    else:
        known = np.ones(len(y), bool)
    values = y[known]
    if y.dtype == object and not are_texts(values):
        _check_one_kind(y, known, argument)
        values = np.array(values.tolist())
    if are_texts(values):
        _check_texts(values, argument)
    return values, known


def _check_one_kind(y, known, argument):
    """Raises where some labels are texts, and others are not."""
    rows = np.flatnonzero(known)
    texts = [row for row in rows if isinstance(y[row], (str, bytes))]
    others = [row for row in rows if not isinstance(y[row], (str, bytes))]
    if texts and others:
        odd = min(texts, others, key=len)
        usual = max(others, texts, key=len)
        raise ArgumentError(
            argument,
            "be numbers alone or names of classes alone, besides -1, NaN or "
            "None where a label is not known",
            f"{y[odd[0]]!r} at index {odd[0]}",
            note=f", beside {y[usual[0]]!r} at index {usual[0]}",
        )


def are_texts(values: np.ndarray) -> bool:
    """Whether all are texts.

    Example:
    >>> are_texts(np.array(["a", "b"])), are_texts(np.array([1, 2]))
    (True, False)
    """
    if values.dtype == object:
        return all(isinstance(value, str) for value in values.flat)
    return values.dtype.kind in "US"


def numbers_of(
    values: np.ndarray, classes: Sequence[str], argument: str
) -> np.ndarray:
    """The numbers of classes that are given by their names.

    Args:
        values: Names.
        classes: All names, in order.
        argument: The name by which an error calls the values.

    Raises:
        ArgumentError: A name is not among the classes.

    Example:
    >>> numbers_of(np.array(["b", "a"]), ("a", "b"), "y")
    array([1, 0], dtype=int32)
    """
    place = {name: number for number, name in enumerate(classes)}
    given = [str(value) for value in values.flat]
    unknown = sorted(set(given) - set(place))
    if unknown:
        raise ArgumentError(
            argument,
            f"be names of classes, which are {names.quoted(classes)}",
            names.quoted(unknown[:4]),
        )
    numbers = np.array([place[name] for name in given], np.int32)
    return numbers.reshape(values.shape)


def _check_texts(values, argument):
    """Raises where a sign, or nothing at all, is a text like the classes."""
    if any(not str(value).strip() for value in values.flat):
        raise ArgumentError(
            argument,
            "have a name in each label, and None where it is not known",
            "an empty text",
        )
    found = [sign for sign in _SIGNS_AS_TEXT if sign in values]
    if found:
        raise ArgumentError(
            argument,
            "be an array of objects, or a list, where texts and -1, NaN or "
            "None stand together. numpy has made a text, and so a class, of "
            "the sign: `y = y.astype(object); y[y == "
            f"{str(found[0])!r}] = None` undoes it",
            f"the text {found[0]!r} among the classes",
        )
