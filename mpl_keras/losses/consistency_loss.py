"""UDA's consistency loss."""

import keras
import numpy as np

from mpl_keras.checks import arguments
from mpl_keras.losses.formulas import (
    confidence_mask,
    consistency,
)

_PACKAGE = "mpl_keras"


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
