"""What networks make of the same few examples, as pictures.

Examples and views are chosen once, without chance: nothing of it shows in the
training, and pictures of two steps differ by the networks alone.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpl_keras.checks import arrays
from mpl_keras.datasets import semi_supervised_data as data_module
from mpl_keras.evaluation import confusion, samples, statistics
from mpl_keras.report import figures, vocabulary

_UNLABELED, _HELD_OUT = 256, 1000
_EXTREMES = 8


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
        self._unlabeled = None

    def prepare(self) -> None:
        """Reads the examples, and makes the views; `take` does it at first."""
        with tf.device("CPU:0"):
            self._prepare_unlabeled()
            self._prepare_held_out()

    def _prepare_unlabeled(self):
        self._unlabeled = samples.unlabeled(self._data, _UNLABELED)
        truth = arrays.class_ids(self._data.labeled[1])
        self._labeled_shares = self._shares(truth)

    def _prepare_held_out(self):
        data = self._data
        batches = data.test if data.validation is None else data.validation
        self._held_out = None
        if batches is None:
            return
        stream = getattr(batches, "stream", None)
        if stream is None:
            parts = [
                keras.tree.map_structure(np.asarray, part)
                for part in batches.take(4)
            ]
            x, y = keras.tree.map_structure(
                lambda *leaves: np.concatenate(leaves)[:_HELD_OUT], *parts
            )
        else:
            most = samples.limit_by_memory(batches.element_spec[0], _HELD_OUT)
            index = samples.spread(stream.num_examples, most)
            x, y = keras.tree.map_structure(np.asarray, stream.read(index))
        y = arrays.class_ids(arrays.labels(y, data.num_classes))
        self._held_out = x, y

    def take(self, model: Any) -> tuple[dict[str, bytes], dict[str, float]]:
        """Pictures of now.

        Args:
            model: A `MetaPseudoLabels` or `UDA`.

        Returns:
            PNG files and numbers, by tag.
        """
        if self._unlabeled is None:
            self.prepare()
        probabilities = samples.probabilities(
            model.labeler, self._unlabeled.weak
        )
        numbers = {}
        with figures.style(transparent=False):
            drawn = self._of_pseudo_labels(probabilities)
            if self._held_out is not None:
                x, truth = self._held_out
                probabilities = samples.probabilities(model.averaged, x)
                name = vocabulary.averaged_name(model)
                drawn |= self._of_held_out(name, probabilities, truth)
                error = statistics.expected_calibration_error(
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
            "labeled set": self._labeled_shares,
            "pseudo labels": self._shares(labels),
        }
        drawn = {
            "pseudo_labels/classes": figures.marginals(
                series,
                names,
                f"Classes of {len(labels)} pseudo labels",
                {"labeled set": "labels", "pseudo labels": "pseudo labels"},
            )
        }
        seen = self._unlabeled
        if not seen.are_images:
            return drawn
        if seen.strong is not None:
            drawn["views/weak_and_strong"] = figures.views(
                seen.weak[seen.shown],
                seen.strong,
                probabilities[seen.shown],
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
                seen.weak[index],
                [
                    f"{names[labels[i]]}\n{100 * confidence[i]:.1f} %"
                    for i in index
                ],
                f"The {words} confident pseudo labels",
            )
        return drawn

    def _of_held_out(self, name, probabilities, truth):
        data = self._data
        predicted = probabilities.argmax(axis=-1)
        counts = confusion.count(truth, predicted, data.num_classes)
        kind = "test" if data.validation is None else "validation"
        title = f"{name}, {len(truth):,} {kind} examples"
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
