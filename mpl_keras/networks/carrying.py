"""What layers keep beside their weights, carried from a network to its copy.

A vocabulary that was adapted stands in a table, statistics are cached as
tensors, boundaries are a list: Keras's `set_weights` knows none of them.
"""

import functools
import os
import tempfile
import types
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpl_keras.distribute import state

LOOKUPS = keras.layers.StringLookup, keras.layers.IntegerLookup
# They finalize what they have seen of the data: a copy has seen nothing.
_ADAPTED = *LOOKUPS, keras.layers.TextVectorization, keras.layers.Discretization


def copy_model(network: keras.Model, copies: dict) -> keras.Model:
    """A copy of a Functional or Sequential model, without its weights.

    A function within a layer is the same function: nothing of it is written to
    a configuration, which Keras would not trust.

    Args:
        network: The model.
        copies: Copies of layers by the identity of the layer: one that stands
            in two places of a network does so in its copy.
    """

    def copy_layer(layer):
        if id(layer) not in copies:
            copies[id(layer)] = _copy_layer(layer, copies)
        return copies[id(layer)]

    return keras.models.clone_model(network, clone_function=copy_layer)


def _copy_layer(layer, copies):
    layers, kind = keras.layers, type(layer)
    if hasattr(layer, "inputs") and _is_keras(layer):
        return copy_model(layer, copies)
    if kind is layers.Lambda:
        return layers.Lambda(
            layer.function,
            layer._output_shape,
            layer.mask,
            layer.arguments,
            name=layer.name,
            dtype=layer.dtype_policy,
            trainable=layer.trainable,
        )
    config = layer.get_config()
    if isinstance(layer, layers.TextVectorization):
        # A file's vocabulary comes after its network was made.
        size = layer.compute_output_shape((None, 1))[-1]
        config["vocabulary_size"] = size or config["vocabulary_size"]
    if kind is layers.TFSMLayer:
        return layers.TFSMLayer(**config)
    plain = layers.Wrapper.from_config.__func__
    if isinstance(layer, layers.Wrapper) and kind.from_config.__func__ is plain:
        config["layer"] = _copy_layer(layer.layer, copies)
        return kind(**config)
    copy = kind.from_config(config)
    if isinstance(layer, keras.layers.Layer):
        carry_vocabularies(layer, copy)
    return copy


def carry(network: keras.Model, copy: keras.Model) -> bool:
    """Gives a copy what the layers of a network keep beside their weights.

    Args:
        network: The network.
        copy: A copy of it, with the same weights.

    Returns:
        Whether something of the copy was another before.

    Example:
    >>> layer = keras.layers.StringLookup()
    >>> network = keras.Sequential([keras.Input((1,), dtype="string"), layer])
    >>> copy = keras.models.clone_model(network)
    >>> layer.adapt(np.array(["blue", "red", "red"]))
    >>> carry(network, copy), carry(network, copy)
    (True, False)
    >>> copy.layers[0].vocabulary_size()
    3
    """
    changed = carry_vocabularies(network, copy)
    finalize(copy)
    for source, target in _pairs(network, copy):
        if not (_is_keras(target) and _finalizes(target)):
            changed |= _carry_attributes(source, target)
    return changed


def finalize(network: keras.Model) -> None:
    """Lets layers such as `Normalization` compute by the weights they have.

    They compute by a copy of these, which `set_weights` leaves as it was.

    Args:
        network: A network whose weights were set.
    """
    for layer in state.layers_of(network):
        if _finalizes(layer):
            layer.finalize_state()


def _finalizes(layer):
    """Whether a layer computes by a copy of its weights."""
    return hasattr(layer, "finalize_state") and not isinstance(layer, _ADAPTED)


def carry_vocabularies(network: keras.Layer, copy: keras.Layer) -> bool:
    """Gives a copy the vocabularies of a network's layers.

    Args:
        network: A network or a layer.
        copy: A copy of it, built or not.

    Returns:
        Whether one of the copy was another before.
    """
    changed = False
    for source, target in _pairs(network, copy):
        if not isinstance(source, LOOKUPS) or not has_vocabulary(source):
            continue
        known = _vocabulary(source)
        if not _same(known, has_vocabulary(target) and _vocabulary(target)):
            target.set_vocabulary(*known)
            changed = True
    return changed


