"""Numbers of a training, by the tags under which TensorBoard shows them."""

from collections.abc import Mapping

import keras

from mpl_keras.distribute.trainer import DistributedModel
from mpl_keras.feedback import LossDifferenceFeedback
from mpl_keras.networks import requirements

# Where a metric of the models is shown; "val_..." goes to "held_out".
_TAGS = {
    "teacher_loss": "loss/teacher",
    "student_loss": "loss/student",
    "supervised_loss": "loss/supervised",
    "consistency_loss": "loss/consistency",
    "consistency_weight": "loss/consistency_weight",
    "fairness_loss": "loss/fairness",
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
    labeled = isinstance(model, DistributedModel) and model.method == "mpl"
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
    ours = isinstance(model, DistributedModel)
    optimizers = (
        model.optimizers
        if ours
        else {"model": getattr(model, "optimizer", None)}
    )
    for name, optimizer in sorted(optimizers.items(), reverse=True):
        name = "network" if name == "model" else name
        rate = getattr(
            requirements.inner_optimizer(optimizer), "learning_rate", None
        )
        if rate is not None:
            rate = float(keras.ops.convert_to_numpy(rate))
            values[f"learning_rate/{name}"] = rate
    feedback = model.feedback if ours and model.method == "mpl" else None
    if isinstance(feedback, LossDifferenceFeedback):
        if feedback.baseline_momentum is not None:
            baseline = keras.ops.convert_to_numpy(feedback.baseline)
            values["feedback/baseline"] = float(baseline)
    return values
