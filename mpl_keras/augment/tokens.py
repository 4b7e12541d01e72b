"""Views of texts: rows of token ids, in which some words become others.

The ids come from `keras.layers.TextVectorization` or any other tokenizer. A
view is a callable `(x, seed) -> x` on a batch [N, length], stateless as all
views here are.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from mpl_keras.augment.views import Compose, Views
from mpl_keras.checks import arguments
from mpl_keras.checks.arguments import ArgumentError


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class TokenStatistics:
    """How often each token occurs in the training texts.

    `count_tokens` makes one.

    Args:
        counts: How often each id occurs, [V]; 0 for reserved ids.
        documents: In how many texts it occurs, [V].
        num_texts: How many texts there are.
        reserved: Ids that are no words: padding, a word that is not in the
            vocabulary, and others, such as the start and the end of a text.

    Example:
    >>> count_tokens([[2, 2, 3], [2, 0, 0]], vocabulary_size=4)
    TokenStatistics(texts=2, words=2)
    """

    counts: np.ndarray
    documents: np.ndarray
    num_texts: int
    reserved: tuple[int, ...] = (0, 1)

    @property
    def idf(self) -> np.ndarray:
        """Inverse document frequency, `log(num_texts / documents)`, [V].

        A word that occurs in no text counts as one that occurs in one.
        """
        return np.log(self.num_texts / np.maximum(self.documents, 1))

    @property
    def word_weights(self) -> np.ndarray:
        """How much a word tells of a text, for `networks.word_average`; [V].

        It is `idf + 1`, divided by its mean over the words, and 0 for reserved
        ids.
        """
        weight = np.where(self.is_word, self.idf + 1, 0.0)
        return (weight / weight[self.counts > 0].mean()).astype(np.float32)

    @property
    def replacement_probabilities(self) -> np.ndarray:
        """How likely each id is drawn in the place of another one, [V].

        With `S(w) = counts(w) * idf(w)` it is `max S - S(w)`, divided by its
        sum. Words that occur in no text and reserved ids are not drawn.
        """
        seen = self.counts > 0
        score = self.counts * self.idf
        weight = np.where(seen, score[seen].max() - score, 0.0)
        if not weight.any():  # all words have one score
            weight = seen.astype(np.float64)
        return weight / weight.sum()

    @property
    def is_word(self) -> np.ndarray:
        """Which ids are words: all but the reserved ones, [V]."""
        word = np.ones(len(self.counts), bool)
        word[list(self.reserved)] = False
        return word

    def __repr__(self) -> str:
        """The sizes, because the arrays would fill the screen."""
        words = int((self.counts > 0).sum())
        return f"TokenStatistics(texts={self.num_texts}, words={words})"


def count_tokens(
    tokens: Any, vocabulary_size: int, reserved: Sequence[int] = (0, 1)
) -> TokenStatistics:
    """Counts the tokens of the training texts.

    Args:
        tokens: Ids of all training texts, labeled and unlabeled; integers
            [N, length], or a list of rows of different lengths.
        vocabulary_size: Number of ids, the reserved ones included.
        reserved: Ids that are no words: first the padding, then a word that
            is not in the vocabulary, then others, such as the start and the
            end of a text. No view replaces or draws them. The default is right
            for `TextVectorization`.

    Raises:
        ArgumentError: An id is out of range, or no text has a word.

    Example:
    >>> count_tokens([[2, 2, 3], [2, 0, 0]], vocabulary_size=4).counts
    array([0, 0, 3, 1])
    """
    size = arguments.integer("vocabulary_size", vocabulary_size, 2)
    reserved = tuple(
        arguments.integer("reserved", token, 0, size - 1) for token in reserved
    )
    rows = [np.asarray(row) for row in tokens]
    lengths = [len(row) for row in rows]
    flat = np.concatenate(rows) if sum(lengths) else np.zeros(0, np.int64)
    _check_ids(flat, size)
    counts = np.bincount(flat, minlength=size)
    # A text counts once for each of its words.
    text = np.repeat(np.arange(len(rows)), lengths)
    documents = np.bincount(
        np.unique(text * size + flat.astype(np.int64)) % size, minlength=size
    )
    counts[list(reserved)] = documents[list(reserved)] = 0
    if not counts.any():
        raise ArgumentError(
            "tokens",
            "hold at least one word",
            f"{len(rows)} texts",
            note=f" of the reserved ids {reserved} alone",
        )
    return TokenStatistics(counts, documents, len(rows), reserved)


def _check_ids(flat, size):
    if flat.dtype.kind not in "iu":
        raise ArgumentError("tokens", "be integers", f"dtype {flat.dtype}")
    if len(flat) and not 0 <= flat.min() <= flat.max() < size:
        raise ArgumentError(
            "tokens",
            "be ids in [0, {vocabulary_size})",
            f"ids from {flat.min()} to {flat.max()}",
            others={"vocabulary_size": str(size)},
        )


@dataclasses.dataclass(frozen=True, eq=False)
class TfIdfReplacement:
    """Replaces words that say little about a text by other such words.

    TF-IDF of a word is its share of the words of the text, times its inverse
    document frequency; C is the largest one in the text. A word is replaced
    with the probability `min(probability * (C - TF-IDF) / Z, 1)`, where Z is
    the mean of `C - TF-IDF` over the words of the text. What stands in its
    place is drawn by `TokenStatistics.replacement_probabilities`, which prefers
    words that are no keywords.

    Padding and words that are not in the vocabulary stay as they are, and are
    not counted. Where all words of a text have one TF-IDF, none is replaced.

    Args:
        probability: Mean probability of a word to be replaced, in [0, 1]; a
            little less where the bound of 1 is reached.
        statistics: Of the training texts.

    Reference: Xie et al., "Unsupervised Data Augmentation for Consistency
    Training", 2019 (arXiv:1904.12848), appendix.

    Example:
    >>> statistics = count_tokens([[2, 3, 4], [2, 5, 0]], vocabulary_size=6)
    >>> view = TfIdfReplacement(0.5, statistics)
    >>> view(tf.constant([[2, 3, 4, 0]]), [0, 1]).shape
    TensorShape([1, 4])
    """

    probability: float
    statistics: TokenStatistics

    def __post_init__(self):
        """Raises for values out of range."""
        arguments.number("probability", self.probability, 0, 1)
        _check_statistics(self.statistics)

    def __call__(self, x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Token ids [N, length], some of them replaced."""
        x = _as_tokens(x, self)
        chance, draw = tf.unstack(tf.random.split(seed, num=2))
        chosen = _uniform(tf.shape(x), chance) < self.replaced_with(x)
        # The inverse of the distribution function; a draw is below its end.
        ends = np.cumsum(self.statistics.replacement_probabilities)
        last = np.flatnonzero(self.statistics.counts)[-1]
        drawn = tf.searchsorted(
            tf.constant(ends),
            tf.reshape(_uniform(tf.shape(x), draw), [-1]),
            side="right",
        )
        drawn = tf.reshape(tf.minimum(drawn, int(last)), tf.shape(x))
        return tf.where(chosen, tf.cast(drawn, x.dtype), x)

    def replaced_with(self, x: tf.Tensor) -> tf.Tensor:
        """The probability of each token to be replaced, [N, length]."""
        x = tf.cast(x, tf.int32)
        word = tf.gather(tf.constant(self.statistics.is_word), x)
        idf = tf.gather(tf.constant(self.statistics.idf), x)
        # How often a row holds each of its own tokens.
        row = tf.sort(x, axis=1)
        after = tf.searchsorted(row, x, side="right")
        count = tf.cast(after - tf.searchsorted(row, x, side="left"), idf.dtype)
        length = tf.reduce_sum(tf.cast(word, idf.dtype), axis=1, keepdims=True)
        tf_idf = tf.math.divide_no_nan(count, length) * idf
        largest = tf.reduce_max(
            tf.where(word, tf_idf, 0), axis=1, keepdims=True
        )
        less = tf.where(word, largest - tf_idf, 0)
        total = tf.reduce_sum(less, axis=1, keepdims=True)
        share = tf.math.divide_no_nan(less * length, total)
        return tf.minimum(self.probability * share, 1)


