"""UDA's and Meta Pseudo Labels' losses: formulas, and Keras's form of them."""

from mpl_keras.losses.annealed_loss import (
    AnnealedCategoricalCrossentropy,
    AnnealedSparseCategoricalCrossentropy,
)
from mpl_keras.losses.consistency_loss import (
    ConsistencyLoss,
)
from mpl_keras.losses.formulas import (
    align_logits,
    annealed_crossentropy,
    annealing_mask,
    as_float,
    confidence_mask,
    consistency,
    crossentropy,
    dense_labels,
    meta_pseudo_labels,
    smooth_labels,
)
from mpl_keras.losses.meta_pseudo_labels_loss import (
    MetaPseudoLabelsLoss,
)
from mpl_keras.losses.uda_loss import (
    UDALoss,
)

__all__ = [
    "AnnealedCategoricalCrossentropy",
    "AnnealedSparseCategoricalCrossentropy",
    "ConsistencyLoss",
    "MetaPseudoLabelsLoss",
    "UDALoss",
    "align_logits",
    "annealed_crossentropy",
    "annealing_mask",
    "as_float",
    "confidence_mask",
    "consistency",
    "crossentropy",
    "dense_labels",
    "meta_pseudo_labels",
    "smooth_labels",
]
