"""What a finished run left in its folder: its settings and its networks."""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import keras

from mpl_keras import datasets, export, files
from mpl_keras.checks import arguments, names
from mpl_keras.checks.arguments import ArgumentError, MissingFileError
from mpl_keras.export.formats import check_format, folder_mark, suffix
from mpl_keras.runs import results
from mpl_keras.runs import settings as settings_module
from mpl_keras.runs.folder import kind_of

Network = Literal["averaged", "as_trained", "student", "teacher", "finetuned"]
NETWORKS = get_args(Network)
# Which network may be averaged, by the name of its file without an ending.
_AVERAGED = ("student", "network", "teacher")
_SHOWN = 3  # runs in an error


class FinishedRun:
    """The folder of a training that is finished.

    Args:
        run: The folder that `mpl-keras train` has written.

    Attributes:
        path: The folder.
        settings: What settings.json holds.
        results: What results.json holds.

    Raises:
        MissingFileError: It is no folder of a finished run.

    Example:
    >>> FinishedRun("nowhere")
    Traceback (most recent call last):
    ...
    mpl_keras.checks.arguments.MissingFileError: `run` must be the folder of a \
finished run of `mpl-keras train`. Received: run=nowhere, without settings.json
    """

    def __init__(self, run: Any):
        self.path = arguments.path("run", run)
        self.settings = self._read(settings_module.FILE)
        # What it was told, of which the rest is what came.
        self.settings.pop("request", None)
        self.results = self._read(results.FILE)

    def find_network(self, network: Network = "averaged") -> tuple[str, str]:
        """The file of a network.

        Args:
            network: "averaged", the one that people use; "as_trained", what
                was averaged; "student" or "teacher", averaged if it is that
                one; or "finetuned".

        Returns:
            Its name without an ending, and its path.

        Raises:
            MissingFileError: The run has no such network.
        """
        arguments.choice("network", network, NETWORKS)
        averaged = self.averaged
        stems = {"averaged": averaged, "as_trained": f"{averaged}_as_trained"}
        stem = stems.get(network, network)
        path = os.path.join(self.path, f"{stem}.keras")
        if not os.path.exists(path):
            raise MissingFileError(
                "run",
                "hold what {network} names",
                self.path,
                others={"network": network},
                note=f", without {stem}.keras",
            )
        return stem, path

    @property
    def averaged(self) -> str:
        """Which network was averaged: "student", "teacher" or "network"."""
        if "network" in self.results:
            return self.results["network"].split()[-1]
        two = "student_as_trained.keras" in os.listdir(self.path)
        return "student" if two else "network"

    def load_data(
        self,
        dataset: Any = None,
        data_dir: Any = None,
        verbose: bool = False,
    ) -> datasets.SemiSupervisedData:
        """Reads the data set of the run again, split as it was.

        Args:
            dataset: Where it is now, by default where it was; see
                `datasets.images`.
            data_dir: Folder of TensorFlow Datasets.
            verbose: Whether to show how far the check of the files is.

        Raises:
            ArgumentError: It is not there, or has other classes than the run.
        """
        with arguments.passing({"name": "dataset", "path": "dataset"}):
            data = datasets.images(
                dataset or self.settings["dataset"],
                unreadable="leave_out",
                data_dir=data_dir,
                verbose=verbose,
                **self.settings["data_options"],
            )
        given, expected = list(data.class_names), self.settings["class_names"]
        if given != expected:
            raise ArgumentError(
                "dataset",
                f"have the classes of the run, {names.quoted(expected, given)}",
                names.quoted(given, expected),
            )
        return data

    def check_export(
        self,
        folder: Any,
        formats: Sequence[str] = ("tf_saved_model",),
        network: Network = "averaged",
        overwrite: bool = False,
    ) -> None:
        """Raises for what `export` could not do, before data are read.

        Args:
            folder: As of `export`.
            formats: The same.
            network: The same.
            overwrite: The same.
        """
        stem, _ = self.find_network(network)
        for format, path in _paths(folder, formats, stem).items():
            check_format(format, path)
            files.check_free(path, overwrite, "folder", folder_mark(format))

    def export(
        self,
        folder: Any,
        data: datasets.SemiSupervisedData,
        *,
        formats: Sequence[str] = ("tf_saved_model",),
        network: Network = "averaged",
        overwrite: bool = False,
        verbose: bool = False,
    ) -> dict[str, export.Agreement]:
        """Writes a network in several formats, see `export.write_classifier`.

        Args:
            folder: Where to; files have the network's name.
            data: What `load_data` gives.
            formats: Of `export.FORMATS`.
            network: As of `find_network`.
            overwrite: Whether to replace files.
            verbose: Whether to print what is written.

        Returns:
            How each file compares with the network, by its path.

        Raises:
            FileInTheWayError: A file is there, and `overwrite` is False.
            ImportError: What a format needs is not installed.
            ValueError: The network could not be written in some format; it was
                in the others.
        """
        self.check_export(folder, formats, network, overwrite)
        stem, path = self.find_network(network)
        model = keras.saving.load_model(path, compile=False)
        options = {"overwrite": overwrite, "facts": self._facts(stem)}
        checks, failed = {}, []
        for format, target in _paths(folder, formats, stem).items():
            try:
                checks[target] = export.write_classifier(
                    model, target, data, format=format, **options
                )
            except ValueError as error:
                failed.append(f"{target} ({error})")
                continue
            if verbose:
                told = f"{format}, {checks[target]}"
                shown = names.printable(target)
                print(f"wrote {shown} and {shown}.md: {told}")
        if failed:
            raise ValueError(f"not written: {'; '.join(failed)}")
        return checks

    def _read(self, name: str) -> dict[str, Any]:
        path = os.path.join(self.path, name)
        if not os.path.isfile(path):
            raise MissingFileError(
                "run",
                "be the folder of a finished run of `mpl-keras train`",
                self.path,
                note=f", without {name}",
            )
        with open(path, encoding="utf-8") as file:
            return json.load(file)

    def _facts(self, stem: str) -> Mapping[str, Any]:
        """What the model card says of the training."""
        return {
            "network": ("averaged " if stem == self.averaged else "")
            + stem.replace("_", " "),
            "trained_steps": self.results["step"],
            "settings": settings_module.described(self.settings),
        }


