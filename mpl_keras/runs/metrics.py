"""Metrics of a training, written into its folder after every epoch."""

from typing import Any

import keras

from mpl_keras.callbacks import scalars
from mpl_keras.runs.folder import RunFolder


class SaveMetrics(keras.callbacks.Callback):
    """Writes metrics and learning rates into a `RunFolder` after every epoch.

    What cannot be written, as on a full disk, costs no training: it is shown,
    and tried again after the next epoch.

    Args:
        run: The `RunFolder`.

    Example:
    >>> import tempfile
    >>> callback = SaveMetrics(RunFolder(tempfile.mkdtemp(), {}))
    """

    def __init__(self, run: RunFolder):
        super().__init__()
        self.run = run

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Writes."""
        step = int(self.model.step.numpy())
        # `learning_rate/teacher` as `teacher_learning_rate`, and so on.
        rates = {
            f"{tag.split('/')[1]}_learning_rate".removeprefix("network_"): value
            for tag, value in scalars.state(self.model).items()
            if tag.startswith("learning_rate/")
        }
        try:
            self.run.add(step, {**(logs or {}), **rates})
        except OSError as error:
            print(
                f"\nThe metrics of step {step:,} could not be written, "
                f"training goes on: {error}"
            )
