"""Figures: what is written on them, and on what pages they can be read."""

import io
import sys
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib import image, text

from mpl_keras.report import canvas, figures, mosaic

# What would be mathematics to matplotlib, markup to a browser, and no word.
ODD = ["$x^{$", "a $5 < b & c", "名前", "two\nlines", "a very long name it is"]


def everything(names=ODD, title="$t$"):
    count = len(names)
    random = np.random.RandomState(0)
    probabilities = random.dirichlet(np.ones(count), 12)
    labels = random.randint(0, count, 12)
    pictures = random.randint(0, 255, (12, 8, 8, 1), "uint8")
    series = {"$a$": [1, np.nan], LONG[:46]: [2, 3]}
    yield figures.curves([1, 2], series, title, "%")
    yield figures.confusion(np.diag(np.arange(count)), names, title)
    yield figures.reliability(probabilities, labels, title=title)
    yield figures.marginals({"a": probabilities[0]}, names, title)
    yield figures.views(pictures, pictures, probabilities, names, title)
    yield figures.images(pictures, [names[k] for k in labels], title)


def drawn(png):
    return image.imread(io.BytesIO(png))


def test_words_stay_words():
    for number, figure in enumerate(everything()):
        element = ElementTree.fromstring(figures.svg(figure))
        assert element.tag.endswith("svg")
        if number in (1, 3):
            words = "".join(element.itertext())
            for word in ("$x^{$", "a $5 < b & c", "名前", "two lines"):
                assert word in words
            assert "a very long" in words and "…" not in words


def test_all_figures_on_a_dark_page():
    with figures.style(dark=True):
        for figure in everything():
            assert drawn(figures.png(figure, dpi=50)).shape[1] == 195


def test_the_page_is_seen_through_or_not():
    for transparent, alpha in ((True, 0), (False, 1)):
        with figures.style(transparent=transparent):
            figure = canvas.figure(1.0)
            assert drawn(figures.png(figure))[0, 0, 3] == alpha


def test_dark_ink_on_light_pages_and_light_ink_on_dark():
    before = dict(matplotlib.rcParams)
    ink = {}
    for dark in (False, True):
        with figures.style(dark):
            figure = figures.curves([1, 2], {"a": [1, 2]}, "t")
            color = matplotlib.colors.to_rgb(figure.axes[0].title.get_color())
            ink[dark] = np.mean(color)
    assert ink[False] < 0.2 and ink[True] > 0.8
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("dark", [False, True])
def test_numbers_are_legible_over_every_shade(dark):
    """WCAG 2 asks for a contrast of 4.5, and 3 for large letters."""
    with figures.style(dark):
        accent = canvas._accent()
        ground = np.full(3, 0.07) if dark else np.ones(3)
        for share in np.linspace(0, 1, 21):
            letters = canvas.over_shade(share)
            shade = share * accent + (1 - share) * ground
            contrast = canvas._contrast(
                canvas._luminance(np.asarray(letters)),
                canvas._luminance(shade),
            )
            assert contrast > 4, share


def test_rows_are_shades_of_the_true_class():
    figure = figures.confusion(np.array([[3, 1], [0, 2]]), "ab")
    shades = figure.axes[0].images[0].get_array()
    np.testing.assert_array_equal(shades, [[0.75, 0.25], [0, 1]])


def test_many_classes_have_no_names():
    names = [f"name {k}" for k in range(31)]
    shares = {"a": np.ones(31) / 31}
    for figure in (
        figures.confusion(np.eye(31, dtype=int), names),
        figures.marginals(shares, names),
    ):
        assert "name 3" not in figures.svg(figure)
        assert not figure.axes[0].texts


def test_the_same_figure_is_the_same_text():
    one, other = (
        figures.svg(figures.curves([1, 2], {"a": [1, 2]}, "t"))
        for _ in range(2)
    )
    assert one == other


def test_reliability_shows_what_is_measured():
    probabilities = np.array([[0.75, 0.25]] * 4)
    figure = figures.reliability(probabilities, [0, 0, 0, 1], bins=4)
    accuracy, count = (
        [bar.get_height() for bar in axis.patches] for axis in figure.axes
    )
    assert accuracy == [0, 0, 0.75, 0] and count == [0, 0, 1, 0]
    assert figure.axes[0].get_title().endswith("error 0.0 %")


