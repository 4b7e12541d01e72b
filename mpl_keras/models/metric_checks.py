"""What metrics of `compile` must be: their names, and the labels they take."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpl_keras.checks import names
from mpl_keras.checks.arguments import ArgumentError

# What the commands and callbacks, Keras's own too, write beside the metrics.
_TAKEN = ("loss", "bad_steps", "epoch", "step", "learning_rate", "lr")
_BEGINNINGS = ("val_", "pseudo_label_")


def flat(metrics: Any) -> list[Any]:
    """The metrics in what `compile` takes, however they are nested.

    Example:
    >>> flat(["accuracy", ["mse", None]])
    ['accuracy', 'mse']
    """
    return [m for m in keras.tree.flatten(metrics) if m is not None]


def check_names(metrics: Any, argument: str, shown: Iterable[str]) -> None:
    """Raises if a metric cannot be shown under its name.

    Args:
        metrics: Names, functions and objects, as `compile` takes them.
        argument: Which of its arguments they are.
        shown: Names of what steps show.

    Raises:
        ArgumentError: There is no such metric, or its name is taken.

    Example:
    >>> check_names(["accuracy"], "metrics", ["mask_rate"])
    >>> check_names([keras.metrics.Mean("h")], "metrics", ["h"])
    Traceback (most recent call last):
    ...
    mpl_keras.checks.arguments.ArgumentError: `metrics` must not have a name \
that the model or a callback shows itself, nor one that begins with 'val_' or \
'pseudo_label_'; give it another `name`. Received: metrics='h'
    """
    taken = {*shown, *_TAKEN}
    for metric in flat(metrics):
        name = _name(metric, argument)
        if name in taken or name.startswith(_BEGINNINGS):
            raise ArgumentError(
                argument,
                "not have a name that the model or a callback shows itself, "
                "nor one that begins with "
                f"{' or '.join(map(repr, _BEGINNINGS))}; give it another "
                "`name`",
                repr(name),
            )


def check_labels(
    metrics: Any, argument: str, rows: bool, num_classes: int
) -> None:
    """Raises if a metric does not take labels of the form that will come.

    Keras would broadcast some of them to a number that means nothing, and say
    of others that shapes differ.

    Args:
        metrics: Names, functions and objects, as `compile` takes them.
        argument: Which of its arguments they are.
        rows: Whether labels are rows of probabilities, not integers.
        num_classes: Number of classes.

    Raises:
        ArgumentError: With the metric, and what it takes.

    Example:
    >>> check_labels([keras.metrics.CategoricalAccuracy()], "metrics", True, 3)
    >>> check_labels(["sparse_categorical_accuracy"], "metrics", False, 3)
    """
    for metric in flat(metrics):
        if _by_name(metric):
            continue
        known = keras.metrics.get(metric)
        takes_rows = _takes_rows(known)
        name = _name(metric, argument)
        if takes_rows is not None and takes_rows != rows:
            _raise(argument, name, rows, num_classes, "")
        if isinstance(known, keras.metrics.Metric) and not (
            isinstance(known, keras.metrics.MeanMetricWrapper)
            and takes_rows is not None
        ):
            _try(known, argument, name, rows, num_classes)


def _by_name(metric):
    """Whether it is the name with which Keras chooses what fits."""
    return isinstance(metric, str) and metric.lower() in ("accuracy", "acc")


def _name(metric, argument):
    """The name under which Keras shows a metric."""
    known = None if _by_name(metric) else _get(metric, argument)
    if isinstance(metric, str):
        return metric
    name = getattr(known, "name", None) or getattr(known, "__name__", None)
    return name or type(known).__name__


def _refuse_loss(metric, argument):
    """Raises for a loss, which measures no more than its own batch."""
    kind = metric if isinstance(metric, type) else type(metric)
    if isinstance(metric, str):
        if hasattr(keras.metrics, metric):
            return
        kind = getattr(keras.losses, metric, None)
    if not (isinstance(kind, type) and issubclass(kind, keras.losses.Loss)):
        return
    name = kind.__name__
    hint = "`keras.metrics.MeanMetricWrapper` makes one of a function"
    if hasattr(keras.metrics, name):
        hint = f"`keras.metrics.{name}` is one"
    received = repr(metric) if isinstance(metric, str) else name
    raise ArgumentError(
        argument, f"be metrics, no losses ({hint})", f"{received}, a loss"
    )


def _get(metric, argument):
    _refuse_loss(metric, argument)
    try:
        return keras.metrics.get(metric)
    except (ValueError, TypeError) as error:
        near = ""
        if isinstance(metric, str):
            near = names.did_you_mean(metric, dir(keras.metrics))
        raise ArgumentError(
            argument,
            f"be names or objects of Keras's metrics, or functions{near}",
            repr(metric),
            note=f". {error}",
        ) from error


def _takes_rows(metric):
    """Whether a metric of Keras's takes rows; None if it cannot be known."""
    function = metric
    if isinstance(metric, keras.metrics.Metric):
        kinds = type(metric).__mro__
        source = next(kind for kind in kinds if "update_state" in vars(kind))
        if not source.__module__.startswith("keras."):
            return None
        if source in (keras.metrics.Mean, keras.metrics.Sum):
            return None
        if source is keras.metrics.BinaryIoU:
            return True
        if source is not keras.metrics.MeanMetricWrapper:
            return not getattr(metric, "sparse_y_true", False)
        function = metric._fn
    if not str(getattr(function, "__module__", "")).startswith("keras."):
        return None
    return not function.__name__.startswith("sparse_")


def _try(metric, argument, name, rows, num_classes):
    """Raises if a new metric of this kind cannot take such labels."""
    labels = np.arange(2 * num_classes) % num_classes
    logits = np.linspace(0.1, 0.9, 2 * num_classes**2, dtype="float32")
    logits = logits.reshape(len(labels), num_classes)
    if rows:
        labels = np.eye(num_classes, dtype="float32")[labels]
    with tf.init_scope():
        try:
            new = type(metric).from_config(metric.get_config())
        except Exception:  # whatever a user's class does not have
            return
        try:
            new.update_state(tf.constant(labels), tf.constant(logits))
        except Exception as error:  # whatever it raises, it would in a step
            said = str(error).strip().splitlines() or [type(error).__name__]
            _raise(argument, name, rows, num_classes, f" ({said[0]})", error)


def _raise(argument, name, rows, num_classes, said, cause=None):
    forms = "integers", f"rows of {num_classes} probabilities"
    came, other = (forms[rows], forms[not rows])
    hint = (
        "`keras.utils.to_categorical` makes rows of integers"
        if not rows
        else "`np.argmax(y, axis=-1)` makes integers of rows"
    )
    raise ArgumentError(
        argument,
        f"take labels that are {came}, as the data have them, beside logits "
        f"of shape (batch, {num_classes})",
        repr(name),
        note=f"{said}. If it takes {other}: {hint}; Keras has most metrics in "
        "both forms, and 'accuracy' fits either",
    ) from cause
