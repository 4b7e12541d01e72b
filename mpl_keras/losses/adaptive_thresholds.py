"""Thresholds of the confidence that follow the network while it learns.

Each rule is a pure function of the probabilities and of a few running means;
who calls it keeps these. `MetaPseudoLabels` and `UDA` have them as their state.
"""

from collections.abc import Mapping
from typing import Any, Self

import keras
import tensorflow as tf

from mpl_keras.checks import arguments

_PACKAGE = "mpl_keras"


class AdaptiveThreshold:
    """Base class: how much an unlabeled example counts, by its confidence.

    A step takes statistics of a batch, which are means over its examples, so
    that replicas can average theirs; moves the running means; and weighs the
    examples by them.

    Attributes:
        looks_back: Whether examples are weighed by the running means that the
            batches before have left, and not by those that they have moved.
        fairness_weight: Weight of FreeMatch's fairness term, or 0.
    """

    looks_back = False
    fairness_weight = 0.0

    def initial(self, num_classes: int) -> dict[str, tuple[tuple, float]]:
        """Shape and first value of each running mean, by name."""
        raise NotImplementedError

    def statistics(
        self, probabilities: tf.Tensor, state: Mapping[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        """Means over a batch of probabilities, `(batch, num_classes)`."""
        raise NotImplementedError

    def moved(
        self,
        state: Mapping[str, tf.Tensor],
        statistics: Mapping[str, tf.Tensor],
        size: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """The running means after a batch of `size` examples."""
        del size
        return {
            name: self._follow(old, statistics[name])
            for name, old in state.items()
        }

    def weights(
        self, probabilities: tf.Tensor, state: Mapping[str, tf.Tensor]
    ) -> tf.Tensor:
        """How much each example counts, in [0, 1], shape `(batch,)`."""
        raise NotImplementedError

    def get_config(self) -> dict[str, float]:
        """Arguments of `__init__`."""
        raise NotImplementedError

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The inverse of `get_config`."""
        return cls(**config)

    def _follow(self, old, new):
        return self.momentum * old + (1.0 - self.momentum) * new


@keras.saving.register_keras_serializable(_PACKAGE)
class FlexMatchThreshold(AdaptiveThreshold):
    """FlexMatch: a class that is learned less asks for less confidence.

    Class c asks for `M(beta_c) * threshold`, with `M(x) = x / (2 - x)` and

        beta_c = share_c / max(largest share, 1 - sum of the shares),

    where `share_c` is the share of unlabeled examples that were last given
    class c with at least `threshold` of confidence. The second term of the
    maximum is the paper's warm-up: it keeps thresholds low while few examples
    are confident at all.

    The paper notes for each unlabeled example what it was last given, and
    counts. Here shares are running means over the batches, because batches
    carry no numbers of examples. Over one pass the two are about the same. An
    example that is no longer confident stops to count here, and counts on in
    the paper. A batch is weighed by the shares before it, as there.

    Example:
    >>> rule = FlexMatchThreshold(0.9)
    >>> rule.thresholds({"share": tf.constant([0.6, 0.3])}).numpy().round(2)
    array([0.9, 0.3], dtype=float32)

    Args:
        threshold: Of the class that is learned best, in [0, 1].
        momentum: Of the running shares, in [0, 1). It should span about a
            pass over the unlabeled examples: 0.99 spans 100 batches.

    Raises:
        ArgumentError: A number is out of its range.

    Reference:
        Zhang et al., "FlexMatch: Boosting Semi-Supervised Learning with
        Curriculum Pseudo Labeling", 2021 (arXiv:2110.08263), section 3.
    """

    looks_back = True

    def __init__(self, threshold: float = 0.95, momentum: float = 0.99):
        self.threshold = arguments.number("threshold", threshold, 0, 1)
        self.momentum = arguments.number("momentum", momentum, 0, below=1)

    def initial(self, num_classes: int) -> dict[str, tuple[tuple, float]]:
        """No example was confident yet."""
        return {"share": ((num_classes,), 0.0)}

    def statistics(
        self, probabilities: tf.Tensor, state: Mapping[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        """By class, how many of the batch are confident of it."""
        del state
        confident = tf.reduce_max(probabilities, axis=-1) >= self.threshold
        rows = _one_hot(probabilities)
        rows *= tf.cast(confident, rows.dtype)[:, None]
        return {"share": tf.reduce_mean(rows, axis=0)}

    def thresholds(self, state: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """The threshold of each class, shape `(num_classes,)`."""
        share = state["share"]
        unused = 1.0 - tf.reduce_sum(share)
        beta = share / tf.maximum(tf.reduce_max(share), unused)
        return self.threshold * beta / (2.0 - beta)

    def weights(
        self, probabilities: tf.Tensor, state: Mapping[str, tf.Tensor]
    ) -> tf.Tensor:
        """1.0 at or above the threshold of the likeliest class, else 0.0."""
        return _at_least(probabilities, self.thresholds(state))

    def get_config(self) -> dict[str, float]:
        """Arguments of `__init__`."""
        return {"threshold": self.threshold, "momentum": self.momentum}


@keras.saving.register_keras_serializable(_PACKAGE)
class FreeMatchThreshold(AdaptiveThreshold):
    """FreeMatch: thresholds that adapt themselves, and class fairness.

    Class c asks for `tau * p_c / max(p)`, where `tau` is the running mean of
    the confidence and `p` that of the probabilities, both moved by the batch
    first. All begin at 1 / number of classes.

    The fairness term, `formulas.class_fairness`, goes into the loss with a
    weight of its own, which does not grow with the consistency's.

    Example:
    >>> rule = FreeMatchThreshold()
    >>> state = {"confidence": 0.8, "marginal": tf.constant([0.6, 0.3])}
    >>> rule.thresholds(state).numpy().round(2)
    array([0.8, 0.4], dtype=float32)

    Args:
        momentum: Of the running means, in [0, 1). Short trainings need less
            than the paper's 0.999, which spans 1,000 steps.
        fairness_weight: Of the fairness term, at least 0; 0 is without. The
            paper has 0.01 or 0.05, by data set.

    Raises:
        ArgumentError: A number is out of its range.

    Reference:
        Wang et al., "FreeMatch: Self-adaptive Thresholding for Semi-supervised
        Learning", 2022 (arXiv:2205.07246), sections 4.1 and 4.2.
    """

    def __init__(self, momentum: float = 0.999, fairness_weight: float = 0.01):
        self.momentum = arguments.number("momentum", momentum, 0, below=1)
        self.fairness_weight = arguments.number(
            "fairness_weight", fairness_weight, 0
        )

    def initial(self, num_classes: int) -> dict[str, tuple[tuple, float]]:
        """A network that knows nothing."""
        even = 1.0 / num_classes
        return {
            "confidence": ((), even),
            "marginal": ((num_classes,), even),
            "histogram": ((num_classes,), even),
        }

    def statistics(
        self, probabilities: tf.Tensor, state: Mapping[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        """Confidence, probabilities and likeliest classes of the batch."""
        del state
        confidence = tf.reduce_max(probabilities, axis=-1)
        return {
            "confidence": tf.reduce_mean(confidence),
            "marginal": tf.reduce_mean(probabilities, axis=0),
            "histogram": tf.reduce_mean(_one_hot(probabilities), axis=0),
        }

    def thresholds(self, state: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """The threshold of each class, shape `(num_classes,)`."""
        marginal = state["marginal"]
        return state["confidence"] * marginal / tf.reduce_max(marginal)

    def weights(
        self, probabilities: tf.Tensor, state: Mapping[str, tf.Tensor]
    ) -> tf.Tensor:
        """1.0 at or above the threshold of the likeliest class, else 0.0."""
        return _at_least(probabilities, self.thresholds(state))

    def get_config(self) -> dict[str, float]:
        """Arguments of `__init__`."""
        return {
            "momentum": self.momentum,
            "fairness_weight": self.fairness_weight,
        }


@keras.saving.register_keras_serializable(_PACKAGE)
class SoftMatchWeight(AdaptiveThreshold):
    """SoftMatch: the less confident, the less an example counts.

    Its weight is 1 from the running mean `mu` of the confidence on, and below

        exp(-(confidence - mu)^2 / (2 * variance / sigmas^2)),

    a truncated Gaussian. Mean and variance are moved by the batch first; they
    begin at 1 / number of classes and 1. The variance of a batch is the
    unbiased one.

    SoftMatch weighs by confidences that are aligned with a uniform prior, and
    learns from hard targets that are not: the `ConsistencyLoss` has, besides,
    `hard_targets=True`, `distribution_alignment="uniform"` and
    `align_targets=False`.

    Example:
    >>> rule = SoftMatchWeight(sigmas=1.0)
    >>> state = {"mean": 0.75, "variance": 0.01}
    >>> rows = tf.constant([[0.9, 0.1], [0.65, 0.35]])
    >>> rule.weights(rows, state).numpy().round(4)
    array([1.    , 0.6065], dtype=float32)

    Args:
        momentum: Of the running mean and variance, in [0, 1). Short trainings
            need less than the paper's 0.999, which spans 1,000 steps.
        sigmas: Divides the standard deviation, greater than 0. The paper's
            formula is 1; the authors' code has 2.

    Raises:
        ArgumentError: A number is out of its range.

    Reference:
        Chen et al., "SoftMatch: Addressing the Quantity-Quality Trade-off in
        Semi-supervised Learning", 2023 (arXiv:2301.10921), section 3.
    """

    def __init__(self, momentum: float = 0.999, sigmas: float = 2.0):
        self.momentum = arguments.number("momentum", momentum, 0, below=1)
        self.sigmas = arguments.number("sigmas", sigmas, above=0)

    def initial(self, num_classes: int) -> dict[str, tuple[tuple, float]]:
        """A network that knows nothing, and weights of nearly 1."""
        return {"mean": ((), 1.0 / num_classes), "variance": ((), 1.0)}

    def statistics(
        self, probabilities: tf.Tensor, state: Mapping[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        """How far the batch's confidence is from the mean, and its square."""
        # Not about 0: the difference of two large means would be inexact.
        distance = tf.reduce_max(probabilities, axis=-1) - state["mean"]
        return {
            "distance": tf.reduce_mean(distance),
            "square": tf.reduce_mean(distance**2),
        }

    def moved(
        self,
        state: Mapping[str, tf.Tensor],
        statistics: Mapping[str, tf.Tensor],
        size: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """The running mean and variance after a batch of `size` examples."""
        distance = statistics["distance"]
        variance = tf.maximum(statistics["square"] - distance**2, 0.0)
        size = tf.cast(size, variance.dtype)
        variance *= size / tf.maximum(size - 1.0, 1.0)
        return {
            "mean": self._follow(state["mean"], state["mean"] + distance),
            "variance": self._follow(state["variance"], variance),
        }

    def weights(
        self, probabilities: tf.Tensor, state: Mapping[str, tf.Tensor]
    ) -> tf.Tensor:
        """The truncated Gaussian."""
        confidence = tf.reduce_max(probabilities, axis=-1)
        below = tf.minimum(confidence - state["mean"], 0.0)
        # A variance of 0 must not make NaN of the weights of 1.
        variance = tf.maximum(state["variance"], 1e-12) / self.sigmas**2
        return tf.exp(-(below**2) / (2.0 * variance))

    def get_config(self) -> dict[str, float]:
        """Arguments of `__init__`."""
        return {"momentum": self.momentum, "sigmas": self.sigmas}


def _one_hot(probabilities):
    """The likeliest classes, as rows."""
    return tf.one_hot(
        tf.argmax(probabilities, axis=-1),
        probabilities.shape[-1],
        dtype=probabilities.dtype,
    )


def _at_least(probabilities, thresholds):
    """1.0 where the likeliest class is at its threshold or above it."""
    asked = tf.gather(thresholds, tf.argmax(probabilities, axis=-1))
    confidence = tf.reduce_max(probabilities, axis=-1)
    return tf.cast(confidence >= asked, probabilities.dtype)
