"""The report of a training: one page, and the pictures beside it.

They are drawn with matplotlib, and the page is filled by Jinja2, which come
with `pip install "mpl_keras[report]"`.
"""

import importlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from mpl_keras.checks import arguments
from mpl_keras.evaluation.confusion import Measured
from mpl_keras.evaluation.labeling import Candidate
from mpl_keras.report import (
    canvas,
    chapters,
    figures,
    html_page,
    model_card,
    outcome,
    panels,
    vocabulary,
)

_DPI = 120
_STRONG_VIEW = (
    "one network learns from the labels, and to name the strong view of an "
    "unlabeled {thing} as it names the weak one, "
)
_STUDENT = (
    "a teacher labels the unlabeled {things}; a student learns from these "
    "pseudo labels alone"
)
_UDA = (
    "one network learns from the labels, and to answer alike for a weak and a "
    "strong view of an unlabeled {thing}"
)
# What each method does, in words.
_METHODS = {
    "mpl": f"{_STUDENT}, and the teacher also from how well the student then "
    "does on the labeled {things}",
    "no_feedback": f"{_STUDENT}, and the teacher is not told how well the "
    "student does",
    "uda": _UDA,
    "uda_aligned": f"{_UDA}, with answers that keep the shares of the classes "
    "among the labels",
    "fixmatch": f"{_STRONG_VIEW}where it is confident",
    "flexmatch": f"{_STRONG_VIEW}where it is confident enough for a class that "
    "is learned so well",
    "freematch": f"{_STRONG_VIEW}where it is more confident than it is on the "
    "whole",
    "softmatch": f"{_STRONG_VIEW}the more the more confident it is",
    "supervised": "one network learns from the labeled {things} alone, to "
    "compare with",
}


def check_installed(page: bool = True) -> None:
    """Raises unless what pictures and the page are made with is installed.

    Args:
        page: Whether `write` will be called, and not only the pictures.

    Raises:
        ImportError: It names all that is missing, and how to install it.

    Example:
    >>> check_installed()
    """
    things, packages = _lacking(page)
    if packages:
        needs = "needs" if things == ["report.html"] else "need"
        things = " and ".join(things)
        raise ImportError(
            f"{things[0].upper() if needs == 'need' else things[0]}"
            f"{things[1:]} {needs} {' and '.join(packages)}: {canvas.INSTALL}"
        )


def missing(page: bool = True) -> str:
    """What a training leaves out for want of packages, in words, or "".

    Args:
        page: Whether `write` would be called, and not only the pictures.

    Example:
    >>> missing()
    ''
    """
    things, packages = _lacking(page)
    if not packages:
        return ""
    are = "is" if len(packages) == 1 else "are"
    return (
        f"{' and '.join(packages)} {are} not installed, so that this run will "
        f"have no {' and no '.join(things)}. For these: {canvas.INSTALL}"
    )


def _lacking(page):
    """What cannot be made, and the packages that it lacks."""
    things, packages = [], []
    if not _imports("matplotlib"):
        things, packages = ["pictures"], ["matplotlib"]
    if page and not _imports("jinja2"):
        packages.append("Jinja2")
    if page and packages:
        things.append("report.html")
    return things, packages


def _imports(package):
    try:
        importlib.import_module(package)
    except ImportError:
        return False
    return True


def write(
    path: Any,
    model: Any,
    data: Any,
    *,
    metrics: Mapping[str, Sequence[float]],
    settings: Mapping[str, Any],
    measured: Measured | None = None,
    seconds: float | None = None,
    baseline: Mapping[str, Any] | None = None,
    candidates: Sequence[Candidate] | None = None,
    candidates_note: str = "",
    notes: Sequence[str] = (),
) -> None:
    """Writes a page about a training, one file that needs no network.

    What the data or the metrics do not hold is left out: pictures of what is
    no image, figures of a test without test examples.

    Args:
        path: The HTML file to write.
        model: The trained `MetaPseudoLabels` or `UDA`.
        data: The `SemiSupervisedData` that it was trained on.
        metrics: Values by name, one for each epoch, with "step".
        settings: Of the training, JSON-able; "method" and "dataset" are in
            the title, where they are known.
        measured: What `measure` returns.
        seconds: What the training took, if that is known.
        baseline: What training on the labels alone gave, on the same
            examples: its "accuracy" in %, the "gain" over it in points, and
            the "interval" of this gain.
        candidates: What `evaluation.worth_labeling` returns, if that is known.
        candidates_note: Whose they are, or why there are none, in a sentence.
        notes: What was told before the training, in sentences.

    Raises:
        ImportError: Without Jinja2 or matplotlib.

    Example:
    >>> import os, tempfile
    >>> import keras
    >>> from mpl_keras import UDA, datasets, evaluation
    >>> data = datasets.two_moons()
    >>> model = UDA(keras.Sequential([keras.Input((2,)),
    ...                               keras.layers.Dense(2)]))
    >>> path = os.path.join(tempfile.mkdtemp(), "report.html")
    >>> write(path, model, data, metrics={"step": [1], "loss": [0.7]},
    ...       settings={"method": "uda", "seed": 0},
    ...       measured=evaluation.measure({"network": model.averaged}, data))
    >>> "<h1>UDA</h1>" in open(path).read()
    True
    """
    path = arguments.path("path", path)
    held_out = "test" if data.validation is None else "validation"
    writer = chapters.Chapters(model, data, measured)
    worth_labeling = writer.worth_labeling(candidates, candidates_note)
    sections = [
        writer.networks(),
        writer.training(metrics, held_out),
        *writer.pseudo_labels(metrics),
        writer.held_out(),
        writer.mistakes(),
        worth_labeling,
        chapters.settings(settings) if settings else None,
    ]
    method = _method(model, settings)
    name, words = vocabulary.METHODS[method].title, _METHODS[method]
    dataset = settings.get("dataset")
    if dataset and os.path.isdir(dataset):
        dataset = os.path.basename(os.path.abspath(dataset))
    words = words.format(thing=writer.thing, things=writer.things)
    page = html_page.render(
        "report.html",
        language="en",
        title=name + (f" on {dataset}" if dataset else ""),
        lead=[
            f"{name}: {words}.",
            *outcome.sentences(
                measured,
                baseline,
                data.class_names,
                writer.things,
                f"“{worth_labeling.title}”"
                if worth_labeling and worth_labeling.pictures
                else "",
            ),
            *notes,
        ],
        facts=_facts(model, writer, data, seconds, settings),
        sections=[section for section in sections if section is not None],
        written=html_page.now(),
        versions=[" ".join(item) for item in model_card.versions().items()],
    )
    with open(path, "w", encoding="utf-8") as file:
        file.write(page)


