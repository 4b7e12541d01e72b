"""Pictures of a training: curves, and what is taken for what.

They are drawn with matplotlib, which comes with `pip install
"mpl_keras[examples]"`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpl_keras import checks

# More classes than this are shown without names and numbers.
_MANY = 30
_PANELS = (
    ("Accuracy", ("val_accuracy", "accuracy")),
    ("Loss", ("supervised_loss", "student_loss", "loss", "val_loss")),
    ("Pseudo labels", ("mask_rate", "pseudo_label_confidence")),
    ("Feedback's share of the teacher's gradient", ("feedback_share",)),
)
_NAMES = {
    "val_accuracy": "averaged network, held-out data",
    "accuracy": "labeled batches",
    "val_loss": "averaged network, held-out data",
    "loss": "labeled batches",
    "supervised_loss": "supervised",
    "student_loss": "student, on pseudo labels",
    "mask_rate": "confident enough",
    "pseudo_label_confidence": "mean confidence",
    "feedback_share": "feedback",
}


def confusion_matrix(
    network: keras.Model, batches: tf.data.Dataset, num_classes: int
) -> np.ndarray:
    """Counts examples by true class (row) and predicted class (column).

    Args:
        network: From inputs to logits, [batch, num_classes].
        batches: Of (x, y); y integers or rows of probabilities.
        num_classes: Number of classes.

    Returns:
        int64, [num_classes, num_classes].

    Example:
    >>> net = keras.Sequential([keras.Input((2,)), keras.layers.Identity()])
    >>> x, y = [[1.0, 0.0], [0.0, 1.0], [0.0, 2.0]], [0, 1, 0]
    >>> batches = tf.data.Dataset.from_tensors((x, y))
    >>> confusion_matrix(net, batches, 2)
    array([[1, 1],
           [0, 1]])
    """
    counts = np.zeros((num_classes, num_classes), np.int64)
    for x, y in batches:
        predicted = network.predict_on_batch(x).argmax(axis=-1)
        np.add.at(counts, (checks.class_ids(y.numpy()), predicted), 1)
    return counts


def accuracy_of(counts: np.ndarray) -> float:
    """Share of the examples on the diagonal of a confusion matrix.

    Example:
    >>> accuracy_of(np.array([[3, 1], [0, 4]]))
    0.875
    """
    return float(np.trace(counts) / counts.sum())


def plot_confusion(
    counts: np.ndarray, class_names: Sequence[str], title: str, path: Any
) -> None:
    """Draws a confusion matrix, each row in shares of its true class.

    Args:
        counts: What `confusion_matrix` returns.
        class_names: Names of the classes; shown for up to 30 classes.
        title: Above the picture.
        path: The PNG file to write.
    """
    few = len(counts) <= _MANY
    side = min(max(4.5, 2.0 + 0.42 * len(counts)), 14) if few else 8
    figure = _figure(side + 0.6, side)
    axis = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if few:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                color = "white" if shares[row, column] > 0.5 else "black"
                axis.text(
                    column,
                    row,
                    count,
                    ha="center",
                    va="center",
                    color=color,
                    fontsize=8,
                )
        names = [
            name if len(name) < 16 else name[:14] + "…" for name in class_names
        ]
        turn = 90 if max(map(len, names)) > 3 else 0
        axis.set_xticks(range(len(counts)), names, rotation=turn)
        axis.set_yticks(range(len(counts)), names)
    else:
        figure.colorbar(image, label="share of the true class")
    axis.set(xlabel="predicted", ylabel="true", title=title)
    figure.savefig(path, dpi=120, format="png")


def plot_curves(
    metrics: Mapping[str, Sequence[float]],
    title: str,
    path: Any,
    held_out: str = "held-out data",
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
    """
    panels = [
        (name, [key for key in keys if key in metrics])
        for name, keys in _PANELS
    ]
    panels = [(name, keys) for name, keys in panels if keys]
    columns = max(min(len(panels), 2), 1)
    count = len(next(iter(metrics.values()), ()))
    steps = metrics.get("step", range(1, count + 1))
    rows = max(-(-len(panels) // columns), 1)
    figure = _figure(5.6 * columns, 3.4 * rows)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis, (name, keys) in zip(axes.flat, panels, strict=False):
        for key in keys:
            values = np.array(metrics[key], float)
            scale = 100 if name == "Accuracy" else 1
            axis.plot(
                steps,
                scale * values,
                label=_NAMES[key].replace("held-out data", held_out),
                marker="." if len(values) < 3 else None,
            )
        axis.set(title=name, xlabel="step")
        axis.set_ylabel("%" if name == "Accuracy" else "")
        axis.grid(alpha=0.3)
        axis.legend()
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    figure.suptitle(title)
    figure.savefig(path, dpi=120, format="png")


def _figure(width: float, height: float):
    """An empty figure that no window will show, whatever the machine."""
    try:
        from matplotlib import figure
    except ImportError as error:
        raise ImportError(
            "Pictures need matplotlib: pip install matplotlib"
        ) from error
    return figure.Figure(figsize=(width, height), layout="constrained")
