"""What a step shows: its own losses, and the metrics of `compile`.

Means over nothing are NaN, where Keras has 0, the best loss that there is.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from mpl_keras import losses
from mpl_keras.models import metric_checks


class MeanOfSome(keras.metrics.Mean):
    """A mean that is NaN while there is nothing to take it of.

    Example:
    >>> mean = MeanOfSome("loss")
    >>> float(mean.result())
    nan
    >>> mean.update_state(2.0)
    >>> float(mean.result())
    2.0
    """

    def result(self):
        """The mean, or NaN."""
        return tf.math.divide(
            tf.convert_to_tensor(self.total), tf.convert_to_tensor(self.count)
        )


class Measured(NamedTuple):
    """A value of a step that may have measured nothing.

    Attributes:
        value: The value.
        weight: 1.0 if something was measured, otherwise 0.0.

    Example:
    >>> Measured(2.0, weight=0.0).value
    2.0
    """

    value: tf.Tensor
    weight: tf.Tensor


def measured(value: tf.Tensor, weight: tf.Tensor | None) -> Any:
    """The value, as one that may have measured nothing if there is a weight.

    Example:
    >>> measured(2.0, None)
    2.0
    >>> measured(2.0, 0.0)
    Measured(value=2.0, weight=0.0)
    """
    return value if weight is None else Measured(value, weight)


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
        self._compiled = {}  # what `compile` was given, by argument

    def track(self, *names: str) -> None:
        """Shows the means of these values, too."""
        for name in names:
            self._trackers[name] = MeanOfSome(name=name)

    def compiled(self, **metrics: Any) -> None:
        """Notes what `compile` was given; raises if a name is ours.

        Args:
            **metrics: By the argument of `compile`.

        Raises:
            ArgumentError: There is no such metric, or its name is taken.
        """
        for argument, given in metrics.items():
            metric_checks.check_names(given, argument, self._trackers)
        self._compiled = metrics

    def prepare(self, labels: Any) -> None:
        """Makes the metrics' variables before a step is traced.

        TensorFlow traces a function twice that makes variables.

        Args:
            labels: Of the form that will come.

        Raises:
            ArgumentError: A metric does not take labels of this form.
        """
        self._note_form(labels)
        if self._compiled and not self._model.metrics_built:
            for argument, given in self._compiled.items():
                metric_checks.check_labels(
                    given, argument, self._label_rows, self._model.num_classes
                )
        self._model.build_metrics(labels)

    def update(
        self,
        shown: Mapping[str, Any],
        loss: Any,
        weighs: Mapping[str, Any] | None = None,
    ) -> None:
        """Adds a step's values to the means.

        Args:
            shown: Values by the names that are tracked; `Measured` where there
                may be none.
            loss: What Keras calls the loss.
            weighs: For some of the names, 0.0 if nothing was measured, or None.
        """
        for name, tracker in self._trackers.items():
            value = measured(shown[name], (weighs or {}).get(name))
            if not isinstance(value, Measured):
                value = (value,)
            tracker.update_state(*value)
        self._model.update_loss(
            *(loss if isinstance(loss, Measured) else (loss,))
        )

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

    def without_guesses(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """NaN for what measured nothing.

        Keras's metrics say 0 where they were never updated, and count logits
        that are NaN as an answer; the loss is not finite then.

        Args:
            result: Values by name, Keras's.
        """
        result = dict(result)
        if "loss" not in result:
            return result
        loss = result["loss"]
        known = (
            math.isfinite(loss)
            if isinstance(loss, float)
            else tf.math.is_finite(loss)
        )
        for name, value in result.items():
            if name != "loss" and name not in self._trackers:
                result[name] = _if_known(known, value)
        if tf.executing_eagerly():
            for name, metric in self._model.shown_metrics().items():
                if name in result and _is_empty(metric):
                    result[name] = math.nan
        return result

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


def _if_known(known, value):
    """The value, or NaN in its place."""
    if known is True:
        return value
    if known is False:
        shape = np.shape(value)
        return np.full(shape, math.nan, "float32") if shape else math.nan
    value = tf.convert_to_tensor(value)
    if not value.dtype.is_floating:
        value = tf.cast(value, tf.float32)
    return tf.where(known, value, tf.constant(math.nan, value.dtype))


def _is_empty(metric):
    """Whether a mean has nothing to take it of."""
    mean = isinstance(metric, keras.metrics.Mean)
    return mean and not float(metric.count.numpy())
