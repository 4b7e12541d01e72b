"""A page that says what a network is, what it was trained on, how good it is.

After [Mitchell et al., 2019, Model Cards for Model
Reporting](https://arxiv.org/abs/1810.03993), as far as a program knows it.
"""

import datetime
import platform
import sys
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpl_keras.checks import arrays
from mpl_keras.datasets.semi_supervised_data import SemiSupervisedData
from mpl_keras.evaluation import confusion, statistics
from mpl_keras.report import vocabulary

_SHOWN = 50  # classes


def text(
    network: keras.Model,
    data: SemiSupervisedData,
    facts: Mapping[str, Any] | None = None,
) -> str:
    """The model card of a network, in Markdown.

    Its accuracy is measured on the test examples, or on those for validation,
    with Wilson's 95 % interval.

    Args:
        network: From inputs to logits.
        data: What it was trained on.
        facts: What else is known: "network", which one it is; "trained_steps";
            "format" and "check", as `serving` knows them; "use", how what was
            written is called; "settings", a mapping. What is not there is
            left out. "confusion", a pair of "test" or "validation" and the
            confusion matrix on it, if this is known; otherwise it is measured.

    Returns:
        Markdown.

    Example:
    >>> from mpl_keras import datasets
    >>> data = datasets.two_moons()
    >>> net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    >>> print(text(net, data, {"trained_steps": 0})[:17])
    # Classifier of 2
    """
    facts = dict(facts or {})
    parts = [
        _heading(network, data, facts),
        _accuracy(network, data, facts),
        _use(data, facts),
        _training(data, facts),
        _table("Settings", facts.get("settings") or {}),
        _limits(data),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _heading(network, data, facts):
    lines = [f"# Classifier of {data.num_classes} classes"]
    if facts.get("trained_steps") == 0:
        lines.append(
            "> **Warning: this network was never trained.** What it says is "
            "chance."
        )
    about = {"Network": facts.get("network", network.name)}
    about["Parameters"] = f"{network.count_params():,}"
    if data.preprocessing is not None:
        height, width, channels = data.preprocessing.input_shape
        color = "grey" if channels == 1 else "RGB"
        about["Images"] = (
            f"{height} x {width} pixels, {color}; others are scaled to cover "
            "that, and their centre is taken"
        )
    if facts.get("format"):
        about["Format"] = facts["format"]
    found = facts.get("check")
    if found is not None:
        about["Compared with the network"] = str(found)
    about["Written"] = datetime.date.today().isoformat()
    about["Versions"] = ", ".join(
        f"{name} {version}" for name, version in versions().items()
    )
    lines.append(_rows(about))
    names = [_cell(name) for name in data.class_names[:_SHOWN]]
    more = data.num_classes - len(names)
    lines.append(
        "Classes, in the order of the outputs: "
        + ", ".join(names)
        + (f", and {more} more." if more else ".")
    )
    return "\n\n".join(lines)


_IN_IT = "preprocessing and class names are in it"
_FIXED = (
    'Input "images": uint8, [N, {height}, {width}, {channels}], to be scaled '
    'and cropped before; output "probabilities": float32, [N, '
    "{classes}]. "
    "Class names are in {where}."
)
_USES = {
    "tf_saved_model": "Images or files of any size: see its signatures "
    "`serving_default` and `serve_files`; " + _IN_IT + ".",
    "keras": "`keras.saving.load_model(path, compile=False)`: from float "
    "images, [N, {height}, {width}, {channels}], in the range of the training, "
    "to logits, whose softmax are the probabilities.",
    "litert": _FIXED.replace("{where}", "`classifier.json` in the file, a zip"),
    "onnx": _FIXED.replace("{where}", "the metadata, as `classifier.json`"),
}
_USES["litert_int8"] = _USES["litert"] + (
    " The accuracy above is that of the network in float32, before it was "
    "converted to 8 bits."
)


def _use(data, facts):
    """How what was written is called."""
    if facts.get("use"):
        return "## Use\n\n" + facts["use"]
    text = _USES.get(facts.get("format"))
    if text is None or data.preprocessing is None:
        return ""
    height, width, channels = data.preprocessing.input_shape
    sizes = {"height": height, "width": width, "channels": channels}
    return "## Use\n\n" + text.format(classes=data.num_classes, **sizes)


def versions() -> dict[str, str]:
    """Versions of Python and of what trains, by name.

    Example:
    >>> list(versions())
    ['Python', 'mpl_keras', 'Keras', 'TensorFlow']
    """
    return {
        "Python": platform.python_version(),
        "mpl_keras": sys.modules["mpl_keras"].__version__,
        "Keras": keras.__version__,
        "TensorFlow": tf.__version__,
    }


def _accuracy(network, data, facts):
    """Of what tests; else of what validates."""
    known = facts.get("confusion")
    if known is None:
        measured = confusion.measure({"": network}, data)
        known = measured and (measured.kind, measured.counts[""])
    if known is None:
        return "## Accuracy\n\nNot measured: there were no examples to test on."
    name, counts = known
    right, total = int(np.trace(counts)), int(counts.sum())
    low, high = statistics.wilson_interval(right, total)
    lines = [
        "## Accuracy",
        f"{100 * right / total:.2f} % of {total:,} {name} examples (95 % "
        f"interval: {100 * low:.2f} to {100 * high:.2f} %).",
    ]
    if name == "validation":
        lines.append(
            "Settings may have been chosen on these examples: on others expect "
            "less."
        )
    only = confusion.sole_answer(counts)
    if only is not None:
        lines.append(
            f"> **Warning: it calls all of them {_cell(data.class_names[only])}"
            "**, and has learned nothing that is of use."
        )
    return "\n\n".join(lines)


def _training(data, facts):
    counts = np.bincount(
        arrays.class_ids(np.asarray(data.labeled[1])),
        minlength=data.num_classes,
    )
    rows = {
        "Labeled examples": f"{data.num_labeled:,}",
        "Of each class": _range(counts),
        "Unlabeled examples": f"{arrays.num_examples(data.unlabeled):,}"
        + vocabulary.labeled_among(
            data.num_labeled, facts.get("settings") or {}
        ),
    }
    steps = facts.get("trained_steps")
    if steps is not None:
        rows["Steps"] = f"{steps:,}"
    return "## Training\n\n" + _rows(rows)


def _range(counts):
    low, high = int(counts.min()), int(counts.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _limits(data):
    pictures = data.preprocessing is not None
    several, one = ("pictures", "An image") if pictures else ("examples", "One")
    return (
        "## Limits\n\n"
        f"The accuracy holds for {several} like those that it was measured on. "
        f"With {data.num_labeled:,} labels, errors in "
        "labels weigh much. Probabilities are those of a softmax, and are not "
        "calibrated: a network trained on pseudo labels tends to be too sure. "
        f"{one} of none of the classes is given one of them all the same."
    )


def _table(title, values):
    if not values:
        return ""
    return f"## {title}\n\n" + _rows(values)


def _rows(values):
    lines = ["| | |", "|---|---|"]
    lines += [f"| {_cell(k)} | {_cell(v)} |" for k, v in values.items()]
    return "\n".join(lines)


def _cell(value):
    """Text that Markdown shows as it is."""
    out = "".join(
        f"\\{char}" if char in "\\`*_{}[]<>|#~$" else char
        for char in str(value)
    )
    return " ".join(out.split())
