"""A step that went bad leaves no trace.

A loss or gradient that is not finite is found when the networks have moved
already: BatchNorm's statistics in the forward pass, the student before the
teacher's gradient exists. So everything that a step changes is kept, and put
back if it went bad on any replica.
"""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from mpl_keras import distribution


def finite(quantities: Mapping[str, Any]) -> tf.Tensor:
    """Which quantities are finite on all replicas.

    Args:
        quantities: Tensors, or lists of tensors, by name.

    Returns:
        Booleans, shape [len(quantities)].

    Example:
    >>> finite({"loss": tf.constant(1.0), "gradient": [tf.constant([1 / 3])]})
    <tf.Tensor: shape=(2,), dtype=bool, numpy=array([ True,  True])>
    """
    flags = []
    for tensors in quantities.values():
        flags.append(
            tf.reduce_all(
                [
                    tf.reduce_all(tf.math.is_finite(tensor))
                    for tensor in tf.nest.flatten(tensors)
                ]
            )
        )
    shares = distribution.mean(tf.cast(tf.stack(flags), tf.float32))
    return shares >= 1.0


class Snapshot:
    """Values of variables, to be put back if a step goes bad.

    Args:
        variables: Keras variables.

    Example:
    >>> import keras
    >>> variable = keras.Variable(1.0)
    >>> before = Snapshot([variable])
    >>> variable.assign(float("nan"))
    <...>
    >>> before.restore_unless(tf.constant(False))
    >>> float(variable)
    1.0
    """

    def __init__(self, variables):
        self._variables = list(variables)
        # No copies yet: what changes a variable makes one if it must.
        self._values = [tf.identity(v.value) for v in self._variables]

    def restore_unless(self, good: tf.Tensor) -> None:
        """Puts the values back unless the step was good."""
        if distribution.num_replicas() > 1:
            # Assigning speaks to other replicas, which a branch must not.
            values = [
                tf.where(good, tf.convert_to_tensor(v.value), old)
                for v, old in zip(self._variables, self._values, strict=True)
            ]
            distribution.assign(self._variables, values)
            return

        def restore():
            distribution.assign(self._variables, self._values)
            return True

        tf.cond(good, lambda: True, restore)
