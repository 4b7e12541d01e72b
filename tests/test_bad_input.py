"""What people may do wrong, and that it is said before anything is trained.

Networks and optimizers by themselves: `test_networks.py`; arrays and datasets:
`test_datasets.py` and `test_pipeline.py`.
"""

import contextlib

import keras
import numpy as np
import pandas
import pytest
import tensorflow as tf

import mpl_keras
from mpl_keras import datasets, feedback, losses, schedules

NAN, INF = float("nan"), float("inf")
X = np.zeros((4, 2), "float32")
WIDE = np.zeros((4, 5), "float32")
NUMBERS = ("0.5", NAN, INF, None, [0.5], True, 1j, np.zeros(2))


def make_net(width=3, name=None):
    return keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(4), keras.layers.Dense(width)],
        name=name,
    )


class NotCloneable(keras.Model):
    """A subclassed network whose arguments Keras cannot know."""

    def __init__(self, width):
        super().__init__(name="bare")
        self.dense = keras.layers.Dense(width)

    def call(self, inputs, training=None):
        return self.dense(inputs)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 3)


class Ordinary(NotCloneable):
    """The same as most people write it."""

    compute_output_shape = keras.Model.compute_output_shape


def called(network):
    network(np.zeros((4, 2), "float32"))
    return network


def make_model(kind="mpl", compiled=True, **kwargs):
    if kind == "uda":
        model = mpl_keras.UDA(make_net(), **kwargs)
        arguments = ("optimizer",)
    else:
        model = mpl_keras.MetaPseudoLabels(make_net(), make_net(), **kwargs)
        arguments = ("teacher_optimizer", "student_optimizer")
    if compiled:
        model.compile(**{name: keras.optimizers.SGD(0.1) for name in arguments})
    return model


def batch(size=4, **replaced):
    x = np.random.default_rng(0).normal(size=(size, 2)).astype("float32")
    views = {"labeled": x, "weak": x + 1, "strong": x + 2, **replaced}
    return {k: v for k, v in views.items() if v is not None}, np.arange(4) % 3


@contextlib.contextmanager
def refuses(model, message):
    """A `ValueError` with this message, and nothing is trained."""
    weights = [w.numpy() for w in model.weights]
    with pytest.raises(ValueError, match=message):
        yield
    assert int(model.step) == 0
    assert int(model.optimizer.iterations) == 0
    for before, after in zip(weights, model.weights, strict=True):
        np.testing.assert_array_equal(before, after)


# Arguments that are numbers, of every class.


def must(name):
    return f"`{name}` must.*Received: {name}="


@pytest.mark.parametrize(
    ("make", "name", "bad"),
    [
        (losses.ConsistencyLoss, "temperature", (0, -1.0)),
        (losses.ConsistencyLoss, "threshold", (-0.1, 1.2)),
        (losses.ConsistencyLoss, "alignment_momentum", (-0.1, 1.0)),
        (losses.FlexMatchThreshold, "threshold", (-0.1, 1.2)),
        (losses.FlexMatchThreshold, "momentum", (-0.1, 1.0)),
        (losses.FreeMatchThreshold, "momentum", (-0.1, 1.0)),
        (losses.FreeMatchThreshold, "fairness_weight", (-0.1,)),
        (losses.SoftMatchWeight, "momentum", (-0.1, 1.0)),
        (losses.SoftMatchWeight, "sigmas", (-0.1, 0)),
        (losses.AnnealedCategoricalCrossentropy, "threshold", (-0.1, 1.2)),
        (losses.AnnealedCategoricalCrossentropy, "label_smoothing", (-0.1, 1)),
        (
            losses.AnnealedSparseCategoricalCrossentropy,
            "threshold",
            (-0.1, 1.2),
        ),
        (losses.UDALoss, "weight", (-1.0,)),
        (losses.UDALoss, "threshold", (-0.1, 1.2)),
        (losses.UDALoss, "label_smoothing", (-0.1, 1.0)),
        (feedback.LossDifferenceFeedback, "weight", ()),
        (feedback.CosineFeedback, "weight", ()),
        (feedback.HypergradientFeedback, "weight", ()),
        (feedback.PerExampleFeedback, "weight", ()),
        (feedback.LossDifferenceFeedback, "clip", (0.0, -1.0)),
    ],
)
def test_numbers(make, name, bad):
    for value in (*bad, *NUMBERS):
        with pytest.raises(ValueError, match=must(name)):
            make(**{name: value})