@pytest.mark.parametrize(
    "values, expected",
    [
        (np.array([0, 51, 255], "uint8"), [0, 0.2, 1]),
        (np.array([0, 1], "uint8"), [0, 1 / 255]),
        ([0.0, 51.0, 255.0], [0, 0.2, 1]),
        ([0.0, 0.2, 1.0], [0, 0.2, 1]),
        ([-0.1, 0.2, 1.1], [0, 0.2, 1]),  # strong views of digits
        ([-1.0, 0.0, 1.0], [0, 0.5, 1]),
        ([-2.0, 0.0, 2.0], [0, 0.5, 1]),  # standardized
        ([0.0, 8.0, 16.0], [0, 0.5, 1]),
        ([3.0, 3.0, 3.0], [0, 0, 0]),
        ([np.nan, 0.5, 1.0], [0, 0.5, 1]),
    ],
)
def test_images_of_any_range(values, expected):
    values = np.asarray(values).reshape(1, 1, -1, 1)
    width = 48 // len(expected)
    values = values.repeat(48, 1).repeat(width, 2)
    shown = mosaic.pixels(values)
    assert shown.shape == (1, 48, 48, 3)
    np.testing.assert_allclose(shown[0, 0, ::width, 2], expected, atol=1e-6)


def test_large_images_are_made_smaller():
    large = np.zeros((2, 300, 224, 3), "uint8")
    large[:, 150:] = 255
    shown = mosaic.pixels(large)
    assert shown.shape == (2, 100, 74, 3)
    assert shown[0, 49, 0, 0] == 0 and shown[0, 50, 0, 0] == 1


@pytest.mark.parametrize("shape", [(8, 8, 1), (2, 8, 8, 4), (0, 8, 8, 1)])
def test_no_images(shape):
    with pytest.raises(ValueError, match="`images` must be shaped"):
        mosaic.pixels(np.zeros(shape))


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(
        ImportError, match=r"need matplotlib: pip install .mpl_keras\[report"
    ):
        figures.curves([1], {"a": [1]}, "t")


LONG = "Of the averaged teacher, with 86.00 % of the test images named right"
NAME = "a class WITH A NAME that no axis has the space for: number"


@pytest.mark.parametrize("count", [2, 10, 30])
def test_no_title_and_no_label_is_cut_off(count):
    names = [f"{NAME} {k}" for k in range(count)]
    with figures.style():
        found = list(everything(names, LONG))
        found.append(figures.points({LONG: [1, 2], "b": [2]}, LONG, LONG[:44]))
        if count > 2:  # of the others the names of classes change nothing
            found = [found[k] for k in (1, 3, 4)]
        for number, figure in enumerate(found):
            figure.draw_without_rendering()
            width, height = figure.get_size_inches()
            box = figure.get_tightbbox()
            assert box.x0 > -0.01 and box.y0 > -0.01, (number, box)
            assert box.x1 < width + 0.01, (number, box, width)
            assert box.y1 < height + 0.01, (number, box, height)
            texts = figure.findobj(text.Text)
            said = [" ".join(one.get_text().split()) for one in texts]
            assert any(words.startswith(LONG) for words in said), number


def test_classes_with_the_same_beginning_have_two_names():
    names = canvas.class_names([f"{NAME} {k}" for k in range(3)], 8)
    assert len(set(names)) == 3 and names[2].endswith("ber 2")
    assert all(canvas.length([name], 8) <= canvas.NAME for name in names)
    assert canvas.text("word " * 30, 1.0, 8, lines=3).count("\n") == 2
    assert canvas.text("x" * 99, 1.0, 8, lines=2)[-1] == "…"
    assert canvas.text("", 1.0, 8, lines=2) == ""


@pytest.mark.parametrize(
    ("values", "marked"),
    [
        ([5.0], [0]),
        ([5.0, 6.0], [0, 1]),
        ([np.nan, 6.0, 7.0, 8.0], []),
        # No line leads to these.
        ([1.0, np.nan, 3.0, np.nan, 5.0], [0, 2, 4]),
        ([1.0, 2.0, 3.0, np.nan, 5.0, np.inf, 7.0, 8.0], [4]),
    ],
)
def test_what_no_line_would_show_is_a_point(values, marked):
    figure = figures.curves(list(range(len(values))), {"a": values}, "A")
    (line,) = figure.axes[0].lines
    assert (line.get_marker() == "o") == bool(marked)
    assert list(line.get_markevery()) == marked


def test_a_single_evaluation_shows_its_values():
    series = {"a": [0.123], "b": [np.nan], "c": [45.678]}
    axis = figures.curves([1000], series, "A").axes[0]
    assert [text.get_text() for text in axis.texts] == ["0.123", "45.7"]
    ticks = [label.get_text() for label in axis.get_xticklabels()]
    assert ticks == ["1,000"]
