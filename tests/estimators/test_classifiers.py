"""scikit-learn's protocol around both models."""

import importlib
import pickle
import random
import sys

import keras
import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.datasets import load_digits, load_wine
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import mpl_keras as mk
from mpl_keras import augment
from mpl_keras.estimators import MetaPseudoLabelsClassifier, UDAClassifier
from mpl_keras.estimators.labels import classes_of, known_rows

BOTH = [UDAClassifier, MetaPseudoLabelsClassifier]
X, TRUTH = load_wine(return_X_y=True)
NAMES = np.array(["barolo", "grignolino", "barbera"], object)
LABELED = np.arange(len(X)) % 12 == 0
Y = np.where(LABELED, TRUTH, -1)


@pytest.fixture(scope="module", params=BOTH)
def fitted(request):
    """Trained on texts, of which most are missing."""
    y = NAMES[TRUTH]
    y[~LABELED] = None
    return request.param(steps=200, random_state=0).fit(X, y)


def test_it_learns(fitted):
    assert fitted.classes_.tolist() == sorted(NAMES)
    assert fitted.n_features_in_ == 13
    assert set(fitted.predict(X)) == set(NAMES)
    assert fitted.score(X, NAMES[TRUTH]) > 0.85
    assert fitted.label_spreading_accuracy_ > 0.7
    assert fitted.label_spreading_strength_ > 0


def test_probabilities_of_a_row_do_not_depend_on_others(fitted):
    together = fitted.predict_proba(X)
    assert together.shape == (178, 3) and together.dtype == np.float64
    np.testing.assert_allclose(together.sum(axis=1), 1, rtol=1e-12)
    for rows in (slice(3, 4), slice(0, 100), slice(None, None, -1)):
        np.testing.assert_array_equal(
            fitted.predict_proba(X[rows]), together[rows]
        )
    more = np.repeat(X, 2, axis=0)  # more rows than are taken at once
    np.testing.assert_array_equal(
        fitted.predict_proba(more), np.repeat(together, 2, axis=0)
    )


def test_pickle(fitted):
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(
        again.predict_proba(X), fitted.predict_proba(X)
    )
    assert again.classes_.tolist() == fitted.classes_.tolist()


def test_score_leaves_out_rows_without_a_label(fitted):
    y = NAMES[TRUTH]
    right = fitted.predict(X) == y
    y[50:] = None
    assert fitted.score(X, y) == right[:50].mean()
    with pytest.raises(ValueError, match="`y` must have a label.*178 rows"):
        fitted.score(X, np.full(178, -1))


@pytest.mark.parametrize("kind", BOTH)
def test_arguments_travel(kind):
    model = kind(steps=7, views=augment.jitter_views(), random_state=3)
    again = sklearn.base.clone(model)
    assert again.get_params() == model.get_params()
    assert again.set_params(threshold=0.9).threshold == 0.9
    with pytest.raises(sklearn.exceptions.NotFittedError):
        model.predict(X)


def test_images_and_the_random_numbers_of_others():
    digits = load_digits()
    x = (digits.images[:200, ..., np.newaxis] * 15.9).astype("uint8")
    y = np.where(np.arange(200) < 60, digits.target[:200], -1)
    random.seed(5)
    np.random.seed(5)
    expected = random.random(), np.random.rand()
    random.seed(5)
    np.random.seed(5)
    model = UDAClassifier("small_cnn", steps=2, random_state=0).fit(x, y)
    assert (random.random(), np.random.rand()) == expected
    assert model.predict(x[:3]).shape == (3,)
    assert not hasattr(model, "mean_")
    assert model.model_.model.input_shape == (None, 8, 8, 1)
    message = "`network` must be 'small_cnn', .*'cnn'"
    with pytest.raises(ValueError, match=message):
        UDAClassifier("cnn").fit(x, y)


