"""Callbacks: what they set, what they measure, and where it is seen."""

import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_keras
from mpl_keras import callbacks, losses, schedules
from mpl_keras.callbacks import progress as progress_module


def make_net(width=3):
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(width)])


def make_net_of_3():
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])


def fixed_net(logits):
    """A network whose logits are its inputs times 1."""
    width = np.shape(logits)[-1]
    network = keras.Sequential(
        [keras.Input((width,)), keras.layers.Dense(width, use_bias=False)]
    )
    network.set_weights([np.eye(width)])
    return network


def probabilities(rows):
    """Logits that a network without bias passes on, of these rows."""
    return np.log(np.array(rows, "float32"))


ROWS = probabilities(
    [[0.9, 0.05, 0.05], [0.2, 0.7, 0.1], [0.5, 0.3, 0.2], [0.1, 0.8, 0.1]]
)


# Ramps.


def fit_with(callback, loss, steps=6, epochs=1, **kwargs):
    """Trains on an annealed loss, and records the value at each step."""
    seen = []

    class Recorder(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            seen.append(float(callback._variable))

    network = make_net()
    network.compile(keras.optimizers.SGD(0.1), loss, **kwargs)
    history = network.fit(
        np.ones((steps, 2)),
        np.zeros(steps, int),
        batch_size=1,
        epochs=epochs,
        verbose=0,
        callbacks=[callback, Recorder()],
    )
    return network, history, seen


def test_annealing_is_set_before_each_step():
    loss = losses.AnnealedSparseCategoricalCrossentropy()
    callback = callbacks.SignalAnnealing(loss, schedules.LinearRamp(1.0, 4))
    _, history, seen = fit_with(callback, loss)
    assert seen == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    assert history.history["threshold"] == [1.0]


def test_a_number_is_a_schedule_too():
    loss = losses.AnnealedSparseCategoricalCrossentropy()
    _, _, seen = fit_with(callbacks.SignalAnnealing(loss, 0.5), loss, steps=2)
    assert seen == [0.5, 0.5]


def test_a_ramp_goes_on_where_the_optimizer_is(tmp_path):
    # The step comes from the optimizer, which is saved with the model.
    loss = losses.AnnealedSparseCategoricalCrossentropy()
    callback = callbacks.SignalAnnealing(loss, schedules.LinearRamp(1.0, 8))
    network, _, _ = fit_with(callback, loss, steps=4)
    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    again = callbacks.SignalAnnealing(loaded.loss, schedules.LinearRamp(1.0, 8))
    history = loaded.fit(
        np.ones((2, 2)), np.zeros(2, int), verbose=0, callbacks=[again]
    )
    assert history.history["threshold"] == [0.5]


def test_consistency_weight_is_set_on_the_loss():
    loss = losses.UDALoss(weight=0.0)
    callback = callbacks.ConsistencyWeightRamp(
        loss, schedules.LinearRamp(8.0, 4)
    )
    callback.set_model(make_net())
    callback.model.compile("sgd", "mse")
    callback.model.optimizer.iterations.assign(3)
    callback.on_train_batch_begin(0)
    assert float(loss.weight) == 6.0
    logs = {}
    callback.on_epoch_end(0, logs)
    assert logs == {"weight": 6.0}


def test_steps_per_execution_sets_it_once_per_execution():
    loss = losses.AnnealedSparseCategoricalCrossentropy()
    callback = callbacks.SignalAnnealing(loss, schedules.LinearRamp(1.0, 4))
    _, _, seen = fit_with(callback, loss, steps=4, steps_per_execution=2)
    assert seen == [0.0, 0.5]


# The monitor.


def test_monitor_by_hand():
    # Classes 0, 1, 0, 1 with confidences 0.9, 0.7, 0.5, 0.8.
    monitor = callbacks.PseudoLabelMonitor(
        ROWS, y=[0, 1, 1, 2], network=fixed_net(ROWS), threshold=0.75
    )
    assert monitor.measure() == pytest.approx(
        {
            "pseudo_label_mean_confidence": 2.9 / 4,
            "pseudo_label_coverage": 0.5,
            # |1/2 - 1/3| + |1/2 - 1/3| + |0 - 1/3| = 2/3, and half of it.
            "pseudo_label_marginal_gap": 1 / 3,
            "pseudo_label_accuracy": 0.5,
            "pseudo_label_accuracy_covered": 0.5,
        },
        rel=1e-5,
    )
    np.testing.assert_allclose(monitor.marginals, [[0.5, 0.5, 0.0]])


def test_accuracy_among_the_covered():
    for threshold, expected in ((0.85, 1.0), (0.6, 2 / 3), (0.0, 0.5)):
        monitor = callbacks.PseudoLabelMonitor(
            ROWS,
            y=[0, 1, 1, 2],
            network=fixed_net(ROWS),
            threshold=threshold,
        )
        np.testing.assert_allclose(
            monitor.measure()["pseudo_label_accuracy_covered"], expected
        )
    monitor.threshold = 1.0
    values = monitor.measure()
    assert values["pseudo_label_coverage"] == 0.0
    assert np.isnan(values["pseudo_label_accuracy_covered"])


def test_marginals_are_held_against_what_is_expected():
    monitor = callbacks.PseudoLabelMonitor(
        ROWS, network=fixed_net(ROWS), expected_marginals=[0.5, 0.5, 0.0]
    )
    assert monitor.measure()["pseudo_label_marginal_gap"] == 0.0
    monitor.expected_marginals = [0.0, 0.0, 1.0]
    assert monitor.measure()["pseudo_label_marginal_gap"] == 1.0


@pytest.mark.parametrize(
    "y", [[0, 1, 1, 2], [[0], [1], [1], [2]], np.eye(3)[[0, 1, 1, 2]]]
)
def test_truth_in_every_form(y):
    monitor = callbacks.PseudoLabelMonitor(ROWS, y, network=fixed_net(ROWS))
    assert monitor.measure()["pseudo_label_accuracy"] == 0.5


def test_without_truth_there_is_no_accuracy():
    monitor = callbacks.PseudoLabelMonitor(ROWS, network=fixed_net(ROWS))
    assert set(monitor.measure()) == {
        "pseudo_label_mean_confidence",
        "pseudo_label_coverage",
        "pseudo_label_marginal_gap",
    }


def test_monitor_survives_extreme_logits():
    rows = np.array([[1e4, 0.0], [-1e4, 0.0]], "float32")
    monitor = callbacks.PseudoLabelMonitor(rows, network=fixed_net(rows))
    values = monitor.measure()
    assert values["pseudo_label_mean_confidence"] == 1.0
    assert values["pseudo_label_marginal_gap"] == 0.0


@pytest.mark.parametrize("method", ["mpl", "uda", "own"])
def test_monitor_adds_to_the_history(method):
    x = np.random.default_rng(0).normal(size=(12, 2)).astype("float32")
    y = np.arange(12) % 3
    views = {"labeled": x, "weak": x, "strong": x}
    if method == "mpl":
        model = mpl_keras.MetaPseudoLabels(make_net(), make_net())
        model.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1))
    elif method == "uda":
        model = mpl_keras.UDA(make_net())
        model.compile(keras.optimizers.SGD(0.1))
    else:
        model, views = make_net(), x
        model.compile("sgd", "sparse_categorical_crossentropy")
    monitor = callbacks.PseudoLabelMonitor(x, y, threshold=0.5, every=2)
    history = model.fit(
        views, y, batch_size=4, epochs=4, verbose=0, callbacks=[monitor]
    ).history
    assert len(history["loss"]) == 4
    names = ("coverage", "marginal_gap", "accuracy", "accuracy_covered")
    for name in names:  # in all epochs, NaN where it was not measured
        values = np.array(history[f"pseudo_label_{name}"])
        assert len(values) == 4 and np.isnan(values[::2]).all()
    assert not np.isnan(history["pseudo_label_coverage"][1::2]).any()
    assert np.shape(monitor.marginals) == (2, 3)
    # The last values are those of the network that labels, as it is now.
    labeller = model.teacher if method == "mpl" else model
    expected = np.mean(labeller.predict(x, verbose=0).argmax(axis=-1) == y)
    assert history["pseudo_label_accuracy"][-1] == pytest.approx(expected)


