"""What each pass of the training step does, and leaves undone."""

import functools

import keras
import numpy as np
import pytest
import seeds
import tensorflow as tf

from mpl_keras import UDA, MetaPseudoLabels, schedules
from mpl_keras.checks import ArgumentError
from mpl_keras.feedback import (
    CosineFeedback,
    HypergradientFeedback,
    LossDifferenceFeedback,
    PerExampleFeedback,
)
from mpl_keras.losses import ConsistencyLoss

FEEDBACKS = [
    LossDifferenceFeedback,
    CosineFeedback,
    HypergradientFeedback,
    PerExampleFeedback,
]


def make_net(dropout=0.4):
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(8),
            layers.BatchNormalization(momentum=0.9),
            layers.ReLU(),
            layers.Dropout(dropout, seed=5),
            layers.Dense(3),
        ]
    )


def make_batch(seed=0, labeled=6, unlabeled=8):
    rng = np.random.default_rng(seed)

    def images(size):
        return rng.normal(size=(size, 4)).astype("float32")

    views = {
        "labeled": images(labeled),
        "weak": images(unlabeled),
        "strong": images(unlabeled),
    }
    return views, rng.integers(0, 3, labeled)


def make_model(feedback, student_rate=0.1, **options):
    seeds.set_random_seed(1)
    options.setdefault("consistency", ConsistencyLoss(0.7, 0.3))
    model = MetaPseudoLabels(
        make_net(), make_net(), feedback=feedback, **options
    )
    model.compile(
        teacher_optimizer=keras.optimizers.SGD(0.1, momentum=0.9),
        student_optimizer=keras.optimizers.SGD(student_rate, momentum=0.9),
        metrics=["accuracy"],
    )
    return model


def values(variables):
    return [v.numpy() for v in variables]


def assert_equal(left, right, atol=0.0):
    for one, other in zip(left, right, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=atol)


def test_loss_difference_is_zero_at_learning_rate_zero():
    # Trap 3: with the losses before and after computed in different ways,
    # BatchNorm and dropout alone make them differ.
    difference = []

    class Spy(LossDifferenceFeedback):
        def coefficients(self, reaction):
            difference.append(reaction.loss_before - reaction.loss_after)
            return super().coefficients(reaction)

    model = make_model(Spy(baseline_momentum=None), student_rate=0.0)
    model.run_eagerly = True
    for seed in range(3):
        model.train_on_batch(*make_batch(seed))
    assert [float(d) for d in difference] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("measured", ["before", "after"])
def test_h_says_something_where_the_gradient_is_clipped(measured):
    # The clipped update has a fixed length: its derivative along it is 0.
    found = []
    for limit in (None, 1e-3):
        form = HypergradientFeedback(measured=measured)
        model = make_model(form, student_rate=1e-3)
        model.optimizer.global_clipnorm = limit
        model.run_eagerly = True
        logs = model.train_on_batch(*make_batch(), return_dict=True)
        found.append(float(logs["h"]))
    assert found[0] != 0.0
    assert found[1] == pytest.approx(found[0], rel=0.05)


def test_loss_difference_is_not_zero_otherwise():
    model = make_model(LossDifferenceFeedback())
    logs = model.train_on_batch(*make_batch(), return_dict=True)
    assert logs["h"] != 0.0


@pytest.mark.slow_cases(
    "LossDifferenceFeedback-delayed",
    "CosineFeedback-delayed",
    "PerExampleFeedback-delayed",
)
@pytest.mark.parametrize(
    ("form", "rate"),
    [(FEEDBACKS[0], 0.0), *((form, "delayed") for form in FEEDBACKS)],
)
def test_no_feedback_while_the_student_waits(form, rate):
    # Trap 4: normalized forms lose the learning rate.
    def train(feedback, kind):
        student_rate = schedules.Delayed(0.1, 3) if rate == "delayed" else rate
        model = make_model(feedback, student_rate, pseudo_labels=kind)
        for seed in range(3):
            logs = model.train_on_batch(*make_batch(seed), return_dict=True)
        return model, logs

    feedback = form(weight=1.0)
    state = values(feedback.weights)
    model, logs = train(feedback, form.kinds[0])
    plain, _ = train(None, form.kinds[0])

    assert_equal(
        values(model.teacher.weights), values(plain.teacher.weights), 1e-6
    )
    assert_equal(values(feedback.weights), state)
    assert logs["feedback_share"] == 0.0
    # And from the next step on there is some.
    if rate == "delayed":
        logs = model.train_on_batch(*make_batch(4), return_dict=True)
        assert logs["feedback_share"] > 0.0


