"""Tables: a data frame, in which most rows have no class, as training data."""

import dataclasses
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from mpl_keras import augment
from mpl_keras.datasets import columns, labels, signs
from mpl_keras.datasets import rows as rows_of
from mpl_keras.datasets.semi_supervised_data import SemiSupervisedData

_EXAMPLES = 256


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class TableData(SemiSupervisedData):
    """What `SemiSupervisedData` holds, and how new rows become features.

    Args:
        encoder: Makes features of a data frame with the same columns.
        examples: Some training rows as they came, at most 256, without the
            target; an export is compared on them.

    Example:
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"x": [0.0, 1.0, 2.0], "y": ["a", "b", None]})
    >>> from_dataframe(frame, "y")
    TableData(labeled=2, unlabeled=3, classes=2)
    """

    encoder: columns.TableEncoder = dataclasses.field(kw_only=True)
    examples: Any = None


def from_dataframe(
    frame: Any,
    target: Hashable,
    *,
    num_labeled: int | None = None,
    seed: int = 0,
    test: Any = None,
    test_fraction: float = 0.0,
    validation: Any = None,
    validation_fraction: float = 0.0,
    features: Sequence[Hashable] | None = None,
    standardize: bool = True,
    labeled_in_unlabeled: bool = True,
    balanced: bool = True,
    class_names: Sequence[str] | None = None,
    views: augment.Views | None = None,
    missing: Sequence | None = None,
    fill_missing: bool = False,
) -> TableData:
    """Data from a pandas DataFrame; rows without a target are unlabeled.

    Numbers are standardised; booleans become 0 and 1; text and categories one
    column each for the values that `frame` holds or its dtype declares. What
    is the same in all training rows is 0, in test rows too.

    Args:
        frame: One row for each example.
        target: Its column of classes: text, categories, booleans or whole
            numbers; missing (None, NaN, NA) where the class is not known.
        num_labeled: Hides all labels but so many, for experiments; by default
            every known target is used. See `splits.split_labeled`.
        seed: Of the choice of labeled and validation rows, in [0, 2**32).
        test: Data frame for the final figure, every target known.
        test_fraction: Share of the rows with a target to set aside as `test`
            instead, stratified, the same rows for every seed; in [0, 1).
        validation: Data frame for choosing settings.
        validation_fraction: Share of the rows with a target that are left, to
            set aside as `validation` instead, stratified; in [0, 1).
        features: The columns to learn from, by default all but `target`.
        standardize: Whether numbers get mean 0 and standard deviation 1 over
            the training rows, labeled and unlabeled, never those set aside.
        labeled_in_unlabeled: Whether labeled rows are among the unlabeled.
        balanced: Whether `num_labeled` holds equal numbers of each class.
        class_names: By default the values of `target`, sorted, or in the order
            of their categories; categories without a row are left out.
        views: By default noise on numbers only, of 0.05 (weak) and 0.2
            (strong) standard deviations; None if no number varies.
        missing: Signs that say that a value or a class is missing, beside None
            and NaN, such as ("?", "", "unknown", -1). By default a class that
            looks like one is refused, and a category is warned of; an empty
            list says that there are none.
        fill_missing: Whether missing features are filled, in new rows too:
            numbers with the median of the training rows, booleans with the
            more frequent one, text with no category at all. By default they
            are refused.

    Returns:
        Features are float32, [N, F]; rows keep the order of `frame`.

    Raises:
        ValueError: An argument, a column or a value is not what it must be.

    Example:
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"x": range(8), "kind": ["a", "b"] * 4})
    >>> from_dataframe(frame, "kind", num_labeled=2, test_fraction=0.25)
    TableData(labeled=2, unlabeled=6, classes=2)
    """
    names = _feature_names(frame, target, features)
    missing = signs.check_signs(missing)
    y, classes = _classes(frame[target], missing)
    rows = rows_of.split(
        y,
        classes,
        num_labeled,
        seed,
        test_fraction=rows_of.fraction("test", test, test_fraction),
        validation_fraction=rows_of.fraction(
            "validation", validation, validation_fraction
        ),
        labeled_in_unlabeled=labeled_in_unlabeled,
        balanced=balanced,
        must="`frame` must have training rows without a target, the "
        "unlabeled ones, or `num_labeled` must hide some",
    )
    encoder = columns.fit(
        frame, names, rows.training, standardize, missing, fill_missing
    )
    x = encoder(frame)

    def measured(name, given):
        if given is None:
            return None
        columns.check_frame(given, name)
        own = [*names, target]
        only = own if features is None else None
        columns.check_columns(given, own, name, only=only)
        ids = _class_ids(given[target], classes, name, missing)
        return encoder(given, name), ids

    data = rows_of.make_data(
        rows,
        x,
        y,
        test=measured("test", test),
        validation=measured("validation", validation),
        num_classes=len(classes),
        class_names=tuple(str(c) for c in classes)
        if class_names is None
        else class_names,
    )
    views = views or _views(x[rows.training], encoder)
    some = np.linspace(0, len(rows.training) - 1, _EXAMPLES).astype(int)
    examples = frame.iloc[rows.training[np.unique(some)]][names].copy()
    return TableData(
        **vars(data)
        | {"views": views, "encoder": encoder, "examples": examples}
    )


