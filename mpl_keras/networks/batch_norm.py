"""BatchNorm by one fused operation while a network is trained.

Keras composes it of a dozen operations, each of which reads or writes all
activations. TensorFlow's own for images takes about half their time, there and
back. The layers stay Keras's, so that what is saved is, too.
"""

import contextlib
import functools
from collections.abc import Iterator

import keras
import tensorflow as tf

from mpl_keras.distribute import replicas, state


@contextlib.contextmanager
def fused(network: keras.Model, wanted: bool = True) -> Iterator[None]:
    """Within it, BatchNorm layers of images are fused in training mode.

    Those that the operation is not made for stay as they are: layers of a
    class of their own, renormalised, synchronised, or of another axis than the
    last one; inputs of other ranks and of float64.

    Args:
        network: Whose layers are called.
        wanted: False for what is differentiated twice: TensorFlow composes
            the second derivative itself.

    Example:
    >>> net = keras.Sequential(
    ...     [keras.Input((8, 8, 3)), keras.layers.BatchNormalization()]
    ... )
    >>> with fused(net):
    ...     net(tf.ones((2, 8, 8, 3)), training=True).shape
    TensorShape([2, 8, 8, 3])
    """
    layers = []
    if wanted and replicas.num_replicas() == 1:
        layers = [x for x in state.layers_of(network) if _fits(x)]
    for layer in layers:
        layer.call = functools.partial(_call, layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.call


def statistics(network: keras.Model) -> list[keras.Variable]:
    """The moving statistics that training moves, of all BatchNorm layers.

    Example:
    >>> net = keras.Sequential(
    ...     [keras.Input((2,)), keras.layers.BatchNormalization()]
    ... )
    >>> [variable.name for variable in statistics(net)]
    ['moving_mean', 'moving_variance']
    """
    return [
        variable
        for layer in state.layers_of(network)
        if isinstance(layer, keras.layers.BatchNormalization)
        and layer.trainable
        for variable in layer.non_trainable_variables
    ]


def _fits(layer):
    return (
        type(layer) is keras.layers.BatchNormalization
        and not layer.synchronized
        and not getattr(layer, "renorm", False)
        and layer.trainable
        and layer.axis in (-1, 3)
        and layer.epsilon > 1.001e-5  # cuDNN takes no less
    )


def _call(layer, inputs, training=None, mask=None):
    other = len(inputs.shape) != 4 or inputs.dtype == tf.float64
    if other or not training or mask is not None:
        return type(layer).call(layer, inputs, training=training, mask=mask)
    x = tf.cast(inputs, tf.float32)
    channels = inputs.shape[-1]
    scale = layer.gamma if layer.scale else tf.ones(channels)
    offset = layer.beta if layer.center else tf.zeros(channels)
    outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
        x,
        tf.cast(scale, tf.float32),
        tf.cast(offset, tf.float32),
        epsilon=layer.epsilon,
        is_training=True,
    )
    # That of the batch: what it gives is the estimate for the population.
    count = tf.cast(tf.size(x) // channels, tf.float32)
    variance *= (count - 1.0) / count
    for moving, new in (
        (layer.moving_mean, mean),
        (layer.moving_variance, variance),
    ):
        old = tf.cast(moving, tf.float32)
        moving.assign(old * layer.momentum + new * (1.0 - layer.momentum))
    return tf.cast(outputs, layer.compute_dtype)
