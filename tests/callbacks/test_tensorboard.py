"""The TensorBoard callback, by what TensorBoard's own reader finds."""

import os

import keras
import numpy as np
import pytest
import seeds
import tensorflow as tf
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from mpl_keras import UDA, MetaPseudoLabels, augment, feedback, pipeline
from mpl_keras.callbacks import backup, event_files, snapshots, tensorboard
from mpl_keras.datasets import semi_supervised_data
from mpl_keras.distribute import state, workers

PICTURES = {
    "held_out/confusion",
    "held_out/reliability",
    "pseudo_labels/classes",
    "pseudo_labels/least_confident",
    "pseudo_labels/most_confident",
    "views/weak_and_strong",
}


def images():
    random = np.random.RandomState(0)
    x = random.rand(60, 4, 4, 1).astype("float32")
    y = np.arange(60) % 3
    return semi_supervised_data.from_arrays(
        x[:6],
        y[:6],
        x[6:40],
        test=(x[40:], y[40:]),
        class_names=("a", "b", "$c$"),
        views=augment.jitter_views(),
    )


def network():
    return keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.5, seed=1),
            keras.layers.Dense(3),
        ]
    )


def pseudo_labels():
    seeds.set_random_seed(0)
    model = MetaPseudoLabels(
        teacher=network(),
        student=network(),
        feedback=feedback.LossDifferenceFeedback(),
    )
    model.compile(
        teacher_optimizer=keras.optimizers.SGD(0.25),
        student_optimizer=keras.optimizers.SGD(0.5),
        metrics=["accuracy"],
    )
    return model


def plain():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    return model


def fit(model, callbacks, epochs=2):
    found = images()
    train = pipeline.training_dataset(found, 6, 12, steps_per_epoch=5)
    return model.fit(
        train,
        epochs=epochs,
        validation_data=found.test,
        callbacks=callbacks,
        verbose=0,
    )


def fit_plain(model, *callbacks, epochs=2):
    x = np.ones((8, 2), "float32")
    model.fit(
        x, x[:, :1], 2, epochs=epochs, callbacks=list(callbacks), verbose=0
    )


def read(folder):
    found = event_accumulator.EventAccumulator(
        str(folder), {event_accumulator.IMAGES: 0, "scalars": 0, "tensors": 0}
    )
    return found.Reload()


def points(found, tag):
    return {event.step: event.value for event in found.Scalars(tag)}


class Killed(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.step.numpy()) == 9:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One training as it is, and one that was watched and killed."""
    folder = tmp_path_factory.mktemp("runs")

    def watched():
        return [
            tensorboard.TensorBoard(
                folder / "watched",
                data=images(),
                hyperparameters={"rate": 0.5, "name": "x", "none": None},
                update_freq=2,
                pictures_every=10,
            ),
            backup.Backup(folder / "backup", every=7),
        ]

    unwatched, first, resumed = (pseudo_labels() for _ in range(3))
    history = fit(unwatched, [])
    with pytest.raises(KeyboardInterrupt):
        fit(first, [*watched(), Killed()])
    fit(resumed, watched())
    return unwatched, history.history, resumed, read(folder / "watched")


@pytest.mark.slow
def test_watching_changes_no_bit(runs):
    unwatched, _, resumed, _ = runs
    for one, other in zip(
        state.state_variables(unwatched),
        state.state_variables(resumed),
        strict=True,
    ):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), one.path)


def test_numbers_over_the_training_s_step(runs):
    _, history, resumed, found = runs
    for tag, name in {
        "loss/teacher": "teacher_loss",
        "loss/supervised": "supervised_loss",
        "loss/consistency": "consistency_loss",
        "loss/feedback": "feedback_loss",
        "loss/student": "student_loss",
        "loss/student_on_labeled": "loss",
        "feedback/h": "h",
        "feedback/share": "feedback_share",
        "pseudo_labels/mask_rate": "mask_rate",
        "training/accuracy": "accuracy",
        "held_out/accuracy": "val_accuracy",
    }.items():
        came = points(found, tag)
        assert [came[5], came[10]] == pytest.approx(history[name]), tag
    rates = [
        points(found, f"learning_rate/{n}") for n in ("teacher", "student")
    ]
    assert rates == [{5: 0.25, 10: 0.25}, {5: 0.5, 10: 0.5}]
    baseline = points(found, "feedback/baseline")
    assert baseline[10] == pytest.approx(float(resumed.feedback.baseline))


def test_numbers_are_told_in_words(runs):
    """As the page of TensorBoard's server reads them."""
    told = {
        tag: runs[3].SummaryMetadata(tag).summary_description
        for tag in ("loss/student_on_labeled", "held_out/accuracy")
    }
    assert told == {
        "loss/student_on_labeled": "Student's loss on labeled batches (`loss`)",
        "held_out/accuracy": "Averaged student's accuracy, held-out data "
        "(`val_accuracy`)",
    }


