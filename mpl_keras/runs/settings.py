"""The settings of a training: what is kept of them, and what people read."""

from collections.abc import Mapping
from typing import Any


def described(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a training as people read them, each once.

    Args:
        settings: As `train_images.py` writes them: a recipe's fields, of which
            some do not hold for the data set, and "data_options".

    Example:
    >>> described({"name": "digits", "num_labeled": 10, "steps": 5,
    ...            "data_options": {"num_labeled": 20}, "finetune": False,
    ...            "finetune_steps": 300, "class_names": ["0", "1"]})
    {'recipe': 'digits', 'steps': 5, 'finetune': False}
    """
    known = dict(settings)
    # Numbers of images and classes are told beside the settings.
    for name in ("class_names", "data_options", "num_labeled", "num_classes"):
        known.pop(name, None)
    if known.get("feedback") == "none" or known.get("method", "mpl") != "mpl":
        known = {
            name: value
            for name, value in known.items()
            if not name.startswith(("feedback", "pseudo_label", "student"))
        }
    if not known.get("finetune"):
        for name in ("steps", "batch_size", "learning_rate"):
            known.pop(f"finetune_{name}", None)
    options = settings.get("data_options") or {}
    if not options.get("image_size"):  # the data's own
        known.pop("image_size", None)
    if "name" in known:
        known = {"recipe": known.pop("name"), **known}
    return {name: value for name, value in known.items() if value is not None}
