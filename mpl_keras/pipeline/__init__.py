"""From data and views to an endless stream of training batches."""

from mpl_keras.pipeline.stream import Stream
from mpl_keras.pipeline.training import (
    labeled_dataset,
    training_dataset,
)

__all__ = [
    "Stream",
    "labeled_dataset",
    "training_dataset",
]
