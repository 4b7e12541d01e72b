"""Variables tell who asks when a value is assigned to them.

A compiled step assigns in its graph, and is not told of: nothing of it costs a
step anything.
"""

import copy
import types
import weakref
from typing import Any, Protocol

import keras
import tensorflow as tf


class _Listener(Protocol):
    """Who asks."""

    def assigned(self, variable: keras.Variable, value: Any) -> None:
        """A value was assigned, not by the graph of a step.

        Args:
            variable: To which.
            value: What was assigned, as it was given.
        """


def listen(variable: keras.Variable, listener: _Listener) -> None:
    """Lets a variable tell when it is assigned, loaded, set or restored.

    Args:
        variable: Of Keras; what is assigned to the `tf.Variable` in it is not
            told.
        listener: Who is told, as long as it lives.

    Example:
    >>> class Show:
    ...     def assigned(self, variable, value):
    ...         print(variable.name, value)
    >>> rate, show = keras.Variable(0.1, name="rate"), Show()
    >>> listen(rate, show)
    >>> _ = rate.assign(0.2)
    rate 0.2
    """
    if not isinstance(vars(variable).get("assign"), _Assign):
        variable.assign = _Assign(variable)
        # What `tf.train.Checkpoint` calls.
        variable._restore_from_tensors = _Restore(variable)
    variable.assign.listeners.add(listener)


class _InPlaceOf:
    """In place of one of a variable's methods; a copy has the method itself."""

    name = ""

    def __init__(self, variable):
        self._variable = variable

    def _method(self, variable):
        return types.MethodType(getattr(type(variable), self.name), variable)

    def __deepcopy__(self, memo):
        return self._method(copy.deepcopy(self._variable, memo))


class _Assign(_InPlaceOf):
    name = "assign"

    def __init__(self, variable):
        super().__init__(variable)
        self.listeners = weakref.WeakSet()

    def __call__(self, value):
        result = self._method(self._variable)(value)
        self.tell(value)
        return result

    def tell(self, value):
        if tf.executing_eagerly():
            for listener in self.listeners:
                listener.assigned(self._variable, value)


class _Restore(_InPlaceOf):
    name = "_restore_from_tensors"

    def __call__(self, restored_tensors):
        result = self._method(self._variable)(restored_tensors)
        self._variable.assign.tell(self._variable.value)
        return result
