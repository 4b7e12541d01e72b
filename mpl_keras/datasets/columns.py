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

from mpl_keras.checks import names as check_names
from mpl_keras.datasets import signs

# One-hot columns of names or keys would fill the memory, and teach nothing.
_MOST_CATEGORIES = 1000
_LARGEST = float(np.finfo(np.float32).max)


class _Column(NamedTuple):
    name: Hashable
    kind: str  # as `kind_of` says
    categories: tuple = ()
    fill: float | None = None  # what stands for a missing value, if anything


@dataclasses.dataclass(frozen=True, eq=False)
class TableEncoder:
    """Makes features of a data frame's columns, of every frame in one way.

    `tables.from_dataframe` makes one from the training rows; call it with new
    rows to predict.

    Args:
        columns: What each column is.
        shift: [F], what is subtracted from each feature.
        scale: [F], what the difference is multiplied with.
        missing: Values that say that there is none, beside None and NaN.

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
    missing: tuple = ()

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
        raw = _encode(
            _Cells(frame, names, self.missing), self.columns, argument
        )
        return ((raw - self.shift) * self.scale).astype(np.float32)


def fit(
    frame: Any,
    names: Iterable[Hashable],
    rows: np.ndarray | None = None,
    standardize: bool = True,
    missing: tuple | None = None,
    fill_missing: bool = False,
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
        missing: Values that say that there is none; None asks about what looks
            like one.
        fill_missing: Whether missing numbers become the median of `rows`,
            booleans the more frequent one, and text no category at all.

    Raises:
        ValueError: A column is neither of numbers nor of booleans, text or
            categories, has too many categories, or lacks a value.
    """
    names = list(names)
    cells = _Cells(frame, names, missing or ())
    if not fill_missing:
        _check_complete(cells, "frame")
    columns = _columns(cells, missing)
    if fill_missing:
        columns = _filled(columns, cells, rows)
    raw = _encode(cells, columns, "frame")
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
    return TableEncoder(columns, shift, scale, tuple(missing or ()))


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
    return _kind_of_values(column.tolist())


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


