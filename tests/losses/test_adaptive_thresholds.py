"""Each rule against a reading of its paper, in numpy and in plain loops."""

import numpy as np
import pytest
import tensorflow as tf

from mpl_keras import losses

CLOSE = {"rtol": 1e-6, "atol": 1e-6}


def batches(seed=0, steps=30, size=24, classes=4, scale=2.5):
    """Probabilities of several batches, more of the first classes."""
    rng = np.random.default_rng(seed)
    logits = scale * rng.normal(size=(steps, size, classes))
    logits += np.linspace(1.0, 0.0, classes)
    rows = np.exp(logits - logits.max(-1, keepdims=True))
    return rows / rows.sum(-1, keepdims=True)


def run(rule, steps):
    """Weights of each batch, and the running means after it, in float64."""
    state = {
        name: tf.fill(shape, tf.constant(value, tf.float64))
        for name, (shape, value) in rule.initial(steps.shape[-1]).items()
    }
    for rows in steps:
        rows = tf.constant(rows)
        moved = rule.moved(state, rule.statistics(rows, state), len(rows))
        weights = rule.weights(rows, state if rule.looks_back else moved)
        state = moved
        yield weights.numpy(), {k: v.numpy() for k, v in state.items()}


def flexmatch(steps, threshold, momentum):
    share = np.zeros(steps.shape[-1])
    for rows in steps:
        beta = share / max(share.max(), 1 - share.sum())
        yield np.array(
            [
                row.max()
                >= threshold * beta[row.argmax()] / (2 - beta[row.argmax()])
                for row in rows
            ]
        )
        new = np.zeros_like(share)
        for row in rows:
            if row.max() >= threshold:
                new[row.argmax()] += 1 / len(rows)
        share = momentum * share + (1 - momentum) * new


def freematch(steps, momentum):
    classes = steps.shape[-1]
    tau, marginal = 1 / classes, np.full(classes, 1 / classes)
    for rows in steps:
        tau = momentum * tau + (1 - momentum) * rows.max(-1).mean()
        marginal = momentum * marginal + (1 - momentum) * rows.mean(0)
        asked = tau * marginal / marginal.max()
        yield np.array([row.max() >= asked[row.argmax()] for row in rows])


def softmatch(steps, momentum, sigmas):
    mean, variance = 1 / steps.shape[-1], 1.0
    for rows in steps:
        confidence = rows.max(-1)
        mean = momentum * mean + (1 - momentum) * confidence.mean()
        variance *= momentum
        variance += (1 - momentum) * confidence.var(ddof=1)
        gauss = np.exp(-((confidence - mean) ** 2) / (2 * variance / sigmas**2))
        yield np.where(confidence < mean, gauss, 1.0)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
@pytest.mark.parametrize(
    ("rule", "reading"),
    [
        (losses.FlexMatchThreshold, {"threshold": 0.6}),
        (losses.FreeMatchThreshold, {}),
        (losses.SoftMatchWeight, {"sigmas": 2.0}),
        (losses.SoftMatchWeight, {"sigmas": 1.0}),
    ],
    ids=["flexmatch", "freematch", "softmatch", "softmatch-1"],
)
def test_weights_are_the_papers(rule, reading, momentum):
    read = {
        losses.FlexMatchThreshold: flexmatch,
        losses.FreeMatchThreshold: freematch,
        losses.SoftMatchWeight: softmatch,
    }[rule]
    # FlexMatch asks for little while few examples are confident.
    confident = rule is losses.FlexMatchThreshold
    steps = batches(size=96, scale=7.0 if confident else 2.5)
    expected = np.array(list(read(steps, momentum=momentum, **reading)))
    weights = [w for w, _ in run(rule(momentum=momentum, **reading), steps)]
    np.testing.assert_allclose(weights, expected, **CLOSE)
    # The example shows something: in the end not all count alike.
    assert (np.ptp(1.0 * expected[-10:], axis=1) > 0.1).mean() > 0.8


def test_flexmatch_over_the_whole_set_is_the_count_of_the_paper():
    # Equations 5, 6 and 11: counts of examples, by what they were last given.
    (rows,) = batches(steps=1, size=200)
    threshold, classes = 0.9, rows.shape[-1]
    last = [row.argmax() if row.max() >= threshold else -1 for row in rows]
    counts = np.array([last.count(c) for c in range(classes)])
    beta = counts / max(*counts, last.count(-1))
    rule = losses.FlexMatchThreshold(threshold, momentum=0.0)
    ((_, state),) = run(rule, rows[None])
    np.testing.assert_allclose(
        rule.thresholds(state), threshold * beta / (2 - beta), **CLOSE
    )
    # The warm-up: most examples are not confident yet.
    assert last.count(-1) > counts.max() > 0


