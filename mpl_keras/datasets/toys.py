"""Small data sets for examples and tests: digits and two moons."""

import pathlib
from typing import Literal

import numpy as np

from mpl_keras import augment
from mpl_keras.checks import arguments
from mpl_keras.datasets import splits
from mpl_keras.datasets.semi_supervised_data import (
    SemiSupervisedData,
    from_arrays,
)
from mpl_keras.datasets.splits import split_labeled


def digits(
    num_labeled: int,
    seed: int = 0,
    *,
    validation_fraction: float = 0.0,
    labeled_in_unlabeled: bool = True,
    balanced: bool = True,
    dtype: Literal["float32", "uint8"] = "float32",
) -> SemiSupervisedData:
    """1,797 real handwritten digits, 8x8; they come with the library.

    The test part of "Optical Recognition of Handwritten Digits" (Alpaydin and
    Kaynak, 1998, UCI Machine Learning Repository, CC BY 4.0), which is
    scikit-learn's `load_digits`.

    Shaped (8, 8, 1), with int32 labels. 540 images, stratified, are the test
    set, the same for every seed; the other 1,257 are for training.

    Args:
        num_labeled: How many keep their labels; see `split_labeled`.
        seed: Of the choice of labeled and validation images.
        validation_fraction: Share of the training images to set aside,
            stratified, apart from labeled and unlabeled; in [0, 1).
        labeled_in_unlabeled: False removes the labeled images from the
            unlabeled ones.
        balanced: See `split_labeled`.
        dtype: "float32" for values in [0, 1], "uint8" for [0, 255].

    Raises:
        ValueError: An argument is out of range.

    Example:
    >>> digits(num_labeled=20)
    SemiSupervisedData(labeled=20, unlabeled=1257, classes=10)
    """
    arguments.choice("dtype", dtype, ("float32", "uint8"))
    x, y = _load_digits()
    views = augment.digits_views()
    if dtype == "uint8":
        x = np.round(255 * x).astype(np.uint8)
        views = augment.digits_views(scale=255)
    held_out = splits.stratified(y, 540, np.random.RandomState(0), 10)
    train = np.setdiff1d(np.arange(len(y)), held_out)
    labeled, unlabeled, aside = (
        train[part]
        for part in splits.split(
            y[train],
            num_labeled,
            seed,
            10,
            validation_fraction=validation_fraction,
            labeled_in_unlabeled=labeled_in_unlabeled,
            balanced=balanced,
        )
    )
    return from_arrays(
        x[labeled],
        y[labeled],
        x[unlabeled],
        test=(x[held_out], y[held_out]),
        validation=(x[aside], y[aside]) if len(aside) else None,
        num_classes=10,
        views=views,
        unlabeled_labels=y[unlabeled],
        labeled_in_unlabeled=False,
        image_scale=1 / 255,
    )


def two_moons(
    num_labeled: int = 6,
    seed: int = 0,
    *,
    num_points: int = 2000,
    noise: float = 0.12,
    num_test: int = 1000,
    labeled_in_unlabeled: bool = True,
    balanced: bool = True,
) -> SemiSupervisedData:
    """Two interleaved half circles with Gaussian noise, [N, 2], float32.

    Each coordinate is scaled to mean 0 and standard deviation 1 over the
    `num_points`, and the test points, a fresh draw, in the same way. Views:
    jitter of 0.02 (weak) and 0.2 (strong).

    Args:
        num_labeled: How many keep their labels; see `split_labeled`.
        seed: Of points, test points and labeled choice.
        num_points: Points for training, half of them of each class.
        noise: Standard deviation, where the circles have radius 1.
        num_test: Points for testing.
        labeled_in_unlabeled: False removes the labeled points from the
            unlabeled ones.
        balanced: See `split_labeled`.

    Example:
    >>> two_moons(seed=3).labeled[0].shape
    (6, 2)
    """
    seed = arguments.integer("seed", seed, 0, 2**32 - 1)
    arguments.integer("num_points", num_points, 4)
    arguments.integer("num_test", num_test, 1)
    arguments.number("noise", noise, 0)
    x, y = _moons(num_points, noise, np.random.RandomState([seed, 2]))
    x_test, y_test = _moons(num_test, noise, np.random.RandomState([seed, 3]))
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    x = ((x - mean) / deviation).astype(np.float32)
    x_test = ((x_test - mean) / deviation).astype(np.float32)
    labeled = split_labeled(y, num_labeled, seed, 2, balanced)
    unlabeled = np.arange(num_points)
    if not labeled_in_unlabeled:
        unlabeled = np.setdiff1d(unlabeled, labeled)
    return from_arrays(
        x[labeled],
        y[labeled],
        x[unlabeled],
        test=(x_test, y_test),
        num_classes=2,
        class_names=("upper", "lower"),
        views=augment.jitter_views(weak=0.02, strong=0.2),
        unlabeled_labels=y[unlabeled],
        labeled_in_unlabeled=False,
    )


def _load_digits() -> tuple[np.ndarray, np.ndarray]:
    with np.load(pathlib.Path(__file__).with_name("digits.npz")) as file:
        pixels, y = file["pixels"], file["labels"]
    x = (pixels / 16).astype(np.float32).reshape(-1, 8, 8, 1)
    return x, y.astype(np.int32)


def _moons(count: int, noise: float, random: np.random.RandomState):
    """Points [count, 2] and classes: 0 the upper half circle, 1 the lower."""
    y = random.permutation(np.arange(count, dtype=np.int32) % 2)
    angle = random.uniform(0, np.pi, count)
    x = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    x = np.where(y[:, np.newaxis] == 0, x, [1, 0.5] - x)
    return x + random.normal(0, noise, x.shape), y
