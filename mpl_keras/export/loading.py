"""Exported classifiers of any format, used in one way."""

import json
import os
import zipfile
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpl_keras import files
from mpl_keras.checks import arguments
from mpl_keras.checks.arguments import ArgumentError, MissingFileError
from mpl_keras.export import runtimes
from mpl_keras.export.table_classifier import TableClassifier
from mpl_keras.export.text_classifier import TextClassifier
from mpl_keras.images.preprocessing import ImagePreprocessing

# Where a `.keras` or LiteRT file holds what is known about the classifier:
# both are, or can be, zip archives too.
ENTRY = "classifier.json"


class Classifier:
    """Base class: from uint8 images to class probabilities.

    Args:
        metadata: "class_names", and "preprocessing" as
            `ImagePreprocessing.get_config` gives it.

    Attributes:
        class_names: One name for each column of the probabilities.
        preprocessing: How images come to the form that it takes.

    Example:
    >>> config = ImagePreprocessing((8, 8), channels=1).get_config()
    >>> base = Classifier({"class_names": "ab", "preprocessing": config})
    >>> base.class_names
    ('a', 'b')
    """

    _one_size = True  # whether images must have that of the canvas

    def __init__(self, metadata: dict[str, Any]):
        self.class_names = tuple(metadata["class_names"])
        self.preprocessing = ImagePreprocessing.from_config(
            metadata["preprocessing"]
        )

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Classifies a batch.

        Args:
            images: uint8, [N, *preprocessing.canvas_size, channels].

        Returns:
            Probabilities, float32, [N, number of classes].

        Raises:
            ArgumentError: They are no bytes, or of another form.
        """
        images = np.asarray(images)
        self._check(images)
        return np.asarray(self._run(self._crop(images)))

    def _check(self, images):
        """Raises for what would be an error of TensorFlow, or other colours."""
        preprocessing = self.preprocessing
        size = preprocessing.canvas_size if self._one_size else (None, None)
        wanted = (*size, preprocessing.channels)
        fits = images.ndim == 4 and all(
            want in (None, came)
            for want, came in zip(wanted, images.shape[1:], strict=True)
        )
        if images.dtype == np.uint8 and fits:
            return
        hint = ""
        if images.dtype != np.uint8:
            hint = ". Of floats from 0 to 1 `(255 * x).round().astype('uint8')`"
            hint += " makes bytes, of numbers from 0 to 255 `x.astype('uint8')`"
        elif images.ndim == 3:
            hint = ". Of one image `x[None]` makes a batch"
            if preprocessing.channels == 1 and images.shape[-1] != 1:
                hint = ". Grey images have an axis of channels: `x[..., None]`"
        shape = ", ".join("any" if n is None else str(n) for n in wanted)
        raise ArgumentError(
            "images",
            f"be uint8, from 0 to 255, of shape [N, {shape}]",
            f"{images.dtype} of shape {list(images.shape)}",
            note=hint,
        )

    def _crop(self, images):
        return self.preprocessing.crop(images)

    def _run(self, images):
        raise NotImplementedError


class _SavedModel(Classifier):
    """Preprocessing is in it, and needs no second one."""

    _one_size = False

    def __init__(self, model, metadata):
        super().__init__(metadata)
        self._model = model
        self._serve = self._model.signatures["serving_default"]

    def _crop(self, images):
        return images

    def _run(self, images):
        return self._serve(images=tf.constant(images))["probabilities"]


class _Keras(Classifier):
    def __init__(self, path):
        super().__init__(_zipped(path))
        network = keras.saving.load_model(path, compile=False)
        scale = self.preprocessing.scale

        @tf.function(reduce_retracing=True)
        def run(images):
            values = tf.cast(images, tf.float32) * scale
            logits = network(values, training=False)
            return tf.nn.softmax(tf.cast(logits, tf.float32))

        self._run = run


def _keras_of_texts(path, metadata):
    """The classifier in a `.keras` file of texts."""
    network = keras.saving.load_model(path, compile=False)

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
    def run(strings):
        logits = network(strings, training=False)
        return tf.nn.softmax(tf.cast(logits, tf.float32))

    return TextClassifier(metadata, run)


class _LiteRT(Classifier):
    def __init__(self, path):
        super().__init__(_zipped(path))
        self._run = runtimes.LiteRT(path)


class _ONNX(Classifier):
    def __init__(self, path):
        self._run = runtimes.ONNX(path)
        known = self._run.metadata
        if ENTRY not in known:
            raise _unknown(path)
        super().__init__(json.loads(known[ENTRY]))


_SUFFIXES = {".keras": _Keras, ".tflite": _LiteRT, ".onnx": _ONNX}


def _saved_model(path):
    """The classifier in a folder, of images, of tables or of texts."""
    model = tf.saved_model.load(path)
    try:
        described = model.signatures["metadata"]()
    except KeyError as error:
        raise _unknown(path) from error
    metadata = json.loads(described["json"].numpy())
    if "columns" not in metadata and "texts" not in metadata:
        return _SavedModel(model, metadata)
    serve = model.signatures["serving_default"]
    # A signature alone does not keep what was loaded.
    if "texts" in metadata:
        return TextClassifier(
            metadata,
            lambda strings: _call(model, serve, {"strings": strings})[
                "probabilities"
            ],
        )
    return TableClassifier(metadata, lambda **rows: _call(model, serve, rows))


def _call(model, serve, rows):
    del model
    return serve(**rows)


def load(path: Any) -> Any:
    """Loads what `write_classifier` has written, in any of its formats.

    Args:
        path: A SavedModel's folder, or a `.keras`, `.tflite` or `.onnx` file.

    Returns:
        A `Classifier` of images, a `TableClassifier` or a `TextClassifier`.

    Raises:
        MissingFileError: There is nothing.
        ImportError: What runs this format is not installed.
        ArgumentError: It is something else, or says nothing about its classes.

    Example:
    >>> load("student.onnx")
    Traceback (most recent call last):
    ...
    mpl_keras.checks.arguments.MissingFileError: `path` must be an exported \
classifier. Received: path=student.onnx, which does not exist
    """
    path = arguments.path("path", path)
    if not os.path.exists(path):
        raise MissingFileError(
            "path",
            "be an exported classifier",
            path,
            note=", which does not exist",
        )
    if os.path.isdir(path):
        if not os.path.exists(os.path.join(path, files.SAVED_MODEL)):
            raise ArgumentError(
                "path",
                "be a SavedModel or a file",
                path,
                note=f", a folder without {files.SAVED_MODEL}",
            )
        return _saved_model(path)
    kind = _SUFFIXES.get(os.path.splitext(path)[1].lower())
    if kind is None:
        raise ArgumentError(
            "path",
            "be a SavedModel's folder, or end in one of "
            f"{', '.join(_SUFFIXES)}",
            path,
        )
    try:
        if kind is _Keras and "texts" in (metadata := _zipped(path)):
            return _keras_of_texts(path, metadata)
        return kind(path)
    except (ImportError, ValueError):
        raise
    except Exception as error:
        raise ArgumentError(
            "path",
            f"be a whole {kind.__name__[1:]} file",
            path,
            note=f", which could not be read: {error}",
        ) from error


def _zipped(path):
    try:
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read(ENTRY))
    except KeyError as error:
        raise _unknown(path) from error


def _unknown(path):
    return ArgumentError(
        "path",
        "be a classifier that knows its preprocessing and classes, as "
        "`export.write_classifier` writes it",
        path,
        note=", which does not",
    )