def _method(model, settings):
    known = settings.get("method")
    if known in _METHODS:
        return known
    return model.method


def _facts(model, writer, data, seconds, settings):
    count, unlabeled = data.num_labeled, writer.num_unlabeled
    each = count / data.num_classes
    among = vocabulary.labeled_among(count, settings)
    facts = [
        (
            "Labels",
            f"{count:,}, of {data.num_classes:,} classes ({each:,.3g} of each "
            "on average)",
        ),
        (f"Unlabeled {writer.things}", f"{unlabeled:,}{among}"),
        ("Steps", f"{int(model.step.numpy()):,}"),
        ("Parameters of a network", f"{model.averaged.count_params():,}"),
    ]
    if seconds is not None:
        facts.append(("Training took", _duration(seconds)))
    return facts


def _duration(seconds):
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def plot_confusion(
    counts: np.ndarray, class_names: Sequence[str], title: str, path: Any
) -> None:
    """Draws a confusion matrix, each row in shares of its true class.

    Args:
        counts: What `confusion_matrix` returns.
        class_names: Names of the classes; shown for up to 30 classes.
        title: Above the picture.
        path: The PNG file to write.

    Example:
    >>> plot_confusion(np.eye(2, dtype=int), ["cat", "dog"], "", "/dev/null")
    """
    path = arguments.path("path", path)
    with figures.style(transparent=False):
        names = [html_page.plain(name) for name in class_names]
        drawn = figures.confusion(counts, names, title)
        _save(path, figures.png(drawn, dpi=_DPI))


def plot_curves(
    metrics: Mapping[str, Sequence[float]],
    title: str,
    path: Any,
    held_out: str = vocabulary.HELD_OUT,
    evaluated: str = vocabulary.AVERAGED,
) -> None:
    """Draws accuracy, losses, pseudo labels and feedback through training.

    Args:
        metrics: Values by name, one for each epoch, as of
            `keras.callbacks.History`; "step" is what they are drawn over, or
            the number of the epoch.
            What is not there is left out.
        title: Above the picture.
        path: The PNG file to write.
        held_out: What the "val_" metrics were measured on.
        evaluated: The network that they were measured of.

    Example:
    >>> plot_curves({"loss": [2.0, 1.0]}, "two epochs", "/dev/null")
    """
    path = arguments.path("path", path)
    with figures.style(transparent=False):
        tiles = [
            figures.png(
                figures.curves(p.steps, p.series, p.title, p.unit, p.things),
                dpi=_DPI,
            )
            for p in panels.panels(metrics, held_out, evaluated)
        ]
        _save(path, _tiled(tiles, title))


def _tiled(tiles, title):
    """PNG files of one size as one, two beside each other."""
    columns = 1 if len(tiles) == 1 else 2
    above = canvas.figure(0.4, columns * canvas.WIDTH)
    title = canvas.text(title, columns * canvas.WIDTH - 0.2, 12)
    above.text(0.5, 0.4, title, ha="center", fontsize=12)
    rows = [_pixels(figures.png(above, dpi=_DPI))]
    tiles = [_pixels(tile) for tile in tiles]
    if len(tiles) % columns:
        tiles.append(np.full_like(tiles[0], 255))
    for first in range(0, len(tiles), columns):
        rows.append(np.concatenate(tiles[first : first + columns], axis=1))
    margin = ((0, 12), (12, 12), (0, 0))
    sheet = np.pad(np.concatenate(rows), margin, constant_values=255)
    return tf.io.encode_png(sheet).numpy()


def _pixels(png):
    return tf.io.decode_png(png, channels=3).numpy()


def _save(path, contents):
    with open(path, "wb") as file:
        file.write(contents)
