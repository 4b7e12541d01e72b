"""The whole loss of UDA, for a Keras model of your own."""

from typing import Any, Self

import keras
import tensorflow as tf

from mpl_keras.checks import arguments
from mpl_keras.losses.annealed_loss import AnnealedCategoricalCrossentropy
from mpl_keras.losses.consistency_loss import ConsistencyLoss
from mpl_keras.losses.formulas import Reduction
from mpl_keras.losses.settable import settable


def _check_consistency(consistency):
    if not isinstance(consistency, ConsistencyLoss):
        raise ValueError(
            "`consistency` must be a `ConsistencyLoss` or None. Received: "
            f"consistency={consistency!r}"
        )
    if consistency.distribution_alignment is not None:
        raise ValueError(
            "`consistency` must be without distribution alignment, whose "
            "running marginals only `MetaPseudoLabels` and `UDA` keep. "
            "Received: distribution_alignment="
            f"{consistency.distribution_alignment!r}"
        )
    if consistency.adaptive is not None:
        raise ValueError(
            "`consistency` must have a number as its threshold: the running "
            "means of others only `MetaPseudoLabels` and `UDA` keep. "
            f"Received: threshold={type(consistency.threshold).__name__}"
        )


_PACKAGE = "mpl_keras"


@keras.saving.register_keras_serializable(_PACKAGE)
class UDALoss(keras.losses.Loss):
    """UDA's whole loss: supervised + weight * consistency.

    For a model of your own whose output is `{"labeled", "weak", "strong"}`
    logits: call it from `compute_loss`. Ramp the weight with
    `callbacks.ConsistencyWeightRamp`.

    Example:
    >>> loss = UDALoss(ConsistencyLoss(), weight=2.0)
    >>> zero = [[0.0, 0.0]]
    >>> logits = {"labeled": zero, "weak": zero, "strong": zero}
    >>> round(float(loss([1], logits)), 4)  # 3 * log(2)
    2.0794

    Args:
        consistency: A `ConsistencyLoss`; its default if None.
        weight: Of the consistency, at least 0. The attribute is a
            `keras.Variable`, to which a new value can be assigned.
        threshold: Of training signal annealing, in `[0, 1]`; 1 is without. A
            `keras.Variable` too.
        label_smoothing: Of the supervised part, in `[0, 1)`.
        reduction: Keras's, for the supervised part; the consistency has its
            own.
        name: Optional name.
        dtype: Keras's; float32 by default.

    Call arguments:
        y_true: Labels of the labeled examples, indices or one-hot.
        y_pred: Dict of logits; "labeled" may have another batch size than
            "weak" and "strong".
        sample_weight: Of the labeled examples, shape `(batch,)`.

    Reference:
        Xie et al., 2019 (arXiv:1904.12848), equation 1.
    """

    def __init__(
        self,
        consistency: ConsistencyLoss | None = None,
        weight: float = 1.0,
        threshold: float = 1.0,
        label_smoothing: float = 0.0,
        reduction: Reduction | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        arguments.number("weight", weight, least=0)
        if consistency is None:
            consistency = ConsistencyLoss(dtype=dtype)
        _check_consistency(consistency)
        self.consistency = consistency
        self.weight = settable(weight, "weight")
        self.supervised = AnnealedCategoricalCrossentropy(
            threshold, label_smoothing, reduction=reduction, dtype=dtype
        )

    @property
    def threshold(self) -> keras.Variable:
        """Of training signal annealing."""
        return self.supervised.threshold

    def __call__(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> tf.Tensor:
        """The loss, reduced."""
        views = {"labeled", "weak", "strong"}
        if not isinstance(y_pred, dict) or not views <= set(y_pred):
            raise ValueError(
                "`y_pred` must be a dict of logits with the keys "
                f"{sorted(views)}. Received: "
                f"{sorted(y_pred) if isinstance(y_pred, dict) else y_pred!r}"
            )
        supervised = self.supervised(y_true, y_pred["labeled"], sample_weight)
        consistency = self.consistency(y_pred["weak"], y_pred["strong"])
        weight = tf.cast(self.weight, consistency.dtype)
        return supervised + weight * consistency

    def call(self, y_true: Any, y_pred: Any) -> tf.Tensor:
        """The same as calling the loss without weights of examples."""
        return self(y_true, y_pred)

    def get_config(self) -> dict[str, Any]:
        """Arguments of `__init__`, with the weight and threshold of now."""
        return {
            **super().get_config(),
            "consistency": keras.saving.serialize_keras_object(
                self.consistency
            ),
            "weight": float(self.weight),
            "threshold": float(self.threshold),
            "label_smoothing": self.supervised.label_smoothing,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The inverse of `get_config`."""
        config = dict(config)
        config["consistency"] = keras.saving.deserialize_keras_object(
            config["consistency"]
        )
        return cls(**config)