def test_monitor_does_not_hide_the_metrics_of_the_model():
    # The model reports the confidence on its training batches under a name of
    # its own; the monitor measures another thing, on other examples.
    x = np.zeros((8, 2), "float32")
    y = np.arange(8) % 3
    model = mpl_keras.UDA(make_net())
    model.compile(keras.optimizers.SGD(0.1))
    views = {"labeled": x, "weak": x, "strong": x}
    plain = model.fit(views, y, verbose=0).history
    monitor = callbacks.PseudoLabelMonitor(x, network=fixed_net(x))
    assert not set(monitor.measure()) & set(plain)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"y": [0] * 3}, "`y`.*3"),
        ({"y": [0, 1, 2, 3]}, "`y`.*3"),
        ({"expected_marginals": [0.5, 0.5]}, "`expected_marginals`"),
        ({"expected_marginals": [0.5, 0.9, 0.9]}, "`expected_marginals`"),
        ({"network": "teacher"}, "`network`"),
    ],
)
def test_monitor_refuses_before_a_step_is_spent(kwargs, message):
    x = np.zeros((4, 2), "float32")
    network = make_net()
    network.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match=message):
        monitor = callbacks.PseudoLabelMonitor(x, **kwargs)
        network.fit(x, np.zeros(4), verbose=0, callbacks=[monitor])
    assert int(network.optimizer.iterations) == 0


