"""Which passes of a step see batch statistics, and which leave a trace."""

import contextlib

import keras
import numpy as np
import pytest
import seeds
import tensorflow as tf

from mpl_keras import UDA, MetaPseudoLabels
from mpl_keras.feedback import HypergradientFeedback, LossDifferenceFeedback
from mpl_keras.losses import ConsistencyLoss
from mpl_keras.networks import batch_norm

MOMENTUM = 0.8
FEEDBACKS = [HypergradientFeedback, LossDifferenceFeedback, None]


def make_net():
    """BatchNorm first, so that what it sees is the batch itself."""
    return keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.BatchNormalization(momentum=MOMENTUM),
            keras.layers.Dense(8),
            keras.layers.BatchNormalization(momentum=MOMENTUM),
            keras.layers.ReLU(),
            keras.layers.Dense(3),
        ]
    )


def make_batch(seed=0, unlabeled=8):
    """Views whose means and deviations are far apart."""
    rng = np.random.default_rng(seed)

    def examples(size, mean, deviation):
        return rng.normal(mean, deviation, (size, 4)).astype("float32")

    views = {
        "labeled": examples(6, 5.0, 1.0),
        "weak": examples(unlabeled, -3.0, 2.0),
        "strong": examples(unlabeled, 1.0, 4.0),
    }
    return views, rng.integers(0, 3, 6)


def make_mpl(feedback, **options):
    form = feedback and feedback()
    model = MetaPseudoLabels(make_net(), make_net(), feedback=form, **options)
    model.compile(
        teacher_optimizer=keras.optimizers.SGD(0.1),
        student_optimizer=keras.optimizers.SGD(0.1),
    )
    return model


def make_uda(**options):
    model = UDA(make_net(), **options)
    model.compile(keras.optimizers.SGD(0.1))
    return model


def statistics(network):
    """Moving mean and variance of each BatchNorm."""
    return [
        value.numpy()
        for layer in network.layers
        if isinstance(layer, keras.layers.BatchNormalization)
        for value in (layer.moving_mean, layer.moving_variance)
    ]


def one_update(network, batch):
    """The statistics of a network, moved once by hand by a batch."""
    first, dense, second = network.layers[:3]
    moved = []
    x = np.asarray(batch, "float64")
    for norm in (first, second):
        mean, variance = x.mean(axis=0), x.var(axis=0)
        for old, new in (
            (norm.moving_mean, mean),
            (norm.moving_variance, variance),
        ):
            moved.append(MOMENTUM * old.numpy() + (1 - MOMENTUM) * new)
        x = (x - mean) / np.sqrt(variance + norm.epsilon)
        x = x * norm.gamma.numpy() + norm.beta.numpy()
        if norm is first:
            x = x @ dense.kernel.numpy() + dense.bias.numpy()
    return moved


