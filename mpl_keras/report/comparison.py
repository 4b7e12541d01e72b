"""What people read of a comparison of methods: a table, pictures, a page."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from mpl_keras import evaluation
from mpl_keras.report import figures, html_page, model_card
from mpl_keras.report.vocabulary import method_name

_ALONE, _DEFAULT = "supervised", "mpl"  # of `--method`


def differences(
    accuracies: Mapping[str, Sequence[float]],
) -> dict[str, tuple[float, float, float]]:
    """How far the last method is above each other one, paired by seed.

    Args:
        accuracies: By method, in the same order of seeds.

    Returns:
        Mean, and lower and upper end of the 95 % interval, by method.

    Example:
    >>> differences({"uda": [90.0, 92.0], "mpl": [91.0, 94.0]})["uda"][0]
    1.5
    """
    *others, last = accuracies
    return {name: _difference(accuracies, last, name) for name in others}


def table(accuracies: Mapping[str, Sequence[float]]) -> list[str]:
    r"""Lines of a table in Markdown, of means and paired differences.

    Args:
        accuracies: By method, in the same order of seeds.

    Example:
    >>> print(*table({"uda": [90.0, 92.0], "mpl": [91.0, 94.0]}), sep="\n")
    | method | mean  | standard error | MPL minus this method  |
    |--------|-------|----------------|------------------------|
    | UDA    | 91.00 | 1.00           | +1.50 (-4.85 to +7.85) |
    | MPL    | 92.50 | 1.50           |                        |
    """
    rows = _cells(accuracies)
    widths = [
        max(len(cell) for cell in column) for column in zip(*rows, strict=True)
    ]
    header, *lines = [
        " | ".join(
            cell.ljust(width) for cell, width in zip(row, widths, strict=True)
        )
        for row in rows
    ]
    rule = "|".join("-" * (width + 2) for width in widths)
    return [f"| {header} |", f"|{rule}|", *(f"| {line} |" for line in lines)]


def sentences(
    accuracies: Mapping[str, Sequence[float]],
    kind: Literal["test", "validation"] = "test",
) -> list[str]:
    """Which method is best, and of which others that can be said.

    Args:
        accuracies: By method, in the same order of seeds.
        kind: Which images were measured on, "test" or "validation".

    Returns:
        Paragraphs: the best method beside the labels alone; the default, where
        it is not the best; and those that cannot be told apart from the best.

    Example:
    >>> found = sentences({"supervised": [80.0, 81.0], "mpl": [90.0, 91.0]})
    >>> print(*found)
    MPL has the highest mean: it classifies 90.50 % of the test images \
correctly. With the labels alone it is 80.50 %. The difference is +10.00 \
points (95 % interval +10.00 to +10.00, which excludes 0).
    """
    means = {name: float(np.mean(v)) for name, v in accuracies.items()}
    highest = [
        name for name in means if np.isclose(means[name], max(means.values()))
    ]
    best = next((n for n in (_ALONE, _DEFAULT) if n in highest), highest[0])
    said = [_of_the_best(accuracies, best, highest, kind)]
    told = {best, _ALONE}
    if _DEFAULT in means and _DEFAULT not in highest:
        told.add(_DEFAULT)
        said.append(_of_the_default(accuracies, best))
    rest = [
        name
        for name in means
        if name not in told and _contains_0(accuracies, best, name)
    ]
    if rest:
        said.append(
            f"{_capital(_listed(rest))} cannot be told apart from "
            f"{_named(best)}: the 95 % interval"
            + (" contains 0." if len(rest) == 1 else "s contain 0.")
        )
    return said


def _of_the_best(accuracies, best, highest, kind):
    """How good the best method is, and how far above the labels alone."""
    mean = f"{np.mean(accuracies[best]):.2f} % of the {kind} images"
    one_seed = len(accuracies[best]) == 1
    chance = " One seed does not show whether this is chance." * one_seed
    if len(accuracies) == 1 and best == _ALONE:
        return f"With the labels alone, {mean} are classified correctly."
    if len(accuracies) == 1:
        return f"{_capital(_named(best))} classifies {mean} correctly."
    if best == _ALONE:
        return (
            "No method is better than the labels alone, with which "
            f"{mean} are classified correctly.{chance}"
        )
    classify = "has the highest mean: it classifies"
    if len(highest) > 1:
        classify = "have the highest mean: they classify"
    text = f"{_capital(_listed(highest))} {classify} {mean} correctly."
    if _ALONE not in accuracies:
        return text + chance
    difference, low, high = _difference(accuracies, best, _ALONE)
    text += (
        f" With the labels alone it is {np.mean(accuracies[_ALONE]):.2f} %. "
        f"The difference is {difference:+.2f} points"
    )
    if one_seed:
        return f"{text}.{chance}"
    text += f" (95 % interval {low:+.2f} to {high:+.2f}"
    if _contains_0(accuracies, best, _ALONE):
        return f"{text}), which may be chance: the interval contains 0."
    return f"{text}, which excludes 0)."


def _of_the_default(accuracies, best):
    """How far the default is below the best method."""
    difference, low, high = _difference(accuracies, best, _DEFAULT)
    text = (
        f"{method_name(_DEFAULT)}, the default, is not the best: it is at "
        f"{np.mean(accuracies[_DEFAULT]):.2f} %, {difference:.2f} points below "
        f"{_named(best)}"
    )
    if np.isnan(low):
        return f"{text}."
    text += f" (95 % interval {low:+.2f} to {high:+.2f}"
    if _contains_0(accuracies, best, _DEFAULT):
        return (
            f"{text}). The two cannot be told apart: the interval contains 0."
        )
    return f"{text}, which excludes 0)."


def _difference(accuracies, one, other):
    """Mean difference of two methods, and its interval."""
    return evaluation.mean_interval(
        np.subtract(accuracies[one], accuracies[other])
    )


def _contains_0(accuracies, one, other):
    """Whether the difference of two methods may be chance, as far as known."""
    _, low, high = _difference(accuracies, one, other)
    return low <= 0 <= high


def _named(method):
    """A method within a sentence."""
    name = method_name(method)
    return f"the {name}" if method == _ALONE else name


def _listed(methods):
    *first, last = map(_named, methods)
    return f"{', '.join(first)} and {last}" if first else last


def _capital(text):
    return text[0].upper() + text[1:]


def plot_accuracies(
    accuracies: Mapping[str, Sequence[float]],
    title: str,
    kind: Literal["test", "validation"] = "test",
):
    """A point for each training, and the mean of each method.

    Args:
        accuracies: By method.
        title: Above.
        kind: Which images were measured on.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    return figures.points(
        {method_name(name): values for name, values in accuracies.items()},
        title,
        f"% of the {kind} images correct",
        _things(accuracies),
    )


