"""Examples by their number: in memory, or read when they are needed.

A source stands where an array would, but holds no examples: only what it takes
to find them. So memory does not grow with their number, any order costs the
same, and a training goes on where it stopped without reading what it has seen.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf


class Source:
    """Base class of what reads examples by their number.

    A subclass calls `__init__`, and overrides `read`.

    Args:
        shape: (number of examples, ...) as of an array.
        dtype: Of the examples.
        view_shape: Shape of one example as networks take it, where random
            views cut it out of a larger one; by default that of an example.
    """

    def __init__(self, shape: tuple[int, ...], dtype, view_shape=None):
        self.shape = tuple(shape)
        self.dtype = tf.as_dtype(dtype)
        self.view_shape = tuple(view_shape or self.shape[1:])

    def __len__(self) -> int:
        """Number of examples."""
        return self.shape[0]

    def read(self, index: tf.Tensor) -> tf.Tensor:
        """Examples [B, ...] for their numbers, int64 [B]; runs in graphs."""
        raise NotImplementedError

    def __call__(self, index: tf.Tensor) -> tf.Tensor:
        """As `read`, with the static shape."""
        batch = self.read(tf.cast(index, tf.int64))
        return tf.ensure_shape(batch, (None, *self.shape[1:]))

    def __getitem__(self, item) -> np.ndarray:
        """Examples as an array, for a slice or numbers; for looking at them."""
        index = np.arange(len(self))[item]
        batch = self(np.atleast_1d(index)).numpy()
        return batch if np.ndim(index) else batch[0]

    def subset(self, index) -> "Source":
        """The examples with these numbers, in this order."""
        return _Subset(self, index)


class _Array(Source):
    """An array, copied into a tensor once, in the host's memory."""

    def __init__(self, array):
        with tf.device("CPU:0"):
            self._tensor = tf.constant(array)
        super().__init__(self._tensor.shape, self._tensor.dtype)

    def read(self, index):
        return tf.gather(self._tensor, index)


class _Subset(Source):
    """Some examples of another source."""

    def __init__(self, source, index):
        with tf.device("CPU:0"):
            self._index = tf.constant(index, tf.int64)
        self._source = source
        super().__init__(
            (len(index), *source.shape[1:]), source.dtype, source.view_shape
        )

    def read(self, index):
        return self._source.read(tf.gather(self._index, index))


class _Center(Source):
    """The centres of images, as large as a view."""

    def __init__(self, source):
        super().__init__((len(source), *source.view_shape), source.dtype)
        self._source = source

    def read(self, index):
        height, width = self.shape[1:3]
        top, left = (
            (large - small) // 2
            for large, small in zip(
                self._source.shape[1:3], (height, width), strict=True
            )
        )
        images = self._source.read(index)
        return images[:, top : top + height, left : left + width]


def centered(x: Any) -> Any:
    """Examples as networks take them when nothing about them is random.

    Args:
        x: An array, a source, or a nested structure of these.

    Returns:
        The same, with the centre of each image where views would cut one out.

    Example:
    >>> centered(np.ones(3))
    array([1., 1., 1.])
    """

    def center(leaf):
        same = getattr(leaf, "view_shape", leaf.shape[1:]) == leaf.shape[1:]
        return leaf if same else _Center(leaf)

    return keras.tree.map_structure(center, x)


def reader(x: Any) -> Callable[[tf.Tensor], Any]:
    """The function from numbers of examples to a batch of them.

    Args:
        x: An array, a source, or a nested structure of these, whose first axes
            all count the same examples.

    Returns:
        A function of an int64 tensor [B], which also runs in `tf.data`.

    Example:
    >>> read = reader({"a": np.arange(10.0), "b": np.arange(10) % 3})
    >>> read([7, 1])["b"].numpy()
    array([1, 1])
    """
    leaves = keras.tree.map_structure(
        lambda leaf: leaf if isinstance(leaf, Source) else _Array(leaf), x
    )
    return lambda index: keras.tree.map_structure(lambda s: s(index), leaves)
