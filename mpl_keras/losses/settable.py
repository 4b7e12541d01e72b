"""Numbers of a loss that a callback may change while a step uses them."""

import keras


def settable(value: float, name: str) -> keras.Variable:
    """A number that a callback may change while a compiled step uses it."""
    return keras.Variable(
        float(value), dtype="float32", trainable=False, name=name
    )
