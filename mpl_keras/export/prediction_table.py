"""The table of what a classifier says about the files of a folder."""

import dataclasses
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from mpl_keras import files
from mpl_keras.checks import arguments
from mpl_keras.checks.arguments import ArgumentError, MissingFileError
from mpl_keras.checks.names import printable
from mpl_keras.datasets import folder_files
from mpl_keras.export import loading, prediction, row_predictions
from mpl_keras.export.cells import class_cell, path_cell, write_row
from mpl_keras.export.table_classifier import TableClassifier
from mpl_keras.export.text_classifier import TextClassifier

_HEAD = ("file", "class", "probability", "error")
_SHOWN_EVERY = 64  # files


@dataclasses.dataclass
class Counts:
    """How many files were classified, of which class, and how many not.

    Args:
        files: How many there were.
        errors: How many could not be read.
        classes: How many were put into each class, by its name.
        seconds: How long it took.
        unit: What was counted: "files", or "rows" of a table.

    Example:
    >>> counts = Counts()
    >>> counts.add("cat")
    >>> counts.add("")
    >>> counts.files, counts.errors, counts.classes
    (2, 1, {'cat': 1})
    """

    files: int = 0
    errors: int = 0
    classes: dict[str, int] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    unit: str = "files"

    def add(self, name: str) -> None:
        """Counts one file.

        Args:
            name: Its class, or "" for one that could not be read.
        """
        self.files += 1
        if name:
            self.classes[name] = self.classes.get(name, 0) + 1
        else:
            self.errors += 1


def write_predictions(
    model: Any,
    folder: Any,
    filepath: Any,
    *,
    batch_size: int = 64,
    max_pixels: int | None = None,
    all_probabilities: bool = False,
    overwrite: bool = False,
    verbose: bool = False,
) -> Counts:
    """Classifies the image files below a folder, into a CSV table.

    The table has a row for each file: its path from the folder on, the most
    probable class, the probability of that class, and what is wrong with a file
    that cannot be read.

    The table is UTF-8, has a line for each file, and holds no formulas and no
    codes that a terminal obeys, whatever files and classes are called. Bytes
    that are no UTF-8, characters that do not print, and backslashes in a path
    are written as Python writes them in a string. Before a path that a
    spreadsheet would take for a formula stands `./`, before such a class `'`.

    Args:
        model: Path of an exported classifier, see `load`.
        folder: The folder, or one image file. Hidden files are passed over.
            For a classifier of tables, a CSV file with the columns of the
            training table: then there is a row for each of its rows. For a
            classifier of texts, a CSV file with a column "text", or a .txt
            file with a text in each line.
        filepath: The table to write. It appears when it is complete.
        batch_size: How many images are classified at once.
        max_pixels: See `predict_files`.
        all_probabilities: Whether to add a column for each class.
        overwrite: Whether to replace what is at `filepath`.
        verbose: Whether to show how far it is.

    Returns:
        How many files there were, and of which classes.

    Raises:
        MissingFileError: There is no such folder, or no such model.
        FileInTheWayError: There is a table, and `overwrite` is False.
        ArgumentError: The folder holds no files, or the model is none.
        ImportError: What runs the model is not installed.

    Example:
    >>> write_predictions("student.keras", "nowhere", "predictions.csv")
    Traceback (most recent call last):
    ...
    mpl_keras.checks.arguments.MissingFileError: `folder` must be a folder or \
an image. Received: folder=nowhere
    """
    folder = arguments.path("folder", folder)
    filepath = arguments.path("filepath", filepath)
    arguments.integer("batch_size", batch_size, 1)
    if max_pixels is not None:
        arguments.integer("max_pixels", max_pixels, 1)
    if not os.path.exists(folder):
        raise MissingFileError("folder", "be a folder or an image", folder)
    files.check_free(filepath, overwrite)
    with arguments.passing({"path": "model"}):
        classifier = loading.load(model)
    if isinstance(classifier, (TableClassifier, TextClassifier)):
        return _of_rows(
            classifier, folder, filepath, batch_size, all_probabilities
        )
    root, paths = _find(folder)
    counts, progress = Counts(), _Progress(len(paths), verbose)

    def write(path):
        rows = prediction.predict_files(
            classifier, paths, batch_size, max_pixels
        )
        names = classifier.class_names
        with open(path, "w", newline="", encoding="utf-8") as file:
            columns = [f"p({printable(name)})" for name in names]
            head = [*_HEAD, *(columns if all_probabilities else ())]
            write_row(file, head)
            for row in rows:
                cells, name = _cells(row, root, names, all_probabilities)
                write_row(file, cells)
                counts.add(name)
                progress.show(counts.files)

    files.write_whole(filepath, write)
    counts.seconds = progress.seconds()
    return counts


def _of_rows(classifier, source, filepath, batch_size, all_probabilities):
    """The same of the rows of a CSV file."""
    counts, begin = Counts(unit="rows"), time.monotonic()
    row_predictions.write_rows(
        classifier, source, filepath, counts.add, batch_size, all_probabilities
    )
    counts.seconds = time.monotonic() - begin
    return counts


def _find(folder):
    """What paths in the table are relative to, and the files."""
    if os.path.isfile(folder):
        return os.path.dirname(folder) or ".", [folder]
    paths = folder_files.find_all(folder)
    if not paths:
        raise ArgumentError("folder", "hold image files", folder)
    return folder, paths


def _cells(
    row: prediction.Prediction,
    root: str,
    names: Sequence[str],
    all_probabilities: bool,
) -> tuple[list[str], str]:
    """The cells of a file, and the name of its class."""
    path = path_cell(os.path.relpath(row.path, root))
    if row.error:
        empty = [""] * len(names) if all_probabilities else []
        return [path, "", "", printable(row.error), *empty], ""
    best = int(row.probabilities.argmax())
    values = [f"{value:.6f}" for value in row.probabilities]
    rest = values if all_probabilities else []
    cell = class_cell(names[best])
    return [path, cell, values[best], "", *rest], names[best]


class _Progress:
    """A line that says now and then how far it is."""

    def __init__(self, total, verbose):
        self._total = total
        self._verbose = verbose
        self._begin = self._shown = time.monotonic()

    def seconds(self):
        return time.monotonic() - self._begin

    def show(self, done):
        if not self._verbose:
            return
        if done % _SHOWN_EVERY and done < self._total:
            return
        terminal = sys.stdout.isatty()
        now = time.monotonic()
        if now - self._shown > (0.3 if terminal else 30):
            self._shown = now
            left = (self._total - done) * (now - self._begin) / done
            line = f"{done:,} of {self._total:,} files, {left:.0f} s left"
            if terminal:
                print(f"\r{line:60}", end="\r", flush=True)
            else:
                print(line, flush=True)
