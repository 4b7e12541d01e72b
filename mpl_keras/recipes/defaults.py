"""Settings to begin with, by the size of the pictures and the machine."""

import dataclasses

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
# On a processor alone the settings for one device would take days.
_PROCESSOR = {
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
# Up to how many pixels, after which recipe, and what changes; then the same on
# a processor, if that is another.
_SIZES = (
    (15, ("digits", _CAUTIOUS), None),
    (31, ("fashion_mnist", {}), None),
    (
        64,
        ("cifar10_4000", _CAUTIOUS | _ONE_DEVICE | {"views": "svhn"}),
        ("fashion_mnist", {"views": "svhn"}),
    ),
    (
        None,
        ("imagenet_10_percent", _CAUTIOUS | _ONE_DEVICE),
        ("imagenet_10_percent", _CAUTIOUS | _ONE_DEVICE | _PROCESSOR | _MOBILE),
    ),
)


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
    most, usual, light = next(
        row for row in _SIZES if row[0] is None or image_size <= row[0]
    )
    name, changes = usual if gpu or light is None else light
    recipe = dataclasses.replace(get(name), **changes)
    why = [
        f"pictures of {image_size} pixels"
        + ("" if most is None else f", up to {most}"),
        f"after recipe {name}",
    ]
    if light is not None:
        why[0] += ", with a GPU" if gpu else ", without a GPU"
        why.append(f"{recipe.backbone}, {recipe.steps:,} steps")
    if num_classes < 5:
        # Of two classes, one always has a confidence of 0.5.
        recipe = dataclasses.replace(recipe, threshold=0.9)
        why.append("fewer than five classes: threshold 0.9")
    return dataclasses.replace(recipe, why="; ".join(why))
