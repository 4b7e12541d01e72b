"""What networks get right and wrong, in numbers."""

from mpl_keras.evaluation.confusion import (
    Measured,
    accuracy_of,
    at_chance,
    confusion_matrix,
    first_learned,
    measure,
    predictions,
    sole_answer,
)
from mpl_keras.evaluation.labeling import Candidate, worth_labeling
from mpl_keras.evaluation.samples import (
    probabilities,
    probe,
    unlabeled,
)
from mpl_keras.evaluation.statistics import (
    calibration,
    expected_calibration_error,
    mean_interval,
    paired_gain,
    wilson_interval,
)

__all__ = [
    "Candidate",
    "Measured",
    "accuracy_of",
    "at_chance",
    "calibration",
    "confusion_matrix",
    "expected_calibration_error",
    "first_learned",
    "mean_interval",
    "measure",
    "paired_gain",
    "predictions",
    "probabilities",
    "probe",
    "sole_answer",
    "unlabeled",
    "wilson_interval",
    "worth_labeling",
]
