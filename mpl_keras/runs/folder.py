"""The folder of one training: settings, metrics, results.

Everything in it is written whole or not at all, and a run that goes on must
have the settings that are there.
"""

import csv
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from typing import Any

from mpl_keras import files
from mpl_keras.checks.arguments import FileInTheWayError, NotWritableError

_SETTINGS = "settings.json"
_METRICS = "metrics.csv"
# What is written in the folder of a run, of a comparison or of a search.
_WRITTEN = (
    r"(settings|results|best|label_spreading)\.json|table\.md"
    r"|(metrics|results|label_next)\.csv"
    r"|(report|comparison)\.html|(curves|confusion_matrix|accuracies)\.png"
    r"|(student|teacher|network|finetuned)(_as_trained)?(\.keras|\.md)?"
)
# A half of it as `files.write_whole` names it, which a kill leaves.
_HALF = re.compile(
    rf"\.({_WRITTEN})\.[a-z0-9_]{{8}}|{re.escape(files.LOCK_FILE)}"
)

# Settings of a comparison, which follow from nothing.
_GIVEN_ITSELF = {"methods", "seeds"}
# What the record calls a setting that is given.
_RECORDED = {"recipe": "name"}
# What is found in the data, and the settings that choose these.
_OF_DATA = {"class_names", "num_classes", "labeled_images", "unlabeled_images"}
_CHOOSE_DATA = {
    *("dataset", "recipe", "labels", "num_labeled", "image_size", "seed"),
    *("max_pixels", "validation_fraction", "labeled_in_unlabeled"),
}


class RunFolder:
    """A folder for one training.

    Args:
        path: The folder; it is made by `begin`.
        settings: What the run is to be, JSON-able. A run that goes on must
            have the same.
        request: What was asked for, JSON-able; written beside the settings,
            and not compared.
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
    >>> run.end()
    >>> sorted(os.listdir(path))
    ['settings.json']
    """

    def __init__(
        self,
        path: Any,
        settings: Mapping[str, Any],
        resume: bool = False,
        argument: str = "path",
        request: Mapping[str, Any] | None = None,
    ):
        self.path = files.check_folder(path, resume, argument, "resume")
        # As JSON has them: tuples become lists.
        self._settings = json.loads(json.dumps(settings))
        self._request = dict(request or {})
        self._argument = argument
        self._lock = files.FolderLock(self.path, argument)
        self.rows = []
        known = self.file(_SETTINGS)
        if os.path.exists(known):
            self._check_settings(known, argument)
            self.rows = self._read_rows()
        elif os.path.isdir(self.path) and any(
            not _HALF.fullmatch(name) for name in os.listdir(self.path)
        ):
            raise FileInTheWayError(
                argument,
                "be new, empty, or the folder of a run to go on with",
                self.path,
                note=f", without {_SETTINGS}",
            )

    def file(self, name: str) -> str:
        """Path of a file in the folder."""
        return os.path.join(self.path, name)

    def asked_otherwise(self) -> dict[str, tuple[Any, Any]]:
        """What was asked for before, and now, by the names that differ."""
        if not os.path.exists(self.file(_SETTINGS)):
            return {}
        with open(self.file(_SETTINGS), encoding="utf-8") as file:
            asked = json.load(file).get("request")
        if asked is None or not self._request:
            return {}
        return _different(asked, json.loads(json.dumps(self._request)))

    def begin(self) -> None:
        """Makes the folder, locks it, and writes the settings.

        What a kill has left half-written is removed.

        Raises:
            BlockingIOError: If another job that still runs has it.
        """
        try:
            os.makedirs(self.path, exist_ok=True)
        except OSError as error:
            raise NotWritableError(
                self._argument,
                "be a folder that can be made",
                self.path,
                note=f", which failed with: {error}",
            ) from error
        self._lock.acquire()
        for name in os.listdir(self.path):
            if _HALF.fullmatch(name):
                shutil.rmtree(self.file(name), ignore_errors=True)
        told = {"request": self._request} if self._request else {}
        self.write(_SETTINGS, files.json_writer(self._settings | told))

    def end(self) -> None:
        """Gives the lock back; so does the end of the process."""
        self._lock.release()

    def write(self, name: str, write: Callable[[str], Any]) -> None:
        """Writes a file or folder of this name, whole; see `write_whole`.

        Raises:
            ValueError: `begin` would not know what a kill left of it.
        """
        if not re.fullmatch(_WRITTEN, name):
            raise ValueError(f"`name` must be of _WRITTEN. Received: {name!r}")
        files.write_whole(self.file(name), write)

    def add(self, step: int, metrics: Mapping[str, float]) -> None:
        """Adds metrics of an epoch, in place of older ones of that step on.

        Args:
            step: The step that ended the epoch.
            metrics: Values by name.
        """
        self.rows = [row for row in self.rows if row["step"] < step]
        self.rows.append({"step": step, **metrics})
        self.write(_METRICS, self._write_rows)

    def metrics(self) -> dict[str, list[float]]:
        """The rows as columns."""
        return _columns(self.rows)

    def _check_settings(self, path, argument):
        with open(path, encoding="utf-8") as file:
            known = json.load(file)
        asked = known.pop("request", None)
        kind, own = kind_of(known), kind_of(self._settings)
        if kind != own:
            raise FileInTheWayError(
                argument,
                f"be new, empty, or the folder of a {own} to go on with",
                self.path,
                note=f", the folder of a {kind}",
            )
        different = _different(known, self._settings)
        if not different:
            return
        given = {}
        if asked is not None and self._request:
            request = json.loads(json.dumps(self._request))
            given = _given(asked, request, different, known, self._settings)
        told = {
            name: values
            for name, values in different.items()
            if name not in given and not _follows(name, given)
        }
        self._refuse(argument, given, told)

    def _refuse(self, argument, given, told):
        """Raises for settings that were given and for others, as they differ.

        Args:
            argument: What to call the folder.
            given: What was asked for otherwise than before: before and now.
            told: What else differs.
        """
        must = "be the folder of a run with the same settings"
        if given:
            was = " and ".join(
                f"{{{name}}} was {_shown(before)}"
                for name, (before, _) in given.items()
            )
            must += f", where {was}"
        note, it = "", "each" if len(given) > 1 else "it"
        if told:
            lines = [
                f"{name} was {before!r}, is {now!r}"
                for name, (before, now) in told.items()
            ]
            note = f", where {'; '.join(lines)}"
        raise FileInTheWayError(
            argument,
            must,
            self.path,
            others={name: _shown(now) for name, (_, now) in given.items()},
            note=f"{note}. To go on, set {it} as it was; for another run, "
            "choose another folder",
        )

    def _read_rows(self):
        return _rows_of(self.file(_METRICS))

    def _write_rows(self, path):
        names = dict.fromkeys(name for row in self.rows for name in row)
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(names))
            writer.writeheader()
            writer.writerows(self.rows)


