"""UDA's and Meta Pseudo Labels' losses: formulas, and Keras's form of them."""

from mpl_keras.losses.adaptive_thresholds import (
    FlexMatchThreshold,
    FreeMatchThreshold,
    SoftMatchWeight,
)
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
    class_fairness,
    confidence_mask,
    consistency,
    crossentropy,
    dense_labels,
    meta_pseudo_labels,
    smooth_labels,
    view_divergence,
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
    "FlexMatchThreshold",
    "FreeMatchThreshold",
    "MetaPseudoLabelsLoss",
    "SoftMatchWeight",
    "UDALoss",
    "align_logits",
    "annealed_crossentropy",
    "annealing_mask",
    "as_float",
    "class_fairness",
    "confidence_mask",
    "consistency",
    "crossentropy",
    "dense_labels",
    "meta_pseudo_labels",
    "smooth_labels",
    "view_divergence",
]