def assert_close(left, right, tolerance=1e-4):
    for one, other in zip(left, right, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def whole(views, names=("labeled", "weak", "strong")):
    return np.concatenate([views[name] for name in names])


def apart(views):
    """The weak views, then labeled and strong ones together."""
    return views["weak"], whole(views, ("labeled", "strong"))


def two_updates(network, batches):
    """Moved by two batches, one after the other."""
    copy = averaged_copy(network)
    norms = [copy.layers[0], copy.layers[2]]
    for batch in batches:
        moved = one_update(copy, batch)
        for norm, pair in zip(norms, (moved[:2], moved[2:]), strict=True):
            norm.moving_mean.assign(pair[0])
            norm.moving_variance.assign(pair[1])
    return moved


@pytest.mark.slow_cases("weak-LossDifferenceFeedback", "weak-None")
@pytest.mark.parametrize("feedback", FEEDBACKS)
@pytest.mark.parametrize("view", ["weak", "strong"])
def test_teacher_moves_once_by_all_views_that_it_learns_through(feedback, view):
    model = make_mpl(feedback, pseudo_label_view=view)
    views, y = make_batch()
    expected = two_updates(model.teacher, apart(views))
    if view == "weak":
        expected = one_update(model.teacher, whole(views))
    model.train_on_batch(views, y)
    assert_close(statistics(model.teacher), expected)


@pytest.mark.slow_cases("False-LossDifferenceFeedback", "False-None")
@pytest.mark.parametrize("feedback", FEEDBACKS)
@pytest.mark.parametrize("eagerly", [False, True])
def test_student_moves_once_by_the_weak_view_alone(feedback, eagerly):
    # It learns from strong views, but classifies images that are not distorted.
    # Its passes over the labeled batch, before and after, leave no trace.
    model = make_mpl(feedback)
    model.run_eagerly = eagerly
    views, y = make_batch()
    expected = one_update(model.student, views["weak"])
    model.train_on_batch(views, y)
    assert_close(statistics(model.student), expected)


def test_a_student_that_is_no_longer_frozen_since_its_model_was_made():
    student = make_net()
    norms = student.layers[0], student.layers[2]
    for norm in norms:
        norm.trainable = False
    model = MetaPseudoLabels(make_net(), student, feedback=None)
    for norm in norms:
        norm.trainable = True
    model.compile("sgd", "sgd", run_eagerly=True)
    views, y = make_batch()
    expected = one_update(student, views["weak"])
    model.train_on_batch(views, y)
    assert_close(statistics(student), expected)


@pytest.mark.parametrize(("unlabeled", "apart"), [(23, 1), (24, 2), (56, 4)])
def test_a_quarter_of_many_weak_views_is_enough(unlabeled, apart):
    # The pass costs 8 % of a step with all of them, and 2 % so.
    model = make_mpl(None)
    views, y = make_batch(unlabeled=unlabeled)
    expected = one_update(model.student, views["weak"][::apart])
    model.train_on_batch(views, y)
    assert_close(statistics(model.student), expected)


@pytest.mark.parametrize("feedback", FEEDBACKS[:2])
def test_a_meta_batch_leaves_no_trace_either(feedback):
    model = make_mpl(feedback)
    views, y = make_batch()
    views["meta"] = views["labeled"] * 10 + 100
    teacher = one_update(model.teacher, whole(views))
    student = one_update(model.student, views["weak"])
    model.train_on_batch(views, y)
    assert_close(statistics(model.teacher), teacher)
    assert_close(statistics(model.student), student)


def test_several_steps_are_several_updates():
    model = make_mpl(HypergradientFeedback)
    for seed in range(3):
        views, y = make_batch(seed)
        expected = [
            one_update(model.teacher, whole(views)),
            one_update(model.student, views["weak"]),
        ]
        model.train_on_batch(views, y)
        assert_close(statistics(model.teacher), expected[0])
        assert_close(statistics(model.student), expected[1])


def test_the_students_labeled_loss_is_by_statistics_of_the_labeled_batch():
    # Training mode: of the labeled batch, which the reported logits are of.
    model = make_mpl(HypergradientFeedback)
    views, y = make_batch()
    logs = model.train_on_batch(views, y, return_dict=True)
    values = keras.losses.sparse_categorical_crossentropy(
        y, model.student(views["labeled"], training=True), from_logits=True
    )
    np.testing.assert_allclose(logs["loss"], np.mean(values), rtol=1e-5)


def test_teachers_loss_is_by_statistics_of_the_whole_batch():
    # One pass over all views; a pass for each would give another loss.
    model = make_mpl(None, consistency=None)
    views, y = make_batch()
    logits = [
        keras.ops.convert_to_numpy(x)
        for x in (
            averaged_copy(model.teacher)(whole(views), training=True)[:6],
            averaged_copy(model.teacher)(views["labeled"], training=True),
        )
    ]
    together, alone = (
        np.mean(
            keras.losses.sparse_categorical_crossentropy(
                y, one, from_logits=True
            )
        )
        for one in logits
    )
    logs = model.train_on_batch(views, y, return_dict=True)
    np.testing.assert_allclose(logs["supervised_loss"], together, rtol=1e-5)
    assert abs(together - alone) > 0.01


def averaged_copy(network):
    copy = keras.models.clone_model(network)
    copy.set_weights(network.get_weights())
    return copy


@pytest.mark.slow_cases("make_uda")
@pytest.mark.parametrize(
    "make", [lambda: make_mpl(HypergradientFeedback), make_uda]
)
def test_the_average_averages_statistics_as_weights(make):
    # kekmodel's port copies them: the weights of one network would then work
    # with the statistics of another.
    model = make()
    network = getattr(model, "student", None) or model.model
    for step in range(3):
        views, y = make_batch(step)
        before = [w.copy() for w in model.averaged.get_weights()]
        model.train_on_batch(views, y)
        momentum = min(0.995, (step + 1) / (step + 10))
        expected = [
            momentum * old + (1 - momentum) * new
            for old, new in zip(before, network.get_weights(), strict=True)
        ]
        assert_close(model.averaged.get_weights(), expected, 1e-5)
    assert not np.allclose(
        statistics(model.averaged)[0], statistics(network)[0], atol=1e-2
    )


@pytest.mark.slow_cases("make_uda")
@pytest.mark.parametrize(
    "make", [lambda: make_mpl(HypergradientFeedback), make_uda]
)
def test_evaluation_uses_the_averages_statistics_and_moves_none(make):
    model = make()
    views, y = make_batch()
    for _ in range(2):
        model.train_on_batch(views, y)
    x = views["labeled"]
    names = [
        name
        for name in ("averaged", "student", "teacher", "model")
        if hasattr(model, name)
    ]
    before = {name: statistics(getattr(model, name)) for name in names}

    logits = model.predict(x, verbose=0)
    alone = model.predict(x[:1], verbose=0)
    model.evaluate(x, y, verbose=0)
    assert_close([model(x, training=True)], [logits], 1e-6)

    # One example in company or alone: no statistics of the batch.
    assert_close([alone[0]], [logits[0]], 1e-5)
    by_hand = averaged_copy(model.averaged)
    by_hand.trainable = False
    assert_close([by_hand(x, training=False)], [logits], 1e-5)
    for name, values in before.items():
        for old, new in zip(
            values, statistics(getattr(model, name)), strict=True
        ):
            np.testing.assert_array_equal(old, new)


def test_uda_moves_once_by_all_views_together():
    model = make_uda(consistency=ConsistencyLoss(0.7, 0.3))
    views, y = make_batch()
    expected = one_update(model.model, whole(views))
    model.train_on_batch(views, y)
    assert_close(statistics(model.model), expected)


def test_supervised_training_sees_labeled_examples_alone():
    model = make_uda(consistency=None)
    views, y = make_batch()
    expected = one_update(model.model, views["labeled"])
    model.train_on_batch(views, y)
    assert_close(statistics(model.model), expected)


def test_statistics_move_while_the_student_waits():
    # Its weights stand still, its statistics follow the views: it starts with
    # statistics of the images and not with those of nothing.
    model = MetaPseudoLabels(make_net(), make_net())
    model.compile(
        teacher_optimizer=keras.optimizers.SGD(0.1),
        student_optimizer=keras.optimizers.SGD(0.0),
    )
    views, y = make_batch()
    weights = [v.numpy() for v in model.student.trainable_variables]
    expected = one_update(model.student, views["weak"])
    model.train_on_batch(views, y)
    for old, new in zip(
        weights, model.student.trainable_variables, strict=True
    ):
        np.testing.assert_array_equal(old, new)
    assert_close(statistics(model.student), expected)


@pytest.mark.parametrize(
    ("form", "view", "sizes"),
    [
        (HypergradientFeedback, "weak", [22]),
        (HypergradientFeedback, "strong", [14]),
        (None, "strong", [14]),
        (None, "weak", [22]),
    ],
)
def test_what_nothing_is_learned_through_has_no_backward_pass(
    form, view, sizes
):
    """Nearly half of the teacher's examples would be for nothing."""
    seen = []

    class Spy(keras.layers.Layer):
        def call(self, x):
            @tf.custom_gradient
            def identity(x):
                def backward(upstream):
                    seen.append(upstream.shape[0])
                    return upstream

                return tf.identity(x), backward

            return identity(x)

    def net(*last):
        return keras.Sequential(
            [keras.Input((4,)), keras.layers.Dense(3), *last]
        )

    views, y = make_batch()
    model = MetaPseudoLabels(
        net(Spy()), net(), feedback=form and form(), pseudo_label_view=view
    )
    model.compile("sgd", "sgd", run_eagerly=True)
    model.train_on_batch(views, y)
    assert seen[:1] == sizes


def image_net(**options):
    options = {"momentum": MOMENTUM, **options}
    return keras.Sequential(
        [
            keras.Input((5, 4, 3)),
            keras.layers.Conv2D(6, 3, use_bias=False),
            keras.layers.BatchNormalization(**options),
            keras.layers.LeakyReLU(),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3),
        ]
    )


