"""Learning rates that are assigned between steps, by callbacks above all.

To read a rate before each step would let a device wait: rates tell when they
are assigned, and are looked at then.
"""

from collections.abc import Mapping
from typing import Any

import keras

from mpl_keras.checks.arguments import ArgumentError
from mpl_keras.distribute import state
from mpl_keras.networks import assigning, requirements


class AssignedRates:
    """Raises before a step whose learning rate may not be what it is.

    Example:
    >>> sgd, rates = keras.optimizers.SGD(0.1), AssignedRates()
    >>> rates.watch({"optimizer": sgd})
    >>> sgd.learning_rate = 0.2
    >>> rates.check()
    >>> sgd.learning_rate.assign(-0.1)
    <...>
    >>> rates.check()
    Traceback (most recent call last):
    ...
    mpl_keras.checks.arguments.ArgumentError: `optimizer` must have a \
learning_rate that is finite and not negative. Received: optimizer=SGD with \
learning_rate=-0.1
    """

    def __init__(self):
        self._watched = {}  # argument and optimizer, by the rate's identity
        self._errors = {}
        self._rates = []  # what optimizers have their rates from

    def replaced(self, optimizers: Mapping[str, Any]) -> bool:
        """Whether an optimizer got a schedule, or another, since asked last.

        A step that was traced goes on with what it had then.

        Args:
            optimizers: By the names of their arguments.
        """
        inner = map(requirements.inner_optimizer, optimizers.values())
        before, self._rates = self._rates, list(map(state.rate_of, inner))
        pairs = zip(before, self._rates, strict=False)
        return any(old is not new for old, new in pairs)

    def watch(self, optimizers: Mapping[str, Any]) -> None:
        """Listens to rates that are numbers; schedules are looked at ahead.

        Args:
            optimizers: By the names of their arguments.
        """
        self._watched.clear()
        self._errors.clear()
        for argument, optimizer in optimizers.items():
            inner = requirements.inner_optimizer(optimizer)
            rate = state.rate_variable(inner)
            if rate is not None:
                self._watched[id(rate)] = argument, inner
                assigning.listen(rate, self)

    def assigned(self, variable: keras.Variable, value: Any) -> None:
        """A rate was assigned, not by the graph of a step."""
        if id(variable) not in self._watched:
            return  # of an optimizer of before
        argument, optimizer = self._watched[id(variable)]
        self._errors.pop(id(variable), None)
        try:
            requirements.check_rate(optimizer, "learning_rate", value, argument)
        except ArgumentError as error:
            self._errors[id(variable)] = error

    def check(self) -> None:
        """Raises if a rate is negative or not finite since it was assigned.

        Raises:
            ArgumentError: It names the optimizer.
        """
        for error in self._errors.values():
            raise error