def test_words_are_kept_by_the_fast_reader(tmp_path):
    """It drops a description whose metadata name no class of data."""
    with event_files.EventFile(str(tmp_path), 0) as file:
        for step in (1, 2):
            file.write(step, scalars={"a": 1.0, "b": 1.0}, told={"a": "words"})
    (path,) = tmp_path.iterdir()
    values = [
        value
        for event in tf.compat.v1.train.summary_iterator(str(path))
        for value in event.summary.value
    ]
    told = [value.metadata.summary_description for value in values]
    assert told == ["words", "", "", ""]
    assert values[0].metadata.data_class == 1


def test_a_resumed_run_goes_on_where_it_was(runs):
    """The first one had seen step 8 when it was killed, and was backed up at 7.

    Step 5 is from the first file, and no step is there twice.
    """
    found = runs[3]
    steps = [event.step for event in found.Scalars("loss/teacher")]
    assert steps == [2, 4, 5, 6, 8, 10]
    assert [e.step for e in found.Scalars("held_out/loss")] == [5, 10]


def test_time_of_a_step(runs):
    found = runs[3]
    milliseconds = points(found, "speed/step_milliseconds")
    rate = points(found, "speed/images_per_second")
    # Compiling took seconds, and is not in it.
    assert 0 < milliseconds[5] < 500
    assert rate[5] * milliseconds[5] == pytest.approx(1000 * (6 + 12))


def test_pictures(runs):
    found = runs[3]
    assert set(found.Tags()["images"]) == PICTURES
    for tag in PICTURES:
        (event,) = found.Images(tag)
        assert event.step == 10
        pixels = tf.io.decode_png(event.encoded_image_string)
        assert pixels.shape[:2] == (event.height, event.width)
    assert 0 <= points(found, "held_out/calibration_error")[10] <= 1


def test_hyperparameters(runs):
    found = runs[3]
    contents = found.summary_metadata["_hparams_/session_start_info"]
    start = plugin_data_pb2.HParamsPluginData.FromString(
        contents.plugin_data.content
    ).session_start_info
    assert start.hparams["rate"].number_value == 0.5
    assert start.hparams["none"].string_value == "None"
    contents = found.summary_metadata["_hparams_/experiment"]
    experiment = plugin_data_pb2.HParamsPluginData.FromString(
        contents.plugin_data.content
    ).experiment
    tags = [metric.name.tag for metric in experiment.metric_infos]
    assert tags[:2] == ["held_out/accuracy", "held_out/loss"]
    assert set(tags) <= set(found.Tags()["scalars"])


@pytest.mark.slow
def test_a_single_network(tmp_path):
    seeds.set_random_seed(0)
    model = UDA(network())
    model.compile(keras.optimizers.SGD(0.5))
    watch = tensorboard.TensorBoard(tmp_path, data=images())
    fit(model, [watch], epochs=1)
    found = read(tmp_path)
    assert points(found, "learning_rate/network") == {5: 0.5}
    assert {"loss/total", "loss/supervised", "pseudo_labels/mask_rate"} < set(
        found.Tags()["scalars"]
    )
    # At the end, though they are not yet paid for.
    assert {e.step for tag in PICTURES for e in found.Images(tag)} == {5}


def test_any_keras_model(tmp_path):
    watch = tensorboard.TensorBoard(tmp_path, data=images(), update_freq=3)
    fit_plain(plain(), watch)
    found = read(tmp_path)
    assert list(points(found, "loss/total")) == [3, 4, 6, 8]
    assert list(points(found, "learning_rate/network")) == [4, 8]
    assert not found.Tags()["images"]
    # Keras's own run `train` is only there if it is asked for.
    assert len(os.listdir(tmp_path)) == 1


