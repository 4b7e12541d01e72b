"""A network for texts, which a CPU trains in a minute."""

from typing import Any

import keras
import numpy as np

from mpl_keras.checks import arguments
from mpl_keras.checks.arguments import ArgumentError

_LENGTH = 5.0  # of a text's vector, where the words' are given


def word_average(
    max_length: int,
    vocabulary_size: int,
    num_classes: int,
    *,
    word_weights: Any = None,
    word_vectors: Any = None,
    width: int = 64,
    dropout: float = 0.0,
) -> keras.Model:
    """The weighted sum of the embeddings of a text's words, and a dense layer.

    The weights of the words of a text have the Euclidean norm 1, as the values
    of TF-IDF have. Nothing depends on the order of words.

    Args:
        max_length: Number of token ids of a text.
        vocabulary_size: Number of ids.
        num_classes: Number of logits.
        word_weights: How much each id counts, numbers >= 0,
            [vocabulary_size]; they are not trained. By default 1, and 0 for
            the ids 0 and 1, padding and words that are not in the vocabulary.
            `data.statistics.word_weights` of `datasets.from_text` weigh rare
            words more.
        word_vectors: What the embeddings begin with, [vocabulary_size, any
            width], such as `datasets.word_vectors` finds in all texts. The sum
            is then scaled to one length. By default small random numbers. They
            are trained; take SGD, because Adam gives each number an update of
            one size, and soon nothing is left of them.
        width: Of an embedding, where there are no `word_vectors`.
        dropout: Rate before the last layer.

    Returns:
        A network from integers [N, max_length] to logits.

    Raises:
        ArgumentError: An argument is not what it must be.

    Example:
    >>> net = word_average(8, vocabulary_size=100, num_classes=3)
    >>> net(keras.ops.ones((2, 8), "int32")).shape
    TensorShape([2, 3])
    """
    arguments.integer("max_length", max_length, 1)
    arguments.integer("vocabulary_size", vocabulary_size, 3)
    arguments.integer("num_classes", num_classes, 2)
    arguments.integer("width", width, 1)
    arguments.number("dropout", dropout, 0, below=1)
    weights = _checked_weights(word_weights, vocabulary_size)
    vectors = _checked_vectors(word_vectors, vocabulary_size)
    if vectors is not None:
        width = vectors.shape[1]
    layers = keras.layers
    ids = keras.Input((max_length,), dtype="int32", name="ids")
    importance = layers.Embedding(
        vocabulary_size, 1, trainable=False, name="word_weights"
    )
    share = layers.UnitNormalization(axis=1)(importance(ids))
    importance.set_weights([weights[:, np.newaxis]])
    embedding = layers.Embedding(vocabulary_size, width, name="words")
    x = layers.Dot(axes=1)([share, embedding(ids)])
    x = layers.Flatten()(x)
    if vectors is not None:
        embedding.set_weights([vectors])
        x = layers.UnitNormalization()(x)
        x = layers.Rescaling(_LENGTH, dtype="float32")(x)
    x = layers.Dropout(dropout)(x)
    logits = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(ids, logits, name="word_average")


def _checked_vectors(vectors, vocabulary_size):
    """One vector for each id, or None."""
    if vectors is None:
        return None
    vectors = np.asarray(vectors)
    fits = vectors.ndim == 2 and len(vectors) == vocabulary_size
    if vectors.dtype.kind != "f" or not fits:
        raise ArgumentError(
            "word_vectors",
            "be a vector of floats for each of {vocabulary_size} ids",
            f"{vectors.dtype} of shape {vectors.shape}",
            others={"vocabulary_size": str(vocabulary_size)},
        )
    if not np.isfinite(vectors).all():
        raise ArgumentError(
            "word_vectors", "be finite", "NaN or infinite numbers"
        )
    return vectors.astype(np.float32)


def _checked_weights(weights, vocabulary_size):
    """One number for each id."""
    if weights is None:
        weights = np.ones(vocabulary_size, np.float32)
        weights[:2] = 0
    weights = np.asarray(weights)
    numbers = weights.dtype.kind in "fiu" and weights.ndim == 1
    if not numbers or len(weights) != vocabulary_size:
        raise ArgumentError(
            "word_weights",
            "be a number for each of {vocabulary_size} ids",
            f"{weights.dtype} of shape {weights.shape}",
            others={"vocabulary_size": str(vocabulary_size)},
        )
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise ArgumentError(
            "word_weights",
            "be finite and at least 0",
            f"numbers from {weights.min()} to {weights.max()}",
        )
    return weights.astype(np.float32)
