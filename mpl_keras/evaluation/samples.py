"""A few examples for looking at: always the same, and of bounded size.

They are chosen, and seen, without chance: nothing of it shows in a training.
"""

from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from mpl_keras.checks import arrays
from mpl_keras.datasets import sources

# Of what is kept in memory.
_MOST_BYTES = 48 * 2**20
_PAIRS = 16
_BATCH = 64


class Unlabeled(NamedTuple):
    """Some of the unlabeled examples, as networks see them in training.

    Attributes:
        index: Their numbers in the data, [N].
        weak: Their weak views, or themselves where there are no views.
        shown: Numbers among these N of the few that are shown as pictures.
        strong: Strong views of those few; None where they are no images, or
            there are no views.
        are_images: Whether they can be shown.

    Example:
    >>> from mpl_keras import datasets
    >>> few = unlabeled(datasets.digits(num_labeled=10), most=50)
    >>> few.weak.shape, few.strong.shape
    ((50, 8, 8, 1), (16, 8, 8, 1))
    """

    index: np.ndarray
    weak: Any
    shown: np.ndarray
    strong: np.ndarray | None
    are_images: bool


def unlabeled(data: Any, most: int) -> Unlabeled:
    """Chooses unlabeled examples, evenly spread, and makes their views.

    Args:
        data: A `SemiSupervisedData`.
        most: Number of examples; fewer where there are no more, or memory is
            short.

    Example:
    >>> from mpl_keras import datasets
    >>> unlabeled(datasets.two_moons(), most=3).are_images
    False
    """
    x, seen = data.unlabeled, data.views
    if seen is None:
        x = sources.centered(x)
    with tf.device("CPU:0"):
        index = spread(arrays.num_examples(x), limit_by_memory(x, most))
        chosen = select(x, index)
        # Those of the sheet, spread over the others.
        shown = spread(len(index), _PAIRS)
        weak, strong = chosen, None
        if seen is not None:
            weak = _seen(seen.weak, chosen, purpose=1)
        if images(weak) and seen is not None:
            strong = _seen(seen.strong, chosen[shown], purpose=2)
    return Unlabeled(index, weak, shown, strong, images(weak))


class Probe(NamedTuple):
    """Unlabeled examples as they are, to measure pseudo labels on.

    Attributes:
        x: The examples, without random views.
        y: Their true classes, [N], or None where these are not known.
        marginals: Shares of the classes in the labeled set.

    Example:
    >>> Probe(np.zeros((3, 2)), None, np.array([0.5, 0.5])).y is None
    True
    """

    x: Any
    y: np.ndarray | None
    marginals: np.ndarray


def probe(data: Any, most: int) -> Probe:
    """Chooses unlabeled examples, evenly spread.

    Args:
        data: A `SemiSupervisedData`.
        most: Number of examples; fewer where there are no more, or memory is
            short.

    Example:
    >>> from mpl_keras import datasets
    >>> found = probe(datasets.two_moons(), most=100)
    >>> found.x.shape, found.y.shape, found.marginals
    ((100, 2), (100,), array([0.5, 0.5]))
    """
    x, truth = sources.centered(data.unlabeled), data.unlabeled_labels
    own = arrays.class_ids(data.labeled[1])
    with tf.device("CPU:0"):
        index = spread(arrays.num_examples(x), limit_by_memory(x, most))
        return Probe(
            select(x, index),
            None if truth is None else np.asarray(truth)[index],
            np.bincount(own, minlength=data.num_classes) / len(own),
        )


def images(x: Any) -> bool:
    """Whether these examples can be shown as pictures.

    Example:
    >>> images(np.zeros((2, 8, 8, 3))), images(np.zeros((2, 4)))
    (True, False)
    """
    return (
        not keras.tree.is_nested(x)
        and len(x.shape) == 4
        and x.shape[-1] in (1, 3)
    )


def spread(count: int, most: int) -> np.ndarray:
    """Up to so many numbers of `range(count)`, evenly spread.

    Example:
    >>> spread(100, 3)
    array([ 0, 50, 99])
    """
    return np.linspace(0, count - 1, min(count, most)).round().astype(int)


def limit_by_memory(x: Any, most: int) -> int:
    """How many examples of a kind, at most, are kept in memory.

    Example:
    >>> limit_by_memory(np.zeros((5, 1024, 1024, 3), "uint8"), 1000)
    16
    """
    size = sum(
        int(np.prod([n or 1 for n in leaf.shape[1:]]))
        * tf.as_dtype(leaf.dtype).size
        for leaf in keras.tree.flatten(x)
    )
    return max(min(most, _MOST_BYTES // max(size, 1)), _PAIRS)


def select(x: Any, index: np.ndarray) -> Any:
    """Examples with these numbers, as arrays.

    Example:
    >>> select({"a": np.arange(10)}, np.array([7, 1]))
    {'a': array([7, 1])}
    """

    def read(leaf):
        known = isinstance(leaf, sources.Source)
        return np.asarray(leaf(tf.constant(index)) if known else leaf[index])

    return keras.tree.map_structure(read, x)


def probabilities(network: keras.Model, x: Any) -> np.ndarray:
    """Of all examples, float64 [N, C]; in inference mode, without a graph.

    A graph would take seconds to be made, for a few passes.

    Args:
        network: To logits.
        x: Examples in memory.

    Example:
    >>> net = keras.Sequential([keras.Input((2,)), keras.layers.Identity()])
    >>> probabilities(net, np.zeros((1, 2), "float32"))
    array([[0.5, 0.5]])
    """
    logits = [
        np.asarray(tf.cast(network(part, training=False), tf.float32))
        for _, part in _pieces(x)
    ]
    return softmax(np.concatenate(logits))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Rows of probabilities, float64.

    Example:
    >>> softmax(np.array([[0.0, 0.0]], "float32"))
    array([[0.5, 0.5]])
    """
    logits = logits.astype("float64")
    exp = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exp / exp.sum(axis=-1, keepdims=True)


def _pieces(x):
    count = arrays.num_examples(x)
    for first in range(0, count, _BATCH):
        yield (
            first,
            keras.tree.map_structure(
                lambda leaf, at=first: tf.constant(leaf[at : at + _BATCH]), x
            ),
        )


def _seen(view, x, purpose):
    """Views of all examples, by seeds that are always the same."""
    parts = [view(part, tf.constant([n, purpose])) for n, part in _pieces(x)]
    return keras.tree.map_structure(
        lambda *leaves: np.concatenate([leaf.numpy() for leaf in leaves]),
        *parts,
    )
