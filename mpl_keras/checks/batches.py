"""What a training batch must be, as far as names and shapes tell."""

import inspect
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpl_keras.checks import arguments
from mpl_keras.checks.arguments import ArgumentError

VIEWS = ("labeled", "weak", "strong")


def unpack(data: Any, num_classes: int) -> tuple[Any, Any, Any]:
    """Views, labels and weights of a batch, checked as far as shapes go."""
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    check_batch(x, y, sample_weight, num_classes)
    return x, y, sample_weight


def check_batch(x: Any, y: Any, sample_weight: Any, num_classes: int) -> None:
    """Raises unless a training batch has the form that the models expect.

    Looks at names, shapes and dtypes only, so that it also serves while a
    step is traced, and for a dataset's `element_spec`.

    Args:
        x: Dict with "labeled", "weak" and "strong" views, and perhaps a
            "meta" batch, and a "prior" of the unlabeled examples.
        y: Labels of "labeled"; or a dict with those of "labeled" and "meta".
        sample_weight: None, or one weight per labeled example.
        num_classes: Number of classes.

    Raises:
        ValueError: With what is missing or does not fit.
    """
    if not isinstance(x, dict) or not set(VIEWS) <= set(x):
        came = sorted(x) if isinstance(x, dict) else type(x).__name__
        raise ValueError(
            "A training batch must be `(x, y)` with x a dict of the views "
            f"{VIEWS}, as `pipeline.training_dataset` makes it. "
            f"Received: x={came}"
        )
    unknown = set(x) - {*VIEWS, "meta", "prior"}
    if unknown:
        raise ValueError(
            f"A batch's views must be {VIEWS}, and perhaps 'meta' and 'prior'. "
            f"Received also: {sorted(unknown)}"
        )
    _same_shapes(x["weak"], x["strong"], "weak", "strong", whole=True)
    _same_shapes(x["labeled"], x["weak"], "labeled", "weak", whole=False)
    if "meta" in x:
        _same_shapes(x["meta"], x["labeled"], "meta", "labeled", whole=False)
    if "prior" in x:
        _check_prior(x["prior"], x["weak"], num_classes)
    if isinstance(y, dict) != (isinstance(y, dict) and "meta" in x) or (
        isinstance(y, dict) and set(y) != {"labeled", "meta"}
    ):
        raise ValueError(
            "Labels by name must be those of 'labeled' and 'meta', for a batch "
            f"with both. Received: y={sorted(y)}, x={sorted(x)}"
        )
    by_name = y if isinstance(y, dict) else {"labeled": y}
    for name, named in by_name.items():
        check_labels(named, x[name], name, num_classes)
    if "meta" in x and not isinstance(y, dict):
        check_labels(y, x["meta"], "meta", num_classes)
    _weight_shape(sample_weight, y)


def check_class_weight(
    class_weight: Any, y: Any, num_classes: int, whole: bool
) -> None:
    """Raises unless weights of classes fit the labels.

    Args:
        class_weight: A weight by the number of a class, or None.
        y: Labels, or those of "labeled" and "meta".
        num_classes: Number of classes.
        whole: Whether no class may be left out.

    Raises:
        ArgumentError: They are of other classes, no weights, or for labels by
            name, of which Keras could not tell which ones they are for.

    Example:
    >>> check_class_weight({0: 1.0, 1: 5.0}, np.array([0, 1]), 2, whole=True)
    """
    if class_weight is None:
        return
    if isinstance(y, dict):
        raise ArgumentError(
            "class_weight",
            "be None for labels by name. Give a weight for each labeled "
            "example: `sample_weight`, or batches of `(x, y, sample_weight)`",
            f"weights of classes, for labels {sorted(y)}",
        )
    classes = set(range(num_classes))
    fits = isinstance(class_weight, dict) and set(class_weight) <= classes
    if not fits or (whole and set(class_weight) != classes):
        raise ArgumentError(
            "class_weight",
            f"be a dict with a weight for each class, 0 to {num_classes - 1}",
            repr(class_weight),
        )
    for weight in class_weight.values():
        arguments.number("class_weight", weight, 0)


