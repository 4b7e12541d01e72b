"""The teacher's loss for its pseudo labels."""

from typing import Any

import keras
import tensorflow as tf

from mpl_keras.losses.formulas import (
    Reduction,
    meta_pseudo_labels,
)

_PACKAGE = "mpl_keras"


@keras.saving.register_keras_serializable(_PACKAGE)
class MetaPseudoLabelsLoss(keras.losses.Loss):
    """The feedback term of the teacher's loss.

    Example:
    >>> loss = MetaPseudoLabelsLoss()
    >>> h = [1.0, -1.0]  # the first label helped the student, the second hurt
    >>> logits = [[0.0, 0.0], [0.0, 0.0]]
    >>> float(loss([0, 1], logits, sample_weight=h))
    0.0

    Args:
        reduction: Keras's; the mean over the batch by default.
        name: Optional name.
        dtype: Keras's; float32 by default.

    Call arguments:
        pseudo_labels: What the student was trained on: class indices of shape
            `(batch,)`, or probabilities of shape `(batch, num_classes)`.
        logits: The teacher's, from which the pseudo labels were made, shape
            `(batch, num_classes)`.
        sample_weight: The feedback: `h`, a scalar or of shape `(batch,)`, old
            minus new labeled loss for hard labels; or `J`, of shape `(batch,
            num_classes)`, for soft ones. See `meta_pseudo_labels`.

    Reference:
        Pham et al., "Meta Pseudo Labels", CVPR 2021 (arXiv:2003.10580),
        section 2.
    """

    def __init__(
        self,
        reduction: Reduction | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def __call__(
        self, pseudo_labels: Any, logits: Any, sample_weight: Any = None
    ) -> tf.Tensor:
        """Reduces `meta_pseudo_labels` over the batch."""
        # Keras would multiply values of shape (batch,) by the weight; J has
        # one more dimension, so the weight goes in with the labels.
        feedback = 1.0 if sample_weight is None else sample_weight
        return super().__call__((pseudo_labels, feedback), logits)

    def call(self, y_true: Any, y_pred: Any) -> tf.Tensor:
        """Values of shape `(batch,)`."""
        pseudo_labels, feedback = y_true
        return meta_pseudo_labels(pseudo_labels, y_pred, feedback)
