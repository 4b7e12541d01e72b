"""What is known of unlabeled examples beforehand, in batches and in models."""

import dataclasses

import keras
import numpy as np
import pytest
import seeds
import tensorflow as tf

from mpl_keras import UDA, MetaPseudoLabels, datasets, feedback, pipeline
from mpl_keras.losses import ConsistencyLoss, SoftMatchWeight
from mpl_keras.models.alignment import DistributionAlignment
from mpl_keras.models.objective import UDAObjective


def make_net():
    return keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(8, "relu"),
            keras.layers.Dense(3),
        ]
    )


def make_data(prior=None):
    random = np.random.RandomState(0)
    x = random.normal(size=(90, 4)).astype("float32")
    data = datasets.from_arrays(
        x[:9], np.arange(9) % 3, x[9:], labeled_in_unlabeled=False
    )
    return dataclasses.replace(data, unlabeled_prior=prior)


def rows(seed=0, count=81):
    return (
        np.random.RandomState(seed).dirichlet(np.ones(3), count) * 0.9 + 1 / 30
    )


def make_model(kind):
    seeds.set_random_seed(1)
    consistency = ConsistencyLoss(0.7, threshold=0.4)
    sgd = keras.optimizers.SGD
    if kind == "uda":
        model = UDA(make_net(), consistency=consistency)
        model.compile(sgd(0.2))
        return model
    model = MetaPseudoLabels(
        make_net(),
        make_net(),
        consistency=consistency,
        feedback=feedback.HypergradientFeedback(0.3),
    )
    model.compile(teacher_optimizer=sgd(0.2), student_optimizer=sgd(0.2))
    return model


def trained(kind, prior):
    model = make_model(kind)
    batches = pipeline.training_dataset(make_data(prior), 6, 16, seed=1)
    model.fit(batches, steps_per_epoch=8, verbose=0)
    network = model.model if kind == "uda" else model.teacher
    return np.concatenate([w.ravel() for w in network.get_weights()])


def test_a_batch_holds_the_rows_of_its_own_examples():
    data = make_data(rows())
    number = np.arange(81, dtype="float32")
    x = np.repeat(number[:, np.newaxis], 4, axis=1)
    data = dataclasses.replace(data, unlabeled=x)
    plain = data.views.__class__(weak=lambda x, _: x, strong=lambda x, _: x)
    for shards in (1, 2):
        batches = pipeline.training_dataset(
            data, 6, 16, views=plain, shards=shards
        )
        for x, _ in batches.take(7):
            mine = x["weak"].numpy()[:, 0].astype(int)
            np.testing.assert_array_equal(
                x["prior"], rows().astype("float32")[mine]
            )


def test_targets_are_multiplied():
    random = np.random.RandomState(3)
    weak, strong = random.normal(size=(2, 16, 3)).astype("float32")
    labeled = random.normal(size=(6, 3)).astype("float32")
    logits = {"labeled": labeled, "weak": weak, "strong": strong}
    logits = {name: tf.constant(rows) for name, rows in logits.items()}
    prior = rows(4, 16)
    objective = UDAObjective(
        ConsistencyLoss(0.7, threshold=0.5),
        2.0,
        None,
        0.0,
        DistributionAlignment(None, 0.99, 3, None),
    )
    _, shown = objective(
        logits, tf.constant([0, 1, 2, 0, 1, 2]), None, 0, tf.constant(prior)
    )
    target = np.exp(weak) * prior
    target /= target.sum(axis=1, keepdims=True)
    counts = target.max(axis=1) >= 0.5
    target **= 1 / 0.7
    target /= target.sum(axis=1, keepdims=True)
    own = np.exp(strong) / np.exp(strong).sum(axis=1, keepdims=True)
    values = -(target * np.log(own)).sum(axis=1) * counts
    assert 0 < counts.mean() < 1
    np.testing.assert_allclose(
        shown["consistency_loss"], values.mean(), rtol=1e-5
    )
    np.testing.assert_allclose(shown["mask_rate"], counts.mean(), rtol=1e-6)


@pytest.mark.parametrize("kind", ["uda", "mpl"])
def test_an_equal_prior_says_nothing_and_another_one_does(kind):
    without = trained(kind, None)
    np.testing.assert_allclose(
        trained(kind, np.full((81, 3), 1 / 3)), without, atol=1e-5
    )
    assert np.abs(trained(kind, rows()) - without).max() > 1e-3


def test_softmatch_weighs_and_learns_by_it():
    found = []
    for prior in (None, rows()):
        seeds.set_random_seed(1)
        loss = ConsistencyLoss(threshold=SoftMatchWeight(), align_targets=False)
        model = UDA(make_net(), consistency=loss)
        model.compile(keras.optimizers.SGD(0.2))
        batches = pipeline.training_dataset(make_data(prior), 6, 16, seed=1)
        model.fit(batches, steps_per_epoch=8, verbose=0)
        found.append(np.concatenate([w.ravel() for w in model.get_weights()]))
    assert np.abs(found[0] - found[1]).max() > 1e-3


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        (rows(0, 80), "for each example"),
        (rows()[:, :2], "rows of 3 probabilities"),
        (np.full((81, 3), 0.5), "sum to 1"),
        (np.eye(3)[np.arange(81) % 3], "above 0"),
        (np.arange(81) % 3, "above 0"),
        (np.where(np.eye(81, 3), np.nan, rows()), "sum to 1"),
    ],
    ids=["fewer", "classes", "sums", "zeros", "integers", "nan"],
)
def test_what_is_no_prior_is_refused_before_any_batch(prior, message):
    with pytest.raises(ValueError, match=message):
        pipeline.training_dataset(make_data(prior), 6, 16)


@pytest.mark.parametrize(
    "prior",
    [
        np.ones((15, 3), "float32"),
        np.ones(16, "float32"),
        np.ones((16, 3), int),
    ],
)
def test_what_is_no_prior_of_a_batch_is_refused(prior):
    model = make_model("uda")
    x, y = next(iter(pipeline.training_dataset(make_data(), 6, 16)))
    x["prior"] = prior
    with pytest.raises(ValueError, match="'prior' of a batch"):
        model.train_on_batch(x, y)


def test_a_backup_knows_whether_there_was_a_prior():
    first, same, other = (
        dict(pipeline.training_dataset(make_data(p), 6, 16).stream.fingerprint)
        for p in (rows(), rows(), None)
    )
    assert first == same != other
