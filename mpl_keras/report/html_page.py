"""Pages that need nothing but themselves: templates filled, pictures put in.

A page is one file of HTML, without scripts. Jinja2, which fills the templates,
comes with `pip install "mpl_keras[report]"`.
"""

import base64
import datetime
import importlib
import json
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from mpl_keras.report import canvas, figures, mosaic

# What no page and no SVG may hold: control characters, those that would turn
# the words after them around, and the halves of letters as which Python reads
# names that are not UTF-8.
_UNFIT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff"
    "\ufffe\uffff]"
)
_PERCENT = re.compile(r"(?<=\d) (?=%)")
# Smaller pictures are enlarged, and keep their corners.
_SMALL = 48
_MANY = 30  # words of a setting
_DOTS = 96  # CSS pixels of an inch


def check_installed() -> None:
    """Raises unless what fills the templates is installed.

    Raises:
        ImportError: It names what is missing, and how to install it.

    Example:
    >>> check_installed()
    """
    try:
        importlib.import_module("jinja2")
    except ImportError as error:
        raise ImportError(
            f"report.html needs Jinja2: {canvas.INSTALL}"
        ) from error


def plain(text: Any) -> str:
    r"""Text that a page can hold, whatever a file or class is called.

    Example:
    >>> plain("caf\udce9")
    'caf�'
    """
    return _UNFIT.sub("\ufffd", str(text))


def render(template: str, **context) -> str:
    """Fills a template; all values are escaped.

    Args:
        template: A file in `mpl_keras/templates`.
        **context: Values by the names that the template uses.

    Raises:
        ImportError: Without Jinja2.
        jinja2.UndefinedError: If the template uses a name that is not given.

    Example:
    >>> page = render("report.html", title="<&>", language="en", lead=[],
    ...               facts=[], sections=[], written=now(), versions=[])
    >>> "<title>&lt;&amp;&gt;</title>" in page
    True
    """
    check_installed()
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mpl_keras.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_set,
    )
    return environment.get_template(template).render(**context)


def _set(value):
    """Text as it is set; a number and its percent sign stay together."""
    if type(value) is not str:
        return value
    return _PERCENT.sub("\u00a0", plain(value))


def now() -> datetime.datetime:
    """The time, with the zone of this machine.

    Example:
    >>> now().tzinfo is None
    False
    """
    return datetime.datetime.now().astimezone().replace(microsecond=0)


class Table(NamedTuple):
    """A table, whose first column says what a row is of.

    Attributes:
        caption: Above it.
        header: Names of the columns.
        rows: Of words and of numbers that are written out.
        numbers: Whether all columns but the first hold numbers.

    Example:
    >>> Table("Pets", ["name", "legs"], [["dog", "4"]]).numbers
    True
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: bool = True


class Drawing(NamedTuple):
    """A figure for a light and for a dark page.

    Attributes:
        light: Address of the picture.
        dark: The same, light on dark.
        size: CSS pixels, (width, height).
        alt: What it shows, for those who do not see it.
        caption: Below it.

    Example:
    >>> Drawing("data:,", "data:,", (400, 300), "A curve.", "").size
    (400, 300)
    """

    light: str
    dark: str
    size: tuple[int, int]
    alt: str
    caption: str


def drawing(
    draw: Callable[[], Any], alt: str, caption: str, raster: bool = False
) -> Drawing:
    """Draws a figure twice.

    Args:
        draw: Returns it; is called within `figures.style`.
        alt: What it shows, in words.
        caption: Below it.
        raster: Whether as pixels: what holds many of them is smaller so.

    Example:
    >>> drawn = drawing(
    ...     lambda: figures.curves([1, 2], {"a": [3, 4]}, "A"), "A rises.", ""
    ... )
    >>> drawn.light[:26], drawn.light == drawn.dark
    ('data:image/svg+xml;base64,', False)
    """
    addresses = []
    for dark in (False, True):
        with figures.style(dark=dark):
            figure = draw()
            if raster:
                addresses.append(_address("png", figures.png(figure, dpi=160)))
            else:
                contents = figures.svg(figure).encode("utf-8")
                addresses.append(_address("svg+xml", contents))
    width, height = (round(_DOTS * n) for n in figure.get_size_inches())
    return Drawing(*addresses, (width, height), alt, caption)


class Picture(NamedTuple):
    """An image, with a caption in lines.

    Attributes:
        address: Of the picture.
        size: Pixels, (width, height).
        small: Whether it is shown larger than it is.
        alt: What it shows, for those who do not see it.
        lines: Of the caption: words, a name, and words.

    Example:
    >>> Picture("data:,", (48, 48), True, "A dog.", [("is", "dog", "")]).alt
    'A dog.'
    """

    address: str
    size: tuple[int, int]
    small: bool
    alt: str
    lines: Sequence[tuple[str, str, str]]


def pictures(
    images: np.ndarray,
    alts: Sequence[str],
    captions: Sequence[Sequence[tuple[str, str, str]]],
    beside: np.ndarray | None = None,
) -> list[Picture]:
    """Images for a page, of whatever range they are.

    Args:
        images: [N, h, w, 1 or 3].
        alts: What each shows, in words.
        captions: Lines of each; see `Picture`.
        beside: Others of that shape, shown to the right of each.

    Example:
    >>> found = pictures(np.zeros((1, 8, 8, 1)), ["Nothing."], [[]])
    >>> found[0].size, found[0].address[:22]
    ((48, 48), 'data:image/png;base64,')
    """
    small = max(images.shape[1:3]) < _SMALL
    if beside is None:
        tiles = mosaic.pixels(images)
    else:
        both = mosaic.pixels(np.stack([images, beside]))
        tiles = mosaic.side_by_side(*both)
    tiles = np.round(255 * tiles).astype(np.uint8)
    height, width = tiles.shape[1:3]
    return [
        Picture(
            _address("png", tf.io.encode_png(tile).numpy()),
            (width, height),
            small,
            alt,
            lines,
        )
        for tile, alt, lines in zip(tiles, alts, captions, strict=True)
    ]


def _address(kind, contents):
    text = base64.b64encode(contents).decode("ascii")
    return f"data:image/{kind};base64,{text}"


def value(setting: Any) -> str:
    """A setting in words.

    Example:
    >>> value(["cat", "dog"]), value(None), value(0.5)
    ('cat, dog', 'none', '0.5')
    """
    if isinstance(setting, str):
        return setting
    if setting is None:
        return "none"
    if isinstance(setting, (list, tuple)):
        words = [value(one) for one in setting[:_MANY]]
        if len(setting) > _MANY:
            words.append(f"and {len(setting) - _MANY:,} more")
        return ", ".join(words)
    return json.dumps(setting, ensure_ascii=False, default=str)


class Section(NamedTuple):
    """A part of a page.

    Attributes:
        id: By which a link finds it.
        title: Of the part.
        text: Paragraphs.
        drawings: Figures.
        pictures: Images.
        tables: Below them.
        wide: Whether the images are pairs.
        folded: Whether the tables can be folded away.

    Example:
    >>> Section("settings", "Settings").text
    ()
    """

    id: str
    title: str
    text: Sequence[str] = ()
    drawings: Sequence[Drawing] = ()
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()
    wide: bool = False
    folded: bool = False
