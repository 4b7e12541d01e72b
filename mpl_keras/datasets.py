"""Labeled, unlabeled and evaluation data: arrays, splits, class names.

The random choices come from `np.random.RandomState`, whose stream numpy has
frozen: a seed gives the same split on every machine.
"""

import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpl_keras import arguments, augment, checks

_LARGEST_SEED = 2**32 - 1


@dataclasses.dataclass(frozen=True, eq=False)
class SemiSupervisedData:
    """A few labeled examples, many unlabeled ones, and what to measure with.

    Args:
        labeled: Pair (x, y). An x is an array or a nested structure of arrays
            with one first axis; y is integers [N] or probabilities
            [N, num_classes].
        unlabeled: x alone.
        validation: Batches (x, y) for choosing settings and checkpoints, or
            None.
        test: Batches (x, y) for the final figure, or None; plain
            `model.evaluate(data.test)` works.
        num_classes: Number of classes.
        class_names: One name for each class.
        unlabeled_labels: The true classes of `unlabeled` where they are known,
            to measure pseudo labels with, never to train on; or None.
        views: Weak and strong views that fit this data, or None.

    Example:
    >>> two_moons(num_labeled=6)
    SemiSupervisedData(labeled=6, unlabeled=2000, classes=2)
    """

    labeled: tuple[Any, np.ndarray]
    unlabeled: Any
    validation: tf.data.Dataset | None
    test: tf.data.Dataset | None
    num_classes: int
    class_names: tuple[str, ...]
    unlabeled_labels: np.ndarray | None = None
    views: augment.Views | None = None

    def __repr__(self) -> str:
        """The sizes, because the arrays would fill the screen."""
        return (
            f"{type(self).__name__}"
            f"(labeled={checks.num_examples(self.labeled[1])}, "
            f"unlabeled={checks.num_examples(self.unlabeled)}, "
            f"classes={self.num_classes})"
        )


def from_arrays(
    x_labeled: Any,
    y_labeled: Any,
    x_unlabeled: Any,
    *,
    test: tuple[Any, Any] | None = None,
    validation: tuple[Any, Any] | None = None,
    num_classes: int | None = None,
    class_names: tuple[str, ...] | None = None,
    views: augment.Views | None = None,
    unlabeled_labels: Any = None,
    labeled_in_unlabeled: bool = True,
) -> SemiSupervisedData:
    """Data from arrays in memory.

    Args:
        x_labeled: An array, or a nested structure of arrays (networks of
            several inputs). Integer images stay integers.
        y_labeled: Integers shaped (N,) or (N, 1), or class probabilities.
        x_unlabeled: Like `x_labeled`, without labels.
        test: Pair (x, y) for the final figure.
        validation: Pair (x, y) for choosing settings.
        num_classes: By default the number of `class_names`, or what
            `y_labeled` shows.
        class_names: By default "0", "1", ...
        views: By default `augment.default_views`: small affine views without a
            flip for float or uint8 images, jitter for float features. For
            anything else `training_dataset` asks for them.
        unlabeled_labels: The true classes of `x_unlabeled`, for measuring only.
        labeled_in_unlabeled: True appends the labeled examples to the unlabeled
            ones; say False if `x_unlabeled` holds them already, or must not.
            Nothing is ever removed from `x_unlabeled`.

    Raises:
        ValueError: An array is not what it must be, or a class has no example.

    Example:
    >>> x = np.random.RandomState(0).normal(size=(100, 3)).astype("float32")
    >>> from_arrays(x[:2], [0, 1], x[2:])
    SemiSupervisedData(labeled=2, unlabeled=100, classes=2)
    """
    y = np.asarray(y_labeled)
    num_classes, class_names = _classes(y, num_classes, class_names)
    x, y = checks.pair(x_labeled, y, num_classes, "x_labeled", "y_labeled")
    _check_every_class(y, num_classes)
    unlabeled = checks.examples(x_unlabeled, "x_unlabeled")
    checks.same_form(unlabeled, x, "x_unlabeled", "x_labeled")
    if unlabeled_labels is not None:
        truth = checks.labels(unlabeled_labels, num_classes, "unlabeled_labels")
        checks.same_length(unlabeled, truth, "x_unlabeled", "unlabeled_labels")
        unlabeled_labels = checks.class_ids(truth)
    if labeled_in_unlabeled:
        unlabeled = keras.tree.map_structure(
            lambda *parts: np.concatenate(parts), unlabeled, x
        )
        if unlabeled_labels is not None:
            own = checks.class_ids(y)
            unlabeled_labels = np.concatenate([unlabeled_labels, own])
    return SemiSupervisedData(
        labeled=(x, y),
        unlabeled=unlabeled,
        validation=_evaluation(validation, x, num_classes, "validation"),
        test=_evaluation(test, x, num_classes, "test"),
        num_classes=num_classes,
        class_names=class_names,
        unlabeled_labels=unlabeled_labels,
        views=views or augment.default_views(unlabeled),
    )


