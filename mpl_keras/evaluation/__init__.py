"""What networks get right and wrong, in numbers."""

from mpl_keras.evaluation.findings import (
    Measured,
    accuracy_of,
    confusion_matrix,
    measure,
    predictions,
    sole_answer,
)
from mpl_keras.evaluation.measures import (
    calibration,
    expected_calibration_error,
    mean_interval,
    wilson_interval,
)
from mpl_keras.evaluation.samples import (
    probabilities,
    probe,
    unlabeled,
)

__all__ = [
    "Measured",
    "accuracy_of",
    "calibration",
    "confusion_matrix",
    "expected_calibration_error",
    "mean_interval",
    "measure",
    "predictions",
    "probabilities",
    "probe",
    "sole_answer",
    "unlabeled",
    "wilson_interval",
]
