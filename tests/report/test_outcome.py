"""What came of a training, in sentences."""

import numpy as np
import pytest

from mpl_keras.evaluation import Measured
from mpl_keras.report import outcome


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        ([1.0, 3.0], "brought 2.00 points (1.0 to 3.0"),
        ([-3.0, -1.0], "did harm: they cost 2.00 points (1.0 to 3.0"),
        ([-0.5, 3.0], "not certain that the unlabeled images helped"),
    ],
)
def test_what_the_unlabeled_images_brought(interval, words):
    gain = 2.0 if interval[1] > 0 else -2.0
    found = {"accuracy": 70.0, "gain": gain, "interval": interval}
    text = outcome.gained(found)
    assert words in text and "70.00 %" in text


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ([[9, 1, 0], [0, 10, 0], [5, 0, 5]], "class is c (50.0 %)"),
        ([[7, 3, 0], [5, 5, 0], [0, 0, 20]], "are b (50.0 %), a (70.0 %)."),
        ([[5, 0, 0], [0, 5, 0], [0, 0, 5]], "No class"),
        ([[5, 0, 0], [5, 0, 0], [0, 0, 0]], "class is b (0.0 %)"),
    ],
)
def test_weak_classes_are_named(counts, words):
    measured = Measured("test", {"net": np.array(counts)}, None, None)
    text = outcome.weakest(measured, ["a", "b", "c"])
    assert words in text


def test_only_what_is_known_is_said():
    measured = Measured("test", {"net": np.eye(2, dtype=int)}, None, None)
    names = ["a", "b"]
    assert len(outcome.sentences(None, None, names)) == 1
    assert len(outcome.sentences(measured, None, names)) == 2
    baseline = {"accuracy": 70.0, "gain": 2.0, "interval": [1.0, 3.0]}
    assert len(outcome.sentences(measured, baseline, names)) == 3


def test_a_network_that_has_not_learned_says_nothing_about_the_images():
    """A short trial ended with "the unlabeled images did harm"."""
    counts = {"net": np.array([[5, 0], [5, 0]])}
    measured = Measured("test", counts, None, None)
    baseline = {"accuracy": 70.0, "gain": -20.0, "interval": [-30.0, -10.0]}
    text = " ".join(outcome.sentences(measured, baseline, ["a", "b"]))
    assert "did harm" not in text
    assert "has not learned" in text and "70.00 %" in text
