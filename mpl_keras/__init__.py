"""Meta Pseudo Labels and UDA for Keras 3 on TensorFlow.

Training a classifier with few labels and many unlabeled examples.
"""

import os
import sys


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

import keras  # noqa: E402

_check_backend(keras.backend.backend())

from mpl_keras import (  # noqa: E402
    augment,
    backbones,
    backup,
    builder,
    callbacks,
    cluster,
    datasets,
    feedback,
    finetune,
    losses,
    pipeline,
    recipes,
    report,
    runs,
    schedules,
    tensorboard,
    wide_resnet,
)
from mpl_keras.meta_pseudo_labels import MetaPseudoLabels  # noqa: E402
from mpl_keras.uda import UDA  # noqa: E402

__version__ = "0.1.0"

__all__ = [
    "MetaPseudoLabels",
    "UDA",
    "augment",
    "backbones",
    "backup",
    "builder",
    "callbacks",
    "cluster",
    "datasets",
    "feedback",
    "finetune",
    "losses",
    "pipeline",
    "recipes",
    "report",
    "runs",
    "schedules",
    "tensorboard",
    "wide_resnet",
]
