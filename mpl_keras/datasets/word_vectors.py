"""Vectors of words, from texts that nobody has labeled."""

from typing import Any

import numpy as np
import tensorflow as tf

from mpl_keras.checks import arguments, arrays

_SPARE = 10  # directions more than are asked for
_ROUNDS = 4  # passes over the texts, each of which tells them better apart


def word_vectors(
    ids: Any, word_weights: Any, width: int = 128, seed: int = 0
) -> np.ndarray:
    """Vectors of words that stand in the same texts are alike.

    Latent semantic analysis: the first right singular vectors of the matrix of
    texts and words. Its rows are the weights of a text's words, of Euclidean
    norm 1. No label is used, so that all texts of the training set can be.

    Args:
        ids: Token ids of the texts, integers [N, length]; 0 is padding.
        word_weights: How much each id counts, [V], such as
            `data.statistics.word_weights` of `from_text`.
        width: Of a vector; at most the number of texts and of words.
        seed: Of the random directions that the search begins with.

    Returns:
        float32 [V, width], for `networks.word_average(word_vectors=...)`.

    Raises:
        ArgumentError: An argument is not what it must be.

    Reference:
        Deerwester et al., "Indexing by Latent Semantic Analysis", 1990; found
        as by Halko, Martinsson and Tropp, "Finding Structure with Randomness",
        2011, algorithms 4.4 and 5.1.

    Example:
    >>> ids = np.array([[2, 3], [3, 2], [4, 5], [5, 4]])
    >>> vectors = word_vectors(ids, [0, 0, 1, 1, 1, 1], width=2)
    >>> alike = vectors @ vectors.T
    >>> bool(alike[2, 3] > 0.4), bool(abs(alike[2, 4]) < 0.1)
    (True, True)
    """
    ids = np.asarray(arrays.examples(ids, "ids"))
    weights = np.asarray(word_weights, np.float32)
    arguments.integer("width", width, 1, min(len(ids), len(weights)))
    arguments.integer("seed", seed, 0, 2**32 - 1)
    matrix = _matrix(ids, weights)
    most = min(width + _SPARE, *matrix.dense_shape.numpy())
    random = np.random.RandomState(seed)
    basis = random.normal(size=(len(weights), most)).astype(np.float32)
    for _ in range(_ROUNDS):
        texts = np.linalg.qr(_times(matrix, basis))[0]
        basis = np.linalg.qr(_times(matrix, texts, transposed=True))[0]
    texts = np.linalg.qr(_times(matrix, basis))[0]
    small = _times(matrix, texts, transposed=True).T
    vectors = np.linalg.svd(small, full_matrices=False)[2][:width]
    # A singular vector has no sign of its own.
    largest = np.abs(vectors).argmax(axis=1)
    signs = np.sign(vectors[np.arange(len(vectors)), largest])
    return (vectors * signs[:, np.newaxis]).T.astype(np.float32)


def _matrix(ids, weights):
    """Texts by words, sparse; each row of norm 1."""
    count, length = ids.shape
    cells = np.repeat(np.arange(count), length) * len(weights) + ids.ravel()
    cells, times = np.unique(cells, return_counts=True)
    rows, words = np.divmod(cells, len(weights))
    values = times * weights[words]
    norms = np.sqrt(np.bincount(rows, values**2, minlength=count))
    values = values / np.maximum(norms[rows], 1e-12)
    kept = values > 0
    return tf.SparseTensor(
        np.stack([rows, words], axis=1)[kept],
        values[kept].astype(np.float32),
        (count, len(weights)),
    )


def _times(matrix, dense, transposed=False):
    with tf.device("CPU:0"):
        return tf.sparse.sparse_dense_matmul(
            matrix, dense, adjoint_a=transposed
        ).numpy()
