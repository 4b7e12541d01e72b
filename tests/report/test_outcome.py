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
        ([[5, 0, 0], [5, 0, 0], [0, 0, 0]], "not known yet"),
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


@pytest.mark.parametrize(
    ("counts", "advice"),
    [
        (
            [[0, 3, 7], [0, 10, 0], [0, 0, 10]],
            "Label more images of a (mostly taken for c) first, for a start "
            "from label_next.csv; the confusion matrix shows which classes "
            "take it.",
        ),
        (
            [[2, 8, 0], [8, 2, 0], [0, 0, 30]],
            "more images of a (mostly taken for b) and b (mostly taken for a) "
            "first, for a start from label_next.csv; the confusion matrix "
            "shows which classes take them.",
        ),
        ([[3, 0, 7], [0, 10, 0], [0, 0, 10]], "images of a (mostly taken"),
        ([[6, 0, 4], [0, 10, 0], [0, 0, 10]], None),
        ([[5, 0, 0], [5, 0, 0], [0, 0, 0]], None),
    ],
)
def test_what_to_do_about_lost_classes(counts, advice):
    measured = Measured("test", {"net": np.array(counts)}, None, None)
    text = outcome.weakest(
        measured, ["a", "b", "c"], label_next="label_next.csv"
    )
    if advice is None:
        assert "Label" not in text
    else:
        assert advice in text
    without = outcome.weakest(measured, ["a", "b", "c"], "examples")
    assert "label_next" not in without
    undrawn = outcome.weakest(measured, ["a", "b", "c"], matrix="")
    assert "confusion matrix" not in undrawn and undrawn.endswith(".")
    assert ("Label more examples" in without) == (advice is not None)


def test_several_answers_may_be_no_better_than_chance():
    counts = np.full((4, 4), 5)
    measured = Measured("test", {"net": counts}, None, None)
    baseline = {"accuracy": 70.0, "gain": -20.0, "interval": [-30.0, -10.0]}
    told = outcome.sentences(measured, baseline, list("abcd"))
    text = " ".join(told)
    assert "no better than chance" in text and "did harm" not in text
    assert "least often" not in text
