"""From recipes to models: what follows from a change, and what is built."""

import keras
import numpy as np
import pytest

from mpl_keras import feedback, losses, recipes

CIFAR = recipes.get("cifar10_4000")
DIGITS = recipes.get("digits")


def test_nothing_changes_without_changes():
    for name in recipes.names():
        recipe = recipes.get(name)
        assert recipes.adapt(recipe, steps=None, views=None) == recipe


def test_schedules_follow_the_steps():
    recipe = recipes.adapt(CIFAR, steps=3000, student_wait=7)
    assert recipe.warmup_steps == 50 and recipe.consistency_ramp_steps == 50
    assert recipe.student_wait == 7 and recipe.student_warmup_steps is None
    assert recipes.adapt(DIGITS, steps=750).student_warmup_steps == 200
    assert recipe.teacher_learning_rate == CIFAR.teacher_learning_rate


def test_rates_follow_the_batch():
    recipe = recipes.adapt(CIFAR, labeled_batch_size=32)
    assert recipe.unlabeled_batch_size == 224
    assert recipe.student_learning_rate == 0.0125
    recipe = recipes.adapt(
        CIFAR,
        labeled_batch_size=32,
        unlabeled_batch_size=10,
        teacher_learning_rate=1.0,
    )
    assert recipe.unlabeled_batch_size == 10
    assert recipe.teacher_learning_rate == 1.0


def test_another_feedback_comes_with_what_it_needs():
    recipe = recipes.adapt(CIFAR, feedback="hypergradient")
    assert recipe.pseudo_labels == "soft" and recipe.feedback_weight == 0.1
    assert recipe.feedback_normalization == "rms"
    recipe = recipes.adapt(DIGITS, feedback="loss_difference")
    assert recipe.pseudo_labels == "sampled"
    assert recipe.feedback_baseline == 0.99


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(learning_rate=0.1), "fields of a recipe.*learning_rate"),
        (dict(steps=0), "`steps` must be an integer >= 1"),
        (dict(unlabeled_batch_size=0), "`unlabeled_batch_size` must"),
        (dict(feedback="hyper"), "`feedback` must be one of .*'hyper'"),
        (dict(student_final_fraction=2), "`student_final_fraction` must"),
        (dict(student_warmup_steps=-1), "`student_warmup_steps` must"),
    ],
)
def test_errors_of_changes(changes, message):
    with pytest.raises(ValueError, match=message):
        recipes.adapt(CIFAR, **changes)


@pytest.mark.parametrize(
    "warmup, student",
    [
        (100, [0, 0, 0.1, 0.2, 0.2 * (0.25 + 0.75 / 2), 0.05]),
        (400, [0, 0, 0.025, 0.05, 0.05 + 0.15 * 0.75, 0.05]),
    ],
)
def test_learning_rates_over_the_steps(warmup, student):
    recipe = recipes.adapt(
        DIGITS,
        student_wait=200,
        warmup_steps=100,
        student_warmup_steps=warmup,
        student_learning_rate=0.2,
        student_final_fraction=0.25,
    )

    def rates(role):
        optimizer = recipes.make_optimizer(recipe, role)
        values = []
        for step in (0, 100, 250, 300, 900, 1500):
            optimizer.iterations.assign(step)
            values.append(float(optimizer.learning_rate))
        return values

    assert rates("student") == pytest.approx(student, abs=1e-6)
    teacher = rates("teacher")
    assert teacher[0] == 0 and teacher[-1] == pytest.approx(0, abs=1e-6)
    assert teacher[1] == pytest.approx(recipe.teacher_learning_rate)


@pytest.mark.parametrize("form", [*recipes.FEEDBACKS, "none"])
def test_every_feedback(form):
    recipe = recipes.adapt(DIGITS, feedback=form)
    model = recipes.make_model(recipe, (8, 8, 1), 10)
    if form == "none":
        assert model.feedback is None
    else:
        assert isinstance(model.feedback, recipes.FEEDBACKS[form][0])
        assert model.pseudo_labels in model.feedback.kinds