@pytest.mark.parametrize("value", [-0.1, 1.0, "0.9", NAN, [0.9], True])
def test_baseline_momentum(value):
    # None means no baseline.
    with pytest.raises(ValueError, match=must("baseline_momentum")):
        feedback.LossDifferenceFeedback(baseline_momentum=value)


@pytest.mark.parametrize(
    ("make", "name", "bad"),
    [
        (lambda **k: schedules.Delayed(0.1, **k), "steps", (-1, 2.0)),
        (lambda **k: schedules.LinearRamp(1.0, **k), "steps", (-1, 2.5)),
        (lambda **k: schedules.LinearRamp(steps=3, **k), "value", ()),
        (
            lambda **k: schedules.SignalAnnealing(num_classes=3, **k),
            "steps",
            (0, 2.0),
        ),
        (
            lambda **k: schedules.SignalAnnealing(steps=3, **k),
            "num_classes",
            (1, 2.0),
        ),
        (lambda **k: schedules.Delayed(steps=3, **k), "schedule", ("cosine",)),
    ],
)
def test_numbers_of_schedules(make, name, bad):
    for value in (*bad, *NUMBERS):
        with pytest.raises(ValueError, match=must(name)):
            make(**{name: value})


def test_a_plain_function_is_no_schedule():
    # It could not be saved.
    with pytest.raises(ValueError, match=must("schedule")):
        schedules.Delayed(lambda step: 0.1, 3)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (losses.ConsistencyLoss, "mask_on"),
        (losses.ConsistencyLoss, "divergence"),
        (losses.ConsistencyLoss, "hard_targets"),
        (losses.ConsistencyLoss, "align_targets"),
        (losses.ConsistencyLoss, "distribution_alignment"),
        (feedback.LossDifferenceFeedback, "normalization"),
        (feedback.HypergradientFeedback, "normalization"),
        (feedback.PerExampleFeedback, "normalization"),
        (lambda **k: schedules.SignalAnnealing(3, 3, **k), "shape"),
    ],
)
@pytest.mark.parametrize("value", ["nonsense", 3, ["a"]])
def test_choices(make, name, value):
    with pytest.raises(ValueError, match=f"`{name}` must.*Received: {name}="):
        make(**{name: value})


@pytest.mark.parametrize(
    "value", [[0.5, 0.6], [-0.5, 1.5], [NAN, 1.0], [NAN, NAN], [], [["a"]], 1]
)
def test_marginals_must_be_probabilities(value):
    with pytest.raises(ValueError, match="`distribution_alignment` must"):
        losses.ConsistencyLoss(distribution_alignment=value)


@pytest.mark.parametrize("kind", ["mpl", "uda"])
def test_marginals_must_be_one_per_class(kind):
    consistency = losses.ConsistencyLoss(distribution_alignment=[0.5, 0.5])
    with pytest.raises(ValueError, match="`distribution_alignment`.*3.*0.5"):
        make_model(kind, consistency=consistency)


def test_a_threshold_that_adapts_needs_a_model():
    loss = losses.ConsistencyLoss(threshold=losses.FreeMatchThreshold())
    for use in (lambda: loss([[1.0, 0.0]], [[1.0, 0.0]]), lambda: loss.mask(0)):
        with pytest.raises(ValueError, match="`threshold` must.*FreeMatch"):
            use()
    with pytest.raises(ValueError, match="`consistency` must.*FreeMatch"):
        losses.UDALoss(loss)


@pytest.mark.parametrize("value", ["uda", 0.5, losses.ConsistencyLoss, []])
def test_uda_loss_needs_a_consistency(value):
    with pytest.raises(ValueError, match=must("consistency")):
        losses.UDALoss(value)


