"""What views must be, tried on a few examples before any batch is made.

A view is a function of the examples and of its seed. One that draws from
elsewhere would show other batches to a training that goes on.
"""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpl_keras import augment
from mpl_keras.checks import arrays
from mpl_keras.checks.arguments import ArgumentError
from mpl_keras.datasets import sources

# Examples on which views of other people are tried: two random flips of so
# many are not the same.
_TRIED = 16
# TensorFlow's operations that draw from a state, or change one.
_STATEFUL = {
    "Multinomial",
    "NonDeterministicInts",
    "ParameterizedTruncatedNormal",
    "RandomGamma",
    "RandomPoissonV2",
    "RandomShuffle",
    "RandomStandardNormal",
    "RandomUniform",
    "RandomUniformInt",
    "SampleDistortedBoundingBoxV2",
    "TruncatedNormal",
}
_STATEFUL_KINDS = ("Assign", "Rng", "Stateful")


def checked(views: Any, x: Any) -> augment.Views:
    """The views, each of them tried on a few examples.

    Args:
        views: What was given.
        x: Examples, as `arrays.examples` returns them.

    Raises:
        ValueError: They are no views, or not of these examples, or draw from
            elsewhere than their seed.

    Example:
    >>> noise = augment.GaussianNoise(0.1)
    >>> checked(augment.Views(noise, noise), np.zeros((4, 2), "float32")).weak
    GaussianNoise(stddev=0.1)
    """
    if not isinstance(views, augment.Views):
        why = (
            ": there are none by default for this data (defaults are for float "
            "features and for images with a channel axis)"
            if views is None
            else ""
        )
        if views is None:
            why += (
                _images_of_other_integers(x)
                or _images_without_channels(x)
                or _tokens(x)
            )
        raise ValueError(
            "`views` must be given, as `mpl_keras.augment.Views(weak=..., "
            f"strong=...)`{why}. Received: views={views!r}"
        )
    for name in ("weak", "strong"):
        check_view(getattr(views, name), x, f"views.{name}")
    return views


def check_view(view: Any, x: Any, argument: str) -> None:
    """Raises unless a view fits examples, and is a function of its seed.

    Args:
        view: A callable `(x, seed) -> x`.
        x: Examples, as `arrays.examples` returns them.
        argument: The name by which errors call the view.

    Raises:
        ValueError: Of what does not fit.

    Example:
    >>> check_view(lambda x, seed: -x, np.zeros((4, 2), "float32"), "view")
    """
    foreign, number = _is_foreign(view), arrays.num_examples(x)
    few = tf.range(_TRIED) % number if foreign else tf.range(min(2, number))
    few = sources.reader(x)(few)
    try:
        seen = view(few, tf.constant([0, 0]))
    except TypeError as error:
        raise ValueError(
            f"`{argument}` must be a function `(x, seed) -> x` of a "
            f"batch. Received: {view!r}, which failed with: {error}"
        ) from error
    arrays.same_form(seen, sources.centered(x), f"{argument}(x)", "x")
    if arrays.num_examples(seen) != arrays.num_examples(few):
        raise ValueError(
            f"`{argument}` must keep the number of examples. Received: "
            f"{arrays.num_examples(seen)} for {arrays.num_examples(few)}"
        )
    if foreign:
        _check_repeats(view, few, seen, argument)


def _is_foreign(view):
    """Whether it is of others, or of our own made of what others made."""
    if isinstance(view, augment.Compose):
        return any(map(_is_foreign, view.pieces))
    module = type(view).__module__
    return module == "mpl_keras.augment.layers" or not module.startswith(
        "mpl_keras."
    )


def _check_repeats(view, few, seen, argument):
    """Raises if the view is no function of its seed."""
    again = view(few, tf.constant([0, 0]))
    for one, other in zip(
        keras.tree.flatten(seen), keras.tree.flatten(again), strict=True
    ):
        # NaN may be a value of examples.
        if np.asarray(one).tobytes() != np.asarray(other).tobytes():
            _raise_two_answers(view, argument, "gave two answers for one seed")
    operations = sorted(set(_operations(_traced(view, few, argument))))
    stateful = [
        name
        for name in operations
        if name in _STATEFUL or name.startswith(_STATEFUL_KINDS)
    ]
    if stateful:
        names = ", ".join(stateful)
        _raise_two_answers(view, argument, f"draws or counts by {names}")


def _raise_two_answers(view, argument, why):
    raise ArgumentError(
        argument,
        "be a function of examples and seed alone, or a training could not go "
        "on where it stopped: `augment.from_layer(layer)` makes one of a "
        "layer, `augment.from_function(function)` of any function",
        repr(view),
        note=f", which {why}",
    )


def _traced(view, few, argument):
    """The view's graph, as batches will be made by it."""
    specs = keras.tree.map_structure(
        lambda leaf: tf.TensorSpec(leaf.shape, leaf.dtype), few
    )
    try:
        function = tf.function(view).get_concrete_function(
            specs, tf.TensorSpec([2], tf.int32)
        )
    except Exception as error:  # AutoGraph makes other errors of ours
        cause = error
        while cause is not None and not isinstance(cause, ArgumentError):
            cause = cause.__cause__ or cause.__context__
        if cause is not None:
            raise cause from error
        raise ArgumentError(
            argument,
            "be made of TensorFlow's operations; "
            "`augment.from_function(function)` makes a view of a function of "
            "numpy arrays",
            repr(view),
            note=f", which failed in a graph with: {error}",
        ) from error
    return function.graph.as_graph_def()


def _operations(graph) -> Iterator[str]:
    """Kinds of all operations of a graph and of its functions."""
    yield from (node.op for node in graph.node)
    for function in graph.library.function:
        yield from (node.op for node in function.node_def)


def _tokens(x: Any) -> str:
    """Which views are for what may be token ids."""
    shape, dtype = getattr(x, "shape", ()), getattr(x, "dtype", None)
    if len(shape) != 2 or dtype is None or not tf.as_dtype(dtype).is_integer:
        return ""
    return (
        ". For token ids of texts there is `augment.text_views(augment."
        "count_tokens(x, vocabulary_size))`"
    )


def _images_without_channels(x: Any) -> str:
    """How grey images get the axis that views need."""
    shape = getattr(x, "shape", (0,))[1:]
    if len(shape) != 2:
        return ""
    return (
        f". If these are grey images of {shape[0]} x {shape[1]} pixels, give "
        "them an axis of one channel: `x[..., None]`"
    )


def _images_of_other_integers(x: Any) -> str:
    """How images of 16 or more bits become some that views are for."""
    shape = getattr(x, "view_shape", getattr(x, "shape", (0,))[1:])
    dtype = getattr(x, "dtype", None)
    if len(shape) != 3 or dtype is None or not tf.as_dtype(dtype).is_integer:
        return ""
    return (
        f". These are images of {tf.as_dtype(dtype).name}: `(x / "
        "x.dtype.max * 255).astype('uint8')` makes images of 8 bits, "
        "`(x / x.dtype.max).astype('float32')` of floats"
        if tf.as_dtype(dtype).size > 1
        else f". These are images of {tf.as_dtype(dtype).name}, not uint8"
    )