@pytest.mark.parametrize("form", FEEDBACKS)
def test_the_labeled_passes_leave_nothing_behind(form):
    # The labeled passes see BatchNorm and dropout in training mode, and leave
    # nothing behind: seeds are those of a pass on the strong view and one on
    # the weak, and statistics of the latter alone.
    model = make_model(form())
    reference = keras.models.clone_model(model.student)
    reference.set_weights(model.student.get_weights())
    batch = make_batch()
    seeds = [v for v in reference.variables if "seed" in v.name]
    before = values(seeds)

    model.train_on_batch(*batch)
    moving = [v for v in reference.variables if "moving" in v.name]
    unmoved = values(moving)
    reference(batch[0]["strong"], training=True)
    for variable, value in zip(moving, unmoved, strict=True):
        variable.assign(value)
    reference(batch[0]["weak"], training=True)

    ours = [v for v in model.student.variables if "seed" in v.name]
    assert_equal(values(ours), values(seeds))
    assert not np.array_equal(before[0], values(seeds)[0])
    assert_equal(
        values(model.student.non_trainable_weights),
        values(reference.non_trainable_weights),
        1e-6,
    )


def test_teacher_statistics_are_those_of_all_views_in_one_pass():
    model = make_model(HypergradientFeedback())
    reference = keras.models.clone_model(model.teacher)
    reference.set_weights(model.teacher.get_weights())
    views, y = make_batch()

    model.train_on_batch(views, y)
    reference(
        np.concatenate([views["labeled"], views["weak"], views["strong"]]),
        training=True,
    )

    assert_equal(
        values(model.teacher.non_trainable_weights),
        values(reference.non_trainable_weights),
        1e-6,
    )


def test_student_learns_from_pseudo_labels_alone():
    # Other true labels, the same teacher in the first step: the same student.
    views, y = make_batch()
    students = []
    for labels in (y, (y + 1) % 3):
        model = make_model(None, pseudo_labels="sampled")
        model.train_on_batch(views, labels)
        students.append(values(model.student.weights))
    assert_equal(*students)


def test_labels_that_train_the_student_are_those_credited():
    # Trap 2: a port trains on the weak view's labels and credits the strong
    # view's.
    used = []

    class Spy(PerExampleFeedback):
        def coefficients(self, reaction):
            used.append(reaction.pseudo_labels.numpy())
            return super().coefficients(reaction)

    made = []

    class Model(MetaPseudoLabels):
        def make_pseudo_labels(self, logits):
            made.append((logits.numpy(), super().make_pseudo_labels(logits)))
            return made[-1][1]

    for view in ("weak", "strong"):
        made.clear()
        used.clear()
        seeds.set_random_seed(0)
        teacher = make_net(0.0)
        model = Model(
            teacher, make_net(), feedback=Spy(), pseudo_label_view=view
        )
        model.compile("sgd", "sgd", run_eagerly=True)
        views, y = make_batch()
        expected = keras.models.clone_model(teacher)
        expected.set_weights(teacher.get_weights())
        # What it learns through goes together.
        together = ["labeled", "weak", "strong"]
        if view == "strong":
            together.remove("weak")
        logits = expected(
            np.concatenate([views[name] for name in together]), training=True
        )
        model.train_on_batch(views, y)
        part = slice(6, 14) if view == "weak" else slice(-8, None)
        np.testing.assert_allclose(made[0][0], logits[part], atol=1e-5)
        np.testing.assert_array_equal(made[0][1], used[0])


