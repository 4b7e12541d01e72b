"""What is said and written at the end of a training."""

import json
import types

import numpy as np
import pytest

from mpl_keras import datasets, runs
from mpl_keras.runs import results
from mpl_keras.runs.training import few_measured


@pytest.mark.parametrize(
    ("draws", "page", "test", "file"),
    [
        (True, True, [], "confusion_matrix.png"),
        (True, False, [], "confusion_matrix.png"),
        (True, True, None, "report.html"),
        (True, False, None, ""),
        (False, False, [], ""),
    ],
)
def test_only_a_matrix_that_is_written_is_pointed_to(draws, page, test, file):
    training = types.SimpleNamespace(
        draws=draws, writes_page=page, data=types.SimpleNamespace(test=test)
    )
    assert results._drawn_matrix(training) == file


def data_of(validation=None, test=None, classes=2):
    x, y = np.zeros((300, 3), "float32"), np.arange(300) % classes
    sets = {"validation": validation, "test": test}
    held_out = {k: (x[:n], y[:n]) for k, n in sets.items() if n is not None}
    return datasets.from_arrays(x[:50], y[:50], x, **held_out)


def test_few_pictures_to_measure_on_are_noted():
    notes = few_measured(data_of(validation=4, test=49))
    assert len(notes) == 2
    assert notes[0].startswith(
        "an accuracy on 4 validation pictures says little: where 3 of 4 are "
        "right, the 95 % interval is 30 to 95 %"
    )
    assert "49 test pictures" in notes[1]


@pytest.mark.parametrize(
    ("sizes", "count"),
    [
        (dict(), 0),
        (dict(test=50), 0),
        (dict(test=1), 1),
        (dict(test=200, classes=50), 1),
        (dict(test=250, classes=50), 0),
    ],
)
def test_enough_pictures_are_not_noted(sizes, count):
    assert len(few_measured(data_of(**sizes))) == count


@pytest.mark.slow_cases("supervised", "uda", "mpl")
@pytest.mark.parametrize("method", ["supervised", "uda", "uda_aligned", "mpl"])
def test_what_neighbours_tell_is_said_and_written(tmp_path, method):
    """By the methods that train with it."""
    settings = runs.Settings(
        dataset="digits",
        method=method,
        changes={
            "steps": 4,
            "student_wait": 1,
            "num_labeled": 40,
            "label_spreading": True,
        },
        tensorboard=False,
        report=False,
    )
    lines = []
    folder = tmp_path / "run"
    training = runs.Training(settings, folder, light=True, say=lines.append)
    found = training.run()
    told = [line for line in lines if line.startswith("spreading")]
    if method in ("supervised", "uda"):
        assert found["label_spreading"] is None and not told
        assert training.data.unlabeled_prior is None
        return
    neighbors = found["label_spreading"]
    assert neighbors["accuracy"] > 70 and neighbors["strength"] > 0
    assert told == [f"spreading  {training.spreading}"]
    rows = training.data.unlabeled_prior
    truth = training.data.unlabeled_labels
    assert (rows.argmax(axis=1) == truth).mean() > 0.8


def test_a_run_that_goes_on_keeps_what_the_neighbours_count(tmp_path):
    """On a machine that rounds otherwise, another strength may be as good."""
    settings = runs.Settings(
        dataset="digits",
        method="uda_aligned",
        changes={"steps": 4, "num_labeled": 40, "label_spreading": True},
        tensorboard=False,
        report=False,
    )
    folder = tmp_path / "run"
    path = folder / "label_spreading.json"
    lines = []
    options = {"light": True, "resume": True, "say": lines.append}
    first = runs.Training(settings, folder, **options)
    first.run()
    anew = "no backup yet: the training begins at its first step"
    assert lines.count(anew) == 1
    known = json.loads(path.read_text())
    assert known == {
        "strength": first.spreading.strength,
        "accuracy": 100 * first.spreading.accuracy,
    }
    told = first.described()["label_spreading"]
    assert told == str(first.spreading)
    # As one that was killed before its end, elsewhere.
    (folder / "results.json").unlink()
    path.write_text(json.dumps(known | {"strength": 0.25}))
    again = runs.Training(settings, folder, **options)
    found = again.run()
    assert lines.count(anew) == 1  # it went on
    assert found["label_spreading"]["strength"] == 0.25
    wanted = datasets.spread_labels(first.data, strength=0.25)
    np.testing.assert_array_equal(
        again.data.unlabeled_prior, wanted.data.unlabeled_prior
    )
