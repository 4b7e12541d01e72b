"""A training that is interrupted ends as one that was not."""

import json
import os
import shutil
import signal

import keras
import numpy as np
import pytest
import scripts
import seeds
import tensorflow as tf

import mpl_keras
from mpl_keras import datasets, feedback, files, pipeline
from mpl_keras.callbacks import backup, backup_files
from mpl_keras.distribute import state

DATA = datasets.two_moons()


def make_net(seed):
    return keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(8),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.Dropout(0.2, seed=seed),
            keras.layers.Dense(2),
        ]
    )


def make_model(rate=0.1, momentum=0.9, k=1, **arguments):
    seeds.set_random_seed(0)
    form = feedback.LossDifferenceFeedback(0.5, normalization="std")
    arguments = {
        "consistency": mpl_keras.losses.ConsistencyLoss(
            distribution_alignment="labeled"
        ),
        "feedback": form,
        **arguments,
    }
    model = mpl_keras.MetaPseudoLabels(make_net(1), make_net(2), **arguments)
    model.compile(
        teacher_optimizer=keras.optimizers.Adam(0.01),
        student_optimizer=keras.optimizers.SGD(rate, momentum=momentum),
        metrics=["accuracy"],
        steps_per_execution=k,
    )
    return model


def make_data(sizes=(6, 32), seed=0, data=DATA):
    return pipeline.training_dataset(
        data, *sizes, steps_per_epoch=10, seed=seed
    )


class Interrupt(keras.callbacks.Callback):
    """Ends the training after a step, as a kill would."""

    def __init__(self, step):
        super().__init__()
        self.step = step

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.step.numpy()) >= self.step:
            if not self.model.resuming:
                raise KeyboardInterrupt

    def on_test_batch_end(self, batch, logs=None):
        if int(self.model.step.numpy()) >= self.step:
            raise KeyboardInterrupt


def train(folder, stop=None, every=4, model=None, train_data=None, keep=2):
    model = model or make_model()
    saver = backup.Backup(folder, every=every, keep=keep)
    callbacks = [saver]
    if stop is not None:
        callbacks.append(Interrupt(stop))
    try:
        history = model.fit(
            train_data or make_data(),
            epochs=3,
            validation_data=DATA.test,
            callbacks=callbacks,
            verbose=0,
        ).history
    except KeyboardInterrupt:
        saver._wait()
        return None, model
    return history, model


def same(one, other):
    for a, b in zip(
        state.state_variables(one),
        state.state_variables(other),
        strict=True,
    ):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=a.path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return *train(folder, keep=3), folder


@pytest.mark.slow_cases(
    "4-stops0",
    "10-stops2",
    "None-stops1",
    "1-stops3",
)
@pytest.mark.parametrize(
    ("every", "stops"),
    [
        (4, (7, 17, 23)),
        (None, (5, 14)),
        (10, (10, 20)),
        (1, (10, 11)),
        (4, (17,)),
    ],
)
def test_interrupted_and_whole_are_the_same(whole, every, stops, tmp_path):
    for stop in stops:
        assert train(tmp_path, stop, every)[0] is None
    history, model = train(tmp_path, every=every)
    same(whole[1], model)
    assert history == whole[0]


@pytest.mark.slow
def test_several_steps_in_an_execution(whole, tmp_path):
    assert train(tmp_path, 17, model=make_model(k=5))[0] is None
    history, model = train(tmp_path, model=make_model(k=5))
    same(whole[1], model)
    assert history == whole[0]


def test_a_training_that_is_finished_stays_so(whole, tmp_path):
    shutil.copytree(whole[2], tmp_path, dirs_exist_ok=True)
    _, model = train(tmp_path)
    for a, b in zip(whole[1].variables, model.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=a.path)
    assert int(model.step) == 30


def test_the_newest_are_kept(whole):
    folder = whole[2]
    assert [s for s, _ in backup.Backup(folder).backups()] == [24, 28, 30]
    assert not [n for n in os.listdir(folder) if n.startswith(".")]


