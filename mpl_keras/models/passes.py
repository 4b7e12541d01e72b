"""Recorded passes over the views of a batch, and the gradients from them."""

from typing import NamedTuple

import keras
import tensorflow as tf

from mpl_keras import losses
from mpl_keras.distribute import replicas
from mpl_keras.networks import batch_norm


class Pass(NamedTuple):
    """A network's recorded passes over the views of a batch."""

    network: keras.Model
    tape: tf.GradientTape
    logits: dict[str, tf.Tensor]
    penalty: tf.Tensor
    learned: list[tf.Tensor]  # logits that gradients come from


def forward(network, x, views, learned):
    """Training passes over the views of a batch.

    All that it learns through go together: one pass is cheaper than three,
    and lets BatchNorm see labeled and unlabeled examples. The weak views,
    nearly half of all, may go by themselves where nothing is learned
    through them: their activations are not kept, and there is no backward
    pass. Each pass updates the moving statistics once.

    Args:
        network: What looks at them.
        x: Batch of views.
        views: Those that are looked at.
        learned: Those through whose logits it will learn.
    """
    logits = {}
    apart = [view for view in views if view not in learned]
    if apart:
        logits |= _look(network, x, apart)
    with tf.GradientTape() as tape:
        logits |= _look(network, x, learned)
        penalty = penalty_of(network, logits["labeled"].dtype)
    learned = [logits[view] for view in learned]
    return Pass(network, tape, logits, penalty, learned)


def apply(optimizer, recorded, gradients):
    """Updates a network, given the gradients to its logits."""
    penalty = recorded.penalty
    scale = optimizer.scale_loss(1.0) / replicas.num_replicas()
    scale = tf.cast(scale, penalty.dtype)
    variables = recorded.network.trainable_variables
    gradients = gradients_of(
        recorded.tape,
        [*recorded.learned, penalty],
        variables,
        [g * scale for g in (*gradients, tf.ones_like(penalty))],
    )
    replicas.apply_gradients(optimizer, gradients, variables)
    return gradients


def _look(network, x, names):
    """Logits of some views, in one batch, by name."""
    images = tf.nest.map_structure(
        lambda *parts: tf.concat(parts, axis=0), *(x[name] for name in names)
    )
    with batch_norm.fused(network):
        logits = losses.as_float(network(images, training=True))
    sizes = [tf.shape(tf.nest.flatten(x[name])[0])[0] for name in names]
    return dict(zip(names, tf.split(logits, sizes), strict=True))


def penalty_of(network, dtype) -> tf.Tensor:
    """Sum of the regularisers' losses in a network's last pass."""
    return tf.add_n(
        [tf.zeros((), dtype)] + [tf.cast(x, dtype) for x in network.losses]
    )


def gradients_of(tape, target, sources, output_gradients=None):
    """Dense gradients, zeros where the target does not depend on a source."""
    gradients = tape.gradient(
        target,
        sources,
        output_gradients=output_gradients,
        unconnected_gradients=tf.UnconnectedGradients.ZERO,
    )
    return [tf.convert_to_tensor(gradient) for gradient in gradients]


def confidence(logits) -> tf.Tensor:
    """Mean over the batch of the highest probability."""
    return tf.reduce_mean(tf.reduce_max(tf.nn.softmax(logits), axis=-1))


def weights_of(network) -> list[tf.Tensor]:
    """The weights that are trained, as they are now."""
    return [v.value for v in network.trainable_variables]


def weighted_mean(values, sample_weight):
    """Mean over the batch of values, each times its weight."""
    if sample_weight is not None:
        weight = tf.cast(sample_weight, values.dtype)
        values *= tf.reshape(weight, tf.shape(values))
    return tf.reduce_mean(values)
