"""Folders of runs: whole files, exact resuming, nothing overwritten."""

import itertools
import json
import os
import re
import signal
import time

import keras
import numpy as np
import pytest
import scripts

from mpl_keras import recipes, runs

SETTINGS = {"seed": 1, "shape": (8, 8), "name": "ü"}


def open_run(path, resume=False, **changes):
    return runs.RunFolder(path, SETTINGS | changes, resume, "--output_dir")


class Model:
    """What the callback asks of one."""

    def __init__(self, step):
        self.step = keras.Variable(step, dtype="int64")


def test_rows_are_columns_and_come_back(tmp_path):
    run = open_run(tmp_path)
    run.begin()
    run.add(10, {"loss": 1.5, "val_accuracy": 0.25})
    run.add(20, {"loss": float("nan"), "val_accuracy": 1.0, "bad_steps": 3})
    again = open_run(tmp_path, resume=True)
    assert again.metrics()["step"] == [10, 20]
    assert again.metrics()["val_accuracy"] == [0.25, 1.0]
    assert np.isnan(again.metrics()["loss"][1])
    assert again.metrics()["bad_steps"][1] == 3


def test_rows_of_what_is_trained_again_are_replaced(tmp_path):
    run = open_run(tmp_path)
    run.begin()
    for step in (10, 20, 30):
        run.add(step, {"loss": step})
    again = open_run(tmp_path, resume=True)
    again.add(20, {"loss": 7.0})
    assert again.metrics() == {"step": [10, 20], "loss": [10, 7.0]}


