"""What is trained on and measured with, and how arrays become it."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpl_keras import augment
from mpl_keras.checks import arguments, arrays
from mpl_keras.checks.arguments import ArgumentError
from mpl_keras.datasets import labels, sources
from mpl_keras.images.preprocessing import ImagePreprocessing


@dataclasses.dataclass(frozen=True, eq=False)
class SemiSupervisedData:
    """A few labeled examples, many unlabeled ones, and what to measure with.

    Args:
        labeled: Pair (x, y). An x is an array, a `datasets.Source` (which
            reads its examples when they are needed), or a nested structure of
            these with one first axis; y is integers [N] or probabilities
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
        image_scale: What 8-bit values were multiplied with to make images of
            floats, such as 1/255; None where it is not known.
        unlabeled_rows: Where `unlabeled` is from a table or a list of texts,
            the number of each in it, counted from 0; or None.
        unlabeled_prior: What is known of the class of each unlabeled example
            before a network sees it, probabilities [N, num_classes], all above
            0; or None. `spread_labels` finds them. They multiply the teacher's
            targets.

    Example:
    >>> x = np.zeros((10, 3), "float32")
    >>> SemiSupervisedData((x[:2], np.array([0, 1])), x, None, None, 2, "ab")
    SemiSupervisedData(labeled=2, unlabeled=10, classes=2)
    """

    labeled: tuple[Any, np.ndarray]
    unlabeled: Any
    # `Any` stands for None: who made the data knows whether they have these,
    # and need not ask before each use.
    validation: tf.data.Dataset | Any
    test: tf.data.Dataset | Any
    num_classes: int
    class_names: tuple[str, ...]
    unlabeled_labels: np.ndarray | None = None
    views: augment.Views | Any = None
    image_scale: float | None = None
    unlabeled_rows: np.ndarray | Any = None
    unlabeled_prior: np.ndarray | Any = None

    @property
    def num_labeled(self) -> int:
        """Number of labeled examples.

        Example:
        >>> x = np.zeros((4, 3), "float32")
        >>> from_arrays(x[:2], [0, 1], x[2:]).num_labeled
        2
        """
        return arrays.num_examples(self.labeled[1])

    @property
    def preprocessing(self) -> ImagePreprocessing | Any:
        """From uint8 images of any size to what networks take.

        None where the examples are no images, or images of floats whose
        `image_scale` is not known.

        Example:
        >>> x = np.zeros((4, 32, 32, 3), "uint8")
        >>> data = from_arrays(x[:2], [0, 1], x[2:])
        >>> data.preprocessing.input_shape
        (32, 32, 3)
        """
        x = self.unlabeled
        shape = getattr(x, "shape", ())
        if len(shape) != 4 or shape[-1] not in (1, 3):
            return None
        scale = 1.0 if tf.as_dtype(x.dtype) == tf.uint8 else self.image_scale
        if scale is None:
            return None
        *size, channels = getattr(x, "view_shape", shape[1:])
        limit = {}
        if hasattr(x, "max_pixels"):
            limit["max_pixels"] = x.max_pixels
        return ImagePreprocessing(
            tuple(size), channels, shape[1:3], scale, **limit
        )

    def __repr__(self) -> str:
        """The sizes, because the arrays would fill the screen."""
        return (
            f"{type(self).__name__}"
            f"(labeled={self.num_labeled}, "
            f"unlabeled={arrays.num_examples(self.unlabeled)}, "
            f"classes={self.num_classes})"
        )


def from_arrays(
    x_labeled: Any,
    y_labeled: Any,
    x_unlabeled: Any = None,
    *,
    test: tuple[Any, Any] | None = None,
    validation: tuple[Any, Any] | None = None,
    num_classes: int | None = None,
    class_names: Sequence[str] | None = None,
    views: augment.Views | None = None,
    unlabeled_labels: Any = None,
    labeled_in_unlabeled: bool = True,
    image_scale: float | None = None,
) -> SemiSupervisedData:
    """Data from arrays in memory.

    Args:
        x_labeled: An array, or a nested structure of arrays (networks of
            several inputs). Integer images stay integers.
        y_labeled: Integers or names of classes, shaped (N,) or (N, 1), or rows
            of class probabilities. Examples whose label is -1, NaN or None are
            unlabeled ones, and are added to these.
        x_unlabeled: Like `x_labeled`, without labels; or `datasets.Items`,
            which read a HuggingFace dataset, a torch dataset or a
            `keras.utils.PyDataset` when they are needed. May be left out where
            labels of `y_labeled` are missing.
        test: Pair (x, y) for the final figure.
        validation: Pair (x, y) for choosing settings.
        num_classes: By default the number of `class_names`, or what
            `y_labeled` shows.
        class_names: By default the names in `y_labeled` in their order, or
            "0", "1", ...
        views: By default `augment.default_views`, for images and float
            features. For anything else `training_dataset` asks for them.
        unlabeled_labels: The true classes of `x_unlabeled`, for measuring only.
        labeled_in_unlabeled: True appends the labeled examples to the unlabeled
            ones; say False if `x_unlabeled` holds them already, or must not.
            Nothing is ever removed from `x_unlabeled`.
        image_scale: See `SemiSupervisedData`.

    Raises:
        ValueError: An array is not what it must be, or a class has no example.

    Example:
    >>> x = np.random.RandomState(0).normal(size=(100, 3)).astype("float32")
    >>> from_arrays(x[:2], [0, 1], x[2:])
    SemiSupervisedData(labeled=2, unlabeled=100, classes=2)
    >>> from_arrays(x[:6], ["dog", -1, "cat", None, "cat", -1]).class_names
    ('cat', 'dog')
    """
    x_labeled, y, x_unlabeled = _apart(
        x_labeled, y_labeled, x_unlabeled, unlabeled_labels
    )
    num_classes, class_names = _classes(y, num_classes, class_names)
    y = _as_numbers(y, class_names, "y_labeled")
    x, y = arrays.pair(x_labeled, y, num_classes, "x_labeled", "y_labeled")
    _check_every_class(y, num_classes)
    unlabeled = arrays.examples(x_unlabeled, "x_unlabeled")
    arrays.same_form(unlabeled, x, "x_unlabeled", "x_labeled")
    if unlabeled_labels is not None:
        truth = _as_numbers(unlabeled_labels, class_names, "unlabeled_labels")
        truth = arrays.labels(truth, num_classes, "unlabeled_labels")
        arrays.same_length(unlabeled, truth, "x_unlabeled", "unlabeled_labels")
        unlabeled_labels = arrays.class_ids(truth)
    if labeled_in_unlabeled:
        unlabeled = sources.joined(unlabeled, x)
        if unlabeled_labels is not None:
            own = arrays.class_ids(y)
            unlabeled_labels = np.concatenate([unlabeled_labels, own])
    return SemiSupervisedData(
        labeled=(x, y),
        unlabeled=unlabeled,
        validation=_evaluation(validation, x, class_names, "validation"),
        test=_evaluation(test, x, class_names, "test"),
        num_classes=num_classes,
        class_names=class_names,
        unlabeled_labels=unlabeled_labels,
        views=views or augment.default_views(unlabeled),
        image_scale=image_scale,
    )


def _apart(x, y, x_unlabeled, unlabeled_labels):
    """Labeled examples, their labels, and all that are unlabeled."""
    plain = labels.as_array(y)
    if not plain.shape:
        arrays.arrays(y, "y_labeled")
    y = plain[:, 0] if plain.shape[1:] == (1,) else plain
    if y.ndim == 1:
        y, known = labels.known_rows(y, "y_labeled")
    else:
        _check_rows_known(y)
        known = np.ones(len(y), bool)
    if x_unlabeled is None and known.all():
        raise ArgumentError(
            "x_unlabeled",
            "be examples without labels, unless labels of `y_labeled` are "
            "missing (-1, NaN or None)",
            "None",
            note=f", and {len(y)} labels, none missing",
        )
    if known.all():
        return x, y, x_unlabeled
    if not known.any():
        raise ArgumentError(
            "y_labeled",
            "hold a label of at least one example of each class",
            f"{len(known)} labels, all missing (-1, NaN or None)",
        )
    if unlabeled_labels is not None:
        raise ArgumentError(
            "unlabeled_labels",
            "not be given where labels of `y_labeled` are missing: the true "
            "classes of these examples are not known",
            type(unlabeled_labels).__name__,
        )
    if np.issubdtype(y.dtype, np.floating) and (y == np.floor(y)).all():
        y = y.astype(np.int64)  # NaN had made floats of them
    x = arrays.arrays(x, "x_labeled")
    arrays.same_length(x, known, "x_labeled", "y_labeled")
    others = _rows_of(x, ~known)
    if x_unlabeled is not None:
        given = arrays.examples(x_unlabeled, "x_unlabeled")
        arrays.same_form(given, x, "x_unlabeled", "x_labeled")
        others = sources.joined(given, others)
    return _rows_of(x, known), y, others


def _rows_of(x, rows):
    return keras.tree.map_structure(lambda leaf: leaf[rows], x)


def _as_numbers(y, class_names, argument) -> np.ndarray:
    """Labels as they are, or the numbers of classes given by name."""
    y = labels.as_array(y)
    named = y.size and y.dtype.kind in "OUS" and labels.are_texts(y)
    return labels.numbers_of(y, class_names, argument) if named else y


def _classes(y, num_classes, class_names) -> tuple[int, tuple[str, ...]]:
    """Number and names of the classes, from what is given."""
    if class_names is None and len(y) and labels.are_texts(y):
        class_names = np.unique(y).tolist()
    if class_names is not None:
        class_names = tuple(str(name) for name in class_names)
    if num_classes is None and class_names is not None:
        num_classes = len(class_names)
    if num_classes is None:
        rows = y.ndim == 2 and y.shape[1] != 1
        if not np.issubdtype(y.dtype, np.number):
            raise ValueError(
                "`y_labeled` must be integers from 0, names of classes, or "
                f"one-hot rows. Received: y_labeled of dtype {y.dtype}"
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


def _check_rows_known(y):
    """Raises where a row of class probabilities holds a NaN."""
    gone = arrays.missing(y)
    if len(gone):
        raise ArgumentError(
            "y_labeled",
            "be the class probabilities of labeled examples alone; give those "
            "without a label as `x_unlabeled`",
            f"{len(gone)} of {len(y)} missing",
            note=f", the first in row {gone[0]}",
        )


def _evaluation(pair, reference, class_names, argument):
    """Batches (x, y) for Keras's `evaluate`, or None."""
    if pair is None:
        return None
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise ValueError(
            f"`{argument}` must be a pair (x, y) of arrays. "
            f"Received: {type(pair).__name__}"
        )
    name = f"{argument}[1]"
    y = _as_numbers(pair[1], class_names, name)
    x, y = arrays.pair(pair[0], y, len(class_names), f"{argument}[0]", name)
    arrays.same_form(x, reference, f"{argument}[0]", "x_labeled")
    return evaluation_batches(x, y)


