"""What a step shows: its own losses, and the metrics of `compile`."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from mpl_keras import losses


class Measuring:
    """Means over an epoch of what steps show, and the metrics of `compile`.

    Keras decides once, from the first labels, what "accuracy" is, and counts
    wrongly if others come as one-hot rows and not as indices: labels are
    brought to the form of the first ones.

    Args:
        model: A `DistributedModel`, whose `compute_metrics` is used.
        trackers: Holds a mean for each name that a step shows; the model has
            it, so that Keras finds and resets them.

    Example:
    >>> from mpl_keras.distribute.trainer import DistributedModel
    >>> trackers = {}
    >>> Measuring(DistributedModel(3), trackers).track("h", "mask_rate")
    >>> list(trackers)
    ['h', 'mask_rate']
    """

    def __init__(self, model, trackers):
        self._model = model
        self._trackers = trackers
        self._label_rows = None  # the form of the labels that metrics know

    def track(self, *names: str) -> None:
        """Shows the means of these values, too."""
        for name in names:
            self._trackers[name] = keras.metrics.Mean(name=name)

    def prepare(self, labels: Any) -> None:
        """Makes the metrics' variables before a step is traced.

        TensorFlow traces a function twice that makes variables.

        Args:
            labels: Of the form that will come.
        """
        self._note_form(labels)
        self._model.build_metrics(labels)

    def update(self, shown: Mapping[str, tf.Tensor], loss: tf.Tensor) -> None:
        """Adds a step's values to the means.

        Args:
            shown: Values by the names that are tracked.
            loss: What Keras calls the loss.
        """
        for name, tracker in self._trackers.items():
            tracker.update_state(shown[name])
        self._model.update_loss(loss)

    def measure(self, x, labels, logits, sample_weight) -> None:
        """Updates the metrics of `compile`."""
        rows = self._note_form(labels)
        if self._label_rows and not rows:
            labels = losses.dense_labels(labels, self._model.num_classes)
        elif rows and not self._label_rows:
            labels = tf.argmax(labels, axis=-1)
        self._model.compute_metrics(x, labels, logits, sample_weight)

    def result(self) -> dict[str, Any]:
        """All values, as a step returns them."""
        return self._model.get_metrics_result()

    def without_trackers(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """Without what only training shows."""
        return {
            name: value
            for name, value in result.items()
            if name not in self._trackers
        }

    def _note_form(self, labels):
        """Whether labels are rows; notes it if they are the first."""
        rows = len(labels.shape) == 2
        rows = rows and labels.shape[-1] == self._model.num_classes
        if self._label_rows is None or not self._model.metrics_built:
            self._label_rows = rows
        return rows
