"""An exported classifier of tables, used from raw rows."""

import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from mpl_keras.checks import names as spelling
from mpl_keras.checks.arguments import ArgumentError
from mpl_keras.datasets import signs

# What `pandas.read_csv` takes for a missing value, in any case.
_GONE = {"", "na", "n/a", "#n/a", "<na>", "nan", "null", "none", "nat"}
_TRUTH = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0, "1.0": 1.0, "0.0": 0.0}


class TableClassifier:
    """From raw rows of a table to class probabilities.

    `load` makes one of what `write_classifier` has written for a table.

    Args:
        metadata: "class_names", "missing" and "columns", as the JSON beside the
            SavedModel has them.
        serve: From a tensor for each input to "probabilities".

    Attributes:
        class_names: One name for each column of the probabilities.
        columns: Names of the columns that it takes.

    Example:
    >>> age = {"name": "age", "input": "age", "kind": "numbers"}
    >>> known = {"class_names": "ab", "missing": [], "columns": [age]}
    >>> half = lambda age: {"probabilities": tf.stack([age, 1 - age], axis=1)}
    >>> TableClassifier(known, half)({"age": [0.25]})
    array([[0.25, 0.75]])
    """

    def __init__(self, metadata: Mapping[str, Any], serve: Any):
        self.class_names = tuple(metadata["class_names"])
        self._missing = set(metadata["missing"])
        self._columns = [_Column(c, self._missing) for c in metadata["columns"]]
        self.columns = tuple(column.name for column in self._columns)
        self._serve = serve

    def __call__(self, rows: Any) -> np.ndarray:
        """Classifies rows.

        Args:
            rows: A data frame, or a mapping from names of columns to values;
                others are ignored.

        Returns:
            Probabilities, float32, [N, number of classes].

        Raises:
            ArgumentError: A column is missing, or a value is none that the
                table of the training could hold.
        """
        if not isinstance(rows, Mapping) and not hasattr(rows, "columns"):
            raise _no_rows(
                f"a {type(rows).__name__}; of one row "
                "`pandas.DataFrame([row])` makes a frame"
            )
        found = rows if isinstance(rows, Mapping) else rows.columns
        named = {str(name): name for name in found}
        self.check_columns(named, "rows")
        cells = {name: rows[named[name]] for name in self.columns}
        for name, values in cells.items():
            if isinstance(values, (str, bytes)) or not np.iterable(values):
                raise _no_rows(f"{values!r} in column {name!r}")
        cells = {name: list(values) for name, values in cells.items()}
        sizes = {name: len(values) for name, values in cells.items()}
        if len(set(sizes.values())) > 1:
            raise _no_rows(f"columns of different lengths, {sizes}")
        cells = list(zip(*cells.values(), strict=True))
        values, errors = self.parse(cells)
        for row, problem in errors.items():
            raise ArgumentError(
                "rows",
                "hold what the table of the training could hold",
                f"row {row}",
                note=f": {problem}",
            )
        return self.probabilities(values)

    def check_columns(self, found: Any, argument: str) -> None:
        """Raises unless all columns are there.

        Args:
            found: Names of columns.
            argument: What to call their table in the error.
        """
        found = [str(name) for name in found]
        gone = [name for name in self.columns if name not in found]
        if gone:
            listed = ", ".join(map(repr, gone[:8]))
            more = f", ... ({len(gone)} in all)" if len(gone) > 8 else ""
            near = spelling.did_you_mean(gone[0], found)
            raise ArgumentError(
                argument,
                f"have the {len(self.columns)} columns of the training table",
                f"columns without {listed}{more}",
                note=near,
            )

    def parse(self, rows: list) -> tuple[list, dict[int, str]]:
        """Cells as the classifier takes them, and what is wrong with rows.

        Args:
            rows: For each row a cell for each of `columns`: texts of a CSV
                file, numbers, or None.

        Returns:
            Values of the rows in which all is well, in order; and by the
            number of each other row what is wrong with it.
        """
        values, errors = [], {}
        for number, row in enumerate(rows):
            try:
                pairs = zip(self._columns, row, strict=True)
                values.append([column.parse(cell) for column, cell in pairs])
            except ValueError as error:
                errors[number] = str(error)
        return values, errors

    def probabilities(self, values: list) -> np.ndarray:
        """Of rows that `parse` has returned.

        Args:
            values: For each row the values of `columns`.
        """
        if not values:
            return np.zeros((0, len(self.class_names)), np.float32)
        inputs = {
            column.input: tf.constant(list(cells), column.dtype)
            for column, cells in zip(
                self._columns, zip(*values, strict=True), strict=True
            )
        }
        return np.asarray(self._serve(**inputs)["probabilities"])


class _Column:
    """What one column takes."""

    def __init__(self, known, missing):
        self.name, self.input = known["name"], known["input"]
        self._kind, self._missing = known["kind"], missing
        self._fills = "fill" in known
        self.dtype = tf.string if self._kind == "categories" else tf.float64
        categories = known.get("categories", ())
        self._texts = {str(value): str(value) for value in categories}
        self._numbers = {
            float(value): str(value)
            for value in categories
            if isinstance(value, (int, float)) and not isinstance(value, bool)
        }

    def parse(self, cell):
        """The value of a cell; raises with what is wrong."""
        if self._is_missing(cell):
            if self._fills:
                return "" if self._kind == "categories" else np.nan
            raise ValueError(f"no value in column {self.name!r}")
        return getattr(self, f"_of_{self._kind}")(cell)

    def _is_missing(self, cell):
        if cell is None or type(cell).__name__ in ("NAType", "NaTType"):
            return True
        if isinstance(cell, str):
            if cell in self._texts:
                return False
            if cell in self._missing or cell.strip().casefold() in _GONE:
                return True
            if self._kind != "numbers":
                return False
            cell = signs.as_number(cell)
            return cell is not None and cell in self._missing
        plain = self._kind != "booleans" and not isinstance(
            cell, (bool, np.bool_)
        )
        return cell != cell or (plain and cell in self._missing)

    def _of_numbers(self, cell):
        number = None
        if not isinstance(cell, (bool, np.bool_)):
            number = signs.as_number(cell)
        if number is None or abs(number) > np.finfo(np.float32).max:
            raise ValueError(
                f"{_shown(cell)} in column {self.name!r}, which takes finite "
                "numbers"
            )
        return number

    def _of_booleans(self, cell):
        known = _TRUTH.get(str(cell).strip().lower())
        if known is None:
            raise ValueError(
                f"{_shown(cell)} in column {self.name!r}, which takes true or "
                "false"
            )
        return known

    def _of_categories(self, cell):
        known = self._texts.get(str(cell))
        if known is None and self._numbers:
            number = isinstance(cell, numbers.Real) or isinstance(cell, str)
            known = self._numbers.get(signs.as_number(cell)) if number else None
        if known is None:
            near = spelling.did_you_mean(str(cell), list(self._texts))
            listed = ", ".join(map(repr, list(self._texts)[:8]))
            more = ", ..." if len(self._texts) > 8 else ""
            raise ValueError(
                f"{_shown(cell)} in column {self.name!r}, which takes "
                f"{listed}{more}{near}"
            )
        return known


def _no_rows(received):
    return ArgumentError(
        "rows",
        "be a data frame, or a mapping from names of columns to lists of "
        "values, one for each row",
        received,
    )


def _shown(cell):
    text = repr(str(cell))
    return text if len(text) < 60 else text[:57] + "..."