def check_trained_on(x: Any) -> None:
    """Raises if `fit` cannot train on what `x` is, whatever it holds.

    Raises:
        ArgumentError: It says how to make batches of views.

    Example:
    >>> check_trained_on({"labeled": 1, "weak": 2, "strong": 3})
    >>> check_trained_on(np.zeros((4, 2)))
    Traceback (most recent call last):
    ...
    mpl_keras.checks.arguments.ArgumentError: `x` must be batches of dicts of \
views, labeled and unlabeled: `pipeline.training_dataset(data, ...)`, with \
the data of `datasets.from_arrays(x_labeled, y_labeled, x_unlabeled)`, makes \
them. Received: x=ndarray
    """
    if _is_data(x):
        raise ArgumentError(
            "x",
            "be batches of views, which `model.fit(pipeline.training_dataset("
            "data, labeled_batch_size=32, unlabeled_batch_size=64))` makes of "
            "this data",
            type(x).__name__,
        )
    frame = hasattr(x, "shape") or hasattr(x, "to_numpy")
    plain = x is None or isinstance(x, (list, tuple, str)) or np.isscalar(x)
    if frame or plain or _is_read(x):
        raise ArgumentError(
            "x",
            "be batches of dicts of views, labeled and unlabeled: "
            "`pipeline.training_dataset(data, ...)`, with the data of "
            "`datasets.from_arrays(x_labeled, y_labeled, x_unlabeled)`, makes "
            "them",
            type(x).__name__,
        )


def refuse_views(x: Any, argument: str = "x") -> None:
    """Raises if examples to be classified are a training batch's views.

    Args:
        x: Examples, or a dataset of them or of (examples, labels).
        argument: The name by which an error calls it.

    Raises:
        ArgumentError: They are.

    Example:
    >>> refuse_views(np.zeros((4, 2)))
    """
    if _is_data(x):
        raise ArgumentError(
            argument,
            "be examples, or a dataset of `(x, y)` such as `data.test`",
            type(x).__name__,
        )
    spec = x
    if isinstance(x, tf.data.Dataset):
        spec = x.element_spec
    if isinstance(spec, (tuple, list)) and spec:
        spec = spec[0]
    if isinstance(spec, dict) and set(VIEWS) <= set(spec):
        raise ArgumentError(
            argument,
            "be plain examples, as one network takes them: views are for "
            "training",
            f"the views {sorted(spec)}",
        )


def is_loader(data: Any) -> bool:
    """Whether it is a `DataLoader` of torch, which need not be there.

    Example:
    >>> is_loader(np.zeros((4, 2)))
    False
    """
    return hasattr(data, "batch_sampler") and hasattr(data, "dataset")


def _is_read(x):
    """Whether it is a dataset of HuggingFace or torch; none of its batches."""
    kinds = {kind.__module__.split(".")[0] for kind in type(x).__mro__}
    return bool(kinds & {"datasets", "torch"}) and not is_loader(x)


def check_labeled(data: Any, argument: str) -> None:
    """Raises if data to evaluate on are seen to have no labels.

    Args:
        data: `(x, y)`, `(x, y, sample_weight)`, or what gives batches of such.
        argument: The name by which an error calls it.

    Raises:
        ArgumentError: They are neither.

    Example:
    >>> check_labeled((np.zeros((4, 2)), np.zeros(4, int)), "validation_data")
    >>> check_labeled(np.zeros((4, 2)), "validation_data")
    Traceback (most recent call last):
    ...
    mpl_keras.checks.arguments.ArgumentError: `validation_data` must be \
examples and their labels, `(x, y)` or `(x, y, sample_weight)`, or a dataset \
of such. Received: validation_data=ndarray
    """
    tupled = isinstance(data, (tuple, list))
    plain = isinstance(data, (dict, str, bytes)) or np.isscalar(data)
    array = hasattr(data, "shape") or hasattr(data, "to_numpy")
    once = isinstance(data, Iterator) and not inspect.isgenerator(data)
    if plain or array or once or (tupled and len(data) not in (2, 3)):
        received = type(data).__name__
        received += f" of {len(data)}" if tupled else ""
        raise ArgumentError(
            argument,
            "be examples and their labels, `(x, y)` or `(x, y, "
            "sample_weight)`, or a dataset of such",
            received,
        )


def is_structure(x: Any) -> bool:
    """Whether it is arrays, tensors or their specifications, or lists of them.

    Example:
    >>> is_structure({"a": np.zeros(3)}), is_structure(iter([1]))
    (True, False)
    """
    return all(
        hasattr(leaf, "shape") or np.isscalar(leaf)
        for leaf in keras.tree.flatten(x)
    )


def _is_data(x):
    """Whether it is the data of `datasets`, of which batches are made."""
    return hasattr(x, "unlabeled") and hasattr(x, "num_classes")


