"""The networks of a finished run, by what they are."""

import csv
import dataclasses
import json
import os
import shutil
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_keras import datasets, evaluation, files, runs
from mpl_keras.runs import finished, folder, results, training


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that averages the teacher."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    lines = []
    settings = runs.Settings(
        dataset="digits",
        baseline=True,
        changes={"steps": 2, "average_of": "teacher", "student_wait": 0},
        tensorboard=False,
        report=False,
    )
    runs.Training(settings, folder, quiet=True, say=lines.append).run()
    (folder / "said.txt").write_text("\n".join(lines))
    return folder


def test_a_run_that_averages_the_teacher(run):
    found = finished.FinishedRun(run)
    labels = ["averaged teacher", "teacher as trained", "student"]
    assert list(found.results["test_accuracy"]) == labels
    assert found.results["network"] == "averaged teacher"
    stems = {"averaged": "teacher", "as_trained": "teacher_as_trained"}
    stems |= {"teacher": "teacher", "student": "student"}
    for network, stem in stems.items():
        given = found.find_network(network)
        assert given == (stem, os.path.join(run, f"{stem}.keras"))
    assert finished.find_classifier(run) == os.path.join(run, "teacher")
    assert "averaged teacher" in (run / "teacher.md").read_text()


def test_a_classifier_that_is_not_there_names_the_one_that_is(run, tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        finished.find_classifier(run / "student_of_mine")
    assert str(error.value).endswith(f". There is {run / 'teacher'}")
    with pytest.raises(FileNotFoundError, match="which does not exist$"):
        finished.find_classifier(tmp_path / "no" / "student")


def test_a_run_that_is_not_finished_says_how_to_go_on(run, tmp_path):
    stopped = tmp_path / "stopped"
    stopped.mkdir()
    shutil.copy(run / "settings.json", stopped)
    with pytest.raises(ValueError, match="--resume --output_dir=.*stopped` go"):
        finished.find_classifier(stopped)
    for known, command in (("methods", "compare"), ("searched", "tune")):
        (stopped / "settings.json").write_text(json.dumps({known: []}))
        with pytest.raises(ValueError, match=f"`mpl-keras {command} --res"):
            finished.find_classifier(stopped)
    shutil.copy(run / "results.json", stopped)
    with pytest.raises(ValueError, match="which holds none of these"):
        finished.find_classifier(stopped)


def test_a_run_of_before_that_is_found_by_its_files(run):
    found = finished.FinishedRun(run)
    del found.results["network"]
    assert found.averaged == "network"
    (run / "student_as_trained.keras").touch()
    assert found.averaged == "student"


def test_the_baseline_is_the_same_network_on_the_labels_alone(run):
    found = finished.FinishedRun(run)
    baseline = found.results["baseline"]
    alone = finished.FinishedRun(run / "baseline")
    assert alone.settings["method"] == "supervised"
    for name in ("steps", "backbone", "seed", "data_options"):
        assert alone.settings[name] == found.settings[name]
    averaged = found.results["accuracies"]["test"]["averaged teacher"]
    of_baseline = alone.results["accuracies"]["test"]["averaged network"]
    assert baseline["accuracy"] == pytest.approx(of_baseline["accuracy"])
    difference = averaged["accuracy"] - of_baseline["accuracy"]
    assert baseline["gain"] == pytest.approx(difference)
    low, high = baseline["interval"]
    assert low < baseline["gain"] < high and baseline["n"] == averaged["n"]
    said = (run / "said.txt").read_text()
    assert "trained on the labels alone, names" in said
    # After two steps.
    assert "Which classes are weak is not known yet" in said
    assert "note: 2 steps are few for the recipe digits" in said


def test_networks_at_chance_say_nothing_of_what_to_label(run):
    assert not (run / "label_next.csv").exists()
    said = (run / "said.txt").read_text()
    assert "note: No network is better than chance, so that no images" in said


def labels_next(kind, networks):
    """What is written and known of what to label, by networks' answers."""
    data = datasets.images("digits", num_labeled=10)
    if kind == "labeled":
        data = dataclasses.replace(data, test=None)
    own = {name: Answers(right) for name, right in networks.items()}
    measured = evaluation.measure(own, data)
    training = types.SimpleNamespace(
        data=data, settings=runs.Settings(dataset="digits")
    )
    known = {"measured": measured}
    written = results._label_next(training, own, known)
    return written, known


class Answers(keras.Model):
    """A network that is right because it looks at pixels, or has one answer."""

    def __init__(self, right):
        super().__init__()
        self.right = right
        x, y = datasets.images("digits", num_labeled=10).labeled
        self.means = np.stack([x[k] for k in np.argsort(y)]).reshape(10, -1)

    def call(self, x, training=None):
        """Likeness to the labeled pictures."""
        x = tf.reshape(tf.cast(x, "float32"), (-1, 1, 64))
        found = -tf.norm(x - self.means.astype("float32"), axis=-1)
        return found / 100 if self.right else 0 * found


@pytest.mark.parametrize("kind", ["test", "labeled"])
def test_what_to_label_next_is_a_table_of_who_has_learned(kind, tmp_path):
    networks = {"averaged student": False, "teacher": True}
    written, known = labels_next(kind, networks)
    assert "which the teacher is least sure" in known["candidates_note"]
    written["label_next.csv"](tmp_path / "table")
    with open(tmp_path / "table", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 100
    assert len({row["number"] for row in rows}) == 100
    for row in rows:
        assert row["class"] != row["or"]
        assert float(row["probability"]) >= float(row["its_probability"])
    written, known = labels_next(kind, {"averaged student": False})
    assert written == {} and known["candidates"] == []
    written, known = labels_next(kind, {"averaged student": True})
    assert list(written) == ["label_next.csv"]
    assert known["candidates_note"] == ""


def test_the_baseline_needs_no_baseline():
    with pytest.raises(ValueError, match="`baseline` must be False"):
        runs.Settings(dataset="digits", method="supervised", baseline=True)


def test_a_finished_run_drops_nothing_that_is_asked_for(tmp_path):
    told = {"dataset": "digits", "changes": {"steps": 2}, "report": False}
    settings = runs.Settings(**told)
    data, recipe = training.load_data(settings, print, False)
    path = tmp_path / "run"
    record, request = settings.record(recipe, data), settings.request()
    open_folder = folder.RunFolder(path, record, request=request)
    open_folder.begin()
    open_folder.write("results.json", files.json_writer({"step": 2}))
    open_folder.end()
    lines = []

    def again(**changes):
        asked = runs.Settings(**{**told, **changes})
        return training.Training(
            asked, path, resume=True, say=lines.append
        ).run()

    with pytest.raises(ValueError) as error:
        again(baseline=True)
    assert str(error.value) == (
        "`baseline` must be given before a run is finished, and the one in "
        "`output_dir` is finished without it. For another run, with it, choose "
        f"a new `output_dir`. Received: baseline=True, output_dir={path}"
    )
    (path / "baseline").mkdir()  # what is there was not dropped
    assert again(baseline=True) == {"step": 2}
    again()
    assert lines[-1] == f"The run in {path} is finished."
    again(backup_every=7)
    assert lines[-1] == (
        f"The run in {path} is finished. --backup_every, given otherwise now, "
        "changes nothing."
    )