@pytest.mark.parametrize("kind", ["soft", "sampled", "argmax"])
def test_kinds_of_pseudo_labels(kind):
    model = make_model(None, pseudo_labels=kind)
    logits = tf.constant(np.tile([[2.0, 1.0, 0.0]], (2000, 1)), tf.float32)
    labels = model.make_pseudo_labels(logits).numpy()
    probabilities = tf.nn.softmax(logits[0]).numpy()
    if kind == "argmax":
        probabilities = [1, 0, 0]
    np.testing.assert_allclose(labels.mean(0), probabilities, atol=0.04)
    assert set(labels.ravel()) == {0, 1} or kind == "soft"


def test_sampled_labels_differ_between_steps_and_not_between_runs():
    def draws():
        model = make_model(None, pseudo_labels="sampled")
        logits = tf.zeros((50, 3))
        first = model.make_pseudo_labels(logits).numpy()
        model.step.assign(1)
        return first, model.make_pseudo_labels(logits).numpy()

    (first, second), again = draws(), draws()
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, again[0])
    np.testing.assert_array_equal(second, again[1])


def test_meta_batch_of_its_own():
    # The feedback is measured on "meta". With a teacher that sees each image
    # by itself, the student fares as if these were the labeled images.
    views, y = make_batch()
    meta = make_batch(9)[0]["labeled"][:4]
    meta_y = np.array([0, 1, 2, 0])

    def step(views, y):
        seeds.set_random_seed(1)
        plain = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        model = MetaPseudoLabels(
            plain,
            make_net(),
            feedback=LossDifferenceFeedback(),
            pseudo_labels="argmax",
        )
        model.compile("sgd", "sgd", metrics=["accuracy"])
        return model.train_on_batch(views, y, return_dict=True)

    own = step({**views, "meta": meta}, {"labeled": y, "meta": meta_y})
    swapped = step({**views, "labeled": meta}, meta_y)
    plain = step(views, y)
    for key in ("loss", "h", "accuracy"):
        assert own[key] == pytest.approx(swapped[key], rel=1e-4)
    assert own["loss"] != pytest.approx(plain["loss"], abs=1e-4)
    assert own["supervised_loss"] == pytest.approx(plain["supervised_loss"])
    # Another view of the labeled images, with their labels.
    other = step({**views, "meta": views["labeled"] ** 3}, y)
    assert other["loss"] != pytest.approx(plain["loss"], abs=1e-4)


@pytest.mark.slow
def test_sample_weights_reach_every_labeled_loss():
    views, y = make_batch()
    weight = np.array([2.0, 1.0, 1.0, 0.0, 0.0, 1.0], "float32")

    def logs(weight):
        model = make_model(None, pseudo_labels="argmax", consistency=None)
        found = model.train_on_batch(
            views, y, sample_weight=weight, return_dict=True
        )
        assert all(np.isfinite(w).all() for w in model.get_weights())
        return found

    weighted, plain = logs(weight), logs(None)
    assert weighted["supervised_loss"] != pytest.approx(
        plain["supervised_loss"], abs=1e-3
    )
    assert weighted["loss"] != pytest.approx(plain["loss"], abs=1e-3)
    zero = logs(np.zeros(6, "float32"))  # there is nothing to learn
    for name in ("teacher_loss", "supervised_loss", "loss"):
        assert np.isnan(zero[name])


@pytest.mark.slow_cases("mpl")
@pytest.mark.parametrize("make", ["mpl", "uda"])
def test_class_weight_is_honoured(make):
    views, y = make_batch()
    sample_weight = np.where(y == 0, 3.0, 1.0).astype("float32")

    def supervised(**kwargs):
        if make == "mpl":
            model = make_model(None)
        else:
            seeds.set_random_seed(1)
            model = UDA(make_net())
            model.compile("sgd")
        logs = model.train_on_batch(views, y, return_dict=True, **kwargs)
        return logs["supervised_loss"]

    by_class = supervised(class_weight={0: 3.0, 1: 1.0, 2: 1.0})
    assert by_class == pytest.approx(supervised(sample_weight=sample_weight))
    assert by_class != pytest.approx(supervised(), abs=1e-3)


