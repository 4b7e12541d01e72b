"""Numbers of a training, by the tags under which TensorBoard shows them."""

from collections.abc import Mapping

import keras

from mpl_keras import networks

# Where a metric of the models is shown; "val_..." goes to "held_out".
_TAGS = {
    "teacher_loss": "loss/teacher",
    "student_loss": "loss/student",
    "supervised_loss": "loss/supervised",
    "consistency_loss": "loss/consistency",
    "consistency_weight": "loss/consistency_weight",
    "feedback_loss": "loss/feedback",
    "h": "feedback/h",
    "feedback_share": "feedback/share",
    "mask_rate": "pseudo_labels/mask_rate",
    "pseudo_label_confidence": "pseudo_labels/confidence",
}


def tagged(model: keras.Model, logs: Mapping[str, float]) -> dict[str, float]:
    """Metrics by the tags under which TensorBoard shows them.

    Args:
        model: What is trained.
        logs: Keras's, by name.

    Example:
    >>> tagged(None, {"mask_rate": 0.5, "val_accuracy": 0.9})
    {'pseudo_labels/mask_rate': 0.5, 'held_out/accuracy': 0.9}
    """
    tags = dict(_TAGS)
    # Of two networks it is the student's, on the labeled images.
    labeled = hasattr(model, "student")
    tags["loss"] = "loss/student_on_labeled" if labeled else "loss/total"
    values = {}
    for name, value in logs.items():
        tag = tags.get(name)
        if tag is None and name.startswith("val_"):
            tag = f"held_out/{name.removeprefix('val_')}"
        elif tag is None and name.startswith("pseudo_label_"):
            tag = f"pseudo_labels/{name.removeprefix('pseudo_label_')}"
        values[tag or f"training/{name}"] = value
    return values


def state(model: keras.Model) -> dict[str, float]:
    """Learning rates, and the feedback's baseline where there is one.

    Args:
        model: What is trained.

    Example:
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(0.5))
    >>> state(model)
    {'learning_rate/network': 0.5}
    """
    values = {}
    optimizers = {
        "teacher": getattr(model, "teacher_optimizer", None),
        "student": getattr(model, "student_optimizer", None),
    }
    if optimizers["teacher"] is None:
        optimizers = {"network": getattr(model, "optimizer", None)}
    for name, optimizer in optimizers.items():
        rate = getattr(
            networks.inner_optimizer(optimizer), "learning_rate", None
        )
        if rate is not None:
            rate = float(keras.ops.convert_to_numpy(rate))
            values[f"learning_rate/{name}"] = rate
    feedback = getattr(model, "feedback", None)
    if getattr(feedback, "baseline_momentum", None) is not None:
        baseline = keras.ops.convert_to_numpy(feedback.baseline)
        values["feedback/baseline"] = float(baseline)
    return values