# Arguments of the models.


@pytest.mark.parametrize("kind", ["mpl", "uda"])
@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("label_smoothing", (-0.1, 1.0, "0.1", NAN, None, [0.1])),
        ("ema_momentum", (-0.1, 1.0, "0.9", NAN, None, True)),
        (
            "consistency_weight",
            (-1.0, "3", NAN, INF, None, [3.0], lambda step: 1.0),
        ),
        ("supervised_threshold", (-0.1, 1.5, "0.5", NAN, [0.5])),
        (
            "consistency",
            ("mse", 1.0, losses.ConsistencyLoss, losses.UDALoss()),
        ),
    ],
)
def test_arguments_of_both_models(kind, name, bad):
    for value in bad:
        with pytest.raises(ValueError, match=f"`{name}` must.*Received"):
            make_model(kind, **{name: value})


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("pseudo_labels", ("hard", 1, True)),
        ("pseudo_label_view", ("labeled", "none", None, 0)),
        ("seed", (1.5, "0", None, True)),
        (
            "feedback",
            (
                "hypergradient",
                1.0,
                feedback.HypergradientFeedback,
                losses.MetaPseudoLabelsLoss(),
                feedback.Feedback(),
            ),
        ),
    ],
)
def test_arguments_of_meta_pseudo_labels(name, bad):
    for value in bad:
        with pytest.raises(ValueError, match=f"`{name}` must.*Received"):
            make_model(**{name: value})


@pytest.mark.parametrize(
    ("form", "kind"),
    [
        (feedback.HypergradientFeedback, "sampled"),
        (feedback.HypergradientFeedback, "argmax"),
        (feedback.LossDifferenceFeedback, "soft"),
        (feedback.CosineFeedback, "soft"),
        (feedback.PerExampleFeedback, "soft"),
    ],
)
def test_feedback_with_labels_of_another_kind(form, kind):
    message = f"`pseudo_labels` must.*{form.__name__}.*Received.*'{kind}'"
    with pytest.raises(ValueError, match=message):
        make_model(feedback=form(), pseudo_labels=kind)


def test_a_negative_feedback_weight_is_allowed():
    # The ablation with the sign turned around.
    model = make_model(feedback=feedback.HypergradientFeedback(-0.3))
    assert model.feedback.weight == -0.3


# Networks, as the models refuse them.


@pytest.mark.parametrize(
    "network",
    [None, "resnet", [make_net(), make_net()], keras.layers.Dense(3)],
    ids=lambda x: type(x).__name__,
)
def test_no_network(network):
    with pytest.raises(ValueError, match="`teacher` must be a `keras.Model`"):
        mpl_keras.MetaPseudoLabels(network, make_net())
    with pytest.raises(ValueError, match="`student` must be a `keras.Model`"):
        mpl_keras.MetaPseudoLabels(make_net(), network)
    with pytest.raises(ValueError, match="`model` must be a `keras.Model`"):
        mpl_keras.UDA(network)


def test_networks_that_are_no_pair():
    network = make_net()
    with pytest.raises(ValueError, match="same object"):
        mpl_keras.MetaPseudoLabels(network, network)
    wrapped = keras.Sequential([keras.Input((2,)), network])
    with pytest.raises(ValueError, match="not share weights"):
        mpl_keras.MetaPseudoLabels(network, wrapped)
    with pytest.raises(ValueError, match="number of classes.*3 and 4"):
        mpl_keras.MetaPseudoLabels(make_net(), make_net(4))
    with pytest.raises(ValueError, match="`student`.*at least two"):
        mpl_keras.MetaPseudoLabels(make_net(), make_net(1))


@pytest.mark.parametrize("make", [NotCloneable, Ordinary])
def test_a_network_that_cannot_be_cloned(make):
    with pytest.raises(ValueError, match="`student` must.*clone.*'bare'"):
        mpl_keras.MetaPseudoLabels(make_net(), called(make(3)))
    with pytest.raises(ValueError, match="`model` must.*clone.*'bare'"):
        mpl_keras.UDA(called(make(3)))
    # The teacher need not be cloned.
    mpl_keras.MetaPseudoLabels(called(make(3)), make_net())


