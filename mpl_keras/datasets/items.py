"""What other libraries read by number, as examples.

HuggingFace datasets, torch datasets and `keras.utils.PyDataset` have a length
and give one item, or one batch, for a number. That is all it takes to train on
them in any order, and to go on in the middle.
"""

import threading
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpl_keras.checks import batches
from mpl_keras.checks.arguments import ArgumentError
from mpl_keras.datasets import sources


class Items(sources.Source):
    """Items of anything that has a length and reads by number.

    It takes the place of an array, as `x_unlabeled` of `from_arrays` for
    instance. Items are read when they are needed, one after the other in
    Python: put no random augmentation into them.

    Args:
        items: A HuggingFace dataset, a torch dataset (`loader.dataset` of a
            `DataLoader`), a `keras.utils.PyDataset` of batches of one size, or
            a sequence of arrays or of paths.
        get: Makes an array of an item; by default the item is one, or a tuple
            that begins with one. Of a PyDataset it makes an array of a batch.

    Raises:
        ArgumentError: It cannot be read by number, items are no arrays of one
            shape, or an item is another one when it is read again.

    Example:
    >>> rows = [{"pixels": [k, k + 1]} for k in range(100)]
    >>> x = Items(rows, lambda row: np.array(row["pixels"], "float32"))
    >>> x
    Items(shape=(100, 2), dtype=float32)
    >>> x[[7, 3]]
    array([[7., 8.],
           [3., 4.]], dtype=float32)
    """

    def __init__(self, items: Any, get: Callable[[Any], Any] | None = None):
        _check_readable(items)
        self._items = items
        self._get = get or _first
        self._batches = isinstance(items, keras.utils.PyDataset)
        # Readers of other libraries are seldom made for several threads.
        self._lock = threading.Lock()
        first, number = self._load(0), len(items)
        if first.dtype.kind not in "biufc":
            raise ArgumentError(
                "get",
                "make an array of numbers of an item",
                repr(get),
                note=f", which gave {_shown(first)} of {_shown(items[0])}",
            )
        if first.tobytes() != self._load(0).tobytes():
            raise ArgumentError(
                "items",
                "give the same item for a number each time: random "
                "augmentation belongs into views, see `augment.from_function`",
                type(items).__name__,
            )
        self._size = len(first) if self._batches else 1
        if self._batches:
            number = self._size * (number - 1) + len(self._load(number - 1))
        shape = first.shape[1:] if self._batches else first.shape
        super().__init__((number, *shape), first.dtype)

    def __repr__(self) -> str:
        """The form, because items may be many."""
        return f"Items(shape={self.shape}, dtype={self.dtype.name})"

    def read(self, index: tf.Tensor) -> tf.Tensor:
        """The items with these numbers."""
        return tf.py_function(self._read, [index], self.dtype)

    def _read(self, index):
        index = index.numpy()
        found = np.zeros((len(index), *self.shape[1:]), self._numpy_type())
        with self._lock:
            if not self._batches:
                for place, number in enumerate(index):
                    found[place] = self._checked(self._load(number), number)
                return found
            for batch in np.unique(index // self._size):
                here = index // self._size == batch
                rows = self._load(batch)
                found[here] = self._checked(
                    rows[index[here] % self._size], batch
                )
        return found

    def _numpy_type(self):
        return self.dtype.as_numpy_dtype

    def _load(self, number):
        """An item, or a batch, as an array."""
        return np.asarray(self._get(self._items[int(number)]))

    def _checked(self, item, number):
        """The item, or an error that says which one has another form."""
        shape = item.shape[1:] if self._batches else item.shape
        if shape != self.shape[1:] or item.dtype != self._numpy_type():
            raise ValueError(
                "`items` must be of one shape and dtype, "
                f"{self.shape[1:]} and {self.dtype.name}. Received: item "
                f"{number} of {shape} and {item.dtype}"
            )
        return item


def _check_readable(items):
    """Raises for what has no number of items, or reads none by number."""
    if batches.is_loader(items):
        raise ArgumentError(
            "items",
            "be read by number; a torch DataLoader has its dataset: "
            "`Items(loader.dataset)`",
            type(items).__name__,
        )
    if not hasattr(items, "__getitem__") or not hasattr(items, "__len__"):
        raise ArgumentError(
            "items",
            "have a length and items by number; of a stream take as many "
            "examples as there is memory for: `np.stack([...])`",
            type(items).__name__,
        )
    if len(items) == 0:
        raise ArgumentError(
            "items", "hold at least one item", type(items).__name__
        )


def _first(item):
    return item[0] if isinstance(item, tuple) else item


def _shown(value):
    text = repr(value).replace("\n", " ")
    return text if len(text) < 80 else text[:77] + "..."