def quoted(values: Iterable, most: int = 8, beside: Iterable = ()) -> str:
    """The first of some values, for an error; texts that look alike in ASCII.

    Args:
        values: The values.
        most: How many are shown.
        beside: Others in the same error.

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
    texts = [v for v in [*values, *beside] if isinstance(v, str)]
    same = check_names.alike(texts)
    shown = [
        ascii(v) if isinstance(v, str) and v in same else repr(v)
        for v in values[:most]
    ]
    return ", ".join(shown) + more


class _Cells:
    """The values of some columns of a frame, and which are missing.

    Columns of numbers are read at once, because a frame takes a third of a
    millisecond for each one alone.
    """

    def __init__(self, frame, names, missing):
        part = frame
        if frame.columns.tolist() != names:
            part = frame[list(names)]
        dtypes = part.dtypes.tolist()
        plain = [
            isinstance(dtype, np.dtype) and dtype.kind in "biuf"
            for dtype in dtypes
        ]
        self.names = list(names)
        self.plain = np.flatnonzero(plain)
        self.rest = np.flatnonzero(~np.array(plain, bool))
        self.kinds = [
            ("booleans" if dtype.kind == "b" else "numbers") if known else ""
            for dtype, known in zip(dtypes, plain, strict=True)
        ]
        self.declared = {
            i: getattr(dtypes[i], "categories", None) for i in self.rest
        }
        numbers = others = part
        if len(self.rest):
            numbers = part.iloc[:, self.plain]
        if len(self.plain):
            others = part.iloc[:, self.rest]
        self.numbers = numbers.to_numpy(np.float64)
        self.others = others.to_numpy(object, copy=True)
        # Of one block, where a frame of texts looks at column after column.
        gone = type(frame)(self.others, dtype=object).isna().to_numpy(bool)
        self.gone = np.zeros(part.shape, bool)
        told = signs.are(self.numbers, missing)
        # A 0 that says that a number is missing says nothing of false.
        told &= np.array([self.kinds[i] == "numbers" for i in self.plain], bool)
        self.gone[:, self.plain] = np.isnan(self.numbers) | told
        said = signs.are(self.others, missing)
        self.gone[:, self.rest] = gone | said
        self.place = {i: place for place, i in enumerate(self.rest.tolist())}
        self.missing = missing
        for place, i in enumerate(self.rest):
            self._look(place, i, said[:, place].any())

    def _look(self, place, i, said):
        """What a column holds; text of numbers but for signs is numbers."""
        known = ~self.gone[:, i]
        values = self.others[known, place].tolist()
        if self.declared[i] is not None:
            self.kinds[i] = "categories"
            return
        self.kinds[i] = _kind_of_values(values)
        if said and self.kinds[i] == "categories":
            found = [signs.as_number(value) for value in values]
            if None not in found:
                self.others[known, place] = found
                self.kinds[i] = "numbers"

    def values(self, i):
        """Those of one column."""
        if i in self.place:
            return self.others[:, self.place[i]]
        return self.numbers[:, np.searchsorted(self.plain, i)]

    def known(self, i):
        """Those that are not missing, as a list."""
        return self.values(i)[~self.gone[:, i]].tolist()


def _kind_of_values(values):
    kinds = {_kind_of_value(value) for value in values}
    return " mixed with ".join(sorted(kinds))


def _columns(cells, missing) -> tuple[_Column, ...]:
    """What the feature columns are."""
    return tuple(
        _Column(name, kind)
        if kind in ("numbers", "booleans")
        else _categories(cells, i, missing)
        for i, (name, kind) in enumerate(
            zip(cells.names, cells.kinds, strict=True)
        )
    )


def _categories(cells, i, missing) -> _Column:
    """What a column of text or categories is."""
    name, kind = cells.names[i], cells.kinds[i]
    if kind != "categories":
        hint = ""
        if kind == "categories mixed with numbers":
            hint = signs.beside_numbers(cells.known(i))
        raise ValueError(
            "`features` must name columns of numbers, booleans, text or "
            f"categories. Received: {kind or 'no value at all'} in column "
            f"{name!r}{hint}"
        )
    declared = cells.declared[i]
    if declared is None:
        texts = cells.known(i)
        values = sorted(set(texts))
    else:
        values = [v for v in declared.tolist() if v not in cells.missing]
    if len(values) > _MOST_CATEGORIES:
        raise ValueError(
            f"`features` must name columns of at most {_MOST_CATEGORIES:,} "
            "categories; leave names and keys out. "
            f"Received: {len(values):,} in column {name!r}"
        )
    if declared is None:
        signs.check_texts(texts, name, missing)
    else:
        signs.check_declared(cells.known(i), name, missing)
    return _Column(name, kind, tuple(values))


def _filled(columns, cells, rows) -> tuple[_Column, ...]:
    """The columns, with what stands for a missing value in each."""
    filled = []
    for i, column in enumerate(columns):
        values, gone = cells.values(i), cells.gone[:, i]
        if rows is not None:
            values, gone = values[rows], gone[rows]
        fill = 0.0
        if column.kind != "categories":
            known = values[~gone].astype(np.float64)
            if not len(known):
                raise ValueError(
                    "`features` must name columns with a value in a training "
                    f"row. Received: {column.name!r}, which has none"
                )
            fill = float(np.median(known))
            if column.kind == "booleans":
                fill = float(known.mean() > 0.5)
        filled.append(column._replace(fill=fill))
    return tuple(filled)


def _encode(cells, columns, argument) -> np.ndarray:
    """Features before scaling, [N, F], float64."""
    _check_kinds(cells, columns, argument)
    if any(column.fill is None for column in columns):
        _check_complete(cells, argument)
    widths = [max(len(column.categories), 1) for column in columns]
    starts = np.cumsum([0, *widths])
    raw = np.zeros((len(cells.gone), starts[-1]))
    for i in cells.rest:
        if columns[i].kind == "categories":
            _one_hot(raw[:, starts[i] :], cells, i, columns[i], argument)
        else:
            values = np.where(cells.gone[:, i], np.nan, cells.values(i))
            raw[:, starts[i]] = values.astype(np.float64)
    raw[:, starts[cells.plain]] = cells.numbers
    single = [i for i, c in enumerate(columns) if c.kind != "categories"]
    _complete_numbers(raw, starts, single, cells, columns, argument)
    return raw


def _check_kinds(cells, columns, argument):
    """Raises unless columns are of the kinds that they were in training."""
    for known, kind in zip(columns, cells.kinds, strict=True):
        if kind not in (known.kind, ""):  # "" has no value at all
            raise ValueError(
                f"`{argument}` must have the kinds of columns of the training "
                f"frame: {known.kind} in {known.name!r}. Received: {kind}"
            )


def _complete_numbers(raw, starts, single, cells, columns, argument):
    """Fills the gaps of numbers, and raises where one is not finite."""
    values = raw[:, starts[single]]
    gone = cells.gone[:, single]
    fill = np.array([columns[i].fill or 0.0 for i in single])
    values = np.where(gone, fill, values)
    bad = ~(np.abs(values) <= _LARGEST)
    if bad.any():
        first = int(np.argmax(bad.any(axis=0)))
        rows = np.flatnonzero(bad[:, first])
        raise ValueError(
            f"`{argument}` must hold finite numbers in float32's range. "
            f"Received: {len(rows)} others in column "
            f"{columns[single[first]].name!r}, the first in row {rows[0]}: "
            f"{values[rows[0], first]}"
        )
    raw[:, starts[single]] = values


def _one_hot(raw, cells, i, known: _Column, argument) -> None:
    """Writes a 1 where a row's category is; none where it is missing."""
    place = {value: k for k, value in enumerate(known.categories)}
    rows = np.flatnonzero(~cells.gone[:, i])
    values = cells.known(i)
    unknown = set(values) - set(place)
    if unknown:
        raise ValueError(
            f"`{argument}` must have the categories of the training frame, "
            "whose dtype can declare more of them than its rows have. "
            f"Received: {quoted(unknown, beside=place)} in column "
            f"{known.name!r}, not among {quoted(place, beside=unknown)}"
        )
    raw[rows, [place[value] for value in values]] = 1.0


def _check_complete(cells, argument) -> None:
    """Raises where a feature is missing."""
    counts = cells.gone.sum(axis=0)
    gone = [
        f"{counts[i]} in {cells.names[i]!r}" for i in np.flatnonzero(counts)
    ]
    if gone:
        more = f", ... ({len(gone)} columns)" if len(gone) > 8 else ""
        raise ValueError(
            f"`{argument}` must have a value for every feature. Fill the gaps "
            "first, such as by `frame.fillna(frame.median(numeric_only=True))`,"
            " by `fill_missing=True`, or leave columns out through `features`. "
            f"Received: missing values, {', '.join(gone[:8])}{more}"
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
