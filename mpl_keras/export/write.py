"""A trained network as people deploy it: pictures in, probabilities out.

One file or folder holds the preprocessing, the network and the class names. It
is put where it belongs only if it gives what the network gives, on real images.
"""

import os
import warnings
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from mpl_keras import files
from mpl_keras.checks import arguments
from mpl_keras.datasets import sources
from mpl_keras.datasets.semi_supervised_data import SemiSupervisedData
from mpl_keras.datasets.tables import TableData
from mpl_keras.datasets.texts import TextData
from mpl_keras.evaluation import samples
from mpl_keras.export import (
    formats,
    loading,
    runtimes,
    table_serving,
    text_serving,
)
from mpl_keras.models import SemiSupervisedModel
from mpl_keras.networks import requirements
from mpl_keras.report import model_card

_CHECKED, _CALIBRATED = 256, 200  # images
# Largest difference of a probability. Rounding alone gives up to 1e-5: LiteRT
# and XLA add in another order, and logits may be large.
_EXACT = 1e-4
_INT8_WARNS, _INT8_FAILS = 0.98, 0.9  # share of images of the same class


class Agreement(NamedTuple):
    """How what was written compares with the network.

    Attributes:
        images: How many were classified by both.
        agreement: Share of them that both give the same class.
        difference: Largest difference of a probability.
        classes: How many different classes the network gives them: of one
            alone, agreement says nothing.
        unit: What was classified: "images", "rows" of a table, or "texts".

    Example:
    >>> print(Agreement(images=256, agreement=1.0, difference=2e-7, classes=3))
    on 256 images, which the network calls by 3 different classes, 100.0 % the \
same class, probabilities differ by at most 2.0e-07
    """

    images: int
    agreement: float
    difference: float
    classes: int
    unit: str = "images"

    def __str__(self):
        """In words."""
        images = (
            f"{self.images} {self.unit}, which the network calls by "
            f"{self.classes} different classes,"
        )
        if self.classes == 1:
            images = (
                f"{self.images} {self.unit}, all of one class to the network,"
            )
        return (
            f"on {images} {100 * self.agreement:.1f} % the same class, "
            f"probabilities differ by at most {self.difference:.1e}"
        )


_TABLE_USE = (
    "A tensor [N] for each column: see its signature `serving_default`, and "
    "the JSON beside it, which says of each column its input and dtype; the "
    "encoding of the table and class names are in it."
)

_TEXT_USES = {
    "tf_saved_model": 'A tensor "strings" [N]: see its signature '
    "`serving_default`; the tokenizer and class names are in it.",
    "keras": "After `import mpl_keras`, `keras.saving.load_model(path, "
    "compile=False)`: from a tensor of strings [N] to logits, whose softmax "
    "are the probabilities; the tokenizer is in it.",
}