def test_a_metric_with_a_value_for_each_class(tmp_path):
    model = UDA(network(), consistency=None)
    f1 = keras.metrics.F1Score()
    model.compile("sgd", metrics=[f1], run_eagerly=True)
    x, y = np.ones((6, 4, 4, 1), "float32"), np.eye(3)[np.arange(6) % 3]
    views = {"labeled": x, "weak": x, "strong": x}
    watch = tensorboard.TensorBoard(tmp_path, update_freq=1)
    model.fit(
        *(views, y, 3),
        validation_data=(x, y),
        callbacks=[watch],
        verbose=0,
    )
    found = read(tmp_path)
    for i, value in enumerate(f1.result().numpy()):
        assert points(found, f"held_out/f1_score/{i}") == {2: value}
        assert list(points(found, f"training/f1_score/{i}")) == [1, 2]


def test_a_second_fit_goes_on_and_another_model_begins_anew(tmp_path):
    watch, model = tensorboard.TensorBoard(tmp_path), plain()
    fit_plain(model, watch, epochs=1)
    fit_plain(model, watch, epochs=1)
    assert list(points(read(tmp_path), "loss/total")) == [4, 8]
    fit_plain(plain(), watch, epochs=1)
    assert list(points(read(tmp_path), "loss/total")) == [4]


def test_keras_s_own_are_passed_on(tmp_path):
    watch = tensorboard.TensorBoard(tmp_path, histogram_freq=1)
    fit_plain(plain(), watch)
    assert list(points(read(tmp_path), "loss/total")) == [4, 8]
    found = read(tmp_path / "train")
    assert any(tag.endswith("histogram") for tag in found.Tags()["tensors"])
    assert not found.Tags()["scalars"]
    with pytest.raises(TypeError, match="unknown"):
        tensorboard.TensorBoard(tmp_path, unknown=1)


def test_other_workers_write_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "is_chief", lambda strategy: False)
    watch = tensorboard.TensorBoard(
        tmp_path, data=images(), histogram_freq=1, update_freq=1
    )
    fit_plain(plain(), watch)
    assert not os.listdir(tmp_path)


def test_pictures_are_drawn_when_they_are_paid_for():
    watch = tensorboard.TensorBoard()
    watch._drawn, watch._cost = 1000, 1.5
    due = {
        step: (setattr(watch, "_step", step), watch._is_time())[1]
        for step in (1000, 3999, 4000)
    }
    assert due == {1000: False, 3999: False, 4000: True}


def test_a_full_disk_costs_no_training(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise tf.errors.ResourceExhaustedError(None, None, "No space left")

    monkeypatch.setattr(event_files.EventFile, "write", full)
    model = plain()
    with pytest.warns(UserWarning, match="step 4 could not .*No space left"):
        fit_plain(model, tensorboard.TensorBoard(tmp_path), epochs=1)
    assert int(model.optimizer.iterations.numpy()) == 4


def test_a_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    model = plain()
    with pytest.raises(OSError, match="`log_dir` must be a folder"):
        fit_plain(model, tensorboard.TensorBoard(tmp_path / "file"))
    assert int(model.optimizer.iterations.numpy()) == 0


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"data": np.ones(3)}, "`data` must be a `SemiSupervisedData`"),
        ({"hyperparameters": {"a": {"b": 1}}}, "`hyperparameters` must be"),
        ({"hyperparameters": 3}, "`hyperparameters` must be"),
        ({"update_freq": 0}, "`update_freq` must be"),
        ({"update_freq": "step"}, "`update_freq` must be"),
        ({"pictures_every": 0}, "`pictures_every` must be"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        tensorboard.TensorBoard("logs", **arguments)


def test_examples_are_spread_over_all():
    """Files are often sorted by class; the first ones would be of one."""
    x = np.arange(1200, dtype="float32")[:, None]
    y = np.repeat([0, 1, 2], 400)
    found = semi_supervised_data.from_arrays(
        x[::100], y[::100], x, test=(x, y), views=augment.jitter_views()
    )
    taken = snapshots.Snapshots(found)
    taken.prepare()
    held_out, truth = taken._held_out
    assert len(truth) == 1000 and np.ptp(np.bincount(truth)) <= 1
    np.testing.assert_array_equal(y[held_out[:, 0].astype(int)], truth)
    assert len(taken._unlabeled.weak) == 256
    again = snapshots.Snapshots(found)
    again.prepare()
    np.testing.assert_array_equal(taken._unlabeled.weak, again._unlabeled.weak)
