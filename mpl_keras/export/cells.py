"""Cells of the tables that people open in a spreadsheet or a terminal."""

import csv
import os
from collections.abc import Sequence
from typing import Any

from mpl_keras.checks.names import printable

# A spreadsheet takes a cell that begins so for a formula; the last four are
# signs that some of them read alike.
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
# What some spreadsheets divide cells at.
_DIVIDES = (";", "|")


def is_formula(cell: str) -> bool:
    """Whether a spreadsheet would take a cell for a formula."""
    return cell.lstrip().startswith(_FORMULA)


def class_cell(name: str) -> str:
    """A class's name as a table holds it: no code, and no formula."""
    cell = printable(name)
    return f"'{cell}" if is_formula(cell) else cell


def path_cell(path: str) -> str:
    """A path as a table holds it: two paths never look the same."""
    if os.sep == "/":
        path = path.replace("\\", "\\\\")
    path = printable(path)
    return os.path.join(os.curdir, path) if is_formula(path) else path


def write_row(file: Any, cells: Sequence[Any]) -> None:
    """Writes a row, all quoted where a cell holds what some divide at."""
    divided = any(sign in str(cell) for cell in cells for sign in _DIVIDES)
    quoting = csv.QUOTE_ALL if divided else csv.QUOTE_MINIMAL
    csv.writer(file, quoting=quoting).writerow(cells)
