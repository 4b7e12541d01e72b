"""A network on texts as a SavedModel or a `.keras` file: strings in."""

import json
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

FORMATS = ("tf_saved_model", "keras")


def from_strings(network: keras.Model, tokenizer: Any) -> keras.Model:
    """The network behind its tokenizer: from strings [N] to logits.

    Args:
        network: From token ids to logits.
        tokenizer: A Keras layer.

    Example:
    >>> from mpl_keras.datasets import tokenizing
    >>> tokenizer = tokenizing.fit(["a tool"], 10, max_length=3)
    >>> ids = keras.Input((3,), dtype="int32")
    >>> net = keras.Model(ids, keras.ops.one_hot(ids[:, 0], 4))
    >>> from_strings(net, tokenizer)(tf.constant(["tool a"])).numpy()
    array([[0., 0., 1., 0.]], dtype=float32)
    """
    strings = keras.Input((), dtype="string", name="strings")
    ids = keras.ops.cast(tokenizer(strings), "int32")
    return keras.Model(strings, network(ids), name="classifier")


def write_saved_model(
    network: keras.Model,
    path: str,
    tokenizer: Any,
    metadata: Mapping[str, Any],
) -> None:
    """Writes a SavedModel that takes "strings" [N].

    Args:
        network: From token ids to logits.
        path: The folder.
        tokenizer: A Keras layer; is put in it.
        metadata: What JSON can hold, with "class_names".
    """
    names = tf.constant(metadata["class_names"])

    def classify(strings):
        ids = tf.cast(tokenizer(strings), tf.int32)
        logits = network(ids, training=False)
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
    archive.track(network)
    archive.track(tokenizer)
    strings = tf.TensorSpec((None,), tf.string, "strings")
    archive.add_endpoint("serve", classify, input_signature=[strings])
    archive.add_endpoint("metadata", described_in_it, input_signature=[])
    archive.write_out(path, verbose=False)
