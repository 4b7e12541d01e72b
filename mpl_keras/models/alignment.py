"""Distribution alignment: targets whose class marginal is a prior's.

Berthelot et al., "ReMixMatch", 2020 (arXiv:1911.09785), section 3.1.
"""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from mpl_keras import losses
from mpl_keras.checks.arguments import ArgumentError
from mpl_keras.distribute import replicas


class DistributionAlignment:
    """Aligns the teacher's weak logits with a prior over the classes.

    Each target is multiplied by prior / running mean of the predictions, and
    normalised. Both marginals are state of the model, saved with it.

    Args:
        prior: "uniform", "labeled" (the running marginal of the labels), one
            probability for each class, or None for no alignment.
        momentum: Of the running marginals.
        num_classes: Number of classes.
        make_state: Makes a variable of the model, from its name, its shape and
            its initializer.

    Attributes:
        predicted: Running marginal of the predictions, or None.
        labeled: Running marginal of the labels, or None.

    Raises:
        ArgumentError: The prior has not one probability for each class.

    Example:
    >>> alignment = DistributionAlignment(None, 0.99, 3, None)
    >>> alignment(tf.constant([[1.0, 2.0, 3.0]]), [0]).numpy()
    array([[1., 2., 3.]], dtype=float32)
    """

    def __init__(
        self,
        prior: Any,
        momentum: float,
        num_classes: int,
        make_state: Callable[..., Any],
    ):
        self._prior = prior
        self._momentum = momentum
        self._num_classes = num_classes
        self.predicted = self.labeled = None
        if prior is None:
            return
        if not isinstance(prior, str) and len(prior) != num_classes:
            raise ArgumentError(
                "distribution_alignment",
                f"be one probability per class, {num_classes}",
                str(prior),
            )
        uniform = keras.initializers.Constant(1.0 / num_classes)
        self.predicted = make_state("predicted", (num_classes,), uniform)
        self.labeled = make_state("labeled", (num_classes,), uniform)

    def __call__(self, weak: tf.Tensor, labels: Any) -> tf.Tensor:
        """Aligned logits, without a gradient; moves the marginals.

        Args:
            weak: Logits of the weak views, shape `(batch, num_classes)`.
            labels: Of the labeled batch, indices or rows.
        """
        weak = tf.stop_gradient(weak)
        if self._prior is None:
            return weak
        new = [
            tf.reduce_mean(tf.nn.softmax(weak), axis=0),
            tf.reduce_mean(
                losses.dense_labels(labels, self._num_classes), axis=0
            ),
        ]
        new = replicas.mean([tf.cast(marginal, tf.float32) for marginal in new])
        running = [self.predicted, self.labeled]
        moved = [
            self._momentum * old + (1.0 - self._momentum) * marginal
            for old, marginal in zip(running, new, strict=True)
        ]
        replicas.assign(running, moved)
        predicted, prior = moved
        if self._prior == "uniform":
            prior = tf.fill([self._num_classes], 1.0 / self._num_classes)
        elif self._prior != "labeled":
            prior = tf.constant(self._prior)
        return losses.align_logits(weak, prior, predicted)