def write_classifier(
    model: keras.Model,
    filepath: Any,
    data: SemiSupervisedData,
    *,
    format: formats.Format = "tf_saved_model",
    network: Literal["averaged", "student", "teacher", "model"] = "averaged",
    overwrite: bool = False,
    facts: Mapping[str, Any] | None = None,
) -> Agreement:
    """Writes a classifier that needs nothing else, and its model card.

    | format | path | takes | is run by |
    |---|---|---|---|
    | tf_saved_model | folder | uint8 images of any size, and files | \
TensorFlow Serving |
    | keras | .keras | what the network takes | Keras |
    | litert | .tflite | uint8 images of the network's size | LiteRT |
    | litert_int8 | .tflite | the same | LiteRT, computing in 8 bits |
    | onnx | .onnx | the same | ONNX Runtime |

    A SavedModel's `serving_default` takes "images", uint8 [N, height, width,
    channels], and gives "probabilities" [N, classes] and "classes" [N], the
    names of the most probable ones. `serve_files` takes "image_bytes" [N] and
    gives the same. `metadata` takes nothing, and gives "class_names" and, as
    "json", preprocessing too. The other formats hold this JSON as
    `classifier.json`, in the archive (`unzip -p student.tflite
    classifier.json`) or in ONNX's metadata.

    Networks of mixed precision are written in float32. The card is written to
    `filepath` + ".md".

    Of a table's data (`datasets.from_dataframe`) a SavedModel alone is written.
    Its `serving_default` takes raw rows, a tensor [N] for each column: float64
    for numbers and booleans (0, 1), NaN where a value is missing; texts for
    categories, "" where one is missing. What the training table could not hold
    is an error that names the column. Names, inputs and dtypes of the columns,
    their categories and what fills their gaps stand in `filepath` + ".json",
    and in `metadata`. `load` gives a `TableClassifier`, for data frames.

    Of texts (`datasets.from_text`) a SavedModel or a `.keras` file is written,
    with the tokenizer in it. The SavedModel's `serving_default` takes
    "strings", [N]; the `.keras` file's model takes a tensor of strings [N] and
    gives logits. `load` gives a `TextClassifier`, for lists of strings.

    Args:
        model: A `MetaPseudoLabels` or `UDA` model, or any network from images,
            a table's features or token ids to logits.
        filepath: Where to. What is written appears when it is complete.
        data: What was trained on. Preprocessing and class names are taken
            from it, images to check and calibrate with, and test images for
            the accuracy in the card.
        format: See above.
        network: Which network of a model of this library: "averaged", the one
            that people use, or one that was trained: "student", "teacher", or
            "model" of a `UDA` model.
        overwrite: Whether to replace what is at `filepath`: a file, or a
            SavedModel, but no folder of other things.
        facts: More for the card, see `model_card.text`.

    Returns:
        How the result compares with the network.

    Raises:
        FileExistsError: There is something, and `overwrite` is False.
        ImportError: What this format needs is not installed.
        ValueError: There is no such network or format; the data are no images,
            or of another form or other classes than the network's; a layer
            cannot be converted; or the result differs, or cannot be run.

    Example:
    >>> import tempfile
    >>> from mpl_keras import datasets
    >>> data = datasets.digits(num_labeled=20)
    >>> layers = [keras.Input((8, 8, 1)), keras.layers.Flatten()]
    >>> net = keras.Sequential([*layers, keras.layers.Dense(10)])
    >>> path = os.path.join(tempfile.mkdtemp(), "student.keras")
    >>> write_classifier(net, path, data, format="keras").agreement
    1.0
    """
    filepath = arguments.path("filepath", filepath)
    # The card of "student/" is "student.md", as that of "student".
    filepath = filepath.rstrip(os.sep) or os.sep
    known = {"format": format}
    if isinstance(model, SemiSupervisedModel):
        arguments.choice("network", network, ("averaged", *model.trained))
        model.follow_changes()
        known["network"] = model.describe(network)
        known["trained_steps"] = int(model.step.numpy())
        model = {"averaged": model.averaged, **model.trained}[network]
    elif isinstance(model, keras.Model):
        requirements.warn_of_probabilities(model, "model", stacklevel=3)
    check_classifier(model, filepath, data, format, overwrite)
    checked = []
    files.write_whole(
        filepath,
        lambda path: checked.append(convert(model, path, data, format)),
    )
    if isinstance(data, TableData):
        known["use"] = _TABLE_USE
        files.write_whole(
            f"{filepath}.json",
            files.json_writer(_metadata(data)),
        )
    if isinstance(data, TextData):
        known["use"] = _TEXT_USES[format]
    facts = known | {"check": checked[0]} | dict(facts or {})
    files.write_whole(
        f"{filepath}.md",
        files.text_writer(model_card.text(model, data, facts)),
    )
    return checked[0]


def convert(
    network: keras.Model,
    path: Any,
    data: SemiSupervisedData,
    format: formats.Format = "tf_saved_model",
) -> Agreement:
    """Writes what `write_classifier` does, to a path of its own, and checks it.

    Args:
        network: See `write_classifier`, as the rest.
        path: Where nothing is yet.
        data: The same.
        format: The same.

    Raises:
        ValueError: A layer cannot be converted, or the result differs.
    """
    network = formats.in_float32(network)
    metadata = _metadata(data)
    if isinstance(data, TableData):
        table_serving.write_saved_model(network, path, data.encoder, metadata)
        x = data.encoder(data.examples)
        return _compare_examples(network, path, x, data.examples, "rows")
    if isinstance(data, TextData):
        return _convert_texts(network, path, data, format, metadata)
    options = {}
    if format == "litert_int8":
        calibration = _pixels(data, _CALIBRATED, data.unlabeled)
        options["calibration"] = data.preprocessing.crop(calibration)
    write_format = formats.WRITERS[format]
    write_format(network, path, data.preprocessing, metadata, **options)
    images = _pixels(data, _CHECKED)
    return _compare(network, path, images, format, data.preprocessing)