@pytest.mark.parametrize("way", ["dataset", "arrays", "train_on_batch"])
@pytest.mark.parametrize(
    ("weights", "named", "said"),
    [
        ({0: 1.0, 1: 2.0, 2: 1.0}, True, "None for labels by name.*'meta'"),
        ({0: 1.0, 3: 2.0}, False, "a dict.* each class, 0 to 2.*3: 2.0"),
        ({0: 1.0, 1: -2.0, 2: 1.0}, False, "a number >= 0.*=-2.0"),
        ([1.0, 2.0, 1.0], False, r"a dict with.*\[1.0, 2.0, 1.0\]"),
    ],
    ids=["by name", "other classes", "negative", "list"],
)
def test_class_weight_that_does_not_fit(way, weights, named, said):
    model = make_model(None)
    x, y = make_batch()
    if named:
        x, y = {**x, "meta": x["labeled"]}, {"labeled": y, "meta": y}
    with pytest.raises(ArgumentError, match=f"`class_weight` must be {said}"):
        if way == "train_on_batch":
            model.train_on_batch(x, y, class_weight=weights)
        elif way == "arrays":
            x["weak"] = x["strong"] = x["labeled"]
            model.fit(x, y, class_weight=weights, verbose=0)
        else:
            data = tf.data.Dataset.from_tensors((x, y))
            model.fit(data, class_weight=weights, verbose=0)


def test_class_weight_of_every_class_is_wanted_by_fit():
    model = make_model(None)
    data = tf.data.Dataset.from_tensors(make_batch())
    with pytest.raises(ArgumentError, match="a weight for each class, 0 to 2"):
        model.fit(data, class_weight={0: 1.0, 1: 5.0}, verbose=0)
    model.train_on_batch(*make_batch(), class_weight={1: 5.0})


def test_label_forms_agree():
    views, y = make_batch()
    results = []
    one_hot = np.eye(3, dtype="float32")[y]
    for labels in (y, y[:, None], one_hot, y.tolist()):
        model = make_model(HypergradientFeedback())
        logs = model.train_on_batch(views, labels, return_dict=True)
        results.append([logs[key] for key in sorted(logs)])
    np.testing.assert_allclose(results[0], results[1], rtol=1e-5)
    np.testing.assert_allclose(results[0], results[2], rtol=1e-5)
    np.testing.assert_allclose(results[0], results[3], rtol=1e-5)


def test_regularizers_and_frozen_layers():
    def net():
        layers = keras.layers
        return keras.Sequential(
            [
                keras.Input((4,)),
                layers.Dense(8, trainable=False),
                layers.Dense(3, kernel_regularizer=keras.regularizers.L2(1.0)),
            ]
        )

    seeds.set_random_seed(0)
    model = MetaPseudoLabels(
        net(), net(), consistency=None, feedback=HypergradientFeedback(0.0)
    )
    model.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1))
    networks = model.teacher, model.student
    frozen = [net.layers[0].get_weights() for net in networks]
    penalty = float(tf.reduce_sum(model.teacher.layers[1].kernel.value ** 2))

    logs = model.train_on_batch(*make_batch(), return_dict=True)

    assert logs["teacher_loss"] == pytest.approx(
        logs["supervised_loss"] + penalty, rel=1e-5
    )
    for network, before in zip(networks, frozen, strict=True):
        assert_equal(network.layers[0].get_weights(), before)
    # The penalty's gradient, 2 * kernel, is in both updates.
    for network in networks:
        norm = float(tf.norm(network.layers[1].kernel.value))
        for seed in range(20):
            model.train_on_batch(*make_batch(seed))
        assert float(tf.norm(network.layers[1].kernel.value)) < 0.5 * norm


def test_teacher_and_student_may_be_of_different_architectures():
    inputs = keras.Input((4,))
    wide = keras.Model(
        inputs, keras.layers.Dense(3)(keras.layers.Dense(32)(inputs))
    )
    model = MetaPseudoLabels(make_net(), wide)
    model.compile("sgd", "adam")
    model.train_on_batch(*make_batch())
    assert int(model.step) == 1


