"""Random pieces of views: what `mpl_keras.augment` composes.

A piece is a callable `(x, seed) -> x` on a batch, stateless: the random values
of the example at a position depend on the seed and the position alone.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from mpl_keras.augment import geometry, operations
from mpl_keras.checks import arguments


@dataclasses.dataclass(frozen=True)
class RandomAffine:
    """Random shift, rotation, zoom and shear of each image; no flip.

    Values are uniform and symmetric about "no change". See
    `mpl_keras.geometry.affine`.

    Args:
        shift: Largest shift in pixels, along each axis.
        rotation: Largest rotation in degrees, either way.
        zoom: Factors are in [1 - zoom, 1 + zoom]; in [0, 1).
        shear: Largest shear, either way.

    Example:
    >>> view = RandomAffine(shift=1.0, rotation=15, zoom=0.1)
    >>> view(tf.zeros([2, 8, 8, 1], tf.uint8), [0, 1]).dtype
    tf.uint8
    """

    shift: float = 0.0
    rotation: float = 0.0
    zoom: float = 0.0
    shear: float = 0.0

    def __post_init__(self):
        """Raises for values out of range."""
        arguments.number("shift", self.shift, 0)
        arguments.number("rotation", self.rotation, 0, 180.0)
        arguments.number("zoom", self.zoom, 0, 0.99)
        arguments.number("shear", self.shear, 0)

    def __call__(self, x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Images [N, height, width, channels], each moved in its own way."""
        x = tf.convert_to_tensor(x)
        limits = [self.shift, self.shift, self.rotation, self.zoom, self.shear]
        values = _uniform([tf.shape(x)[0], 5], seed, -1.0, 1.0) * limits
        _, _, rotation, zoom, shear = tf.unstack(values, axis=1)
        return geometry.affine(x, values[:, :2], rotation, 1.0 + zoom, shear)


