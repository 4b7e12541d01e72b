"""UDA's and Meta Pseudo Labels' losses: functions, and Keras's form of them."""

import keras
import numpy as np
import tensorflow as tf

from mpl_keras import arguments
from mpl_keras.formulas import (
    align_logits,
    annealed_crossentropy,
    annealing_mask,
    as_float,
    confidence_mask,
    consistency,
    crossentropy,
    dense_labels,
    meta_pseudo_labels,
    smooth_labels,
)

__all__ = [
    "AnnealedCategoricalCrossentropy",
    "AnnealedSparseCategoricalCrossentropy",
    "ConsistencyLoss",
    "MetaPseudoLabelsLoss",
    "UDALoss",
    "align_logits",
    "annealed_crossentropy",
    "annealing_mask",
    "as_float",
    "confidence_mask",
    "consistency",
    "crossentropy",
    "dense_labels",
    "meta_pseudo_labels",
    "smooth_labels",
]
_PACKAGE = "mpl_keras"


def _settable(value: float, name: str) -> keras.Variable:
    """A number that a callback may change while a compiled step uses it."""
    return keras.Variable(
        float(value), dtype="float32", trainable=False, name=name
    )


@keras.saving.register_keras_serializable(_PACKAGE)
class ConsistencyLoss(keras.losses.Loss):
    """UDA's unsupervised loss: strong views should be classified as weak ones.

    Example:
    >>> loss = ConsistencyLoss(temperature=0.7, threshold=0.6)
    >>> weak, strong = [[4.0, 0.0], [0.1, 0.0]], [[0.0, 0.0], [9.0, 0.0]]
    >>> round(float(loss(weak, strong)), 4)  # the second is masked
    0.3466

    Args:
        temperature: Divides the weak logits; below 1 the targets are sharper.
            Greater than 0.
        threshold: Examples whose target is less confident count as 0. In
            `[0, 1]`.
        mask_on: Which confidence the threshold is held against: `"raw"`,
            before sharpening, or `"sharpened"`.
        divergence: `"crossentropy"` or `"kl_divergence"`.
        distribution_alignment: None, or the class marginals that predictions
            on unlabeled data should have: `"uniform"`, `"labeled"` (the
            running marginals of the labels) or a list of probabilities. The
            running marginals are state of `MetaPseudoLabels` and `UDA`, which
            align the weak logits before they call this loss; used by itself,
            it expects logits that went through `align_logits`.
        alignment_momentum: Of the running marginals, in `[0, 1)`.
        reduction: Keras's; the mean is over all examples, masked ones too.
        name: Optional name.
        dtype: Keras's; float32 by default.

    Call arguments:
        y_true: Logits of the weak views, shape `(batch, num_classes)`.
        y_pred: Logits of the strong views, the same shape.

    Raises:
        ValueError: If an argument is out of its range.

    Reference:
        Xie et al., "Unsupervised Data Augmentation for Consistency Training",
        2019 (arXiv:1904.12848), equation 1 and section 3.3.
    """

    def __init__(
        self,
        temperature: float = 1.0,
        threshold: float = 0.0,
        mask_on: str = "raw",
        divergence: str = "crossentropy",
        distribution_alignment=None,
        alignment_momentum: float = 0.99,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype=None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        arguments.number("temperature", temperature, above=0)
        arguments.number("threshold", threshold, least=0, most=1)
        arguments.choice("mask_on", mask_on, ("raw", "sharpened"))
        arguments.choice(
            "divergence", divergence, ("crossentropy", "kl_divergence")
        )
        arguments.number("alignment_momentum", alignment_momentum, 0, below=1)
        self.temperature = temperature
        self.threshold = threshold
        self.mask_on = mask_on
        self.divergence = divergence
        self.distribution_alignment = _check_prior(distribution_alignment)
        self.alignment_momentum = alignment_momentum

    def call(self, y_true, y_pred):
        """Values of shape `(batch,)`."""
        return consistency(
            y_true,
            y_pred,
            self.temperature,
            self.threshold,
            self.mask_on,
            self.divergence,
        )

    def mask(self, weak_logits):
        """1.0 where the weak view is confident enough, else 0.0."""
        return confidence_mask(
            weak_logits, self.temperature, self.threshold, self.mask_on
        )

    def get_config(self):
        """Arguments of `__init__`."""
        return {
            **super().get_config(),
            "temperature": self.temperature,
            "threshold": self.threshold,
            "mask_on": self.mask_on,
            "divergence": self.divergence,
            "distribution_alignment": self.distribution_alignment,
            "alignment_momentum": self.alignment_momentum,
        }


def _check_prior(prior):
    if prior is None or isinstance(prior, str):
        arguments.choice(
            "distribution_alignment", prior, (None, "uniform", "labeled")
        )
        return prior
    try:
        values = np.asarray(prior, dtype="float64")
    except (TypeError, ValueError):
        values = np.array([])
    # Written so that NaN is refused as well.
    ok = values.ndim == 1 and len(values) > 1 and (values >= 0).all()
    if not ok or not abs(values.sum() - 1) <= 1e-4:
        raise ValueError(
            "`distribution_alignment` must be class probabilities that sum to "
            f"1. Received: distribution_alignment={prior!r}"
        )
    return values.tolist()


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
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype=None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        arguments.number("threshold", threshold, least=0, most=1)
        arguments.number("label_smoothing", label_smoothing, least=0, below=1)
        self.threshold = _settable(threshold, "threshold")
        self.label_smoothing = label_smoothing

    def call(self, y_true, y_pred):
        """Values of shape `(batch,)`, 0 for examples that are left out."""
        return annealed_crossentropy(
            y_true, y_pred, self.threshold, self.label_smoothing
        )

    def get_config(self):
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
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype=None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def __call__(self, pseudo_labels, logits, sample_weight=None):
        """Reduces `meta_pseudo_labels` over the batch."""
        # Keras would multiply values of shape (batch,) by the weight; J has
        # one more dimension, so the weight goes in with the labels.
        feedback = 1.0 if sample_weight is None else sample_weight
        return super().__call__((pseudo_labels, feedback), logits)

    def call(self, y_true, y_pred):
        """Values of shape `(batch,)`."""
        pseudo_labels, feedback = y_true
        return meta_pseudo_labels(pseudo_labels, y_pred, feedback)


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
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype=None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        arguments.number("weight", weight, least=0)
        if consistency is None:
            consistency = ConsistencyLoss(dtype=dtype)
        _check_consistency(consistency)
        self.consistency = consistency
        self.weight = _settable(weight, "weight")
        self.supervised = AnnealedCategoricalCrossentropy(
            threshold, label_smoothing, reduction=reduction, dtype=dtype
        )

    @property
    def threshold(self) -> keras.Variable:
        """Of training signal annealing."""
        return self.supervised.threshold

    def __call__(self, y_true, y_pred, sample_weight=None):
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

    def call(self, y_true, y_pred):
        """The same as calling the loss without weights of examples."""
        return self(y_true, y_pred)

    def get_config(self):
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
    def from_config(cls, config):
        """The inverse of `get_config`."""
        config = dict(config)
        config["consistency"] = keras.saving.deserialize_keras_object(
            config["consistency"]
        )
        return cls(**config)
