"""A training from settings to results, in a folder."""

from mpl_keras.runs.comparison import Comparison
from mpl_keras.runs.finished import FinishedRun, find_classifier
from mpl_keras.runs.folder import RunFolder
from mpl_keras.runs.metrics import SaveMetrics
from mpl_keras.runs.results import ResultsError
from mpl_keras.runs.settings import Settings, described, load
from mpl_keras.runs.training import Training, load_data
from mpl_keras.runs.tuning import tune

__all__ = [
    "Comparison",
    "FinishedRun",
    "ResultsError",
    "RunFolder",
    "SaveMetrics",
    "Settings",
    "Training",
    "described",
    "find_classifier",
    "load",
    "load_data",
    "tune",
]
