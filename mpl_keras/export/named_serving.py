"""A SavedModel whose answers are probabilities and the names of classes."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf


def write(
    network: keras.Model,
    path: str,
    features: Callable[[Any], Any],
    inputs: Any,
    metadata: Mapping[str, Any],
    tracked: Sequence[Any] = (),
) -> None:
    """Writes it, with the endpoints "serve" and "metadata".

    Args:
        network: From features to logits.
        path: The folder.
        features: From what is served to what the network takes, in a graph.
        inputs: Specification of what is served.
        metadata: What JSON can hold, with "class_names".
        tracked: Layers that `features` needs.
    """
    names = tf.constant(metadata["class_names"])

    def classify(given):
        logits = network(features(given), training=False)
        probabilities = tf.nn.softmax(tf.cast(logits, tf.float32))
        best = tf.argmax(probabilities, axis=-1)
        return {
            "probabilities": probabilities,
            "classes": tf.gather(names, best),
        }

    def described_in_it():
        return {
            "class_names": tf.identity(names),
            "json": tf.constant(json.dumps(metadata, ensure_ascii=False)),
        }

    archive = keras.export.ExportArchive()
    for layer in (network, *tracked):
        archive.track(layer)
    archive.add_endpoint("serve", classify, input_signature=[inputs])
    archive.add_endpoint("metadata", described_in_it, input_signature=[])
    archive.write_out(path, verbose=False)
