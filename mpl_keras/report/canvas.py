"""What figures are drawn with: colours, letters, files.

A light and a dark page are drawn alike, by `style`. matplotlib comes with `pip
install "mpl_keras[report]"`, and is asked for when something is drawn.
"""

import contextlib
import functools
import io
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mpl_keras.report import vocabulary

WIDTH = 3.9  # inches
NAME = 1.6  # inches that the name of a class may take
# What has all that pictures and pages are made with.
INSTALL = 'pip install "mpl_keras[report]"'
# What is none of the things that have a colour, in this order.
_CYCLE = "teacher", "student", "labels", "consistency", "covered", "average"


def _matplotlib():
    """matplotlib, which is asked for when something is drawn."""
    try:
        import matplotlib
        import matplotlib.figure
    except ImportError as error:
        raise ImportError(f"Pictures need matplotlib: {INSTALL}") from error
    return matplotlib


@contextlib.contextmanager
def style(dark: bool = False, transparent: bool = True) -> Iterator[None]:
    """Colours and letters for a light or a dark page.

    Args:
        dark: Whether the page is dark.
        transparent: Whether the page is seen through; otherwise the ground is
            white, or nearly black.

    Example:
    >>> with style(dark=True):
    ...     picture = png(figure(2.0))
    """
    matplotlib = _matplotlib()
    letters, grid = (vocabulary.color(thing, dark) for thing in ("ink", "grid"))
    ground = "none" if transparent else ("#121212" if dark else "white")
    inked = ("text.color", "axes.labelcolor", "axes.titlecolor")
    inked += ("xtick.color", "ytick.color", "axes.edgecolor")
    settings = dict.fromkeys(inked, letters) | {
        "axes.facecolor": ground,
        "axes.grid.axis": "both",
        "axes.labelsize": 9,
        "axes.linewidth": 0.6,
        "axes.prop_cycle": matplotlib.cycler(
            color=[vocabulary.color(thing, dark) for thing in _CYCLE]
        ),
        "axes.titlesize": 10,
        "figure.facecolor": ground,
        "figure.titlesize": 10,
        "font.size": 9,
        "grid.color": grid,
        "grid.linewidth": 0.5,
        "legend.fontsize": 8,
        "legend.framealpha": 0.0,
        "lines.linewidth": 1.6,
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
    }
    with matplotlib.rc_context(settings):
        yield


def figure(height: float, width: float = WIDTH, layout: str | None = None):
    """An empty figure that no window will show, whatever the machine."""
    return _matplotlib().figure.Figure((width, height), layout=layout)


def axis(figure, left: float, bottom: float, width: float, height: float):
    """An axis at a place in inches; a layout that is looked for takes longer.

    Example:
    >>> place = axis(figure(2.0), 0.4, 0.5, 4.0, 1.0).get_position()
    >>> float(place.height)
    0.5
    """
    wide, high = figure.get_size_inches()
    return figure.add_axes(
        (left / wide, bottom / high, width / wide, height / high)
    )


def length(names: Sequence[str], size: float) -> float:
    """Inches that the longest of some words takes, in letters of a size.

    Example:
    >>> length(["i"], 8) < length(["WWW", "i"], 8) < length(["名前名前"], 8)
    True
    """
    return max(
        _length(line.replace(r"\$", "$"), size)
        for name in names
        for line in name.split("\n")
    )


def _length(words, size):
    return size / 72 * sum(map(_advance, words))


@functools.cache
def _advance(letter):
    """How far a letter reaches, in sizes of the font."""
    if unicodedata.east_asian_width(letter) in "WF":
        return 1.0  # matplotlib's font lacks it: a square in a browser
    _matplotlib()
    from matplotlib import font_manager, textpath

    measure = textpath.text_to_path.get_text_width_height_descent
    font = font_manager.FontProperties(size=100)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")
        ends = measure("xx", font, False)[0]
        return (measure(f"x{letter * 10}x", font, False)[0] - ends) / 1000


def png(drawn, dpi: int = 120) -> bytes:
    """A figure as a PNG file.

    Example:
    >>> png(figure(2.0))[1:4]
    b'PNG'
    """
    return _saved(drawn, "png", dpi=dpi, pil_kwargs={"compress_level": 3})


def svg(drawn) -> str:
    """A figure as an `<svg>` element, to be put into a page.

    Letters stay letters, in the page's own fonts; the same figure gives the
    same text.

    Example:
    >>> svg(figure(2.0))[:4]
    '<svg'
    """
    # Ids are made of what they name, so that two figures in one page do not
    # take each other's.
    with _matplotlib().rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": "mpl_keras"}
    ):
        element = _saved(drawn, "svg", metadata={"Date": None}).decode()
    return element[element.index("<svg") :]


