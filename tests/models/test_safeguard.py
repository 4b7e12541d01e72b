"""A step that goes bad leaves no trace, on one replica or on two."""

import functools
import warnings

import keras
import numpy as np
import pytest
import scripts
import tensorflow as tf

from mpl_keras import UDA, MetaPseudoLabels, feedback, schedules
from mpl_keras.checks import ArgumentError
from mpl_keras.losses import dense_labels
from mpl_keras.models import passes
from mpl_keras.models.scheduled import ScheduleCheck, Scheduled
from mpl_keras.networks import requirements

SCRIPT = """
import contextlib
import sys
import tensorflow as tf
REPLICAS, POLICY = {replicas}, {policy!r}
scope = contextlib.nullcontext
if REPLICAS > 1:
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * REPLICAS,
    )
    scope = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope
import keras
import numpy as np
import seeds
import mpl_keras
from mpl_keras import feedback
from mpl_keras.distribute import state as model_state
keras.config.set_dtype_policy(POLICY)
layers = keras.layers

def net(seed):
    return keras.Sequential([
        keras.Input((6,)),
        layers.Dense(16),
        layers.BatchNormalization(synchronized=REPLICAS > 1),
        layers.ReLU(),
        layers.Dropout(0.1, seed=seed),
        layers.Dense(3, dtype="float32"),
    ])

with scope():
    seeds.set_random_seed(0)
    model = mpl_keras.MetaPseudoLabels(
        net(1), net(2), feedback=feedback.LossDifferenceFeedback(0.5)
    )
    model.compile(
        keras.optimizers.Adam(0.01),
        keras.optimizers.SGD(0.1, momentum=0.9),
        metrics=["accuracy"],
    )
x = np.random.RandomState(0).normal(size=(64, 6)).astype("float32")
y = np.arange(64) % 3

def fit(steps, bad):
    strong = x.copy()
    if bad:
        strong[50, 2] = np.nan  # of the second replica
    views = dict(labeled=x, weak=x, strong=strong)
    batches = tf.data.Dataset.from_tensors((views, y)).repeat(steps)
    return model.fit(batches, steps_per_epoch=steps, verbose=0).history

def state():
    # Fit begins by emptying the metrics; the scale is to change.
    others = model_state.metric_variables(model)
    others += model_state.loss_scale_variables(model)
    others += [model.step, model.bad_steps, model.safeguard._bad_in_row]
    others = {{id(v) for v in others}}
    return [
        (v.path, np.array(v.numpy()))
        for v in model_state.state_variables(model)
        if id(v) not in others
    ]

fit(5, bad=False)
before = state()
history = fit(1, bad=True)
for (path, old), (_, new) in zip(before, state(), strict=True):
    if not np.array_equal(old, new):
        sys.exit("%s has changed" % path)
if history["bad_steps"] != [1] or int(model.bad_steps.numpy()) != 1:
    sys.exit("counted %s" % history["bad_steps"])
history = fit(3, bad=False)
if not np.isfinite(history["student_loss"][-1]):
    sys.exit("it did not go on: %s" % history)
if all(np.array_equal(a[1], b[1]) for a, b in zip(before, state())):
    sys.exit("it did not go on")
model.safeguard.limit = 3
try:
    fit(12, bad=True)
except FloatingPointError as error:
    print(error)
else:
    sys.exit("it did not stop")
"""


@pytest.mark.slow_cases("2-float32")
@pytest.mark.parametrize(
    ("replicas", "policy"),
    [(1, "float32"), (2, "float32"), (1, "mixed_float16")],
)
def test_a_bad_step_leaves_no_trace(replicas, policy, tmp_path):
    code = SCRIPT.format(replicas=replicas, policy=policy)
    result = scripts.run_code(code, tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr[-3000:]
    assert "the first was the teacher's logits, in step 9" in result.stdout


# What no loss shows.

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 6)).astype("float32")
Y = np.arange(12) % 3


def make_net(first=None, width=6):
    first = first or keras.layers.Dense(8, activation="relu")
    return keras.Sequential(
        [keras.Input((width,)), first, keras.layers.Dense(3)]
    )


