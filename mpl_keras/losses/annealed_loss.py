"""Crossentropies with training signal annealing."""

from typing import Any

import keras
import tensorflow as tf

from mpl_keras.checks import arguments
from mpl_keras.losses.formulas import (
    Reduction,
    annealed_crossentropy,
)
from mpl_keras.losses.settable import settable

_PACKAGE = "mpl_keras"


@keras.saving.register_keras_serializable(_PACKAGE)
class AnnealedCategoricalCrossentropy(keras.losses.Loss):
    """Crossentropy with training signal annealing (TSA), for one-hot labels.

    Labeled examples whose correct class already has a probability above the
    threshold are left out, so that few labels are not overfitted while the
    unlabeled data are still being learned. `schedules.SignalAnnealing` gives
    the paper's thresholds; `callbacks.SignalAnnealing` sets them in a model of
    your own.

    Example:
    >>> loss = AnnealedCategoricalCrossentropy(threshold=0.6)
    >>> logits = [[0.0, 0.0], [5.0, 0.0]]  # the second is known too well
    >>> round(float(loss([[1, 0], [1, 0]], logits)), 4)
    0.6931

    Args:
        threshold: In `[0, 1]`; 1 keeps every example. The attribute is a
            `keras.Variable`, to which a new value can be assigned.
        label_smoothing: Share of the uniform distribution in the labels, in
            `[0, 1)`.
        reduction: Keras's; the mean is over the examples that are kept.
        name: Optional name.
        dtype: Keras's; float32 by default.

    Call arguments:
        y_true: Shape `(batch, num_classes)`.
        y_pred: Logits, the same shape.

    Raises:
        ValueError: If an argument is out of its range.

    Reference:
        Xie et al., 2019 (arXiv:1904.12848).
    """

    def __init__(
        self,
        threshold: float = 1.0,
        label_smoothing: float = 0.0,
        reduction: Reduction | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        arguments.number("threshold", threshold, least=0, most=1)
        arguments.number("label_smoothing", label_smoothing, least=0, below=1)
        self.threshold = settable(threshold, "threshold")
        self.label_smoothing = label_smoothing

    def call(self, y_true: Any, y_pred: Any) -> tf.Tensor:
        """Values of shape `(batch,)`, 0 for examples that are left out."""
        return annealed_crossentropy(
            y_true, y_pred, self.threshold, self.label_smoothing
        )

    def get_config(self) -> dict[str, Any]:
        """Arguments of `__init__`, with the threshold of now."""
        return {
            **super().get_config(),
            "threshold": float(self.threshold),
            "label_smoothing": self.label_smoothing,
        }


@keras.saving.register_keras_serializable(_PACKAGE)
class AnnealedSparseCategoricalCrossentropy(AnnealedCategoricalCrossentropy):
    """`AnnealedCategoricalCrossentropy` for labels that are class indices.

    Example:
    >>> loss = AnnealedSparseCategoricalCrossentropy(threshold=0.6)
    >>> round(float(loss([0, 0], [[0.0, 0.0], [5.0, 0.0]])), 4)
    0.6931

    Call arguments:
        y_true: Integers, shape `(batch,)` or `(batch, 1)`.
        y_pred: Logits, shape `(batch, num_classes)`.
    """
