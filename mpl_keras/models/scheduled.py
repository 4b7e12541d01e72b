"""Schedules, looked at before the steps that they are for.

A weight or rate that turns negative climbs the loss that it weighs. A step that
asked would take longer, so the coming steps are asked for together.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from mpl_keras import schedules
from mpl_keras.checks.arguments import ArgumentError

_AHEAD = 256  # steps
_FEW_AHEAD = 16  # where each is a call
_MOST_AHEAD = 4096  # at the beginning of `fit`
_ROUNDING = 1e-6


class Scheduled(NamedTuple):
    """A schedule, and what its values may be.

    Example:
    >>> ramp = schedules.LinearRamp(3.0, steps=10)
    >>> step = keras.Variable(0, dtype="int64")
    >>> Scheduled("consistency_weight", "", ramp, step).any_sign
    False

    Attributes:
        argument: What the user calls what has the schedule.
        what: The same within the argument, or "" for itself.
        schedule: Of the steps that `counter` counts.
        counter: Variable with the number of the next step.
        most: Highest value, or None.
        any_sign: Whether it may be negative from the beginning.
    """

    argument: str
    what: str
    schedule: Callable[[Any], Any]
    counter: keras.Variable
    most: float | None = None
    any_sign: bool = False


class ScheduleCheck:
    """Raises before a step for which a schedule has no allowed value.

    Args:
        scheduled: Returns what there is to check, as it is then.
        eager: Returns whether schedules are to be called outside of graphs.

    Example:
    >>> schedule = keras.optimizers.schedules.PolynomialDecay(
    ...     1.0, 10, end_learning_rate=-1.0
    ... )
    >>> step = keras.Variable(0, dtype="int64")
    >>> check = ScheduleCheck(
    ...     lambda: [Scheduled("consistency_weight", "", schedule, step)]
    ... )
    >>> check.all_of(5)
    >>> check.all_of(10)
    Traceback (most recent call last):
    ...
    mpl_keras.checks.arguments.ArgumentError: `consistency_weight` must be a \
schedule that is finite and not negative at every step. Received: \
consistency_weight=PolynomialDecay, which is -0.2 at step 6
    """

    def __init__(
        self,
        scheduled: Callable[[], Sequence[Scheduled]],
        eager: Callable[[], bool] = lambda: False,
    ):
        self._scheduled = scheduled
        self._eager = eager
        self._graphs = {}  # values at many steps, by the schedule's identity
        self._positive = set()
        self._fine = 0  # coming steps that were looked at
        self._error = None  # of the step after these

    def forget(self) -> None:
        """Looks again before the next step: there are other schedules."""
        self._fine = 0

    def all_of(self, steps: int) -> None:
        """Looks at the steps of a training, the first thousands of them.

        Raises:
            ArgumentError: A value is not finite, or negative, or too high.
        """
        steps = min(steps, _MOST_AHEAD)
        self._look(steps)
        if self._fine < steps:
            raise self._error

    def warn_of_waiting(self, steps: int) -> None:
        """Warns of what waits for all of a training that begins.

        Args:
            steps: Of this call of `fit`; 0 is unknown.
        """
        for part in self._scheduled():
            waits = getattr(part.schedule, "steps", 0)
            delayed = isinstance(part.schedule, schedules.Delayed)
            if delayed and 0 < steps <= waits and not int(part.counter.numpy()):
                warnings.warn(
                    f"The {part.what or 'value'} of `{part.argument}` is 0 "
                    f"until step {waits:,}, and this `fit` ends at step "
                    f"{steps:,}: until then nothing is trained by it. Train "
                    f"for more than {waits:,} steps, here or in another "
                    "`fit`, or let its `schedules.Delayed` wait for fewer.",
                    stacklevel=3,
                )

    def before(self, steps: int) -> None:
        """Raises before the next steps if one of them has no such value.

        Raises:
            ArgumentError: As above.
        """
        if self._fine < steps:
            few = _FEW_AHEAD if self._eager() else _AHEAD
            self._look(max(few, steps))
            if self._fine < steps:
                raise self._error
        self._fine -= steps

    def _look(self, steps):
        """Finds the first of the coming steps that is not allowed."""
        self._fine, self._error = steps, None
        for part in self._scheduled():
            first = int(part.counter.numpy())
            numbers = np.arange(first, first + steps, dtype=part.counter.dtype)
            try:
                values = self._values(part.schedule, numbers)
            except Exception:  # perhaps none of steps so far ahead
                continue
            bad = self._is_bad(part, values)
            if bad.any() and int(np.argmax(bad)) < self._fine:
                self._fine = int(np.argmax(bad))
                self._error = _error(
                    part, first + self._fine, values[self._fine]
                )

    def _is_bad(self, part, values):
        slack = _ROUNDING * np.abs(values).max(initial=0.0)
        bad = ~np.isfinite(values)
        if part.any_sign:
            was = id(part.schedule) in self._positive
            positive = np.logical_or.accumulate(values > slack) | was
            bad |= (values < -slack) & positive
            if was or positive.any():
                self._positive.add(id(part.schedule))
        else:
            bad |= values < -slack
        if part.most is not None:
            bad |= values > part.most + slack
        return bad

    def _values(self, schedule, steps):
        """Its values at these steps, without a call for each."""
        if self._eager():
            return np.array([schedules.value_at(schedule, n) for n in steps])
        known = self._graphs.get(id(schedule))
        if known is None or known[0] is not schedule:
            graph = tf.function(
                lambda steps: tf.map_fn(
                    lambda step: schedules.value_at(schedule, step),
                    steps,
                    fn_output_signature=tf.float32,
                )
            )
            # Made at once: TensorFlow would warn of many models' many graphs.
            counter = tf.TensorSpec([None], steps.dtype)
            known = schedule, graph.get_concrete_function(counter)
            self._graphs[id(schedule)] = known
        with tf.device("CPU:0"):
            return known[1](tf.constant(steps)).numpy()


def _error(part, step, value):
    """What is wrong with a schedule's value at a step."""
    limits = "finite and not negative"
    if part.any_sign:
        limits = "finite and never negative after it was positive,"
    if part.most is not None:
        limits = f"finite and in [0, {part.most:g}]"
    must = f"be a schedule that is {limits} at every step"
    if part.what:
        must = f"have a {part.what} that is {limits} at every step"
    return ArgumentError(
        part.argument,
        must,
        f"{type(part.schedule).__name__}, which is {value:.3g} at step {step}",
    )