def _convert_texts(network, path, data, format, metadata):
    """Writes a network of texts, and checks it."""
    if format == "keras":
        whole = text_serving.from_strings(network, data.tokenizer)
        formats.write_keras(whole, path, None, metadata)
    else:
        text_serving.write_saved_model(network, path, data.tokenizer, metadata)
    examples = list(data.examples)
    return _compare_examples(
        network, path, data.encode(examples), examples, "texts"
    )


def _metadata(data):
    """What a file knows of its classifier, beside the network."""
    known = {"class_names": list(data.class_names)}
    if isinstance(data, TableData):
        return known | table_serving.described(data.encoder)
    if isinstance(data, TextData):
        return known | {"texts": {"max_length": data.max_length}}
    return known | {"preprocessing": data.preprocessing.get_config()}


def check_classifier(
    network: keras.Model,
    filepath: Any,
    data: SemiSupervisedData,
    format: formats.Format = "tf_saved_model",
    overwrite: bool = False,
) -> None:
    """Raises for what `write_classifier` could not do, before it takes time.

    Args:
        network: See `write_classifier`, as the rest.
        filepath: The same.
        data: The same.
        format: The same.
        overwrite: The same.
    """
    formats.check_format(format, filepath)
    mark = formats.folder_mark(format)
    files.check_free(filepath, overwrite, folder_with=mark)
    if isinstance(data, TableData):
        _check_table(network, data, format)
        return
    if isinstance(data, TextData):
        _check_texts(network, data, format)
        return
    preprocessing = getattr(data, "preprocessing", None)
    if preprocessing is None:
        raise ValueError(
            "`data` must be what was trained on: uint8 images, or floats whose "
            "`image_scale` it says. (`model.export` exports the bare "
            f"network.) Received: data={data!r}"
        )
    _check_outputs(network, data)
    takes = tuple(requirements.symbolic_inputs(network).shape[1:])
    form = preprocessing.input_shape
    if len(takes) != 3 or any(
        known not in (None, size)
        for known, size in zip(takes, form, strict=True)
    ):
        raise ValueError(
            f"`data` must hold images of the form that the network takes, "
            f"{takes}. Received: images of {form}"
        )


def _check_outputs(network, data):
    outputs = requirements.output_width(network, "network")
    if outputs != len(data.class_names):
        raise ValueError(
            "`data.class_names` must be one for each of the network's "
            f"{outputs} outputs. Received: {len(data.class_names)} names"
        )


def _check_table(network, data, format):
    """The same for a table."""
    if format != "tf_saved_model":
        raise arguments.ArgumentError(
            "format",
            "be 'tf_saved_model' for a table: other formats hold no texts",
            repr(format),
        )
    if data.encoder is None or data.examples is None:
        raise arguments.ArgumentError(
            "data", "be what `datasets.from_dataframe` has made", repr(data)
        )
    table_serving.described(data.encoder)
    _check_outputs(network, data)
    takes = tuple(requirements.symbolic_inputs(network).shape[1:])
    width = len(data.encoder.feature_names)
    if takes not in ((width,), (None,)):
        raise arguments.ArgumentError(
            "data",
            f"hold the features that the network takes, of shape {takes}",
            f"{width} features of {len(data.encoder.columns)} columns",
        )


def _check_texts(network, data, format):
    """The same for texts."""
    if format not in text_serving.FORMATS:
        raise arguments.ArgumentError(
            "format",
            f"be one of {text_serving.FORMATS} for texts: other formats hold "
            "no strings",
            repr(format),
        )
    if not data.examples or not isinstance(data.tokenizer, keras.layers.Layer):
        raise arguments.ArgumentError(
            "data",
            "be what `datasets.from_text` has made, its tokenizer a Keras "
            "layer, to be written into the classifier",
            repr(data),
            note=f", whose tokenizer is {data.tokenizer!r}",
        )
    _check_outputs(network, data)
    inputs = requirements.symbolic_inputs(network)
    takes = tuple(getattr(inputs, "shape", ()))[1:]
    if takes not in ((data.max_length,), (None,)):
        raise arguments.ArgumentError(
            "data",
            f"hold the token ids that the network takes, of shape {takes}",
            f"{data.max_length} ids of each text",
        )


