"""Values that depend on the number of the step.

All are `keras.optimizers.schedules.LearningRateSchedule`s: pure functions of a
step that somebody else counts and saves, the optimizer, the model or a
callback.
"""

from typing import Any, Literal, Self

import keras
import tensorflow as tf

from mpl_keras.checks import arguments

_PACKAGE = "mpl_keras"
LearningRateSchedule = keras.optimizers.schedules.LearningRateSchedule
Schedule = float | LearningRateSchedule


@keras.saving.register_keras_serializable(_PACKAGE)
class Delayed(LearningRateSchedule):
    """0 for some steps, then another schedule from its own step 0.

    The student of Meta Pseudo Labels waits while the teacher learns.

    Example:
    >>> schedule = Delayed(0.1, steps=20)
    >>> [round(float(schedule(step)), 2) for step in (0, 19, 20)]
    [0.0, 0.0, 0.1]

    Args:
        schedule: A Keras schedule, or a number.
        steps: How many steps the value is 0. An integer, at least 0.
        name: Optional name.

    Raises:
        ValueError: If an argument is not what it must be.
    """

    def __init__(self, schedule: Schedule, steps: int, name: str = "Delayed"):
        super().__init__()
        self.schedule = check_schedule("schedule", schedule)
        self.steps = arguments.integer("steps", steps, least=0)
        self.name = name

    def __call__(self, step: Any) -> tf.Tensor:
        """Value at a step, a scalar tensor."""
        step = tf.convert_to_tensor(step)
        value = value_at(self.schedule, tf.maximum(step - self.steps, 0))
        return tf.where(step < self.steps, tf.zeros_like(value), value)

    def get_config(self) -> dict[str, Any]:
        """Arguments of `__init__`."""
        return {
            "schedule": serialize(self.schedule),
            "steps": self.steps,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The inverse of `get_config`."""
        schedule = deserialize(config["schedule"])
        return cls(**{**config, "schedule": schedule})


@keras.saving.register_keras_serializable(_PACKAGE)
class LinearRamp(LearningRateSchedule):
    """Grows linearly from 0 to a value, and stays there.

    UDA and Meta Pseudo Labels ramp the weight of the consistency so.

    Example:
    >>> ramp = LinearRamp(8.0, steps=100)
    >>> [float(ramp(step)) for step in (0, 50, 100, 1000)]
    [0.0, 4.0, 8.0, 8.0]

    Args:
        value: The value at the end.
        steps: How many steps the ramp takes; 0 is no ramp.
        name: Optional name.

    Raises:
        ValueError: If an argument is not what it must be.
    """

    def __init__(self, value: float, steps: int, name: str = "LinearRamp"):
        super().__init__()
        self.value = arguments.number("value", value)
        self.steps = arguments.integer("steps", steps, least=0)
        self.name = name

    def __call__(self, step: Any) -> tf.Tensor:
        """Value at a step, a scalar tensor."""
        step = tf.cast(step, tf.float32)
        if not self.steps:
            return tf.fill(tf.shape(step), tf.constant(self.value, tf.float32))
        return self.value * tf.minimum(step / self.steps, 1.0)

    def get_config(self) -> dict[str, Any]:
        """Arguments of `__init__`."""
        return {"value": self.value, "steps": self.steps, "name": self.name}


@keras.saving.register_keras_serializable(_PACKAGE)
class SignalAnnealing(LearningRateSchedule):
    """Threshold of training signal annealing, from 1 / K to 1.

    With `t = min(step / steps, 1)` and K classes, the threshold is
    `a * (1 - 1/K) + 1/K`, where `a` is `t` (linear), `1 - exp(-5 t)` (log) or
    `exp(5 (t - 1))` (exp). Take "exp" where few labels are quickly
    overfitted, "log" where there are many.

    Example:
    >>> threshold = SignalAnnealing(steps=100, num_classes=10)
    >>> [round(float(threshold(step)), 2) for step in (0, 50, 100)]
    [0.1, 0.55, 1.0]

    Args:
        steps: Length of the training, at least 1.
        num_classes: Number of classes, at least 2.
        shape: `"linear"`, `"log"` or `"exp"`.
        name: Optional name.

    Raises:
        ValueError: If an argument is not what it must be.

    Reference:
        Xie et al., 2019 (arXiv:1904.12848), training signal annealing.
    """

    def __init__(
        self,
        steps: int,
        num_classes: int,
        shape: Literal["linear", "log", "exp"] = "linear",
        name: str = "SignalAnnealing",
    ):
        super().__init__()
        self.steps = arguments.integer("steps", steps, least=1)
        self.num_classes = arguments.integer(
            "num_classes", num_classes, least=2
        )
        arguments.choice("shape", shape, ("linear", "log", "exp"))
        self.shape = shape
        self.name = name

    def __call__(self, step: Any) -> tf.Tensor:
        """Value at a step, a scalar tensor."""
        time = tf.minimum(tf.cast(step, tf.float32) / self.steps, 1.0)
        share = {
            "linear": lambda: time,
            "log": lambda: 1.0 - tf.exp(-5.0 * time),
            "exp": lambda: tf.exp(5.0 * (time - 1.0)),
        }[self.shape]()
        # The log shape ends at 0.9933; from the last step on nothing is left
        # out.
        share = tf.where(time >= 1.0, tf.ones_like(share), share)
        return share * (1.0 - 1.0 / self.num_classes) + 1.0 / self.num_classes

    def get_config(self) -> dict[str, Any]:
        """Arguments of `__init__`."""
        return {
            "steps": self.steps,
            "num_classes": self.num_classes,
            "shape": self.shape,
            "name": self.name,
        }


def check_schedule(
    name: str, value: Any, least: float | None = None, most: float | None = None
) -> Schedule:
    """Raises unless `value` is a schedule or a number; returns it."""
    if isinstance(value, LearningRateSchedule):
        return value
    if callable(value) or isinstance(value, str):
        raise ValueError(
            f"`{name}` must be a number or a `keras.optimizers.schedules."
            f"LearningRateSchedule`. Received: {name}={value!r}"
        )
    return arguments.number(name, value, least, most)


def value_at(schedule: Schedule, step: Any) -> tf.Tensor:
    """Value of a schedule or a number at a step, as a float32 scalar."""
    if callable(schedule):
        return tf.cast(schedule(tf.convert_to_tensor(step)), tf.float32)
    return tf.constant(schedule, tf.float32)


def serialize(schedule: Any) -> Any:
    """Config of a schedule; a number stays as it is."""
    if isinstance(schedule, LearningRateSchedule):
        return keras.saving.serialize_keras_object(schedule)
    return schedule


def deserialize(config: Any) -> Any:
    """The inverse of `serialize`."""
    if isinstance(config, dict):
        return keras.saving.deserialize_keras_object(config)
    return config
