"""Folders of runs: whole files, exact resuming, nothing overwritten."""

import json
import os

import keras
import numpy as np
import pytest

import mpl_keras
from mpl_keras import datasets, pipeline, runs

SETTINGS = {"seed": 1, "shape": (8, 8), "name": "ü"}


def make_model():
    keras.utils.set_random_seed(0)
    nets = [
        keras.Sequential(
            [
                keras.Input((2,)),
                keras.layers.Dense(8, activation="relu"),
                keras.layers.Dropout(0.2, seed=k),
                keras.layers.Dense(2),
            ]
        )
        for k in range(2)
    ]
    model = mpl_keras.MetaPseudoLabels(*nets)
    model.compile(
        teacher_optimizer=keras.optimizers.SGD(0.1, momentum=0.9),
        student_optimizer=keras.optimizers.SGD(0.1, momentum=0.9),
        metrics=["accuracy"],
    )
    return model


def train(model, epochs, callbacks=()):
    data = datasets.two_moons()
    start = int(model.step)
    batches = pipeline.training_dataset(
        data, 6, 32, steps_per_epoch=5, start_step=start
    )
    model.fit(
        batches,
        epochs=epochs,
        initial_epoch=start // 5,
        validation_data=data.test,
        callbacks=list(callbacks),
        verbose=0,
    )
    return model


def open_run(path, resume=False, **changes):
    return runs.RunFolder(path, SETTINGS | changes, resume, "--output_dir")


def test_a_run_goes_on_where_it_stopped(tmp_path):
    whole = train(make_model(), 4)
    run = open_run(tmp_path / "run")
    run.begin()
    train(make_model(), 2, [runs.SaveRun(run)])
    again = open_run(tmp_path / "run", resume=True)
    model = again.load()
    assert int(model.step) == 10
    train(model, 4, [runs.SaveRun(again)])
    for one, other in zip(whole.variables, model.variables, strict=True):
        np.testing.assert_array_equal(one, other)
    columns = again.metrics()
    assert columns["step"] == [5, 10, 15, 20]
    assert len(columns["val_accuracy"]) == 4
    assert open_run(tmp_path / "run", resume=True).rows == again.rows


def test_metrics_after_the_checkpoint_are_forgotten(tmp_path):
    run = open_run(tmp_path)
    run.begin()
    model = train(make_model(), 2, [runs.SaveRun(run)])
    run.rows.append(run.rows[-1] | {"step": 15})
    run.write("metrics.csv", run._write_rows)
    again = open_run(tmp_path, resume=True)
    assert len(again.rows) == 3
    assert int(again.load().step) == int(model.step) == 10
    assert [row["step"] for row in again.rows] == [5, 10]


def test_settings_and_folders_that_are_refused(tmp_path):
    run = open_run(tmp_path / "run")
    run.begin()
    known = json.loads((tmp_path / "run/settings.json").read_text())
    assert known == {"seed": 1, "shape": [8, 8], "name": "ü"}
    with pytest.raises(FileExistsError, match="`--output_dir` must be a new"):
        open_run(tmp_path / "run")
    with pytest.raises(FileExistsError, match="seed was 1, is 2"):
        open_run(tmp_path / "run", resume=True, seed=2)
    assert open_run(tmp_path / "run", resume=True).load() is None
    (tmp_path / "run/settings.json").unlink()
    (tmp_path / "run/thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="without settings.json"):
        open_run(tmp_path / "run", resume=True)
    with pytest.raises(FileExistsError):
        open_run(tmp_path / "run/thesis.txt")
    assert os.listdir(tmp_path / "run") == ["thesis.txt"]


def test_a_folder_that_cannot_be_written_to(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(PermissionError, match="file cannot"):
        open_run(tmp_path / "file/run")
    # As root every folder can be written to.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError, match="`--output_dir` must be .* can"):
        open_run(tmp_path / "run")
    assert os.listdir(tmp_path) == ["file"]


def test_a_checkpoint_that_fails_costs_no_training(
    tmp_path, monkeypatch, capsys
):
    run = open_run(tmp_path)
    run.begin()
    model = make_model()
    train(model, 1, [runs.SaveRun(run)])
    saved = (tmp_path / "checkpoint.keras").read_bytes()

    def full(self, path):
        with open(path, "wb") as file:
            file.write(saved[:1000])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(type(model), "save", full)
        train(model, 3, [runs.SaveRun(run)])
    text = capsys.readouterr().out
    assert "step 15 could not be written" in text and "No space" in text
    assert int(model.step) == 15
    assert (tmp_path / "checkpoint.keras").read_bytes() == saved
    assert sorted(os.listdir(tmp_path)) == [
        "checkpoint.keras",
        "metrics.csv",
        "settings.json",
    ]