@dataclasses.dataclass(frozen=True, eq=False)
class EvaluationStream:
    """What batches for evaluation know of themselves; their `stream`.

    Args:
        examples: Arrays or sources, all of them.
        read: Returns (x, y) for the numbers of examples.
        num_examples: How many there are.

    Example:
    >>> x = np.zeros((10, 3), "float32")
    >>> stream = evaluation_batches(x, np.arange(10)).stream
    >>> stream.num_examples, stream.read([7])[1].numpy()
    (10, array([7]))
    """

    examples: Any
    read: Callable[[Any], tuple[Any, Any]]
    num_examples: int


def evaluation_batches(
    x: Any, y: Any, batch_size: int = 256
) -> tf.data.Dataset:
    """Batches (x, y) in order, for Keras's `evaluate`.

    The dataset's attribute `stream` is an `EvaluationStream`: how many there
    are, and some of them by their numbers.

    Args:
        x: Arrays or sources.
        y: Their labels, an array.
        batch_size: Examples in a batch; the last one may have fewer.

    Example:
    >>> x = np.zeros((10, 3), "float32")
    >>> batches = evaluation_batches(x, np.arange(10), batch_size=4)
    >>> len(batches), batches.stream.num_examples
    (3, 10)
    """
    read = sources.reader((sources.centered(x), y))
    dataset = (
        tf.data.Dataset.range(arrays.num_examples(x))
        .batch(batch_size)
        .map(read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .prefetch(tf.data.AUTOTUNE)
    )
    dataset.stream = EvaluationStream(x, read, arrays.num_examples(x))
    return dataset


def _check_every_class(y: np.ndarray, num_classes: int) -> None:
    rows = y if y.ndim == 2 else y[:, np.newaxis] == np.arange(num_classes)
    missing = np.flatnonzero(~(rows > 0).any(axis=0))
    if missing.size:
        hint = ""
        if missing.tolist() == [0] and y.ndim == 1:
            hint = arrays.from_one(y, num_classes)
        raise ValueError(
            f"`y_labeled` must have an example of each of {num_classes} "
            f"classes (-1 stands for no label). Received: none of class "
            f"{missing.tolist()}{hint}"
        )