@dataclasses.dataclass(frozen=True, eq=False)
class WordDropout:
    """Leaves out each word with the same probability.

    The words after it move up, and padding fills the end. A text of which no
    word would be left keeps all. Words that are not in the vocabulary are left
    out as others are.

    Args:
        probability: Of a word to be left out, in [0, 1).
        padding: The id of the padding.
        replacement: An id that stands in the place of a word that is left out,
            such as 1 of `TextVectorization`; by default none does.
        kept: Ids that are never left out, such as those of the start and the
            end of a text.

    Example:
    >>> view = WordDropout(0.5)
    >>> view(tf.constant([[2, 3, 4, 0]]), [0, 1]).numpy()
    array([[2, 4, 0, 0]], dtype=int32)
    """

    probability: float
    padding: int = 0
    replacement: int | None = None
    kept: tuple[int, ...] = ()

    def __post_init__(self):
        """Raises for values out of range."""
        arguments.number("probability", self.probability, 0, below=1)
        arguments.integer("padding", self.padding, 0)
        if self.replacement is not None:
            arguments.integer("replacement", self.replacement, 0)
        for token in self.kept:
            arguments.integer("kept", token, 0)

    def __call__(self, x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Token ids [N, length], without some of the words."""
        x = _as_tokens(x, self)
        chosen = _uniform(tf.shape(x), seed) < self.probability
        word = x != self.padding
        for token in self.kept:
            word &= x != token
        chosen &= word & tf.reduce_any(word & ~chosen, axis=1, keepdims=True)
        if self.replacement is not None:
            return tf.where(chosen, tf.cast(self.replacement, x.dtype), x)
        x = tf.where(chosen, tf.cast(self.padding, x.dtype), x)
        order = tf.argsort(tf.cast(chosen, tf.int32), axis=1, stable=True)
        return tf.gather(x, order, batch_dims=1)


def text_views(
    statistics: TokenStatistics,
    *,
    weak: float = 0.1,
    strong: float = 0.4,
    replaced: float = 0.6,
) -> Views:
    """Views of texts as token ids.

    Weak: word dropout. Strong: TF-IDF word replacement, then word dropout.

    Args:
        statistics: Of the training texts, by `count_tokens`.
        weak: Probability of a word to be left out of the weak view, in [0, 1).
        strong: The same, of the strong view.
        replaced: Mean probability of a word of the strong view to be replaced,
            in [0, 1].

    Example:
    >>> statistics = count_tokens([[2, 3, 4], [2, 5, 0]], vocabulary_size=6)
    >>> text_views(statistics).weak
    WordDropout(probability=0.1, padding=0, replacement=None, kept=())
    """
    with arguments.passing({"probability": "replaced"}):
        replacement = TfIdfReplacement(replaced, statistics)
    padding, *others = statistics.reserved or (0,)
    kept = {"padding": padding, "kept": tuple(others[1:])}
    with arguments.passing({"probability": "weak"}):
        weak = WordDropout(weak, **kept)
    with arguments.passing({"probability": "strong"}):
        dropout = WordDropout(strong, **kept)
    return Views(weak=weak, strong=Compose((replacement, dropout)))


def _check_statistics(statistics):
    if not isinstance(statistics, TokenStatistics):
        raise ArgumentError(
            "statistics",
            "be what `augment.count_tokens(tokens, vocabulary_size)` returns",
            type(statistics).__name__,
        )


def _as_tokens(x, view):
    x = tf.convert_to_tensor(x)
    if x.shape.rank != 2 or not x.dtype.is_integer:
        raise ArgumentError(
            "x",
            f"be integers [N, length], token ids, for {type(view).__name__}",
            f"{x.dtype.name} of shape {x.shape}",
        )
    return x


def _uniform(shape, seed):
    """In [0, 1). Of 64 bits, for vocabularies of any size."""
    return tf.random.stateless_uniform(shape, seed, dtype=tf.float64)