def test_softmax_at_the_end_is_warned_of():
    network = make_net()
    network.layers[-1].activation = keras.activations.softmax
    with pytest.warns(UserWarning, match="logits.*Received: model=") as uda:
        mpl_keras.UDA(network)
    with pytest.warns(UserWarning, match="logits.*Received: student=") as mpl:
        mpl_keras.MetaPseudoLabels(make_net(), network)
    # It points at the user's line, not at one of the library.
    assert [w.filename for w in (uda[0], mpl[0])] == [__file__] * 2


# Optimizers, as `compile` refuses them.


def sgd(**kwargs):
    return keras.optimizers.SGD(0.1, **kwargs)


@pytest.mark.parametrize(
    ("teacher", "student", "message"),
    [
        (None, None, "`teacher_optimizer` must"),
        ("adam", None, "`student_optimizer` must.*takes two optim.*None"),
        (None, sgd(), "`teacher_optimizer` must.*takes two optim.*None"),
        (sgd(use_ema=True), sgd(), "`teacher_optimizer`.*use_ema"),
        (sgd(), sgd(use_ema=True), "`student_optimizer`.*use_ema"),
        (
            sgd(),
            sgd(gradient_accumulation_steps=2),
            "`student_optimizer`.*accumul.*Received.*=2",
        ),
        ("nonsense", sgd(), "`teacher_optimizer`.*nonsense"),
    ],
)
def test_optimizers(teacher, student, message):
    model = make_model(compiled=False)
    with pytest.raises(ValueError, match=message):
        model.compile(teacher_optimizer=teacher, student_optimizer=student)


@pytest.mark.parametrize("optimizer", [None, sgd(use_ema=True)])
def test_the_optimizer_of_uda(optimizer):
    with pytest.raises(ValueError, match="`optimizer` must.*Received"):
        make_model("uda", compiled=False).compile(optimizer)


def test_one_optimizer_for_both():
    one = sgd()
    with pytest.raises(ValueError, match="must be two objects.*Received"):
        make_model(compiled=False).compile(one, one)
    scale = keras.optimizers.LossScaleOptimizer
    one = sgd()
    with pytest.raises(ValueError, match="_optimizer"):
        make_model(compiled=False).compile(scale(one), scale(one))


def test_one_name_for_both_is_two_optimizers():
    model = make_model(compiled=False)
    model.compile(teacher_optimizer="sgd", student_optimizer="sgd")
    assert model.teacher_optimizer is not model.optimizer


def test_an_optimizer_of_another_network():
    used = sgd(momentum=0.9)
    mpl_keras.UDA(make_net()).compile(used)
    with pytest.raises(ValueError, match="`student_optimizer`.*another"):
        make_model(compiled=False).compile(sgd(), used)


def test_a_teacher_that_was_compiled_before():
    # Its own optimizer is not ours, and does no harm.
    teacher = make_net()
    teacher.compile("sgd", "mse")
    teacher.fit(np.ones((4, 2)), np.ones((4, 3)), verbose=0)
    model = mpl_keras.MetaPseudoLabels(teacher, make_net())
    model.compile(sgd(), sgd())
    model.train_on_batch(*batch())
    assert int(teacher.optimizer.iterations) == 1
    assert int(model.teacher_optimizer.iterations) == 1


@pytest.mark.parametrize("kind", ["mpl", "uda"])
def test_training_before_compile(kind):
    model = make_model(kind, compiled=False)
    views, y = batch()
    with pytest.raises(ValueError, match=r"compile\(\)"):
        model.fit(views, y, verbose=0)
    with pytest.raises(ValueError, match=r"compile\(\)"):
        model.train_on_batch(views, y)


@pytest.mark.parametrize("kind", ["mpl", "uda"])
def test_a_model_without_optimizers_is_saved(kind, tmp_path):
    model = make_model(kind, compiled=False)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert not loaded.compiled
    np.testing.assert_array_equal(
        loaded.predict(X, verbose=0), model.predict(X, verbose=0)
    )


