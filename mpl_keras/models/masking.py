"""How much unlabeled examples count, by thresholds that adapt themselves."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from mpl_keras import losses
from mpl_keras.distribute import replicas


class AdaptiveMasking:
    """Weighs unlabeled examples by their confidence, and keeps running means.

    The running means are state of the model, saved with it, and are those of
    the batches of all replicas.

    Args:
        consistency: A `losses.ConsistencyLoss` whose threshold is no number.
        num_classes: Number of classes.
        make_state: Makes a variable of the model, from its name, its shape and
            its initializer.

    Attributes:
        rule: The threshold.
        state: The running means, by name.

    Example:
    >>> def make_state(name, shape, initializer):
    ...     return keras.Variable(initializer(shape), name=name)
    >>> rule = losses.FreeMatchThreshold(momentum=0.0)
    >>> masking = AdaptiveMasking(
    ...     losses.ConsistencyLoss(threshold=rule), 2, make_state)
    >>> masking(tf.constant([[2.0, 0.0], [0.1, 0.0]])).numpy()
    array([1., 0.], dtype=float32)
    """

    def __init__(
        self,
        consistency: losses.ConsistencyLoss,
        num_classes: int,
        make_state: Callable[..., Any],
    ):
        self._consistency = consistency
        self.rule = consistency.adaptive
        self.state = {
            name: make_state(
                f"mask_{name}", shape, keras.initializers.Constant(value)
            )
            for name, (shape, value) in self.rule.initial(num_classes).items()
        }

    def __call__(self, weak: tf.Tensor) -> tf.Tensor:
        """Weights without a gradient, shape `(batch,)`; moves the means.

        Args:
            weak: Logits of the weak views, shape `(batch, num_classes)`;
                aligned, where they are to be.
        """
        weak = tf.stop_gradient(weak)
        probabilities = self._consistency.probabilities(weak)
        before = self._means(probabilities.dtype)
        statistics = self.rule.statistics(probabilities, before)
        statistics = dict(
            zip(
                statistics,
                replicas.mean(list(statistics.values())),
                strict=True,
            )
        )
        size = tf.shape(weak)[0] * replicas.num_replicas()
        after = self.rule.moved(before, statistics, size)
        replicas.assign(
            self.state.values(),
            [tf.cast(after[name], tf.float32) for name in self.state],
        )
        return self.rule.weights(
            probabilities, before if self.rule.looks_back else after
        )

    def fairness(self, strong: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """FreeMatch's fairness term, of the batches of all replicas.

        Args:
            strong: Logits of the strong views, shape `(batch, num_classes)`.
            weights: What the weak views were given.
        """
        probabilities = tf.nn.softmax(strong)
        classes = tf.one_hot(
            tf.argmax(strong, axis=-1), strong.shape[-1], dtype=strong.dtype
        )
        means = [
            tf.reduce_mean(weights[:, None] * rows, axis=0)
            for rows in (probabilities, classes)
        ]
        running = self._means(strong.dtype)
        return losses.class_fairness(
            *replicas.mean(means), running["marginal"], running["histogram"]
        )

    def _means(self, dtype):
        return {
            name: tf.cast(tf.convert_to_tensor(variable), dtype)
            for name, variable in self.state.items()
        }
