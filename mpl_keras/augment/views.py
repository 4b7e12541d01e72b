"""Views: random looks at a batch of examples, and policies by name.

A view is any callable `(x, seed) -> x` on a batch, with `seed` an integer
tensor of shape [2]. The views here are stateless: the same seed gives the same
values, on any machine, eagerly, in `tf.data` and in a `tf.function`. Every
example of the batch gets random values of its own. Shapes and dtypes are kept,
except that `RandomResizedCrop` gives images a size of their own; integer images
are computed in float32, rounded and saturated.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from mpl_keras.augment.rand_augment import RandAugment
from mpl_keras.augment.transforms import (
    Cutout,
    GaussianNoise,
    RandomAffine,
    RandomContrast,
    RandomPaddedCrop,
    RandomResizedCrop,
)
from mpl_keras.checks import arguments
from mpl_keras.checks.arguments import ArgumentError

View = Callable[[Any, tf.Tensor], Any]

# Images of more pixels get resized crops, of fewer than the second no
# RandAugment: on 8x8 digits it left little to see.
SMALL = 64
_SMALLEST_DRAWN = 32


@dataclasses.dataclass(frozen=True)
class Views:
    """A weak and a strong view of the same examples.

    Args:
        weak: Callable `(x, seed) -> x`; the teacher labels what it shows.
        strong: Callable `(x, seed) -> x`; the student learns from it.

    Example:
    >>> views = Views(weak=GaussianNoise(0.02), strong=GaussianNoise(0.2))
    >>> views.strong(tf.zeros([4, 2]), [0, 1]).shape
    TensorShape([4, 2])
    """

    weak: View
    strong: View

    def __post_init__(self):
        """Raises unless both are callable."""
        for name in ("weak", "strong"):
            _check_callable(getattr(self, name), name)


@dataclasses.dataclass(frozen=True)
class Compose:
    """One view after another, each with a seed of its own.

    Example:
    >>> view = Compose((RandomAffine(rotation=10), GaussianNoise(0.1)))
    >>> view(tf.zeros([2, 8, 8, 1]), [0, 1]).shape
    TensorShape([2, 8, 8, 1])
    """

    pieces: Sequence[View]

    def __post_init__(self):
        """Raises unless there is a piece and all are callable."""
        if not isinstance(self.pieces, (tuple, list)) or not self.pieces:
            raise ValueError(
                "`pieces` must be a tuple of at least one view. "
                f"Received: pieces={self.pieces!r}"
            )
        object.__setattr__(self, "pieces", tuple(self.pieces))
        for index, piece in enumerate(self.pieces):
            _check_callable(piece, f"pieces[{index}]")

    def __call__(self, x: Any, seed: tf.Tensor) -> Any:
        """Applies the pieces in order."""
        seeds = tf.random.split(seed, num=len(self.pieces))
        for piece, own in zip(self.pieces, tf.unstack(seeds), strict=True):
            x = piece(x, own)
        return x


def digits_views(scale: float = 1.0) -> Views:
    """Views of 8x8 digits, white on black.

    Weak: shift up to 0.6 px, rotation 8 degrees, zoom 8 %. Strong: shift 1 px,
    rotation 17 degrees, zoom and shear 0.15; ink times 0.6 to 1.2; noise 0.06;
    a black 3x3 square half the time. Floats are not clipped: strong views leave
    [0, 1] by a little, and keep the noise of the black ground symmetric.

    Args:
        scale: The value of white: 1, or 255 for uint8 images.

    Example:
    >>> digits_views().weak
    RandomAffine(shift=0.6, rotation=8.0, zoom=0.08, shear=0.0)
    """
    return Views(
        weak=RandomAffine(shift=0.6, rotation=8.0, zoom=0.08),
        strong=Compose(
            (
                RandomAffine(shift=1.0, rotation=17.0, zoom=0.15, shear=0.15),
                RandomContrast(0.6, 1.2),
                GaussianNoise(0.06 * scale),
                Cutout(size=3, probability=0.5),
            )
        ),
    )


def jitter_views(
    weak: float | Sequence[float] = 0.05, strong: float | Sequence[float] = 0.2
) -> Views:
    """Views that add Gaussian noise, for points and tables.

    Args:
        weak: Standard deviation, a number or one for each feature.
        strong: The same, of the strong view.

    Example:
    >>> jitter_views(strong=0.3).strong
    GaussianNoise(stddev=0.3)
    """
    return Views(weak=GaussianNoise(weak), strong=GaussianNoise(strong))


def image_views(height: int, width: int) -> Views:
    """Small affine views for images of any kind and scale; no flip.

    A flip is left out because it changes the class of letters and digits.
    Weak: shift up to 6 % of the smaller side, rotation 5 degrees, zoom 5 %.
    Strong: shift 12 %, rotation 15 degrees, zoom and shear 0.15, and half the
    time a square of a third of the side, filled with 0.

    Example:
    >>> image_views(50, 100).weak
    RandomAffine(shift=3.0, rotation=5.0, zoom=0.05, shear=0.0)
    """
    side = min(height, width)
    strong = RandomAffine(0.12 * side, rotation=15.0, zoom=0.15, shear=0.15)
    return Views(
        weak=RandomAffine(shift=0.06 * side, rotation=5.0, zoom=0.05),
        strong=Compose((strong, Cutout(max(side // 3, 1), probability=0.5))),
    )


def cifar_views(size: int = 32) -> Views:
    """Views of small uint8 photographs, as published for CIFAR-10.

    Weak: flip, and crop after padding with `size // 8` grey pixels. Strong:
    the same, then RandAugment (2 operations, magnitude 16), a grey cutout of
    side `size // 2`, and flip and crop once more.

    Args:
        size: The smaller side of the images in pixels.

    Reference: google-research, meta_pseudo_labels, augment.py.

    Example:
    >>> cifar_views().weak
    RandomPaddedCrop(padding=4, fill=128, flip=0.5)
    """
    return _padded_views(size, flip=0.5)


def svhn_views(size: int = 32) -> Views:
    """Views of SVHN's digits: as `cifar_views`, without flips.

    Example:
    >>> svhn_views().weak
    RandomPaddedCrop(padding=4, fill=128, flip=0.0)
    """
    return _padded_views(size, flip=0.0)


def _padded_views(size: int, flip: float) -> Views:
    arguments.integer("size", size, 2)
    eighth = size // 8
    crop = RandomPaddedCrop(eighth, fill=128, flip=flip)
    drawn = RandAugment(2, 16, translate_const=eighth, cutout_const=eighth)
    cut = Cutout(size // 2, fill=128)
    return Views(weak=crop, strong=Compose((crop, drawn, cut, crop)))


def imagenet_views(size: int | tuple[int, int] = 224) -> Views:
    """Views of photographs, as published for ImageNet; they change the shape.

    Weak: a box of 8 % to 100 % of the area, resized, and flip. Strong: the
    same, then RandAugment (2 operations, magnitude 17).

    Args:
        size: Height and width of the views in pixels; one number for both. The
            images should be uint8 and a little larger, as 256 is than 224.

    Lengths are the published ones at 224 pixels, and in proportion elsewhere.

    Reference: google-research, meta_pseudo_labels, augment.py.

    Example:
    >>> x = tf.zeros([2, 80, 80, 3], tf.uint8)
    >>> imagenet_views(64).weak(x, [0, 1]).shape
    TensorShape([2, 64, 64, 3])
    """
    crop = RandomResizedCrop(size, flip=0.5)
    share = (min(size) if isinstance(size, tuple) else size) / 224
    drawn = RandAugment(
        2, 17, translate_const=100 * share, cutout_const=40 * share
    )
    return Views(weak=crop, strong=Compose((crop, drawn)))


_NAMED = {
    "cifar": lambda height, width: cifar_views(min(height, width)),
    "svhn": lambda height, width: svhn_views(min(height, width)),
    "imagenet": lambda height, width: imagenet_views((height, width)),
    "digits": lambda height, width: digits_views(scale=255),
    "small_shifts": image_views,
}


def named_views(
    name: Literal["cifar", "svhn", "imagenet", "digits", "small_shifts"],
    height: int,
    width: int,
) -> Views:
    """Views of uint8 images by name.

    Args:
        name: "cifar", "svhn", "imagenet", "digits" or "small_shifts"
            (`image_views`).
        height: Of the views, in pixels; but for "imagenet", of the images too.
        width: Likewise.

    Example:
    >>> named_views("svhn", 32, 32) == svhn_views(32)
    True
    """
    arguments.integer("height", height, 1)
    arguments.integer("width", width, 1)
    arguments.choice("name", name, _NAMED)
    return _NAMED[name](height, width)


def name_of_views(views: Any, height: int, width: int) -> str | None:
    """The name that `named_views` gives views by, or None.

    Args:
        views: `Views`, of uint8 images.
        height: As `named_views` takes it.
        width: Likewise.

    Example:
    >>> name_of_views(svhn_views(32), 32, 32)
    'svhn'
    """
    found = (
        name for name, make in _NAMED.items() if make(height, width) == views
    )
    return next(found, None)


def default_views(x: Any) -> Views | None:
    """Views that fit examples, or None where nothing fits.

    No flip for small images, because it changes the class of letters.

    Args:
        x: An array, or a `datasets.Source`. uint8 images [N, height, width, 1
            or 3] get `imagenet_views` above 64 pixels, `svhn_views` from 32 on,
            `image_views` below; other uint8 and float images `image_views`;
            float features [N, features] `jitter_views` of 0.05 and 0.2 standard
            deviations of each feature.

    Example:
    >>> default_views(np.array([[0.0, 5.0], [2.0, 5.0]])).strong
    GaussianNoise(stddev=(0.2, 0.0))
    """
    if not hasattr(x, "dtype") or x.dtype == object:
        return None
    dtype, shape = tf.as_dtype(x.dtype), getattr(x, "view_shape", x.shape[1:])
    if len(shape) == 3 and (dtype.is_floating or dtype == tf.uint8):
        height, width, channels = shape
        drawn = dtype == tf.uint8 and channels in (1, 3)
        if drawn and min(height, width) > SMALL:
            return imagenet_views((height, width))
        if drawn and min(height, width) >= _SMALLEST_DRAWN:
            return svhn_views(min(height, width))
        return image_views(height, width)
    if len(shape) == 1 and dtype.is_floating and isinstance(x, np.ndarray):
        deviation = x.std(axis=0, dtype=np.float64)
        return jitter_views(0.05 * deviation, 0.2 * deviation)
    return None


def _check_callable(view: Any, argument: str) -> None:
    if isinstance(view, keras.layers.Layer):
        raise ArgumentError(
            argument,
            "be a callable `(x, seed) -> x`; `augment.from_layer(layer)` makes "
            "one of a layer",
            repr(view),
        )
    if not callable(view):
        raise ValueError(
            f"`{argument}` must be a callable `(x, seed) -> x`. "
            f"Received: {argument}={view!r}"
        )
