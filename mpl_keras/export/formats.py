"""Networks to other formats, through Keras's own exporters."""

import importlib.util
import json
import tempfile
import warnings
import zipfile
from collections.abc import Mapping
from typing import Any, Literal

import keras
import tensorflow as tf

from mpl_keras import files
from mpl_keras.checks import arguments
from mpl_keras.checks.arguments import ArgumentError
from mpl_keras.export import loading
from mpl_keras.images.preprocessing import ImagePreprocessing
from mpl_keras.networks import carrying

# Formats, how their paths end, and what they need beside the library.
_FORMATS = {
    "tf_saved_model": ("", ()),
    "keras": (".keras", ()),
    "litert": (".tflite", ()),
    "litert_int8": (".tflite", ()),
    "onnx": (".onnx", ("onnx", "onnxruntime", "tf2onnx")),
}
FORMATS = tuple(_FORMATS)
Format = Literal["tf_saved_model", "keras", "litert", "litert_int8", "onnx"]
_NOT_FLOAT32 = ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16")


def suffix(format: str) -> str:
    """How a path of this format ends; "" for a folder.

    Example:
    >>> suffix("litert_int8")
    '.tflite'
    """
    return _FORMATS[format][0]


def folder_mark(format: str) -> str | None:
    """The file by which a folder of a format is known; None for a file.

    Example:
    >>> folder_mark("tf_saved_model"), folder_mark("onnx")
    ('saved_model.pb', None)
    """
    return None if suffix(format) else files.SAVED_MODEL


def check_format(format: str, filepath: Any) -> None:
    """Raises for an unknown format, another suffix, or a missing package.

    Args:
        format: One of `FORMATS`.
        filepath: Where it is to be written.

    Raises:
        ArgumentError: The format, or how the path ends.
        ImportError: What is not installed, and how to install it.

    Example:
    >>> check_format("litert", "student.onnx")
    Traceback (most recent call last):
    ...
    mpl_keras.checks.arguments.ArgumentError: `filepath` must end in '.tflite' \
for format='litert', or `format` be 'onnx'. Received: filepath=student.onnx
    """
    arguments.choice("format", format, FORMATS)
    end, packages = _FORMATS[format]
    filepath = arguments.path("filepath", filepath)
    known = [end for end, _ in _FORMATS.values() if end]
    if end and not filepath.endswith(end):
        raise ArgumentError(
            "filepath",
            f"end in {end!r} for format={format!r}{_format_of(filepath)}",
            filepath,
        )
    if not end and filepath.endswith(tuple(known)):
        raise ArgumentError(
            "filepath",
            f"be a folder for format={format!r}{_format_of(filepath)}",
            filepath,
        )
    missing = [name for name in packages if not importlib.util.find_spec(name)]
    if missing:
        raise ImportError(
            f"format={format!r} needs {', '.join(missing)}: pip install "
            f"{' '.join(missing)}"
        )


def _format_of(filepath):
    """Which format the ending of a path tells, in words, or nothing."""
    told = [
        repr(name)
        for name, (end, _) in _FORMATS.items()
        if end and filepath.endswith(end)
    ]
    return f", or `format` be {' or '.join(told)}" if told else ""


def in_float32(network: keras.Model) -> keras.Model:
    """The network itself, or a copy in float32 of one of mixed precision.

    Example:
    >>> with_half = keras.Sequential(
    ...     [keras.Input((2,)), keras.layers.Dense(3, dtype="mixed_float16")])
    >>> in_float32(with_half).layers[0].compute_dtype
    'float32'
    """
    config = keras.saving.serialize_keras_object(network)
    text = json.dumps(config)
    if not any(f'"{name}"' in text for name in _NOT_FLOAT32):
        return network
    for name in _NOT_FLOAT32:
        text = text.replace(f'"{name}"', '"float32"')
    # A network in memory needs no distrust.
    copy = keras.saving.deserialize_keras_object(
        json.loads(text), safe_mode=False
    )
    carrying.carry_vocabularies(network, copy)
    copy.set_weights(network.get_weights())
    carrying.finalize(copy)
    return copy


def with_pixels(
    network: keras.Model, preprocessing: ImagePreprocessing
) -> keras.Model:
    """From uint8 images of the network's size to probabilities.

    Args:
        network: From images to logits.
        preprocessing: Its `image_size`, `channels` and `scale` are used.

    Returns:
        A model of one input, "images", and one output, "probabilities".
    """
    images = keras.Input(
        preprocessing.input_shape, dtype="uint8", name="images"
    )
    values = keras.ops.cast(images, "float32")
    if preprocessing.scale != 1:
        values = values * preprocessing.scale
    logits = network(values, training=False)
    probabilities = keras.layers.Softmax(dtype="float32")(logits)
    return keras.Model(images, {"probabilities": probabilities})


