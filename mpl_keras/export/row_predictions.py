"""The rows of a file through an exported classifier of tables or texts."""

import csv
import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any

from mpl_keras import files
from mpl_keras.checks.arguments import ArgumentError
from mpl_keras.checks.names import printable
from mpl_keras.export.cells import class_cell
from mpl_keras.export.table_classifier import TableClassifier
from mpl_keras.export.text_classifier import COLUMN, TextClassifier

_HEAD = ("row", "class", "probability", "error")
_DELIMITERS = ",;\t"


def write_rows(
    classifier: TableClassifier | TextClassifier,
    source: str,
    filepath: str,
    count: Callable[[str], None],
    batch_size: int = 64,
    all_probabilities: bool = False,
) -> None:
    """Classifies the rows of a CSV file, into another one.

    The table has a line for each row: its number, 1 for the first one below the
    names of the columns; the most probable class, the probability of that
    class, and what is wrong with a row that the classifier cannot take.

    Args:
        classifier: What `load` gives.
        source: The CSV file: UTF-8, names of columns in the first line, divided
            by commas, semicolons or tabs. Columns besides are ignored. For a
            classifier of texts a .txt file, too: a text in each line.
        filepath: The table to write. It appears when it is complete.
        count: Called with the class of each row, or "" for one with an error.
        batch_size: How many rows are classified at once.
        all_probabilities: Whether to add a column for each class.

    Raises:
        ArgumentError: The file is no table, or lacks columns.
    """
    head, rows = _read(classifier, source)
    names = classifier.class_names

    def write(path):
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            columns = [f"p({printable(name)})" for name in names]
            more = columns if all_probabilities else []
            writer.writerow([*_HEAD, *more])
            number = 0
            while batch := list(itertools.islice(rows, batch_size)):
                for found, error in _classified(classifier, head, batch):
                    number += 1
                    values = [f"{value:.6f}" for value in found]
                    best = int(found.argmax()) if values else None
                    name = names[best] if values else ""
                    told = [
                        class_cell(name),
                        values[best] if values else "",
                        printable(error),
                    ]
                    values = values or [""] * len(names)
                    rest = values if all_probabilities else []
                    writer.writerow([number, *told, *rest])
                    count(name)

    files.write_whole(filepath, write)


def _read(classifier, source) -> tuple[list[str], Iterator[list[str]]]:
    """The names of a file's columns, and its rows."""
    if os.path.isdir(source):
        raise ArgumentError(
            "folder",
            "be a CSV file for a classifier of tables or texts",
            source,
            note=", a folder",
        )
    try:
        heads = {sign: _first_line(source, sign) for sign in _DELIMITERS}
        with open(source, encoding="utf-8") as file:
            for _ in file:  # so that what is no text is seen before
                pass
    except UnicodeDecodeError as error:
        note = f", which is no UTF-8 ({error.reason})"
        raise _no_table(source, note) from error
    if isinstance(classifier, TextClassifier) and _is_plain(source):
        return [COLUMN], _lines(source)
    # That which gives the most of the columns.
    sign = max(heads, key=lambda s: len({*heads[s]} & {*classifier.columns}))
    head = heads[sign]
    classifier.check_columns(head, "folder")
    twice = [name for name in classifier.columns if head.count(name) > 1]
    if twice:
        raise _no_table(source, f", with a column {twice[0]!r} twice")
    rows = _rows(source, sign)
    next(rows)
    return head, rows


def _rows(source, sign):
    """The rows of a file, that of the names first."""
    with open(source, encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=sign)
        try:
            yield from (row for row in reader if row)  # an empty line is none
        except csv.Error as error:
            note = f", line {reader.line_num}: {error}"
            raise _no_table(source, note) from error


def _is_plain(source):
    return os.path.splitext(source)[1].lower() == ".txt"


def _lines(source):
    """The lines of a plain text, each as a row of one cell."""
    with open(source, encoding="utf-8-sig") as file:
        for line in file:
            yield [line.strip()]


def _first_line(source, sign):
    return next(_rows(source, sign), [])


def _no_table(source, note):
    must = "be a CSV file, UTF-8, with names of columns in its first line"
    return ArgumentError("folder", must, source, note=note)


def _classified(classifier, head, rows) -> Iterator[tuple[Any, str]]:
    """Probabilities of each row, or none, and what is wrong with it."""
    places = [head.index(name) for name in classifier.columns]
    whole = [len(row) == len(head) for row in rows]
    cells = [
        [row[place] for place in places]
        for row, good in zip(rows, whole, strict=True)
        if good
    ]
    values, errors = classifier.parse(cells)
    answers = iter(classifier.probabilities(values))
    number = 0
    for row, good in zip(rows, whole, strict=True):
        if not good:
            problem = f"{len(row)} cells, where the first line has {len(head)}"
            yield (), problem
            continue
        error = errors.get(number, "")
        yield (() if error else next(answers)), error
        number += 1