def test_structured_inputs():
    def net():
        inputs = {
            "a": keras.Input((2,), name="a"),
            "b": keras.Input((3,), name="b"),
        }
        both = keras.layers.Concatenate()([inputs["a"], inputs["b"]])
        return keras.Model(inputs, keras.layers.Dense(3)(both))

    rng = np.random.default_rng(0)

    def images(size):
        return {
            "a": rng.normal(size=(size, 2)).astype("float32"),
            "b": rng.normal(size=(size, 3)).astype("float32"),
        }

    model = MetaPseudoLabels(net(), net())
    model.compile("sgd", "sgd", metrics=["accuracy"])
    x, y = (
        {"labeled": images(4), "weak": images(5), "strong": images(5)},
        [0, 1, 2, 0],
    )
    dataset = tf.data.Dataset.from_tensors((x, y)).repeat(3)
    model.fit(dataset, verbose=0)
    assert int(model.step) == 3
    assert model.predict(images(7), verbose=0).shape == (7, 3)


def test_distribution_alignment_follows_the_predictions():
    model = make_model(
        None,
        consistency=ConsistencyLoss(
            distribution_alignment="uniform", alignment_momentum=0.5
        ),
    )
    # A teacher that says class 0 to everything.
    model.teacher.layers[-1].bias.assign([5.0, 0.0, 0.0])
    for seed in range(4):
        model.train_on_batch(*make_batch(seed))
    marginal = model.alignment.predicted.numpy()
    assert marginal[0] > 0.7 and marginal.sum() == pytest.approx(1.0, abs=1e-5)
    aligned = tf.nn.softmax(
        model.alignment(tf.math.log([marginal]), np.array([0, 1, 2]))
    )
    assert aligned.numpy()[0].max() < 0.55


def test_signal_annealing_uses_the_models_step():
    schedule = schedules.SignalAnnealing(steps=10, num_classes=3)
    model = make_model(None, supervised_threshold=schedule)
    views, y = make_batch()
    # The teacher knows every label already: nothing is left to learn.
    model.teacher.layers[-1].kernel.assign(np.zeros((8, 3)))
    model.teacher.layers[-1].bias.assign([9.0, 0.0, 0.0])
    zeros = np.zeros_like(y)
    logs = model.train_on_batch(views, zeros, return_dict=True)
    assert logs["teacher_loss"] == pytest.approx(
        float(logs["consistency_loss"])
    )
    assert np.isnan(logs["supervised_loss"])  # of no label at all
    model.step.assign(10)
    model.teacher.layers[-1].bias.assign([9.0, 0.0, 0.0])
    logs = model.train_on_batch(views, zeros, return_dict=True)
    assert logs["supervised_loss"] > 0.0


def test_consistency_weight_ramps_with_the_models_step():
    ramp = schedules.LinearRamp(4.0, steps=4)
    model = make_model(None, consistency_weight=ramp)
    weights = []
    for seed in range(6):
        model.reset_metrics()  # older versions of Keras go on averaging
        logs = model.train_on_batch(*make_batch(seed), return_dict=True)
        weights.append(float(logs["consistency_weight"]))
    assert weights == [0.0, 1.0, 2.0, 3.0, 4.0, 4.0]


def test_uda_is_mpls_teacher_without_a_student():
    seeds.set_random_seed(1)
    uda = UDA(make_net(), consistency=ConsistencyLoss(0.7, 0.3))
    uda.compile(keras.optimizers.SGD(0.1, momentum=0.9))
    model = make_model(None)
    uda.model.set_weights(model.teacher.get_weights())
    for seed in range(5):
        uda.train_on_batch(*make_batch(seed))
        model.train_on_batch(*make_batch(seed))
    assert_equal(values(uda.model.weights), values(model.teacher.weights), 1e-6)


def without_chance(form, **options):
    """The same model each time, which draws no random numbers."""
    seeds.set_random_seed(1)
    model = MetaPseudoLabels(
        make_net(0.0),
        make_net(0.0),
        feedback=form(),
        pseudo_labels="soft" if "soft" in form.kinds else "argmax",
    )
    model.compile(
        keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1), **options
    )
    return model


