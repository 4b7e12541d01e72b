"""Labels that are spread to the examples near them."""

import dataclasses

import numpy as np
import pytest

from mpl_keras import datasets
from mpl_keras.checks.arguments import ArgumentError


def clusters(count=300, classes=3, per_class=5, seed=0, scale=4.0):
    """Points around a centre of each class, some of them labeled."""
    random = np.random.RandomState(seed)
    y = np.arange(count) % classes
    centres = scale * random.normal(size=(classes, 6))
    x = (centres[y] + random.normal(size=(count, 6))).astype("float32")
    labeled = np.concatenate(
        [np.flatnonzero(y == k)[:per_class] for k in range(classes)]
    )
    rest = np.setdiff1d(np.arange(count), labeled)
    return datasets.from_arrays(
        x[labeled],
        y[labeled],
        x[rest],
        unlabeled_labels=y[rest],
        labeled_in_unlabeled=False,
    )


def accuracy(found):
    rows = found.data.unlabeled_prior
    return (rows.argmax(axis=1) == found.data.unlabeled_labels).mean()


def by_numpy(data, whiten, neighbors=5, alpha=0.9):
    """An independent reading: a dense graph, and a solved system."""
    y = data.labeled[1]
    x = np.concatenate([data.labeled[0], data.unlabeled]).astype("float64")
    x -= x.mean(axis=0)
    if whiten:
        _, sizes, axes = np.linalg.svd(x, full_matrices=False)
        x = x @ axes.T / sizes * np.sqrt(len(x) - 1)
    square = ((x[:, np.newaxis] - x) ** 2).sum(axis=2)
    np.fill_diagonal(square, np.inf)
    weights = np.zeros_like(square)
    for row, near in enumerate(np.argsort(square, axis=1)[:, :neighbors]):
        mine = square[row, near]
        weights[row, near] = np.exp(-4 * mine / mine[-1])
    weights = (weights + weights.T) / 2
    root = np.sqrt(weights.sum(axis=1))
    graph = weights / root / root[:, np.newaxis]
    targets = np.zeros((len(x), data.num_classes))
    targets[np.arange(len(y)), y] = 1 - alpha
    rows = np.linalg.solve(np.eye(len(x)) - alpha * graph, targets)
    rows /= rows.sum(axis=1, keepdims=True)
    share = np.bincount(y, minlength=data.num_classes) / len(y)
    for _ in range(200):
        rows *= share / rows[len(y) :].mean(axis=0)
        rows /= rows.sum(axis=1, keepdims=True)
    return rows[len(y) :]


def test_is_the_solution_of_zhous_equation():
    # Close clusters, so that no probability is near the least one.
    data = clusters(scale=0.8)
    options = {"strength": 1.0, "neighbors": 5, "alpha": 0.9}
    rows = datasets.spread_labels(data, **options).data.unlabeled_prior
    apart = [
        np.abs(rows - by_numpy(data, whiten)).max() for whiten in (True, False)
    ]
    assert min(apart) < 1e-3 < max(apart)


def test_finds_classes_that_lie_apart_and_says_so():
    found = datasets.spread_labels(clusters())
    assert accuracy(found) > 0.97
    assert found.accuracy > 0.9 and found.strength > 0
    assert "%" in str(found)


def test_neighbours_that_tell_nothing_are_not_believed():
    random = np.random.RandomState(1)
    data = datasets.from_arrays(
        random.normal(size=(60, 6)).astype("float32"),
        np.arange(60) % 3,
        random.normal(size=(300, 6)).astype("float32"),
    )
    found = datasets.spread_labels(data)
    assert found.strength == 0 and found.accuracy < 0.6
    np.testing.assert_allclose(found.data.unlabeled_prior, 1 / 3, atol=1e-3)
    assert "by chance" in str(found)


def test_one_label_of_each_class_cannot_be_checked():
    found = datasets.spread_labels(clusters(per_class=1))
    assert found.strength == 0 and "too few labels" in str(found)
    assert found.accuracy is None
    # Whoever knows better may say so.
    assert accuracy(datasets.spread_labels(clusters(per_class=1), strength=2))


