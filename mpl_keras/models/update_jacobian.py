"""How an optimizer's update of the weights depends on the gradient.

An optimizer moves the weights by `u(g)`. What comes before `u` in a chain of
derivatives is met by the transposed Jacobian of `u`: for plain SGD it is
`-learning_rate`, for others a few operations on each weight.
"""

import keras
import tensorflow as tf

from mpl_keras.feedback import inner_product
from mpl_keras.networks import requirements


def pull_back(
    optimizer: keras.optimizers.Optimizer,
    gradients: list[tf.Tensor],
    vectors: list[tf.Tensor],
    variables: list[keras.Variable],
) -> list[tf.Tensor]:
    """`(du/dg)^T v / -learning_rate`, after the update by `g`.

    Exact for `SGD`, with momentum and Nesterov's too, for `Adam` and `AdamW`,
    each with any clipping. For all other optimizers the vectors come back as
    they are, but for the clipping: as if the optimizer were SGD.

    Args:
        optimizer: What has just updated the variables.
        gradients: What it was given, `g`, without a loss scale.
        vectors: `v`, one for each gradient.
        variables: The weights.

    Returns:
        A vector for each gradient.

    Example:
    >>> weight = keras.Variable([1.0, 2.0])
    >>> sgd = keras.optimizers.SGD(0.1, momentum=0.5, nesterov=True)
    >>> gradients, vectors = [tf.constant([1.0, 0.0])], [tf.ones(2)]
    >>> sgd.apply(gradients, [weight])
    >>> pull_back(sgd, gradients, vectors, [weight])[0].numpy()
    array([1.5, 1.5], dtype=float32)
    """
    optimizer = requirements.inner_optimizer(optimizer)
    update_step = type(optimizer).update_step
    if update_step is keras.optimizers.SGD.update_step:
        if optimizer.nesterov and optimizer.momentum:
            vectors = [
                v * (1.0 + keras.ops.cast(optimizer.momentum, v.dtype))
                for v in vectors
            ]
    elif update_step is keras.optimizers.Adam.update_step:
        clipped = optimizer._clip_gradients(gradients)
        vectors = [
            v * _adam_slope(optimizer, gradient, variable)
            for v, gradient, variable in zip(
                vectors, clipped, variables, strict=True
            )
        ]
    return _through_clipping(optimizer, gradients, vectors)


def _adam_slope(adam, gradient, variable):
    """Derivative of Adam's update to the gradient, by weight."""
    index = adam._get_variable_index(variable)
    dtype = gradient.dtype
    moment, square = (
        tf.cast(tf.convert_to_tensor(slots[index]), dtype)
        for slots in (adam._momentums, adam._velocities)
    )
    # As Keras rounds them.
    steps = tf.cast(tf.convert_to_tensor(adam.iterations), dtype)
    power_1 = keras.ops.cast(adam.beta_1, dtype) ** steps
    power_2 = keras.ops.cast(adam.beta_2, dtype) ** steps
    correction = tf.sqrt(1.0 - power_2) / (1.0 - power_1)

    # The gradient is in the moment, and in the square under the root.
    inner = (1.0 - adam.beta_2) * gradient
    if adam.amsgrad:  # the largest square so far: of this step, or not
        largest = tf.convert_to_tensor(adam._velocity_hats[index])
        largest = tf.cast(largest, dtype)
        inner = tf.where(square < largest, tf.zeros_like(inner), inner)
        square = largest
    root = tf.sqrt(square)
    divisor = root + adam.epsilon
    slope = (1.0 - adam.beta_1) / divisor
    slope -= tf.math.divide_no_nan(moment * inner, root * divisor**2)
    return correction * slope


def _through_clipping(optimizer, gradients, vectors):
    """The same for the clipping: a clip by norm takes the radial part out."""
    pairs = list(zip(gradients, vectors, strict=True))
    if optimizer.clipnorm:
        return [
            _through_norm(optimizer.clipnorm, [g], [v])[0] for g, v in pairs
        ]
    if optimizer.global_clipnorm:
        return _through_norm(optimizer.global_clipnorm, gradients, vectors)
    if optimizer.clipvalue:
        return [
            tf.where(tf.abs(g) > optimizer.clipvalue, tf.zeros_like(v), v)
            for g, v in pairs
        ]
    return vectors


def _through_norm(most, gradients, vectors):
    """Of `g * most / |g|` where `|g|` is more: the factor, and no radial part.

    `most / |g| * (v - g <g, v> / |g|^2)`; elsewhere `v`.
    """
    square = inner_product(gradients, gradients)
    norm = tf.sqrt(square)
    clips = norm > most
    factor = tf.where(clips, most / norm, tf.ones_like(norm))
    radial = tf.math.divide_no_nan(inner_product(gradients, vectors), square)
    radial = tf.where(clips, radial, tf.zeros_like(radial))
    return [
        factor * (v - radial * g)
        for g, v in zip(gradients, vectors, strict=True)
    ]
