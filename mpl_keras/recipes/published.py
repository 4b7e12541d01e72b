"""Published settings by name, as plain data."""

import dataclasses
from typing import Any

from mpl_keras.checks import arguments
from mpl_keras.recipes.recipe import Recipe

_GOOGLE = (
    "google-research/meta_pseudo_labels: the command in its README and the "
    "defaults of flag_utils.py; its learning rates are per 256 labeled "
    "examples, here they are the products. Where both could be compared, the "
    "appendix of the paper differs from it."
)
_PAPER = "Pham et al., 2021 (arXiv:2003.10580)"
_KEKMODEL = "kekmodel/MPL-pytorch, one seed"
_RETOSCHIEGG = "retoschiegg, TensorFlow 2.3, one seed"
_USB = "Wang et al., USB, 2022 (arXiv:2208.07204)"


def get(name: str) -> Recipe:
    """A recipe by its name.

    Example:
    >>> get("cifar10_4000").unlabeled_batch_size
    896

    Raises:
        ArgumentError: If there is none of that name; see `names`.
    """
    arguments.choice("name", name, _RECIPES)
    return _RECIPES[name]


def names() -> list[str]:
    """Names of all recipes.

    Example:
    >>> names()[:3]
    ['cifar10_4000', 'digits', 'fashion_mnist']
    """
    return sorted(_RECIPES)


def _published(**figures: tuple[float, float | None]) -> dict[str, list[Any]]:
    """Figures with their sources."""
    sources = {
        "uda_usb": _USB,
        "fixmatch": "Sohn et al., FixMatch, 2020 (arXiv:2001.07685)",
        "mpl_kekmodel": _KEKMODEL,
        "mpl_finetuned_kekmodel": _KEKMODEL,
        "mpl_retoschiegg": _RETOSCHIEGG,
        "mpl_finetuned_retoschiegg": _RETOSCHIEGG,
    }
    return {
        method: [mean, error, sources.get(method, _PAPER)]
        for method, (mean, error) in figures.items()
    }


_CIFAR10 = Recipe(
    name="cifar10_4000",
    dataset="cifar10",
    num_labeled=4000,
    num_classes=10,
    backbone="wide_resnet_28_2",
    image_size=32,
    views="cifar",
    labeled_batch_size=128,
    unlabeled_batch_size=896,
    steps=300_000,
    teacher_learning_rate=0.05,
    student_learning_rate=0.05,
    warmup_steps=5000,
    student_wait=3000,
    clip_norm=None,
    weight_decay=5e-4,
    teacher_dropout=0.2,
    student_dropout=0.2,
    label_smoothing=0.15,
    ema_momentum=0.995,
    consistency_weight=8.0,
    consistency_ramp_steps=5000,
    temperature=0.7,
    threshold=0.6,
    mask_on="sharpened",
    feedback="loss_difference",
    feedback_weight=1.0,
    feedback_normalization=None,
    feedback_baseline=0.99,
    pseudo_labels="sampled",
    pseudo_label_view="strong",
    meta="labeled",
    finetune_steps=1000,
    finetune_batch_size=512,
    finetune_learning_rate=1e-5,
    source=_GOOGLE
    + " Finetuning is from the paper, which gives 1e-5 to 3e-5 and 1,000 to "
    "2,000 steps for all data sets together.",
    departures="Labels are sampled as in the paper's algorithm, and feedback "
    "is the labeled loss before minus after: the released code takes soft "
    "labels, for which the gradient of its feedback is exactly zero, and "
    "after minus before. Both labeled losses are of the labeled batch alone. "
    "BatchNorm sees the whole batch, not groups of 256 examples. Finetuning "
    "has momentum 0.9.",
    published=_published(
        supervised=(82.14, 0.25),
        pseudo_labels=(83.79, 0.11),
        uda=(94.53, 0.18),
        uda_usb=(95.68, 0.07),
        fixmatch=(95.74, 0.05),
        mpl=(95.60, 0.19),
        mpl_finetuned=(96.11, 0.07),
        mpl_kekmodel=(96.01, None),
        mpl_finetuned_kekmodel=(96.08, None),
        mpl_retoschiegg=(94.70, None),
        mpl_finetuned_retoschiegg=(94.71, None),
    ),
)

