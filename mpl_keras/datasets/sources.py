"""Examples by their number: in memory, or read when they are needed.

A source stands where an array would, but holds no examples: only what it takes
to find them. So memory does not grow with their number, any order costs the
same, and a training goes on where it stopped without reading what it has seen.
"""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpl_keras.checks import settings

# Reading fewer examples takes less time than making a graph for it.
_WORTH_A_GRAPH = 64
# Bytes up to which all examples are compared, and how many of more than these.
_WHOLE, _SAMPLE, _BATCH = 2**26, 256, 64


class Source:
    """Base class of what reads examples by their number.

    A subclass calls `__init__`, and overrides `read`.

    Args:
        shape: (number of examples, ...) as of an array.
        dtype: Of the examples.
        view_shape: Shape of one example as networks take it, where random
            views cut it out of a larger one; by default that of an example.
    """

    # Whether `read` takes one example after another. Without a graph that is
    # up to a hundred times slower.
    one_by_one = False

    def __init__(
        self, shape: tuple[int, ...], dtype: Any, view_shape: Any = None
    ):
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
        index = tf.cast(index, tf.int64)
        graph = self.one_by_one and tf.executing_eagerly()
        graph = graph and index.shape[0] >= _WORTH_A_GRAPH
        read = self._in_a_graph if graph else self.read
        batch = read(index)
        return tf.ensure_shape(batch, (None, *self.shape[1:]))

    @functools.cached_property
    def _in_a_graph(self):
        numbers = tf.TensorSpec([None], tf.int64)
        return tf.function(self.read, input_signature=[numbers])

    def __getitem__(self, item) -> np.ndarray:
        """Examples as an array, for a slice or numbers; for looking at them."""
        index = np.arange(len(self))[item]
        batch = self(np.atleast_1d(index)).numpy()
        return batch if np.ndim(index) else batch[0]

    def checksum(self, numbers: np.ndarray | None = None) -> int:
        """Tells examples from others, for backups.

        Of all examples where they take up to 64 MB, and of 256 of them
        otherwise. A subclass that can tell more without decoding overrides it.

        Args:
            numbers: Of the examples; by default of all.
        """
        if numbers is None:
            numbers = np.arange(len(self))
        total = settings.checksum(np.array([len(numbers), *self.shape[1:]]))
        each = int(np.prod(self.shape[1:])) * self.dtype.size
        numbers = spread(numbers, len(numbers) * each, _WHOLE, _SAMPLE)
        for start in range(0, len(numbers), _BATCH):
            examples = self(tf.constant(numbers[start : start + _BATCH]))
            total = settings.checksum(examples.numpy(), total)
        return total

    def files(self, numbers: np.ndarray) -> list[str]:
        """The files of the examples with these numbers; "" of other ones."""
        return [""] * len(numbers)

    def subset(self, index: Any) -> "Source":
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
        return self._source(tf.gather(self._index, index))

    def files(self, numbers):
        return self._source.files(self._index.numpy()[numbers])

    def checksum(self, numbers=None):
        index = self._index.numpy()
        return self._source.checksum(
            index if numbers is None else index[numbers]
        )


class _Joined(Source):
    """The examples of several sources, one source after the other."""

    def __init__(self, parts):
        self._parts = parts
        sizes = np.array([len(part) for part in parts])
        with tf.device("CPU:0"):
            self._ends = tf.constant(np.cumsum(sizes), tf.int64)
            self._starts = tf.constant(np.cumsum(sizes) - sizes, tf.int64)
        first = parts[0]
        super().__init__(
            (int(sizes.sum()), *first.shape[1:]), first.dtype, first.view_shape
        )

    def read(self, index):
        which = tf.searchsorted(self._ends, index, side="right")
        count = len(self._parts)
        places = tf.dynamic_partition(tf.range(tf.size(index)), which, count)
        numbers = index - tf.gather(self._starts, which)
        numbers = tf.dynamic_partition(numbers, which, count)
        found = [
            part(own) for part, own in zip(self._parts, numbers, strict=True)
        ]
        return tf.dynamic_stitch(places, found)


class _Center(Source):
    """The centres of images, as large as a view."""

    def __init__(self, source):
        super().__init__((len(source), *source.view_shape), source.dtype)
        self._source = source

    def files(self, numbers):
        return self._source.files(numbers)

    def read(self, index):
        height, width = self.shape[1:3]
        top, left = (
            (large - small) // 2
            for large, small in zip(
                self._source.shape[1:3], (height, width), strict=True
            )
        )
        images = self._source(index)
        return images[:, top : top + height, left : left + width]


def joined(x: Any, *others: Any) -> Any:
    """All examples of several structures, one after the other.

    Args:
        x: An array, a source, or a nested structure of these.
        *others: The same, of the same form.

    Example:
    >>> joined(np.zeros(2), np.ones(1))
    array([0., 0., 1.])
    """

    def join(*leaves):
        if not any(isinstance(leaf, Source) for leaf in leaves):
            return np.concatenate(leaves)
        return _Joined([_source(leaf) for leaf in leaves])

    return keras.tree.map_structure(join, x, *others)


def _source(leaf):
    return leaf if isinstance(leaf, Source) else _Array(leaf)


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


def spread(numbers: np.ndarray, size: int, most: int, few: int) -> np.ndarray:
    """All numbers of examples, or a few of them where they are too large.

    Args:
        numbers: Of the examples.
        size: Their bytes.
        most: Bytes up to which all are taken.
        few: How many are taken of more bytes, from the first to the last.

    Example:
    >>> spread(np.arange(10), 10**9, 10**6, 4)
    array([0, 3, 6, 9])
    """
    if size <= most or len(numbers) <= few:
        return numbers
    return numbers[np.linspace(0, len(numbers) - 1, few).astype(int)]


def checksum(x: Any) -> int:
    """Tells examples from others: of every value of arrays; see `Source`.

    Args:
        x: An array, a source, or a nested structure of these.

    Example:
    >>> checksum(np.ones(3)) == checksum(np.ones(4))
    False
    """
    total = 0
    for path, leaf in keras.tree.flatten_with_path(x):
        total = settings.checksum(np.array(str(path)), total)
        if isinstance(leaf, Source):
            total = settings.checksum(np.array(leaf.checksum()), total)
        else:
            total = settings.checksum(np.asarray(leaf), total)
    return total


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
    leaves = keras.tree.map_structure(_source, x)
    return lambda index: keras.tree.map_structure(lambda s: s(index), leaves)