def find_classifier(model: Any) -> str:
    """Path of the classifier itself, where the folder of a run is named.

    Args:
        model: A SavedModel, a file of another format, or the folder of a run,
            whose averaged network is meant.

    Raises:
        MissingFileError: There is nothing.
        ArgumentError: It is a folder without a classifier.

    Example:
    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> (folder / "student").mkdir()
    >>> (folder / "student" / "saved_model.pb").touch()
    >>> os.path.basename(find_classifier(folder))
    'student'
    """
    model = arguments.path("model", model)
    if not os.path.exists(model):
        run = os.path.dirname(model)
        beside = _saved_model(run) if os.path.isdir(run) else None
        instead = "" if beside is None else f". There is {beside}"
        raise MissingFileError(
            "model",
            "be an exported classifier",
            model,
            note=f", which does not exist{instead}",
        )
    found = _saved_model(model)
    if found or not os.path.isdir(model):
        return found or model
    runs = [os.path.join(model, name) for name in sorted(os.listdir(model))]
    runs = [path for path in runs if _saved_model(path)]
    if runs:
        raise ArgumentError(
            "model",
            "be one classifier",
            model,
            note=", a folder of several runs, such as a comparison. Take one "
            f"of its runs: {' or '.join(runs[:_SHOWN])}",
        )
    endings = tuple(filter(None, map(suffix, export.FORMATS)))
    there = [n for n in sorted(os.listdir(model)) if n.endswith(endings)]
    there = ", ".join(there) or "none of these"
    there = _unfinished(model) or there
    raise ArgumentError(
        "model",
        "be a SavedModel, a file, or the folder of a finished run",
        model,
        note=f", which holds {there}",
    )


def _unfinished(folder):
    """How what is not finished in a folder goes on, or nothing."""
    known = os.path.join(folder, settings_module.FILE)
    done = os.path.join(folder, results.FILE)
    if not os.path.exists(known) or os.path.exists(done):
        return ""
    with open(known, encoding="utf-8") as file:
        settings = json.load(file)
    kind = kind_of(settings)
    commands = {"training": "train", "comparison": "compare", "search": "tune"}
    command = commands[kind]
    flags = ", with the flags that it began with," * (command == "tune")
    return (
        f"a {kind} that is not finished: `mpl-keras {command} --resume "
        f"--output_dir={folder}`{flags} goes on with it"
    )


def _saved_model(folder):
    """The SavedModel that a folder is or, as a run, holds, or None."""
    inside = [os.path.join(folder, name) for name in _AVERAGED]
    for path in (*inside, folder):
        if os.path.exists(os.path.join(path, files.SAVED_MODEL)):
            return path
    return None


def _paths(folder, formats, stem):
    """Where each format is written."""
    if not formats:
        raise ArgumentError("formats", "name at least one format", "")
    paths = {}
    for format in dict.fromkeys(formats):
        if format not in export.FORMATS:
            raise ArgumentError(
                "formats", f"be of {', '.join(export.FORMATS)}", str(format)
            )
        # Two formats have the same ending.
        name = f"{stem}_int8" if format == "litert_int8" else stem
        name += suffix(format)
        paths[format] = os.path.join(os.fspath(folder), name)
    return paths
