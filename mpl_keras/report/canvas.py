"""What figures are drawn with: colours, letters, files.

A light and a dark page are drawn alike, by `style`. matplotlib comes with `pip
install "mpl_keras[examples]"`, and is asked for when something is drawn.
"""

import contextlib
import io
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

WIDTH = 3.9  # inches
# Told apart by people who see fewer colours: Okabe and Ito, 2008.
_ON_LIGHT = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
_ON_DARK = "#56B4E9", "#E69F00", "#2BBF94", "#E79AC4", "#F0E442", "#F2814A"


def _matplotlib():
    """matplotlib, which is asked for when something is drawn."""
    try:
        import matplotlib
        import matplotlib.figure
    except ImportError as error:
        raise ImportError(
            "Pictures need matplotlib: pip install matplotlib"
        ) from error
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
    letters, grid = ("#e6e6e6", "#666666") if dark else ("#222222", "#bbbbbb")
    ground = "none" if transparent else ("#121212" if dark else "white")
    inked = ("text.color", "axes.labelcolor", "axes.titlecolor")
    inked += ("xtick.color", "ytick.color", "axes.edgecolor")
    settings = dict.fromkeys(inked, letters) | {
        "axes.facecolor": ground,
        "axes.grid.axis": "both",
        "axes.labelsize": 9,
        "axes.linewidth": 0.6,
        "axes.prop_cycle": matplotlib.cycler(
            color=_ON_DARK if dark else _ON_LIGHT
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


def length(names, size: float) -> float:
    """Inches that the longest of some words takes, roughly."""
    return max(map(len, names)) * 0.58 * size / 72


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


def text(words: Any, most: int) -> str:
    """Words of the user's, for matplotlib: short, and no mathematics."""
    words = " ".join(str(words).split())
    most = max(most, 3)
    if len(words) > most:
        words = words[: most - 1].rstrip() + "…"
    return words.replace("$", r"\$")


def percent(axis, which: str = "y") -> None:
    """Writes the shares along an axis as percent."""
    getattr(axis, f"{which}axis").set_major_formatter(
        lambda share, _: f"{100 * share:.3g} %"
    )


def _accent():
    """The first of the cycle's colours, [3]."""
    matplotlib = _matplotlib()
    cycle = matplotlib.rcParams["axes.prop_cycle"].by_key()
    return np.array(matplotlib.colors.to_rgb(cycle["color"][0]))


def ink():
    """The colour of letters."""
    return _matplotlib().rcParams["text.color"]


def shades():
    """From the ground to the accent, whatever the ground is."""
    accent = _accent()
    return _matplotlib().colors.LinearSegmentedColormap.from_list(
        "shades", [(*accent, 0.0), (*accent, 1.0)]
    )


def over_shade(share):
    """Colour of letters over a shade: of ink and ground, what differs more."""
    letters = np.array(_matplotlib().colors.to_rgb(ink()))
    ground = np.ones(3) if _luminance(letters) < 0.2 else np.full(3, 0.07)
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
