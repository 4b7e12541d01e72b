"""Other people's augmentations as views: Keras layers, and any function.

A view is a function of its seed, and a layer is none: it draws from a state of
its own, which goes on with each call. Here the state is given a part of the
seed for the time of a call. So the batch of a step is the same however often,
and wherever a training begins.
"""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpl_keras.augment import draws
from mpl_keras.augment.geometry import like
from mpl_keras.augment.views import View
from mpl_keras.checks import settings
from mpl_keras.checks.arguments import ArgumentError

_SEED_STATE = "seed_generator_state"  # as Keras names such variables


def from_layer(layer: keras.layers.Layer, *, eager: bool = False) -> View:
    """A layer that augments, or a pipeline of such, as a view.

    For the preprocessing layers of `keras.layers` and of keras-cv, for
    `keras.Sequential` and `keras.layers.Pipeline` of layers of Keras, and for
    layers of your own that draw with `keras.random` or `tf.random`. The layer's
    own seed plays no part. Layers of keras-cv that look at one image at a time
    are called for each image with a seed of its own.

    Values of integer images are rounded and saturated, because most layers
    compute in floats.

    Args:
        layer: Takes a batch, and returns one.
        eager: Whether Python runs the layer for every batch, one batch at a
            time, which is slower. It is for layers that draw with Python's
            `random` or numpy, as `keras.layers.AugMix` does, or within a loop
            of TensorFlow. Others are a part of the graph.

    Raises:
        ArgumentError: It is no layer; when it is called: it draws where no
            seed reaches it.

    Example:
    >>> view = from_layer(keras.layers.RandomRotation(0.1))
    >>> x = tf.ones([4, 8, 8, 3])
    >>> bool(tf.reduce_all(view(x, [0, 1]) == view(x, [0, 1])))
    True
    """
    if not isinstance(layer, keras.layers.Layer):
        raise ArgumentError(
            "layer",
            "be a layer of Keras; `augment.from_function` is for functions",
            repr(layer),
        )
    return _LayerView(layer, bool(eager))


def from_function(
    function: Callable[[np.ndarray], Any],
    *,
    each: bool = False,
    reseed: Callable[[int], Any] | None = None,
) -> View:
    """Any function of numpy arrays as a view, such as of albumentations.

    The function runs in Python, one batch at a time; Python's `random` and
    `np.random` have seeds of the batch meanwhile, and go on afterwards as if
    nothing had been. A generator that the function holds is given its seed by
    `reseed`. Values of integer images are rounded and saturated.

    Args:
        function: Takes a batch as an array, and returns one of that shape.
        each: Whether it takes one example instead.
        reseed: Called with an integer in [0, 2**32) before each batch.

    Raises:
        ArgumentError: The function cannot be called, or is a layer.

    Example:
    >>> view = from_function(lambda x: x + np.random.normal(size=x.shape))
    >>> x = np.zeros((4, 3), "float32")
    >>> bool(tf.reduce_all(view(x, [0, 1]) == view(x, [0, 1])))
    True

    A pipeline of albumentations has generators of its own:

    ```python
    compose = albumentations.Compose([albumentations.HorizontalFlip()])
    view = augment.from_function(
        lambda image: compose(image=image)["image"],
        each=True,
        reseed=compose.set_random_seed,
    )
    ```
    """
    if isinstance(function, keras.layers.Layer):
        raise ArgumentError(
            "function",
            "be a function of arrays; `augment.from_layer` is for layers",
            repr(function),
        )
    for name, value in (("function", function), ("reseed", reseed)):
        if not callable(value) and (name == "function" or value is not None):
            raise ArgumentError(name, "be callable", repr(value))
    return _FunctionView(function, bool(each), reseed)