def _saved(drawn, kind, **options):
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # Names in a script that the font has no letters for.
        warnings.filterwarnings("ignore", "Glyph .* missing")
        drawn.savefig(buffer, format=kind, **options)
    return buffer.getvalue()


def text(words: Any, inches: float, size: float, lines: int = 1) -> str:
    r"""Words of the user's, for matplotlib: no mathematics, and they fit.

    Args:
        words: What is written.
        inches: Space beside each other.
        size: Of the letters, in points.
        lines: How many there may be; what does not fit then ends in "…".

    Example:
    >>> text("a cat, a dog and $5", 0.9, 8, lines=2)
    'a cat, a dog\nand \\$5'
    """
    left = " ".join(str(words).split())
    found = []
    while left and len(found) < lines - 1 and _length(left, size) > inches:
        line = left[: _fitting(left, inches, size)]
        if " " in line.rstrip() and not left[len(line) :].startswith(" "):
            line = line[: line.rstrip().rindex(" ")]
        found.append(line.rstrip())
        left = left[len(line) :].lstrip()
    found.append(_cut(left, inches, size))
    return "\n".join(found).replace("$", r"\$")


def _fitting(words, inches, size):
    """How many of the letters fit, and at least one."""
    low, high = 1, max(len(words), 1)
    while low < high:
        middle = (low + high + 1) // 2
        if _length(words[:middle], size) <= inches:
            low = middle
        else:
            high = middle - 1
    return low


def _cut(words, inches, size, end=0):
    """Words that fit; of what is too long the last `end` letters stay."""
    if _length(words, size) <= inches:
        return words
    last = "…" + words[len(words) - end :]
    count = _fitting(words, inches - _length(last, size), size)
    return words[:count].rstrip() + last


def class_names(names: Sequence[Any], size: float, lines: int = 1) -> list[str]:
    """Names of classes, for an axis: short, and no two alike.

    Args:
        names: Of the classes.
        size: Of the letters, in points.
        lines: How many each may take.

    Example:
    >>> class_names(["cat", "one of the very longest names: a",
    ...              "one of the very longest names: b"], 8)
    ['cat', 'one of the very lon…mes: a', 'one of the very lon…mes: b']
    """
    names = [" ".join(str(name).split()) for name in names]
    inches = NAME if lines == 1 else 0.65 * NAME
    short = [text(name, inches, size, lines) for name in names]
    if len(set(short)) == len(set(names)):
        return short
    ends = [
        _cut(name, (1 + 0.8 * (lines - 1)) * inches, size, 6) for name in names
    ]
    return [text(name, inches, size, lines) for name in ends]


def percent(axis, which: str = "y") -> None:
    """Writes the shares along an axis as percent."""
    getattr(axis, f"{which}axis").set_major_formatter(
        lambda share, _: f"{100 * share:.3g} %"
    )


def ink() -> str:
    """The colour of letters."""
    return _matplotlib().rcParams["text.color"]


def is_dark() -> bool:
    """Whether what is drawn now is for a dark page, by `style`."""
    letters = _matplotlib().colors.to_rgb(ink())
    return _luminance(np.array(letters)) > 0.2


def color(thing: str | None) -> str | None:
    """The colour of a thing on the page that is drawn for; None has none."""
    return None if thing is None else vocabulary.color(thing, is_dark())


def _accent():
    """The colour of the averaged network, [3]."""
    return np.array(_matplotlib().colors.to_rgb(color("average")))


def shades():
    """From the ground to the accent, whatever the ground is."""
    accent = _accent()
    return _matplotlib().colors.LinearSegmentedColormap.from_list(
        "shades", [(*accent, 0.0), (*accent, 1.0)]
    )


def over_shade(share):
    """Colour of letters over a shade: of ink and ground, what differs more."""
    letters = np.array(_matplotlib().colors.to_rgb(ink()))
    ground = np.full(3, 0.07) if is_dark() else np.ones(3)
    shade = _luminance(share * _accent() + (1 - share) * ground)
    return max((letters, ground), key=lambda c: _contrast(_luminance(c), shade))


def _luminance(color):
    """Relative luminance, as WCAG 2 has it."""
    linear = np.where(
        color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4
    )
    return float(linear @ (0.2126, 0.7152, 0.0722))


def _contrast(one, other):
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)