def kind_of(settings: Mapping[str, Any]) -> str:
    """What a folder with these settings is of.

    Args:
        settings: What settings.json in it holds.

    Example:
    >>> kind_of({"methods": ["uda"], "seeds": [0]})
    'comparison'
    """
    if "searched" in settings:
        return "search"
    return "comparison" if "methods" in settings else "training"


def _different(known, settings):
    """What was and what is, by the names of settings that differ."""
    return {
        name: (known.get(name), settings.get(name))
        for name in sorted(known.keys() | settings.keys())
        if known.get(name) != settings.get(name)
    }


def _given(asked, request, different, known, settings):
    """What was asked for otherwise, of what a run must keep.

    What was not given, and is now, was what the recipe or the data said.
    """
    flat = [{**one, **(one.get("changes") or {})} for one in (asked, request)]
    before, now = flat
    inside = [of.get("data_options") or {} for of in (known, settings)]
    of_data = _different(*inside)
    found = {}
    for name in _different(before, now):
        if name == "changes":
            continue
        record = _RECORDED.get(name, name)
        if record in different:
            found[name] = different[record]
        elif name in of_data:
            found[name] = of_data[name]
    return found


def _follows(name, given):
    """Whether a setting is what it is because of those that were given."""
    if not given or name in _GIVEN_ITSELF:
        return False
    return name not in _OF_DATA or bool(_CHOOSE_DATA & given.keys())


def _shown(value):
    """A setting in words."""
    return "not set" if value is None else str(value)


def read_metrics(path: Any) -> dict[str, list[float]]:
    """The metrics in the folder of a run, as columns."""
    return _columns(_rows_of(os.path.join(os.fspath(path), _METRICS)))


def _rows_of(path):
    if not os.path.exists(path):
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return [
            {name: _number(text) for name, text in row.items()}
            for row in csv.DictReader(file)
        ]


def _columns(rows):
    names = dict.fromkeys(name for row in rows for name in row)
    return {
        name: [row.get(name, float("nan")) for row in rows] for name in names
    }


def _number(text):
    value = float(text or "nan")
    return int(value) if value.is_integer() and "." not in text else value
