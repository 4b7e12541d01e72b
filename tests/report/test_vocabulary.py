"""One name and one colour for one thing, wherever people read of it."""

import collections
import pathlib
import re
import types

import keras
import numpy as np
import pytest

from mpl_keras import UDA, MetaPseudoLabels, datasets, losses, recipes, report
from mpl_keras.callbacks import progress, pseudo_label_monitor, scalars
from mpl_keras.report import (
    comparison,
    model_card,
    panels,
    training_page,
    vocabulary,
)

ROOT = pathlib.Path(__file__).parents[2]
PAGE = ROOT / "docs" / "settings_and_metrics.md"
OF_CSV = ("step", "learning_rate", "teacher_learning_rate")
OF_CSV += ("student_learning_rate", "bad_steps")


def network():
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])


def logged():
    """All keys that a training can show."""
    free = losses.ConsistencyLoss(threshold=losses.FreeMatchThreshold())
    models = (
        MetaPseudoLabels(network(), network(), consistency=free),
        UDA(network()),
    )
    keys = {"loss", "accuracy", *OF_CSV}
    for model in models:
        keys |= {metric.name for metric in model.metrics}
    monitor = pseudo_label_monitor.PseudoLabelMonitor(
        np.zeros((4, 2)), [0] * 4, network=network()
    )
    return keys | set(monitor.measure()) | {"val_loss", "val_accuracy"}


def test_every_key_of_the_logs_has_one_name_and_every_name_a_key():
    assert logged() == set(vocabulary.METRICS)
    for has_student in (False, True):
        found = collections.Counter(
            report.metric_name(key, has_student=has_student)
            for key in vocabulary.METRICS
        )
        assert set(found.values()) == {1}


def test_pictures_and_tensorboard_say_the_same():
    metrics = {key: [1.0] for key in vocabulary.METRICS}
    shown = {}
    for panel in panels.panels(metrics):
        assert list(panel.series) == list(panel.keys) == list(panel.things)
        shown |= {key: label for label, key in panel.keys.items()}
    model = MetaPseudoLabels(network(), network())
    told = scalars.told(model, vocabulary.METRICS)
    told = dict(
        re.fullmatch(r"(.*) \(`(\w+)`\)", t).groups()[::-1]
        for t in told.values()
    )
    for key, label in shown.items():
        evaluated = label.replace("averaged network", "averaged student")
        assert told[key].lower() == evaluated.lower(), key
    # These say nothing as a curve, or are shown in other words.
    assert set(vocabulary.METRICS) - set(shown) == {
        *("step", "feedback_loss", "h", "bad_steps"),
    }
    assert set(progress.Progress(1).metrics) <= set(vocabulary.METRICS)


def test_the_documentation_has_every_key_and_its_name():
    page = " ".join(PAGE.read_text(encoding="utf-8").split())
    for key in vocabulary.METRICS:
        for has_student in (False, True):
            words = report.metric_name(
                key, has_student=has_student, held_out="validation images"
            )
            assert f"`{key}`" in page and words in page, (key, words)


def test_every_method_has_a_name_and_a_colour():
    assert set(vocabulary.METHODS) == {"pixels", *recipes.METHODS}
    # The report of each says what it does, under its own name.
    assert set(training_page._METHODS) == set(recipes.METHODS)
    for dark in (False, True):
        colors = [report.color(name, dark) for name in vocabulary.METHODS]
        assert len(set(colors)) == len(colors)
    figure = comparison.plot_accuracies({"uda": [1.0], "mpl": [2.0]}, "")
    drawn = [line.get_color() for line in figure.axes[0].lines[::2]]
    assert drawn == [report.color("uda"), report.color("mpl")]


def luminance(color):
    parts = np.array([int(color[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    linear = np.where(
        parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4
    )
    return linear @ (0.2126, 0.7152, 0.0722)


@pytest.mark.parametrize("dark", [False, True])
def test_colours_are_seen_and_told_apart_in_one_picture(dark):
    ground = 0.0056 if dark else 1.0
    for thing in set(vocabulary.THINGS) - {"grid"}:
        low, high = sorted((luminance(report.color(thing, dark)), ground))
        assert (high + 0.05) / (low + 0.05) >= 3, thing  # as WCAG 2 asks for
    one = {key: [1.0] for key in vocabulary.METRICS if "student" not in key}
    for metrics in (one, {key: [1.0] for key in vocabulary.METRICS}):
        for panel in panels.panels(metrics):
            if panel.title == "Learning rate":  # of one or of two networks
                continue
            colors = {report.color(t, dark) for t in panel.things.values()}
            assert len(colors) == len(panel.things), panel.title


def test_there_is_no_other_table_of_colours():
    for folder in ("mpl_keras", "benchmarks", "docs", "examples"):
        for file in (ROOT / folder).rglob("*.py"):
            if file.name in ("vocabulary.py", "conf.py"):  # the site's own
                continue
            found = re.findall(
                r"\"#[0-9A-Fa-f]{6}\"|\"C\d\"", file.read_text("utf-8")
            )
            assert set(found) <= {'"#121212"'}, (file, found)


@pytest.mark.parametrize("inside", [True, False, None])
def test_labeled_examples_among_the_unlabeled_are_told(inside):
    settings = {} if inside is None else {"labeled_in_unlabeled": inside}
    x = np.zeros((1300, 2), "float32")
    labels = np.array([0, 1, 2, 2])
    data = datasets.from_arrays(x[:4], labels, x, labeled_in_unlabeled=False)
    expected = "1,300 (the 4 labeled among them)" if inside else "1,300"
    step = types.SimpleNamespace(numpy=lambda: 5)
    model = types.SimpleNamespace(step=step, averaged=network())
    writer = types.SimpleNamespace(num_unlabeled=1300, things="images")
    facts = training_page._facts(model, writer, data, None, settings)
    assert dict(facts)["Unlabeled images"] == expected
    card = model_card._training(data, {"settings": settings})
    (row,) = [line for line in card.splitlines() if "Unlabeled" in line]
    assert row.strip("| ").endswith(f" {expected}")
