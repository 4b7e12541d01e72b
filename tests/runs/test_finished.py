"""The networks of a finished run, by what they are."""

import os

import pytest

from mpl_keras import runs
from mpl_keras.runs import finished


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that averages the teacher."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    settings = runs.Settings(
        dataset="digits",
        changes={"steps": 2, "average_of": "teacher", "student_wait": 0},
        tensorboard=False,
        report=False,
    )
    runs.Training(settings, folder, quiet=True, say=lambda line: None).run()
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


def test_a_run_of_before_that_is_found_by_its_files(run):
    found = finished.FinishedRun(run)
    del found.results["network"]
    assert found.averaged == "network"
    (run / "student_as_trained.keras").touch()
    assert found.averaged == "student"
