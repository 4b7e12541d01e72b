"""The consistency's options in models: what they compute, keep and save."""

import keras
import numpy as np
import pytest
import seeds
import tensorflow as tf

from mpl_keras import UDA, MetaPseudoLabels, feedback
from mpl_keras.losses import (
    ConsistencyLoss,
    FlexMatchThreshold,
    FreeMatchThreshold,
    SoftMatchWeight,
)
from mpl_keras.models.alignment import DistributionAlignment
from mpl_keras.models.masking import AdaptiveMasking
from mpl_keras.models.objective import UDAObjective

CLOSE = {"rtol": 1e-6, "atol": 1e-6}
EPSILON = 1e-6  # is added to each marginal, as in USB, against division by 0
OPTIONS = {
    "fixmatch": {"threshold": 0.5, "hard_targets": True},
    "flexmatch": {
        "threshold": FlexMatchThreshold(0.5, momentum=0.5),
        "hard_targets": True,
    },
    "freematch": {
        "threshold": FreeMatchThreshold(momentum=0.8, fairness_weight=0.2),
        "hard_targets": True,
        "distribution_alignment": "learned",
    },
    "softmatch": {
        "threshold": SoftMatchWeight(momentum=0.3),
        "distribution_alignment": "uniform",
        "align_targets": False,
    },
}


def make_state(name, shape, initializer):
    return keras.Variable(initializer(shape), name=name)


def softmax(logits):
    rows = np.exp(logits - logits.max(-1, keepdims=True))
    return rows / rows.sum(-1, keepdims=True)


def make_logits(step, classes=4):
    rng = np.random.default_rng(step)
    tilt = np.linspace(1.0, 0.0, classes)
    return {
        name: 2 * rng.normal(size=(size, classes)) + tilt
        for name, size in (("labeled", 8), ("weak", 24), ("strong", 24))
    }


def make_net():
    return keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(8), keras.layers.Dense(3)]
    )


def make_batch(seed):
    rng = np.random.default_rng(seed)
    views = {
        name: 2 * rng.normal(size=(size, 4)).astype("float32")
        for name, size in (("labeled", 6), ("weak", 16), ("strong", 16))
    }
    return views, rng.integers(0, 3, 6)


def make_uda(name, **options):
    seeds.set_random_seed(1)
    model = UDA(make_net(), consistency=ConsistencyLoss(0.7, **OPTIONS[name]))
    model.compile(keras.optimizers.SGD(0.2), run_eagerly=True, **options)
    return model


def train(model, first, last):
    for seed in range(first, last):
        logs = model.train_on_batch(*make_batch(seed), return_dict=True)
    return logs


# Alignment.


def aligned(prior, steps, momentum):
    """A reading of what each prior does, in numpy."""
    classes = 4
    predicted = labeled = learned = np.full(classes, 1 / classes)
    for logits, labels in steps:
        rows = softmax(logits["weak"])
        seen = np.bincount(labels, minlength=classes) / len(labels)
        if prior == "labeled_predictions":
            seen = softmax(logits["labeled"]).mean(0)
        predicted = momentum * predicted + (1 - momentum) * rows.mean(0)
        labeled = momentum * labeled + (1 - momentum) * seen
        ratio = {
            "uniform": (1 / classes + EPSILON) / (predicted + EPSILON),
            "labeled": (labeled + EPSILON) / (predicted + EPSILON),
            "labeled_predictions": (labeled + EPSILON) / (predicted + EPSILON),
            "learned": (learned + EPSILON) / (labeled + EPSILON),
        }[prior]
        targets = rows * ratio
        targets /= targets.sum(-1, keepdims=True)
        learned = momentum * learned + (1 - momentum) * targets.mean(0)
        yield targets


@pytest.mark.parametrize(
    "prior", ["uniform", "labeled", "labeled_predictions", "learned"]
)
def test_alignment_is_the_papers(prior):
    labels = np.arange(8) % 3 % 4  # the last class has none
    steps = [(make_logits(step), labels) for step in range(6)]
    alignment = DistributionAlignment(prior, 0.7, 4, make_state)
    expected = aligned(prior, steps, 0.7)
    for (logits, labels), targets in zip(steps, expected, strict=True):
        answer = alignment(
            tf.constant(logits["weak"]), labels, tf.constant(logits["labeled"])
        )
        np.testing.assert_allclose(softmax(answer.numpy()), targets, **CLOSE)


def test_a_learned_prior_finds_how_frequent_classes_are():
    # Two classes at -1 and 1 with noise of 1: the log odds are 2 x where both
    # are as frequent. Of the unlabeled examples, three quarters are the first.
    rng = np.random.default_rng(0)
    alignment = DistributionAlignment("learned", 0.9, 2, make_state)
    for _ in range(150):
        x = rng.normal(size=200) + np.where(rng.random(200) < 0.75, -1, 1)
        logits = np.stack([-x, x], axis=1).astype("float32")
        alignment(tf.constant(logits), np.array([0, 1]))
    assert alignment.learned.numpy()[0] == pytest.approx(0.75, abs=0.05)
    # The mean of the predictions is between that and a half.
    assert 0.55 < alignment.predicted.numpy()[0] < 0.69