def make_model(kind="uda", first=keras.layers.BatchNormalization):
    if kind == "uda":
        model, optimizers = UDA(make_net(first())), ["sgd"]
    else:
        model = MetaPseudoLabels(make_net(first()), make_net(first()))
        optimizers = ["sgd", "sgd"]
    model.compile(*optimizers, run_eagerly=True)
    return model


def is_undone(model, x, y=Y):
    """Whether a step counts as bad, and changes nothing."""
    before = [v.numpy() for v in model.weights if "metric" not in v.path]
    views = {"labeled": x, "weak": x, "strong": x}
    data = tf.data.Dataset.from_tensors((views, y))
    model.fit(data, verbose=0, check_first_batch=False)
    after = [v.numpy() for v in model.weights if "metric" not in v.path]
    same = [np.array_equal(*pair) for pair in zip(before, after, strict=True)]
    return int(model.bad_steps) == 1 and sum(same) >= len(same) - 4


@pytest.mark.parametrize("kind", ["uda", "mpl"])
def test_running_statistics_that_become_infinite(kind):
    # The variance of such values is infinite, and what comes out is 0.
    model = make_model(kind)
    assert is_undone(model, np.where(X > 1, X * 1e30, X))
    for network in [*model.trained.values(), model.averaged]:
        for value in network.get_weights():
            assert np.isfinite(value).all()


def test_statistics_of_a_layer_of_ones_own():
    class Largest(keras.layers.Layer):
        def build(self, shape):
            self.largest = self.add_weight(
                shape=(2, 2), initializer="zeros", trainable=False
            )

        def call(self, x):
            self.largest.assign(tf.fill([2, 2], tf.reduce_max(tf.abs(x)) ** 2))
            return tf.clip_by_value(x, -1.0, 1.0)

    assert is_undone(make_model(first=Largest), X * 1e30)


def test_frozen_weights_are_no_statistics():
    net = make_net(keras.layers.BatchNormalization())
    net.layers[-1].trainable = False
    (statistics,) = passes.statistics_of(net)
    assert statistics.shape == (12,)
    net.layers[0].trainable = False
    assert passes.statistics_of(make_net()) == []


@pytest.mark.parametrize("kind", ["uda", "mpl"])
@pytest.mark.parametrize("rows", ["sum", "negative", "zeros"])
def test_rows_of_labels_that_are_no_probabilities(kind, rows):
    y = np.eye(3, dtype="float32")[Y]
    y[3] = {"sum": [1, 1, 0], "negative": [-1, 1, 1], "zeros": 0}[rows]
    dense = functools.partial(keras.layers.Dense, 8)
    assert is_undone(make_model(kind, dense), X, y)


def test_rows_of_labels_that_are_probabilities():
    rows = tf.constant([[0.5, 0.25, 0.25], [0.334, 0.333, 0.333]])
    for dtype in ("float32", "float16", "float64"):
        (odd,) = passes.odd_rows(tf.cast(rows, dtype), 3)
        np.testing.assert_array_equal(odd, [0, 0])


@pytest.mark.parametrize("dtype", ["int64", "uint64", "uint32", "float64"])
def test_labels_out_of_range_do_not_wrap(dtype):
    labels = np.array([1, 2**32 - 1, 2], dtype)
    if dtype != "uint32":
        labels[1] = 2**32 + 1
    rows = dense_labels(labels, 3).numpy()
    assert np.isnan(rows[1]).all()
    np.testing.assert_array_equal(rows[[0, 2]], np.eye(3)[[1, 2]])


def test_labels_of_2_to_the_32_are_undone():
    dense = functools.partial(keras.layers.Dense, 8)
    assert is_undone(make_model(first=dense), X, Y + 2**32)