def test_what_the_recipe_says_is_built():
    recipe = recipes.adapt(CIFAR, backbone="small_cnn")
    model = recipes.make_model(recipe, (32, 32, 3), 10, seed=4)
    assert isinstance(model.feedback, feedback.LossDifferenceFeedback)
    assert model.feedback.weight == 1.0
    assert model.pseudo_label_view == "strong" and model.seed == 4
    assert model.label_smoothing == 0.15 and model.ema_momentum == 0.995
    assert model.consistency.mask_on == "sharpened"
    assert float(model.consistency_weight(2500)) == 4.0
    rates = model.teacher_optimizer.learning_rate, model.optimizer.learning_rate
    for optimizer, wait in (
        (model.teacher_optimizer, 0),
        (model.optimizer, 3000),
    ):
        rate = optimizer._learning_rate
        np.testing.assert_allclose(rate(wait), 0, atol=1e-8)
        np.testing.assert_allclose(rate(wait + 2500), 0.025, rtol=1e-5)
        np.testing.assert_allclose(rate(wait + 5000), 0.05, rtol=1e-5)
        np.testing.assert_allclose(rate(300_000), 0, atol=1e-8)
        assert optimizer.nesterov and optimizer.momentum == 0.9
    assert float(rates[0]) == 0


def test_methods_begin_with_the_same_weights():
    models = {
        method: recipes.make_model(DIGITS, (8, 8, 1), 10, method=method, seed=2)
        for method in recipes.METHODS
    }
    assert models["supervised"].consistency is None
    assert models["no_feedback"].feedback is None
    priors = {
        method: model.consistency.distribution_alignment
        for method, model in models.items()
        if model.consistency is not None
    }
    assert priors["uda_aligned"] == "labeled"
    assert {priors[name] for name in ("uda", "no_feedback", "mpl")} == {None}
    first = models["supervised"].labeler.get_weights()
    for model in models.values():
        for a, b in zip(first, model.labeler.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    student = models["mpl"].student.get_weights()
    assert not np.array_equal(first[0], student[0])
    with pytest.raises(ValueError, match="`method` must be one of"):
        recipes.make_model(DIGITS, (8, 8, 1), 10, method="remixmatch")


@pytest.mark.parametrize(
    ("method", "kind", "prior"),
    [
        ("fixmatch", float, None),
        ("flexmatch", losses.FlexMatchThreshold, None),
        ("freematch", losses.FreeMatchThreshold, None),
        ("softmatch", losses.SoftMatchWeight, "uniform"),
    ],
)
def test_methods_have_their_masking(method, kind, prior):
    recipe = recipes.for_method(recipes.adapt(CIFAR, threshold=0.8), method)
    loss = recipes.loss_arguments(recipe)["consistency"]
    assert isinstance(loss.threshold, kind)
    assert loss.hard_targets and loss.mask_on == "raw"
    assert loss.distribution_alignment == prior
    assert loss.align_targets == (method != "softmatch")
    # The threshold stays the recipe's, where there is one.
    asked = getattr(loss.threshold, "threshold", loss.threshold)
    assert method in ("freematch", "softmatch") or asked == 0.8


def test_label_spreading_is_not_part_of_what_papers_describe():
    recipe = recipes.get("fashion_mnist")
    assert recipe.label_spreading and not DIGITS.label_spreading
    told = {
        method
        for method in recipes.METHODS
        if recipes.for_method(recipe, method).label_spreading
    }
    assert told == {"uda_aligned", "no_feedback", "mpl"}
    assert not recipes.adapt(recipe, label_spreading=False).label_spreading


def test_a_masking_without_its_method_goes_with_any():
    assert recipes.loss_arguments(DIGITS)["consistency"].threshold == 0.6
    recipe = recipes.adapt(DIGITS, masking="freematch")
    loss = recipes.loss_arguments(recipes.for_method(recipe, "mpl"))
    assert isinstance(loss["consistency"].threshold, losses.FreeMatchThreshold)
    assert not loss["consistency"].hard_targets
    with pytest.raises(ValueError, match="`masking` must be one of.*softmatch"):
        recipes.adapt(DIGITS, masking="softmatsch")


@pytest.mark.parametrize(
    ("masking", "steps", "given", "momentum"),
    [
        ("flexmatch", 2000, None, 0.99),
        ("freematch", 2000, None, 0.99),
        ("softmatch", 300_000, None, 0.999),
        ("softmatch", 10, None, 0.0),
        ("freematch", 2000, 0.7, 0.7),
    ],
)
def test_running_means_span_a_part_of_the_training(
    masking, steps, given, momentum
):
    recipe = recipes.adapt(
        DIGITS, masking=masking, steps=steps, masking_momentum=given
    )
    rule = recipes.loss_arguments(recipe)["consistency"].threshold
    assert rule.momentum == pytest.approx(momentum)


@pytest.mark.slow_cases("2")
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_a_few_steps_are_a_training_too(steps):
    recipe = recipes.adapt(DIGITS, steps=steps)
    model = recipes.make_model(recipe, (8, 8, 1), 10)
    x = np.zeros((4, 8, 8, 1), "uint8")
    for _ in range(steps):
        views = {"labeled": x, "weak": x, "strong": x}
        logs = model.train_on_batch(views, np.arange(4), return_dict=True)
    assert np.isfinite(logs["teacher_loss"])
    keras.backend.clear_session()


def test_every_setting_arrives():
    """Each field has a value of its own, to be found in what is built."""
    recipe = recipes.adapt(
        CIFAR,
        backbone="wide_resnet_10_1",
        teacher_dropout=0.11,
        student_dropout=0.22,
        weight_decay=3e-3,
        clip_norm=1.7,
        temperature=0.31,
        threshold=0.83,
        mask_on="raw",
        momentum=0.77,
        nesterov=False,
        feedback_weight=1.9,
        feedback_baseline=0.55,
        feedback_normalization="std",
        pseudo_labels="argmax",
        label_smoothing=0.09,
    )
    model = recipes.make_model(recipe, (8, 8, 3), 10, seed=1)
    rates = [
        [x.rate for x in net.layers if isinstance(x, keras.layers.Dropout)]
        for net in (model.teacher, model.student)
    ]
    assert rates == [[0.11], [0.22]]
    for net in (model.teacher, model.student):
        kernel = next(
            x for x in net.layers if isinstance(x, keras.layers.Conv2D)
        )
        np.testing.assert_allclose(
            kernel.kernel_regularizer.l2, 1.5e-3, rtol=1e-5
        )
    for optimizer in (model.teacher_optimizer, model.optimizer):
        assert optimizer.global_clipnorm == 1.7
        assert optimizer.momentum == 0.77 and not optimizer.nesterov
    assert model.consistency.temperature == 0.31
    assert model.consistency.threshold == 0.83
    assert model.consistency.mask_on == "raw"
    form = model.feedback
    assert (form.weight, form.baseline_momentum) == (1.9, 0.55)
    assert form.normalization == "std" and model.pseudo_labels == "argmax"
    assert model.label_smoothing == 0.09
    uda = recipes.make_model(recipe, (8, 8, 3), 10, method="uda", seed=1)
    (dropout,) = [
        x for x in uda.model.layers if isinstance(x, keras.layers.Dropout)
    ]
    assert dropout.rate == 0.11


def test_all_that_follows_the_steps_and_the_batch():
    recipe = recipes.adapt(CIFAR, steps=30_000, labeled_batch_size=64)
    assert (recipe.warmup_steps, recipe.student_wait) == (500, 300)
    assert recipe.teacher_learning_rate == 0.025
    assert recipe.student_learning_rate == 0.025


def test_another_seed_gives_other_networks():
    one, other = (
        recipes.make_model(DIGITS, (8, 8, 1), 10, seed=seed) for seed in (1, 2)
    )
    assert not np.array_equal(
        one.teacher.get_weights()[0], other.teacher.get_weights()[0]
    )


def test_a_recipes_alignment_is_taken_away_by_a_word():
    """None is no change, as for each setting."""
    fashion = recipes.get("fashion_mnist")
    for value, found in ((None, "labeled"), ("none", None)):
        adapted = recipes.adapt(fashion, distribution_alignment=value)
        assert adapted.distribution_alignment == found
    loss = recipes.loss_arguments(adapted)["consistency"]
    assert loss.distribution_alignment is None