# Batches. Every wrong one goes through `train_on_batch`, `fit` with arrays,
# and `fit` with a dataset.

BATCHES = {
    "no weak": (batch(weak=None)[0], [0, 1, 2, 0], "weak.*Received.*labeled"),
    "no strong": (batch(strong=None)[0], [0, 1, 2, 0], "'strong'.*Received"),
    "no labeled": (batch(labeled=None)[0], [0, 1, 2, 0], "labeled.*Received"),
    "unknown view": (batch(extra=X)[0], [0, 1, 2, 0], "Received.*'extra'"),
    "no dict": (X, [0, 1, 2, 0], "batch.*dict.*Received"),
    "strong is wider": (
        batch(strong=WIDE)[0],
        [0, 1, 2, 0],
        r"'weak' and 'strong'.*\(.*2\) and \(.*5\)",
    ),
    "labeled is wider": (
        batch(labeled=WIDE)[0],
        [0, 1, 2, 0],
        r"'labeled' and 'weak'.*\(.*5\) and \(.*2\)",
    ),
    "rank": (
        batch(strong=X[..., None])[0],
        [0, 1, 2, 0],
        r"'weak' and 'strong'.*\(.*2\) and \(.*1\)",
    ),
    "structure": (
        batch(strong={"a": X})[0],
        [0, 1, 2, 0],
        "'weak' and 'strong'.*structure",
    ),
    "dtypes": (
        batch(strong=X.astype("uint8"))[0],
        [0, 1, 2, 0],
        "'weak' and 'strong'.*dtype.*float32.*uint8",
    ),
    "float labels": (batch()[0], [0.0, 1.0, 2.0, 0.0], "integers.*float"),
    "float column": (
        batch()[0],
        [[0.0], [1.0], [2.0], [0.0]],
        "integers.*float",
    ),
    "wide one-hot": (batch()[0], np.eye(4), r"3 probabilities.*4\)"),
    "narrow one-hot": (batch()[0], np.eye(2)[[0, 1, 1, 0]], r"3 prob.*2\)"),
    "rank 3 labels": (batch()[0], np.zeros((4, 3, 1), int), "Received"),
    "text labels": (batch()[0], ["a", "b", "c", "a"], "integers"),
}


def as_dataset(x, y, size=2):
    return tf.data.Dataset.from_tensor_slices((x, np.asarray(y))).batch(size)


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("mpl", "train_on_batch"),
        ("mpl", "arrays"),
        ("mpl", "dataset"),
        ("uda", "dataset"),
    ],
)
@pytest.mark.parametrize("case", BATCHES)
def test_batches(kind, how, case):
    x, y, message = BATCHES[case]
    model = make_model(kind)
    with refuses(model, message):
        if how == "train_on_batch":
            model.train_on_batch(x, y)
        elif how == "arrays":
            model.fit(x, np.asarray(y), verbose=0)
        else:
            model.fit(as_dataset(x, y), verbose=0)


@pytest.mark.parametrize("kind", ["mpl", "uda"])
@pytest.mark.parametrize("how", ["train_on_batch", "arrays"])
@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0, 1, 2, 3], r"\[0, 3\).*3 at index 3"),
        ([0, -1, 2, 1], r"\[0, 3\).*-1 at index 1"),
        ([[0], [7], [2], [1]], r"\[0, 3\).*7 at index 1"),
        (np.eye(3)[[0, 1, 2, 0]] * 2, "sum to 1"),
        (np.full((4, 3), NAN), "Received: value nan"),
    ],
)
def test_values_of_labels(kind, how, y, message):
    # XLA drops the checks of a compiled step: they are made before it.
    model = make_model(kind)
    with refuses(model, message):
        if how == "train_on_batch":
            model.train_on_batch(batch()[0], np.asarray(y))
        else:
            model.fit(batch()[0], np.asarray(y), verbose=0)


