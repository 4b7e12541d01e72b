"""What is shown: nothing where nothing was measured, the same keys always."""

import csv

import keras
import numpy as np
import pandas
import pytest
import scripts
import seeds
import tensorflow as tf

from mpl_keras import (
    UDA,
    MetaPseudoLabels,
    datasets,
    feedback,
    losses,
    schedules,
)
from mpl_keras.callbacks import PseudoLabelMonitor
from mpl_keras.checks import ArgumentError
from mpl_keras.models import metric_checks
from mpl_keras.models.step_metrics import MeanOfSome

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 6)).astype("float32")
Y = np.arange(60) % 3


def make_net():
    layers = keras.layers
    return keras.Sequential(
        [keras.Input((6,)), layers.Dense(8, "relu"), layers.Dense(3)]
    )


def make_model(metrics=("accuracy",), eager=False, **options):
    model = UDA(make_net(), **options)
    model.compile("sgd", metrics=list(metrics), run_eagerly=eager)
    return model


def batches(y=Y, steps=2, bad=False, weight=None):
    views = {"labeled": X, "weak": X, "strong": X * np.nan if bad else X}
    parts = (views, y) if weight is None else (views, y, weight)
    return tf.data.Dataset.from_tensors(parts).repeat(steps)


@pytest.fixture(scope="module")
def model():
    """One that is compiled and traced once."""
    seeds.set_random_seed(0)
    return make_model()


# A number where nothing was measured.


