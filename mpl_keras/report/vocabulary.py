"""One name and one colour for each thing that people read about.

The console, the report, the pictures, TensorBoard, the benchmarks and the
documentation take both from here. Keys of logs, columns of metrics.csv and
values of flags stay what they are: what is here are their names in words.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from mpl_keras.checks import arguments

HELD_OUT = "held-out data"
AVERAGED = "averaged network"


class Method(NamedTuple):
    """A method in words.

    Attributes:
        name: As in a table.
        title: As above a page.

    Example:
    >>> METHODS["mpl"].title
    'Meta Pseudo Labels'
    """

    name: str
    title: str


# By the values of `--method`, in the order in which they are shown.
METHODS = {
    "pixels": Method("logistic regression on pixels", "Logistic regression"),
    "supervised": Method("labels alone", "Labels alone"),
    "uda": Method("UDA", "UDA"),
    "uda_aligned": Method("aligned UDA", "Aligned UDA"),
    "fixmatch": Method("FixMatch", "FixMatch"),
    "flexmatch": Method("FlexMatch", "FlexMatch"),
    "freematch": Method("FreeMatch", "FreeMatch"),
    "softmatch": Method("SoftMatch", "SoftMatch"),
    "no_feedback": Method(
        "MPL without feedback", "Meta Pseudo Labels without feedback"
    ),
    "mpl": Method("MPL", "Meta Pseudo Labels"),
}


class Metric(NamedTuple):
    """What a key of the logs means.

    Attributes:
        words: Its name. `{evaluated}` is the network that is evaluated, and
            `{held_out}` what it is evaluated on.
        thing: What it is of, which gives it its colour.

    Example:
    >>> METRICS["student_loss"].words
    "student's loss on pseudo labels"
    """

    words: str
    thing: str


# By the keys of Keras's logs, which are the columns of metrics.csv too.
METRICS = {
    "step": Metric("step", "ink"),
    "loss": Metric("training loss", "network"),
    "accuracy": Metric("accuracy on labeled batches", "network"),
    "val_loss": Metric("{evaluated}'s loss, {held_out}", "average"),
    "val_accuracy": Metric("{evaluated}'s accuracy, {held_out}", "average"),
    "teacher_loss": Metric("teacher's loss in all", "teacher"),
    "supervised_loss": Metric("supervised loss", "labels"),
    "consistency_loss": Metric("consistency loss", "consistency"),
    "consistency_weight": Metric(
        "weight of the consistency loss", "consistency"
    ),
    "fairness_loss": Metric("FreeMatch's fairness loss", "freematch"),
    "feedback_loss": Metric("feedback loss", "feedback"),
    "student_loss": Metric("student's loss on pseudo labels", "student"),
    "feedback_share": Metric(
        "feedback's share of the teacher's gradient", "feedback"
    ),
    "h": Metric("decrease of the student's labeled loss, h", "feedback"),
    "mask_rate": Metric(
        "pseudo labels confident enough, batches", "consistency"
    ),
    "pseudo_label_confidence": Metric(
        "confidence of pseudo labels, batches", "pseudo labels"
    ),
    "pseudo_label_mean_confidence": Metric(
        "confidence of pseudo labels, sample", "sample"
    ),
    "pseudo_label_coverage": Metric(
        "pseudo labels confident enough, sample", "covered"
    ),
    "pseudo_label_accuracy": Metric("right pseudo labels, sample", "sample"),
    "pseudo_label_accuracy_covered": Metric(
        "right of the confident ones, sample", "covered"
    ),
    "pseudo_label_marginal_gap": Metric(
        "classes off the labeled set's, sample", "labels"
    ),
    "bad_steps": Metric("steps undone so far", "ink"),
    "learning_rate": Metric("learning rate", "network"),
    "teacher_learning_rate": Metric("teacher's learning rate", "teacher"),
    "student_learning_rate": Metric("student's learning rate", "student"),
}
# Of two networks these are the student's.
_OF_A_STUDENT = {
    "loss": Metric("student's loss on labeled batches", "student on labels"),
    "accuracy": Metric("student's accuracy on labeled batches", "student"),
}

# On a light and on a dark page. People who see fewer colours tell apart what
# stands in one picture: Okabe and Ito, 2008, and darker or lighter ones.
_COLORS = {
    "ink": ("#222222", "#e6e6e6"),
    "faint": ("#8a8a8a", "#9a9a9a"),
    "grid": ("#bbbbbb", "#666666"),
    "wrong": ("#b00020", "#ff8a80"),
    "labels": ("#009E73", "#2BBF94"),
    "teacher": ("#0072B2", "#56B4E9"),
    "student": ("#D55E00", "#F2814A"),
    "average": ("#00797F", "#4BCBD0"),
    "consistency": ("#B85C93", "#E79AC4"),
    "feedback": ("#A67C00", "#F0E442"),
    "student on labels": ("#8C564B", "#C49A8A"),
    "sample": ("#6B3FA0", "#C9B6FF"),
    "covered": ("#CC8400", "#F5B942"),
    "uda_aligned": ("#6B3FA0", "#C9B6FF"),
    "no_feedback": ("#8C564B", "#C49A8A"),
    "fixmatch": ("#3593C9", "#8FD0F7"),
    "flexmatch": ("#CC8400", "#F5B942"),
    "freematch": ("#5F7A00", "#B5CC4A"),
    "softmatch": ("#D81B60", "#FF6F9F"),
    "pixels": ("#7A7A7A", "#A8A8A8"),
}
# These are one thing, or what comes of it.
_SAME = {
    "network": "teacher",  # the one that makes the pseudo labels
    "pseudo labels": "teacher",
    "supervised": "labels",
    "uda": "consistency",
    "mpl": "student",
}
THINGS = (*_COLORS, *_SAME)


def color(thing: str, dark: bool = False) -> str:
    """The colour of a thing, in all pictures of the project.

    Args:
        thing: A method, as of `--method`; or "teacher", "student", "average"
            (the averaged network), "network" (where there is one), "labels",
            "pseudo labels", "consistency", "feedback", "ink" (letters), and
            others.
        dark: Whether the page is dark.

    Returns:
        As "#0072B2".

    Raises:
        ArgumentError: There is no such thing.

    Example:
    >>> color("teacher"), color("mpl") == color("student")
    ('#0072B2', True)
    """
    arguments.choice("thing", thing, THINGS)
    return _COLORS[_SAME.get(thing, thing)][bool(dark)]


def method_name(method: str) -> str:
    """A method in words, as tables and pictures call it.

    Args:
        method: As of `--method`.

    Example:
    >>> method_name("supervised"), method_name("uda_aligned")
    ('labels alone', 'aligned UDA')
    """
    arguments.choice("method", method, METHODS)
    return METHODS[method].name


def labeled_among(count: int, settings: Mapping[str, Any]) -> str:
    """What follows a number of unlabeled examples that labeled ones are in.

    Args:
        count: The number of labeled examples.
        settings: Those of a training, or nothing where none are known.

    Example:
    >>> labeled_among(12, {"labeled_in_unlabeled": True})
    ' (the 12 labeled among them)'
    >>> labeled_among(12, {"labeled_in_unlabeled": False})
    ''
    """
    if not settings.get("labeled_in_unlabeled"):
        return ""
    return f" (the {count:,} labeled among them)"


def averaged_name(model: Any) -> str:
    """The network of a model that is evaluated, in words.

    Args:
        model: A `MetaPseudoLabels` or `UDA`.

    Example:
    >>> import types
    >>> averaged_name(types.SimpleNamespace(trained=["student", "teacher"]))
    'averaged teacher'
    """
    *_, last = model.trained
    return AVERAGED if last == "model" else f"averaged {last}"


def metric_name(
    key: str,
    *,
    has_student: bool = False,
    evaluated: str = AVERAGED,
    held_out: str = HELD_OUT,
) -> str:
    """A metric in words, as pictures, the report and TensorBoard call it.

    Args:
        key: Of Keras's logs, or a column of metrics.csv.
        has_student: Whether there is a student: "loss" and "accuracy" are
            its own then.
        evaluated: The network that is evaluated.
        held_out: What it is evaluated on.

    Returns:
        The name; of an unknown key, that key.

    Example:
    >>> metric_name("loss"), metric_name("loss", has_student=True)
    ('training loss', "student's loss on labeled batches")
    >>> metric_name("val_accuracy", held_out="test images")
    "averaged network's accuracy, test images"
    >>> metric_name("val_top_5"), metric_name("auc")
    ("averaged network's top_5, held-out data", 'auc')
    """
    words = metric(key, has_student).words
    return words.replace("{evaluated}", evaluated).replace(
        "{held_out}", held_out
    )


def metric(key: str, has_student: bool = False) -> Metric:
    """What a key of the logs means, known or not.

    Args:
        key: Of Keras's logs, or a column of metrics.csv.
        has_student: Whether there is a student.

    Example:
    >>> metric("feedback_share").thing
    'feedback'
    """
    if has_student and key in _OF_A_STUDENT:
        return _OF_A_STUDENT[key]
    if key in METRICS:
        return METRICS[key]
    if key.startswith("val_"):
        own = key.removeprefix("val_")
        return Metric(f"{{evaluated}}'s {own}, {{held_out}}", "average")
    return Metric(key, "network")
