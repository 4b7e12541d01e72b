"""A training from settings to results, in a folder."""

from mpl_keras.runs.folder import (
    RunFolder,
)
from mpl_keras.runs.metrics import (
    SaveMetrics,
)
from mpl_keras.runs.settings import (
    described,
)

__all__ = [
    "RunFolder",
    "SaveMetrics",
    "described",
]
