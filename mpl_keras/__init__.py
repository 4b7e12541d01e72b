"""Meta Pseudo Labels and UDA for Keras 3 on TensorFlow.

Training a classifier with few labels and many unlabeled examples.
"""

import keras

if keras.backend.backend() != "tensorflow":
    raise ImportError(
        "mpl_keras trains with TensorFlow's gradient tapes: the Keras backend "
        "must be 'tensorflow'. Set the environment variable "
        "KERAS_BACKEND=tensorflow before Keras is imported. Received: "
        f"KERAS_BACKEND={keras.backend.backend()}"
    )

from mpl_keras import (  # noqa: E402  (the backend is checked first)
    augment,
    callbacks,
    datasets,
    feedback,
    losses,
    pipeline,
    schedules,
)
from mpl_keras.meta_pseudo_labels import MetaPseudoLabels  # noqa: E402
from mpl_keras.uda import UDA  # noqa: E402

__version__ = "0.1.0"

__all__ = [
    "MetaPseudoLabels",
    "UDA",
    "augment",
    "callbacks",
    "datasets",
    "feedback",
    "losses",
    "pipeline",
    "schedules",
]
