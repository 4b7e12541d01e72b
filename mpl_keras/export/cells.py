"""Cells of the tables that people open in a spreadsheet or a terminal."""

from mpl_keras.checks.names import printable

# A spreadsheet takes a cell that begins so for a formula; the last four are
# signs that some of them read alike.
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def is_formula(cell: str) -> bool:
    """Whether a spreadsheet would take a cell for a formula."""
    return cell.lstrip().startswith(_FORMULA)


def class_cell(name: str) -> str:
    """A class's name as a table holds it: no code, and no formula."""
    cell = printable(name)
    return f"'{cell}" if is_formula(cell) else cell
