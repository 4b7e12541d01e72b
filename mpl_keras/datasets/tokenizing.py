"""From texts to token ids."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpl_keras.checks import arguments
from mpl_keras.checks.arguments import ArgumentError

_BATCH = 1024


@keras.saving.register_keras_serializable(package="mpl_keras")
def plain_words(strings: tf.Tensor) -> tf.Tensor:
    """Texts in lower case, in which all but letters and digits are blanks.

    Args:
        strings: A tensor of strings, UTF-8.

    Example:
    >>> plain_words(tf.constant(["Don't: a C++-based tool!"])).numpy()
    array([b'don t a c based tool '], dtype=object)
    """
    lower = tf.strings.lower(strings, encoding="utf-8")
    return tf.strings.regex_replace(lower, r"[^\p{L}\p{M}\p{N}]+", " ")


def fit(
    strings: list[str], vocabulary_size: int, max_length: int
) -> keras.layers.TextVectorization:
    """A tokenizer with the most frequent words of some texts.

    Args:
        strings: The training texts.
        vocabulary_size: Number of ids at most: 0 for padding, 1 for a word that
            is not in the vocabulary, and the words.
        max_length: Number of ids of a text.

    Example:
    >>> layer = fit(["a tool", "a game"], vocabulary_size=10, max_length=3)
    >>> layer(["A tool, another"]).numpy()
    array([[2, 3, 1]])
    """
    arguments.integer("vocabulary_size", vocabulary_size, 3)
    arguments.integer("max_length", max_length, 1)
    with tf.device("CPU:0"):
        seen = keras.layers.TextVectorization(
            vocabulary_size, standardize=plain_words
        )
        seen.adapt(tf.data.Dataset.from_tensor_slices(strings).batch(_BATCH))
        words = seen.get_vocabulary(include_special_tokens=False)
        if not words:
            raise ArgumentError(
                "strings", "hold words: letters or digits", repr(strings[0])
            )
        # By argument, because files keep this vocabulary and no other.
        return keras.layers.TextVectorization(
            standardize=plain_words,
            output_sequence_length=int(max_length),
            vocabulary=[str(word) for word in words],
        )


def encode(tokenizer: Any, strings: list[str]) -> np.ndarray:
    """Token ids of texts, int32, [N, length].

    Args:
        tokenizer: A callable from a batch of strings to integers [N, length].
        strings: Texts, at least one.

    Raises:
        ArgumentError: The tokenizer gives something else.
    """
    if not callable(tokenizer):
        raise _no_tokenizer(tokenizer, f"a {type(tokenizer).__name__}")
    parts = []
    with tf.device("CPU:0"):
        for first in range(0, len(strings), _BATCH):
            ids = tokenizer(tf.constant(strings[first : first + _BATCH]))
            parts.append(_as_ids(ids, tokenizer))
    if len({part.shape[1] for part in parts}) > 1:
        raise _no_tokenizer(tokenizer, "rows of different lengths")
    ids = np.concatenate(parts)
    if len(ids) != len(strings):
        raise _no_tokenizer(tokenizer, f"{len(ids)} of {len(strings)} rows")
    return ids


def _as_ids(ids, tokenizer):
    if isinstance(ids, tf.RaggedTensor):
        raise _no_tokenizer(tokenizer, "rows of different lengths")
    try:
        ids = np.asarray(ids)
    except (TypeError, ValueError):
        raise _no_tokenizer(tokenizer, f"a {type(ids).__name__}") from None
    if ids.ndim != 2 or ids.dtype.kind not in "iu":
        given = f"{ids.dtype} of shape {ids.shape}"
        raise _no_tokenizer(tokenizer, given)
    return ids.astype(np.int32)


def _no_tokenizer(tokenizer, given):
    return ArgumentError(
        "tokenizer",
        "give integers [N, length] for N strings, rows of one length: a layer "
        "of Keras takes `output_sequence_length`, one of KerasHub "
        "`sequence_length`",
        repr(tokenizer),
        note=f", which gives {given}",
    )


def size_of(tokenizer: Any, vocabulary_size: int) -> int:
    """How many ids a tokenizer has.

    Args:
        tokenizer: Is asked, if it has a method `vocabulary_size`.
        vocabulary_size: The number otherwise.

    Example:
    >>> size_of(fit(["a b"], 10, 3), 10), size_of(lambda strings: None, 10)
    (4, 10)
    """
    asked = getattr(tokenizer, "vocabulary_size", None)
    return int(asked()) if callable(asked) else vocabulary_size


def as_texts(values: Any, argument: str) -> list[str]:
    """Texts as a list of Python's strings.

    Args:
        values: A list, an array, a column of a data frame or a tensor.
        argument: What to call it in an error.

    Raises:
        ArgumentError: It is one string alone, or holds something else.

    Example:
    >>> as_texts(np.array(["one", "two"]), "strings")
    ['one', 'two']
    """
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise ArgumentError(argument, "be a list of strings", repr(values))
    values = values.numpy() if hasattr(values, "numpy") else values
    texts = []
    for number, value in enumerate(values):
        if isinstance(value, bytes):
            value = value.decode("utf-8", errors="replace")
        if not isinstance(value, str):
            raise ArgumentError(
                argument,
                "be a list of strings",
                f"{value!r} at position {number}",
            )
        texts.append(str(value))
    return texts
