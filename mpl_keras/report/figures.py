"""Drawing alone: numbers and pictures become figures of matplotlib.

Every figure is legible at a width of 400 CSS pixels, on a light and on a dark
page: draw, and write, within `style`. matplotlib comes with `pip install
"mpl_keras[report]"`.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from mpl_keras.evaluation import statistics
from mpl_keras.report import canvas, mosaic
from mpl_keras.report.canvas import png, style, svg

__all__ = [
    "confusion",
    "curves",
    "images",
    "marginals",
    "png",
    "points",
    "reliability",
    "style",
    "svg",
    "views",
]

# More classes than this are shown without names and numbers.
MANY = 30


def curves(
    steps: Sequence[float],
    series: Mapping[str, Sequence[float]],
    title: str,
    ylabel: str = "",
    things: Mapping[str, str] | None = None,
):
    """Values through a training, in one panel.

    Args:
        steps: What they are drawn over, [N].
        series: Values by label, [N] each; NaN where there is none.
        title: Above.
        ylabel: What is drawn, and its unit.
        things: What values are of, by label, for their colours; see
            `vocabulary.color`.

    Returns:
        A `matplotlib.figure.Figure`.

    Example:
    >>> figure = curves([10, 20], {"loss": [2.0, 1.5]}, "Loss")
    >>> figure.axes[0].get_xlabel()
    'step'
    """
    figure = canvas.figure(3.3, layout="constrained")
    axis = figure.subplots()
    for label, values in series.items():
        values = np.asarray(values, float)
        marked = _marked(values)
        axis.plot(
            steps,
            values,
            label=canvas.text(label, 3.2, 8),
            marker="o" if len(marked) else None,
            markevery=marked,
            color=canvas.color((things or {}).get(label)),
        )
    if len(steps) == 1:
        _show_values(axis, steps[0], series)
    axis.set(
        title=canvas.text(title, canvas.WIDTH - 0.8, 10, lines=2),
        xlabel="step",
        ylabel=canvas.text(ylabel, 2.3, 9),
    )
    axis.grid(True)
    axis.spines[["top", "right"]].set_visible(False)
    if series:  # below, where it hides no curve
        figure.legend(loc="outside lower center", handlelength=1.2)
    return figure


def _marked(values):
    """Numbers of the values that a line would not show, or hardly."""
    finite = np.isfinite(values)
    if finite.sum() < 3:
        return np.flatnonzero(finite)
    beside = np.pad(finite, 1)
    return np.flatnonzero(finite & ~beside[:-2] & ~beside[2:])


def _show_values(axis, step, series):
    """Writes numbers beside points, for there is no curve to read them off."""
    axis.set_xlim(step - 1, step + 1)
    axis.set_xticks([step], [f"{step:,}"])
    axis.margins(y=0.2)
    shown = sorted(float(values[0]) for values in series.values())
    for place, value in enumerate(filter(np.isfinite, shown)):
        left = place % 2  # in turns, so that near ones do not overlap
        axis.annotate(
            f"{value:.3g}",
            (step, value),
            xytext=(-8 if left else 8, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            va="center",
            fontsize=8,
        )


def points(
    values: Mapping[str, Sequence[float]],
    title: str = "",
    xlabel: str = "",
    things: Mapping[str, str] | None = None,
):
    """Values by name: a point for each, and a line at their mean.

    Args:
        values: By name, from the top to the bottom.
        title: Above.
        xlabel: What is drawn, and its unit.
        things: What they are of, by name, for their colours.

    Returns:
        A `matplotlib.figure.Figure`.

    Example:
    >>> figure = points({"UDA": [90.0, 92.0], "MPL": [91.0, 94.0]}, "Digits")
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['UDA', 'MPL']
    """
    figure = canvas.figure(0.95 + 0.4 * len(values), layout="constrained")
    axis = figure.subplots()
    for row, (name, found) in enumerate(values.items()):
        color = canvas.color((things or {}).get(name))
        (line,) = axis.plot(
            found, [row] * len(found), "o", alpha=0.6, color=color
        )
        axis.plot(
            [np.mean(found)] * 2,
            [row - 0.3, row + 0.3],
            color=line.get_color(),
            linewidth=3,
        )
    axis.set_yticks(
        range(len(values)), [canvas.text(n, 1.6, 8, lines=2) for n in values]
    )
    axis.invert_yaxis()
    figure.supxlabel(canvas.text(xlabel, canvas.WIDTH - 0.2, 9), fontsize=9)
    figure.suptitle(canvas.text(title, canvas.WIDTH - 0.2, 10, lines=2))
    axis.grid(True, axis="x")
    axis.spines[["top", "right"]].set_visible(False)
    return figure


def confusion(counts: np.ndarray, class_names: Sequence[str], title: str = ""):
    """A confusion matrix, each row coloured in shares of its true class.

    Args:
        counts: Examples by true class (row) and predicted class (column), [C,
            C].
        class_names: Names of the classes; shown for up to 30 classes.
        title: Above.

    Returns:
        A `matplotlib.figure.Figure`.

    Example:
    >>> figure = confusion(np.array([[3, 1], [0, 4]]), ["cat", "dog"])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['3', '1', '4']
    """
    counts = np.asarray(counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    if len(counts) > MANY:
        figure = canvas.figure(0.92 * canvas.WIDTH, layout="constrained")
        figure.suptitle(canvas.text(title, canvas.WIDTH - 0.2, 10, lines=2))
        axis = figure.subplots()
    else:
        figure, axis = _squares(len(counts), class_names, title)
    image = axis.imshow(shares, cmap=canvas.shades(), vmin=0, vmax=1)
    axis.set(xlabel="predicted", ylabel="true")
    if len(counts) > MANY:
        figure.colorbar(image, label="share of the true class", shrink=0.76)
        return figure
    for (row, column), count in np.ndenumerate(counts):
        if count:
            axis.text(
                column,
                row,
                str(count),
                ha="center",
                va="center",
                color=canvas.over_shade(shares[row, column]),
                fontsize=8 if len(counts) <= 12 else 7,
            )
    return figure


def _squares(count, class_names, title):
    """A figure with space for names and title around a square axis."""
    size = 8 if count <= 12 else 7
    names = canvas.class_names(class_names, size, lines=2)
    beside = canvas.length(names, size)
    turn = beside > 0.28
    left, right = 0.45 + beside, 0.1
    below = 0.42 + (beside if turn else 0.1)
    side = max(canvas.WIDTH - left - right, 0.3 * count)
    width = left + side + right
    title = canvas.text(title, width - 0.2, 10, lines=2)
    above = 0.32 + 0.17 * title.count("\n")
    figure = canvas.figure(below + side + above, width)
    axis = canvas.axis(figure, left, below, side, side)
    # In the middle of the figure, where it has most space.
    axis.set_title(title, x=(width / 2 - left) / side)
    axis.set_xticks(
        range(count), names, rotation=90 if turn else 0, fontsize=size
    )
    axis.set_yticks(range(count), names, fontsize=size)
    return figure, axis


def reliability(
    probabilities: np.ndarray,
    labels: np.ndarray,
    bins: int = 10,
    title: str = "",
):
    """A reliability diagram, and how many examples are how confident.

    Args:
        probabilities: Rows of class probabilities, [N, C].
        labels: True classes, [N].
        bins: Intervals of confidence, of equal width.
        title: Above; the expected calibration error is added.

    Returns:
        A `matplotlib.figure.Figure`.

    Reference:
        Guo et al., 2017 (arXiv:1706.04599), figure 1.

    Example:
    >>> probabilities = np.array([[0.9, 0.1], [0.3, 0.7]])
    >>> reliability(probabilities, [0, 1]).axes[0].get_title()
    'expected calibration error 20.0 %'
    """
    _, accuracy, count = statistics.calibration(probabilities, labels, bins)
    error = statistics.expected_calibration_error(probabilities, labels, bins)
    width = canvas.WIDTH - 0.9
    shown = f"expected calibration error {100 * error:.1f} %"
    if title:
        above = canvas.text(title, width + 0.2, 10, lines=2)
        shown = f"{above}\n{shown}"
    figure = canvas.figure(3.62 + 0.18 * shown.count("\n"))
    upper = canvas.axis(figure, 0.68, 1.25, width, 2.05)
    lower = canvas.axis(figure, 0.68, 0.45, width, 0.68)
    lower.sharex(upper)
    upper.tick_params(labelbottom=False)
    middle = (np.arange(bins) + 0.5) / bins
    color = canvas.color("average")
    upper.bar(middle, np.nan_to_num(accuracy), 0.92 / bins, color=color)
    upper.plot([0, 1], [0, 1], "--", color=canvas.ink(), linewidth=1)
    upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
    upper.set_title(shown)
    shares = count / max(count.sum(), 1)
    lower.bar(middle, shares, 0.92 / bins, color=color, alpha=0.6)
    lower.set(xlabel="confidence", ylabel="examples")
    for axis in (upper, lower):
        canvas.percent(axis)
    canvas.percent(lower, "x")
    return figure


def marginals(
    series: Mapping[str, np.ndarray],
    class_names: Sequence[str],
    title: str = "",
    things: Mapping[str, str] | None = None,
):
    """How often each class is met, by label of who meets it.

    Args:
        series: Shares of the classes by label, [C] each.
        class_names: Names of the classes. More than 30 are lines, sorted by
            the first of the series, without names.
        title: Above.
        things: What the shares are of, by label, for their colours.

    Returns:
        A `matplotlib.figure.Figure`.

    Example:
    >>> shares = {"labeled": [0.5, 0.5], "pseudo labels": [0.2, 0.8]}
    >>> len(marginals(shares, ["cat", "dog"]).axes[0].patches)
    4
    """
    values = [np.asarray(shares, float) for shares in series.values()]
    count = len(class_names)
    size = 8 if count <= 20 else 7
    wide = canvas.WIDTH - 0.86
    names = [""]
    if count <= MANY:
        lines = 2 if wide / count > 0.29 else 1
        names = canvas.class_names(class_names, size, lines)
    longest = canvas.length(names, size)
    turn = longest > 0.9 * wide / count
    below = 0.45
    if count <= MANY:
        more = max(name.count("\n") for name in names)
        below = 0.2 + (longest if turn else 0.1 + 0.15 * more)
    title = canvas.text(title, wide, 10, lines=2)
    figure = canvas.figure(below + 2.2 + 0.17 * title.count("\n"))
    axis = canvas.axis(figure, 0.76, below, wide, 1.9)
    colors = {
        label: canvas.color((things or {}).get(label)) for label in series
    }
    labels = {label: canvas.text(label, 1.2, 8) for label in series}
    if count > MANY:
        order = np.argsort(-values[0], kind="stable")
        for label, shares in zip(series, values, strict=True):
            axis.plot(
                shares[order],
                label=labels[label],
                color=colors[label],
                linewidth=1,
            )
        first = canvas.text(next(iter(series)), 1.5, 9)
        axis.set_xlabel(f"classes, sorted by {first}")
    else:
        width = 0.84 / len(values)
        for index, label in enumerate(series):
            shift = (index - (len(values) - 1) / 2) * width
            axis.bar(
                np.arange(count) + shift,
                values[index],
                width,
                label=labels[label],
                color=colors[label],
            )
        axis.set_xticks(
            range(count), names, rotation=90 if turn else 0, fontsize=size
        )
    axis.set(title=title, ylabel="share")
    axis.set_ylim(0, 1.25 * max(shares.max() for shares in values))
    axis.legend(loc="upper left", ncols=2)
    canvas.percent(axis)
    return figure


def views(
    weak: np.ndarray,
    strong: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
    title: str = "",
):
    """Pairs of a weak and a strong view, and the pseudo label of each.

    Args:
        weak: Images, [N, h, w, 1 or 3], of any range.
        strong: The same images, seen otherwise.
        probabilities: What the pseudo labels are the highest of, [N, C].
        class_names: Names of the classes.
        title: Above.

    Returns:
        A `matplotlib.figure.Figure`.

    Example:
    >>> images = np.zeros((4, 8, 8, 1), "uint8")
    >>> figure = views(images, images, np.eye(2)[[0, 1, 0, 1]], "ab")
    >>> figure.axes[0].texts[1].get_text()
    'b 100 %'
    """
    pairs = mosaic.pixels(np.stack([weak, strong]))
    probabilities = np.asarray(probabilities)
    captions = [
        (class_names[k], f" {100 * row[k]:.0f} %")
        for row, k in zip(
            probabilities, probabilities.argmax(axis=-1), strict=True
        )
    ]
    return _sheet(mosaic.side_by_side(*pairs), captions, title, columns=4)


def images(images: np.ndarray, captions: Sequence[str], title: str = ""):
    r"""A sheet of pictures, each with a caption.

    Args:
        images: [N, h, w, 1 or 3], of any range.
        captions: One for each; a line break makes a second line.
        title: Above.

    Returns:
        A `matplotlib.figure.Figure`.

    Example:
    >>> figure = images(np.zeros((2, 8, 8, 3)), ["cat\n90 %", "dog\n80 %"])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['cat\n90 %', 'dog\n80 %']
    """
    captions = [(caption, "") for caption in captions]
    return _sheet(mosaic.pixels(images), captions, title, columns=4)


def _sheet(tiles, captions, title, columns):
    """Tiles with captions, (name to be shortened, rest), in one axis."""
    size, width = 8, tiles.shape[2]
    gap = max(round(0.08 * width), 1)
    dots = (columns * (width + gap) - gap) / canvas.WIDTH  # an inch
    captions = [
        _caption(*caption, (width + 0.7 * gap) / dots, size)
        for caption in captions
    ]
    lines = 1 + max(caption.count("\n") for caption in captions)
    below = round((0.07 + lines * 1.3 * size / 72) * dots)
    picture, places = mosaic.sheet(tiles, columns, gap, below)
    title = canvas.text(title, canvas.WIDTH - 0.2, 10, lines=2)
    above = 0.3 + 0.17 * title.count("\n") if title else 0
    height = picture.shape[0] / dots + above
    figure = canvas.figure(height)
    axis = figure.add_axes((0, 0, 1, 1 - above / height))
    axis.imshow(picture, interpolation="nearest", aspect="auto")
    axis.set_axis_off()
    for (x, y), caption in zip(places, captions, strict=True):
        axis.text(
            x,
            y + 0.03 * dots,
            caption,
            fontsize=size,
            ha="center",
            va="top",
        )
    if title:
        figure.text(
            *(0.5, 1 - 0.5 * above / height),
            title,
            ha="center",
            va="center",
            fontsize=10,
        )
    return figure


def _caption(name, rest, inches, size):
    """A caption in lines; a long name takes two, the rest one of its own."""
    first, *others = name.split("\n")
    if rest and canvas.length([first + rest], size) > inches:
        others = [rest.strip(), *others]
    elif rest:
        return canvas.text(first + rest, inches, size)
    names = canvas.text(first, inches, size, lines=2)
    return "\n".join(
        [names, *(canvas.text(line, inches, size) for line in others)]
    )
