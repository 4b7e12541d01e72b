"""Numbers of a loss that change while a Keras model of your own is trained.

`MetaPseudoLabels` and `UDA` need no such callbacks: they pass their own step to
the schedules.
"""

from typing import Any

import keras

from mpl_keras import losses, schedules


class _LossSchedule(keras.callbacks.Callback):
    """Sets a number of a loss before each batch, by the optimizer's step."""

    def __init__(self, variable: keras.Variable, schedule: schedules.Schedule):
        super().__init__()
        self._variable = variable
        most = 1 if variable.name == "threshold" else None
        self.schedule = schedules.check_schedule(
            "schedule", schedule, least=0, most=most
        )

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Sets the number for the step that comes.

        The optimizer counts the steps, and is saved with the model, so that a
        resumed training goes on where it was. With `steps_per_execution` of k
        the number stays for k steps.
        """
        step = self.model.optimizer.iterations
        self._variable.assign(schedules.value_at(self.schedule, step))

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Shows the number beside the epoch's metrics."""
        if logs is not None:
            logs[self._variable.name] = float(self._variable)


class ConsistencyWeightRamp(_LossSchedule):
    """Ramps the weight of a `losses.UDALoss`.

    Example:
    >>> from mpl_keras import losses, schedules
    >>> loss = losses.UDALoss(weight=0.0)
    >>> ramp = ConsistencyWeightRamp(loss, schedules.LinearRamp(8.0, 5000))

    Args:
        loss: A `losses.UDALoss` that the model trains with.
        schedule: A schedule of the optimizer's step, or a number.

    Raises:
        ValueError: If the loss has no weight.
    """

    def __init__(self, loss: losses.UDALoss, schedule: schedules.Schedule):
        super().__init__(_variable_of(loss, "weight"), schedule)


class SignalAnnealing(_LossSchedule):
    """Sets the threshold of training signal annealing.

    Example:
    >>> from mpl_keras import losses, schedules
    >>> loss = losses.AnnealedSparseCategoricalCrossentropy()
    >>> threshold = schedules.SignalAnnealing(steps=5000, num_classes=10)
    >>> annealing = SignalAnnealing(loss, threshold)

    Args:
        loss: An annealed crossentropy or a `losses.UDALoss`.
        schedule: A schedule of the optimizer's step, such as
            `schedules.SignalAnnealing`, or a number.

    Raises:
        ValueError: If the loss has no threshold.
    """

    def __init__(self, loss: Any, schedule: schedules.Schedule):
        super().__init__(_variable_of(loss, "threshold"), schedule)


def _variable_of(loss, name):
    variable = getattr(loss, name, None)
    if not isinstance(variable, keras.Variable):
        raise ValueError(
            f"`loss` must be a loss of `mpl_keras.losses` whose `{name}` can "
            f"be set. Received: loss={loss!r}"
        )
    return variable