def write_saved_model(
    network: keras.Model,
    path: str,
    preprocessing: ImagePreprocessing,
    metadata: Mapping[str, Any],
) -> None:
    """Writes a SavedModel of three signatures; see `serving`.

    Args:
        network: From images to logits.
        path: The folder.
        preprocessing: Is put in it.
        metadata: What JSON can hold, "class_names" among it.
    """
    core = with_pixels(network, preprocessing)
    names = tf.constant(metadata["class_names"])

    def classify(canvas):
        images = preprocessing.crop(canvas)
        probabilities = core(images, training=False)["probabilities"]
        best = tf.argmax(probabilities, axis=-1)
        return {
            "probabilities": probabilities,
            "classes": tf.gather(names, best),
        }

    shape = (None, None, None, preprocessing.channels)
    archive = keras.export.ExportArchive()
    archive.track(core)
    archive.add_endpoint(
        "serve",
        lambda images: classify(preprocessing.fit(images)),
        input_signature=[tf.TensorSpec(shape, tf.uint8, "images")],
    )
    archive.add_endpoint(
        "serve_files",
        lambda image_bytes: classify(preprocessing.decode(image_bytes)),
        input_signature=[tf.TensorSpec((None,), tf.string, "image_bytes")],
    )
    archive.add_endpoint(
        "metadata",
        lambda: {
            "class_names": tf.identity(names),
            "json": tf.constant(json.dumps(metadata, ensure_ascii=False)),
        },
        input_signature=[],
    )
    archive.write_out(path, verbose=False)


def write_keras(network, path, preprocessing, metadata) -> None:
    """Writes a `.keras` file of the network, with the metadata in it."""
    network.save(path)
    _add_to_archive(path, metadata)


def write_litert(
    network, path, preprocessing, metadata, calibration=None
) -> None:
    """Writes a LiteRT file, with the metadata in it.

    Args:
        network: From images to logits.
        path: The file.
        preprocessing: What is not in it is not done in it: cropping.
        metadata: What JSON can hold.
        calibration: None for float32; else uint8 images [N, height, width,
            channels], on which ranges for weights and values of 8 bits are
            measured.
    """
    options = {}
    if calibration is not None:
        options = {
            "optimizations": [tf.lite.Optimize.DEFAULT],
            "representative_dataset": lambda: (
                [calibration[i : i + 1]] for i in range(len(calibration))
            ),
        }
    # No operations that only TensorFlow itself could run.
    options["target_spec"] = {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}
    core = with_pixels(network, preprocessing)
    _convert(core, network, path, "litert", **options)
    _add_to_archive(path, metadata)


def write_onnx(network, path, preprocessing, metadata) -> None:
    """Writes an ONNX file, with the metadata in it."""
    import onnx

    core = with_pixels(network, preprocessing)
    _convert(core, network, path, "onnx")
    model = onnx.load(path)
    known = json.dumps(metadata, ensure_ascii=False)
    onnx.helper.set_model_props(model, {loading.ENTRY: known})
    _rename_output(model.graph, "probabilities")
    onnx.save(model, path)


def _rename_output(graph, name):
    """Gives the one output, and the batch's axis, names that say something."""
    (output,) = graph.output
    for node in graph.node:
        for index, known in enumerate(node.output):
            if known == output.name:
                node.output[index] = name
    output.name = name
    for value in (*graph.input, output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"


def _convert(core, network, path, format, **options):
    """Keras's export; an error names the layer that cannot be converted."""
    try:
        _export(core, path, format, **options)
    except Exception as error:
        options.pop("representative_dataset", None)
        options.pop("optimizations", None)
        layer = _unconvertible(network, format, options)
        if layer is None:
            raise ValueError(
                f"The network {network.name!r} could not be converted to "
                f"{format}: {error}"
            ) from error
        raise ValueError(
            f"format={format!r} must be one that can hold every layer. The "
            f"layer {layer.name!r} of class {type(layer).__name__} cannot be "
            "converted; export a SavedModel, or replace the layer."
        ) from error


def _export(model, path, format, **options):
    signature = keras.tree.map_structure(
        lambda x: tf.TensorSpec(x.shape, x.dtype, x.name), model.inputs
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning)
        model.export(
            path,
            format=format,
            verbose=False,
            input_signature=signature,
            **options,
        )
    if format == "onnx":
        import onnx

        # The converter passes on what it does not know.
        onnx.checker.check_model(path)


def _unconvertible(network, format, options):
    """The first layer that cannot be converted alone, or None."""
    for layer in _leaves(network):
        try:
            inputs = keras.tree.map_structure(
                lambda x: keras.Input(x.shape[1:], dtype=x.dtype), layer.input
            )
            alone = keras.Model(inputs, layer(inputs))
        except Exception:
            continue  # what it takes is not known: another may be named
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/layer{suffix(format)}"
            try:
                _export(alone, path, format, **options)
            except Exception:
                return layer
    return None


def _leaves(layer):
    """Layers that hold no others, in order."""
    own = getattr(layer, "layers", None)
    if not own:
        if not isinstance(layer, keras.layers.InputLayer):
            yield layer
        return
    for part in own:
        yield from _leaves(part)


def _add_to_archive(path, metadata):
    """Adds the metadata to a zip archive, or behind a file of another kind."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(
            loading.ENTRY, json.dumps(metadata, ensure_ascii=False)
        )


WRITERS = {
    "tf_saved_model": write_saved_model,
    "keras": write_keras,
    "litert": write_litert,
    "litert_int8": write_litert,
    "onnx": write_onnx,
}
