"""Distribution alignment: targets whose class marginal is a prior's.

Berthelot et al., "ReMixMatch", 2020 (arXiv:1911.09785), section 3.1, and
"AdaMatch", 2021 (arXiv:2106.04732), section 3; Saerens et al., "Adjusting the
Outputs of a Classifier to New a Priori Probabilities", 2002.
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
    normalised. The marginals are state of the model, saved with it.

    A prior that is "learned" is the running mean of the targets themselves,
    and these are multiplied by prior / running marginal of the labels: an
    expectation maximization of the likelihood of the unlabeled examples, if
    probabilities are right where classes are as frequent as in the labels.

    Args:
        prior: "uniform", "labeled" (the running marginal of the labels),
            "labeled_predictions" (that of the predictions on the labeled
            examples), "learned", one probability for each class, or None for
            no alignment.
        momentum: Of the running marginals.
        num_classes: Number of classes.
        make_state: Makes a variable of the model, from its name, its shape and
            its initializer.

    Attributes:
        predicted: Running marginal of the predictions, or None.
        labeled: Running marginal of the labels, or of the predictions on
            their examples, or None.
        learned: The prior that is learned, or None.

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
        self.predicted = self.labeled = self.learned = None
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
        if prior == "learned":
            self.learned = make_state("learned", (num_classes,), uniform)

    def __call__(
        self, weak: tf.Tensor, labels: Any, labeled: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Aligned logits, without a gradient; moves the marginals.

        Args:
            weak: Logits of the weak views, shape `(batch, num_classes)`.
            labels: Of the labeled batch, indices or rows.
            labeled: Its logits, where the prior is of these.
        """
        weak = tf.stop_gradient(weak)
        if self._prior is None:
            return weak
        if self._prior == "labeled_predictions":
            rows = tf.nn.softmax(tf.stop_gradient(labeled))
        else:
            rows = losses.dense_labels(labels, self._num_classes)
        predicted, prior = self._move(
            [self.predicted, self.labeled], [tf.nn.softmax(weak), rows]
        )
        if self._prior == "learned":
            aligned = losses.align_logits(weak, self.learned, prior)
            self._move([self.learned], [tf.nn.softmax(aligned)])
            return aligned
        if self._prior == "uniform":
            prior = tf.fill([self._num_classes], 1.0 / self._num_classes)
        elif not isinstance(self._prior, str):
            prior = tf.constant(self._prior)
        return losses.align_logits(weak, prior, predicted)

    def _move(self, running, rows):
        """Moves running marginals by those of a batch; what they are then."""
        new = [tf.reduce_mean(row, axis=0) for row in rows]
        new = replicas.mean([tf.cast(marginal, tf.float32) for marginal in new])
        moved = [
            self._momentum * old + (1.0 - self._momentum) * marginal
            for old, marginal in zip(running, new, strict=True)
        ]
        replicas.assign(running, moved)
        return moved
