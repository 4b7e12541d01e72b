"""Pixels and features: random views of a batch of examples.

A view is any callable `(x, seed) -> x` on a batch, with `seed` an integer
tensor of shape [2]. The views here are stateless: the same seed gives the same
values, on any machine, eagerly, in `tf.data` and in a `tf.function`. Every
example of the batch gets random values of its own. Shapes and dtypes are kept;
integer images are computed in float32, rounded and saturated.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from mpl_keras import arguments

View = Callable[[Any, tf.Tensor], Any]


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


def affine(
    x: tf.Tensor,
    shift: tf.Tensor,
    rotation: tf.Tensor,
    zoom: tf.Tensor,
    shear: tf.Tensor,
) -> tf.Tensor:
    """Zooms, shears, rotates and shifts images about their centre.

    Bilinear; what comes from outside an image is 0.

    Args:
        x: Images, [N, height, width, channels].
        shift: [N, 2], pixels (down, right).
        rotation: [N], degrees, counter-clockwise.
        zoom: [N], factors; above 1 enlarges.
        shear: [N]; a pixel moves right by `shear` times its distance below
            the centre.

    Returns:
        Images of the shape and dtype of `x`.

    Example:
    >>> x = tf.constant([[1., 2.], [3., 4.]])[tf.newaxis, :, :, tf.newaxis]
    >>> affine(x, [[1., 0.]], [0.], [1.], [0.])[0, :, :, 0].numpy()
    array([[0., 0.],
           [1., 2.]], dtype=float32)
    """
    x = _images(x, "affine")
    height, width = _size(x)
    center_y, center_x = (height - 1) / 2, (width - 1) / 2
    down, right = tf.unstack(tf.convert_to_tensor(shift, tf.float32), axis=1)
    to_y, to_x = center_y + down, center_x + right
    radians = tf.convert_to_tensor(rotation, tf.float32) * (np.pi / 180)
    # The operation asks where each output pixel comes from: this is the
    # inverse of zoom, then shear, then rotation; y points down.
    yx, yy = tf.sin(radians) / zoom, tf.cos(radians) / zoom
    xx, xy = yy - shear * yx, -yx - shear * yy
    rows = [xx, xy, center_x - xx * to_x - xy * to_y]
    rows += [yx, yy, center_y - yx * to_x - yy * to_y]
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=_to_float(x),
        transforms=tf.stack(rows + [tf.zeros_like(xx)] * 2, axis=1),
        output_shape=tf.shape(x)[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    return _like(moved, x)


@dataclasses.dataclass(frozen=True)
class RandomAffine:
    """Random shift, rotation, zoom and shear of each image; no flip.

    Values are uniform and symmetric about "no change". See `affine`.

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
        return affine(x, values[:, :2], rotation, 1.0 + zoom, shear)


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
        values = _to_float(x)
        factor = _uniform(shape, seed, self.lower, self.upper)
        factor = tf.cast(factor, values.dtype)
        return _like(self.center + factor * (values - self.center), x)


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
        values = _to_float(x)
        noise = tf.random.stateless_normal(tf.shape(x), seed)
        return _like(values + tf.cast(noise * self.stddev, values.dtype), x)


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
        x = _images(x, type(self).__name__)
        values = _uniform([tf.shape(x)[0], 3], seed, 0.0, 1.0)
        row, column, chance = tf.split(values, 3, axis=1)
        height, width = _size(x)
        rows = self._covers(row, height) & (chance < self.probability)
        columns = self._covers(column, width)
        square = rows[:, :, tf.newaxis] & columns[:, tf.newaxis, :]
        return tf.where(square[..., tf.newaxis], tf.cast(self.fill, x.dtype), x)

    def _covers(self, center: tf.Tensor, length: float) -> tf.Tensor:
        """Which of `length` pixels a square covers, [N, length]."""
        start = tf.floor(center * length) - self.size // 2
        pixel = tf.range(length, dtype=tf.float32)
        return (pixel >= start) & (pixel < start + self.size)


def digits_views() -> Views:
    """Views of 8x8 digits in [0, 1], white on black.

    Weak: shift up to 0.6 px, rotation 8 degrees, zoom 8 %. Strong: shift 1 px,
    rotation 17 degrees, zoom and shear 0.15; ink times 0.6 to 1.2; noise 0.06;
    a black 3x3 square half the time. Nothing is clipped: strong views leave
    [0, 1] by a little, and keep the noise of the black ground symmetric.

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
                GaussianNoise(0.06),
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


def default_views(x: Any) -> Views | None:
    """Views that fit an array of examples, or None where nothing fits.

    Args:
        x: Float or uint8 images [N, height, width, channels] get `image_views`;
            float features [N, features] get `jitter_views` of 0.05 and 0.2
            standard deviations of each feature.

    Example:
    >>> default_views(np.array([[0.0, 5.0], [2.0, 5.0]])).strong
    GaussianNoise(stddev=(0.2, 0.0))
    """
    if not isinstance(x, np.ndarray):
        return None
    if x.ndim == 4 and (x.dtype.kind == "f" or x.dtype == np.uint8):
        return image_views(*x.shape[1:3])
    if x.ndim == 2 and x.dtype.kind == "f":
        deviation = x.std(axis=0, dtype=np.float64)
        return jitter_views(0.05 * deviation, 0.2 * deviation)
    return None


def _check_callable(view: Any, argument: str) -> None:
    if not callable(view):
        raise ValueError(
            f"`{argument}` must be a callable `(x, seed) -> x`. "
            f"Received: {argument}={view!r}"
        )


def _uniform(shape, seed, low: float, high: float) -> tf.Tensor:
    return tf.random.stateless_uniform(shape, seed, low, high)


def _images(x: tf.Tensor, name: str) -> tf.Tensor:
    x = tf.convert_to_tensor(x)
    if x.shape.rank != 4:
        raise ValueError(
            f"`x` of {name} must be images of shape [N, height, width, "
            f"channels]. Received: shape={x.shape}"
        )
    return x


def _size(x: tf.Tensor) -> list[Any]:
    """Height and width of images, as floats: numbers where they are known."""
    if x.shape[1:3].is_fully_defined():
        return [float(length) for length in x.shape[1:3]]
    return tf.unstack(tf.cast(tf.shape(x)[1:3], tf.float32))


def _to_float(x: tf.Tensor) -> tf.Tensor:
    return x if x.dtype in (tf.float32, tf.float64) else tf.cast(x, tf.float32)


def _like(values: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """Float `values` with the dtype and static shape of `x`."""
    if x.dtype.is_integer:
        values = tf.saturate_cast(tf.round(values), x.dtype)
    return tf.ensure_shape(tf.cast(values, x.dtype), x.shape)
