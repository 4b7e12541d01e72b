"""Each form of feedback, on reactions made by hand."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_keras import feedback, losses, schedules

ALL = (
    feedback.LossDifferenceFeedback,
    feedback.CosineFeedback,
    feedback.HypergradientFeedback,
    feedback.PerExampleFeedback,
)
LABELS = (feedback.HypergradientFeedback, feedback.PerExampleFeedback)


def reaction(
    before=1.0,
    after=0.5,
    active=True,
    learning_rate=0.1,
    gradients=((3.0, 0.0), (4.0,)),
    labeled_gradients=((3.0, 4.0), (0.0,)),
    slope=None,
    pseudo_labels=None,
    probabilities=None,
):
    """What a student did, two examples and three classes by default."""
    if slope is None:
        slope = [[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]]
    if probabilities is None:
        probabilities = [[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]]
    if pseudo_labels is None:
        pseudo_labels = [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    return feedback.Reaction(
        pseudo_labels=tf.constant(pseudo_labels),
        probabilities=tf.constant(probabilities),
        learning_rate=tf.constant(learning_rate),
        active=tf.constant(active),
        loss_before=tf.convert_to_tensor(before),
        loss_after=tf.convert_to_tensor(after),
        gradients=[tf.constant(g) for g in gradients],
        labeled_gradients=[tf.constant(g) for g in labeled_gradients],
        label_gradient=tf.constant(slope),
    )


def run(form, step=0, **kwargs):
    coefficients, h = form(reaction(**kwargs), step)
    return np.asarray(coefficients), float(h)


def state_of(form):
    return [float(v) for v in (form.baseline, form.variance, form.count)]


# Loss difference.


def test_loss_difference_is_old_minus_new():
    form = feedback.LossDifferenceFeedback(baseline_momentum=None)
    assert run(form, before=1.0, after=0.25) == (0.75, 0.75)
    assert run(form, before=0.25, after=1.0) == (-0.75, -0.75)


def test_the_baseline_moves_and_is_used():
    # A re-implementation of the method kept a baseline that never moved.
    form = feedback.LossDifferenceFeedback(baseline_momentum=0.5)
    differences = [0.5, 0.25, 0.25, 0.0]
    # The first value counts fully, then each has half the weight.
    baselines = [0.0, 0.5, 0.375, 0.3125, 0.15625]
    for i, difference in enumerate(differences):
        assert float(form.baseline) == baselines[i]
        coefficient, h = run(form, before=1.0, after=1.0 - difference)
        assert h == difference
        assert coefficient == difference - baselines[i]
    assert float(form.baseline) == baselines[-1]


def test_the_first_differences_are_a_plain_mean():
    form = feedback.LossDifferenceFeedback(baseline_momentum=0.99)
    differences = np.random.default_rng(0).normal(size=20)
    for difference in differences:
        run(form, before=float(difference), after=0.0)
    np.testing.assert_allclose(
        float(form.baseline), differences.mean(), rtol=1e-5
    )
    # At count n the momentum is n / (n + 1), at most 0.99.
    form.count.assign(1000.0)
    run(form, before=2.0, after=0.0)
    np.testing.assert_allclose(
        float(form.baseline), 0.99 * differences.mean() + 0.02, rtol=1e-4
    )


def test_without_baseline_nothing_is_subtracted():
    form = feedback.LossDifferenceFeedback(baseline_momentum=None)
    for _ in range(3):
        assert run(form, before=1.0, after=0.5)[0] == 0.5


@pytest.mark.parametrize("momentum", [None, 0.9])
def test_standard_deviation_by_hand(momentum):
    form = feedback.LossDifferenceFeedback(
        baseline_momentum=momentum, normalization="std", clip=100.0
    )
    baseline = variance = 0.0
    for count, difference in enumerate([0.5, -0.25, 1.0, 0.125]):
        rate = min(0.99 if momentum is None else momentum, count / (count + 1))
        centred = difference - (baseline if momentum is not None else 0.0)
        variance = rate * variance + (1 - rate) * centred**2
        baseline = rate * baseline + (1 - rate) * difference
        coefficient, h = run(form, before=difference, after=0.0)
        np.testing.assert_allclose(
            coefficient, centred / np.sqrt(variance), rtol=1e-5
        )
        assert h == difference
    np.testing.assert_allclose(
        state_of(form), [baseline, variance, 4], rtol=1e-5
    )


def test_clip_bounds_the_normalized_feedback():
    form = feedback.LossDifferenceFeedback(
        baseline_momentum=None, normalization="std", clip=2.0, weight=0.5
    )
    for sign in (1.0, -1.0):
        form.variance.assign(0.01)
        form.count.assign(1e6)
        coefficient, _ = run(form, before=sign, after=0.0)
        # 1 / 0.14 is far above the clip; the weight comes after it.
        np.testing.assert_allclose(coefficient, sign * 2.0 * 0.5)


def test_a_constant_difference_does_not_explode():
    form = feedback.LossDifferenceFeedback(normalization="std")
    for _ in range(5):
        coefficient, _ = run(form, before=0.0, after=0.0)
        assert coefficient == 0.0


def test_normalized_feedback_does_not_depend_on_the_size():
    results = []
    for size in (1.0, 1e-3):
        form = feedback.LossDifferenceFeedback(normalization="std")
        results.append(
            [
                run(form, before=size * d, after=0.0)[0]
                for d in (0.5, -0.25, 1.0)
            ]
        )
    np.testing.assert_allclose(*results, rtol=1e-3)
    assert np.abs(results[0]).max() > 0.5


# Cosine.


def test_cosine_by_hand():
    # <g, v> = 9, |g| = |v| = 5.
    assert run(feedback.CosineFeedback()) == pytest.approx((0.36, 0.36))
    opposite = run(
        feedback.CosineFeedback(), labeled_gradients=((-6.0, 0.0), (-8.0,))
    )
    assert opposite == pytest.approx((-1.0, -1.0))


def test_cosine_of_a_zero_gradient_is_zero():
    assert run(feedback.CosineFeedback(), gradients=((0.0, 0.0), (0.0,))) == (
        0.0,
        0.0,
    )


# Hypergradient and per example.


def test_hypergradient_by_hand():
    form = feedback.HypergradientFeedback(normalization=None)
    coefficients, h = run(form)
    # -lr * slope, minus the mean under the teacher's probabilities.
    j = -0.1 * np.array([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]])
    means = [[-0.0125], [0.0]]
    np.testing.assert_allclose(coefficients, j - means, atol=1e-7)
    # h: the rate times the product of the two gradients.
    np.testing.assert_allclose(h, 0.1 * 3.0 * 3.0, rtol=1e-6)


def test_rms_normalization_by_hand():
    probabilities = np.array([[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]])
    j = -np.array([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]])
    j -= (probabilities * j).sum(axis=1, keepdims=True)
    rms = np.sqrt((probabilities * j**2).sum(axis=1).mean())
    for learning_rate in (0.1, 1e-4):
        coefficients, _ = run(
            feedback.HypergradientFeedback(), learning_rate=learning_rate
        )
        np.testing.assert_allclose(coefficients, j / rms, atol=1e-5)
    np.testing.assert_allclose(
        (probabilities * coefficients**2).sum(axis=1).mean(), 1.0, rtol=1e-5
    )


@pytest.mark.parametrize("normalization", ["rms", None])
def test_coefficients_are_centred_for_each_example(normalization):
    random = np.random.default_rng(0)
    slope = random.normal(size=(6, 4)).astype("float32")
    probabilities = random.dirichlet(np.ones(4), 6).astype("float32")
    coefficients, _ = run(
        feedback.HypergradientFeedback(normalization=normalization),
        slope=slope + 5,
        probabilities=probabilities,
        pseudo_labels=probabilities,
    )
    np.testing.assert_allclose(
        (probabilities * coefficients).sum(axis=1), np.zeros(6), atol=1e-6
    )
    assert np.abs(coefficients).max() > 0.01


@pytest.mark.parametrize("normalization", ["rms", None])
def test_per_example_is_minus_the_hypergradient_at_the_label(normalization):
    matrix, h = run(
        feedback.HypergradientFeedback(0.3, normalization=normalization)
    )
    vector, same_h = run(
        feedback.PerExampleFeedback(0.3, normalization=normalization)
    )
    assert vector.shape == (2,)
    np.testing.assert_allclose(vector, [-matrix[0, 1], -matrix[1, 2]])
    assert h == same_h


def test_a_label_that_helped_becomes_more_probable():
    # <g, v> grows with the label of class 1: the step along -g lowers the
    # labeled loss the more, the more of class 1 the student was given.
    slope = np.array([[0.0, 1.0, 0.0]], "float32")
    probabilities = np.full((1, 3), 1 / 3, "float32")
    one_hot = np.array([[0.0, 1.0, 0.0]], "float32")
    for form, labels in (
        (feedback.HypergradientFeedback(), probabilities),
        (feedback.PerExampleFeedback(), one_hot),
    ):
        made = reaction(
            slope=slope, probabilities=probabilities, pseudo_labels=labels
        )
        coefficients, h = form(made, 0)
        assert float(h) > 0
        logits = tf.zeros((1, 3))
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = losses.meta_pseudo_labels(labels, logits, coefficients)
        after = tf.nn.softmax(logits - tape.gradient(loss, logits))
        assert after[0, 1] > 0.35


def test_rms_of_nothing_is_nothing():
    for form in LABELS:
        coefficients, _ = run(form(), slope=np.zeros((2, 3), "float32"))
        np.testing.assert_array_equal(coefficients, np.zeros_like(coefficients))


# What all forms share.


@pytest.mark.parametrize("form", ALL)
def test_a_standing_student_gives_no_feedback(form):
    coefficients, h = run(form(), active=False, learning_rate=0.0)
    np.testing.assert_array_equal(coefficients, np.zeros_like(coefficients))
    assert h == 0.0


@pytest.mark.parametrize("form", ALL)
def test_not_even_what_is_not_a_number(form):
    nan = float("nan")
    coefficients, h = run(
        form(),
        active=False,
        before=nan,
        gradients=((nan, nan), (nan,)),
        slope=np.full((2, 3), nan, "float32"),
    )
    np.testing.assert_array_equal(coefficients, np.zeros_like(coefficients))
    assert h == 0.0


@pytest.mark.parametrize("normalization", ["std", None])
def test_running_statistics_stand_still_while_the_student_waits(normalization):
    form = feedback.LossDifferenceFeedback(normalization=normalization)
    run(form, before=1.0, after=0.0, active=False)
    run(form, before=float("nan"), active=False)
    assert state_of(form) == [0.0, 0.0, 0.0]
    run(form, before=1.0, after=0.5)
    run(form, before=1.0, after=0.25)
    moved = state_of(form)
    assert moved[0] == 0.625 and moved[2] == 2.0
    run(form, before=9.0, after=0.0, active=False)
    assert state_of(form) == moved


@pytest.mark.parametrize("form", ALL)
def test_the_weight_is_a_factor_and_may_be_negative(form):
    plain, h = run(form())
    assert np.abs(plain).max() > 0.01
    for weight in (0.3, -0.3, 0.0):
        weighted, same_h = run(form(weight=weight))
        np.testing.assert_allclose(weighted, weight * plain, rtol=1e-6)
        assert same_h == h


@pytest.mark.parametrize("form", ALL)
def test_the_weight_may_be_a_schedule(form):
    plain, _ = run(form())
    scheduled = schedules.LinearRamp(2.0, steps=4)
    for step, factor in ((0, 0.0), (1, 0.5), (4, 2.0)):
        weighted, _ = run(form(weight=scheduled), step=step)
        np.testing.assert_allclose(weighted, factor * plain, rtol=1e-6)


@pytest.mark.parametrize("form", ALL)
def test_inside_a_compiled_function(form):
    eager, compiled = form(0.5), form(0.5)
    function = tf.function(lambda before: compiled(reaction(before), 3))
    for before in (1.0, 2.0, 0.5):
        for left, right in zip(
            eager(reaction(before), 3),
            function(tf.constant(before)),
            strict=True,
        ):
            np.testing.assert_allclose(left, right, rtol=1e-6)


@pytest.mark.parametrize("form", ALL)
def test_float64_stays_float64(form):
    made = reaction()
    for name in ("pseudo_labels", "probabilities", "label_gradient"):
        setattr(made, name, tf.cast(getattr(made, name), tf.float64))
    for name in ("loss_before", "loss_after"):
        setattr(made, name, tf.cast(getattr(made, name), tf.float64))
    for name in ("gradients", "labeled_gradients"):
        setattr(
            made, name, [tf.cast(g, "float64") for g in getattr(made, name)]
        )
    coefficients, h = form(0.5)(made, 0)
    assert (coefficients.dtype, h.dtype) == (tf.float64, tf.float64)


def test_what_each_form_needs_is_said():
    hard, soft = ("sampled", "argmax"), ("soft",)
    assert [form.kinds for form in ALL] == [hard, hard, soft, hard]
    assert [form.uses_loss_difference for form in ALL] == [1, 0, 0, 0]
    assert [form.uses_gradients for form in ALL] == [0, 1, 1, 1]
    assert [form.uses_label_gradient for form in ALL] == [0, 0, 1, 1]


def test_feedback_has_nothing_to_train():
    for form in ALL:
        assert form().trainable_variables == []


@pytest.mark.parametrize(
    "form",
    [
        feedback.LossDifferenceFeedback(),
        feedback.LossDifferenceFeedback(
            weight=2.0,
            baseline_momentum=None,
            normalization="std",
            clip=5.0,
            name="difference",
        ),
        feedback.LossDifferenceFeedback(
            schedules.LinearRamp(2.0, 10), baseline_momentum=0.9
        ),
        feedback.CosineFeedback(-0.5, name="cosine"),
        feedback.HypergradientFeedback(
            schedules.LinearRamp(0.3, 10), normalization=None, name="soft"
        ),
        feedback.PerExampleFeedback(0.2, normalization=None, name="hard"),
    ],
    ids=lambda form: form.name,
)
def test_every_feedback_is_serializable(form):
    config = form.get_config()
    arguments = set(inspect.signature(type(form).__init__).parameters)
    assert arguments - {"self", "kwargs"} <= set(config)
    again = type(form).from_config(config)
    loaded = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(form)
    )
    for other in (again, loaded):
        assert type(other) is type(form)
        assert other.get_config() == config
        assert type(other.weight) is type(form.weight)
    np.testing.assert_array_equal(run(form)[0], run(again)[0])
