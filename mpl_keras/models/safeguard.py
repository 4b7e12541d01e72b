"""A step that went bad leaves no trace.

A loss or gradient that is not finite is found when the networks have moved
already: BatchNorm's statistics in the forward pass, the student before the
teacher's gradient exists. So everything that a step changes is kept, and put
back if it went bad on any replica.
"""

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from mpl_keras.distribute import replicas, state


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
    axes = {}  # one constant for each rank: there are hundreds of tensors

    def whole(tensor):
        tensor = tf.convert_to_tensor(tensor)
        rank = tensor.shape.rank
        if rank not in axes:
            axes[rank] = tf.constant(list(range(rank)), tf.int32, [rank])
        return tf.raw_ops.All(
            input=tf.raw_ops.IsFinite(x=tensor), axis=axes[rank]
        )

    flags = [
        tf.reduce_all([whole(tensor) for tensor in flat]) if flat else True
        for flat in map(tf.nest.flatten, quantities.values())
    ]
    shares = replicas.mean(tf.cast(tf.stack(flags), tf.float32))
    return shares >= 1.0


class Safeguard:
    """Keeps what a step changes, puts it back if the step went bad, counts.

    Args:
        make_state: Makes a variable of the model, from its name, its shape,
            its initializer and its dtype.

    Attributes:
        bad_steps: How many steps had a loss or gradient that was not finite,
            and were undone.
        limit: After so many in a row training stops.

    Example:
    >>> import keras
    >>> def make_state(name, shape, initializer, dtype):
    ...     return keras.Variable(tf.zeros(shape, dtype), name=name)
    >>> safeguard, weight = Safeguard(make_state), keras.Variable(1.0)
    >>> before = Snapshot([weight])
    >>> weight.assign(float("nan"))
    <...>
    >>> safeguard.finish(before, {"weight": weight.value})
    >>> float(weight), int(safeguard.bad_steps.numpy())
    (1.0, 1)
    """

    limit = 20

    def __init__(self, make_state: Callable[..., Any]):
        def counter(name):
            return make_state(name, (), "zeros", "int64")

        self.bad_steps = counter("bad_steps")
        self._bad_in_row = counter("bad_in_row")
        self._first_bad = counter("first_bad")
        self._quantities = ()
        self._scaled = False  # whether an optimizer scales losses

    def keep(self, model) -> "Snapshot":
        """All that a step of the model may change, but for its counters."""
        counters = (model.step, self.bad_steps, self._bad_in_row)
        left_out = {id(v) for v in (*counters, self._first_bad)} | {
            id(v) for v in state.loss_scale_variables(model)
        }
        self._scaled = state.loss_scale_variables(model) != []
        return Snapshot(
            v for v in state.state_variables(model) if id(v) not in left_out
        )

    def finish(self, before: "Snapshot", quantities) -> None:
        """Puts back what was, and counts, if a quantity is not finite.

        A gradient that overflowed under float16's loss scale is not counted:
        the scale is halved, and the next step is tried with that.

        Args:
            before: What `keep` returned before the step.
            quantities: Tensors, or lists of tensors, by their name in errors.
        """
        good = finite(quantities)
        before.restore_unless(tf.reduce_all(good))
        counted = [
            not (self._scaled and "gradient" in name) for name in quantities
        ]
        bad = tf.logical_not(good) & tf.constant(counted)
        any_bad = tf.cast(tf.reduce_any(bad), tf.int64)
        in_row = tf.convert_to_tensor(self._bad_in_row)
        first = tf.where(
            (any_bad == 1) & (in_row == 0),
            tf.argmax(bad),
            tf.convert_to_tensor(self._first_bad),
        )
        replicas.assign(
            [self.bad_steps, self._bad_in_row, self._first_bad],
            [self.bad_steps + any_bad, (in_row + 1) * any_bad, first],
        )
        self._quantities = tuple(quantities)

    def check(self, step: int, num_classes: int) -> None:
        """Raises if too many steps in a row went bad; `fit` calls it.

        Args:
            step: How many steps were trained.
            num_classes: Labels are below it.

        Raises:
            FloatingPointError: It names the quantity that went bad first.
        """
        count = int(self._bad_in_row.numpy())
        if count >= self.limit:
            name = self._quantities[int(self._first_bad.numpy())]
            raise FloatingPointError(
                f"{count} steps in a row had values that are not finite: the "
                f"first was the {name}, in step {step - count}. They left no "
                "trace: weights, statistics and backups are those of the last "
                "good step. Look for such values in the data, and for labels "
                f"outside of [0, {num_classes}) or rows of labels that do not "
                "sum to 1, or lower the learning rate."
            )


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
        self._values = [tf.convert_to_tensor(v.value) for v in self._variables]

    def restore_unless(self, good: tf.Tensor) -> None:
        """Puts the values back unless the step was good."""
        if replicas.num_replicas() > 1:
            # Assigning speaks to other replicas, which a branch must not.
            values = [
                tf.where(good, tf.convert_to_tensor(v.value), old)
                for v, old in zip(self._variables, self._values, strict=True)
            ]
            replicas.assign(self._variables, values)
            return

        def restore():
            # TensorFlow's own: Keras's adds five operations for each.
            for variable, old in zip(
                self._variables, self._values, strict=True
            ):
                variable.value.assign(old, read_value=False)
            return True

        tf.cond(good, lambda: True, restore)