def test_nan_that_a_fused_operation_swallows():
    # In a graph, a dense layer with ReLU makes 0 of it; gradients show it, but
    # nothing is learned through this view.
    model = MetaPseudoLabels(
        make_net(), make_net(), feedback=None, pseudo_label_view="strong"
    )
    model.compile("sgd", "sgd")
    x = np.where(X > 1, np.nan, X)
    views = {"labeled": X, "weak": x, "strong": X}
    history = model.fit(tf.data.Dataset.from_tensors((views, Y)), verbose=0)
    assert history.history["bad_steps"] == [1]


# Optimizers that would go up.


@pytest.mark.parametrize(
    ("optimizer", "name"),
    [
        (keras.optimizers.SGD(-0.1), "learning_rate"),
        (keras.optimizers.SGD(float("nan")), "learning_rate"),
        (keras.optimizers.SGD(float("inf")), "learning_rate"),
        (
            keras.optimizers.Adam(
                keras.optimizers.schedules.ExponentialDecay(-0.1, 9, 0.9)
            ),
            "learning_rate",
        ),
        (keras.optimizers.AdamW(0.1, weight_decay=-0.1), "weight_decay"),
        (keras.optimizers.SGD(0.1, clipnorm=-1.0), "clipnorm"),
        (keras.optimizers.SGD(0.1, global_clipnorm=0.0), "global_clipnorm"),
        (keras.optimizers.SGD(0.1, clipvalue=-1.0), "clipvalue"),
    ],
)
def test_an_optimizer_that_goes_up(optimizer, name):
    with pytest.raises(ArgumentError, match=f"`optimizer` must.*{name}="):
        UDA(make_net()).compile(optimizer)


def test_a_learning_rate_that_becomes_negative():
    model = make_model("mpl")
    model.student_optimizer.learning_rate = -0.1
    data = {"labeled": X, "weak": X, "strong": X}
    for train in (model.fit, model.train_on_batch):
        with pytest.raises(ArgumentError, match="`student_optimizer` must"):
            train(data, Y)
    model.student_optimizer.learning_rate = 0.0  # it waits
    model.train_on_batch(data, Y)
    down = keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 - epoch)
    with pytest.raises(ArgumentError, match="`student_optimizer`.*rate=-0.9"):
        model.fit(data, Y, epochs=3, verbose=0, callbacks=[down])
    assert int(model.step) == 2


class Assigns(keras.callbacks.Callback):
    """Gives an optimizer a rate in the middle of an epoch."""

    def __init__(self, optimizer, rate, how="assign", at=1):
        super().__init__()
        self.optimizer, self.rate = optimizer, rate
        self.how, self.at = how, at

    def on_train_batch_begin(self, batch, logs=None):
        optimizer = getattr(self.model, self.optimizer)
        rate = optimizer.learning_rate
        if batch != self.at:
            return
        if self.how == "assign":
            rate.assign(self.rate)
        elif self.how == "set":
            optimizer.learning_rate = self.rate
        elif self.how == "subtract":
            rate.assign_sub(1.0)
        else:
            rate.value.assign(self.rate)  # which Keras does not see


ASSIGNED = [
    ("student_optimizer", -0.1, "assign"),
    ("student_optimizer", np.nan, "set"),
    ("teacher_optimizer", -0.1, "assign"),
    ("teacher_optimizer", np.inf, "set"),
    ("teacher_optimizer", -0.9, "subtract"),
    ("student_optimizer", -0.1, "of tensorflow"),
]


def test_a_rate_that_is_assigned_between_steps():
    # One test: each would load the graph anew, which takes a second.
    model = MetaPseudoLabels(make_net(), make_net())
    model.compile("sgd", "sgd")
    data = {"labeled": X, "weak": X, "strong": X}
    batches = tf.data.Dataset.from_tensors((data, Y)).repeat(3)
    for optimizer, rate, how in ASSIGNED:
        for known in (model.student_optimizer, model.teacher_optimizer):
            known.learning_rate = 0.1
        step, callback = int(model.step), Assigns(optimizer, rate, how)
        said = f"`{optimizer}` must have a learning_rate.*rate={rate:.2g}"
        with pytest.raises(ArgumentError, match=said):
            model.fit(batches, verbose=0, callbacks=[callback])
        # Before the step, or else in the epoch.
        spent = 3 if how == "of tensorflow" else 1
        assert int(model.step) == step + spent
    model.student_optimizer.learning_rate.assign(0.1)
    model.teacher_optimizer.learning_rate.assign(-0.1)
    for _ in range(2):
        with pytest.raises(ArgumentError, match="`teacher_optimizer` must"):
            model.train_on_batch(data, Y)
    assert int(model.step) == step + spent
    model.teacher_optimizer.learning_rate.assign(0.0)
    model.train_on_batch(data, Y)