def trained(form, **options):
    """A model of images after three steps."""
    seeds.set_random_seed(0)
    model = MetaPseudoLabels(
        image_net(**options),
        image_net(**options),
        feedback=form and form(),
        pseudo_labels="argmax" if form is LossDifferenceFeedback else "soft",
    )
    model.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1))
    rng = np.random.default_rng(0)
    for _ in range(3):
        views = {
            name: rng.normal(2.0, 3.0, (6, 5, 4, 3)).astype("float32")
            for name in ("labeled", "weak", "strong")
        }
        model.train_on_batch(views, rng.integers(0, 3, 6))
    return model


@pytest.mark.slow_cases(
    "options1-None",
    "options2-None",
    "options1-LossDifferenceFeedback",
    "options2-LossDifferenceFeedback",
    "options2-HypergradientFeedback",
    "options1-HypergradientFeedback",
    "options0-None",
    "options0-LossDifferenceFeedback",
)
@pytest.mark.parametrize("form", FEEDBACKS)
@pytest.mark.parametrize(
    "options", [{}, {"scale": False}, {"center": False, "axis": 3}]
)
def test_fused_is_what_keras_composes(form, options, monkeypatch):
    # Weights, and statistics too: the operation itself gives the variance of
    # the population, which is larger than the batch's.
    fused = trained(form, **options)
    monkeypatch.setattr(
        batch_norm, "fused", lambda *_: contextlib.nullcontext()
    )
    composed = trained(form, **options)
    assert_close(fused.get_weights(), composed.get_weights(), 1e-5)