def test_flexmatch_asks_its_threshold_of_the_best_class_alone():
    rule = losses.FlexMatchThreshold(0.8)
    state = {"share": np.array([0.5, 0.25, 0.0])}
    np.testing.assert_allclose(
        rule.thresholds(state), [0.8, 0.8 * 0.5 / 1.5, 0.0], **CLOSE
    )


def test_freematch_lets_the_running_means_begin_even():
    state = losses.FreeMatchThreshold().initial(5)
    assert {value for _, value in state.values()} == {0.2}


def test_softmatch_with_one_example_and_without_variance():
    rule = losses.SoftMatchWeight(momentum=0.0)
    ((weights, state),) = run(rule, np.array([[[0.7, 0.3]]]))
    assert weights == [1.0] and state["variance"] == 0.0
    rows = tf.constant([[0.9, 0.1], [0.6, 0.4]], tf.float64)
    state = {
        "mean": tf.constant(0.7, tf.float64),
        "variance": state["variance"],
    }
    np.testing.assert_array_equal(rule.weights(rows, state), [1.0, 0.0])


# Fairness.


def fairness(weak, strong, counted):
    """FreeMatch, equations 9 to 11, with weak views as the running means."""
    kept = [row for row, keep in zip(strong, counted, strict=True) if keep]
    if not kept:
        return 0.0
    classes = strong.shape[-1]

    def ratio(mean, rows):
        seen = np.bincount(np.argmax(rows, -1), minlength=classes) / len(rows)
        values = [m / s if s else 0.0 for m, s in zip(mean, seen, strict=True)]
        return np.array(values) / sum(values)

    running, batch = ratio(weak.mean(0), weak), ratio(np.mean(kept, 0), kept)
    return (running * np.log(batch + 1e-12)).sum()


def of_library(weak, strong, counted):
    def shares(rows, weights):
        classes = tf.one_hot(tf.argmax(rows, -1), 4, dtype=tf.float64)
        return tf.reduce_mean(weights[:, None] * classes, axis=0)

    counted = tf.cast(counted, tf.float64)
    ones = tf.ones_like(counted)
    return losses.class_fairness(
        tf.reduce_mean(counted[:, None] * strong, axis=0),
        shares(strong, counted),
        tf.reduce_mean(weak, axis=0),
        shares(weak, ones),
    )


@pytest.mark.parametrize("kept", [24, 13, 1, 0])
def test_fairness_is_the_papers(kept):
    weak, strong = batches(3, steps=2)
    counted = np.arange(24) < kept
    np.testing.assert_allclose(
        of_library(weak, strong, counted),
        fairness(weak, strong, counted),
        **CLOSE,
    )


def test_the_gradient_of_fairness_agrees_with_differences():
    weak, strong = batches(4, steps=2)
    counted = np.arange(24) < 17
    logits = tf.constant(np.log(strong))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = of_library(weak, tf.nn.softmax(logits), counted)
    gradient = tape.gradient(value, logits).numpy()
    direction = np.random.default_rng(0).normal(size=strong.shape)

    def at(t):
        rows = strong * np.exp(t * direction)
        return fairness(weak, rows / rows.sum(-1, keepdims=True), counted)

    slope = (at(1e-6) - at(-1e-6)) / 2e-6
    np.testing.assert_allclose((gradient * direction).sum(), slope, rtol=1e-5)
    assert np.abs(gradient).max() > 1e-3


def test_fairness_of_nothing_has_no_gradient():
    weak, strong = batches(5, steps=2)
    logits = tf.constant(np.log(strong))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = of_library(weak, tf.nn.softmax(logits), np.zeros(24))
    np.testing.assert_array_equal(tape.gradient(value, logits), 0 * strong)


# Hard targets.


def test_hard_targets_are_fixmatchs():
    # Equation 4: 1(max q >= tau) * H(argmax q, p), and its gradient.
    weak, strong = batches(6, steps=2)
    logits = tf.constant(np.log(strong))
    expected = [
        -np.log(s[w.argmax()]) if w.max() >= 0.8 else 0.0
        for w, s in zip(weak, strong, strict=True)
    ]
    for divergence in ("crossentropy", "kl_divergence"):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            values = losses.consistency(
                np.log(weak), logits, 0.5, 0.8, "raw", divergence, True
            )
        np.testing.assert_allclose(values, expected, **CLOSE)
        by_hand = strong - np.eye(4)[weak.argmax(-1)]
        by_hand[weak.max(-1) < 0.8] = 0.0
        np.testing.assert_allclose(
            tape.gradient(values, logits), by_hand, **CLOSE
        )
    loss = losses.ConsistencyLoss(threshold=0.8, hard_targets=True)
    np.testing.assert_allclose(
        loss(np.log(weak), np.log(strong)), np.mean(expected), rtol=1e-5
    )
    assert 0 < np.count_nonzero(expected) < 24