@pytest.mark.parametrize("way", ["fit", "train_on_batch"])
def test_a_schedule_in_place_of_a_rate_reaches_a_step_that_was_traced(way):
    model = UDA(make_net(), consistency=None)
    model.compile(keras.optimizers.SGD(0.0))
    views = {"labeled": X, "weak": X, "strong": X}

    def moved():
        before = model.model.get_weights()
        if way == "fit":
            model.fit(views, Y, batch_size=len(X), verbose=0)
        else:
            model.train_on_batch(views, Y)
        after = model.model.get_weights()
        return max(
            np.abs(a - b).max() for a, b in zip(after, before, strict=True)
        )

    assert moved() == 0
    kind = keras.optimizers.schedules.PiecewiseConstantDecay
    model.optimizer.learning_rate = kind([100], [0.1, 0.0])
    assert moved() > 0
    model.optimizer.learning_rate = kind([100], [0.0, 0.0])
    assert moved() == 0
    model.optimizer.learning_rate = Line(-1.0)
    with pytest.raises(ArgumentError, match="`optimizer` must have a learning"):
        moved()


# Schedules that turn within a training.


class Line(keras.optimizers.schedules.LearningRateSchedule):
    """From 0.3 (or another value) down by 0.1 a step."""

    def __init__(self, start=0.3, slope=-0.1):
        self.start, self.slope = start, slope

    def __call__(self, step):
        return self.start + self.slope * tf.cast(step, tf.float32)

    def get_config(self):
        return {"start": self.start, "slope": self.slope}


def scheduled(kind):
    """A model with one such schedule."""
    optimizers = ["sgd", "sgd"]
    options = {}
    if kind in ("teacher_optimizer", "student_optimizer"):
        optimizers[kind == "student_optimizer"] = keras.optimizers.SGD(Line())
    elif kind == "feedback":
        options[kind] = feedback.HypergradientFeedback(Line())
    elif kind == "supervised_threshold":
        options[kind] = Line(0.75, 0.1)
    else:
        options[kind] = Line()
    model = MetaPseudoLabels(make_net(), make_net(), **options)
    model.compile(*optimizers, run_eagerly=True)
    return model


@pytest.mark.parametrize(
    "kind",
    [
        *("teacher_optimizer", "student_optimizer", "consistency_weight"),
        *("feedback", "supervised_threshold"),
    ],
)
def test_a_schedule_that_turns_is_refused_before_the_first_step(kind):
    model = scheduled(kind)
    data = {"labeled": X, "weak": X, "strong": X}
    batches = tf.data.Dataset.from_tensors((data, Y)).repeat(5)
    step = 3 if kind == "supervised_threshold" else 4
    said = f"`{kind}` must.*at every step.*Line, which is .* at step {step}"
    with pytest.raises(ArgumentError, match=said):
        model.fit(batches, steps_per_epoch=5, verbose=0)
    assert int(model.step) == 0


def test_a_schedule_that_turns_later_is_no_fault():
    model = UDA(make_net(), consistency_weight=Line())
    model.compile(keras.optimizers.SGD(Line(0.9)))
    data = {"labeled": X, "weak": X, "strong": X}
    batches = tf.data.Dataset.from_tensors((data, Y)).repeat(3)
    model.fit(batches, steps_per_epoch=3, verbose=0)
    model.train_on_batch(data, Y)  # 0.3 - 0.3: no weight
    for train in (model.train_on_batch, model.fit):
        with pytest.raises(ArgumentError, match="weight=Line.*-0.1 at step 4"):
            train(data, Y)
    assert int(model.step) == 4


