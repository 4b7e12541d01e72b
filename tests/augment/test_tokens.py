"""Views of texts: the formulas, by an independent reading of the paper."""

import collections
import math

import numpy as np
import pytest
import tensorflow as tf

from mpl_keras import augment, datasets, pipeline
from mpl_keras.checks import settings

SEED = tf.constant([3, 5])
V, LENGTH, TEXTS = 40, 12, 60


def make_tokens(seed=0):
    """Rows with frequent and rare words, unknown ones (1) and padding (0)."""
    random = np.random.RandomState(seed)
    weight = 1.0 / np.arange(1, V - 1)
    tokens = np.zeros((TEXTS, LENGTH), np.int32)
    for row in tokens:
        length = random.randint(1, LENGTH + 1)
        row[:length] = 2 + random.choice(V - 2, length, p=weight / weight.sum())
        row[:length][random.uniform(size=length) < 0.1] = 1
    return tokens


TOKENS = make_tokens()
STATISTICS = augment.count_tokens(TOKENS, V)


def read_statistics(rows):
    """IDF and frequency of each word, word by word as the paper says it."""
    documents, frequency = collections.Counter(), collections.Counter()
    for row in rows:
        words = [w for w in row if w > 1]
        documents.update(set(words))
        frequency.update(words)
    idf = {w: math.log(len(rows) / n) for w, n in documents.items()}
    return idf, frequency


def read_replaced(row, idf, p):
    """min(p (C - TFIDF(x_i)) / Z, 1), Z the mean of C - TFIDF(x_j)."""
    words = [w for w in row if w > 1]
    tf_idf = [words.count(w) / len(words) * idf[w] for w in words]
    c = max(tf_idf, default=0.0)
    z = sum(c - value for value in tf_idf) / max(len(words), 1)
    found = iter(min(p * (c - v) / z, 1) if z else 0.0 for v in tf_idf)
    return [next(found) if w > 1 else 0.0 for w in row]


@pytest.mark.parametrize("p", [0.1, 0.7, 1.0])
def test_words_are_replaced_as_the_paper_says(p):
    idf, _ = read_statistics(TOKENS.tolist())
    want = [read_replaced(row, idf, p) for row in TOKENS.tolist()]
    view = augment.TfIdfReplacement(p, STATISTICS)
    got = view.replaced_with(TOKENS).numpy()
    np.testing.assert_allclose(got, want, atol=1e-12)
    assert (got[TOKENS < 2] == 0).all() and got.max() >= p
    # Where no word reaches 1, the mean over the words of a text is p.
    words = (TOKENS > 1).sum(axis=1)
    plain = (got.max(axis=1) < 1) & (got.max(axis=1) > 0)
    mean = got.sum(axis=1)[plain] / words[plain]
    np.testing.assert_allclose(mean, p)


def test_words_are_drawn_as_the_paper_says():
    idf, frequency = read_statistics(TOKENS.tolist())
    score = {w: frequency[w] * idf[w] for w in frequency}
    z = sum(max(score.values()) - s for s in score.values())
    want = np.zeros(V)
    for w, s in score.items():
        want[w] = (max(score.values()) - s) / z
    np.testing.assert_allclose(STATISTICS.replacement_probabilities, want)
    # Those of texts of two words, one of which is always replaced.
    rare = int(max(idf, key=idf.get))
    often = int(min(idf, key=idf.get))
    x = np.tile([[rare, often]], (20_000, 1)).astype("int32")
    seen = augment.TfIdfReplacement(1.0, STATISTICS)(x, SEED).numpy()
    assert (seen[:, 0] == rare).all()
    share = np.bincount(seen[:, 1], minlength=V) / len(x)
    np.testing.assert_allclose(share, want, atol=5 * np.sqrt(0.1 / len(x)))
    assert share[:2].sum() == 0


def test_chance_is_as_often_as_it_says():
    view = augment.TfIdfReplacement(0.5, STATISTICS)
    rows = np.repeat(TOKENS[:6], 4000, axis=0)
    changed = (view(rows, SEED).numpy() != rows).reshape(6, 4000, LENGTH)
    drawn = STATISTICS.replacement_probabilities[TOKENS[:6]]
    want = view.replaced_with(TOKENS[:6]).numpy() * (1 - drawn)
    np.testing.assert_allclose(changed.mean(axis=1), want, atol=0.04)


def test_texts_of_one_word_or_none_stay():
    x = np.array([[5, 0, 0], [0, 0, 0], [1, 1, 0], [5, 5, 1]], "int32")
    for piece in (augment.TfIdfReplacement(1.0, STATISTICS),):
        np.testing.assert_array_equal(piece(x, SEED), x)
    dropped = augment.WordDropout(0.99)(x, SEED).numpy()
    assert ((dropped != 0).sum(axis=1) > 0).tolist() == [1, 0, 1, 1]


def test_dropout_leaves_out_and_moves_up():
    x = np.arange(2, 32, dtype="int32").reshape(1, 30)
    x = np.pad(np.tile(x, (2000, 1)), ((0, 0), (0, 2)))
    seen = augment.WordDropout(0.3)(x, SEED).numpy()
    for row in seen[:50]:
        kept = row[row != 0]
        assert (np.diff(kept) > 0).all() and (row[len(kept) :] == 0).all()
    share = (seen != 0).sum() / (x != 0).sum()
    assert abs(share - 0.7) < 0.01
    assert len({tuple(row) for row in seen[:50]}) == 50
    marked = augment.WordDropout(0.3, replacement=1)(x, SEED).numpy()
    assert ((marked == x) | (marked == 1)).all()
    assert abs((marked == 1).sum() / (x != 0).sum() - 0.3) < 0.01


