"""Recorded passes over the views of a batch, and the gradients from them."""

from typing import NamedTuple

import keras
import tensorflow as tf

from mpl_keras import losses
from mpl_keras.distribute import replicas, state
from mpl_keras.networks import batch_norm


class Pass(NamedTuple):
    """A network's recorded passes over the views of a batch."""

    network: keras.Model
    tape: tf.GradientTape
    logits: dict[str, tf.Tensor]
    penalty: tf.Tensor
    learned: list[tf.Tensor]  # logits that gradients come from
    unlearned: list[tf.Tensor]  # examples that no gradient tells of
    prior: tf.Tensor | None  # of the unlabeled examples' classes


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
    unlearned = floats_of([x[view] for view in apart])
    prior = x.get("prior")
    return Pass(network, tape, logits, penalty, learned, unlearned, prior)


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


def any_weight(sample_weight):
    """1.0 if an example of the batch weighs something, or None for "all do".

    On several replicas, if one of any replica's does.
    """
    if sample_weight is None:
        return None
    weight = tf.cast(tf.convert_to_tensor(sample_weight) != 0, tf.float32)
    weight = replicas.mean(tf.reduce_max(weight))
    return tf.cast(weight > 0, tf.float32)


def floats_of(x) -> list[tf.Tensor]:
    """The parts of a batch that could be NaN.

    A fused operation of TensorFlow's, such as a dense layer with ReLU, makes 0
    of NaN: what comes out of a network does not show what went in.
    """
    parts = map(tf.convert_to_tensor, tf.nest.flatten(x))
    return [part for part in parts if part.dtype.is_floating]


def odd_examples(x, labels, num_classes: int) -> tf.Tensor:
    """0.0 for each example, or NaN where it cannot be measured with.

    Args:
        x: Examples, a batch.
        labels: Their labels; out of range, their losses are NaN by themselves.
        num_classes: Number of classes.

    Example:
    >>> rows = tf.constant([[0.5, 0.5], [0.5, 1.5], [0.0, 1.0]])
    >>> x = tf.constant([[1.0], [1.0], [float("nan")]])
    >>> odd_examples(x, rows, 2).numpy()
    array([ 0., nan, nan], dtype=float32)
    """
    odd = sum(odd_rows(labels, num_classes), tf.zeros([]))
    for part in floats_of(x):
        inner = list(range(1, part.shape.rank))
        fine = tf.reduce_all(tf.math.is_finite(part), axis=inner)
        odd += tf.where(fine, 0.0, float("nan"))
    return odd


def odd_rows(labels, num_classes: int) -> list[tf.Tensor]:
    """0.0 for each row of labels, or NaN where it is no probabilities.

    Integers need no such care, and are left out: out of range, their losses
    are NaN.

    Args:
        labels: A tensor, or several by name.
        num_classes: Number of classes.

    Example:
    >>> rows = tf.constant([[0.5, 0.5], [0.5, 1.5]])
    >>> odd_rows({"labeled": rows, "meta": tf.constant([1, 0])}, 2)[0].numpy()
    array([ 0., nan], dtype=float32)
    """
    found = []
    for rows in map(tf.convert_to_tensor, tf.nest.flatten(labels)):
        if rows.shape.rank == 2 and rows.shape[-1] == num_classes:
            rows = tf.cast(rows, tf.float32)
            # Wide enough for smoothed labels in half precision.
            fine = tf.abs(tf.reduce_sum(rows, axis=-1) - 1.0) <= 5e-3
            fine &= tf.reduce_min(rows, axis=-1) >= 0.0
            found.append(tf.where(fine, 0.0, float("nan")))
    return found


def statistics_of(*networks) -> list[tf.Tensor]:
    """What layers keep beside their weights, in one tensor for each dtype.

    One tensor is checked faster than the many of BatchNorm.
    """
    by_dtype = {}
    for network in networks:
        for variable in state.kept_variables(network):
            value = tf.convert_to_tensor(variable.value)
            if value.shape.rank != 1:
                value = tf.reshape(value, [-1])
            by_dtype.setdefault(value.dtype, []).append(value)
    return [tf.concat(values, axis=0) for values in by_dtype.values()]
