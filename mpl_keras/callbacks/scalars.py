"""Numbers of a training, by the tags under which TensorBoard shows them."""

from collections.abc import Iterable, Mapping

import keras
import numpy as np

from mpl_keras.distribute.trainer import DistributedModel
from mpl_keras.feedback import LossDifferenceFeedback
from mpl_keras.networks import requirements
from mpl_keras.report import vocabulary

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

_RATES = {
    "learning_rate/network": "learning_rate",
    "learning_rate/student": "student_learning_rate",
    "learning_rate/teacher": "teacher_learning_rate",
}


def tagged(model: keras.Model, logs: Mapping[str, float]) -> dict[str, float]:
    """Metrics by the tags under which TensorBoard shows them.

    A metric with a value for each class has a number for each.

    Args:
        model: What is trained.
        logs: Keras's, by name.

    Example:
    >>> tagged(None, {"mask_rate": 0.5, "val_accuracy": 0.9})
    {'pseudo_labels/mask_rate': 0.5, 'held_out/accuracy': 0.9}
    >>> list(tagged(None, {"f1_score": np.ones(2)}))
    ['training/f1_score/0', 'training/f1_score/1']
    """
    values = {}
    for name, value in logs.items():
        tag, value = _tag(name, model), np.asarray(value)
        if value.ndim:
            parts = enumerate(value.ravel().tolist())
            values |= {f"{tag}/{index}": part for index, part in parts}
        else:
            values[tag] = value.item()
    return values


def _tag(name, model):
    """The tag of a metric."""
    if name == "loss":  # of two networks it is the student's
        return "loss/student_on_labeled" if _two(model) else "loss/total"
    if name in _TAGS:
        return _TAGS[name]
    for start, folder in (
        ("val_", "held_out"),
        ("pseudo_label_", "pseudo_labels"),
    ):
        if name.startswith(start):
            return f"{folder}/{name.removeprefix(start)}"
    return f"training/{name}"


def _two(model):
    """Whether there are a teacher and a student."""
    return isinstance(model, DistributedModel) and model.method == "mpl"


def told(model: keras.Model, names: Iterable[str]) -> dict[str, str]:
    """What metrics are, in words, by TensorBoard's tags.

    Args:
        model: What is trained.
        names: Of the metrics, Keras's.

    Example:
    >>> told(None, ["mask_rate"])["pseudo_labels/mask_rate"]
    'Pseudo labels confident enough, batches (`mask_rate`)'
    """
    evaluated = vocabulary.AVERAGED
    if isinstance(model, DistributedModel):
        evaluated = vocabulary.averaged_name(model)
    words = {}
    tags = {_tag(name, model): name for name in names} | _RATES
    for tag, name in tags.items():
        text = vocabulary.metric_name(
            name, has_student=_two(model), evaluated=evaluated
        )
        words[tag] = f"{text[:1].upper()}{text[1:]} (`{name}`)"
    return words


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
