"""Which rows of a table or a list of texts are trained on, and how."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mpl_keras.checks import arguments
from mpl_keras.datasets import semi_supervised_data, splits


class Rows(NamedTuple):
    """Ascending row numbers.

    Attributes:
        labeled: Rows whose labels are used.
        unlabeled: Rows that are trained on without a label.
        validation: Rows that are set aside to choose settings by.
        test: Rows that are set aside for the final figure.
        training: All rows but those set aside.

    Example:
    >>> few = np.arange(2)
    >>> Rows(few, few, few, few, few).test
    array([0, 1])
    """

    labeled: np.ndarray
    unlabeled: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    training: np.ndarray


def split(
    y: np.ndarray,
    class_names: Sequence[str],
    num_labeled: int | None,
    seed: int,
    *,
    test_fraction: float,
    validation_fraction: float,
    labeled_in_unlabeled: bool,
    balanced: bool,
    must: str,
) -> Rows:
    """Which rows are trained on, and which are set aside.

    Args:
        y: Class numbers, -1 where the label is missing.
        class_names: Of the classes.
        num_labeled: See `splits.split`, as the rest.
        seed: The same.
        test_fraction: Share of the labeled rows to set aside as test rows, the
            same for all seeds.
        validation_fraction: Share of the labeled rows that are left.
        labeled_in_unlabeled: Whether labeled rows are among the unlabeled.
        balanced: See `splits.split`.
        must: What the error says where no unlabeled row is left.

    Raises:
        ValueError: A class has no labeled row left, or nothing is unlabeled.
    """
    num_classes = len(class_names)
    rest = np.flatnonzero(y >= 0)
    test = _test_rows(y, rest, test_fraction, num_classes)
    rest = np.setdiff1d(rest, test)
    labeled, _, validation = (
        rest[part]
        for part in splits.split(
            y[rest],
            num_labeled,
            seed,
            num_classes,
            validation_fraction=validation_fraction,
            balanced=balanced,
            class_names=class_names,
        )
    )
    _check_every_class(y[labeled], num_classes, "validation_fraction")
    training = np.setdiff1d(np.arange(len(y)), [*test, *validation])
    others = np.setdiff1d(training, labeled)
    if not len(others):
        raise ValueError(
            f"{must}. Received: {len(training)} training rows, all labeled"
        )
    unlabeled = training if labeled_in_unlabeled else others
    return Rows(labeled, unlabeled, validation, test, training)


def _test_rows(y, known, fraction, num_classes) -> np.ndarray:
    """A stratified share of the rows with a target, the same for all seeds."""
    count = round(fraction * len(known))
    if fraction and not count:
        raise ValueError(
            "`test_fraction` must set aside at least one row. Received: "
            f"test_fraction={fraction} of {len(known)} rows with a target"
        )
    random = np.random.RandomState(0)
    test = known[splits.stratified(y[known], count, random, num_classes)]
    rest = np.setdiff1d(known, test)
    _check_every_class(y[rest], num_classes, "test_fraction")
    return test


def _check_every_class(y, num_classes, argument) -> None:
    left = np.bincount(y, minlength=num_classes)
    if not left.all():
        raise ValueError(
            f"`{argument}` must leave a labeled row of each class. "
            f"Received: {left.tolist()} rows left of the classes"
        )


def make_data(
    rows: Rows,
    x: np.ndarray,
    y: np.ndarray,
    *,
    test: tuple | None = None,
    validation: tuple | None = None,
    **options: Any,
) -> semi_supervised_data.SemiSupervisedData:
    """The data that rows are, trained on and set aside.

    Args:
        rows: Of `x` and `y`.
        x: Examples.
        y: Class numbers, -1 where the label is missing.
        test: Pair (x, y) that was given, in place of rows set aside.
        validation: The same.
        **options: Of `from_arrays`.

    Example:
    >>> rows = Rows(*(np.array(n) for n in ([0, 1], [2, 3], [], [4], [0])))
    >>> x, y = np.zeros((5, 2), "float32"), np.array([0, 1, -1, -1, 0])
    >>> make_data(rows, x, y, num_classes=2)
    SemiSupervisedData(labeled=2, unlabeled=2, classes=2)
    """

    def aside(given, numbers):
        if given is not None or not len(numbers):
            return given
        return x[numbers], y[numbers]

    truth = y[rows.unlabeled]
    data = semi_supervised_data.from_arrays(
        x[rows.labeled],
        y[rows.labeled],
        x[rows.unlabeled],
        test=aside(test, rows.test),
        validation=aside(validation, rows.validation),
        unlabeled_labels=truth if (truth >= 0).all() else None,
        labeled_in_unlabeled=False,
        **options,
    )
    return dataclasses.replace(data, unlabeled_rows=rows.unlabeled)


def fraction(name: str, given: Any, share: float) -> float:
    """A share to set aside, or 0 where examples were given instead.

    Args:
        name: "test" or "validation".
        given: What the caller gave under this name, or None.
        share: What the caller gave as `{name}_fraction`.

    Example:
    >>> fraction("test", None, 0.25)
    0.25
    """
    arguments.number(f"{name}_fraction", share, 0, below=1)
    if share and given is not None:
        raise ValueError(
            f"`{name}_fraction` must be 0 where `{name}` is given. "
            f"Received: {name}_fraction={share}"
        )
    return share
