"""Networks by name, and what a network must be to be taught."""

from mpl_keras.networks.backbones import (
    check_name,
    make,
    names,
)
from mpl_keras.networks.batch_norm import fused as fused_batch_norm
from mpl_keras.networks.text import (
    word_average,
)
from mpl_keras.networks.wide_residual import (
    regularizer,
    wide_resnet,
)

__all__ = [
    "check_name",
    "fused_batch_norm",
    "make",
    "names",
    "regularizer",
    "wide_resnet",
    "word_average",
]