def test_an_epoch_that_was_undone_has_no_numbers(model):
    seen = []

    class Steps(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(dict(logs))

    history = model.fit(batches(bad=True), verbose=0, callbacks=[Steps()])
    history = history.history
    undone = history.pop("bad_steps")[0]
    assert undone == int(model.bad_steps)
    assert len(history) == 7 and np.isnan(list(history.values())).all()
    assert all(np.isnan(list(logs.values())).all() for logs in seen)
    after = model.fit(batches(), verbose=0).history
    assert np.isfinite(list(after.values())).all()
    assert after["bad_steps"] == [undone]


def test_the_best_epoch_is_one_that_was_trained(model, tmp_path):
    stop = keras.callbacks.EarlyStopping("loss", patience=9)
    model.fit(batches(), verbose=0, callbacks=[stop])
    best = stop.best
    assert best > 0
    model.fit(batches(bad=True), verbose=0, callbacks=[stop])
    assert stop.best is None or stop.best >= best or np.isnan(stop.best)


@pytest.mark.parametrize("eager", [False, True])
def test_labels_without_weight_measure_nothing(eager):
    model = make_model(eager=eager, consistency=None)
    history = model.fit(
        batches(weight=np.zeros(60)), epochs=1, verbose=0
    ).history
    assert np.isnan(history["supervised_loss"] + history["loss"]).all()
    weight = np.repeat([0.0, 2.0], 30)
    history = model.fit(batches(weight=weight), verbose=0).history
    assert np.isfinite(history["supervised_loss"]).all()


VIEWS = {"labeled": X, "weak": X, "strong": X}
BY_LABELS = ("loss", "supervised_loss", "teacher_loss", "h")
BY_LABELS += ("feedback_loss", "feedback_share", "accuracy")


@pytest.mark.parametrize("kind", ["uda", "mpl", "mpl alone", "difference"])
def test_a_batch_whose_labels_weigh_nothing(kind):
    if kind == "uda":
        model = make_model(eager=True)
    else:
        options = {"consistency": None} if kind == "mpl alone" else {}
        if kind == "difference":
            options["feedback"] = feedback.LossDifferenceFeedback()
        model = MetaPseudoLabels(make_net(), make_net(), **options)
        model.compile("sgd", "sgd", run_eagerly=True)

    def train(weight):
        weight = np.full(60, weight, "float32")
        logs = model.train_on_batch(VIEWS, Y, weight, return_dict=True)
        return {name: np.isfinite(logs[name]) for name in logs}

    known = train(0.0)
    assert {name for name in known if not known[name]} == {
        name for name in BY_LABELS if name in known
    }
    assert all(train(1.0).values())  # means over both
    if kind == "difference":
        # Nothing was measured that a baseline could be of.
        assert float(model.feedback.count) == 1.0
    assert int(model.bad_steps) == 0


def test_labels_without_weight_beside_others_to_measure_with():
    model = MetaPseudoLabels(make_net(), make_net())
    model.compile("sgd", "sgd", run_eagerly=True)
    logs = model.train_on_batch(
        VIEWS | {"meta": X},
        {"labeled": Y, "meta": Y},
        np.zeros(60, "float32"),
        return_dict=True,
    )
    unknown = {name for name in logs if np.isnan(logs[name])}
    assert unknown == {"supervised_loss", "teacher_loss"}


def test_a_threshold_that_keeps_no_label_measures_nothing():
    model = make_model(eager=True, supervised_threshold=0.0)
    logs = model.train_on_batch(
        {"labeled": X, "weak": X, "strong": X}, Y, return_dict=True
    )
    assert np.isnan(logs["supervised_loss"])
    assert np.isfinite(logs["loss"])  # of the consistency


def test_a_metric_that_is_never_updated(model):
    class Sometimes(keras.metrics.Mean):
        def update_state(self, y_true, y_pred, sample_weight=None):
            pass

    model = make_model([Sometimes("sometimes")], eager=True)
    result = model.evaluate(X, Y, verbose=0, return_dict=True)
    assert np.isnan(result["sometimes"]) and result["loss"] > 0


def test_weighted_metrics_without_weight():
    model = UDA(make_net())
    model.compile(
        "sgd",
        metrics=["accuracy"],
        weighted_metrics=["accuracy"],
        run_eagerly=True,
    )
    test = tf.data.Dataset.from_tensors((X, Y, np.zeros(60, "float32")))
    with pytest.warns(UserWarning, match="weigh 0"):
        result = model.evaluate(test, verbose=0, return_dict=True)
    assert np.isnan(list(result.values())).all()
    result = model.evaluate(X, Y, verbose=0, return_dict=True)
    assert np.isfinite(list(result.values())).all()
    with pytest.raises(ValueError, match="`sample_weight` must not be 0"):
        model.evaluate(X, Y, sample_weight=np.zeros(60))


@pytest.mark.parametrize(
    "y",
    [Y + 1, Y - 1, Y + 2**32, np.eye(3)[Y] * 2, np.eye(3)[Y] - [0.5, 0, 0]],
    ids=["above", "below", "wraps", "sum", "negative"],
)
def test_an_evaluation_on_wrong_labels_has_no_numbers(model, y):
    y = y.astype("float32" if y.ndim == 2 else "int64")
    test = tf.data.Dataset.from_tensor_slices((X, y)).batch(25)
    with pytest.warns(UserWarning, match="not finite.*labels outside"):
        result = model.evaluate(test, verbose=0, return_dict=True)
    assert np.isnan(list(result.values())).all()


@pytest.mark.parametrize(
    "call",
    [
        lambda model, data: model.evaluate(data.test),
        lambda model, data: model.evaluate(data.validation),
        lambda model, data: model.predict(data.test),
        lambda model, data: model.predict_on_batch(data.test),
        lambda model, data: model.test_on_batch(data.test),
    ],
)
def test_data_without_a_test_set_say_how_to_give_one(model, call):
    data = datasets.from_arrays(X[:3], Y[:3], X[3:])
    with pytest.raises(ValueError, match="`x` .* made without `test` or `val"):
        call(model, data)


def test_an_evaluation_on_bad_examples_has_no_numbers(model):
    x = X.copy()
    x[40] = np.inf
    test = tf.data.Dataset.from_tensor_slices((x, Y)).batch(25)
    with pytest.warns(UserWarning, match="values in the data"):
        result = model.evaluate(test, verbose=0, return_dict=True)
    assert set(result) == {"loss", "accuracy"}
    assert np.isnan(list(result.values())).all()
    with pytest.raises(ValueError, match="`x` must be finite"):
        model.evaluate(x, Y, verbose=0)
    with pytest.raises(ValueError, match=r"`validation_data\[0\]` must be fin"):
        model.fit(batches(), validation_data=(x, Y), verbose=0)


def test_the_mean_of_nothing():
    mean = MeanOfSome("loss")
    assert np.isnan(float(mean.result()))
    mean.update_state(3.0, sample_weight=0.0)
    assert np.isnan(float(mean.result()))
    mean.update_state(2.0)
    assert float(mean.result()) == 2.0


# The same keys in each epoch.


def test_all_keys_come_with_the_first_epoch(model, tmp_path):
    path = tmp_path / "log.csv"
    parts = batches(steps=2).concatenate(batches(steps=2, bad=True))
    monitor = PseudoLabelMonitor(X, Y, every=2)
    history = model.fit(
        parts.concatenate(batches(steps=2)),
        epochs=3,
        steps_per_epoch=2,
        validation_data=(X, Y),
        verbose=0,
        callbacks=[monitor, keras.callbacks.CSVLogger(str(path))],
    ).history
    frame = pandas.DataFrame(history)
    assert len(frame) == 3 and "bad_steps" in frame
    assert frame["bad_steps"].diff().tolist()[1:] == [2, 0]
    accuracy = frame["pseudo_label_accuracy"]
    assert accuracy.isna().tolist() == [True, False, True]
    rows = list(csv.DictReader(path.open()))
    assert [float(row["bad_steps"]) for row in rows] == list(frame.bad_steps)


def test_a_list_of_callbacks_has_the_same_keys(model):
    # Keras takes one ready made, too, and adds nothing to it.
    history = keras.callbacks.History()
    callbacks = keras.callbacks.CallbackList([history], model=model)
    for _ in range(2):
        model.fit(batches(), verbose=0, callbacks=callbacks)
        assert "bad_steps" in history.history
    assert callbacks.callbacks == [history]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("mpl", "h"),
        ("mpl", "feedback_share"),
        ("uda", "mask_rate"),
        ("uda", "loss"),
        ("uda", "bad_steps"),
        ("uda", "val_accuracy"),
    ],
)
@pytest.mark.parametrize("argument", ["metrics", "weighted_metrics"])
def test_a_metric_with_a_name_of_ours(kind, name, argument):
    metric = keras.metrics.SparseCategoricalAccuracy(name)
    if kind == "uda":
        model, optimizers = UDA(make_net()), ["sgd"]
    else:
        model = MetaPseudoLabels(make_net(), make_net())
        optimizers = ["sgd", "sgd"]
    with pytest.raises(ArgumentError, match=f"`{argument}` must not.*'{name}'"):
        model.compile(*optimizers, **{argument: ["accuracy", metric]})
    assert not model.compiled