def _feature_names(frame, target, features) -> list:
    """The columns to learn from."""
    columns.check_frame(frame, "frame")
    must = "be a column of `frame`"
    columns.check_columns(frame, [target], "target", must)
    if features is None:
        features = [name for name in frame.columns if name != target]
    elif isinstance(features, str):
        features = [features]
    features = list(features)
    must = "be columns of `frame`"
    columns.check_columns(frame, features, "features", must)
    repeated = columns.repetitions(features)
    if not features or target in features or repeated:
        raise ValueError(
            "`features` must be at least one column, each once, and not "
            f"`target`. Received: {columns.quoted(features)}, target={target!r}"
        )
    return features


def _views(x, encoder) -> augment.Views | None:
    """Jitter of the numbers, or None where there are none that vary."""
    deviation = x.std(axis=0, dtype=np.float64) * encoder.is_number
    if not deviation.any():
        return None
    return augment.jitter_views(0.05 * deviation, 0.2 * deviation)


# The target.


def _classes(column, missing) -> tuple[np.ndarray, tuple]:
    """Class numbers, -1 where the target is missing; and their values."""
    values, known = _target_values(column, "frame", missing)
    present = set(values)
    if len(present) < 2:
        raise ValueError(
            "`target` must be a column with at least two classes, missing only "
            f"in unlabeled rows. Received: target={column.name!r}, known in "
            f"{len(values)} of {len(known)} rows"
            + f", always {columns.quoted(present)}"
            * bool(present)
        )
    declared = getattr(column.dtype, "categories", None)
    signs.check_classes(values, column.name, missing, declared is not None)
    order = sorted(present) if declared is None else declared.tolist()
    classes = tuple(value for value in order if value in present)
    y = np.full(len(known), -1, np.int32)
    y[known] = _places(values, classes)
    return y, classes


def _class_ids(column, classes, argument, missing) -> np.ndarray:
    """Class numbers of a column whose every value is known."""
    values, known = _target_values(column, argument, missing)
    gone = int((~known).sum())
    unknown = set(values) - set(classes)
    if gone or unknown:
        came = f"classes {columns.quoted(unknown, beside=classes)}"
        came = f"{gone} missing" if gone else came
        raise ValueError(
            f"`{argument}` must have in every row a class that labeled rows "
            f"of `frame` have: {columns.quoted(classes, beside=unknown)}. "
            f"Received: {came} in column {column.name!r}"
        )
    return _places(values, classes)


def _places(values, classes) -> np.ndarray:
    place = {value: i for i, value in enumerate(classes)}
    return np.array([place[value] for value in values], np.int32)


def _target_values(column, argument, missing) -> tuple[list, np.ndarray]:
    """The classes that are known, and a boolean for each row."""
    values = labels.with_gaps(column.tolist(), missing or ())
    known = np.array([value is not None for value in values], bool)
    values = [value for value in values if value is not None]
    kind = columns.kind_of(column[known]) if values else "categories"
    if kind == "numbers" and not all(isinstance(v, int) for v in values):
        kind = "numbers that are not whole"
    if kind in ("numbers", "booleans", "categories"):
        return values, known
    raise ValueError(
        "`target` must name a column of classes: text, categories, booleans or "
        f"whole numbers. Received: {kind} in column {column.name!r} of "
        f"`{argument}`"
    )
