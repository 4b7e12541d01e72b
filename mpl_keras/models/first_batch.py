"""What the first batch tells of values that a network was not made for."""

import math
import warnings
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpl_keras import losses
from mpl_keras.checks.arguments import ArgumentError
from mpl_keras.networks import requirements

_EXAMPLES = 32  # more would tell no more
# A new network guesses: its loss is near log(classes). This much above it is
# sure of wrong answers, because what it sees is hundreds of times too large.
_LOSS_ABOVE = 20.0
# A layer that multiplies by less was made for values up to 255.
_SMALL_SCALE = 1 / 30
_SILENCE = " (`check_first_batch=False` trains nevertheless)"


def check(networks: Mapping[str, keras.Model], x: Any, labels: Any) -> None:
    """Raises if what networks answer at first cannot be trained well.

    The networks answer as in training, and nothing of it stays. Images up to 1
    for a network that divides them by 255 are warned of: they may be dark.

    Args:
        networks: Before their first step, by name.
        x: Labeled examples, a batch.
        labels: Their labels, integers or rows.

    Raises:
        ArgumentError: A network ends in a softmax or sigmoid, or the values of
            the examples are far larger than it was made for.

    Example:
    >>> net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    >>> check({"model": net}, tf.ones((4, 2)), [0, 1, 2, 0])
    """
    x = tf.nest.map_structure(
        lambda part: tf.convert_to_tensor(part[:_EXAMPLES]), x
    )
    labels = tf.convert_to_tensor(labels)[:_EXAMPLES]
    _warn_of_small_values(networks, x)
    for name, network in networks.items():
        logits = _answers(network, x)
        if not np.isfinite(logits).all():
            return  # The step's safeguard counts it.
        if _are_probabilities(network, logits):
            raise ArgumentError(
                name,
                "output logits, without softmax or sigmoid at the end: on "
                "probabilities the losses hardly learn, and no pseudo label "
                "is ever sure. "
                f"{requirements.how_to_give_logits(network)[:-1]}{_SILENCE}",
                f"{network.name!r}, whose outputs are probabilities",
            )
        loss = float(tf.reduce_mean(losses.crossentropy(labels, logits)))
        usual = math.log(logits.shape[-1])
        if loss > usual + _LOSS_ABOVE:
            raise ArgumentError(
                "x",
                "hold values that the networks were made for: scale them, as "
                "by `keras.layers.Rescaling(1 / 255)` at the beginning of each "
                f"network, or standardize the features{_SILENCE}",
                f"values up to {_largest(x):.6g}, on which the loss of "
                f"{name} is {loss:.3g} before the first step, where about "
                f"{usual:.2g} is usual",
            )


def _warn_of_small_values(networks, x):
    """Warns where images were scaled that a network scales again."""
    if not any(_are_images_of_floats(part) for part in tf.nest.flatten(x)):
        return
    largest = _largest(x)
    if not 0 < largest <= 1:
        return
    for name, network in networks.items():
        if _scales_bytes(network):
            warnings.warn(
                f"`{name}` ({network.name!r}) takes images from 0 to 255, and "
                f"the largest value of the first batch is {largest:.6g}: all "
                "images are nearly black to it, and it will hardly learn. "
                "Give it the images as they were, uint8 or floats up to 255."
                " (`check_first_batch=False` silences this)",
                stacklevel=2,
            )
            return


def _are_images_of_floats(part):
    """Whether a tensor is a batch of images that are no integers."""
    return (
        part.shape.rank == 4 and part.shape[-1] <= 4 and part.dtype.is_floating
    )


def _scales_bytes(network):
    """Whether a layer of it is made for values up to 255."""
    return any(
        isinstance(layer, keras.layers.Rescaling)
        and np.max(np.abs(layer.scale)) <= _SMALL_SCALE
        for layer in network._flatten_layers()
    )


def _answers(network, x):
    """Logits of a network in training, of which nothing stays."""
    state = [(v, tf.identity(v)) for v in network.non_trainable_variables]
    with keras.StatelessScope(state_mapping=state):
        return losses.as_float(network(x, training=True)).numpy()


def _are_probabilities(network, logits):
    """Whether the last layer says so, or all rows sum to 1."""
    # The layer that was made last is perhaps not what comes last.
    could_be = ((logits >= 0) & (logits <= 1)).all()
    named = requirements.last_activation(network) in ("softmax", "sigmoid")
    if could_be and named:
        return True
    half = keras.backend.standardize_dtype(network.compute_dtype)
    close = 1e-2 if "16" in half else 1e-5
    sums = logits.sum(axis=-1)
    return bool((logits >= 0).all() and (np.abs(sums - 1) <= close).all())


def _largest(x):
    """The largest absolute value of numbers in a batch."""
    parts = [np.asarray(part) for part in tf.nest.flatten(x)]
    return max(
        (
            float(np.abs(part.astype("float64")).max())
            for part in parts
            if part.size and part.dtype.kind in "iuf"
        ),
        default=math.nan,
    )