@pytest.mark.parametrize(
    "name", ["learning_rate", "lr", "pseudo_label_accuracy", "epoch", "val_x"]
)
def test_a_metric_with_a_name_of_a_callbacks(name):
    metric = keras.metrics.SparseCategoricalAccuracy(name)
    with pytest.raises(ArgumentError, match=f"`metrics` must not.*'{name}'"):
        metric_checks.check_names([metric], "metrics", [])


@pytest.mark.parametrize(
    ("loss", "hint"),
    [
        (keras.losses.SparseCategoricalCrossentropy(), "keras.metrics.Sparse"),
        (keras.losses.MeanSquaredError, "keras.metrics.MeanSquaredError"),
        (keras.losses.Huber(), "MeanMetricWrapper"),
        ("CategoricalFocalCrossentropy", "MeanMetricWrapper.*a loss"),
        ("Dice", "MeanMetricWrapper"),
        (losses.ConsistencyLoss(), "MeanMetricWrapper"),
    ],
    ids=list("abcdef"),
)
def test_a_loss_is_no_metric(loss, hint):
    model = UDA(make_net())
    with pytest.raises(ArgumentError, match=f"`metrics`.*no losses.*{hint}"):
        model.compile("sgd", metrics=["accuracy", loss])


class Batches(keras.utils.PyDataset):
    """What it is given, in one batch."""

    def __init__(self, *parts):
        super().__init__()
        self.parts = parts

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self.parts


@pytest.mark.parametrize(
    "data",
    [
        X,
        (X,),
        [X],
        {"x": X, "y": Y},
        "test",
        iter([(X, Y)]),
        pandas.DataFrame(X),
        (X, Y, Y, Y),
        tf.constant(X),
        (X, None),
        Batches(X),
        tf.data.Dataset.from_tensors(X),
    ],
    ids=lambda data: type(data).__name__,
)
def test_validation_without_labels_is_refused_before_a_step(model, data):
    step = int(model.step)
    with pytest.raises(ValueError, match="validation_data"):
        model.fit(batches(), validation_data=data, verbose=0)
    assert int(model.step) == step


def test_validation_by_batches_of_keras(model):
    history = model.fit(
        batches(), validation_data=Batches(X, Y), verbose=0
    ).history
    assert history["val_accuracy"]


def test_a_function_with_a_name_of_ours():
    def mask_rate(y_true, y_pred):
        return y_pred[:, 0]

    with pytest.raises(ArgumentError, match="must not.*'mask_rate'"):
        metric_checks.check_names([[mask_rate]], "metrics", ["mask_rate"])


def test_a_metric_that_keras_does_not_know():
    with pytest.raises(ArgumentError, match="did you mean 'F1Score'"):
        metric_checks.check_names(["F1score"], "metrics", [])
    with pytest.raises(ArgumentError, match="'MeanIoU'.*num_classes"):
        metric_checks.check_names(["MeanIoU"], "metrics", [])


