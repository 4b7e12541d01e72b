"""Image data by name: a folder, scikit-learn's digits, TensorFlow Datasets."""

import os
import re
from typing import Any, Literal

from mpl_keras.checks import arguments, names
from mpl_keras.checks.arguments import ArgumentError
from mpl_keras.datasets.folders import from_folder
from mpl_keras.datasets.semi_supervised_data import SemiSupervisedData
from mpl_keras.datasets.tfds import UnknownDatasetError, from_tfds
from mpl_keras.datasets.toys import digits


def images(
    name: str | os.PathLike[str],
    *,
    unreadable: Literal["error", "leave_out"] = "error",
    data_dir: Any = None,
    download: bool = False,
    verbose: bool = False,
    image_size: int | tuple[int, int] | None = None,
    num_labeled: int | None = None,
    max_pixels: int | None = None,
    labels: Any = None,
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
        max_pixels: See `from_folder`; None is its default.
        labels: See `from_folder`; of a folder alone.
        **options: What all take: `seed`, `validation_fraction` and
            `labeled_in_unlabeled`.

    Raises:
        ArgumentError: There is no such folder and no such data set, or an
            option is wrong.

    Example:
    >>> images("digits", seed=3).labeled[0].dtype
    dtype('uint8')
    """
    name = arguments.path("name", name)
    common = {"num_labeled": num_labeled, **options}
    limit = {} if max_pixels is None else {"max_pixels": max_pixels}
    if os.path.isdir(name):
        return from_folder(
            name,
            labels=labels,
            image_size=image_size,
            unreadable=unreadable,
            verbose=verbose,
            **common,
            **limit,
        )
    if labels is not None:
        raise ArgumentError(
            "labels",
            "be given for a folder alone",
            str(labels),
            others={"name": name},
        )
    if name == "digits":
        common["num_labeled"] = 10 if num_labeled is None else num_labeled
        return digits(dtype="uint8", **common)
    if os.sep in name and not re.fullmatch(r"\w+/[\w.]+", name):
        raise ArgumentError(
            "name", "be a folder that exists", name, note=_folders_like(name)
        )
    try:
        return from_tfds(
            name,
            image_size=image_size,
            data_dir=data_dir,
            download=download,
            **common,
            **limit,
        )
    except UnknownDatasetError as error:
        # Of the names of TensorFlow Datasets only those that are close.
        near = f" (It must {error.must}.)" if "such as" in error.must else ""
        raise ArgumentError(
            "name",
            "be a folder that exists, digits, or a data set of TensorFlow "
            "Datasets",
            name,
            note=f".{_folders_like(name) or near}",
        ) from error


def _folders_like(name):
    """A hint at folders beside the one that is not there."""
    parent = os.path.dirname(name)
    if not os.path.isdir(parent or "."):
        return ""
    there = [
        os.path.join(parent, entry.name)
        for entry in os.scandir(parent or ".")
        if entry.is_dir()
    ]
    hint = names.did_you_mean(name, there)
    return hint and f" There is no folder of that name{hint}"
