"""What examples must be for a network to take them.

Layers say it too, each in its own words, of a tensor that no user knows.
"""

from typing import Any

import keras
import tensorflow as tf

from mpl_keras.checks import arrays
from mpl_keras.checks.arguments import ArgumentError
from mpl_keras.networks import requirements


def check(network: keras.Model, x: Any, argument: str) -> None:
    """Raises if a network cannot take such examples.

    Looks at structure, shapes and dtypes alone.

    Args:
        network: A network; one without symbolic inputs takes what it takes.
        x: Arrays, tensors or their specifications, the first axis the batch.
        argument: What the user calls them.

    Raises:
        ArgumentError: It says what the network takes, and what came.

    Example:
    >>> net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    >>> check(net, tf.zeros((2, 4)), "x")
    >>> check(net, tf.zeros((2, 5)), "x")
    Traceback (most recent call last):
    ...
    mpl_keras.checks.arguments.ArgumentError: `x` must hold examples of shape \
(4,), as the network takes them. Received: x=examples of shape (5,)
    """
    if not hasattr(network, "inputs") or x is None:
        return
    wanted = requirements.symbolic_inputs(network)
    for spec, leaf, name in _pairs(wanted, _arrays(x), argument):
        if not isinstance(leaf, tf.RaggedTensor):
            arrays.check_leaf(leaf, name)
            _check_shape(spec, leaf, name)
            _check_dtype(spec, leaf, name)


def _arrays(x):
    """The same, with arrays in place of data frames."""
    return keras.tree.map_structure(
        lambda leaf: leaf.to_numpy() if hasattr(leaf, "to_numpy") else leaf, x
    )


def _pairs(wanted, x, argument):
    """Each input of a network, what is given for it, and its name."""
    specs = keras.tree.flatten(wanted)
    if isinstance(x, dict):
        names = [spec.name for spec in specs]
        if isinstance(wanted, dict):
            names = list(wanted)
            specs = [wanted[name] for name in names]
        gone = [name for name in names if name not in x]
        if gone:
            raise ArgumentError(
                argument,
                f"hold the network's inputs by their names, {names}",
                f"a dict of {sorted(x)}",
            )
        return [
            (spec, x[name], f"{argument}[{name!r}]")
            for spec, name in zip(specs, names, strict=True)
        ]
    leaves = keras.tree.flatten(x)
    if len(leaves) != len(specs):
        if not all(hasattr(leaf, "shape") for leaf in leaves):
            arrays.check_leaf(x, argument)
        raise ArgumentError(
            argument,
            f"hold {len(specs)} arrays, one for each input of the network"
            if len(specs) > 1
            else "be one array, as the network takes one",
            f"{len(leaves)} arrays" if len(leaves) > 1 else "one array",
        )
    several = len(specs) > 1
    return [
        (spec, leaf, f"{argument}[{i}]" if several else argument)
        for i, (spec, leaf) in enumerate(zip(specs, leaves, strict=True))
    ]


def _check_shape(spec, leaf, name):
    shape = tf.TensorShape(leaf.shape)
    if shape.rank is None or spec.shape is None:
        return
    came, takes = tuple(shape)[1:], tuple(spec.shape)[1:]
    if not shape.rank or not requirements.compatible(came, takes):
        raise ArgumentError(
            name,
            f"hold examples of shape {takes}, as the network takes them",
            f"examples of shape {came}" if shape.rank else "a plain number",
        )


def _check_dtype(spec, leaf, name):
    came, takes = (
        tf.as_dtype(value if isinstance(value, str) else _tf(value))
        for value in (leaf.dtype, spec.dtype)
    )
    if (came == tf.string) != (takes == tf.string):
        takes = "text" if takes == tf.string else "numbers"
        raise ArgumentError(
            name,
            f"hold {takes}, as the network takes them",
            f"values of dtype {came.name}",
        )
    if came.is_floating and takes.is_integer:
        raise ArgumentError(
            name,
            f"hold whole numbers, as the network takes them: its input is of "
            f"{takes.name}, and would cut off what stands behind the point",
            f"values of dtype {came.name}",
        )


def _tf(dtype):
    kind = getattr(dtype, "kind", "")
    return tf.string if kind in ("U", "S") else dtype
