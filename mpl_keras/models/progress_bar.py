"""Keras's progress bar, with as many values as fit one line."""

import math
from collections.abc import Collection, Mapping
from typing import Any

import keras
import numpy as np

_COLUMNS = 80
_TIME = len(" 9:59:59 999ms/step")
_SHORTEST = 8  # of the bar itself
_LONGEST = 20
_VALUE = " 0.1234"


class ProgressBar(keras.callbacks.ProgbarLogger):
    """Shows metrics of `compile` and the loss; all the rest is in the history.

    A step of Meta Pseudo Labels has a dozen values: in a line that wraps, a
    terminal repeats the bar again and again.

    Example:
    >>> bar = ProgressBar(["h"], validation=True)
    >>> bar.fitting({"loss": 0.5, "h": 0.1, "accuracy": 0.9}, steps=100)
    {'accuracy': 0.9}
    >>> bar = ProgressBar(["h"], validation=False)
    >>> bar.fitting({"loss": 0.5, "h": 0.1, "accuracy": 0.9}, steps=100)
    {'accuracy': 0.9, 'loss': 0.5}

    Args:
        hidden: Names of values that are never shown.
        validation: Whether values of validation data follow at the end of an
            epoch.
    """

    def __init__(self, hidden: Collection[str], validation: bool):
        super().__init__()
        self._hidden = hidden
        self._validation = validation

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Shows how far it is."""
        super().on_train_batch_end(batch, self._shown(logs))

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Shows the epoch's values."""
        super().on_epoch_end(epoch, self._shown(logs))

    def fitting(
        self, logs: Mapping[str, Any], steps: int | None
    ) -> dict[str, Any]:
        """The values that are shown, the most important ones first.

        Args:
            logs: All.
            steps: Of an epoch.
        """
        width = _COLUMNS - _SHORTEST - _fixed(steps)
        shown = {}
        for name in self._in_order(logs):
            names = self._with_validation(name)
            width -= sum(_length(key, logs.get(key)) for key in names)
            if width < 0 and shown:
                break
            shown |= {key: logs[key] for key in names if key in logs}
        if logs.get("bad_steps"):  # worth a line that wraps
            shown["bad_steps"] = logs["bad_steps"]
        return shown

    def _with_validation(self, name):
        """The name, and that of its value on validation data."""
        if not self._validation or name.startswith("val_"):
            return [name]
        return [name, f"val_{name}"]

    def _in_order(self, logs):
        """Names without those of validation, which go with the others'."""
        names = [
            name
            for name in logs
            if name not in self._hidden
            and name not in ("loss", "bad_steps")
            and not (name.startswith("val_") and name[4:] in logs)
        ]
        return [*names, "loss"] if "loss" in logs else names

    def _shown(self, logs):
        """Those values; and the bar is made as long as they let it."""
        logs = logs or {}
        shown = self.fitting(logs, self.target)
        if self.progbar is not None:
            names = {
                key
                for name in shown
                if name != "bad_steps"
                for key in self._with_validation(name)
            }
            values = sum(_length(key, shown.get(key)) for key in names)
            left = _COLUMNS - _fixed(self.target) - values
            self.progbar.width = min(max(left, _SHORTEST), _LONGEST)
        return shown


def _fixed(steps):
    """Columns of the numbers before and after the bar."""
    digits = int(math.log10(steps)) + 1 if steps else 7
    return 2 * digits + len("/ ") + _TIME


def _length(name, value):
    """Columns of a value as Keras writes it; None is one that follows."""
    text = _VALUE
    if value is not None:
        value = float(np.mean(value))
        text = f" {value:.4f}" if abs(value) > 1e-3 else f" {value:.4e}"
    return len(f" - {name}:{text}")
