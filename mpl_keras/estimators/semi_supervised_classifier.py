"""What both classifiers do alike: rows in, classes out."""

import contextlib
import logging
import math
import random
from collections.abc import Callable, Iterator
from typing import Any, Self

import keras
import numpy as np

from mpl_keras import augment, datasets, networks, pipeline, recipes
from mpl_keras.checks import arguments
from mpl_keras.checks.arguments import ArgumentError
from mpl_keras.estimators import labels

# `labels` has said what to do where scikit-learn is missing.
from sklearn.base import BaseEstimator, ClassifierMixin  # isort: skip
from sklearn.metrics import accuracy_score  # isort: skip
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

Network = Callable[[tuple[int, ...], int], keras.Model]

# Rows that are classified at once. Always as many, so that the answer for a
# row does not depend on what stands beside it.
_BATCH = 256
# By their names in `recipes.Recipe`.
_OF_RECIPE = (
    *("steps", "labeled_batch_size", "unlabeled_batch_size", "temperature"),
    *("consistency_weight", "distribution_alignment", "weight_decay"),
    *("ema_momentum", "label_spreading"),
)


class SemiSupervisedClassifier(ClassifierMixin, BaseEstimator):
    """Base class: scikit-learn's protocol around a model of this library.

    A subclass has the arguments of `UDAClassifier`, and says in `_model` what
    is trained.
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Trains on all rows.

        Args:
            X: Features, shape `(rows, features)`; or anything that `network`
                takes, such as images `(rows, height, width, channels)`.
            y: A label for each row: numbers, texts or booleans. -1, NaN and
                None are rows without a label.

        Returns:
            Itself.

        Raises:
            ValueError: `X`, `y` or an argument of the constructor is not what
                it must be.
        """
        x = self._rows(X, reset=True)
        values, known = labels.known_rows(y)
        check_consistent_length(x, known)
        self.classes_, numbers = labels.classes_of(values)
        if x.ndim == 2:
            self._measure(x)
        x = self._scaled(x)
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        data = datasets.from_arrays(
            x[known],
            numbers,
            x,
            num_classes=len(self.classes_),
            views=self._views(x),
            labeled_in_unlabeled=False,
        )
        with arguments.passing({"teacher_learning_rate": "learning_rate"}):
            recipe = self._recipe()
        self.label_spreading_accuracy_ = None
        self.label_spreading_strength_ = 0.0
        if recipe.label_spreading:
            spread = datasets.spread_labels(data, seed=int(seed))
            data = spread.data
            self.label_spreading_accuracy_ = spread.accuracy
            self.label_spreading_strength_ = spread.strength
        self.model_ = self._model(recipe, x.shape[1:], int(seed))
        batches = pipeline.training_dataset(
            data,
            recipe.labeled_batch_size,
            recipe.unlabeled_batch_size,
            steps_per_epoch=recipe.steps,
            seed=int(seed),
        )
        with without_word_of_retracing():
            self.model_.fit(batches, verbose=self.verbose)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities of the classes, in the order of `classes_`.

        Args:
            X: Rows as those of `fit`.

        Returns:
            Float64, shape `(rows, classes)`; each row sums to 1.
        """
        check_is_fitted(self)
        x = self._scaled(self._rows(X, reset=False))
        parts = []
        for begin in range(0, len(x), _BATCH):
            part = x[begin : begin + _BATCH]
            gap = [(0, _BATCH - len(part))] + [(0, 0)] * (x.ndim - 1)
            logits = self.model_.averaged(np.pad(part, gap), training=False)
            parts.append(np.asarray(logits, np.float64)[: len(part)])
        logits = np.concatenate(parts)
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        return shares / shares.sum(axis=1, keepdims=True)

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest class of each row.

        Args:
            X: Rows as those of `fit`.
        """
        likeliest = self.predict_proba(X).argmax(axis=1)
        return self.classes_[likeliest]

    def score(self, X: Any, y: Any) -> float:
        """Accuracy on the rows that have a label.

        Args:
            X: Rows as those of `fit`.
            y: Labels; rows with -1, NaN or None are left out.

        Raises:
            ValueError: No row has a label.
        """
        values, known = labels.known_rows(y)
        predicted = self.predict(X)
        check_consistent_length(predicted, known)
        if not known.any():
            raise ArgumentError(
                "y",
                "have a label in at least one row",
                f"{len(known)} rows without one",
            )
        return float(accuracy_score(values, predicted[known]))

    # Rows.

    def _rows(self, X, reset) -> np.ndarray:
        """`X` as an array, of bytes or of float32."""
        bytes_ = getattr(X, "dtype", None) == np.uint8 and X.ndim > 2
        return validate_data(
            self,
            X,
            reset=reset,
            dtype="uint8" if bytes_ else "float32",
            allow_nd=True,
            ensure_min_samples=2 if reset else 1,
        )

    def _measure(self, x):
        """Mean and spread of each feature."""
        self.mean_ = x.mean(axis=0, dtype=np.float64)
        spread = x.std(axis=0, dtype=np.float64)
        self.scale_ = np.where(spread > 0, spread, 1.0)

    def _scaled(self, x) -> np.ndarray:
        """Features with mean 0 and spread 1; images as they are."""
        if x.ndim != 2 or not self.standardize:
            return x
        return ((x - self.mean_) / self.scale_).astype(np.float32)

    def _views(self, x) -> augment.Views | None:
        """As given, or noise in proportion to each feature's spread."""
        if self.views is not None or x.ndim != 2:
            return self.views
        arguments.number("weak_noise", self.weak_noise, 0)
        arguments.number("strong_noise", self.strong_noise, 0)
        spread = x.std(axis=0, dtype=np.float64)
        return augment.jitter_views(
            self.weak_noise * spread, self.strong_noise * spread
        )

    # Training.

    def _recipe(self) -> recipes.Recipe:
        """Settings of the training: those of digits, changed."""
        threshold = self.threshold
        if threshold is None:
            # Of two classes the likelier one always has at least 0.5.
            threshold = 0.8 if len(self.classes_) == 2 else 0.6
        for name in (*_OF_RECIPE, "learning_rate"):
            # To a recipe None is its own value.
            if getattr(self, name) is None and name != "distribution_alignment":
                raise ArgumentError(name, "be given", "None")
        return recipes.adapt(
            recipes.get("digits"),
            threshold=threshold,
            teacher_learning_rate=self.learning_rate,
            student_learning_rate=self.learning_rate,
            **{name: getattr(self, name) for name in _OF_RECIPE},
        )

    def _model(self, recipe, shape, seed):
        raise NotImplementedError

    def _network(self, shape, decay) -> keras.Model:
        """A new network, from rows to logits."""
        num_classes = len(self.classes_)
        if isinstance(self.network, str):
            with arguments.passing({"name": "network"}):
                return networks.make(
                    self.network, shape, num_classes, weight_decay=decay
                )
        if self.network is not None:
            if not callable(self.network):
                raise ArgumentError(
                    "network",
                    "be None, a name for `networks.make`, or a function "
                    "`(input_shape, num_classes)` that makes a Keras model",
                    repr(self.network),
                )
            return self.network(shape, num_classes)
        if len(shape) != 1:
            raise ArgumentError(
                "network",
                "be given where an example is no row of features, such as "
                '`network="compact_cnn"` for small images in [0, 255]',
                "None",
                note=f", and examples of shape {shape}",
            )
        return _dense(shape, num_classes, self.hidden_units, decay)