@pytest.mark.parametrize(
    "kwargs",
    [
        {"threshold": 1.2},
        {"threshold": "high"},
        {"threshold": float("nan")},
        {"batch_size": 0},
        {"batch_size": 2.5},
        {"every": 0},
        {"every": True},
    ],
)
def test_monitor_checks_its_numbers(kwargs):
    ((name, value),) = kwargs.items()
    with pytest.raises(ValueError, match=f"`{name}` must.*Received: {name}="):
        callbacks.PseudoLabelMonitor(np.zeros((4, 2)), **kwargs)


@pytest.mark.parametrize(
    ("callback", "loss", "name"),
    [
        (callbacks.ConsistencyWeightRamp, losses.ConsistencyLoss(), "weight"),
        (callbacks.ConsistencyWeightRamp, "mse", "weight"),
        (callbacks.SignalAnnealing, losses.ConsistencyLoss(0.7), "threshold"),
        (callbacks.SignalAnnealing, None, "threshold"),
    ],
)
def test_a_ramp_needs_a_loss_that_it_can_set(callback, loss, name):
    with pytest.raises(ValueError, match=f"`loss` must.*`{name}`.*Received"):
        callback(loss, 1.0)


@pytest.mark.parametrize("schedule", [-1.0, "linear", None, lambda step: 1.0])
def test_a_ramp_needs_a_schedule(schedule):
    with pytest.raises(ValueError, match="`schedule` must.*Received"):
        callbacks.ConsistencyWeightRamp(losses.UDALoss(), schedule)


def test_a_threshold_cannot_be_above_one():
    loss = losses.AnnealedSparseCategoricalCrossentropy()
    with pytest.raises(ValueError, match="`schedule` must.*Received"):
        callbacks.SignalAnnealing(loss, 1.5)


def test_progress_tells_steps_and_time(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress_module.time, "time", lambda: now[0])
    model = mpl_keras.UDA(make_net())
    model.step.assign(40)
    progress = callbacks.Progress(100)
    progress.set_model(model)
    progress.on_train_begin()
    progress.on_epoch_begin(0)
    for batch in (1, 3, 5):  # executions of two steps
        now[0] += 10.0
        progress.on_train_batch_end(batch, {})
    progress.on_epoch_end(0, {})
    # 46 done; 20 s for the 4 after the first execution; 54 are left.
    assert capsys.readouterr().out == "step 46 of 100, 0:04:30 left\n"