# The whole loss.


def weights_of(name, rows, state):
    """How much examples count, from the running means that a model keeps."""
    confidence, classes = rows.max(-1), rows.argmax(-1)
    if name == "fixmatch":
        return confidence >= 0.5
    if name == "flexmatch":
        share = state["share"]
        beta = share / max(share.max(), 1 - share.sum())
        return confidence >= (0.5 * beta / (2 - beta))[classes]
    if name == "freematch":
        mean = state["marginal"]
        return confidence >= (state["confidence"] * mean / mean.max())[classes]
    below = np.minimum(confidence - state["mean"], 0)
    return np.exp(-2 * below**2 / state["variance"])


@pytest.mark.parametrize("name", OPTIONS)
def test_the_loss_of_a_batch_is_the_papers(name):
    loss = ConsistencyLoss(0.7, **OPTIONS[name])
    alignment = DistributionAlignment(
        loss.distribution_alignment, 0.7, 4, make_state
    )
    masking = None
    if loss.adaptive is not None:
        masking = AdaptiveMasking(loss, 4, make_state)
    objective = UDAObjective(loss, 3.0, None, 0.0, alignment, masking)
    labels = np.arange(8) % 4
    steps = [(make_logits(step), labels) for step in range(9)]
    prior = loss.distribution_alignment
    expected = aligned(prior or "labeled", steps, 0.7)
    counted = 0
    for (logits, labels), rows in zip(steps, expected, strict=True):
        before = masking and {k: v.numpy() for k, v in masking.state.items()}
        tensors = {k: tf.constant(v) for k, v in logits.items()}
        value, shown = objective(tensors, labels, None, 0)
        state = masking and {k: v.numpy() for k, v in masking.state.items()}
        if prior is None:
            rows = softmax(logits["weak"])
        kept = weights_of(name, rows, before if name == "flexmatch" else state)
        log = np.log(softmax(logits["strong"]))
        if name == "softmatch":  # soft targets, which are not aligned
            targets = softmax(logits["weak"] / 0.7)
        else:
            targets = np.eye(4)[rows.argmax(-1)]
        by_hand = -(kept * (targets * log).sum(-1)).mean()
        by_class = np.log(softmax(logits["labeled"]))[np.arange(8), labels]
        total = 3 * by_hand - by_class.mean()
        total += 0.2 * shown["fairness_loss"] if name == "freematch" else 0.0
        assert ("fairness_loss" in shown) == (name == "freematch")
        np.testing.assert_allclose(shown["consistency_loss"], by_hand, **CLOSE)
        np.testing.assert_allclose(shown["mask_rate"], kept.mean(), **CLOSE)
        np.testing.assert_allclose(value, total, **CLOSE)
        counted += kept.mean() / 9
    assert 0.1 < counted < 0.98


# Models.


def test_numbers_keep_no_state():
    model = UDA(make_net())
    assert model.masking is None
    names = [v.name for v in model.weights]
    assert not [name for name in names if name.startswith("mask_")]


@pytest.mark.parametrize("name", OPTIONS)
def test_a_saved_model_goes_on_bit_for_bit(name, tmp_path):
    straight, model = make_uda(name), make_uda(name)
    logs = train(straight, 0, 5)
    assert np.isfinite(list(logs.values())).all()
    assert ("fairness_loss" in logs) == (name == "freematch")
    train(model, 0, 3)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    if model.masking is not None:
        for key, variable in model.masking.state.items():
            np.testing.assert_array_equal(
                loaded.masking.state[key].numpy(), variable.numpy()
            )
            even = model.masking.rule.initial(3)[key][1]
            assert np.abs(variable.numpy() - even).max() > 1e-3
    train(loaded, 3, 5)
    for one, other in zip(straight.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_a_bad_step_leaves_the_running_means_as_they_were():
    model = make_uda("freematch")
    train(model, 0, 2)
    before = [v.numpy() for v in model.masking.state.values()]
    views, y = make_batch(2)
    views["weak"][0] = np.inf
    model.train_step((tf.nest.map_structure(tf.constant, views), y))
    assert int(model.bad_steps.numpy()) == 1
    for variable, value in zip(
        model.masking.state.values(), before, strict=True
    ):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_a_teacher_has_them_too():
    seeds.set_random_seed(1)
    model = MetaPseudoLabels(
        make_net(),
        make_net(),
        consistency=ConsistencyLoss(**OPTIONS["freematch"]),
        feedback=feedback.HypergradientFeedback(0.3),
    )
    model.compile("sgd", "sgd", run_eagerly=True)
    before = model.masking.state["confidence"].numpy()
    logs = train(model, 0, 2)
    assert np.isfinite(list(logs.values())).all() and "fairness_loss" in logs
    assert model.masking.state["confidence"].numpy() != before
    config = model.get_config()["consistency"]
    again = keras.saving.deserialize_keras_object(config)
    assert again.threshold.fairness_weight == 0.2
