"""What is said of a comparison: which method is best, and how sure that is."""

import numpy as np
import pytest

from mpl_keras.report import comparison
from mpl_keras.runs import Settings

LABELS = [59.0, 60.0, 62.0]
UP, APART = np.array([30.0, 33.0, 31.0]), np.array([2.0, 3.0, 2.5])
ALIGNED = LABELS + UP
ALL = {
    "supervised": LABELS,
    "uda_aligned": list(ALIGNED),
    "mpl": list(ALIGNED - APART),
}


def said(**accuracies):
    return comparison.sentences(accuracies)


def test_the_default_is_that_of_the_settings():
    assert comparison._DEFAULT == Settings(dataset="digits").method


def test_another_method_than_the_default_is_best():
    first, second = said(**ALL)
    assert first.startswith(
        "Aligned UDA has the highest mean: it classifies 91.67 % of the test "
        "images correctly. With the labels alone it is 60.33 %. The difference "
        "is +31.33 points (95 % interval +27.54 to +35.13, which excludes 0)."
    )
    assert second == (
        "MPL, the default, is not the best: it is at 89.17 %, 2.50 points "
        "below aligned UDA (95 % interval +1.26 to +3.74, which excludes 0)."
    )


def test_the_default_cannot_be_told_apart_from_the_best():
    near = ALIGNED + [1.0, -2.0, 0.5]
    _, second = said(**ALL | {"mpl": near})
    assert "MPL, the default, is not the best: it is at 91.50 %" in second
    assert second.endswith(
        ". The two cannot be told apart: the interval contains 0."
    )


def test_the_default_is_best():
    (first,) = said(**ALL | {"mpl": ALIGNED + APART})
    assert first.startswith("MPL has the highest mean: it classifies 94.17 %")


@pytest.mark.parametrize(
    ("others", "words"),
    [
        (("uda",), "UDA cannot be told apart from MPL: the 95 % interval co"),
        (
            ("uda", "uda_aligned"),
            "UDA and aligned UDA cannot be told apart from MPL: the 95 % "
            "intervals contain 0.",
        ),
        (
            ("uda", "fixmatch", "softmatch"),
            "UDA, FixMatch and SoftMatch cannot be told apart from MPL",
        ),
    ],
)
def test_others_near_the_best(others, words):
    near = dict.fromkeys(others, ALIGNED + [1.0, -2.0, 0.5])
    _, second = said(supervised=LABELS, **near, mpl=ALIGNED)
    assert second.startswith(words)


def test_the_labels_alone_are_best():
    first, second, third = said(
        supervised=ALIGNED + [1.0, -2.0, 5.0], uda=ALIGNED, mpl=ALIGNED - 9
    )
    assert first == (
        "No method is better than the labels alone, with which 93.00 % of the "
        "test images are classified correctly."
    )
    assert "not the best: it is at 82.67 %, 10.33 points below the " in second
    assert third.startswith("UDA cannot be told apart from the labels alone:")


def test_a_gain_that_may_be_chance():
    (first,) = said(supervised=[80.0, 81.0], mpl=[90.0, 80.0])
    assert first.endswith("), which may be chance: the interval contains 0.")


def test_equal_means():
    """Neither is called the worse one; they cannot be told apart."""
    first, second = said(supervised=LABELS, uda=ALIGNED, mpl=ALIGNED[::-1])
    assert first.startswith("UDA and MPL have the highest mean: they classify")
    assert second.startswith("UDA cannot be told apart from MPL:")
    first, second = said(supervised=LABELS, mpl=LABELS)
    assert first.startswith("No method is better than the labels alone")
    assert second.startswith("MPL cannot be told apart from the labels alone")


def test_one_seed():
    first, second = said(supervised=[80.0], uda=[92.0], mpl=[90.0])
    assert first.endswith(
        "The difference is +12.00 points. One seed does not show whether this "
        "is chance."
    )
    assert second == (
        "MPL, the default, is not the best: it is at 90.00 %, 2.00 points "
        "below UDA."
    )
    (first,) = said(uda=[92.0], fixmatch=[90.0])
    assert first.endswith(
        "correctly. One seed does not show whether this is chance."
    )


def test_one_method():
    assert said(uda=[90.0, 91.0]) == [
        "UDA classifies 90.50 % of the test images correctly."
    ]
    assert said(supervised=[90.0]) == [
        "With the labels alone, 90.00 % of the test images are classified "
        "correctly."
    ]


def test_the_page_begins_with_it():
    page = comparison.page("digits", ALL, [], [], "validation")
    lead = page.split('<p class="lead">')
    assert lead[1].startswith("Aligned UDA has the highest mean")
    assert "of the validation images" in lead[1]
    assert lead[2].startswith("MPL, the default, is not the best")
    # On a phone differences with their intervals take two lines.
    narrow = page.split("@media (max-width: 40rem)")[1].splitlines()[0]
    assert ".number" in narrow and "white-space: normal" in narrow
