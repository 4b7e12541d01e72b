"""Columns of a data frame, and the features that are made of them.

Works with pandas, which the library does not need otherwise, through the
frame's own methods.
"""

import collections
import dataclasses
import difflib
import numbers
from collections.abc import Hashable, Iterable
from typing import Any, NamedTuple

import numpy as np

# One-hot columns of names or keys would fill the memory, and teach nothing.
_MOST_CATEGORIES = 1000
_LARGEST = float(np.finfo(np.float32).max)


class _Column(NamedTuple):
    name: Hashable
    kind: str  # as `kind_of` says
    categories: tuple = ()


@dataclasses.dataclass(frozen=True, eq=False)
class TableEncoder:
    """Makes features of a data frame's columns, of every frame in one way.

    `tables.from_dataframe` makes one from the training rows; call it with new
    rows to predict.

    Args:
        columns: What each column is.
        shift: [F], what is subtracted from each feature.
        scale: [F], what the difference is multiplied with.

    Example:
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"length": [1.0, 3.0], "sex": ["f", "m"]})
    >>> encoder = fit(frame, ["length", "sex"])
    >>> encoder.feature_names
    ('length', 'sex=f', 'sex=m')
    >>> encoder(pd.DataFrame({"sex": ["m"], "length": [2.0]}))
    array([[0., 0., 1.]], dtype=float32)
    """

    columns: tuple[_Column, ...]
    shift: np.ndarray
    scale: np.ndarray

    @property
    def feature_names(self) -> tuple[str, ...]:
        """A name for each feature: "column", or "column=category"."""
        return tuple(
            name
            for column in self.columns
            for name in (
                [f"{column.name}={value}" for value in column.categories]
                or [str(column.name)]
            )
        )

    @property
    def is_number(self) -> np.ndarray:
        """Which features are numbers, not 0 or 1 for no or yes; [F]."""
        return _is_number(self.columns)

    def __call__(self, frame: Any, argument: str = "frame") -> np.ndarray:
        """Features of every row, [N, F], float32.

        Args:
            frame: With the columns of the training frame, in any order; others
                are ignored.
            argument: What to call it in errors.

        Raises:
            ValueError: A column is missing or of another kind; a value is
                missing, not finite, or of an unknown category.
        """
        check_frame(frame, argument)
        names = [column.name for column in self.columns]
        check_columns(frame, names, argument)
        _check_complete(frame, names, argument)
        raw = _encode(frame, self.columns, argument)
        return ((raw - self.shift) * self.scale).astype(np.float32)


def fit(
    frame: Any,
    names: Iterable[Hashable],
    rows: np.ndarray | None = None,
    standardize: bool = True,
) -> TableEncoder:
    """An encoder for frames like this one.

    Booleans become 0 and 1, text and categories one feature for each value of
    the column, or of its dtype's categories.

    Args:
        frame: Data frame; its columns' kinds and categories are learned.
        names: The columns to encode.
        rows: Numbers of the rows whose mean and standard deviation are used,
            by default all. What does not vary in them becomes 0 everywhere.
        standardize: False leaves numbers as they are.

    Raises:
        ValueError: A column is neither of numbers nor of booleans, text or
            categories, has too many categories, or lacks a value.
    """
    names = list(names)
    _check_complete(frame, names, "frame")
    columns = tuple(_column(frame[name]) for name in names)
    raw = _encode(frame, columns, "frame")
    seen = raw if rows is None else raw[rows]
    deviation = seen.std(axis=0)
    # Of a constant, rounding may leave a deviation; of tiny numbers, none.
    still = (seen.min(axis=0) == seen.max(axis=0)) | (deviation == 0)
    number = _is_number(columns)
    moved = number & standardize
    shift = np.where(moved, seen.mean(axis=0), 0.0)
    scale = 1.0 / np.where(moved & ~still, deviation, 1.0)
    # Weights that training never moved would add noise to the predictions.
    scale[still & (moved | ~number)] = 0.0
    return TableEncoder(columns, shift, scale)


def kind_of(column: Any) -> str:
    """What a column without missing values holds.

    Returns:
        "numbers", "booleans", "categories" (text, too), or a description of
        what else it holds.

    Example:
    >>> import pandas as pd
    >>> kind_of(pd.Series(["a", "b"])), kind_of(pd.Series(["a", 1]))
    ('categories', 'categories mixed with numbers')
    """
    if getattr(column.dtype, "categories", None) is not None:
        return "categories"
    if column.dtype.kind in "biuf":
        return "booleans" if column.dtype.kind == "b" else "numbers"
    kinds = {_kind_of_value(value) for value in column.tolist()}
    return " mixed with ".join(sorted(kinds))


def check_frame(frame: Any, argument: str) -> None:
    """Raises unless `frame` is a data frame with rows and distinct columns."""
    if not (hasattr(frame, "columns") and hasattr(frame, "isna")):
        raise ValueError(
            f"`{argument}` must be a pandas DataFrame, such as "
            "`pandas.read_csv(path)` gives. "
            f"Received: {type(frame).__name__}"
        )
    repeated = repetitions(frame.columns)
    if not len(frame) or repeated:
        problem = f"columns {quoted(repeated)} twice" if repeated else "no rows"
        raise ValueError(
            f"`{argument}` must have rows, and columns of different names. "
            f"Received: {problem}"
        )