@pytest.mark.parametrize("value", [NAN, INF])
def test_images_in_arrays_are_finite(value):
    strong = X.copy()
    strong[2, 1] = value
    views, y = batch(strong=strong)
    model = make_model()
    with refuses(model, r"strong.*must be finite.*\(2, 1\)"):
        model.fit(views, y, verbose=0)


def test_labels_are_there():
    model = make_model()
    with refuses(model, "labels.*Received: y=None"):
        model.train_on_batch(batch()[0])
    with refuses(model, "labels.*Received: y=None"):
        model.fit(batch()[0], verbose=0)


@pytest.mark.parametrize("kind", ["mpl", "uda"])
def test_as_many_labels_as_examples(kind):
    model = make_model(kind)
    with refuses(model, "3 labels for 4 examples"):
        model.train_on_batch(batch()[0], [0, 1, 2])


def test_weak_and_strong_are_of_one_length():
    model = make_model()
    with refuses(model, r"'weak' and 'strong'.*\(3, 2\) and \(4, 2\)"):
        model.train_on_batch(batch(weak=X[:3])[0], batch()[1])


def test_lists_are_no_arrays():
    views, y = batch()
    model = make_model()
    lists = {name: view.tolist() for name, view in views.items()}
    with refuses(model, "array.*Received"):
        model.train_on_batch(lists, y)


@pytest.mark.parametrize(
    "weight", [np.ones(3), np.ones((4, 3)), np.ones((4, 1, 1))]
)
@pytest.mark.parametrize("how", ["train_on_batch", "dataset"])
def test_sample_weight_is_one_per_example(weight, how):
    model = make_model()
    views, y = batch()
    with refuses(model, "`sample_weight` must.*Received"):
        if how == "train_on_batch":
            model.train_on_batch(views, y, sample_weight=weight)
        else:
            data = tf.data.Dataset.from_tensors((views, y, weight))
            model.fit(data, verbose=0)


def test_weights_of_a_meta_batch():
    model = make_model()
    views = batch(meta=X)[0]
    with refuses(model, "by name.*Received.*labeled"):
        model.train_on_batch(views, {"labeled": [0] * 4, "other": [0] * 4})
    with refuses(model, "by name.*Received"):
        model.train_on_batch(batch()[0], {"labeled": [0] * 4, "meta": [0] * 4})
    with refuses(model, "'meta'.*shape"):
        model.train_on_batch(batch(meta=WIDE)[0], [0] * 4)
    with refuses(model, "meta.*9 at index 0"):
        model.train_on_batch(views, {"labeled": [0] * 4, "meta": [9] * 4})


def test_labels_of_a_meta_batch_in_arrays():
    # By name, as in `train_on_batch`.
    model = make_model()
    model.fit(
        batch(meta=X)[0],
        {"labeled": np.zeros(4, int), "meta": np.ones(4, int)},
        verbose=0,
    )
    assert int(model.step) == 1


def test_a_dataset_without_end():
    model = make_model()
    endless = as_dataset(*batch()).repeat()
    with refuses(model, "`steps_per_epoch` must.*Received.*None"):
        model.fit(endless, verbose=0)
    model.fit(endless, steps_per_epoch=3, verbose=0)
    assert int(model.step) == 3


@pytest.mark.parametrize("case", ["no weak", "strong is wider", "wide one-hot"])
def test_a_generator_of_wrong_batches(case):
    x, y, message = BATCHES[case]
    model = make_model()
    with refuses(model, message):
        generator = ((x, np.asarray(y)) for _ in range(3))
        model.fit(generator, shuffle=False, verbose=0)


@pytest.mark.parametrize("how", ["validation_data", "validation_split"])
def test_validation_on_views_is_refused_before_training(how):
    # Validation takes plain (x, y).
    views, y = batch()
    value = 0.5 if how == "validation_split" else (views, y)
    model = make_model()
    with refuses(model, f"`{how}` must.*Received"):
        model.fit(views, y, verbose=0, **{how: value})


# What goes where: views train, plain examples are measured and classified.