@dataclasses.dataclass(frozen=True)
class _LayerView:
    """A layer as a view."""

    layer: keras.layers.Layer
    eager: bool = False

    def get_config(self) -> dict[str, Any]:
        """By what a backup knows it again: the layer, without its seeds."""
        known = _without_seeds(settings.described(self.layer))
        return {"layer": known, "eager": self.eager}

    def __call__(self, x: Any, seed: tf.Tensor) -> tf.Tensor:
        """What the layer makes of a batch, by this seed alone."""
        if self.eager:
            with draws.LOCK:
                self._build(tf.convert_to_tensor(x))
            return _in_python(self._see, x, seed)
        x, seed = tf.convert_to_tensor(x), tf.convert_to_tensor(seed)
        with draws.LOCK:
            self._build(x)
            before = draws.state_of_python()
            seen = _like(self._see(x, seed), x)
            if draws.state_of_python() != before:  # A graph draws only once.
                why = "it draws with Python's `random` or numpy"
                _raise_elsewhere(self.layer, why)
        return seen

    def _build(self, x):
        """Its weights, which cannot be made while its states are replaced."""
        if not self.layer.built and x.shape[1:].is_fully_defined():
            with tf.init_scope(), draws.seeded(0):
                before = [(state, state.numpy()) for state in self._states()]
                self.layer(tf.zeros([1, *x.shape[1:]], x.dtype))
                for state, value in before:
                    state.assign(value)

    def _states(self):
        """The variables of Keras's seeds."""
        variables = self.layer.variables
        return [state for state in variables if state.name == _SEED_STATE]

    def _see(self, x, seed):
        """A batch, or each image where the layer looks at one at a time."""
        if not _sees_single_images(self.layer):
            return self._draw(x, seed)
        seeds = draws.seeds(tf.shape(x)[0], seed)
        return tf.map_fn(
            lambda pair: self._draw(*pair),
            (x, seeds),
            fn_output_signature=tf.as_dtype(self.layer.compute_dtype),
        )

    def _draw(self, x, seed):
        """One call, with all states that the layer draws from set."""
        states = self._states()
        own, other = tf.unstack(draws.seeds(2, seed))
        values = tf.cast(draws.seeds(len(states), own), tf.int64)
        pairs = list(zip(states, tf.unstack(values), strict=True))
        training = "training" in inspect.signature(self.layer.call).parameters
        source = draws.Draws(other)
        parts = _layers(self.layer)
        with (
            keras.StatelessScope(pairs) as scope,
            draws.redirected(parts, source),
        ):
            seen = self.layer(x, **({"training": True} if training else {}))
        if source.looped:
            _raise_elsewhere(self.layer, "it draws within a loop")
        if set(scope.state_mapping) - {id(state) for state in states}:
            raise ArgumentError(
                "layer",
                "change no state but that of its own seeds; a layer that "
                "draws with `keras.random` keeps a "
                "`keras.random.SeedGenerator`, and draws with it",
                repr(self.layer),
            )
        return seen


@dataclasses.dataclass(frozen=True)
class _FunctionView:
    """A function of arrays as a view."""

    function: Callable[[np.ndarray], Any]
    each: bool = False
    reseed: Callable[[int], Any] | None = None

    def __call__(self, x: Any, seed: tf.Tensor) -> tf.Tensor:
        """What the function makes of a batch, by this seed alone."""
        return _in_python(self._see, x, seed)

    def _see(self, x, seed):
        x = x.numpy()
        if self.reseed is not None:
            self.reseed(draws.number_of(seed))
        if not self.each:
            return tf.convert_to_tensor(np.asarray(self.function(x)))
        seen = [np.asarray(self.function(example)) for example in x]
        return tf.convert_to_tensor(np.stack(seen))


def _in_python(see, x, seed):
    """A view that is computed in Python, one batch at a time."""

    def run(x, seed):
        with draws.LOCK, draws.seeded(draws.number_of(seed)):
            return _like(see(x, seed), x)

    x = tf.convert_to_tensor(x)
    seen = tf.py_function(run, [x, seed], x.dtype)
    # A view may cut images out of larger ones.
    free = [None] * (x.shape.rank - 2) if x.shape.rank > 2 else []
    return tf.ensure_shape(seen, [x.shape[0], *free, *x.shape[1:][-1:]])


def _like(seen, x):
    """What was seen, with the dtype of the examples."""
    seen = tf.convert_to_tensor(seen)
    return seen if seen.dtype == x.dtype else like(seen, x, seen.shape)


def _raise_elsewhere(layer, why):
    raise ArgumentError(
        "layer",
        "draw by TensorFlow alone, outside of loops; others are exact, and "
        "slower, as `augment.from_layer(layer, eager=True)`; layers of "
        "keras-cv in a pipeline go into `augment.Compose` one by one",
        repr(layer),
        note=f": {why}",
    )


def _without_seeds(known):
    """A description of a layer, whose own seed plays no part."""
    if isinstance(known, dict):
        return {
            name: _without_seeds(part)
            for name, part in known.items()
            if name != "seed"
        }
    if isinstance(known, list):
        return [_without_seeds(part) for part in known]
    return known


def _layers(layer):
    """A layer, and all that it is made of."""
    seen, waiting = [], [layer]
    while waiting:
        value = waiting.pop()
        if isinstance(value, (list, tuple)):
            waiting.extend(value)
        elif isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, keras.layers.Layer):
            if not any(value is other for other in seen):
                seen.append(value)
                waiting.extend(vars(value).values())
    return seen


def _sees_single_images(layer):
    """Whether it is one of keras-cv, which maps over the images itself.

    A seed of the batch would be the same for every image.
    """
    names = [kind.__name__ for kind in type(layer).__mro__]
    return "BaseImageAugmentationLayer" in names