PIECES = {
    "replacement": augment.TfIdfReplacement(0.5, STATISTICS),
    "dropout": augment.WordDropout(0.3),
    "marked": augment.WordDropout(0.3, replacement=1),
    "strong": augment.text_views(STATISTICS).strong,
}
each_piece = pytest.mark.parametrize("piece", PIECES.values(), ids=PIECES)


@each_piece
@pytest.mark.parametrize("dtype", ["int32", "int64", "uint16"])
def test_one_seed_gives_one_view(piece, dtype):
    x = TOKENS.astype(dtype)
    first = piece(x, SEED)
    np.testing.assert_array_equal(first, piece(x, SEED))
    np.testing.assert_array_equal(first, tf.function(piece)(x, SEED))
    mapped = tf.data.Dataset.from_tensors(x).map(lambda x: piece(x, SEED))
    np.testing.assert_array_equal(first, next(iter(mapped)))
    assert (first.numpy() != piece(x, [3, 6]).numpy()).any()
    assert first.dtype == dtype and first.shape == x.shape
    # An example at a position depends on the seed and the position alone.
    np.testing.assert_array_equal(first[:5], piece(x[:5], SEED))


@each_piece
def test_unknown_words_and_padding_are_not_drawn(piece):
    seen = piece(TOKENS, SEED).numpy()
    assert seen.max() < V
    if piece in (PIECES["replacement"],):
        np.testing.assert_array_equal(seen < 2, TOKENS < 2)
        np.testing.assert_array_equal(seen[TOKENS < 2], TOKENS[TOKENS < 2])


def test_start_and_end_are_kept():
    statistics = augment.count_tokens(TOKENS, V, (0, 1, 38, 39))
    x = np.where(TOKENS > 37, 2, TOKENS)
    x = np.pad(x, ((0, 0), (1, 0)), constant_values=38)
    views = augment.text_views(statistics, weak=0.9)
    assert views.weak.kept == (38, 39)
    for view in (views.weak, views.strong):
        seen = view(x, SEED).numpy()
        assert (seen[:, 0] == 38).all() and (seen == 38).sum() == len(x)
        assert (seen != 0).sum() < (x != 0).sum()


def test_other_reserved_ids():
    reserved = (3, 7)
    statistics = augment.count_tokens(TOKENS, V, reserved)
    assert statistics.counts[[3, 7]].sum() == 0 and statistics.counts[1] > 0
    views = augment.text_views(statistics)
    assert views.weak.padding == 3
    seen = augment.TfIdfReplacement(1.0, statistics)(TOKENS, SEED).numpy()
    fixed = np.isin(TOKENS, reserved)
    np.testing.assert_array_equal(np.isin(seen, reserved), fixed)


def test_rows_of_different_lengths_count_the_same():
    rows = [row[row > 0] for row in TOKENS]
    other = augment.count_tokens(rows, V)
    np.testing.assert_array_equal(other.counts, STATISTICS.counts)
    np.testing.assert_array_equal(other.documents, STATISTICS.documents)
    alike = augment.count_tokens([[2, 3], [2, 3]], 5)
    assert alike.replacement_probabilities.tolist() == [0, 0, 0.5, 0.5, 0]


def test_batches_go_on_where_they_stopped():
    data = datasets.from_arrays(
        TOKENS[:4],
        [0, 1, 0, 1],
        TOKENS[4:],
        views=augment.text_views(STATISTICS),
    )
    batches = pipeline.training_dataset(data, 4, 16, seed=2)
    later = pipeline.training_dataset(data, 4, 16, seed=2, start_step=3)
    want = list(batches.take(5).as_numpy_iterator())[3:]
    for (x, y), (x_w, y_w) in zip(
        later.take(2).as_numpy_iterator(), want, strict=True
    ):
        for name in x:
            np.testing.assert_array_equal(x[name], x_w[name])
        np.testing.assert_array_equal(y, y_w)
    other = augment.count_tokens(TOKENS[1:], V)
    described = [
        settings.described(augment.text_views(s).strong)
        for s in (STATISTICS, augment.count_tokens(TOKENS, V), other)
    ]
    assert described[0] == described[1] != described[2]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: augment.count_tokens([[2, 40]], V), "`tokens` .*2 to 40"),
        (lambda: augment.count_tokens([[2.5]], V), "integers.*float64"),
        (lambda: augment.count_tokens([[0, 1]], V), "at least one word"),
        (lambda: augment.count_tokens([[2]], V, [V]), "`reserved`"),
        (lambda: augment.WordDropout(1.0), "`probability`"),
        (lambda: augment.WordDropout(0.1, kept=(-1,)), "`kept`"),
        (lambda: augment.TfIdfReplacement(1.2, STATISTICS), "`probability`"),
        (lambda: augment.TfIdfReplacement(0.1, TOKENS), "`statistics`.*count_"),
        (lambda: augment.text_views(STATISTICS, weak=-1), "`weak`"),
        (lambda: augment.text_views(STATISTICS, strong=1), "`strong`"),
        (lambda: augment.text_views(STATISTICS, replaced=2), "`replaced`"),
        (
            lambda: augment.WordDropout(0.1)(np.zeros((2, 3)), SEED),
            "`x` must be integers .*float64",
        ),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_what_is_missing_is_said():
    data = datasets.from_arrays(TOKENS[:4], [0, 1, 0, 1], TOKENS[4:])
    with pytest.raises(ValueError, match="`views` .*augment.text_views"):
        pipeline.training_dataset(data, 4, 16)
    texts = np.array(["a", "b"], object)
    with pytest.raises(ValueError, match="datasets.from_text"):
        datasets.from_arrays(texts, [0, 1], texts)
