"""What the first batch tells of values that a network was not made for."""

import math
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
_SILENCE = " (`check_first_batch=False` trains nevertheless)"


def check(networks: Mapping[str, keras.Model], x: Any, labels: Any) -> None:
    """Raises if what networks answer at first cannot be trained well.

    The networks answer as in training, and nothing of it stays.

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
    x = tf.nest.map_structure(lambda part: part[:_EXAMPLES], x)
    labels = tf.convert_to_tensor(labels)[:_EXAMPLES]
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


def _answers(network, x):
    """Logits of a network in training, of which nothing stays."""
    state = [(v, tf.identity(v)) for v in network.non_trainable_variables]
    with keras.StatelessScope(state_mapping=state):
        return losses.as_float(network(x, training=True)).numpy()


def _are_probabilities(network, logits):
    """Whether the last layer says so, or all rows sum to 1."""
    if requirements.last_activation(network) in ("softmax", "sigmoid"):
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