def test_schedules_of_other_kinds():
    def check(schedule, **options):
        step = keras.Variable(0, dtype="int64")
        part = Scheduled("feedback", "weight", schedule, step, **options)
        ScheduleCheck(lambda: [part]).all_of(9)

    check(Line(0.0), any_sign=True)  # an ablation
    check(Line(-0.2), any_sign=True)
    for bad in (Line(0.3), Line(-0.2, 0.1)):
        with pytest.raises(ArgumentError, match="`feedback` must"):
            check(bad)
    with pytest.raises(ArgumentError, match="`feedback` must have a weight"):
        check(Line(0.3), any_sign=True)
    with pytest.raises(ArgumentError, match="nan at step 0"):
        check(Line(np.nan))
    check(keras.optimizers.schedules.CosineDecay(0.1, 5, warmup_steps=2))
    check(schedules.SignalAnnealing(5, 3), most=1.0)


@pytest.mark.parametrize(
    ("steps", "begun", "warns"),
    [(100, 0, True), (200, 0, True), (201, 0, False), (100, 50, False)],
)
def test_a_rate_that_waits_for_all_of_a_training_is_told_of(
    steps, begun, warns
):
    step = keras.Variable(begun, dtype="int64")
    rate = schedules.Delayed(0.1, 200)
    part = Scheduled("student_optimizer", "learning rate", rate, step)
    check = ScheduleCheck(lambda: [part])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check.warn_of_waiting(steps)
        check.warn_of_waiting(0)  # of unknown length
    said = [str(warning.message) for warning in caught]
    assert len(said) == warns
    if warns:
        assert "`student_optimizer` is 0 until step 200" in said[0]
        assert f"ends at step {steps}: " in said[0]


def test_many_schedules_in_one_process_bring_no_warning(caplog):
    """TensorFlow warns of one function's many graphs."""
    log = tf.get_logger()
    propagates, log.propagate = log.propagate, True
    for _ in range(7):
        step = keras.Variable(0, dtype="int64")
        part = Scheduled("feedback", "weight", Line(1.0), step)
        ScheduleCheck(lambda part=part: [part]).all_of(3)
    log.propagate = propagates
    assert not caplog.records

    class Table(Line):
        def __call__(self, step):
            return tf.gather([0.3, 0.2], step)  # none further ahead

    step = keras.Variable(0, dtype="int64")
    part = Scheduled("feedback", "weight", Table(), step)
    ScheduleCheck(lambda: [part]).before(1)


# Inputs of teacher and student.


def functional(shape):
    if isinstance(shape, dict):
        inputs = {name: keras.Input(s, name=name) for name, s in shape.items()}
        parts = [keras.layers.Flatten()(x) for x in inputs.values()]
        x = keras.layers.Concatenate()(parts)
    else:
        inputs = keras.Input(shape)
        x = keras.layers.GlobalAveragePooling2D()(inputs)
    return keras.Model(inputs, keras.layers.Dense(3)(x))


@pytest.mark.parametrize(
    ("teacher", "student"),
    [
        (make_net(width=6), make_net(width=5)),
        (functional((8, 8, 3)), functional((8, 8, 1))),
        (functional((8, 8, 3)), functional((16, 16, 3))),
        (
            functional({"a": (2,), "b": (3,)}),
            functional({"a": (2,), "b": (4,)}),
        ),
    ],
)
def test_inputs_that_differ(teacher, student):
    with pytest.raises(ArgumentError, match="`student` must take.*`teacher`"):
        requirements.check_pair(teacher, student)


@pytest.mark.parametrize(
    ("teacher", "student"),
    [
        (functional((None, None, 3)), functional((8, 8, 3))),
        (functional({"a": (2,), "b": (3,)}), functional({"a": (2,)})),
        (
            make_net(),
            keras.Sequential(
                [
                    keras.Input((6, 1)),
                    keras.layers.Flatten(),
                    keras.layers.Dense(3),
                ]
            ),
        ),
    ],
)
def test_inputs_that_can_be_the_same(teacher, student):
    requirements.check_pair(teacher, student)
