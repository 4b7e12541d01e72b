"""Meta Pseudo Labels and UDA for Keras 3 on TensorFlow.

Training a classifier with few labels and many unlabeled examples.
"""

import importlib
import os
import sys
import typing


def _check_backend(backend):
    if backend != "tensorflow":
        raise ImportError(
            "mpl_keras trains with TensorFlow's gradient tapes: the Keras "
            "backend must be 'tensorflow'. Set the environment variable "
            "KERAS_BACKEND=tensorflow before Keras is imported. Received: "
            f"{backend!r}"
        )


if "keras" not in sys.modules:
    # Importing Keras fails where the other backend is not installed.
    _check_backend(os.environ.get("KERAS_BACKEND") or "tensorflow")

if "tensorflow" not in sys.modules:
    from mpl_keras.commands import quiet_start

    if quiet_start.is_program():
        quiet_start.leave_quietly()
        quiet_start.quietly()

import keras  # noqa: E402

_check_backend(keras.backend.backend())

# The method is imported at once, so that Keras knows its classes where a file
# is loaded; the rest when it is first used.
from mpl_keras import (  # noqa: E402
    distribute,
    feedback,
    losses,
    networks,
    schedules,
)
from mpl_keras.models import UDA, MetaPseudoLabels  # noqa: E402

if typing.TYPE_CHECKING:
    from mpl_keras import (
        augment,
        callbacks,
        datasets,
        estimators,
        evaluation,
        export,
        finetune,
        pipeline,
        recipes,
        report,
        runs,
    )

__version__ = "0.1.0"

__all__ = [
    "MetaPseudoLabels",
    "UDA",
    "augment",
    "callbacks",
    "datasets",
    "distribute",
    "estimators",
    "evaluation",
    "export",
    "feedback",
    "finetune",
    "losses",
    "networks",
    "pipeline",
    "recipes",
    "report",
    "runs",
    "schedules",
]


def __getattr__(name: str):
    if name in __all__:
        return importlib.import_module(f"mpl_keras.{name}")
    raise AttributeError(
        f"module 'mpl_keras' has no attribute {name!r}. It has: "
        f"{', '.join(__all__)}"
    )


def __dir__() -> list[str]:
    return list(__all__)
