"""MetaPseudoLabels and UDA as Keras models: fit, metrics, callbacks."""

import keras
import numpy as np
import pytest
import seeds
import tensorflow as tf

from mpl_keras import UDA, MetaPseudoLabels
from mpl_keras.datasets import from_arrays
from mpl_keras.feedback import HypergradientFeedback, LossDifferenceFeedback
from mpl_keras.pipeline import training_dataset

TRAINING_ONLY = {
    "teacher_loss",
    "supervised_loss",
    "consistency_loss",
    "consistency_weight",
    "mask_rate",
    "student_loss",
    "pseudo_label_confidence",
    "feedback_loss",
    "feedback_share",
    "h",
}


def make_net():
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(8, activation="relu"),
            layers.BatchNormalization(),
            layers.Dense(3),
        ]
    )


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    x = rng.normal(size=(60, 4)) + 3 * np.eye(3, 4)[y]
    x = x.astype("float32")
    return from_arrays(
        x[:6], y[:6], x[6:40], test=(x[40:], y[40:]), num_classes=3
    )


def make_model(kind="mpl", rate=0.05, **options):
    seeds.set_random_seed(0)
    if kind == "uda":
        model = UDA(make_net())
        model.compile(keras.optimizers.SGD(rate), metrics=["accuracy"])
        return model
    options.setdefault("feedback", HypergradientFeedback(0.1))
    model = MetaPseudoLabels(make_net(), make_net(), **options)
    model.compile(
        teacher_optimizer=keras.optimizers.SGD(rate),
        student_optimizer=keras.optimizers.SGD(rate),
        metrics=["accuracy"],
    )
    return model


def batches(data, steps=5):
    return training_dataset(data, 6, 16, steps_per_epoch=steps, seed=0)


@pytest.mark.parametrize("kind", ["mpl", "uda"])
def test_fit_learns_and_reports(kind, data):
    model = make_model(kind)
    history = model.fit(
        batches(data, 40), validation_data=data.test, epochs=3, verbose=0
    ).history
    assert history["val_accuracy"][-1] > 0.8
    assert int(model.step) == 120
    trained = {name for name in history if not name.startswith("val_")}
    if kind == "mpl":
        assert trained == TRAINING_ONLY | {"loss", "accuracy", "bad_steps"}
        # METHOD: about a tenth, throughout.
        assert 0.01 < history["feedback_share"][-1] < 0.5
    # Only what validation measures, with nothing left over from training.
    validated = set(history) - trained
    assert validated == {"val_loss", "val_accuracy"}


@pytest.mark.parametrize("way", ["train_on_batch", "arrays", "dataset"])
def test_a_step_is_traced_once(way, data, monkeypatch):
    # What makes variables is traced twice: metrics are made before.
    traces, step = [], MetaPseudoLabels.train_step
    monkeypatch.setattr(
        MetaPseudoLabels,
        "train_step",
        lambda self, batch: traces.append(way) or step(self, batch),
    )
    model = make_model()
    x, y = next(iter(batches(data)))
    if way == "train_on_batch":
        model.train_on_batch(x, y.numpy())
    elif way == "arrays":
        model.fit({n: v[:6] for n, v in x.items()}, y, verbose=0)
    else:
        model.fit(batches(data), verbose=0)
    assert len(traces) == 1