def _shape(leaf):
    shape = leaf.shape if hasattr(leaf, "shape") else np.shape(leaf)
    shape = tf.TensorShape(shape)
    return None if shape.rank is None else tuple(shape)


def _dtype(leaf):
    dtype = leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype
    return tf.as_dtype(dtype).name


def _differ(left, right):
    """Whether two shapes, with None for what is not known, cannot agree."""
    if left is None or right is None:
        return False
    return len(left) != len(right) or any(
        None not in pair and pair[0] != pair[1]
        for pair in zip(left, right, strict=True)
    )


def _same_shapes(left, right, left_name, right_name, whole):
    """Raises unless two views agree; without their batch sizes if asked."""
    try:
        keras.tree.assert_same_structure(left, right)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"The views {left_name!r} and {right_name!r} must have the same "
            f"structure. {error}"
        ) from error
    for one, other in zip(
        keras.tree.flatten(left), keras.tree.flatten(right), strict=True
    ):
        shapes = _shape(one), _shape(other)
        if () in shapes:
            raise ValueError(
                f"The views {left_name!r} and {right_name!r} must be arrays or "
                "tensors, or structures of them. Received: plain numbers (for "
                "lists of numbers call np.asarray)"
            )
        types = _dtype(one), _dtype(other)
        if types[0] != types[1]:
            raise ValueError(
                f"The views {left_name!r} and {right_name!r} must have the "
                f"same dtype. Received: {types[0]} and {types[1]}"
            )
        parts = shapes if whole else tuple(s and s[1:] for s in shapes)
        if _differ(*parts):
            same = "shape" if whole else "shape but for the batch size"
            raise ValueError(
                f"The views {left_name!r} and {right_name!r} must have the "
                f"same {same}. Received: {shapes[0]} and {shapes[1]}"
            )


def check_labels(y: Any, x: Any, name: str, num_classes: int) -> None:
    """Raises unless labels are one per example of x, indices or one-hot."""
    what = (
        f"The labels of {name!r} must be integers of shape (batch,) or "
        f"(batch, 1), or rows of {num_classes} probabilities. "
    )
    if y is None:
        raise ValueError(f"{what}Received: y=None")
    shape = _shape(y)
    if shape is None:
        return
    dtype = tf.as_dtype(getattr(y, "dtype", None) or np.asarray(y).dtype)
    indices = len(shape) == 1 or (len(shape) == 2 and shape[1] in (1, None))
    rows = len(shape) == 2 and shape[1] in (num_classes, None)
    rows = rows and dtype != tf.string
    if not (rows or (indices and dtype.is_integer)):
        hint = ""
        if dtype == tf.string:
            hint = (
                ". For names of classes, map the labels to integers with "
                "`keras.layers.StringLookup(vocabulary=names, "
                "num_oov_indices=0)`, or give arrays to "
                "`datasets.from_arrays`, which takes names"
            )
        raise ValueError(
            f"{what}Received: shape {shape}, dtype {dtype.name}{hint}"
        )
    images = _shape(keras.tree.flatten(x)[0])
    if images is not None and _differ(shape[:1], images[:1]):
        raise ValueError(
            f"{what}Received: {shape[0]} labels for {images[0]} examples"
        )


def _check_prior(prior, weak, num_classes):
    """Raises unless it is a row of probabilities for each unlabeled example."""
    shape, images = _shape(prior), _shape(keras.tree.flatten(weak)[0])
    rows = shape is None or (
        len(shape) == 2
        and shape[1] in (num_classes, None)
        and not _differ(shape[:1], images and images[:1])
    )
    if not rows or not tf.as_dtype(_dtype(prior)).is_floating:
        raise ValueError(
            "The 'prior' of a batch must be a row of "
            f"{num_classes} probabilities for each of its unlabeled examples. "
            f"Received: shape {shape}, dtype {_dtype(prior)}"
        )


def _weight_shape(sample_weight, y):
    if sample_weight is None:
        return
    y = y["labeled"] if isinstance(y, dict) else y
    weight = None if isinstance(sample_weight, dict) else _shape(sample_weight)
    labels = _shape(y)
    ok = weight is not None and len(weight) in (1, 2)
    if ok:
        ok = weight[1:] in ((), (1,), (None,))
        ok = ok and not _differ(weight[:1], labels and labels[:1])
    if not ok:
        raise ValueError(
            "`sample_weight` must be one number per labeled example, of shape "
            f"(batch,). Received: shape {weight} for labels of shape {labels}"
        )
