"""Vectors of words by latent semantic analysis, against numpy's SVD."""

import numpy as np
import pytest

from mpl_keras import datasets, networks

RANDOM = np.random.default_rng(0)


def texts(count=60, length=12, words=30):
    """Texts of two kinds: each has words of its own half."""
    kind = RANDOM.integers(0, 2, count)
    ids = RANDOM.integers(2, 2 + words // 2, (count, length))
    return np.where(kind[:, None] == 0, ids, ids + words // 2), kind


def dense(ids, weights):
    """The matrix of texts and words, by definition."""
    rows = np.zeros((len(ids), len(weights)))
    for row, text in zip(rows, ids, strict=True):
        for word in text:
            row[word] += weights[word]
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_they_are_the_singular_vectors():
    ids, _ = texts()
    weights = np.concatenate([[0, 0], RANDOM.uniform(0.5, 2, 30)])
    found = datasets.word_vectors(ids, weights, width=5)
    matrix = dense(ids, weights)
    _, sizes, expected = np.linalg.svd(matrix)
    # Those that stand out; of the others, as much is told of the texts.
    np.testing.assert_allclose(
        np.abs(found[:, :2]), np.abs(expected[:2].T), atol=1e-4
    )
    told = np.linalg.norm(matrix @ found, axis=0)
    np.testing.assert_allclose(told, sizes[:5], rtol=0.02)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[:2], 0.0, atol=1e-12)


def test_words_of_the_same_texts_are_alike():
    ids, _ = texts(200)
    found = datasets.word_vectors(ids, np.ones(32), width=2)[2:]
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    alike = found @ found.T
    assert alike[:15, :15].min() > 0.9 and alike[15:, 15:].min() > 0.9
    assert np.abs(alike[:15, 15:]).max() < 0.3


def test_they_repeat_and_do_not_depend_on_the_seed_by_much():
    ids, _ = texts()
    made = [datasets.word_vectors(ids, np.ones(32), 2, s) for s in (0, 0, 1)]
    np.testing.assert_array_equal(made[0], made[1])
    np.testing.assert_allclose(made[0], made[2], atol=1e-3)


def test_padding_and_empty_texts_do_no_harm():
    ids, _ = texts()
    padded = np.concatenate([ids, np.zeros((60, 4), int)], axis=1)
    padded = np.concatenate([padded, np.zeros((3, 16), int)])
    weights = np.concatenate([[0, 0], np.ones(30)])
    found = datasets.word_vectors(padded, weights, 3)
    expected = datasets.word_vectors(ids, weights, 3)
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"width": 0}, "width"),
        ({"width": 61}, "width"),
        ({"width": 3, "seed": -1}, "seed"),
    ],
)
def test_what_cannot_be_is_refused(changes, name):
    ids, _ = texts()
    with pytest.raises(ValueError, match=f"`{name}` must"):
        datasets.word_vectors(ids, np.ones(100), **changes)


def test_a_network_begins_with_them():
    ids, _ = texts()
    weights = np.concatenate([[0, 0], np.ones(30)]).astype("float32")
    vectors = datasets.word_vectors(ids, weights, 4)
    network = networks.word_average(
        12, 32, 3, word_weights=weights, word_vectors=vectors
    )
    np.testing.assert_array_equal(
        network.get_layer("words").get_weights()[0], vectors
    )
    before_last = network.layers[-2].output
    lengths = np.linalg.norm(
        type(network)(network.input, before_last)(ids), axis=1
    )
    np.testing.assert_allclose(lengths, 5.0, rtol=1e-4)
    for wrong in (vectors[1:], vectors[:, 0], vectors.astype(int)):
        with pytest.raises(ValueError, match="`word_vectors` must"):
            networks.word_average(12, 32, 3, word_vectors=wrong)
    with pytest.raises(ValueError, match="`word_vectors` must be finite"):
        networks.word_average(12, 32, 3, word_vectors=vectors * np.nan)
