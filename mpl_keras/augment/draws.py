"""Draws that follow from a seed, where code of others draws as it likes.

Python, numpy and TensorFlow draw from states of the process. For the time of a
call, and under a lock, these states or functions are others.
"""

import contextlib
import random
import re
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

# One at a time has the generators of a layer, and Python's and numpy's seeds.
LOCK = threading.RLock()
# Names of TensorFlow's: graphs of loops, and the scope of `vectorized_map`.
_LOOP, _VECTORIZED = re.compile(r"while_(body|cond)(_\d+)*$"), "loop_body"
_REDIRECTED = (
    "uniform",
    "normal",
    "truncated_normal",
    "gamma",
    "shuffle",
    "categorical",
)


def seeds(count: Any, seed: Any) -> tf.Tensor:
    """As many seeds of one, int32 [count, 2].

    Example:
    >>> seeds(3, [0, 1]).shape
    TensorShape([3, 2])
    """
    return tf.random.stateless_uniform([count, 2], seed, None, None, tf.int32)


def number_of(seed: Any) -> int:
    """A seed of Python, in [0, 2**32).

    Example:
    >>> number_of([0, 1]) == number_of(tf.constant([0, 1]))
    True
    """
    words = np.asarray(seed).astype(np.int64) & 0xFFFFFFFF
    return int(np.random.SeedSequence(words).generate_state(1)[0])


@contextlib.contextmanager
def seeded(number: int) -> Iterator[None]:
    """Within it, Python's and numpy's draws follow from a number.

    Afterwards both go on as if nothing had been.

    Args:
        number: In [0, 2**32).

    Example:
    >>> with seeded(3):
    ...     first = random.random()
    >>> with seeded(3):
    ...     random.random() == first
    True
    """
    before = random.getstate(), np.random.get_state()
    random.seed(number)
    np.random.seed(number)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])


def state_of_python() -> tuple[Any, ...]:
    """What is another one after a draw of Python's `random` or of numpy's.

    Example:
    >>> before = state_of_python()
    >>> drawn = np.random.normal()
    >>> state_of_python() == before
    False
    """
    _, words, place, *_ = np.random.get_state()
    return random.getstate(), words.tobytes(), place


class Draws:
    """Draws that follow from a seed, in place of a `tf.random.Generator`.

    Args:
        seed: Two integers.

    Attributes:
        looped: Whether it has drawn where each round of a loop would draw the
            same. Keras would change an error that is raised there.

    Example:
    >>> Draws([0, 1]).uniform([2]).shape
    TensorShape([2])
    """

    def __init__(self, seed: Any):
        self.looped = False
        self._seed = seed
        self._count = 0
        self._graph = _graph()

    def _next(self):
        graph = _graph()
        self.looped |= _VECTORIZED in tf.get_current_name_scope()
        while graph is not None and graph is not self._graph:
            self.looped |= bool(_LOOP.search(getattr(graph, "name", "")))
            graph = getattr(graph, "outer_graph", None)
        self._count += 1
        return tf.random.experimental.stateless_fold_in(self._seed, self._count)

    def uniform(
        self,
        shape,
        minval=0,
        maxval=None,
        dtype=tf.float32,
        seed=None,
        name=None,
    ):
        """As `tf.random.uniform`."""
        if maxval is None and tf.as_dtype(dtype).is_floating:
            maxval = 1
        return tf.random.stateless_uniform(
            shape, self._next(), minval, maxval, dtype, name
        )

    def normal(
        self,
        shape,
        mean=0.0,
        stddev=1.0,
        dtype=tf.float32,
        seed=None,
        name=None,
    ):
        """As `tf.random.normal`."""
        return tf.random.stateless_normal(
            shape, self._next(), mean, stddev, dtype, name
        )

    def truncated_normal(
        self,
        shape,
        mean=0.0,
        stddev=1.0,
        dtype=tf.float32,
        seed=None,
        name=None,
    ):
        """As `tf.random.truncated_normal`."""
        return tf.random.stateless_truncated_normal(
            shape, self._next(), mean, stddev, dtype, name
        )

    def gamma(
        self, shape, alpha, beta=None, dtype=tf.float32, seed=None, name=None
    ):
        """As `tf.random.gamma`."""
        alpha = tf.convert_to_tensor(alpha, dtype)
        beta = tf.ones([], dtype) if beta is None else tf.cast(beta, dtype)
        each = tf.shape(alpha + beta)
        return tf.random.stateless_gamma(
            tf.concat([shape, each], 0), self._next(), alpha, beta, dtype, name
        )

    def shuffle(self, value, seed=None, name=None):
        """As `tf.random.shuffle`."""
        return tf.random.experimental.stateless_shuffle(value, self._next())

    def categorical(
        self, logits, num_samples, dtype=None, seed=None, name=None
    ):
        """As `tf.random.categorical`."""
        return tf.random.stateless_categorical(
            logits, num_samples, self._next(), dtype or tf.int64, name
        )


def _graph():
    """The graph that operations go to, or None where there is none."""
    if tf.executing_eagerly():
        return None
    return tf.compat.v1.get_default_graph()


@contextlib.contextmanager
def redirected(parts: Iterable[Any], draws: Draws) -> Iterator[None]:
    """Within it, TensorFlow's draws of this thread are others.

    Args:
        parts: Objects whose attributes may be generators.
        draws: Where draws come from instead.

    Example:
    >>> with redirected([], Draws([0, 1])):
    ...     first = tf.random.uniform([])
    >>> with redirected([], Draws([0, 1])):
    ...     bool(tf.random.uniform([]) == first)
    True
    """
    thread = threading.get_ident()
    held = [
        (vars(part), name, value)
        for part in parts
        for name, value in vars(part).items()
        if isinstance(value, tf.random.Generator)
    ]
    before = {name: getattr(tf.random, name) for name in _REDIRECTED}

    def other(name):
        def draw(*args, **kwargs):
            if threading.get_ident() != thread:
                return before[name](*args, **kwargs)
            return getattr(draws, name)(*args, **kwargs)

        return draw

    try:
        for attributes, name, _ in held:
            attributes[name] = draws
        for name in _REDIRECTED:
            setattr(tf.random, name, other(name))
        yield
    finally:
        for name, function in before.items():
            setattr(tf.random, name, function)
        for attributes, name, value in held:
            attributes[name] = value
