"""Which networks are no better than chance."""

import numpy as np
import pytest

from mpl_keras import evaluation


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([[5, 0], [5, 0]], True),
        ([[5, 5], [5, 5]], True),
        ([[10, 0], [5, 5]], False),
        # One answer, which is right for most.
        ([[95, 0], [5, 0]], True),
        # Right less often than that answer would be, and yet not at chance.
        ([[80, 15], [1, 4]], False),
        # Classes without examples are no classes.
        ([[5, 5, 0], [5, 5, 0], [0, 0, 0]], True),
        # Of one class alone nothing is known.
        ([[5, 0], [0, 0]], False),
    ],
)
def test_at_chance(counts, expected):
    assert evaluation.at_chance(np.array(counts)) is expected


LOST = np.array([[5, 0], [5, 0]])


@pytest.mark.parametrize(
    ("networks", "expected"),
    [
        ({"first": [[4, 1], [1, 4]], "teacher": [[5, 0], [0, 5]]}, "first"),
        (
            {"first": LOST, "second": LOST, "teacher": [[5, 0], [0, 5]]},
            "teacher",
        ),
        ({"first": LOST, "b": [[4, 1], [0, 5]], "c": [[5, 0], [0, 5]]}, "c"),
        ({"first": LOST, "teacher": LOST}, None),
    ],
)
def test_the_first_that_has_learned(networks, expected):
    counts = {name: np.array(its) for name, its in networks.items()}
    assert evaluation.first_learned(counts) == expected
