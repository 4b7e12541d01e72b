"""What networks make of the same few examples, as pictures.

Examples and views are chosen once, without chance: nothing of it shows in the
training, and pictures of two steps differ by the networks alone.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpl_keras import checks, figures, measures, sources
from mpl_keras import data as data_module

_UNLABELED, _HELD_OUT = 256, 1000
# Of what is kept in memory of either.
_MOST_BYTES = 48 * 2**20
_PAIRS, _EXTREMES = 16, 8
_BATCH = 64


class Snapshots:
    """Draws a model of this library.

    Args:
        data: What it is trained on and measured with.

    Example:
    >>> from mpl_keras import UDA, datasets
    >>> snapshots = Snapshots(datasets.two_moons())
    >>> model = UDA(keras.Sequential([keras.Input((2,)),
    ...                               keras.layers.Dense(2)]))
    >>> pictures, numbers = snapshots.take(model)
    >>> sorted(pictures)  # no sheets: these are no images
    ['held_out/confusion', 'held_out/reliability', 'pseudo_labels/classes']

    Raises:
        ValueError: If it is no `SemiSupervisedData`.
    """

    def __init__(self, data: Any):
        if not isinstance(data, data_module.SemiSupervisedData):
            raise ValueError(
                "`data` must be a `SemiSupervisedData`, as `mpl_keras.datasets`"
                f" makes it, or None. Received: data={data!r}"
            )
        self._data = data
        self._weak = None

    def prepare(self) -> None:
        """Reads the examples, and makes the views; `take` does it at first."""
        with tf.device("CPU:0"):
            self._prepare_unlabeled()
            self._prepare_held_out()

    def _prepare_unlabeled(self):
        x, seen = self._data.unlabeled, self._data.views
        if seen is None:
            x = sources.centered(x)
        index = _spread(checks.num_examples(x), _room(x, _UNLABELED))
        chosen = _at(x, index)
        # Those of the sheet, spread over the others.
        self._shown = _spread(len(index), _PAIRS)
        self._strong = None
        if seen is None:
            self._weak = chosen
        else:
            self._weak = _seen(seen.weak, chosen, purpose=1)
        leaf = self._weak
        self._are_images = (
            not keras.tree.is_nested(leaf)
            and leaf.ndim == 4
            and leaf.shape[-1] in (1, 3)
        )
        if self._are_images and seen is not None:
            self._strong = _seen(seen.strong, chosen[self._shown], purpose=2)
        truth = checks.class_ids(self._data.labeled[1])
        self._labeled_shares = self._shares(truth)

    def _prepare_held_out(self):
        data = self._data
        batches = data.test if data.validation is None else data.validation
        self._held_out = None
        if batches is None:
            return
        read = getattr(batches, "read", None)
        if read is None:
            parts = [
                keras.tree.map_structure(np.asarray, part)
                for part in batches.take(4)
            ]
            x, y = keras.tree.map_structure(
                lambda *leaves: np.concatenate(leaves)[:_HELD_OUT], *parts
            )
        else:
            most = _room(batches.element_spec[0], _HELD_OUT)
            index = _spread(batches.num_examples, most)
            x, y = keras.tree.map_structure(np.asarray, read(index))
        y = checks.class_ids(checks.labels(y, data.num_classes))
        self._held_out = x, y

    def take(self, model: Any) -> tuple[dict[str, bytes], dict[str, float]]:
        """Pictures of now.

        Args:
            model: A `MetaPseudoLabels` or `UDA`.

        Returns:
            PNG files and numbers, by tag.
        """
        if self._weak is None:
            self.prepare()
        labeler = getattr(model, "teacher", None) or model.model
        probabilities = _probabilities(labeler, self._weak)
        numbers = {}
        with figures.style(transparent=False):
            drawn = self._of_pseudo_labels(probabilities)
            if self._held_out is not None:
                x, truth = self._held_out
                probabilities = _probabilities(model.averaged, x)
                drawn |= self._of_held_out(probabilities, truth)
                error = measures.expected_calibration_error(
                    probabilities, truth
                )
                numbers["held_out/calibration_error"] = error
            pictures = {
                tag: figures.png(figure, dpi=100)
                for tag, figure in drawn.items()
            }
        return pictures, numbers

    def _of_pseudo_labels(self, probabilities):
        names = self._data.class_names
        labels = probabilities.argmax(axis=-1)
        series = {
            "pseudo labels": self._shares(labels),
            "labeled set": self._labeled_shares,
        }
        drawn = {
            "pseudo_labels/classes": figures.marginals(
                series, names, f"Classes of {len(labels)} pseudo labels"
            )
        }
        if not self._are_images:
            return drawn
        if self._strong is not None:
            drawn["views/weak_and_strong"] = figures.views(
                self._weak[self._shown],
                self._strong,
                probabilities[self._shown],
                names,
                "Weak and strong views, with pseudo labels",
            )
        confidence = probabilities.max(axis=-1)
        order = np.argsort(-confidence, kind="stable")
        for words, index in (
            ("most", order[:_EXTREMES]),
            ("least", order[::-1][:_EXTREMES]),
        ):
            drawn[f"pseudo_labels/{words}_confident"] = figures.images(
                self._weak[index],
                [
                    f"{names[labels[i]]}\n{100 * confidence[i]:.1f} %"
                    for i in index
                ],
                f"The {words} confident pseudo labels",
            )
        return drawn

    def _of_held_out(self, probabilities, truth):
        data = self._data
        counts = np.zeros((data.num_classes,) * 2, np.int64)
        np.add.at(counts, (truth, probabilities.argmax(axis=-1)), 1)
        kind = "test" if data.validation is None else "validation"
        title = f"averaged network, {len(truth):,} {kind} examples"
        return {
            "held_out/confusion": figures.confusion(
                counts, data.class_names, title
            ),
            "held_out/reliability": figures.reliability(
                probabilities, truth, title=title
            ),
        }

    def _shares(self, labels):
        count = np.bincount(labels, minlength=self._data.num_classes)
        return count / len(labels)


def _spread(count, most):
    """Up to so many numbers of `range(count)`, evenly spread."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(int)


def _room(x, most):
    """How many examples, at most, are kept in memory."""
    size = sum(
        int(np.prod([n or 1 for n in leaf.shape[1:]]))
        * tf.as_dtype(leaf.dtype).size
        for leaf in keras.tree.flatten(x)
    )
    return max(min(most, _MOST_BYTES // max(size, 1)), _PAIRS)


def _at(x, index):
    """Examples with these numbers, as arrays."""

    def read(leaf):
        known = isinstance(leaf, sources.Source)
        return np.asarray(leaf(tf.constant(index)) if known else leaf[index])

    return keras.tree.map_structure(read, x)


def _pieces(x):
    count = checks.num_examples(x)
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


def _probabilities(network, x):
    """Of all examples, float64 [N, C]; in inference mode, without a graph.

    A graph would take seconds to be made, for a few passes.
    """
    logits = [
        np.asarray(tf.cast(network(part, training=False), tf.float32))
        for _, part in _pieces(x)
    ]
    logits = np.concatenate(logits).astype("float64")
    exp = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exp / exp.sum(axis=-1, keepdims=True)