@pytest.mark.slow_cases(
    "CosineFeedback",
    "PerExampleFeedback",
    "LossDifferenceFeedback",
)
@pytest.mark.parametrize("form", FEEDBACKS)
def test_xla_and_eager_agree_with_the_graph(form):
    # Nothing in the step prevents XLA from compiling it.
    def train(**options):
        model = without_chance(form, **options)
        for seed in range(3):
            model.train_on_batch(*make_batch(seed))
        return values(model.teacher.weights) + values(model.averaged.weights)

    graph = train()
    assert_equal(graph, train(jit_compile=True), 1e-4)
    assert_equal(graph, train(run_eagerly=True), 1e-4)


@pytest.mark.slow
def test_xla_compiles_the_sampling():
    # It draws other numbers than the plain graph, so only the share of each
    # class is compared.
    model = MetaPseudoLabels(
        make_net(),
        make_net(),
        feedback=PerExampleFeedback(),
        pseudo_label_view="strong",
    )
    model.compile("sgd", "sgd", jit_compile=True)
    logs = model.train_on_batch(*make_batch(), return_dict=True)
    assert np.isfinite(list(logs.values())).all()
    draw = tf.function(model.make_pseudo_labels, jit_compile=True)
    logits = tf.constant(np.tile([[2.0, 1.0, 0.0]], (5000, 1)), tf.float32)
    np.testing.assert_allclose(
        draw(logits).numpy().mean(0), tf.nn.softmax(logits[0]), atol=0.03
    )


@functools.cache
def first_step(form, policy):
    """A model after one step, and what that reported."""
    keras.config.set_dtype_policy(policy)
    model = without_chance(form)
    return model, model.train_on_batch(*make_batch(), return_dict=True)


@pytest.mark.slow_cases(
    "PerExampleFeedback-mixed_bfloat16",
    "LossDifferenceFeedback-mixed_bfloat16",
    "CosineFeedback-mixed_bfloat16",
    "PerExampleFeedback-mixed_float16",
    "CosineFeedback-mixed_float16",
)
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("form", FEEDBACKS)
def test_mixed_precision(policy, form):
    exact = first_step(form, "float32")[1]
    model, mixed = first_step(form, policy)
    for key in ("h", "feedback_share", "student_loss", "loss"):
        assert mixed[key] == pytest.approx(exact[key], rel=0.15, abs=0.002)
    scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (policy == "mixed_float16")
    assert type(model.teacher_optimizer) is type(model.optimizer)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_weights_in_half_precision_are_refused(dtype):
    # Their average would stand still.
    half = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(8, dtype=dtype, name="half"),
            keras.layers.Dense(3),
        ]
    )
    said = f"float32 or float64.*'mixed_{dtype}'.*half/kernel'"
    with pytest.raises(ArgumentError, match=f"`model` must keep.*{said}"):
        UDA(half)
    with pytest.raises(ArgumentError, match=f"`student` must keep.*{said}"):
        MetaPseudoLabels(make_net(), half)
    half.layers[0].trainable = False
    UDA(half)  # what is not trained needs no average


def test_a_changing_loss_scale_does_not_reach_the_feedback():
    # It doubles when the student's gradients are applied; what was scaled
    # before must not be unscaled by the new one.
    def share(policy, wrap):
        keras.config.set_dtype_policy(policy)
        try:
            seeds.set_random_seed(1)
            model = MetaPseudoLabels(
                make_net(0.0),
                make_net(0.0),
                feedback=HypergradientFeedback(1.0, normalization=None),
            )
            model.compile("sgd", wrap(keras.optimizers.SGD(0.1)))
            logs = model.train_on_batch(*make_batch(), return_dict=True)
        finally:
            keras.config.set_dtype_policy("float32")
        return logs["feedback_share"]

    scaled = share(
        "mixed_float16",
        lambda sgd: keras.optimizers.LossScaleOptimizer(
            sgd, initial_scale=1024.0, dynamic_growth_steps=1
        ),
    )
    assert scaled == pytest.approx(share("float32", lambda sgd: sgd), rel=0.1)
