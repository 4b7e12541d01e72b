"""How long the trainings that are left take, from those that are known."""

import re

import pytest

from mpl_keras.runs import outlook as outlook_module
from mpl_keras.runs.outlook import Outlook

TRAININGS = [(m, seed) for seed in (0, 1) for m in ("pixels", "uda", "mpl")]


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(outlook_module.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def outlook(clock):
    outlook = Outlook(TRAININGS, quick=["pixels"])
    outlook.begin(), outlook.begin()
    return outlook


def left(outlook, *values):
    """What a line says is left, or None."""
    found = re.search(", (about .*) left in all", outlook.line(*values))
    return found and found[1]


def test_the_first_one_tells_by_its_steps(outlook, clock):
    line = outlook.line(0, None)
    assert line == "training 2 of 6: uda, seed 0, step 0"
    clock[0] += 120.0
    # 480 s are left of it; three others like it take 600 s each.
    assert outlook.line(300, 480.0) == (
        "training 2 of 6, about 38 min left in all: uda, seed 0, step 300"
    )


def test_the_finished_ones_tell(outlook, clock):
    clock[0] += 600.0
    outlook.end(590.0)  # and 10 s besides, which count
    outlook.begin()
    clock[0] += 100.0
    assert left(outlook, 0, None) == "about 28 min"  # 500 + 600 + 600
    # This one is of a slower method, which it tells itself.
    assert left(outlook, 100, 1100.0) == "about 48 min"  # 1100 + 600 + 1200
    clock[0] += 1100.0
    outlook.end(1150.0)
    outlook.begin(), outlook.begin()
    assert left(outlook, 0, None) == "about 30 min"  # 600 + 1200
    clock[0] += 900.0
    assert left(outlook, 0, None) == "about 20 min"  # it takes longer
    outlook.end(float("nan")), outlook.begin()
    assert left(outlook, 1499, 0.4) == "about 10 s"


def test_a_training_that_went_on_tells_nothing(outlook, clock):
    clock[0] += 3.0
    outlook.end(float("nan"))
    outlook.begin()
    assert left(outlook, 0, None) is None
    # One that was read, and took no time now.
    outlook.end(600.0)
    outlook.begin(), outlook.begin()
    assert left(outlook, 0, None) == "about 20 min"