def test_progress_in_words_of_another(capsys, monkeypatch):
    """On a terminal at once, over the line before, and never wrapped."""
    now, told = [0.0], []

    def describe(done, left):
        told.append((done, left))
        return f"{done} {'x' * 60}"

    monkeypatch.setattr(progress_module.time, "time", lambda: now[0])
    monkeypatch.setenv("COLUMNS", "40")
    for terminal in (True, False):
        monkeypatch.setattr(sys.stdout, "isatty", lambda t=terminal: t)
        progress = callbacks.Progress(100, epochs=False, describe=describe)
        progress.set_model(mpl_keras.UDA(make_net()))
        progress.on_train_begin()
        progress.on_epoch_begin(0)
        for batch in range(2):
            now[0] += 40.0
            progress.on_train_batch_end(batch, {})
        progress.on_epoch_end(0, {"val_accuracy": 0.1})
        printed = capsys.readouterr().out
        if terminal:
            lines = [f"{done} {'x' * 37}" for done in range(3)]
            assert printed == "".join(f"\r{line}" for line in lines)
            assert told == [(0, None), (1, None), (2, 98 * 40.0)]
            progress_module.clear_line()
            assert capsys.readouterr().out == f"\r{' ' * 39}\r"
        else:  # a line in a minute
            assert printed == f"2 {'x' * 60}\n"


def test_progress_says_that_the_student_waits(capsys):
    model = mpl_keras.UDA(make_net())
    progress = callbacks.Progress(4, ("val_accuracy",), student_wait=1)
    progress.set_model(model)
    progress.on_train_begin()
    for epoch in range(2):
        progress.on_epoch_begin(epoch)
        progress.on_train_batch_end(0, {})
        progress.on_epoch_end(epoch, {"val_accuracy": 0.1})
    first, second, note = capsys.readouterr().out.splitlines()
    assert "waits until step 1, val_accuracy 0.100" in first
    assert "waits" not in second
    assert "no better than chance, val_accuracy 0.100 for 3 classes" in note


def lines_of(progress, model, values, capsys):
    """What it prints after epochs of one step with these accuracies."""
    progress.set_model(model)
    progress.on_train_begin()
    for epoch, value in enumerate(values):
        progress.on_epoch_begin(epoch)
        progress.on_train_batch_end(0, {})
        progress.on_epoch_end(epoch, {"val_accuracy": value})
    return capsys.readouterr().out.splitlines()


def test_progress_measures_the_teacher_while_the_student_waits(capsys):
    model = mpl_keras.MetaPseudoLabels(fixed_net(ROWS), make_net_of_3())
    labels = tf.constant([0, 1, 0, 2])
    data = tf.data.Dataset.from_tensors((tf.constant(ROWS), labels))
    progress = callbacks.Progress(2, (), student_wait=1, teacher_data=data)
    first, second, *_ = lines_of(progress, model, [0.9, 0.9], capsys)
    assert first.endswith("waits until step 1; the teacher is at 75 %")
    assert "teacher" not in second


@pytest.mark.parametrize(
    ("values", "noted"),
    [
        ([0.3, 0.3, 0.4, 0.9], 2),  # 0.4 is 1.2 of chance
        ([0.3, 0.9, 0.9, 0.3], 4),
        ([0.3, 0.9, 0.41, 0.41], None),
        ([float("nan")] * 4, None),
    ],
)
def test_progress_says_once_that_it_is_at_chance(values, noted, capsys):
    model = mpl_keras.UDA(make_net())
    progress = callbacks.Progress(4, ())
    lines = lines_of(progress, model, values, capsys)
    notes = [n for n, line in enumerate(lines) if line.startswith("note:")]
    assert notes == ([] if noted is None else [noted])