# Metrics, and the form of the labels.

# Those of `keras.metrics` that compare labels with answers.
SPARSE = [
    "SparseCategoricalAccuracy",
    "SparseTopKCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
]
DENSE = [
    *("Accuracy", "AUC", "BinaryAccuracy", "BinaryCrossentropy"),
    *("CategoricalAccuracy", "CategoricalCrossentropy", "CategoricalHinge"),
    *("ConcordanceCorrelation", "CosineSimilarity", "F1Score"),
    *("FalseNegatives", "FalsePositives", "Hinge", "KLDivergence"),
    *("LogCoshError", "MeanAbsoluteError", "MeanAbsolutePercentageError"),
    *("MeanSquaredError", "MeanSquaredLogarithmicError"),
    *("PearsonCorrelation", "Poisson", "Precision", "R2Score", "Recall"),
    *("RootMeanSquaredError", "SquaredHinge", "TopKCategoricalAccuracy"),
    *("TrueNegatives", "TruePositives", "FBetaScore", "BinaryIoU"),
]
OBJECTS = {
    "AUC(multi_label)": lambda k: k.AUC(multi_label=True, num_labels=3),
    "AUC(late)": lambda k: k.AUC(multi_label=True),
    "AUC(from_logits)": lambda k: k.AUC(thresholds=[-1.0, 0.0, 1.0]),
    "F1Score(macro)": lambda k: k.F1Score(average="macro"),
    "IoU": lambda k: k.IoU(3, [0], sparse_y_pred=False),
    "IoU(pred)": lambda k: k.IoU(3, [0]),
    "MeanIoU": lambda k: k.MeanIoU(3, sparse_y_pred=False),
    "OneHotIoU": lambda k: k.OneHotIoU(3, [0, 2]),
    "OneHotMeanIoU": lambda k: k.OneHotMeanIoU(3),
    "Precision(top_k)": lambda k: k.Precision(top_k=1, class_id=1),
    "PrecisionAtRecall": lambda k: k.PrecisionAtRecall(0.5),
    "Recall(class)": lambda k: k.Recall(class_id=2),
    "RecallAtPrecision": lambda k: k.RecallAtPrecision(0.4),
    "SensitivityAtSpecificity": lambda k: k.SensitivityAtSpecificity(0.5),
    "SpecificityAtSensitivity": lambda k: k.SpecificityAtSensitivity(0.5),
    "Sparse(from_logits)": lambda k: k.SparseCategoricalCrossentropy(
        from_logits=True
    ),
    "SparseTopK(2)": lambda k: k.SparseTopKCategoricalAccuracy(2),
    "TopK(2)": lambda k: k.TopKCategoricalAccuracy(2),
    "function": lambda k: k.categorical_crossentropy,
    "sparse function": lambda k: k.sparse_top_k_categorical_accuracy,
}
# What is no measure of answers, or a class that others are made of.
LEFT_OUT = {"Mean", "MeanMetricWrapper", "Metric", "Sum"}
MADE = {"IoU", "MeanIoU", "OneHotIoU", "OneHotMeanIoU", "PrecisionAtRecall"}
MADE |= {"RecallAtPrecision", "SensitivityAtSpecificity"}
MADE |= {"SpecificityAtSensitivity"}


def test_the_list_has_all_metrics_of_keras():
    classes = {
        name
        for name, value in vars(keras.metrics).items()
        if isinstance(value, type) and issubclass(value, keras.metrics.Metric)
    }
    assert classes == {*SPARSE, *DENSE, *LEFT_OUT, *MADE}


def by(way, name):
    """The same metric, given by its name, by its class, or as an object."""
    if name in OBJECTS:
        return OBJECTS[name](keras.metrics)
    return name if way == "name" else getattr(keras.metrics, name)()


def plain(metric, y):
    """What Keras gives on the same answers; None if it cannot."""
    net = keras.Sequential([keras.Input((3,)), keras.layers.Identity()])
    net.compile(loss=lambda y, p: p[:, 0], metrics=[metric], run_eagerly=True)
    try:
        return net.evaluate(LOGITS, y, verbose=0, batch_size=25)[1]
    except Exception:  # of many kinds
        return None


LOGITS = RNG.normal(size=(60, 3)).astype("float32")


class Answers(UDA):
    """Whose average answers what it is asked."""

    def call(self, inputs, training=None):
        return inputs


def ours(metric, y):
    """What a model of this library gives; None after a clear error."""
    net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    model = Answers(net)
    model.compile("sgd", metrics=[metric], run_eagerly=True)
    try:
        result = model.evaluate(LOGITS, y, verbose=0, batch_size=25)
    except ArgumentError as error:
        assert "`metrics` must take labels" in str(error)
        return None
    return result[1]


