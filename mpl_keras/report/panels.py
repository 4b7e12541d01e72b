"""Which curves of a training are shown together, and in what words."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mpl_keras.report import vocabulary

# Points of a curve: more would not be seen, and make files large.
_POINTS = 300
# Title, unit, and the keys of the metrics.
_PANELS = (
    ("Accuracy", "%", ("val_accuracy", "accuracy")),
    ("Loss", "", ("val_loss", "loss", "student_loss")),
    (
        "Loss by part",
        "",
        (
            "teacher_loss",
            "supervised_loss",
            "consistency_loss",
            "fairness_loss",
        ),
    ),
    ("Weight of the consistency", "", ("consistency_weight",)),
    (
        "Pseudo labels: confidence",
        "%",
        (
            "pseudo_label_confidence",
            "pseudo_label_mean_confidence",
            "mask_rate",
            "pseudo_label_coverage",
        ),
    ),
    (
        "Pseudo labels: quality",
        "%",
        (
            "pseudo_label_accuracy",
            "pseudo_label_accuracy_covered",
            "pseudo_label_marginal_gap",
        ),
    ),
    ("Feedback", "", ("feedback_share",)),
    (
        "Learning rate",
        "",
        ("teacher_learning_rate", "student_learning_rate", "learning_rate"),
    ),
)


class Panel(NamedTuple):
    """Curves that are drawn in one figure.

    Attributes:
        title: What they are of.
        unit: Of their values, or "".
        steps: What they are drawn over.
        series: Values by label, in the unit.
        keys: By label, the key of the logs and column of metrics.csv.
        things: By label, what gives a curve its colour.

    Example:
    >>> Panel("Loss", "", [10], {"supervised loss": [2.0]}).title
    'Loss'
    """

    title: str
    unit: str
    steps: Sequence[float]
    series: Mapping[str, Sequence[float]]
    keys: Mapping[str, str] = {}
    things: Mapping[str, str] = {}


def panels(
    metrics: Mapping[str, Sequence[float]],
    held_out: str = vocabulary.HELD_OUT,
    evaluated: str = vocabulary.AVERAGED,
) -> list[Panel]:
    """Groups metrics; what is not there, or no number ever, is left out.

    Args:
        metrics: Values by name, one for each epoch; "step" is what they are
            over, or the number of the epoch.
        held_out: What the "val_" metrics were measured on.
        evaluated: The network that they were measured of.

    Example:
    >>> found = panels({"step": [5, 9], "val_accuracy": [0.5, 0.75]})
    >>> found[0].series
    {"averaged network's accuracy, held-out data": array([50., 75.])}
    """
    count = len(next(iter(metrics.values()), ()))
    steps = np.asarray(metrics.get("step", range(1, count + 1)))
    # The last one is always among them.
    kept = np.linspace(0, count - 1, min(count, _POINTS)).round().astype(int)
    student = "student_loss" in metrics
    found = []
    for title, unit, names in _PANELS:
        panel = Panel(title, unit, steps[kept], {}, {}, {})
        for name in names:
            values = np.asarray(metrics.get(name, ()), float)
            if not np.isfinite(values).any():
                continue
            label = vocabulary.metric_name(
                name,
                has_student=student,
                evaluated=evaluated,
                held_out=held_out,
            )
            panel.series[label] = values[kept] * (100 if unit == "%" else 1)
            panel.keys[label] = name
            panel.things[label] = vocabulary.metric(name, student).thing
        if panel.series:
            found.append(panel)
    return found


def words(panel: Panel) -> str:
    """What a panel shows, for those who do not see it.

    Args:
        panel: One of `panels`.

    Example:
    >>> words(Panel("Accuracy", "%", [10, 20], {"labeled": [50.0, 80.0]}))
    'Accuracy from step 10 to 20: labeled from 50 % to 80 %, at most 80 %.'
    """
    first, last = panel.steps[0], panel.steps[-1]
    over = f"at step {last:,}"
    if first != last:
        over = f"from step {first:,} to {last:,}"
    parts = []
    unit = f" {panel.unit}" if panel.unit else ""
    for label, values in panel.series.items():
        values = np.asarray(values, float)
        known = values[np.isfinite(values)]
        text = f"{known[-1]:.3g}{unit}"
        if len(known) > 1:
            text = (
                f"from {known[0]:.3g}{unit} to {text}, "
                f"at most {known.max():.3g}{unit}"
            )
        if not np.isfinite(values[-1]):
            text += ", and no number at the end"
        parts.append(f"{label} {text}")
    return f"{panel.title} {over}: {'; '.join(parts)}."