def test_settings_and_folders_that_are_refused(tmp_path):
    run = open_run(tmp_path / "run")
    run.begin()
    run.end()
    known = json.loads((tmp_path / "run/settings.json").read_text())
    assert known == {"seed": 1, "shape": [8, 8], "name": "ü"}
    with pytest.raises(FileExistsError, match="`--output_dir` must be a new"):
        open_run(tmp_path / "run")
    with pytest.raises(
        FileExistsError, match="seed was 1, is 2.*set it as it was; f"
    ):
        open_run(tmp_path / "run", resume=True, seed=2)
    (tmp_path / "run/settings.json").unlink()
    (tmp_path / "run/thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="without settings.json"):
        open_run(tmp_path / "run", resume=True)
    with pytest.raises(FileExistsError):
        open_run(tmp_path / "run/thesis.txt")
    assert os.listdir(tmp_path / "run") == ["thesis.txt"]


KINDS = {
    "training": {"method": "mpl"},
    "comparison": {"methods": ["mpl"]},
    "search": {"searched": []},
}


@pytest.mark.parametrize(
    ("kind", "own"), list(itertools.permutations(KINDS, 2))
)
def test_a_folder_of_another_kind_is_said_to_be_one(kind, own, tmp_path):
    """In place of settings that have nothing in common."""
    run = open_run(tmp_path / "run", **KINDS[kind])
    run.begin()
    run.end()
    with pytest.raises(FileExistsError) as error:
        open_run(tmp_path / "run", resume=True, **KINDS[own])
    wanted = f"the folder of a {own} to go on with. Received: "
    assert wanted in str(error.value)
    assert str(error.value).endswith(f", the folder of a {kind}")
    assert os.listdir(tmp_path / "run") == ["settings.json"]


def test_a_folder_that_cannot_be_written_to(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(PermissionError, match="file cannot"):
        open_run(tmp_path / "file/run")
    # As root every folder can be written to.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError, match="`--output_dir` must be .* can"):
        open_run(tmp_path / "run")
    assert os.listdir(tmp_path) == ["file"]


def test_metrics_that_cannot_be_written_cost_no_training(
    tmp_path, monkeypatch, capsys
):
    run = open_run(tmp_path)
    run.begin()
    callback = runs.SaveMetrics(run)
    callback.set_model(Model(5))
    callback.on_epoch_end(0, {"loss": 2.0})
    before = (tmp_path / "metrics.csv").read_text()

    def full(path):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(run, "_write_rows", full)
        callback.set_model(Model(10))
        callback.on_epoch_end(1, {"loss": 1.0})
    text = capsys.readouterr().out
    assert "step 10 could not be written" in text and "No space" in text
    assert (tmp_path / "metrics.csv").read_text() == before
    names = [".lock", "metrics.csv", "settings.json"]
    assert sorted(os.listdir(tmp_path)) == names
    callback.set_model(Model(15))
    callback.on_epoch_end(2, {"loss": 1.0})
    assert open_run(tmp_path, resume=True).metrics()["step"] == [5, 10, 15]


def test_settings_that_only_one_has(tmp_path):
    open_run(tmp_path).begin()
    with pytest.raises(FileExistsError, match="new was None, is 3"):
        open_run(tmp_path, resume=True, new=3)
    less = {k: v for k, v in SETTINGS.items() if k != "name"}
    with pytest.raises(FileExistsError, match="name was 'ü', is None"):
        runs.RunFolder(tmp_path, less, True, "--output_dir")


RECORD = {"steps": 60, "warmup_steps": 4, "seed": 0, "name": "digits"}
RECORD |= {"labeled_images": 10, "data_options": {"seed": 0, "labels": None}}
ASKED = {"seed": 0, "recipe": None, "backup_every": None, "labels": None}
ASKED |= {"changes": {"steps": 60}}


@pytest.mark.parametrize(
    ("record", "asked", "said", "unsaid"),
    [
        (
            {"steps": 90, "warmup_steps": 6},
            {"changes": {"steps": 90}, "backup_every": 5},
            "{steps} was 60. Received: output_dir=OUT, steps=90. To",
            ["warmup", "backup"],
        ),
        # What was given before, and now is not, is the recipe's.
        (
            {"steps": 1500, "warmup_steps": 100},
            {"changes": {}},
            "{steps} was 60. Received: output_dir=OUT, steps=1500. To",
            ["warmup"],
        ),
        (
            {"steps": 90, "seed": 2, "data_options": {"seed": 2}},
            {"changes": {"steps": 90}, "seed": 2},
            "{seed} was 0 and {steps} was 60. Received: output_dir=OUT, seed=2,"
            " steps=90. To go on, set each as",
            ["data_options"],
        ),
        # Other pictures follow from other labels, and from no number of steps.
        (
            {"labeled_images": 20, "data_options": {"seed": 0, "labels": "b"}},
            {"labels": "b"},
            "{labels} was not set. Received: output_dir=OUT, labels=b. To",
            ["labeled_images", "data_options"],
        ),
        (
            {"steps": 90, "labeled_images": 20},
            {"changes": {"steps": 90}},
            "{steps} was 60. Received: output_dir=OUT, steps=90, where "
            "labeled_images was 10, is 20. To",
            [],
        ),
        (
            {"labeled_images": 9},
            {},
            "OUT, where labeled_images was 10, is 9",
            [],
        ),
        (
            {"name": "fashion_mnist", "warmup_steps": 9},
            {"recipe": "fashion_mnist"},
            "{recipe} was digits. Received: output_dir=OUT, recipe=fashion",
            ["warmup"],
        ),
    ],
)
def test_what_was_given_otherwise_is_named(
    record, asked, said, unsaid, tmp_path
):
    def make(resume, record, asked):
        return runs.RunFolder(tmp_path, record, resume, "output_dir", asked)

    make(False, RECORD, ASKED).begin()
    with pytest.raises(FileExistsError) as found:
        make(True, RECORD | record, ASKED | asked)
    text = str(found.value)
    said = re.sub(r"{(\w+)}", r"`\1`", said.replace("OUT", str(tmp_path)))
    assert said in text
    assert not [word for word in unsaid if word in text]
    make(True, RECORD, ASKED | {"backup_every": 5})


def test_one_job_alone_has_a_folder(tmp_path):
    run = open_run(tmp_path)
    run.begin()
    with pytest.raises(BlockingIOError, match="`--output_dir` .* one job"):
        open_run(tmp_path, resume=True).begin()
    run.end()
    open_run(tmp_path, resume=True).begin()


def test_a_dead_job_does_not_hold_a_folder(tmp_path):
    code = (
        "import sys, time; from mpl_keras import files; "
        "lock = files.FolderLock(sys.argv[1]); lock.acquire(); "
        "print('locked', flush=True); time.sleep(600)"
    )
    script = tmp_path.with_name("job.py")
    script.write_text(code)
    job = scripts.start(script, tmp_path)
    while "locked" not in job.output()[0]:
        assert job.poll() is None, job.output()
        time.sleep(0.02)
    with pytest.raises(BlockingIOError):
        open_run(tmp_path, resume=True).begin()
    job.send_signal(signal.SIGKILL)
    assert job.wait() == -signal.SIGKILL
    assert os.path.exists(tmp_path / ".lock")  # nobody could remove it
    open_run(tmp_path, resume=True).begin()


def test_halves_left_by_a_kill_are_removed(tmp_path):
    for name in (
        *("settings.json", "report.html", "label_next.csv", "teacher"),
        *("teacher.md", "teacher_as_trained.keras", "network", "student.keras"),
    ):
        (tmp_path / f".{name}.abcd_123").mkdir()
    run = open_run(tmp_path, resume=True)
    run.begin()
    run.end()
    assert os.listdir(tmp_path) == ["settings.json"]
    (tmp_path / ".mine.abcd_123").mkdir()
    open_run(tmp_path, resume=True).begin()
    assert (tmp_path / ".mine.abcd_123").exists()


def test_nothing_is_written_whose_half_would_stay(tmp_path):
    with pytest.raises(ValueError, match="Received: 'new.csv'"):
        open_run(tmp_path).write("new.csv", lambda path: None)


def test_a_run_of_before_masking_can_go_on(picture_data):
    """Its settings.json does not have the fields that came later."""
    names = {"masking", "masking_momentum", "hard_targets", "label_spreading"}
    settings, recipe = runs.Settings(recipe="digits"), recipes.get("digits")
    assert not names & set(settings.record(recipe, picture_data))
    changes = {"masking": "freematch", "hard_targets": True}
    changes["label_spreading"] = True
    recipe = recipes.adapt(recipe, masking_momentum=0.9, **changes)
    known = settings.record(recipe, picture_data)
    assert {name: known[name] for name in names} == {
        "masking_momentum": 0.9,
        **changes,
    }