def plot_curves(
    accuracies: Mapping[str, Sequence[float]],
    metrics: Mapping[str, Sequence[Mapping[str, Sequence[float]]]],
    title: str,
    kind: Literal["test", "validation"] = "test",
):
    """Accuracy through the trainings, the mean over seeds.

    A method without metrics is a level line.

    Args:
        accuracies: By method.
        metrics: By method, for each seed: "step" and "val_accuracy".
        title: Above.
        kind: Which images "val_accuracy" is of.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    steps = next(iter(metrics.values()))[0]["step"]
    series = {}
    for name, values in accuracies.items():
        level = [[np.mean(values) / 100] * len(steps)]
        runs = [run["val_accuracy"] for run in metrics.get(name, ())]
        series[method_name(name)] = 100 * np.mean(runs or level, axis=0)
    return figures.curves(
        steps,
        series,
        title,
        f"% of the {kind} images correct",
        _things(accuracies),
    )


def curves_caption(
    metrics: Mapping[str, Sequence[Mapping[str, Sequence[float]]]],
) -> str:
    """What is to be known of `plot_curves`, or "".

    Args:
        metrics: The same.

    Example:
    >>> curves_caption({"uda": [{"step": [20], "val_accuracy": [0.5]}]})[:26]
    'There was one evaluation a'
    """
    steps = next(iter(metrics.values()))[0]["step"]
    if len(steps) > 1:
        return ""
    return (
        "There was one evaluation alone, so that there are points in place of "
        "curves. More evaluations, by --evaluate_every, make curves."
    )


def _things(methods):
    """What gives each method its colour, by its name in words."""
    return {method_name(method): method for method in methods}


def page(
    name: str,
    accuracies: Mapping[str, Sequence[float]],
    drawings: Sequence[html_page.Drawing],
    facts: Sequence[tuple[str, str]],
    kind: Literal["test", "validation"] = "test",
    notes: Sequence[str] = (),
) -> str:
    """A page that needs no network and no script.

    Args:
        name: Of the data set.
        accuracies: By method, in the same order of seeds.
        drawings: What is shown above the table.
        facts: Pairs of a term and what is so.
        kind: Which images were measured on.
        notes: What was told before the trainings, in sentences.

    Raises:
        ImportError: Jinja2 is not installed.
    """
    header, *rows = _cells(accuracies)
    caption = (
        "Means over seeds, and differences paired by seed with their 95 % "
        "intervals"
    )
    section = html_page.Section(
        "accuracy",
        f"Accuracy on the {kind} images, in %",
        drawings=list(drawings),
        tables=[html_page.Table(caption, header, rows)],
    )
    return html_page.render(
        "report.html",
        language="en",
        title=f"Comparison on {name}",
        lead=[*sentences(accuracies, kind), *notes],
        facts=list(facts),
        sections=[section],
        written=html_page.now(),
        versions=[" ".join(pair) for pair in model_card.versions().items()],
    )


def _cells(accuracies: Mapping[str, Sequence[float]]) -> list[Any]:
    """Header and rows of the table, as texts."""
    *_, last = accuracies
    gains = differences(accuracies)
    difference = f"{method_name(last)} minus this method"
    rows = [("method", "mean", "standard error", difference)]
    for name, values in accuracies.items():
        error = "–"
        if len(values) > 1:
            error = f"{np.std(values, ddof=1) / len(values) ** 0.5:.2f}"
        gain = _interval(gains[name]) if name in gains else ""
        rows.append((method_name(name), f"{np.mean(values):.2f}", error, gain))
    return rows


def _interval(gain: tuple[float, float, float]) -> str:
    """A difference and, where it is known, its interval."""
    mean, low, high = gain
    if np.isnan(low):
        return f"{mean:+.2f}"
    return f"{mean:+.2f} ({low:+.2f} to {high:+.2f})"
