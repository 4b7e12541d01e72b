"""UDA's loss of one batch: what single networks and teachers minimise.

Xie et al., "Unsupervised Data Augmentation", 2019 (arXiv:1904.12848).
"""

from typing import Any

import tensorflow as tf

from mpl_keras import losses, schedules
from mpl_keras.distribute import replicas
from mpl_keras.models import passes
from mpl_keras.models.alignment import DistributionAlignment
from mpl_keras.models.masking import AdaptiveMasking
from mpl_keras.models.step_metrics import measured


class UDAObjective:
    """Supervised loss + weight * consistency loss, and values to watch.

    Args:
        consistency: A `losses.ConsistencyLoss`, or None.
        consistency_weight: A number or a schedule of the step.
        supervised_threshold: None, or a number or schedule: the threshold of
            training signal annealing.
        label_smoothing: In `[0, 1)`.
        alignment: What aligns the targets of the consistency loss.
        masking: What weighs the unlabeled examples, where the threshold of the
            consistency loss adapts itself; None where it is a number.

    Example:
    >>> alignment = DistributionAlignment(None, 0.99, 2, None)
    >>> objective = UDAObjective(None, 1.0, None, 0.0, alignment)
    >>> logits = {"labeled": tf.zeros((4, 2))}
    >>> loss, shown = objective(logits, tf.constant([0, 1, 0, 1]), None, 0)
    >>> round(float(loss), 4), list(shown)
    (0.6931, ['supervised_loss'])
    """

    def __init__(
        self,
        consistency: losses.ConsistencyLoss | None,
        consistency_weight: Any,
        supervised_threshold: Any,
        label_smoothing: float,
        alignment: DistributionAlignment,
        masking: AdaptiveMasking | None = None,
    ):
        self._consistency = consistency
        self._consistency_weight = consistency_weight
        self._supervised_threshold = supervised_threshold
        self._label_smoothing = label_smoothing
        self._alignment = alignment
        self._masking = masking

    @property
    def shown(self) -> list[str]:
        """Names of what there is to watch, besides the supervised loss."""
        if self._consistency is None:
            return []
        names = ["consistency_loss", "consistency_weight", "mask_rate"]
        return names + ["fairness_loss"] * (self._fairness_weight > 0)

    @property
    def _fairness_weight(self):
        return self._masking.rule.fairness_weight if self._masking else 0.0

    def __call__(self, logits, labels, sample_weight, step, prior=None):
        """The loss of a batch, a number for each replica: its share's mean.

        Args:
            logits: Of each view, by its name.
            labels: Of the labeled view.
            sample_weight: None, or a weight for each label.
            step: How many steps were trained.
            prior: What is known of each unlabeled example's class beforehand,
                probabilities, which multiply its target; or None.

        Returns:
            The loss, and what to watch, by name.
        """
        supervised, weighs = self._supervised(
            labels, logits["labeled"], sample_weight, step
        )
        watch = {"supervised_loss": measured(supervised, weighs)}
        if self._consistency is None:
            return supervised, watch
        weak = logits["weak"]
        aligned = self._alignment(weak, labels, logits["labeled"])
        if prior is not None:
            known = tf.math.log(tf.cast(prior, weak.dtype))
            weak, aligned = weak + known, aligned + known
        values, counted = self._compare(aligned, weak, logits["strong"])
        consistency = tf.reduce_mean(values)
        weight = schedules.value_at(self._consistency_weight, step)
        weight = tf.cast(weight, consistency.dtype)
        watch["consistency_loss"] = consistency
        watch["consistency_weight"] = weight
        watch["mask_rate"] = tf.reduce_mean(counted)
        loss = supervised + weight * consistency
        if self._fairness_weight:
            fairness = self._masking.fairness(logits["strong"], counted)
            watch["fairness_loss"] = fairness
            loss += self._fairness_weight * fairness
        return loss, watch

    def _compare(self, aligned, weak, strong):
        """The consistency of each example, and how much it counts."""
        loss = self._consistency
        if self._masking is None and loss.align_targets:
            return loss.call(aligned, strong), loss.mask(aligned)
        counts = loss.mask if self._masking is None else self._masking
        counted = counts(aligned)
        weak = aligned if loss.align_targets else weak
        return loss.unmasked(weak, strong) * counted, counted

    def _supervised(self, labels, logits, sample_weight, step):
        """The loss, and 0.0 if it is of no example; None if that cannot be."""
        values = losses.crossentropy(labels, logits, self._label_smoothing)
        weighs = passes.any_weight(sample_weight)
        if self._supervised_threshold is not None:
            threshold = schedules.value_at(self._supervised_threshold, step)
            mask = losses.annealing_mask(labels, logits, threshold)
            kept = replicas.mean(tf.reduce_mean(mask))
            values = tf.math.divide_no_nan(values * mask, kept)
            some = tf.cast(kept > 0, tf.float32)
            weighs = some if weighs is None else some * weighs
        return passes.weighted_mean(values, sample_weight), weighs