def own_network(shape, num_classes):
    return keras.Sequential(
        [keras.Input(shape), keras.layers.Dense(num_classes)]
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, "`steps` must be an integer >= 1"),
        ({"learning_rate": -1}, "`learning_rate` must be a number >= 0"),
        ({"threshold": 2}, "`threshold` must"),
        ({"hidden_units": 64}, r"`hidden_units` must .*\(64, 64\)"),
        ({"hidden_units": (0,)}, "`hidden_units` must"),
        ({"weak_noise": -1}, "`weak_noise` must"),
        ({"network": 3}, "`network` must be None, a name"),
        ({"distribution_alignment": "all"}, "`distribution_alignment` must"),
        ({"label_spreading": "yes"}, "`label_spreading` must be one of"),
        ({"label_spreading": None}, "`label_spreading` must be given"),
        ({"learning_rate": None}, "`learning_rate` must be given"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        UDAClassifier(**arguments).fit(X, Y)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (X, np.full(178, -1), "`y` must have .*no class in 0"),
        (X, np.where(TRUTH == 1, "a", None), "1 class, a, in 71"),
        (X, np.where(TRUTH == 1, "a", "nan"), "array of objects"),
        (X, np.where(LABELED, np.inf, -1), "y contains infinity"),
        (X, X[:, 0], "Unknown label type"),
        (X, Y[:5], "inconsistent numbers"),
        (np.where(X > 1000, np.nan, X), Y, "contains NaN"),
        (X.reshape(178, 13, 1, 1), Y, '`network` must be.*"compact_cnn"'),
    ],
)
def test_bad_rows(x, y, message):
    with pytest.raises(ValueError, match=message):
        MetaPseudoLabelsClassifier(steps=1).fit(x, y)


def test_labels_of_every_form():
    for y, classes in (
        ([0, -1, 2], [0, 2]),
        ([0.0, np.nan, 2.0], [0.0, 2.0]),
        (pd.Series([True, None, False]), [False, True]),
        (pd.Series(["b", None, "a"], dtype="category"), ["a", "b"]),
        (pd.Series(["b", None, "a"], dtype="string"), ["a", "b"]),
        (pd.Series([3, None, 1], dtype="Int64"), [1, 3]),
        (["b", -1, "a"], ["a", "b"]),
    ):
        values, known = known_rows(y)
        assert known.tolist() == [True, False, True]
        assert classes_of(values)[0].tolist() == classes
        assert classes_of(values)[1].dtype == np.int32


def test_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.delitem(sys.modules, "mpl_keras.estimators.labels")
    message = "mpl_keras.estimators needs sklearn: pip install scikit-learn"
    with pytest.raises(ImportError, match=message):
        importlib.import_module("mpl_keras.estimators.labels")


# Slow ones.

# What of scikit-learn's checks does not hold, and why.
EXCEPT = {
    "check_classifiers_classes": "its classes are -1 and 1, and -1 is the sign "
    "of a row without a label, as in sklearn.semi_supervised",
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", BOTH)
def test_scikit_learns_own_checks(kind):
    results = check_estimator(
        kind(steps=40, random_state=0),
        expected_failed_checks=EXCEPT,
        on_skip=None,
        on_fail=None,
    )
    failed = [r for r in results if r["status"] == "failed"]
    assert not failed, [(r["check_name"], r["exception"]) for r in failed]
    # One needs an environment variable of scipy's.
    skipped = {r["check_name"] for r in results if r["status"] == "skipped"}
    assert skipped <= {"check_array_api_input"}
    expected = {r["check_name"] for r in results if r["status"] == "xfail"}
    assert expected == set(EXCEPT)


@pytest.mark.slow
def test_in_a_pipeline_and_a_grid():
    pipe = make_pipeline(
        StandardScaler(),
        UDAClassifier(steps=50, standardize=False, random_state=0),
    )
    y = np.where(np.arange(len(X)) % 4 == 0, TRUTH, -1)
    grid = {"udaclassifier__strong_noise": [0.5, 1.0]}
    search = GridSearchCV(pipe, grid, cv=2).fit(X, y)
    assert search.best_score_ > 0.8
    assert search.predict(X).shape == TRUTH.shape
    again = pickle.loads(pickle.dumps(search))
    np.testing.assert_array_equal(
        again.predict_proba(X), search.predict_proba(X)
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", BOTH)
def test_names_in_cross_validation(kind):
    y = NAMES[TRUTH]
    y[np.arange(len(X)) % 4 > 0] = None
    folds = list(StratifiedKFold(2).split(X, [str(value) for value in y]))
    scores = cross_val_score(
        kind(own_network, steps=50, random_state=0), X, y, cv=folds
    )
    assert scores.min() > 0.7


@pytest.mark.slow
def test_what_it_brings():
    """More than the labels alone, with five of each class."""
    gains = []
    for seed in range(3):
        rows = mk.datasets.split_labeled(TRUTH, 6, seed, 3)
        y = np.full(len(X), -1)
        y[rows] = TRUTH[rows]
        accuracy = [
            UDAClassifier(consistency_weight=weight, random_state=seed)
            .fit(X, y)
            .score(X, TRUTH)
            for weight in (0.0, 3.0)
        ]
        gains.append(accuracy[1] - accuracy[0])
    assert np.mean(gains) > 0
