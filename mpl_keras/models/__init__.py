"""The models: `MetaPseudoLabels`, and `UDA` for a single network."""

from mpl_keras.models.meta_pseudo_labels import (
    MetaPseudoLabels,
)
from mpl_keras.models.semi_supervised import (
    SemiSupervisedModel,
)
from mpl_keras.models.uda import (
    UDA,
)

__all__ = [
    "MetaPseudoLabels",
    "SemiSupervisedModel",
    "UDA",
]
