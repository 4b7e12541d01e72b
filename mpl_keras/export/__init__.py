"""A network as people deploy it: pictures, rows or texts in, names out."""

from mpl_keras.export.formats import (
    FORMATS,
    suffix,
)
from mpl_keras.export.loading import (
    Classifier,
    load,
)
from mpl_keras.export.prediction import (
    Prediction,
    predict_files,
)
from mpl_keras.export.prediction_table import (
    Counts,
    write_predictions,
)
from mpl_keras.export.table_classifier import (
    TableClassifier,
)
from mpl_keras.export.text_classifier import (
    TextClassifier,
)
from mpl_keras.export.write import (
    Agreement,
    check_classifier,
    convert,
    write_classifier,
)

__all__ = [
    "Agreement",
    "Classifier",
    "Counts",
    "FORMATS",
    "Prediction",
    "TableClassifier",
    "TextClassifier",
    "check_classifier",
    "convert",
    "load",
    "predict_files",
    "suffix",
    "write_classifier",
    "write_predictions",
]
