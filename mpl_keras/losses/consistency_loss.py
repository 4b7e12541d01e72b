"""UDA's consistency loss."""

from collections.abc import Sequence
from typing import Any, Literal, Self, get_args

import keras
import numpy as np
import tensorflow as tf

from mpl_keras.checks import arguments
from mpl_keras.checks.arguments import ArgumentError
from mpl_keras.losses.adaptive_thresholds import AdaptiveThreshold
from mpl_keras.losses.formulas import (
    Divergence,
    MaskOn,
    Reduction,
    as_float,
    confidence_mask,
    consistency,
    view_divergence,
)

_PACKAGE = "mpl_keras"
Prior = Literal["uniform", "labeled", "labeled_predictions", "learned"]
_PRIORS = (None, *get_args(Prior))


@keras.saving.register_keras_serializable(_PACKAGE)
class ConsistencyLoss(keras.losses.Loss):
    """UDA's unsupervised loss: strong views should be classified as weak ones.

    Example:
    >>> loss = ConsistencyLoss(temperature=0.7, threshold=0.6)
    >>> weak, strong = [[4.0, 0.0], [0.1, 0.0]], [[0.0, 0.0], [9.0, 0.0]]
    >>> round(float(loss(weak, strong)), 4)  # the second is masked
    0.3466

    FixMatch, and what came after it, as losses of `UDA` and of the teacher in
    `MetaPseudoLabels`:

    >>> fixmatch = ConsistencyLoss(threshold=0.95, hard_targets=True)
    >>> from mpl_keras import losses
    >>> freematch = ConsistencyLoss(
    ...     threshold=losses.FreeMatchThreshold(), hard_targets=True)

    Args:
        temperature: Divides the weak logits; below 1 the targets are sharper.
            Greater than 0.
        threshold: Examples whose target is less confident count as 0. A
            number in `[0, 1]`, or a `FlexMatchThreshold`, `FreeMatchThreshold`
            or `SoftMatchWeight`, whose running means are state of
            `MetaPseudoLabels` and `UDA`, so that the loss cannot be used by
            itself.
        mask_on: Which confidence the threshold is held against: `"raw"`,
            before sharpening, or `"sharpened"`.
        divergence: `"crossentropy"` or `"kl_divergence"`.
        distribution_alignment: None, or the class marginals that predictions
            on unlabeled data should have: `"uniform"`, a list of
            probabilities, or one of three that are found while training:
            `"labeled"`, the running marginals of the labels;
            `"labeled_predictions"`, those of the predictions on labeled
            examples (AdaMatch, Berthelot et al., 2021); `"learned"`, those of
            the unlabeled data by expectation maximization (Saerens et al.,
            2002), for unlabeled classes that are not as frequent as labeled
            ones: a wrong majority can then feed itself. The
            running marginals are state of `MetaPseudoLabels` and `UDA`, which
            align the weak logits before they call this loss; used by itself,
            it expects logits that went through `align_logits`.
        alignment_momentum: Of the running marginals, in `[0, 1)`.
        hard_targets: Whether targets are the likeliest class of the weak view,
            as in FixMatch; the temperature has no part then.
        align_targets: Whether targets are made of the aligned logits, too.
            Without, the confidence alone is aligned, as in SoftMatch.
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
        2019 (arXiv:1904.12848), equation 1 and section 3.3; Sohn et al.,
        "FixMatch", 2020 (arXiv:2001.07685), equation 4.
    """

    def __init__(
        self,
        temperature: float = 1.0,
        threshold: float | AdaptiveThreshold = 0.0,
        mask_on: MaskOn = "raw",
        divergence: Divergence = "crossentropy",
        distribution_alignment: Prior | Sequence[float] | None = None,
        alignment_momentum: float = 0.99,
        reduction: Reduction | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
        *,
        hard_targets: bool = False,
        align_targets: bool = True,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        arguments.number("temperature", temperature, above=0)
        if not isinstance(threshold, AdaptiveThreshold):
            arguments.number("threshold", threshold, least=0, most=1)
        arguments.choice("mask_on", mask_on, get_args(MaskOn))
        arguments.choice("divergence", divergence, get_args(Divergence))
        arguments.number("alignment_momentum", alignment_momentum, 0, below=1)
        arguments.choice("hard_targets", hard_targets, (False, True))
        arguments.choice("align_targets", align_targets, (False, True))
        self.temperature = temperature
        self.threshold = threshold
        self.mask_on = mask_on
        self.divergence = divergence
        self.distribution_alignment = _check_prior(distribution_alignment)
        self.alignment_momentum = alignment_momentum
        self.hard_targets = bool(hard_targets)
        self.align_targets = bool(align_targets)

    @property
    def adaptive(self) -> AdaptiveThreshold | None:
        """The threshold, if it is no number."""
        if isinstance(self.threshold, AdaptiveThreshold):
            return self.threshold
        return None

    def call(self, y_true: Any, y_pred: Any) -> tf.Tensor:
        """Values of shape `(batch,)`."""
        self._check_fixed()
        return consistency(
            y_true,
            y_pred,
            self.temperature,
            self.threshold,
            self.mask_on,
            self.divergence,
            self.hard_targets,
        )

    def mask(self, weak_logits: Any) -> tf.Tensor:
        """1.0 where the weak view is confident enough, else 0.0."""
        self._check_fixed()
        return confidence_mask(
            weak_logits, self.temperature, self.threshold, self.mask_on
        )

    def unmasked(self, weak_logits: Any, strong_logits: Any) -> tf.Tensor:
        """Values of shape `(batch,)`, as if all examples counted."""
        return view_divergence(
            weak_logits,
            strong_logits,
            self.temperature,
            self.divergence,
            self.hard_targets,
        )

    def probabilities(self, weak_logits: Any) -> tf.Tensor:
        """Those whose confidence is held against the threshold."""
        weak_logits = as_float(weak_logits)
        if self.mask_on == "sharpened":
            weak_logits = weak_logits / self.temperature
        return tf.nn.softmax(weak_logits)

    def _check_fixed(self):
        """Raises if the threshold needs running means."""
        if self.adaptive is not None:
            raise ArgumentError(
                "threshold",
                "be a number where the loss is used by itself: the running "
                "means of others are kept by `MetaPseudoLabels` and `UDA`",
                type(self.threshold).__name__,
            )

    def get_config(self) -> dict[str, Any]:
        """Arguments of `__init__`."""
        # Where these are as they were before they came, they are left out, so
        # that a training goes on with the backups that it has.
        later = {"hard_targets": False, "align_targets": True}
        changed = {
            name: getattr(self, name)
            for name, default in later.items()
            if getattr(self, name) != default
        }
        return {
            **super().get_config(),
            "temperature": self.temperature,
            "threshold": self.threshold
            if self.adaptive is None
            else keras.saving.serialize_keras_object(self.threshold),
            "mask_on": self.mask_on,
            "divergence": self.divergence,
            "distribution_alignment": self.distribution_alignment,
            "alignment_momentum": self.alignment_momentum,
            **changed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The inverse of `get_config`."""
        config = dict(config)
        if isinstance(config.get("threshold"), dict):
            config["threshold"] = keras.saving.deserialize_keras_object(
                config["threshold"]
            )
        return cls(**config)


def _check_prior(prior):
    if prior is None or isinstance(prior, str):
        arguments.choice("distribution_alignment", prior, _PRIORS)
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