def _compare_examples(network, path, x, examples, unit):
    """Runs what was written for a table or texts, on what came in."""
    with tf.device("CPU:0"):
        logits = network(tf.constant(x), training=False)
        expected = tf.nn.softmax(tf.cast(logits, tf.float32)).numpy()
        given = loading.load(path)(examples)
    difference = float(np.abs(given - expected).max())
    _check_exact(difference, "What was written", f"{len(x)} {unit}")
    classes = len(np.unique(expected.argmax(-1)))
    same = expected.argmax(-1) == given.argmax(-1)
    return Agreement(len(x), float(same.mean()), difference, classes, unit)


def _check_exact(difference, written, examples):
    """Raises where probabilities differ by more than rounding, or are NaN."""
    if not difference <= _EXACT:
        raise ValueError(
            f"{written} differs from the network, and was not kept: "
            f"probabilities of {examples} differ by up to {difference:.2e}, "
            f"more than {_EXACT:g}."
        )


def _pixels(data, count, x=None):
    """Some images of the canvas's size, uint8: of those that test, or of x.

    They are evenly spread, because files are often sorted by class.
    """
    held_out = data.test or data.validation
    if x is None and held_out is not None and _same_size(data):
        read, size = held_out.stream.read, held_out.stream.num_examples
    else:
        x = data.unlabeled if x is None else x
        read, size = sources.reader((x,)), len(x)
    images, *_ = read(tf.constant(samples.spread(size, count)))
    images = images.numpy()
    scaled = np.round(images / data.preprocessing.scale)
    return np.clip(scaled, 0, 255).astype(np.uint8)


def _same_size(data):
    """Whether evaluation sees whole images, and not their centres."""
    return data.preprocessing.canvas_size == data.preprocessing.image_size


def _compare(network, path, images, format, preprocessing):
    """Runs what was written; raises or warns where it differs too much."""
    # On the CPU, because some GPUs round more than is allowed here.
    with tf.device("CPU:0"):
        x = preprocessing.crop(images) * np.float32(preprocessing.scale)
        logits = network(tf.constant(x), training=False)
        expected = tf.nn.softmax(tf.cast(logits, tf.float32)).numpy()
        given = _run(path, images, format, preprocessing)
    # What is as good as equal may be in either order.
    margin = np.take_along_axis(
        expected, given.argmax(-1)[:, np.newaxis], axis=-1
    )[:, 0]
    tie = 2 * _EXACT
    agreement = float((margin >= expected.max(-1) - tie).mean())
    difference = float(np.abs(given - expected).max())
    classes = len(np.unique(expected.argmax(-1)))
    found = Agreement(len(images), agreement, difference, classes)
    if format != "litert_int8":
        written = f"What was written as {format}"
        _check_exact(difference, written, f"{len(images)} images")
    if format == "litert_int8" and agreement < _INT8_WARNS:
        text = (
            f"Of {len(images)} images, the network in 8 bits gives "
            f"{100 * agreement:.1f} % the class that it gives in float32"
        )
        if agreement < _INT8_FAILS:
            raise ValueError(f"{text}: it was not kept. Use format='litert'.")
        warnings.warn(f"{text}.", stacklevel=5)
    return found


def _run(path, images, format, preprocessing):
    """What was written, as those run it who use it."""
    try:
        if format in runtimes.RUNTIMES:
            images = preprocessing.crop(images)
            return runtimes.run_apart(format, path, images)
        # TensorFlow runs it, as it runs the network.
        return loading.load(path)(images)
    except (RuntimeError, tf.errors.OpError) as error:
        hint = ""
        if format == "litert_int8":
            # Of values that hardly differ from 0, say, 8 bits have no range.
            hint = " Use format='litert'."
        raise ValueError(
            f"What was written as {format} cannot be run, and was not kept: "
            f"{error}.{hint}"
        ) from error