_SVHN = dataclasses.replace(
    _CIFAR10,
    name="svhn_1000",
    dataset="svhn_cropped",
    num_labeled=1000,
    views="svhn",
    unlabeled_batch_size=128,
    steps=1_000_000,
    teacher_learning_rate=0.05,
    student_learning_rate=0.15,
    warmup_steps=2000,
    teacher_dropout=0.65,
    student_dropout=0.45,
    consistency_weight=2.5,
    temperature=1.25,
    source="Unverified. The released code has no settings for SVHN. Learning "
    "rates, dropout, weight and temperature of the consistency are the "
    "paper's appendix as remembered; batch sizes, steps and warm-up are the "
    "appendix's for CIFAR-10 as a re-implementation gives them; all others "
    "are those of cifar10_4000.",
    published=_published(
        supervised=(88.17, 0.47),
        pseudo_labels=(89.81, 0.41),
        uda=(97.11, 0.17),
        uda_usb=(98.04, 0.01),
        mpl=(97.79, 0.11),
        mpl_finetuned=(98.01, 0.07),
    ),
)

_IMAGENET = dataclasses.replace(
    _CIFAR10,
    name="imagenet_10_percent",
    dataset="imagenet2012_subset/10pct",
    num_labeled=None,
    num_classes=1000,
    backbone="resnet50",
    image_size=224,
    views="imagenet",
    labeled_batch_size=1024,
    unlabeled_batch_size=15_360,
    steps=700_000,
    teacher_learning_rate=0.6,
    student_learning_rate=0.4,
    warmup_steps=5000,
    student_wait=20_000,
    clip_norm=5.0,
    weight_decay=1e-4,
    teacher_dropout=0.1,
    student_dropout=0.1,
    label_smoothing=0.1,
    ema_momentum=0.999,
    consistency_weight=20.0,
    consistency_ramp_steps=50_000,
    temperature=0.5,
    finetune_learning_rate=3e-5,
    source=_CIFAR10.source + " Its README's image size, 32, is that of the "
    "command for CIFAR-10; the paper's is 224.",
    departures=_CIFAR10.departures.replace("groups of 256", "groups of 1,024")
    + " ResNet-50 is Keras's: its convolutions have biases, and a block's "
    "stride is in its first one.",
    published=_published(
        supervised=(57.75, None),
        pseudo_labels=(58.21, None),
        uda=(68.07, None),
        mpl=(72.39, None),
        mpl_finetuned=(73.89, None),
    ),
)

_DIGITS = dataclasses.replace(
    _CIFAR10,
    name="digits",
    dataset="digits",
    num_labeled=10,
    backbone="small_cnn",
    image_size=8,
    views="digits",
    labeled_batch_size=32,
    unlabeled_batch_size=64,
    steps=1500,
    teacher_learning_rate=0.3,
    student_learning_rate=0.2,
    warmup_steps=100,
    student_wait=200,
    student_warmup_steps=400,
    student_final_fraction=0.5,
    clip_norm=1.0,
    weight_decay=5e-4,
    teacher_dropout=0.0,
    student_dropout=0.0,
    label_smoothing=0.0,
    ema_momentum=0.995,
    consistency_weight=3.0,
    consistency_ramp_steps=300,
    mask_on="raw",
    feedback="hypergradient",
    feedback_weight=0.3,
    feedback_normalization="rms",
    feedback_baseline=None,
    pseudo_labels="soft",
    pseudo_label_view="weak",
    meta="strong",
    finetune_steps=300,
    finetune_batch_size=64,
    finetune_learning_rate=1e-3,
    source="This library, examples/digits.py: scikit-learn's digits.",
    departures="None: the published figures are this library's own, of ten "
    "labels, without finetuning, of 20 seeds.",
    published={
        method: [mean, error, "mpl_keras, benchmarks/RESULTS.md"]
        for method, mean, error in (
            ("uda", 85.2, 1.6),
            ("uda_aligned", 92.4, 0.8),
            ("no_feedback", 84.5, 1.7),
            ("mpl", 90.3, 1.7),
        )
    },
)

_FASHION = dataclasses.replace(
    _DIGITS,
    name="fashion_mnist",
    dataset="fashion_mnist",
    num_labeled=100,
    backbone="compact_cnn",
    image_size=28,
    views="small_shifts",
    steps=2000,
    teacher_learning_rate=0.1,
    student_learning_rate=0.3,
    warmup_steps=150,
    student_wait=150,
    student_warmup_steps=200,
    student_final_fraction=0.3,
    consistency_ramp_steps=400,
    distribution_alignment="labeled",
    label_spreading=True,
    feedback_measured="before",
    average_of="teacher",
    source="This library, benchmarks/search.py: Fashion-MNIST, chosen on "
    "training images that were set aside.",
    departures="None: there are no published figures with these networks.",
    published={},
)

_RECIPES = {
    recipe.name: recipe
    for recipe in (_CIFAR10, _SVHN, _IMAGENET, _DIGITS, _FASHION)
}
