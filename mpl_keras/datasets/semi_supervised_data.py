"""What is trained on and measured with, and how arrays become it."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from mpl_keras import augment
from mpl_keras.checks import arguments, arrays
from mpl_keras.checks.arguments import ArgumentError
from mpl_keras.datasets import sources
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

    Example:
    >>> x = np.zeros((10, 3), "float32")
    >>> SemiSupervisedData((x[:2], np.array([0, 1])), x, None, None, 2, "ab")
    SemiSupervisedData(labeled=2, unlabeled=10, classes=2)
    """

    labeled: tuple[Any, np.ndarray]
    unlabeled: Any
    validation: tf.data.Dataset | None
    test: tf.data.Dataset | None
    num_classes: int
    class_names: tuple[str, ...]
    unlabeled_labels: np.ndarray | None = None
    views: augment.Views | None = None
    image_scale: float | None = None

    @property
    def preprocessing(self) -> ImagePreprocessing | None:
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
            f"(labeled={arrays.num_examples(self.labeled[1])}, "
            f"unlabeled={arrays.num_examples(self.unlabeled)}, "
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
    image_scale: float | None = None,
) -> SemiSupervisedData:
    """Data from arrays in memory.

    Args:
        x_labeled: An array, or a nested structure of arrays (networks of
            several inputs). Integer images stay integers.
        y_labeled: Integers shaped (N,) or (N, 1), or class probabilities.
        x_unlabeled: Like `x_labeled`, without labels; or `datasets.Items`,
            which read a HuggingFace dataset, a torch dataset or a
            `keras.utils.PyDataset` when they are needed.
        test: Pair (x, y) for the final figure.
        validation: Pair (x, y) for choosing settings.
        num_classes: By default the number of `class_names`, or what
            `y_labeled` shows.
        class_names: By default "0", "1", ...
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
    """
    if not np.shape(y_labeled):
        arrays.arrays(y_labeled, "y_labeled")
    _check_known(y_labeled, "y_labeled")
    y = np.asarray(y_labeled)
    num_classes, class_names = _classes(y, num_classes, class_names)
    x, y = arrays.pair(x_labeled, y, num_classes, "x_labeled", "y_labeled")
    _check_every_class(y, num_classes)
    unlabeled = arrays.examples(x_unlabeled, "x_unlabeled")
    arrays.same_form(unlabeled, x, "x_unlabeled", "x_labeled")
    if unlabeled_labels is not None:
        truth = arrays.labels(unlabeled_labels, num_classes, "unlabeled_labels")
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
        validation=_evaluation(validation, x, num_classes, "validation"),
        test=_evaluation(test, x, num_classes, "test"),
        num_classes=num_classes,
        class_names=class_names,
        unlabeled_labels=unlabeled_labels,
        views=views or augment.default_views(unlabeled),
        image_scale=image_scale,
    )


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


def _check_known(y, argument):
    """Raises where a label is NaN."""
    gone = arrays.missing(y)
    if len(gone):
        raise ArgumentError(
            argument,
            "be the classes of labeled examples alone; give those without a "
            "label as `x_unlabeled`",
            f"{len(gone)} of {len(y)} missing",
            note=f", the first in row {gone[0]}",
        )


def _evaluation(pair, reference, num_classes, argument):
    """Batches (x, y) for Keras's `evaluate`, or None."""
    if pair is None:
        return None
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise ValueError(
            f"`{argument}` must be a pair (x, y) of arrays. "
            f"Received: {type(pair).__name__}"
        )
    x, y = arrays.pair(*pair, num_classes, f"{argument}[0]", f"{argument}[1]")
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


def evaluation_batches(x: Any, y: Any, batch_size: int = 256):
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
        raise ValueError(
            f"`y_labeled` must have an example of each of {num_classes} "
            f"classes. Received: none of class {missing.tolist()}"
        )
