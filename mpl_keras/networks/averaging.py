"""The exponential moving average of a network, kept in a clone of it.

Keras's own `use_ema` lives in an optimizer, is exported by nobody, leaves
BatchNorm's statistics out, and at the end of `fit` overwrites whichever
variables the model tracks first. A clone is saved, loaded, evaluated and
exported like any network.
"""

import inspect

import keras
import tensorflow as tf

from mpl_keras.distribute import replicas, state
from mpl_keras.networks import carrying, requirements


def clone(network: keras.Model, argument: str = "student") -> keras.Model:
    """A copy of a network, with its weights, that is never trained.

    What layers keep beside their weights is copied too: vocabularies,
    statistics that were adapted, plain attributes.

    Args:
        network: A built Keras model: Functional, Sequential, or a subclass
            with `get_config`.
        argument: What to call the network in an error.

    Raises:
        ValueError: If the network, or a layer in it, cannot be copied.
    """
    try:
        if hasattr(network, "inputs"):
            copy = carrying.copy_model(network, {})
        else:
            copy = type(network).from_config(network.get_config())
            carrying.carry_vocabularies(network, copy)
            copy(requirements.symbolic_inputs(network))
        copy.set_weights(network.get_weights())
        carrying.carry_saved(network, copy)
        carrying.carry(network, copy)
    except Exception as error:
        raise ValueError(
            f"`{argument}` must be a model that Keras can clone, because its "
            "moving average is kept in a clone: build it from layers with "
            "`keras.Input`, or give its class (and those of its layers) "
            f"`get_config`. Received: {argument}={network.name!r} of class "
            f"{type(network).__name__}, which failed with: {error}"
        ) from error
    copy.trainable = False
    return copy


def as_evaluated(network: keras.Model) -> keras.Model:
    """The network, such that its export does what its evaluation does.

    Keras's layers for augmentation are at work unless told otherwise, and an
    export tells them nothing.

    Args:
        network: A built network.

    Returns:
        The same, or one around it.

    Example:
    >>> network = keras.Sequential(
    ...     [keras.Input((8, 8, 1)), keras.layers.RandomFlip()]
    ... )
    >>> x = tf.random.normal((20, 8, 8, 1))
    >>> bool(tf.reduce_all(as_evaluated(network)(x) == x))
    True
    """
    if not any(map(_is_random_by_default, state.layers_of(network))):
        return network
    inputs = keras.tree.map_structure(
        lambda x: keras.Input(batch_shape=x.shape, dtype=x.dtype, name=x.name),
        requirements.symbolic_inputs(network),
    )
    outputs = network(inputs, training=False)
    return keras.Model(inputs, outputs, name=network.name)


def _is_random_by_default(layer):
    training = inspect.signature(layer.call).parameters.get("training")
    return training is not None and training.default is True


def momentum_at(step, momentum: float) -> tf.Tensor:
    """Momentum after `step` updates: `min(momentum, (step + 1)/(step + 10))`.

    While it is young the average follows quickly, so that it does not drag the
    initial weights along.

    Example:
    >>> [round(float(momentum_at(step, 0.995)), 3) for step in (0, 8, 9999)]
    [0.1, 0.5, 0.995]
    """
    step = tf.cast(step, tf.float32)
    return tf.minimum(momentum, (step + 1.0) / (step + 10.0))


def update(average: keras.Model, network: keras.Model, momentum) -> None:
    """Moves the average towards the network, BatchNorm's statistics included.

    Statistics that were copied would belong to other weights than those of the
    average.

    Weights that are not floating point (counters, tables) are copied.
    """
    variables, values = [], []
    for old, new in zip(average.weights, network.weights, strict=True):
        new = tf.convert_to_tensor(new)
        if new.dtype.is_floating:
            rate = tf.cast(1.0 - momentum, new.dtype)
            new = old + rate * (new - old)
        variables.append(old)
        values.append(new)
    replicas.assign(variables, values)


def follow(
    average: keras.Model, network: keras.Model, step, momentum: float
) -> None:
    """Moves the average after `step` steps, with its momentum of then."""
    update(average, network, momentum_at(step, momentum))