@pytest.mark.parametrize(
    ("options", "dtype", "count"),
    [
        ({}, "float32", 1),
        ({}, "mixed_bfloat16", 1),
        ({}, "float64", 0),
        pytest.param(
            {"renorm": True},
            "float32",
            0,
            marks=pytest.mark.skipif(
                not hasattr(keras.layers.BatchNormalization(), "renorm"),
                reason="This Keras has no renormalisation.",
            ),
        ),
        ({"axis": 1}, "float32", 0),
        ({"epsilon": 1e-6}, "float32", 0),
    ],
)
def test_what_fits_is_fused_and_layers_stay_keras(options, dtype, count):
    keras.config.set_dtype_policy(dtype)
    if dtype == "float64":
        keras.config.set_floatx(dtype)
    net = image_net(**options)
    x = np.random.default_rng(0).normal(size=(4, 5, 4, 3)).astype("float32")

    @tf.function
    def call():
        with batch_norm.fused(net):
            return net(x, training=True)

    types = [
        op.type for op in call.get_concrete_function().graph.get_operations()
    ]
    assert types.count("FusedBatchNormV3") == count
    assert "call" not in vars(net.layers[1])
    config = keras.saving.serialize_keras_object(net.layers[1])
    assert config["module"] == "keras.layers"
    with pytest.raises(ZeroDivisionError), batch_norm.fused(net):
        raise ZeroDivisionError
    assert "call" not in vars(net.layers[1])