def check_metric(way, name, rows):
    y = np.eye(3, dtype="float32")[Y] if rows else Y
    value = ours(by(way, name), y)
    expected = plain(by(way, name), y)
    if value is not None:
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)
    fits = rows == (name not in SPARSE and "parse" not in name)
    if fits and name not in {"IoU", "IoU(pred)", "MeanIoU"}:
        assert value is not None, f"Keras gives {expected}"


@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize(
    "name",
    [
        *("AUC", "CategoricalAccuracy", "F1Score", "TopKCategoricalAccuracy"),
        *("SparseCategoricalAccuracy", "MeanIoU", "BinaryIoU", "function"),
    ],
)
def test_a_metric_is_keras_own_or_refused(name, rows):
    check_metric("object", name, rows)


@pytest.mark.slow
@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize("way", ["name", "object"])
@pytest.mark.parametrize("name", [*SPARSE, *DENSE, *OBJECTS])
def test_every_metric_is_keras_own_or_refused(name, way, rows):
    check_metric(way, name, rows)


def test_a_metric_is_refused_before_the_first_step(model):
    for metric in ("AUC", keras.metrics.CategoricalAccuracy()):
        refused = make_model([metric])
        with pytest.raises(ArgumentError, match="`metrics` must.*'[Ac].*rows"):
            refused.fit(batches(), verbose=0)
        assert int(refused.step) == 0
        with pytest.raises(ArgumentError, match="`metrics` must take labels"):
            refused.evaluate(batches().map(lambda x, y: (x["weak"], y)))


def test_a_metric_of_the_user_is_tried():
    def sum_of_columns(y_true, y_pred):
        return tf.reduce_sum(y_true[:, 0] * y_pred[:, 0])

    class Columns(keras.metrics.Metric):
        def update_state(self, y_true, y_pred, sample_weight=None):
            sum_of_columns(y_true, tf.cast(y_pred, y_true.dtype))

        def result(self):
            return 0.0

    metric_checks.check_labels([Columns()], "metrics", True, 3)
    with pytest.raises(ArgumentError, match="labels that are integers.*'col"):
        metric_checks.check_labels([Columns()], "metrics", False, 3)
    # What cannot be made anew cannot be tried.
    columns = Columns()
    columns.get_config = None
    metric_checks.check_labels([columns], "metrics", False, 3)


REPLICAS = """
import tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)
import sys
sys.path.insert(0, {tests!r})
import numpy as np
import keras
import test_measuring as t
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
for name in {names!r}:
    for rows in (False, True):
        y = np.eye(3, dtype="float32")[t.Y] if rows else t.Y
        with strategy.scope():
            net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
            model = t.Answers(net)
            model.compile("sgd", metrics=[t.by("object", name)])
        data = tf.data.Dataset.from_tensor_slices((t.LOGITS, y)).batch(25)
        try:
            value = model.evaluate(data, verbose=0)[1]
        except t.ArgumentError as error:
            continue
        expected = t.plain(t.by("object", name), y)
        if not np.allclose(
            value, expected, rtol=1e-5, atol=1e-6, equal_nan=True
        ):
            sys.exit(f"{{name}}, rows {{rows}}: {{value}}, not {{expected}}")
        print(name, rows)
"""


def run_on_replicas(names, tmp_path):
    import pathlib

    tests = str(pathlib.Path(__file__).parent)
    code = REPLICAS.format(tests=tests, names=names)
    result = scripts.run_code(code, tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr[-3000:]
    return result.stdout


@pytest.mark.slow
def test_metrics_on_two_replicas(tmp_path):
    shown = run_on_replicas([*SPARSE, *DENSE, *OBJECTS], tmp_path)
    assert "AUC True" in shown and "F1Score True" in shown


def test_steps_per_execution_is_a_number():
    for value in ("auto", 0, 1.5, None):
        with pytest.raises(ArgumentError, match="`steps_per_execution` must"):
            UDA(make_net()).compile("sgd", steps_per_execution=value)


def test_a_schedule_at_its_end_keeps_its_labels():
    # A threshold of 1 keeps all: the loss is a mean of them, as before.
    model = make_model(
        eager=True,
        supervised_threshold=schedules.SignalAnnealing(1, 3, shape="linear"),
    )
    views = {"labeled": X, "weak": X, "strong": X}
    logs = model.train_on_batch(views, Y, return_dict=True)
    assert np.isfinite(logs["supervised_loss"])
