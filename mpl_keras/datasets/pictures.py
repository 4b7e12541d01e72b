"""A few pictures to look at, all of one size."""

import os
from typing import Any

import numpy as np
import tensorflow as tf

from mpl_keras.checks import arguments, names
from mpl_keras.checks.arguments import ArgumentError, MissingFileError
from mpl_keras.datasets import folder_files
from mpl_keras.images import reading

ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")
# Sides in pixels of pieces of a photograph: made smaller, they look like a
# photograph of a thing.
_PIECES = 200, 420


def load_folder(
    folder: Any, count: int, size: int, seed: int = 0
) -> np.ndarray:
    """Some of the image files below a folder.

    Args:
        folder: The folder; files are known by their endings.
        count: How many pictures; fewer if there are no more.
        size: Pixels of the square that is cut out of the middle.
        seed: Of the choice.

    Returns:
        uint8, [number of pictures, size, size, 3], in the order of the names.

    Raises:
        MissingFileError: There is no such folder.
        ArgumentError: It holds no pictures, or one that cannot be read.

    Example:
    >>> import tempfile
    >>> from PIL import Image
    >>> folder = tempfile.mkdtemp()
    >>> Image.new("RGB", (40, 30)).save(os.path.join(folder, "a.png"))
    >>> load_folder(folder, count=6, size=32).shape
    (1, 32, 32, 3)
    """
    arguments.integer("count", count, 1)
    arguments.integer("size", size, 1)
    folder = arguments.path("folder", folder)
    if not os.path.isdir(folder):
        raise MissingFileError("folder", "be a folder", folder)
    paths = [
        path
        for path in folder_files.find_all(folder)
        if path.lower().endswith(ENDINGS)
    ]
    if not paths:
        raise ArgumentError(
            "folder", f"hold files that end in one of {ENDINGS}", folder
        )
    order = np.random.default_rng(seed).permutation(len(paths))[:count]
    return np.stack([_load(paths[i], folder, size) for i in sorted(order)])


def load_photographs(count: int, size: int, seed: int = 0) -> np.ndarray:
    """Pieces, of different scales, of scikit-learn's two photographs.

    Args:
        count: How many pictures.
        size: Pixels of the square, at most 419.
        seed: Of the choice.

    Returns:
        uint8, [count, size, size, 3].

    Raises:
        ImportError: scikit-learn is not installed.

    Example:
    >>> load_photographs(count=3, size=32).shape
    (3, 32, 32, 3)
    """
    arguments.integer("count", count, 1)
    arguments.integer("size", size, 1, _PIECES[1] - 1)
    names.require("sklearn", "`load_photographs`", "scikit-learn")
    from sklearn import datasets as sklearn_datasets

    photographs = sklearn_datasets.load_sample_images().images
    random = np.random.default_rng(seed)
    pieces = []
    for number in range(count):
        photograph = photographs[number % len(photographs)]
        side = int(random.integers(max(size, _PIECES[0]), _PIECES[1]))
        top = random.integers(photograph.shape[0] - side + 1)
        left = random.integers(photograph.shape[1] - side + 1)
        piece = photograph[top : top + side, left : left + side]
        pieces.append(reading.cover(tf.constant(piece), size, size).numpy())
    return np.stack(pieces)


def _load(path, folder, size):
    """A file as a square."""
    with open(path, "rb") as file:
        contents = file.read()
    why = "is damaged or truncated"
    try:
        special = reading.inspect(contents).special
        image = reading.decode(contents, tf.constant(special), 3)
    except (ValueError, tf.errors.InvalidArgumentError) as error:
        if isinstance(error, ValueError):
            why = str(error)
        raise ArgumentError(
            "folder",
            "hold images alone",
            folder,
            note=f", and {names.printable(path)} {why}",
        ) from error
    return reading.cover(image, size, size).numpy()