@dataclasses.dataclass(frozen=True)
class RandomContrast:
    """Scales each example's distance from `center` by a random factor.

    The result is not clipped.

    Args:
        lower: Smallest factor, at least 0.
        upper: Largest factor.
        center: The value that stays: 0 scales the ink of an image on black;
            128 suits photographs in [0, 255].

    Example:
    >>> view = RandomContrast(0.5, 0.5, center=1.0)
    >>> view(tf.constant([[3.0, 1.0]]), [0, 1]).numpy()
    array([[2., 1.]], dtype=float32)
    """

    lower: float
    upper: float
    center: float = 0.0

    def __post_init__(self):
        """Raises for values out of range."""
        arguments.number("lower", self.lower, 0)
        arguments.number("upper", self.upper, self.lower)
        arguments.number("center", self.center)

    def __call__(self, x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Examples [N, ...], each with a factor of its own."""
        x = tf.convert_to_tensor(x)
        shape = [tf.shape(x)[0]] + [1] * (x.shape.rank - 1)
        values = geometry.to_float(x)
        factor = _uniform(shape, seed, self.lower, self.upper)
        factor = tf.cast(factor, values.dtype)
        return geometry.like(self.center + factor * (values - self.center), x)


@dataclasses.dataclass(frozen=True)
class GaussianNoise:
    """Adds Gaussian noise to every value; the result is not clipped.

    Args:
        stddev: Standard deviation, a number, or one for each feature (of the
            last axis).

    Example:
    >>> view = GaussianNoise(stddev=[0.0, 1.0])
    >>> view(tf.ones([3, 2]), [0, 1])[:, 0].numpy()
    array([1., 1., 1.], dtype=float32)
    """

    stddev: float | Sequence[float]

    def __post_init__(self):
        """Raises unless finite, at least 0, and of rank 0 or 1."""
        values = np.asarray(self.stddev)
        kind = values.dtype.kind in "fiu" and values.ndim < 2
        if not kind or not np.isfinite(values).all() or (values < 0).any():
            raise ValueError(
                "`stddev` must be a number >= 0, or one for each feature. "
                f"Received: stddev={self.stddev!r}"
            )
        # Plain numbers, so that equal views compare as equal.
        plain = values.astype(float).tolist()
        plain = tuple(plain) if values.ndim else plain
        object.__setattr__(self, "stddev", plain)

    def __call__(self, x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Examples [N, ...], with noise."""
        x = tf.convert_to_tensor(x)
        values = geometry.to_float(x)
        noise = tf.random.stateless_normal(tf.shape(x), seed)
        return geometry.like(
            values + tf.cast(noise * self.stddev, values.dtype), x
        )


@dataclasses.dataclass(frozen=True)
class Cutout:
    """Fills a square of each image, or of a random part of them.

    The centre is uniform over the pixels, so the square may reach over the
    border (DeVries and Taylor, arXiv 1708.04552).

    Args:
        size: Side of the square in pixels.
        probability: Share of the images that get one.
        fill: The value it is filled with.

    Example:
    >>> Cutout(size=9)(tf.ones([1, 4, 4, 1]), [0, 1])[0, 1, 2].numpy()
    array([0.], dtype=float32)
    """

    size: int
    probability: float = 1.0
    fill: float = 0.0

    def __post_init__(self):
        """Raises for values out of range."""
        arguments.integer("size", self.size, 1)
        arguments.number("probability", self.probability, 0, 1.0)
        arguments.number("fill", self.fill)

    def __call__(self, x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Images [N, height, width, channels], some of them cut."""
        x = geometry.as_images(x, type(self).__name__)
        values = _uniform([tf.shape(x)[0], 3], seed, 0.0, 1.0)
        row, column, chance = tf.unstack(values, axis=1)
        height, width = geometry.size_of(x)
        return operations.cutout(
            x,
            tf.floor(row * height),
            tf.floor(column * width),
            tf.where(chance < self.probability, self.size, 0),
            self.fill,
        )


@dataclasses.dataclass(frozen=True)
class RandomFlip:
    """Mirrors left and right in a random part of the images.

    Not for digits, letters or anything else whose class a mirror changes.

    Args:
        probability: Share of the images that are mirrored.

    Example:
    >>> x = tf.constant([[[[1.0], [2.0]]]])
    >>> RandomFlip(probability=1.0)(x, [0, 1])[0, 0, :, 0].numpy()
    array([2., 1.], dtype=float32)
    """

    probability: float = 0.5

    def __post_init__(self):
        """Raises for values out of range."""
        arguments.number("probability", self.probability, 0, 1.0)

    def __call__(self, x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Images [N, height, width, channels], some of them mirrored."""
        x = geometry.as_images(x, type(self).__name__)
        chance = _uniform([tf.shape(x)[0]], seed, 0.0, 1.0)
        return geometry.flip(x, chance < self.probability)


@dataclasses.dataclass(frozen=True)
class RandomPaddedCrop:
    """Pads each image on all sides, then cuts out one of its size.

    In other words, a shift by whole pixels, uniform in [-padding, padding]
    along each axis.

    Args:
        padding: Pixels on each side.
        fill: The value of the padding; 128 is grey for uint8 images.
        flip: Share of the images that are mirrored too; faster than a
            `RandomFlip` before.

    Example:
    >>> view = RandomPaddedCrop(padding=4, fill=128, flip=0.5)
    >>> view(tf.zeros([2, 32, 32, 3], tf.uint8), [0, 1]).shape
    TensorShape([2, 32, 32, 3])
    """

    padding: int
    fill: float = 0.0
    flip: float = 0.0

    def __post_init__(self):
        """Raises for values out of range."""
        arguments.integer("padding", self.padding, 0)
        arguments.number("fill", self.fill)
        arguments.number("flip", self.flip, 0, 1.0)

    def __call__(self, x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Images [N, height, width, channels], each shifted."""
        x = geometry.as_images(x, type(self).__name__)
        values = _uniform([tf.shape(x)[0], 3], seed, 0.0, 1.0)
        pixels = tf.floor(values[:, :2] * (2 * self.padding + 1))
        pixels = tf.cast(pixels, tf.int32) - self.padding
        mirror = values[:, 2] < self.flip
        return geometry.shift(x, pixels[:, 0], pixels[:, 1], self.fill, mirror)


@dataclasses.dataclass(frozen=True)
class RandomResizedCrop:
    """Cuts a box of random area, shape and place out of each image.

    The box is resized to one size, bilinearly. Areas are uniform, logarithms
    of aspects too (Szegedy et al., arXiv 1409.4842). Of ten boxes, an image
    gets the first that fits into it; if none does, the largest one in its
    middle with an aspect in the range.

    Args:
        size: Height and width of the result in pixels; one number for both.
        area: Smallest and largest share of the image's area.
        aspect: Smallest and largest ratio of width to height.
        flip: Share of the images that are mirrored too; faster than a
            `RandomFlip` after.

    Example:
    >>> view = RandomResizedCrop(224, flip=0.5)
    >>> view(tf.zeros([2, 256, 256, 3], tf.uint8), [0, 1]).shape
    TensorShape([2, 224, 224, 3])
    """

    size: int | tuple[int, int]
    area: tuple[float, float] = (0.08, 1.0)
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.0

    def __post_init__(self):
        """Raises for values out of range."""
        size = self.size
        size = size if isinstance(size, (tuple, list)) else (size, size)
        for name, pair in (
            ("size", size),
            ("area", self.area),
            ("aspect", self.aspect),
        ):
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                raise ValueError(
                    f"`{name}` must be two numbers. Received: {name}={pair!r}"
                )
            object.__setattr__(self, name, tuple(pair))
        for length in size:
            arguments.integer("size", length, 1)
        for name, most in (("area", 1.0), ("aspect", None)):
            low, high = getattr(self, name)
            arguments.number(f"{name}[0]", low, above=0)
            arguments.number(f"{name}[1]", high, low, most)
        arguments.number("flip", self.flip, 0, 1.0)

    def __call__(self, x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Images [N, height, width, channels] as [N, *size, channels]."""
        x = geometry.as_images(x, type(self).__name__)
        count, height, width, _ = tf.unstack(tf.shape(x))
        for_boxes, for_flips = tf.unstack(tf.random.split(seed))
        return geometry.resized_crop(
            x,
            self.boxes(count, height, width, for_boxes),
            self.size,
            _uniform([count], for_flips, 0.0, 1.0) < self.flip,
        )

    def boxes(
        self, count: Any, height: Any, width: Any, seed: tf.Tensor
    ) -> tf.Tensor:
        """Random boxes [count, 4]: top, left, height, width in pixels."""
        tall, wide = tf.cast(height, tf.float32), tf.cast(width, tf.float32)
        values = tf.unstack(_uniform([count, 10, 4], seed, 0.0, 1.0), axis=2)
        area = self.area[0] + values[0] * (self.area[1] - self.area[0])
        low, high = np.log(self.aspect)
        root = tf.exp((low + values[1] * (high - low)) / 2)
        side = tf.sqrt(area * tall * wide)
        sides = tf.round(tf.stack([side / root, side * root], axis=2))
        sides = tf.maximum(sides, 1)
        fits = tf.reduce_all(sides <= [tall, wide], axis=2)
        first = tf.argmax(fits, axis=1)
        middle = tf.stack(
            [
                tf.minimum(tall, wide / self.aspect[0]),
                tf.minimum(wide, tall * self.aspect[1]),
            ]
        )
        chosen = tf.where(
            tf.reduce_any(fits, axis=1, keepdims=True),
            tf.gather(sides, first, batch_dims=1),
            tf.maximum(tf.round(middle), 1),
        )
        places = tf.gather(tf.stack(values[2:], 2), first, batch_dims=1)
        places = tf.where(tf.reduce_any(fits, 1, True), places, 0.5)
        corner = tf.floor(places * ([tall, wide] - chosen + 1))
        return tf.cast(tf.concat([corner, chosen], axis=1), tf.int32)


def _uniform(shape, seed, low: float, high: float) -> tf.Tensor:
    return tf.random.stateless_uniform(shape, seed, low, high)