def _dense(shape, num_classes, hidden_units, decay) -> keras.Model:
    """Layers of ReLU units, to logits."""
    if not isinstance(hidden_units, (tuple, list)):
        raise ArgumentError(
            "hidden_units",
            "be the units of each hidden layer, such as (64, 64)",
            repr(hidden_units),
        )
    for units in hidden_units:
        arguments.integer("hidden_units", units, 1)
    layers = [
        keras.layers.Dense(
            units,
            activation="relu",
            kernel_initializer="he_normal",
            kernel_regularizer=networks.regularizer(decay),
        )
        for units in hidden_units
    ]
    last = keras.layers.Dense(
        num_classes, kernel_regularizer=networks.regularizer(decay)
    )
    return keras.Sequential([keras.Input(shape), *layers, last])


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within it, Keras draws the seeds of new layers from this one.

    Nothing of it is left afterwards: the random numbers of who calls `fit` are
    what they would have been.

    Args:
        seed: An integer.

    Example:
    >>> with seeded(0):
    ...     first = keras.layers.Dropout(0.5).seed
    >>> with seeded(0):
    ...     first == keras.layers.Dropout(0.5).seed
    True
    """
    before = random.getstate()
    random.seed(seed)  # Keras asks Python's `random`
    try:
        yield
    finally:
        random.setstate(before)


@contextlib.contextmanager
def without_word_of_retracing() -> Iterator[None]:
    """Within it, TensorFlow does not warn that functions are traced again.

    A search fits many models, and each has a step of its own to trace.

    Example:
    >>> with without_word_of_retracing():
    ...     logging.getLogger("tensorflow").warning("retracing")
    """
    logger = logging.getLogger("tensorflow")

    def is_other(record):
        return "retracing" not in record.getMessage()

    logger.addFilter(is_other)
    try:
        yield
    finally:
        logger.removeFilter(is_other)


def steps_at_once(steps: int) -> int:
    """How many steps TensorFlow makes without coming back to Python.

    Example:
    >>> steps_at_once(600), steps_at_once(7)
    (50, 1)
    """
    return math.gcd(steps, 50)