def test_rows_are_a_prior_that_batches_take():
    rows = datasets.spread_labels(clusters(), strength=9).data.unlabeled_prior
    assert rows.dtype == "float32" and rows.min() > 0
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=2e-3)
    # Machines differ in the last bits, which are cut off.
    np.testing.assert_array_equal(rows, rows.astype("float16"))


def test_examples_beyond_the_most_follow_their_neighbours():
    data = clusters(count=900)
    found = datasets.spread_labels(data, most=300)
    assert found.data.unlabeled_prior.shape == (len(data.unlabeled), 3)
    assert accuracy(found) > 0.95


def test_shares_are_those_of_the_labels():
    data = clusters(scale=1.0)
    keep = np.r_[0:5, 5:7, 10:12]
    labeled = data.labeled[0][keep], data.labeled[1][keep]
    data = dataclasses.replace(data, labeled=labeled)
    rows = datasets.spread_labels(data, strength=1.0).data.unlabeled_prior
    np.testing.assert_allclose(
        rows.mean(axis=0), [5 / 9, 2 / 9, 2 / 9], atol=0.01
    )


def test_images_of_bytes_large_ones_and_sources_are_read_alike():
    random = np.random.RandomState(0)
    y = np.arange(80) % 2
    x = random.randint(0, 60, (80, 40, 48, 3)).astype("uint8")
    x[y == 1, :20] += 120
    arrays = datasets.from_arrays(x[:10], y[:10], x[10:])
    read = datasets.from_arrays(
        datasets.Items(list(x[:10])), y[:10], datasets.Items(list(x[10:]))
    )
    rows = [
        datasets.spread_labels(data).data.unlabeled_prior
        for data in (arrays, read)
    ]
    np.testing.assert_array_equal(*rows)
    assert (rows[0][:70].argmax(axis=1) == y[10:]).all()


def test_is_the_same_again_and_leaves_the_data_alone():
    data = clusters(count=600)
    once, again = (
        datasets.spread_labels(data, most=200, seed=3).data for _ in range(2)
    )
    np.testing.assert_array_equal(once.unlabeled_prior, again.unlabeled_prior)
    assert data.unlabeled_prior is None
    assert once.unlabeled is data.unlabeled


def test_soft_labels_and_examples_that_are_all_the_same():
    data = clusters()
    soft = np.eye(3)[data.labeled[1]] * 0.9 + 0.1 / 3
    soft = dataclasses.replace(data, labeled=(data.labeled[0], soft))
    assert accuracy(datasets.spread_labels(soft)) > 0.95
    same = dataclasses.replace(
        data,
        labeled=(np.ones_like(data.labeled[0]), data.labeled[1]),
        unlabeled=np.ones_like(data.unlabeled),
    )
    assert np.isfinite(datasets.spread_labels(same).data.unlabeled_prior).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 1.0}, "`alpha` must be"),
        ({"neighbors": 0}, "`neighbors` must be"),
        ({"strength": -1}, "`strength` must be"),
        ({"most": 0}, "`most` must be"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        datasets.spread_labels(clusters(), **options)


@pytest.mark.parametrize(
    "x",
    [
        {"a": np.zeros((8, 3), "float32"), "b": np.zeros((8, 2), "float32")},
        np.zeros((8, 5), "int32"),
    ],
    ids=["several arrays", "tokens"],
)
def test_distances_must_mean_something(x):
    views = clusters().views
    rows = {k: v[:4] for k, v in x.items()} if isinstance(x, dict) else x[:4]
    data = datasets.from_arrays(rows, [0, 1, 0, 1], x, views=views)
    with pytest.raises(ArgumentError, match="one array of numbers"):
        datasets.spread_labels(data)


def test_what_is_no_data_is_said():
    with pytest.raises(ArgumentError, match="SemiSupervisedData.*=ndarray"):
        datasets.spread_labels(np.zeros((3, 4)))
