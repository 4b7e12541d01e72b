"""Settings to begin with, by the size of the pictures and the machine."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from mpl_keras.checks import arguments
from mpl_keras.recipes.published import get
from mpl_keras.recipes.recipe import Recipe

# Feedback that keeps its size, with a weight that is cautious: the data of the
# published settings are not at hand.
_CAUTIOUS = {
    "feedback": "hypergradient",
    "feedback_weight": 0.1,
    "feedback_normalization": "rms",
    "feedback_baseline": None,
    "pseudo_labels": "soft",
    "pseudo_label_view": "weak",
    "meta": "strong",
}
_ONE_DEVICE = {
    "labeled_batch_size": 32,
    "unlabeled_batch_size": 224,
    "teacher_learning_rate": 0.0125,
    "student_learning_rate": 0.0125,
    "steps": 20_000,
    "warmup_steps": 400,
    "student_wait": 400,
    "consistency_ramp_steps": 1000,
    "label_smoothing": 0.1,
}
# On a CPU alone the settings for one device would take days.
_CPU = {
    "labeled_batch_size": 16,
    "unlabeled_batch_size": 48,
    "steps": 2000,
    "warmup_steps": 100,
    "student_wait": 200,
    "consistency_ramp_steps": 300,
    "clip_norm": 1.0,
}
_MOBILE = {
    "backbone": "MobileNetV2",
    "teacher_learning_rate": 0.0125,
    "student_learning_rate": 0.0125,
}


class _Row(NamedTuple):
    """What pictures up to a size are trained with, and why."""

    most: int | None
    recipe: str
    changes: Mapping[str, Any]
    why: str


_DIGITS = _Row(
    15,
    "digits",
    _CAUTIOUS,
    "settings that were searched on 8x8 digits",
)
_FASHION = _Row(
    31,
    "fashion_mnist",
    {},
    "settings that were searched on Fashion-MNIST with ten labels of each "
    "class; a CPU takes minutes",
)
_LIGHT = _Row(
    64,
    "fashion_mnist",
    {"views": "svhn"},
    "network, rates and steps that were searched on Fashion-MNIST, because a "
    "Wide ResNet takes a CPU days; views of photographs, without flips",
)
_PHOTOGRAPHS = _Row(
    64,
    "cifar10_4000",
    _CAUTIOUS | _ONE_DEVICE | {"views": "svhn"},
    "the published Wide ResNet for CIFAR-10, in batches and steps for one GPU, "
    "with views without flips; these steps were not searched",
)
_LARGE = _Row(
    None,
    "imagenet_10_percent",
    _CAUTIOUS | _ONE_DEVICE,
    "the published settings for ImageNet, in batches and steps for one GPU; "
    "these steps were not searched",
)
_LARGE_LIGHT = _Row(
    None,
    "imagenet_10_percent",
    _LARGE.changes | _CPU | _MOBILE,
    "MobileNetV2 and few small steps, because a ResNet-50 takes a CPU "
    "weeks; not searched: --weights of a pretrained network help most",
)
_WITH_GPU = _DIGITS, _FASHION, _PHOTOGRAPHS, _LARGE
_WITHOUT = _DIGITS, _FASHION, _LIGHT, _LARGE_LIGHT


def default(
    image_size: int, num_classes: int, *, gpu: bool | None = None
) -> Recipe:
    """The settings for pictures of a size, on this machine.

    Args:
        image_size: Pixels of the shorter side.
        num_classes: Number of classes.
        gpu: Whether a GPU trains; by default whether TensorFlow sees one.

    Returns:
        A recipe, which says in `why` what it was chosen by.

    Raises:
        ArgumentError: A number is out of range.

    Example:
    >>> recipe = default(32, 10, gpu=False)
    >>> recipe.backbone, recipe.steps
    ('compact_cnn', 2000)
    """
    arguments.integer("image_size", image_size, 1)
    arguments.integer("num_classes", num_classes, 2)
    if gpu is None:  # logical devices would start TensorFlow's context
        gpu = bool(tf.config.list_physical_devices("GPU"))
    row = next(
        row
        for row in (_WITH_GPU if gpu else _WITHOUT)
        if row.most is None or image_size <= row.most
    )
    recipe = dataclasses.replace(get(row.recipe), **row.changes)
    why = f"pictures of {image_size} pixels, {'a' if gpu else 'no'} GPU: "
    why += row.why
    if num_classes < 5:
        # Of two classes, one always has a confidence of 0.5.
        recipe = dataclasses.replace(recipe, threshold=0.9)
        why += "; threshold 0.9, because there are fewer than five classes"
    return dataclasses.replace(recipe, why=why)
