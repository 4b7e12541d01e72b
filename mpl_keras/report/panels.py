"""Which curves of a training are shown together, and in what words."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

# Points of a curve: more would not be seen, and make files large.
_POINTS = 300
HELD_OUT = "held-out data"
# Title, unit, and label of each metric.
_PANELS = (
    (
        "Accuracy",
        "%",
        {
            "val_accuracy": f"averaged network, {HELD_OUT}",
            "accuracy": "labeled batches",
        },
    ),
    (
        "Loss",
        "",
        {
            "val_loss": f"averaged network, {HELD_OUT}",
            "loss": "training",
            "student_loss": "student, on pseudo labels",
        },
    ),
    (
        "Loss by part",
        "",
        {
            "teacher_loss": "teacher, in all",
            "supervised_loss": "supervised",
            "consistency_loss": "consistency",
        },
    ),
    ("Weight of the consistency", "", {"consistency_weight": "weight"}),
    (
        "Pseudo labels: confidence",
        "%",
        {
            "pseudo_label_confidence": "mean confidence, training",
            "mask_rate": "confident enough, training",
            "pseudo_label_coverage": "confident enough, sample",
        },
    ),
    (
        "Pseudo labels: quality",
        "%",
        {
            "pseudo_label_accuracy": "right",
            "pseudo_label_accuracy_covered": "right, of the confident ones",
            "pseudo_label_marginal_gap": "classes off the labeled set's",
        },
    ),
    (
        "Feedback's share of the teacher's gradient",
        "",
        {"feedback_share": "feedback"},
    ),
    (
        "Learning rate",
        "",
        {
            "teacher_learning_rate": "teacher",
            "student_learning_rate": "student",
            "learning_rate": "network",
        },
    ),
)


class Panel(NamedTuple):
    """Curves that are drawn in one figure.

    Attributes:
        title: What they are of.
        unit: Of their values, or "".
        steps: What they are drawn over.
        series: Values by label, in the unit.

    Example:
    >>> Panel("Loss", "", [10], {"supervised": [2.0]}).title
    'Loss'
    """

    title: str
    unit: str
    steps: Sequence[float]
    series: Mapping[str, Sequence[float]]


def panels(
    metrics: Mapping[str, Sequence[float]], held_out: str = HELD_OUT
) -> list[Panel]:
    """Groups metrics; what is not there, or no number ever, is left out.

    Args:
        metrics: Values by name, one for each epoch; "step" is what they are
            over, or the number of the epoch.
        held_out: What the "val_" metrics were measured on.

    Example:
    >>> found = panels({"step": [5, 9], "val_accuracy": [0.5, 0.75]})
    >>> found[0].series
    {'averaged network, held-out data': array([50., 75.])}
    """
    count = len(next(iter(metrics.values()), ()))
    steps = np.asarray(metrics.get("step", range(1, count + 1)))
    # The last one is always among them.
    kept = np.linspace(0, count - 1, min(count, _POINTS)).round().astype(int)
    found = []
    for title, unit, names in _PANELS:
        series = {}
        for name, label in names.items():
            values = np.asarray(metrics.get(name, ()), float)
            if np.isfinite(values).any():
                label = label.replace(HELD_OUT, held_out)
                series[label] = values[kept] * (100 if unit == "%" else 1)
        if series:
            found.append(Panel(title, unit, steps[kept], series))
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
