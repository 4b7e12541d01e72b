"""Classifiers with scikit-learn's protocol: `fit(X, y)`, -1 for no label."""

from mpl_keras.estimators.classifiers import (
    MetaPseudoLabelsClassifier,
    UDAClassifier,
)

__all__ = [
    "MetaPseudoLabelsClassifier",
    "UDAClassifier",
]