@pytest.mark.parametrize("as_data", [False, True])
@pytest.mark.parametrize(
    "ask", ["evaluate", "predict", "predict_on_batch", "test_on_batch", "call"]
)
def test_views_are_only_trained_on(ask, as_data):
    model = make_model("uda")
    views, y = batch()
    if as_data:
        views = tf.data.Dataset.from_tensors((views, y))
    message = "must be plain examples.*Received: (x|inputs)=the views"
    with refuses(model, message):
        if ask == "call":
            model(batch()[0])
        else:
            getattr(model, ask)(views)


@pytest.mark.parametrize("ask", ["fit", "evaluate", "predict"])
def test_data_are_no_batches(ask):
    data = datasets.from_arrays(X, [0, 1, 2, 0], X)
    model = make_model("uda")
    with refuses(model, "`x` must be.*Received: x=SemiSupervisedData"):
        getattr(model, ask)(data)
    if ask == "fit":  # what is to be written instead stands in the error
        with refuses(model, r"`model.fit\(pipeline.training_dataset\(data, "):
            model.fit(data)
    with refuses(model, "`validation_data` must be.*=SemiSupervisedData"):
        model.fit(*batch(), validation_data=data)


@pytest.mark.parametrize(
    "x", [X, None, [X, X], tf.zeros((4, 2)), pandas.DataFrame(X)], ids=type
)
def test_fit_takes_no_plain_arrays(x):
    model = make_model("uda")
    with refuses(model, "`x` must be batches.*training_dataset.*from_arrays"):
        model.fit(x, np.array([0, 1, 2, 0]), verbose=0)


def test_evaluate_needs_examples_and_labels():
    model = make_model("uda")
    with refuses(model, "`x` must be examples.*None"):
        model.evaluate()
    with refuses(model, "labels.*y=None"):
        model.evaluate(tf.data.Dataset.from_tensors(X))


# Export.


@pytest.mark.parametrize("kind", ["mpl", "uda"])
def test_export_replaces_nothing_unless_asked_for(kind, tmp_path):
    model = make_model(kind)
    folder = tmp_path / "student"
    folder.mkdir()
    (folder / "thesis.txt").write_text("precious")
    with pytest.raises(FileExistsError, match="`filepath` must.*student"):
        model.export(folder, verbose=False)
    assert [f.name for f in folder.iterdir()] == ["thesis.txt"]
    with pytest.raises(FileExistsError, match="`filepath` must"):
        model.export(folder / "thesis.txt", verbose=False)
    assert (folder / "thesis.txt").read_text() == "precious"

    # Nobody says `overwrite` of a folder that is no SavedModel.
    with pytest.raises(FileExistsError, match="which holds other things"):
        model.export(folder, overwrite=True, verbose=False)
    assert (folder / "thesis.txt").read_text() == "precious"
    (folder / "thesis.txt").rename(folder / "saved_model.pb")
    model.export(folder, overwrite=True, verbose=False)
    assert (folder / "saved_model.pb").read_bytes() != b"precious"
    assert [f.name for f in tmp_path.iterdir()] == ["student"]


def test_export_replaces_a_file_where_asked_for(tmp_path):
    model = make_model("uda")
    (tmp_path / "student").write_text("old")
    model.export(tmp_path / "student", overwrite=True, verbose=False)
    assert (tmp_path / "student" / "saved_model.pb").exists()


def test_export_into_an_empty_folder(tmp_path):
    model = make_model("uda")
    (tmp_path / "empty").mkdir()
    model.export(str(tmp_path / "empty"), verbose=False)
    assert (tmp_path / "empty" / "saved_model.pb").exists()


def test_an_export_that_fails_leaves_what_was_there(tmp_path):
    model = make_model("uda")
    folder = tmp_path / "student"
    folder.mkdir()
    (folder / "saved_model.pb").write_text("precious")
    with pytest.raises(ValueError, match="format"):
        model.export(folder, overwrite=True, format="nonsense")
    assert (folder / "saved_model.pb").read_text() == "precious"
    assert [f.name for f in tmp_path.iterdir()] == ["student"]