def test_logs_are_means_over_the_epoch(data):
    # If a step returned other keys than get_metrics_result, Keras would log
    # the last step's values.
    model = make_model()
    seen = []

    class Steps(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            self.model.reset_metrics()

        def on_train_batch_end(self, batch, logs=None):
            seen.append(float(logs["teacher_loss"]))

    model.fit(batches(data, 4), verbose=0, callbacks=[Steps()])
    again = make_model()
    history = again.fit(batches(data, 4), verbose=0).history
    assert history["teacher_loss"][0] == pytest.approx(np.mean(seen), rel=1e-5)
    assert np.std(seen) > 1e-3


def test_evaluate_predict_and_call_speak_of_the_average(data):
    model = make_model()
    model.fit(batches(data), verbose=0)
    x, y = (np.concatenate(part) for part in zip(*data.test, strict=True))
    logits = model.averaged_student(x, training=False).numpy()
    assert np.abs(logits - model.student(x).numpy()).max() > 1e-3
    np.testing.assert_allclose(model(x), logits, atol=1e-6)
    np.testing.assert_allclose(model(x, training=True), logits, atol=1e-6)
    np.testing.assert_allclose(model.predict(x, verbose=0), logits, atol=1e-5)
    result = model.evaluate(data.test, verbose=0, return_dict=True)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    assert set(result) == {"loss", "accuracy"}
    assert result["loss"] == pytest.approx(float(loss(y, logits)), rel=1e-5)
    assert result["accuracy"] == pytest.approx(
        np.mean(logits.argmax(-1) == y), rel=1e-5
    )
    # As arrays, and after training again.
    assert model.evaluate(x, y, verbose=0)[0] == pytest.approx(
        result["loss"], rel=1e-5
    )


def test_evaluate_before_training(data):
    model = make_model()
    seen = []

    class Metrics(keras.callbacks.Callback):
        def on_test_end(self, logs=None):
            seen.append(set(self.model.get_metrics_result()))

    model.evaluate(data.test, verbose=0, callbacks=[Metrics()])
    # Not the zeros of what only training measures.
    assert seen == [{"loss", "accuracy"}]
    logs = model.test_on_batch(*next(iter(data.test)), return_dict=True)
    assert set(logs) == {"loss", "accuracy"}
    logs = model.train_on_batch(*next(iter(batches(data))), return_dict=True)
    assert TRAINING_ONLY < set(logs)


def test_validation_sample_weights(data):
    model = make_model()
    x, y = next(iter(data.test))
    weight = np.where(y.numpy() == 0, 1.0, 0.0)
    result = model.evaluate(x, y, sample_weight=weight, verbose=0)[0]
    values = keras.losses.sparse_categorical_crossentropy(
        y, model(x), from_logits=True
    )
    assert result == pytest.approx(np.mean(weight * values), rel=1e-5)


def test_keras_callbacks(data, tmp_path):
    model = make_model(rate=0.01)
    path = str(tmp_path / "best.keras")
    history = model.fit(
        batches(data),
        validation_data=data.test,
        epochs=6,
        verbose=0,
        callbacks=[
            keras.callbacks.EarlyStopping(monitor="val_loss", min_delta=100),
            keras.callbacks.ModelCheckpoint(path, monitor="val_loss"),
            keras.callbacks.CSVLogger(str(tmp_path / "log.csv")),
        ],
    ).history
    assert len(history["loss"]) == 2  # stopped early
    loaded = keras.saving.load_model(path)
    x, _ = next(iter(data.test))
    np.testing.assert_allclose(loaded(x), model(x), atol=1e-6)
    header = (tmp_path / "log.csv").read_text().splitlines()[0]
    assert "val_loss" in header and "feedback_share" in header


def test_reduce_on_plateau_acts_on_the_student(data):
    model = make_model(rate=0.5)
    model.fit(
        batches(data),
        validation_data=data.test,
        epochs=3,
        verbose=0,
        callbacks=[
            keras.callbacks.ReduceLROnPlateau(
                patience=1, min_delta=100, factor=0.1
            )
        ],
    )
    assert float(model.optimizer.learning_rate) < 0.06
    assert float(model.teacher_optimizer.learning_rate) == 0.5


@pytest.mark.slow_cases("LossDifferenceFeedback")
@pytest.mark.parametrize(
    "form", [HypergradientFeedback, LossDifferenceFeedback]
)
def test_steps_per_execution_changes_nothing(form, data):
    weights = []
    for steps in (1, 5):
        seeds.set_random_seed(0)
        model = MetaPseudoLabels(make_net(), make_net(), feedback=form())
        model.compile("sgd", "sgd", steps_per_execution=steps)
        model.fit(batches(data, 10), epochs=2, verbose=0)
        weights.append(model.get_weights())
        assert int(model.step) == 20
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_the_teacher_is_not_overwritten_at_the_end_of_fit(data):
    # Keras writes an optimizer's averages into the first tracked weights.
    # The average is a network of its own, and fit ends with what it trained.
    model = make_model()
    ends = []

    class Last(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            ends.append(self.model.get_weights())

    model.fit(batches(data), verbose=0, callbacks=[Last()])
    for one, other in zip(ends[0], model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_fit_takes_arrays_and_plain_datasets(data):
    x, y = next(iter(batches(data)))
    x = {name: np.array(value)[:6] for name, value in x.items()}
    model = make_model()
    model.fit(x, np.array(y), batch_size=3, epochs=2, verbose=0)
    assert int(model.step) == 4
    finite = tf.data.Dataset.from_tensors((x, y)).repeat(3)
    model.fit(finite, epochs=2, verbose=0)
    assert int(model.step) == 10


def test_validation_data_as_arrays(data):
    x, y = next(iter(data.test))
    model = make_model()
    history = model.fit(
        batches(data),
        validation_data=(x.numpy(), y.numpy()),
        verbose=0,
    ).history
    assert "val_accuracy" in history


def test_average_without_momentum_is_the_student(data):
    model = make_model(ema_momentum=0.0)
    model.fit(batches(data), verbose=0)
    for one, other in zip(
        model.averaged_student.get_weights(),
        model.student.get_weights(),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_one_seed_is_one_result(data):
    weights = []
    for _ in range(2):
        model = make_model(
            feedback=LossDifferenceFeedback(), pseudo_labels="sampled"
        )
        model.fit(batches(data), verbose=0)
        weights.append(model.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow_cases("validation-mpl")
@pytest.mark.parametrize("kind", ["mpl", "uda"])
@pytest.mark.parametrize("one_hot_in", ["training", "validation"])
def test_label_forms_may_differ_between_training_and_validation(
    kind, one_hot_in, data
):
    # Keras decides from the first labels what "accuracy" is.
    def one_hot(x, y):
        return x, tf.one_hot(y, 3)

    train, test = batches(data, 20), data.test
    if one_hot_in == "training":
        train = train.map(one_hot)
    else:
        test = test.map(one_hot)
    model = make_model(kind)
    history = model.fit(
        train, steps_per_epoch=20, validation_data=test, verbose=0
    ).history
    x, y = (np.concatenate(part) for part in zip(*data.test, strict=True))
    accuracy = np.mean(model.predict(x, verbose=0).argmax(-1) == y)
    assert history["val_accuracy"][0] == pytest.approx(accuracy, abs=1e-5)
    assert model.evaluate(x, y, verbose=0)[1] == pytest.approx(accuracy)


def test_labels_out_of_range_cannot_pass(data):
    # Within a compiled step nothing can raise; it is undone, and counted.
    train = batches(data).map(lambda x, y: (x, y + 1))
    model = make_model()
    before = model.teacher.get_weights()
    history = model.fit(train, steps_per_epoch=2, verbose=0).history
    assert history["bad_steps"] == [2]
    for old, new in zip(before, model.teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    with pytest.raises(FloatingPointError, match="labels outside of .0, 3"):
        model.fit(train, steps_per_epoch=30, verbose=0)


def test_a_dataset_of_other_classes(data):
    def net():
        return keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])

    model = MetaPseudoLabels(net(), net())
    model.compile("sgd", "sgd")
    with pytest.raises(ValueError, match="`x` must have as many classes.* 3 "):
        model.fit(batches(data), verbose=0)


@pytest.mark.parametrize("kind", ["mpl", "uda"])
def test_habits_from_keras_are_answered(kind, tmp_path):
    model = make_model(kind)
    with pytest.raises(TypeError, match="losses are the model's own.*'loss'"):
        model.compile("sgd", loss="mse")
    with pytest.raises(ValueError, match="must end in '.keras'.*model.h5"):
        model.save(tmp_path / "model.h5")
    assert list(tmp_path.iterdir()) == []


def test_the_students_optimizer_has_two_names():
    model = make_model()
    assert model.student_optimizer is model.optimizer


@pytest.mark.parametrize(
    ("kind", "name"),
    [("uda", "consistency_weight"), ("mpl", "ema_momentum"), ("mpl", "seed")],
)
def test_what_a_training_would_not_follow_stays(kind, name):
    model = make_model(kind)
    before = getattr(model, name)
    with pytest.raises(AttributeError, match=f"`{name}` must stay as it was"):
        setattr(model, name, 0.5)
    assert getattr(model, name) == before
    model.notes = "a user's own"  # as any other attribute
    model.notes = "another"