def check_columns(
    frame: Any,
    wanted: Iterable[Hashable],
    argument: str,
    must: str = "have the columns of the training frame",
    only: Iterable[Hashable] | None = None,
) -> None:
    """Raises unless a frame has the columns wanted, and none but `only`."""
    columns = set(frame.columns)
    gone = [
        name
        for name in wanted
        if not isinstance(name, Hashable) or name not in columns
    ]
    extra = () if only is None else columns.difference(only)
    problems = []
    if gone:
        names = [str(name) for name in frame.columns]
        near = {
            match
            for name in gone
            for match in difflib.get_close_matches(str(name), names)
        }
        problems.append(f"no {quoted(gone)} among {quoted(near or names)}")
    if extra:
        problems.append(f"{quoted(extra)} besides")
    if problems:
        raise ValueError(
            f"`{argument}` must {must}. Received: {' and '.join(problems)}"
        )


def repetitions(names: Iterable[Hashable]) -> list:
    """The names that come more than once.

    Example:
    >>> repetitions("abca")
    ['a']
    """
    counts = collections.Counter(names)
    return [name for name, count in counts.items() if count > 1]


def quoted(values: Iterable, most: int = 8) -> str:
    """The first of some values, for an error.

    Example:
    >>> quoted(range(5), most=2)
    '0, 1, ... (5 in all)'
    """
    values = list(values)
    try:
        values = sorted(values)
    except TypeError:
        pass  # of several types: as they came
    more = f", ... ({len(values)} in all)" if len(values) > most else ""
    return ", ".join(repr(value) for value in values[:most]) + more


def _column(column) -> _Column:
    """What a feature column without missing values is."""
    kind = kind_of(column)
    if kind in ("numbers", "booleans"):
        return _Column(column.name, kind)
    if kind != "categories":
        raise ValueError(
            "`features` must name columns of numbers, booleans, text or "
            f"categories. Received: {kind} in column {column.name!r}"
        )
    declared = getattr(column.dtype, "categories", None)
    values = sorted(set(column)) if declared is None else declared.tolist()
    if len(values) > _MOST_CATEGORIES:
        raise ValueError(
            f"`features` must name columns of at most {_MOST_CATEGORIES:,} "
            "categories; leave names and keys out. "
            f"Received: {len(values):,} in column {column.name!r}"
        )
    return _Column(column.name, kind, tuple(values))


def _encode(frame, columns, argument) -> np.ndarray:
    """Features before scaling, [N, F], float64."""
    return np.concatenate(
        [_features(frame[c.name], c, argument) for c in columns], axis=1
    )


def _features(column, known: _Column, argument) -> np.ndarray:
    """The features of one column, [N, 1] or [N, categories]."""
    kind = kind_of(column)
    if kind != known.kind:
        raise ValueError(
            f"`{argument}` must have the kinds of columns of the training "
            f"frame: {known.kind} in {known.name!r}. Received: {kind}"
        )
    if kind == "categories":
        return _one_hot(column, known, argument)
    values = column.to_numpy(dtype=np.float64)
    bad = ~(np.abs(values) <= _LARGEST)
    if bad.any():
        raise ValueError(
            f"`{argument}` must hold finite numbers in float32's range. "
            f"Received: {bad.sum()} others in column {known.name!r}, the "
            f"first in row {np.argmax(bad)}: {values[bad][0]}"
        )
    return values[:, np.newaxis]


def _one_hot(column, known: _Column, argument) -> np.ndarray:
    place = {value: i for i, value in enumerate(known.categories)}
    unknown = set(column) - set(place)
    if unknown:
        raise ValueError(
            f"`{argument}` must have the categories of the training frame, "
            "whose dtype can declare more of them than its rows have. "
            f"Received: {quoted(unknown)} in column {known.name!r}, not among "
            f"{quoted(place)}"
        )
    return np.eye(len(place))[[place[value] for value in column]]


def _check_complete(frame, names, argument) -> None:
    """Raises where a feature is missing."""
    counts = {name: int(frame[name].isna().sum()) for name in names}
    gone = [f"{count} in {name!r}" for name, count in counts.items() if count]
    if gone:
        more = f", ... ({len(gone)} columns)" if len(gone) > 8 else ""
        raise ValueError(
            f"`{argument}` must have a value for every feature. Fill the gaps "
            "first, such as by `frame.fillna(frame.median(numeric_only=True))`,"
            " or leave columns out through `features`. Received: missing "
            f"values, {', '.join(gone[:8])}{more}"
        )


def _is_number(columns) -> np.ndarray:
    return np.concatenate(
        [[c.kind == "numbers"] * max(len(c.categories), 1) for c in columns]
    )


def _kind_of_value(value) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "booleans"
    if isinstance(value, numbers.Real):
        return "numbers"
    return "categories" if isinstance(value, str) else type(value).__name__