def split_labeled(
    y: Any,
    num_labeled: int,
    seed: int,
    num_classes: int,
    balanced: bool = True,
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

    Returns:
        Their indices, ascending.

    Raises:
        ValueError: Fewer than classes; not a multiple of `num_classes`, unless
            `balanced=False`; more than there are.

    Example:
    >>> split_labeled([0, 0, 1, 1, 1, 0], 4, seed=0, num_classes=2)
    array([1, 2, 4, 5])
    """
    y = checks.class_ids(checks.labels(y, num_classes))
    seed = arguments.integer("seed", seed, 0, _LARGEST_SEED)
    arguments.integer("num_labeled", num_labeled, num_classes)
    available = np.bincount(y, minlength=num_classes)
    _check_enough(num_labeled, available, balanced)
    random = np.random.RandomState(seed)
    queues = [
        random.permutation(np.flatnonzero(y == k)) for k in range(num_classes)
    ]
    # Dealt out in rounds, so that classes differ by one at most.
    turn = random.permutation(num_classes)
    deal = [(i, t, k) for t, k in enumerate(turn) for i in range(available[k])]
    chosen = [queues[k][i] for i, _, k in sorted(deal)[:num_labeled]]
    return np.sort(chosen)


def digits(
    num_labeled: int,
    seed: int = 0,
    *,
    validation_fraction: float = 0.0,
    labeled_in_unlabeled: bool = True,
    balanced: bool = True,
) -> SemiSupervisedData:
    """scikit-learn's 1,797 real handwritten digits, 8x8.

    float32 in [0, 1], shaped (8, 8, 1); int32 labels. 540 images, stratified,
    are the test set, the same for every seed; the other 1,257 are for training.

    Args:
        num_labeled: How many keep their labels; see `split_labeled`.
        seed: Of the choice of labeled and validation images.
        validation_fraction: Share of the training images to set aside,
            stratified, apart from labeled and unlabeled; in [0, 1).
        labeled_in_unlabeled: False removes the labeled images from the
            unlabeled ones.
        balanced: See `split_labeled`.

    Raises:
        ImportError: scikit-learn is not installed.
        ValueError: An argument is out of range.

    Example:
    >>> digits(num_labeled=20)
    SemiSupervisedData(labeled=20, unlabeled=1257, classes=10)
    """
    x, y = _load_digits()
    held_out = _stratified(y, 540, np.random.RandomState(0), 10)
    train = np.setdiff1d(np.arange(len(y)), held_out)
    labeled = train[split_labeled(y[train], num_labeled, seed, 10, balanced)]
    rest = np.setdiff1d(train, labeled)
    aside = rest[:0]
    if arguments.number("validation_fraction", validation_fraction, 0, 1.0):
        count = round(validation_fraction * len(train))
        if not 0 < count < len(rest):
            raise ValueError(
                "`validation_fraction` must leave at least one image for "
                f"validation and for training. Received: {validation_fraction} "
                f"of {len(train)} images, {len(labeled)} of them labeled"
            )
        random = np.random.RandomState([seed, 1])
        aside = rest[_stratified(y[rest], count, random, 10)]
    unlabeled = np.setdiff1d(train if labeled_in_unlabeled else rest, aside)
    return from_arrays(
        x[labeled],
        y[labeled],
        x[unlabeled],
        test=(x[held_out], y[held_out]),
        validation=(x[aside], y[aside]) if len(aside) else None,
        num_classes=10,
        views=augment.digits_views(),
        unlabeled_labels=y[unlabeled],
        labeled_in_unlabeled=False,
    )


def two_moons(
    num_labeled: int = 6,
    seed: int = 0,
    *,
    num_points: int = 2000,
    noise: float = 0.12,
    num_test: int = 1000,
    labeled_in_unlabeled: bool = True,
    balanced: bool = True,
) -> SemiSupervisedData:
    """Two interleaved half circles with Gaussian noise, [N, 2], float32.

    Each coordinate is scaled to mean 0 and standard deviation 1 over the
    `num_points`, and the test points, a fresh draw, in the same way. Views:
    jitter of 0.02 (weak) and 0.2 (strong).

    Args:
        num_labeled: How many keep their labels; see `split_labeled`.
        seed: Of points, test points and labeled choice.
        num_points: Points for training, half of them of each class.
        noise: Standard deviation, where the circles have radius 1.
        num_test: Points for testing.
        labeled_in_unlabeled: False removes the labeled points from the
            unlabeled ones.
        balanced: See `split_labeled`.

    Example:
    >>> two_moons(seed=3).labeled[0].shape
    (6, 2)
    """
    seed = arguments.integer("seed", seed, 0, _LARGEST_SEED)
    arguments.integer("num_points", num_points, 4)
    arguments.integer("num_test", num_test, 1)
    arguments.number("noise", noise, 0)
    x, y = _moons(num_points, noise, np.random.RandomState([seed, 2]))
    x_test, y_test = _moons(num_test, noise, np.random.RandomState([seed, 3]))
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    x = ((x - mean) / deviation).astype(np.float32)
    x_test = ((x_test - mean) / deviation).astype(np.float32)
    labeled = split_labeled(y, num_labeled, seed, 2, balanced)
    unlabeled = np.arange(num_points)
    if not labeled_in_unlabeled:
        unlabeled = np.setdiff1d(unlabeled, labeled)
    return from_arrays(
        x[labeled],
        y[labeled],
        x[unlabeled],
        test=(x_test, y_test),
        num_classes=2,
        class_names=("upper", "lower"),
        views=augment.jitter_views(weak=0.02, strong=0.2),
        unlabeled_labels=y[unlabeled],
        labeled_in_unlabeled=False,
    )


def _load_digits() -> tuple[np.ndarray, np.ndarray]:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            "`datasets.digits` needs scikit-learn: pip install scikit-learn"
        ) from error
    pixels, y = load_digits(return_X_y=True)
    x = (pixels / 16).astype(np.float32).reshape(-1, 8, 8, 1)
    return x, y.astype(np.int32)


def _moons(count: int, noise: float, random: np.random.RandomState):
    """Points [count, 2] and classes: 0 the upper half circle, 1 the lower."""
    y = random.permutation(np.arange(count, dtype=np.int32) % 2)
    angle = random.uniform(0, np.pi, count)
    x = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    x = np.where(y[:, np.newaxis] == 0, x, [1, 0.5] - x)
    return x + random.normal(0, noise, x.shape), y


def _stratified(
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


def _classes(y, num_classes, class_names) -> tuple[int, tuple[str, ...]]:
    """Number and names of the classes, from what is given."""
    if class_names is not None:
        class_names = tuple(str(name) for name in class_names)
    if num_classes is None and class_names is not None:
        num_classes = len(class_names)
    if num_classes is None:
        rows = y.ndim == 2 and y.shape[1] != 1
        if not np.issubdtype(y.dtype, np.number):
            raise ValueError(
                "`y_labeled` must be integers from 0 or one-hot rows; "
                "`np.unique(y, return_inverse=True)` makes numbers of names. "
                f"Received: y_labeled of dtype {y.dtype}"
            )
        num_classes = y.shape[1] if rows else int(y.max(initial=0)) + 1
    num_classes = arguments.integer("num_classes", num_classes, 2)
    class_names = class_names or tuple(str(k) for k in range(num_classes))
    if len(set(class_names)) != num_classes or len(class_names) != num_classes:
        raise ValueError(
            f"`class_names` must be {num_classes} different names, one for "
            f"each class. Received: class_names={class_names}"
        )
    return num_classes, class_names


def _evaluation(pair, reference, num_classes, argument, batch_size=256):
    """Batches (x, y) for Keras's `evaluate`, or None."""
    if pair is None:
        return None
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise ValueError(
            f"`{argument}` must be a pair (x, y) of arrays. "
            f"Received: {type(pair).__name__}"
        )
    x, y = checks.pair(*pair, num_classes, f"{argument}[0]", f"{argument}[1]")
    checks.same_form(x, reference, f"{argument}[0]", "x_labeled")
    with tf.device("CPU:0"):
        dataset = tf.data.Dataset.from_tensor_slices((x, y))
    return dataset.batch(batch_size).prefetch(tf.data.AUTOTUNE)


def _check_every_class(y: np.ndarray, num_classes: int) -> None:
    rows = y if y.ndim == 2 else y[:, np.newaxis] == np.arange(num_classes)
    missing = np.flatnonzero(~(rows > 0).any(axis=0))
    if missing.size:
        raise ValueError(
            f"`y_labeled` must have an example of each of {num_classes} "
            f"classes. Received: none of class {missing.tolist()}"
        )


def _check_enough(num_labeled, available, balanced) -> None:
    """Raises where `split_labeled` cannot choose so many."""
    num_classes, scarce = len(available), int(np.argmin(available))
    limit = available.sum()
    if balanced:
        limit = num_classes * available[scarce]
    if balanced and num_labeled % num_classes:
        problem = f"a multiple of {num_classes}, the number of classes"
    elif num_labeled > limit:
        problem = f"at most {limit}: of {available.sum()} examples, "
        problem += f"{available[scarce]} are of class {scarce}"
    else:
        return
    unless = " (unless balanced=False)" if balanced else ""
    raise ValueError(
        f"`num_labeled` must be {problem}{unless}. "
        f"Received: num_labeled={num_labeled}"
    )
