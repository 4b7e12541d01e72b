"""A sheet of pictures: originals, and weak and strong views of each."""

from typing import Any

import numpy as np
import tensorflow as tf

from mpl_keras.checks import arguments
from mpl_keras.checks.arguments import ArgumentError
from mpl_keras.report import canvas

ENDINGS = (".png", ".pdf", ".jpg", ".svg")
_SIDE, _DPI = 1.25, 130  # inches of a picture, pixels of an inch


def check_path(path: Any) -> str:
    """Raises unless the path ends in what a sheet can be written as.

    Args:
        path: The file.

    Returns:
        The path as a string.

    Example:
    >>> check_path("sheet.png")
    'sheet.png'
    """
    path = arguments.path("path", path)
    if not path.lower().endswith(ENDINGS):
        raise ArgumentError(
            "path", f"end in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}", path
        )
    return path


def plot_views(
    images: np.ndarray,
    views: Any,
    path: Any,
    *,
    columns: int = 4,
    seed: int = 0,
    title: str = "",
) -> None:
    """Draws pictures with weak and strong views, to look at before training.

    The class must still be seen in every strong view.

    Args:
        images: uint8, or floats in [0, 1], [N, height, width, 1 or 3].
        views: The `augment.Views`.
        path: The file to write; it ends in .png, .pdf, .jpg or .svg.
        columns: How many views of each kind.
        seed: Of the views.
        title: Above; the size of the views is added.

    Raises:
        ArgumentError: The path ends in something else.
        ImportError: matplotlib is not installed.

    Example:
    >>> import os, tempfile
    >>> from mpl_keras import augment
    >>> path = os.path.join(tempfile.mkdtemp(), "sheet.png")
    >>> images = np.zeros((2, 32, 32, 3), "uint8")
    >>> plot_views(images, augment.cifar_views(), path, columns=1)
    >>> os.path.getsize(path) > 0
    True
    """
    path = check_path(path)
    arguments.integer("columns", columns, 1)
    shown = {"original": images}
    for kind in ("weak", "strong"):
        view = getattr(views, kind)
        for number in range(1, columns + 1):
            seeds = tf.constant([seed, len(shown)])
            shown[f"{kind} {number}"] = np.asarray(view(images, seeds))
    with canvas.style(transparent=False):
        figure = canvas.figure(
            _SIDE * len(images) + 0.7, _SIDE * len(shown), "constrained"
        )
        axes = figure.subplots(len(images), len(shown), squeeze=False)
        for column, name in enumerate(shown):
            axes[0, column].set_title(name, fontsize=9)
            for axis, image in zip(axes[:, column], shown[name], strict=True):
                _draw(axis, image)
        size, own = shown[name].shape[1], images.shape[1]
        after = f", of images of {own}" if own != size else ""
        words = f"{title}, {size} pixels{after}".removeprefix(", ")
        most = figure.get_figwidth() - 0.2
        figure.suptitle(canvas.text(words, most, 10, lines=2))
        figure.savefig(path, dpi=_DPI)


def _draw(axis, image):
    """One picture; its pixels are seen as such."""
    axis.imshow(
        image.squeeze(-1) if image.shape[-1] == 1 else image,
        cmap="gray",
        vmin=0,
        vmax=255 if image.dtype == np.uint8 else 1,
        interpolation="nearest",
    )
    axis.set_xticks([])
    axis.set_yticks([])
