"""Data by name, and from what people have: arrays, tables, folders, TFDS."""

import difflib
import os
import re
from typing import Any

import numpy as np

from mpl_keras import arguments, augment, splits
from mpl_keras.data import SemiSupervisedData, from_arrays
from mpl_keras.folders import from_folder
from mpl_keras.splits import split_labeled
from mpl_keras.tables import from_dataframe
from mpl_keras.tfds import from_tfds

__all__ = [
    "SemiSupervisedData",
    "digits",
    "from_arrays",
    "from_dataframe",
    "from_folder",
    "from_tfds",
    "images",
    "split_labeled",
    "two_moons",
]


def images(
    name: str,
    *,
    unreadable: str = "error",
    data_dir: Any = None,
    download: bool = False,
    verbose: bool = False,
    image_size: int | tuple[int, int] | None = None,
    num_labeled: int | None = None,
    **options: Any,
) -> SemiSupervisedData:
    """Images, uint8, of a folder or of a data set with a name.

    Args:
        name: A folder that exists, see `from_folder`; "digits"; or a name of
            TensorFlow Datasets, see `from_tfds`.
        unreadable: See `from_folder`.
        data_dir: See `from_tfds`.
        download: The same.
        verbose: See `from_folder`.
        image_size: Pixels; not of digits, which have 8.
        num_labeled: How many keep their labels; 10 by default of digits.
        **options: What all take: `seed`, `validation_fraction` and
            `labeled_in_unlabeled`.

    Raises:
        ValueError: There is no such folder and no such data set, or an option
            is wrong.

    Example:
    >>> images("digits", seed=3).labeled[0].dtype
    dtype('uint8')
    """
    common = {"num_labeled": num_labeled, **options}
    if os.path.isdir(name):
        return from_folder(
            name,
            image_size=image_size,
            unreadable=unreadable,
            verbose=verbose,
            **common,
        )
    if name == "digits":
        common["num_labeled"] = 10 if num_labeled is None else num_labeled
        return digits(dtype="uint8", **common)
    if os.sep in name and not re.fullmatch(r"\w+/[\w.]+", name):
        raise ValueError(
            f"`name` must be a folder that exists. Received: name={name}"
        )
    try:
        return from_tfds(
            name,
            image_size=image_size,
            data_dir=data_dir,
            download=download,
            **common,
        )
    except ValueError as error:
        if "must be a data set of" not in str(error):
            raise
        near = difflib.get_close_matches(
            name, [entry.name for entry in os.scandir() if entry.is_dir()], 1
        )
        hint = f" There is a folder {near[0]}." if near else ""
        raise ValueError(
            f"`name` must be a folder that exists, digits, or a data set of "
            f"TensorFlow Datasets. Received: name={name}.{hint} "
            f"({str(error).partition(' Received')[0].replace('`name`', 'It')})"
        ) from error


def digits(
    num_labeled: int,
    seed: int = 0,
    *,
    validation_fraction: float = 0.0,
    labeled_in_unlabeled: bool = True,
    balanced: bool = True,
    dtype: str = "float32",
) -> SemiSupervisedData:
    """scikit-learn's 1,797 real handwritten digits, 8x8.

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
        ImportError: scikit-learn is not installed.
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
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            "`datasets.digits` needs scikit-learn: pip install scikit-learn"
        ) from error
    pixels, y = load_digits(return_X_y=True)
    x = (pixels / 16).astype(np.float32).reshape(-1, 8, 8, 1)
    return x, y.astype(np.int32)


def _moons(count: int, noise: float, random: np.random.RandomState):
    """Points [count, 2] and classes: 0 the upper half circle, 1 the lower."""
    y = random.permutation(np.arange(count, dtype=np.int32) % 2)
    angle = random.uniform(0, np.pi, count)
    x = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    x = np.where(y[:, np.newaxis] == 0, x, [1, 0.5] - x)
    return x + random.normal(0, noise, x.shape), y
