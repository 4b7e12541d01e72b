"""Data that give one batch after another: generators and loaders.

Their first batch is looked at as arrays are. A generator gives each batch once.
"""

import inspect
from typing import Any

import keras
import numpy as np

from mpl_keras.checks import batches
from mpl_keras.checks.arguments import ArgumentError


def peek(data: Any, argument: str) -> tuple[tuple | None, Any]:
    """The first batch, and the data with it; or None where it is not known.

    Args:
        data: A generator, a `keras.utils.PyDataset`, a `DataLoader` of torch;
            or something else.
        argument: The name by which an error calls it.

    Returns:
        The batch as a tuple of arrays, and what is to be read in place of the
        data.

    Raises:
        ArgumentError: There is none, or a generator gives no tuples.

    Example:
    >>> def batches():
    ...     yield np.zeros((4, 2)), np.zeros(4, int)
    >>> first, data = peek(batches(), "x")
    >>> first[0].shape, len(list(data))
    ((4, 2), 1)
    """
    if inspect.isgenerator(data):
        first = next(data, None)
        _check_first(first, first is None, argument, "a generator at its end")
        if not isinstance(first, tuple):
            raise ArgumentError(
                argument,
                "give tuples, `(x, y)` or `(x, y, sample_weight)`",
                f"a generator of {type(first).__name__}s",
            )
        data = _with_first(first, data)
    elif isinstance(data, keras.utils.PyDataset):
        empty = data.num_batches == 0
        first = None if empty else data[0]
        _check_first(first, empty, argument, type(data).__name__)
    elif batches.is_loader(data):
        first = next(iter(data), None)
        _check_first(first, first is None, argument, type(data).__name__)
    else:
        return None, data
    first = tuple(first) if isinstance(first, (tuple, list)) else (first,)
    return keras.tree.map_structure(_array, first), data


def _array(leaf):
    return np.asarray(leaf) if hasattr(leaf, "__array__") else leaf


def _check_first(first, empty, argument, received):
    if empty or first is None:
        raise ArgumentError(argument, "give at least one batch", received)


def _with_first(first, rest):
    yield first
    yield from rest


def refuse_twice(data: Any, validations: int) -> None:
    """Raises if a generator were to be read more than once.

    Keras would begin each time with the first two batches of it, and go on
    where it is by then.

    Args:
        data: Validation data, of any kind.
        validations: How many there will be.

    Raises:
        ArgumentError: It says what can be read again.

    Example:
    >>> refuse_twice(np.zeros((4, 2)), 2)
    """
    if inspect.isgenerator(data) and validations > 1:
        raise ArgumentError(
            "validation_data",
            "be what can be read again after each epoch: arrays, a "
            "`tf.data.Dataset` (`tf.data.Dataset.from_generator`), or a "
            "`keras.utils.PyDataset`",
            f"a generator, for {validations} validations",
        )