def has_vocabulary(layer: keras.layers.Layer) -> bool:
    """Whether a lookup was adapted, or has its vocabulary by argument."""
    return int(layer.lookup_table.size()) > 0


def _vocabulary(layer):
    """What `set_vocabulary` takes."""
    words = layer.get_vocabulary()
    if layer.output_mode != "tf_idf":
        return (words,)
    return words, layer.idf_weights_const.numpy()[: len(words)]


def carry_saved(network: keras.Model, copy: keras.Model) -> None:
    """Gives a copy what layers of the user's own classes write to files.

    Args:
        network: The network.
        copy: A copy of it, whose weights may be overwritten.
    """
    for source, target in _pairs(network, copy):
        if _is_keras(source):
            continue
        if _overrides(source, "save_own_variables"):
            store = {}
            source.save_own_variables(store)
            target.load_own_variables(
                {name: np.asarray(value) for name, value in store.items()}
            )
        if _overrides(source, "save_assets"):
            with tempfile.TemporaryDirectory() as folder:
                source.save_assets(folder)
                if os.listdir(folder):
                    target.load_assets(folder)


def _overrides(layer, method):
    own = getattr(type(layer), method, None)
    return own is not getattr(keras.layers.Layer, method, None)


def _carry_attributes(source, target) -> bool:
    """Gives a layer the plain values that are attributes of another."""
    changed = False
    for name, value in vars(source).items():
        if name in _keras_attributes() or not _is_plain(value):
            continue
        # What Keras's own layers hide is a matter of their inputs.
        if name.startswith("_") and _is_keras(source):
            continue
        if name in vars(target) and _same(value, vars(target)[name]):
            continue
        setattr(target, name, _copied(value))
        changed = True
    return changed


@functools.cache
def _keras_attributes():
    """Names that Keras itself gives to layers and models."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return {*vars(keras.layers.Layer()), *vars(model)}


def _pairs(network, copy) -> Iterator[tuple[Any, Any]]:
    """The layers of a network, each with its copy."""
    sources, targets = state.layers_of(network), state.layers_of(copy)
    if [type(x) for x in sources] == [type(x) for x in targets]:
        return zip(sources, targets, strict=True)
    # A class of the user's own may hold more layers than it uses.
    names = {(type(x), x.name): x for x in targets}
    keys = [(type(x), x.name) for x in sources]
    return (
        (source, names[key])
        for source, key in zip(sources, keys, strict=True)
        if key in names
    )


def _is_keras(layer):
    return type(layer).__module__.split(".")[0] == "keras"


def _is_plain(value) -> bool:
    """Whether it is a value, and nothing that belongs to one layer alone."""
    if isinstance(value, (list, tuple)):
        return all(_is_plain(part) for part in value)
    if isinstance(value, dict):
        return all(_is_plain(part) for part in value.values())
    if isinstance(value, types.FunctionType):
        return value.__closure__ is None  # it might hold the layer
    kinds = bool, int, float, complex, str, bytes, np.ndarray, np.generic
    if isinstance(value, tf.Tensor):
        return hasattr(value, "numpy")  # none of a graph
    return value is None or isinstance(value, kinds)


def _same(value, other) -> bool:
    if isinstance(value, (list, tuple)):
        return (
            isinstance(other, (list, tuple))
            and len(value) == len(other)
            and all(map(_same, value, other))
        )
    if isinstance(value, dict):
        return (
            isinstance(other, dict)
            and value.keys() == other.keys()
            and all(_same(value[key], other[key]) for key in value)
        )
    if isinstance(value, types.FunctionType):
        return value is other or value.__code__ is getattr(
            other, "__code__", None
        )
    arrays = np.ndarray, tf.Tensor
    if isinstance(value, arrays):
        if not isinstance(other, arrays):
            return False
        value, other = np.asarray(value), np.asarray(other)
        return value.dtype == other.dtype and (
            value.tobytes() == other.tobytes() and value.shape == other.shape
        )
    return type(value) is type(other) and (value == other or value != value)


def _copied(value):
    """The value, in containers of its own."""
    if isinstance(value, list):
        return [_copied(part) for part in value]
    if isinstance(value, dict):
        return {key: _copied(part) for key, part in value.items()}
    return np.array(value) if isinstance(value, np.ndarray) else value
