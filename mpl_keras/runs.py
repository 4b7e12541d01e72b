"""The folder of one training: settings, metrics, a checkpoint, results.

Everything in it is written whole or not at all. A run that stopped goes on
from its checkpoint; one that is finished, or has other settings, is refused.
"""

import csv
import json
import os
from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from mpl_keras import export

_SETTINGS = "settings.json"
_METRICS = "metrics.csv"
_CHECKPOINT = "checkpoint.keras"


class RunFolder:
    """A folder for one training.

    Args:
        path: The folder; it is made by `begin`.
        settings: What the run is to be, JSON-able. A run that goes on must
            have the same.
        resume: Whether to go on with what is in the folder. A new or empty
            folder begins anew, either way.
        argument: What to call the path in errors.

    Attributes:
        path: The folder.
        rows: Metrics so far, one dict for each epoch, with "step".

    Raises:
        FileExistsError: There is something, and `resume` is False; or it is no
            run of this kind, or one with other settings.
        PermissionError: The folder could not be written to.

    Example:
    >>> import tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "run")
    >>> run = RunFolder(path, {"seed": 0})
    >>> run.begin()
    >>> sorted(os.listdir(path))
    ['settings.json']
    """

    def __init__(
        self,
        path: Any,
        settings: Mapping[str, Any],
        resume: bool = False,
        argument: str = "path",
    ):
        self.path = export.check_folder(path, resume, argument)
        # As JSON has them: tuples become lists.
        self._settings = json.loads(json.dumps(settings))
        self.rows = []
        known = self.file(_SETTINGS)
        if os.path.exists(known):
            self._check_settings(known, argument)
            self.rows = self._read_rows()
        elif os.path.isdir(self.path) and os.listdir(self.path):
            raise FileExistsError(
                f"`{argument}` must be new, empty, or the folder of a run to "
                f"go on with. Received: {argument}={path}, without {_SETTINGS}"
            )

    def file(self, name: str) -> str:
        """Path of a file in the folder."""
        return os.path.join(self.path, name)

    def begin(self) -> None:
        """Makes the folder, and writes the settings."""
        self.write(_SETTINGS, export.json_writer(self._settings))

    def write(self, name: str, write: Callable[[str], Any]) -> None:
        """Writes a file or folder of this name, whole; see `write_whole`."""
        export.write_whole(self.file(name), write)

    def load(self) -> keras.Model | None:
        """The model of the checkpoint, or None where there is none yet."""
        path = self.file(_CHECKPOINT)
        if not os.path.exists(path):
            self.rows = []
            return None
        model = keras.saving.load_model(path)
        step = int(model.step)
        # What was written after the checkpoint is trained again.
        self.rows = [row for row in self.rows if row["step"] <= step]
        return model

    def save(self, model: keras.Model, metrics: Mapping[str, float]) -> None:
        """Adds a row of metrics, and replaces the checkpoint.

        Args:
            model: A model of this library, which knows its step.
            metrics: Values of the epoch that has ended.
        """
        self.rows.append({"step": int(model.step), **metrics})
        self.write(_METRICS, self._write_rows)
        self.write(_CHECKPOINT, model.save)

    def metrics(self) -> dict[str, list[float]]:
        """The rows as columns."""
        names = self.rows[0] if self.rows else ()
        return {name: [row[name] for row in self.rows] for name in names}

    def _check_settings(self, path, argument):
        with open(path, encoding="utf-8") as file:
            known = json.load(file)
        different = sorted(
            name
            for name in known.keys() | self._settings.keys()
            if known.get(name) != self._settings.get(name)
        )
        if different:
            lines = [
                f"{name} was {known.get(name)!r}, is "
                f"{self._settings.get(name)!r}"
                for name in different
            ]
            raise FileExistsError(
                f"`{argument}` must be the folder of a run with the same "
                f"settings. Received: {argument}={self.path}, where "
                + "; ".join(lines)
            )

    def _read_rows(self):
        path = self.file(_METRICS)
        if not os.path.exists(path):
            return []
        with open(path, newline="", encoding="utf-8") as file:
            return [
                {name: _number(text) for name, text in row.items()}
                for row in csv.DictReader(file)
            ]

    def _write_rows(self, path):
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)


def _number(text):
    value = float(text)
    return int(value) if value.is_integer() and "." not in text else value


class SaveRun(keras.callbacks.Callback):
    """Saves metrics and a checkpoint into a `RunFolder` after every epoch.

    A checkpoint that cannot be written, as on a full disk, costs no training:
    the one before stays, and what went wrong is shown.

    Args:
        run: The `RunFolder`.

    Example:
    >>> import tempfile
    >>> callback = SaveRun(RunFolder(tempfile.mkdtemp(), {}))
    """

    def __init__(self, run: RunFolder):
        super().__init__()
        self.run = run

    def on_epoch_end(self, epoch, logs=None):
        """Saves."""
        try:
            self.run.save(self.model, logs or {})
        except (OSError, tf.errors.OpError) as error:
            print(
                f"\nThe checkpoint of step {int(self.model.step):,} could not "
                f"be written, training goes on: {error}"
            )
