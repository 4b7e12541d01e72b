"""What came of a training, in sentences: for the report and the console."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mpl_keras.evaluation import confusion, statistics
from mpl_keras.report import html_page

_WEAK = 3  # classes that are named
_LOST = 0.5  # of the accuracy of all, below which a class needs help


def sentences(
    measured: confusion.Measured | None,
    baseline: Mapping[str, Any] | None,
    class_names: Sequence[str],
    things: str = "images",
    label_next: str = "",
) -> list[str]:
    """What is known of the outcome.

    Args:
        measured: What `evaluation.measure` returns.
        baseline: As of `report.write`, or None.
        class_names: Of the classes.
        things: What the examples are called.
        label_next: Where unlabeled ones to label next are shown, or "".

    Example:
    >>> len(sentences(None, None, ["cat", "dog"]))
    1
    """
    found = [right(measured, class_names, things)]
    if baseline:
        found.append(gained(baseline, things, measured))
    if measured is not None:
        found.append(weakest(measured, class_names, things, label_next))
    return found


def right(
    measured: confusion.Measured | None,
    class_names: Sequence[str],
    things: str = "images",
) -> str:
    """How many the first network names right, in a sentence or two.

    Args:
        measured: What `evaluation.measure` returns.
        class_names: Of the classes.
        things: What the examples are called.

    Example:
    >>> right(None, ["cat", "dog"])[:33]
    'No labeled images were held out, '
    """
    if measured is None:
        return (
            f"No labeled {things} were held out, so that nothing is "
            "known of how many it would name right."
        )
    name, counts = next(iter(measured.counts.items()))
    correct, total = int(np.trace(counts)), int(counts.sum())
    low, high = statistics.wilson_interval(correct, total)
    text = (
        f"The {name} names {100 * correct / total:.2f} % of {total:,} "
        f"{measured.kind} {things} right ({100 * low:.1f} to "
        f"{100 * high:.1f} %, the 95 % interval that the number of "
        f"{things} leaves open)."
    )
    only = confusion.sole_answer(counts)
    if only is not None:
        called = html_page.plain(class_names[only])
        text += (
            f" It calls all of them {called}: it has learned nothing that is "
            "of use."
        )
    elif confusion.at_chance(counts):
        text += " That is no better than chance."
    return text


def gained(
    baseline: Mapping[str, Any],
    things: str = "images",
    measured: confusion.Measured | None = None,
) -> str:
    """Whether the unlabeled examples helped, in a sentence or two.

    Args:
        baseline: As of `report.write`.
        things: What the examples are called.
        measured: What `evaluation.measure` returns. One that is no better
            than chance says nothing about its examples.

    Example:
    >>> found = {"accuracy": 73.0, "gain": 5.0, "interval": [3.0, 7.0]}
    >>> gained(found)[:40]
    'The unlabeled images brought 5.00 points'
    """
    low, high = baseline["interval"]
    gain, alone = baseline["gain"], baseline["accuracy"]
    end = f"trained on the labels alone, names {alone:.2f} % right."
    if measured is not None:
        counts = next(iter(measured.counts.values()))
        if confusion.at_chance(counts):
            return (
                "The network has not learned, so that nothing is known of what "
                f"the unlabeled {things} bring: the same network, {end} More "
                "steps may help."
            )
    if low > 0:
        return (
            f"The unlabeled {things} brought {gain:.2f} points ({low:.1f} to "
            f"{high:.1f}, the 95 % interval): the same network, {end}"
        )
    if high < 0:
        return (
            f"The unlabeled {things} did harm: they cost {-gain:.2f} points "
            f"({-high:.1f} to {-low:.1f}, the 95 % interval). The same "
            f"network, {end} More steps may help, or fewer unlabeled {things} "
            "of other classes."
        )
    return (
        f"It is not certain that the unlabeled {things} helped: the difference "
        f"is {gain:+.2f} points ({low:+.1f} to {high:+.1f}, the 95 % "
        f"interval). The same network, {end}"
    )


def weakest(
    measured: confusion.Measured,
    class_names: Sequence[str],
    things: str = "images",
    label_next: str = "",
    matrix: str = "the confusion matrix",
) -> str:
    """Which classes are recognised least often, and what to do about them.

    Args:
        measured: What `evaluation.measure` returns.
        class_names: Of the classes.
        things: What the examples are called.
        label_next: Where unlabeled ones to label next are shown, or "".
        matrix: What shows the confusion matrix, or "".

    Example:
    >>> counts = {"network": np.array([[9, 1], [4, 6]])}
    >>> weakest(confusion.Measured("test", counts, None, None), ["cat", "dog"])
    'The least often recognised class is dog (60.0 %).'
    """
    counts = next(iter(measured.counts.values()))
    names = list(map(html_page.plain, class_names))
    found = confusion.scores(counts, names)
    accuracy = confusion.accuracy_of(counts)
    if confusion.at_chance(counts):
        return (
            "Which classes are weak is not known yet, because all of them "
            "together are at chance: take more steps first, or more labels."
        )
    weak = [k for k, score in enumerate(found) if score.recall < accuracy]
    weak = sorted(weak, key=lambda k: found[k].recall)[:_WEAK]
    if not weak:
        return "No class is recognised less often than the others."
    named = ", ".join(
        f"{names[k]} ({100 * found[k].recall:.1f} %)" for k in weak
    )
    what = "class is" if len(weak) == 1 else "classes are"
    text = f"The least often recognised {what} {named}."
    lost = [k for k in weak if found[k].recall < _LOST * accuracy]
    if lost:
        text += f" {_advice(counts, names, lost, things, label_next, matrix)}"
    return text


def _advice(counts, names, lost, things, label_next, matrix):
    """What to do about classes that are hardly ever recognised."""
    parts = []
    for k in lost:
        wrong = np.array(counts[k])
        wrong[k] = 0
        parts.append(f"{names[k]} (mostly taken for {names[wrong.argmax()]})")
    *others, last = parts
    joined = f"{', '.join(others)} and {last}" if others else last
    text = f"Label more {things} of {joined} first"
    if label_next:
        text += f", for a start from {label_next}"
    if matrix:
        it = "them" if others else "it"
        text += f"; {matrix} shows which classes take {it}"
    return f"{text}."


def whose_candidates(
    first: str, name: str | None, things: str = "images"
) -> str:
    """Whose doubts say what to label next, where not the first network's.

    Args:
        first: The network that people use.
        name: The one that was asked; None where all are at chance.
        things: What the examples are called.

    Returns:
        A sentence, or "" where it was the first one.

    Example:
    >>> whose_candidates("averaged student", "teacher")
    'The averaged student is no better than chance, so that the images to \
label next are those of which the teacher is least sure.'
    """
    if name == first:
        return ""
    if name is None:
        return (
            f"No network is better than chance, so that no {things} to label "
            "next are named. Take more steps first, or more labels."
        )
    return (
        f"The {first} is no better than chance, so that the {things} to label "
        f"next are those of which the {name} is least sure."
    )
