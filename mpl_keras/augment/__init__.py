"""Views: random looks at a batch of examples, and policies by name."""

from mpl_keras.augment.geometry import (
    affine,
)
from mpl_keras.augment.layers import (
    from_function,
    from_layer,
)
from mpl_keras.augment.rand_augment import (
    POOL,
    RandAugment,
)
from mpl_keras.augment.tokens import (
    TfIdfReplacement,
    TokenStatistics,
    WordDropout,
    count_tokens,
    text_views,
)
from mpl_keras.augment.transforms import (
    Cutout,
    GaussianNoise,
    RandomAffine,
    RandomContrast,
    RandomFlip,
    RandomPaddedCrop,
    RandomResizedCrop,
)
from mpl_keras.augment.views import (
    SMALL,
    Compose,
    View,
    Views,
    cifar_views,
    default_views,
    digits_views,
    image_views,
    imagenet_views,
    jitter_views,
    name_of_views,
    named_views,
    svhn_views,
)

__all__ = [
    "Compose",
    "Cutout",
    "GaussianNoise",
    "POOL",
    "RandAugment",
    "RandomAffine",
    "RandomContrast",
    "RandomFlip",
    "RandomPaddedCrop",
    "RandomResizedCrop",
    "SMALL",
    "TfIdfReplacement",
    "TokenStatistics",
    "View",
    "Views",
    "WordDropout",
    "affine",
    "cifar_views",
    "count_tokens",
    "default_views",
    "digits_views",
    "from_function",
    "from_layer",
    "image_views",
    "imagenet_views",
    "jitter_views",
    "name_of_views",
    "named_views",
    "svhn_views",
    "text_views",
]
