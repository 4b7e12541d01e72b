"""What people read of a comparison of methods: a table, pictures, a page."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from mpl_keras import evaluation
from mpl_keras.report import figures, html_page, model_card
from mpl_keras.report.vocabulary import method_name


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
    return {
        name: evaluation.mean_interval(
            np.subtract(accuracies[last], accuracies[name])
        )
        for name in others
    }


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


def sentence(
    accuracies: Mapping[str, Sequence[float]],
    kind: Literal["test", "validation"] = "test",
) -> str:
    """Whether the unlabeled pictures helped the last method, in words.

    Args:
        accuracies: By method, in the same order of seeds.
        kind: Which images were measured on, "test" or "validation".

    Example:
    >>> sentence({"supervised": [80.0, 81.0], "mpl": [90.0, 91.0]})
    'MPL classifies 90.50 % of the test images correctly. With the labels \
alone it is 80.50 %. The difference is +10.00 points (95 % interval +10.00 to \
+10.00).'
    """
    *_, last = accuracies
    text = (
        f"{method_name(last)} classifies {np.mean(accuracies[last]):.2f} % of "
        f"the {kind} images correctly."
    )
    if last == "supervised" or "supervised" not in accuracies:
        return text
    mean, low, high = differences(accuracies)["supervised"]
    text += (
        " With the labels alone it is "
        f"{np.mean(accuracies['supervised']):.2f} %. The difference is "
        f"{mean:+.2f} points"
    )
    if np.isnan(low):
        return f"{text}. One seed does not show whether this is chance."
    text += f" (95 % interval {low:+.2f} to {high:+.2f})"
    if low <= 0 <= high:
        return f"{text}, which may be chance: the interval contains 0."
    return f"{text}."


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
        lead=[sentence(accuracies, kind), *notes],
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
