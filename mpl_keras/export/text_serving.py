"""A network on texts as a SavedModel or a `.keras` file: strings in."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from mpl_keras.export import named_serving

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

    def features(strings):
        return tf.cast(tokenizer(strings), tf.int32)

    strings = tf.TensorSpec((None,), tf.string, "strings")
    named_serving.write(
        network, path, features, strings, metadata, tracked=[tokenizer]
    )