def damaged_by(kind, path):
    contents = bytearray(open(path, "rb").read())
    if kind == "truncated":
        contents = contents[: len(contents) // 2]
    elif kind == "empty":
        contents = b""
    elif kind == "a bit":
        contents[len(contents) // 2] ^= 4
    with open(path, "wb") as file:
        file.write(contents)


@pytest.mark.slow_cases(
    "empty",
    "truncated",
)
@pytest.mark.parametrize("kind", ["truncated", "empty", "a bit"])
def test_a_damaged_backup_is_passed_over(whole, kind, tmp_path):
    train(tmp_path, 17)
    (_, before), (_, newest) = backup.Backup(tmp_path).backups()
    damaged_by(kind, newest)
    (tmp_path / ".backup-000000000016.npz.half").write_bytes(b"half of one")
    with pytest.warns(UserWarning, match="000016.npz is damaged"):
        history, model = train(tmp_path)
    same(whole[1], model)
    assert history == whole[0]


@pytest.mark.slow
def test_when_all_are_damaged_it_says_so(tmp_path):
    train(tmp_path, 17)
    for _, path in backup.Backup(tmp_path).backups():
        damaged_by("truncated", path)
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="Every"):
        train(tmp_path)


@pytest.fixture(scope="module")
def nine_steps(tmp_path_factory):
    """A folder of backups that a training of nine steps has left."""
    folder = tmp_path_factory.mktemp("nine")
    train(folder, 9)
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            dict(train_data=make_data((6, 16))),
            "unlabeled_batch_size was 32, is",
        ),
        (dict(train_data=make_data(seed=1)), "seed of the data was 0, is 1"),
        (
            dict(train_data=make_data(data=datasets.two_moons(seed=1))),
            "checksum of labeled examples",
        ),
        (dict(model=make_model(rate=0.2)), "optimizer was"),
        (dict(model=make_model(feedback=None)), "feedback was"),
        (dict(model=make_model(ema_momentum=0.9)), "ema_momentum was 0.995"),
    ],
)
def test_a_backup_of_another_training_is_refused(
    nine_steps, changes, message, tmp_path
):
    folder = shutil.copytree(nine_steps, tmp_path / "backups")
    names = sorted(os.listdir(folder))
    with pytest.raises(ValueError, match=f"(?s)What differs:.*{message}"):
        train(folder, **changes)
    assert sorted(os.listdir(folder)) == names


def test_a_folder_without_space_or_permission(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        train(tmp_path / "file/backup")
    usage = type("", (), {"free": 1000})
    monkeypatch.setattr(backup.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OSError, match="space for two backups.* 0 MB"):
        train(tmp_path / "backup")


def test_two_trainings_cannot_share_a_folder(tmp_path):
    other = files.FolderLock(tmp_path)
    other.acquire()
    with pytest.raises(BlockingIOError, match="`folder` .*one job alone"):
        train(tmp_path)
    assert os.listdir(tmp_path) == [".lock"]
    other.release()
    train(tmp_path, 1)
    assert ".lock" not in os.listdir(tmp_path)


def test_a_disk_that_fills_up_costs_no_training(whole, tmp_path, monkeypatch):
    real = np.savez

    def full(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backup_files.np, "savez", full)
    with pytest.warns(UserWarning, match="training goes on.*No space"):
        _, model = train(tmp_path)
    same(whole[1], model)
    assert os.listdir(tmp_path) == []
    monkeypatch.setattr(backup_files.np, "savez", real)


def test_other_data_cannot_be_entered_in_the_middle(tmp_path):
    with pytest.raises(ValueError, match="training_dataset.* with a backup"):
        train(tmp_path, train_data=make_data().prefetch(1).take(10))


def test_errors_of_arguments(tmp_path):
    with pytest.raises(ValueError, match="`every` must be an integer >= 1"):
        backup.Backup(tmp_path, every=0)
    with pytest.raises(ValueError, match="`keep` must be an integer >= 1"):
        backup.Backup(tmp_path, keep=0)
    with pytest.raises(ValueError, match="multiple of .*execution`, 3"):
        train(tmp_path, model=make_model(k=3))


def test_bfloat16_weights_survive(tmp_path):
    values = [keras.Variable(np.ones(3), dtype="bfloat16", name="v")]
    arrays = backup_files.copies(values, {})
    values[0].assign(tf.zeros(3))
    backup_files.restore(values, arrays, set())
    np.testing.assert_array_equal(values[0].numpy().astype("float32"), 1)


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
import os, signal, threading
import test_backup as t
import keras

t.tf.config.optimizer.set_experimental_options({options})

class Preempt(keras.callbacks.Callback):
    def on_{event}(self, batch, logs=None):
        if int(self.model.step.numpy()) >= 13:
            os.kill(os.getpid(), signal.SIGTERM)

saver = t.backup.Backup({folder!r})
t.make_model().fit(
    t.make_data(), epochs=3, validation_data=t.DATA.test,
    callbacks=[Preempt(), saver], verbose=0,
)
"""


@pytest.mark.slow_cases(
    "test_batch_end",
)
@pytest.mark.parametrize("event", ["train_batch_end", "test_batch_end"])
def test_sigterm_makes_a_last_backup(whole, event, tmp_path):
    code = SCRIPT.format(
        tests=os.path.dirname(__file__),
        folder=str(tmp_path),
        event=event,
        # The same graphs give the same bits.
        options=tf.config.optimizer.get_experimental_options(),
    )
    result = scripts.run_code(code, tmp_path)
    assert result.returncode == backup.EXIT_PREEMPTED == 75, result.stderr
    step = 13 if event == "train_batch_end" else 20
    assert f"SIGTERM: backed up after step {step}" in result.stdout
    history, model = train(tmp_path, every=None)
    same(whole[1], model)
    assert history == whole[0]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_fingerprint_survives_json():
    model, data = make_model(), make_data()
    found = backup_files.fingerprint(model, data, 10)
    assert json.loads(json.dumps(found)) == found
    assert found == backup_files.fingerprint(make_model(), make_data(), 10)
