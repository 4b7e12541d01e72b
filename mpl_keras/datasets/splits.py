"""Which examples keep their labels, and which are set aside.

The random choices come from `np.random.RandomState`, whose stream numpy has
frozen: a seed gives the same split on every machine.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mpl_keras.checks import arguments, arrays
from mpl_keras.checks.arguments import ArgumentError

_LARGEST_SEED = 2**32 - 1


class NotBalancedError(ArgumentError):
    """Not so many labels can be kept if there are to be as many of each class.

    Example:
    >>> error = NotBalancedError("num_labeled", "be 4", "5")
    >>> print(error)
    `num_labeled` must be 4 (unless balanced=False). Received: num_labeled=5
    >>> print(error.renamed({"num_labeled": "--num_labeled"}))
    --num_labeled must be 4. Received: --num_labeled=5
    """

    def _rule(self):
        if self.argument in self.called:  # a command has no flag `balanced`
            return self.must
        return f"{self.must} (unless balanced=False)"


class Split(NamedTuple):
    """Ascending indices into a fully labeled training set."""

    labeled: np.ndarray
    unlabeled: np.ndarray
    validation: np.ndarray


def split(
    y: Any,
    num_labeled: int | None,
    seed: int,
    num_classes: int,
    *,
    validation_fraction: float = 0.0,
    labeled_in_unlabeled: bool = True,
    balanced: bool = True,
    class_names: Sequence[str] | None = None,
) -> Split:
    """Splits a fully labeled training set.

    Args:
        y: Labels of all its examples.
        num_labeled: How many keep their labels; see `split_labeled`. None: all
            that are not set aside.
        seed: In [0, 2**32).
        num_classes: Number of classes.
        validation_fraction: Share of the examples to set aside, stratified,
            apart from labeled and unlabeled; in [0, 1).
        labeled_in_unlabeled: Whether the labeled are among the unlabeled.
        balanced: See `split_labeled`.
        class_names: What errors call the classes; by default their numbers.

    Raises:
        ValueError: As `split_labeled`, or if validation would leave nothing.

    Example:
    >>> y = np.arange(100) % 2
    >>> parts = split(y, 4, seed=0, num_classes=2, validation_fraction=0.1)
    >>> len(parts.labeled), len(parts.unlabeled), len(parts.validation)
    (4, 90, 10)
    """
    y = arrays.class_ids(arrays.labels(y, num_classes))
    seed = arguments.integer("seed", seed, 0, _LARGEST_SEED)
    everything = np.arange(len(y))
    labeled = everything[:0]
    if num_labeled is not None:
        labeled = split_labeled(
            y, num_labeled, seed, num_classes, balanced, class_names
        )
    rest = np.setdiff1d(everything, labeled)
    aside = rest[:0]
    if arguments.number("validation_fraction", validation_fraction, 0, below=1):
        count = round(validation_fraction * len(y))
        if not 0 < count < len(rest):
            kept = (
                "" if num_labeled is None else f", {len(labeled)} of them kept"
            )
            raise ArgumentError(
                "validation_fraction",
                "leave at least one example for validation and for training",
                str(validation_fraction),
                note=f" of {len(y)} labeled examples{kept}",
            )
        random = np.random.RandomState([seed, 1])
        aside = rest[stratified(y[rest], count, random, num_classes)]
    if num_labeled is None:
        labeled = np.setdiff1d(everything, aside)
        rest = labeled[:0]
    missing = np.setdiff1d(y, y[labeled])
    if missing.size:
        none_of = [_called(k, class_names) for k in missing]
        raise ArgumentError(
            "validation_fraction",
            "leave a labeled example of each class",
            str(validation_fraction),
            note=f" of {len(y)} examples, which leaves none of class "
            f"{', '.join(none_of)}",
        )
    pool = everything if labeled_in_unlabeled else rest
    return Split(labeled, np.setdiff1d(pool, aside), aside)


def split_labeled(
    y: Any,
    num_labeled: int,
    seed: int,
    num_classes: int,
    balanced: bool = True,
    class_names: Sequence[str] | None = None,
) -> np.ndarray:
    """Chooses which examples of a fully labeled set keep their labels.

    With one seed, the choice of a smaller number is part of a larger one's.

    Args:
        y: Labels of all examples.
        num_labeled: How many to choose.
        seed: In [0, 2**32).
        num_classes: Number of classes.
        balanced: True: the same number of each class, exactly. False: numbers
            that differ by at most one, unless a class has too few.
        class_names: What errors call the classes; by default their numbers.

    Returns:
        Their indices, ascending.

    Raises:
        ValueError: Fewer than classes; not a multiple of `num_classes`, unless
            `balanced=False`; more than there are.

    Example:
    >>> split_labeled([0, 0, 1, 1, 1, 0], 4, seed=0, num_classes=2)
    array([1, 2, 4, 5])
    """
    y = arrays.class_ids(arrays.labels(y, num_classes))
    seed = arguments.integer("seed", seed, 0, _LARGEST_SEED)
    arguments.integer("num_labeled", num_labeled)
    available = np.bincount(y, minlength=num_classes)
    _check_enough(num_labeled, available, balanced, class_names)
    random = np.random.RandomState(seed)
    queues = [
        random.permutation(np.flatnonzero(y == k)) for k in range(num_classes)
    ]
    # Dealt out in rounds, so that classes differ by one at most.
    turn = random.permutation(num_classes)
    deal = [(i, t, k) for t, k in enumerate(turn) for i in range(available[k])]
    chosen = [queues[k][i] for i, _, k in sorted(deal)[:num_labeled]]
    return np.sort(chosen)


def stratified(
    y: np.ndarray, count: int, random: np.random.RandomState, num_classes: int
) -> np.ndarray:
    """Ascending indices of `count` examples, in the proportions of `y`."""
    share = np.bincount(y, minlength=num_classes) * count / len(y)
    quota = np.floor(share).astype(int)
    # Largest remainders get what rounding down has left; ties by class.
    order = np.argsort(quota - share, kind="stable")
    quota[order[: count - quota.sum()]] += 1
    chosen = [
        random.permutation(np.flatnonzero(y == k))[: quota[k]]
        for k in range(num_classes)
    ]
    return np.sort(np.concatenate(chosen))


def _check_enough(num_labeled, available, balanced, class_names) -> None:
    """Raises where `split_labeled` cannot choose so many."""
    num_classes, scarce = len(available), int(np.argmin(available))
    limit = available.sum()
    if balanced:
        limit = num_classes * available[scarce]
    error = NotBalancedError if balanced else ArgumentError
    if num_labeled < num_classes:
        error = ArgumentError
        problem = f"at least {num_classes}, one for each of {num_classes} "
        problem += "classes"
    elif balanced and num_labeled % num_classes:
        problem = f"a multiple of {num_classes}, the number of classes"
    elif num_labeled > limit:
        total = available.sum()
        problem = f"at most {limit}: there are {total} labeled examples"
        if limit < total:
            problem += f", and only {available[scarce]} of class "
            problem += _called(scarce, class_names)
        else:
            error = ArgumentError
    else:
        return
    raise error("num_labeled", f"be {problem}", str(num_labeled))


def _called(number, class_names):
    """A class by its name, or by its number where it has none."""
    return str(number) if class_names is None else repr(class_names[number])
