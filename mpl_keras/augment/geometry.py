"""Pixels that move: flips, shifts, crops and affine transformations.

Every function takes a batch of images [N, height, width, channels] and
arguments for each of them, and computes all at once.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf


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
    x = as_images(x, "affine")
    height, width = size_of(x)
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
        images=to_float(x),
        transforms=tf.stack(rows + [tf.zeros_like(xx)] * 2, axis=1),
        output_shape=tf.shape(x)[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    return like(moved, x)


def flip(x: tf.Tensor, where: tf.Tensor) -> tf.Tensor:
    """Mirrors left and right in the images that `where`, bool [N], names.

    Example:
    >>> x = tf.constant([[1, 2, 3], [4, 5, 6]])[:, tf.newaxis, :, tf.newaxis]
    >>> flip(x, [True, False])[:, 0, :, 0].numpy()
    array([[3, 2, 1],
           [4, 5, 6]], dtype=int32)
    """
    x = as_images(x, "flip")
    shape = tf.shape(x)
    # With rank 3 and a condition of rank 1, TensorFlow copies pixels and
    # images instead of single values: four times as fast.
    rows = tf.reshape(x, [-1, shape[2], shape[3]])
    mirrored = tf.reshape(tf.reverse(rows, axis=[1]), shape)
    chosen = tf.raw_ops.Select(condition=where, x=mirrored, y=x)
    return tf.ensure_shape(chosen, x.shape)


def shift(
    x: tf.Tensor,
    down: tf.Tensor,
    right: tf.Tensor,
    fill: float = 0,
    mirror: tf.Tensor = False,
) -> tf.Tensor:
    """Shifts images by whole pixels; what comes from outside is `fill`.

    Args:
        x: Images, [N, height, width, channels].
        down: [N], integers, pixels.
        right: [N], integers, pixels.
        fill: The value of empty pixels.
        mirror: Bool, [N] or one for all: mirror left and right before.

    Example:
    >>> x = tf.constant([[1, 2], [3, 4]])[tf.newaxis, :, :, tf.newaxis]
    >>> shift(x, [0], [1], fill=9)[0, :, :, 0].numpy()
    array([[9, 1],
           [9, 3]], dtype=int32)
    """
    x = as_images(x, "shift")
    count, height, width, _ = tf.unstack(tf.shape(x))
    # Whatever is outside along either axis is counted past the last pixel of
    # the batch, and brought back to the one behind it, which is empty.
    outside = count * height * width
    row = tf.range(height) - tf.reshape(down, [-1, 1])
    first = (tf.range(count)[:, tf.newaxis] * height + row) * width
    first = tf.where((row >= 0) & (row < height), first, outside)
    column = tf.range(width) - tf.reshape(right, [-1, 1])
    mirror = tf.reshape(mirror, [-1, 1])
    column = tf.where(mirror, width - 1 - column, column)
    column = tf.where((column >= 0) & (column < width), column, outside)
    index = first[:, :, tf.newaxis] + column[:, tf.newaxis, :]
    return _pixels(x, tf.minimum(index, outside), fill)


def resized_crop(
    x: tf.Tensor,
    box: tf.Tensor,
    size: Sequence[int],
    mirror: tf.Tensor | None = None,
) -> tf.Tensor:
    """Cuts a box out of each image and resizes it, bilinearly.

    As `tf.image.resize`: pixel centres at halves, no smoothing before
    downsampling.

    Args:
        x: Images, [N, height, width, channels].
        box: [N, 4], integers: top, left, height and width in pixels.
        size: Height and width of the result.
        mirror: Bool, [N]: mirror left and right after; None for no image.

    Returns:
        Images [N, *size, channels] of the dtype of `x`.

    Example:
    >>> x = tf.reshape(tf.range(16.), [1, 4, 4, 1])
    >>> resized_crop(x, [[1, 0, 2, 4]], (1, 2))[0, :, :, 0].numpy()
    array([[6.5, 8.5]], dtype=float32)
    """
    x, box = as_images(x, "resized_crop"), tf.convert_to_tensor(box, tf.int32)
    mirror = tf.zeros(tf.shape(x)[:1], tf.bool) if mirror is None else mirror

    # One image at a time: it stays in the CPU's cache, and
    # `tf.image.crop_and_resize` is slower.
    def cut(inputs):
        image, place, mirrored = inputs
        top, left, height, width = tf.unstack(place)
        part = image[top : top + height, left : left + width]
        part = like(tf.image.resize(part, size), x, [*size, x.shape[3]])
        return tf.cond(mirrored, lambda: tf.reverse(part, [1]), lambda: part)

    resized = tf.map_fn(
        cut,
        (x, box, tf.convert_to_tensor(mirror)),
        fn_output_signature=tf.TensorSpec([*size, x.shape[3]], x.dtype),
        parallel_iterations=1,
    )
    # Of no images at all, `tf.map_fn` does not know the shape.
    resized = tf.reshape(resized, [tf.shape(x)[0], *size, tf.shape(x)[3]])
    return tf.ensure_shape(resized, [x.shape[0], *size, x.shape[3]])


def transform(
    x: tf.Tensor, matrix: Sequence[Any], fill: float = 0
) -> tf.Tensor:
    """Any affine transformation, with the nearest pixel.

    As Pillow's `Image.transform(size, AFFINE, matrix, NEAREST)`.

    Args:
        x: Images, [N, height, width, channels].
        matrix: Six numbers or tensors [N], (a, b, c, d, e, f): the point (x, y)
            of the result is at (a x + b y + c, d x + e y + f) in the image. The
            origin is the upper left corner; the centres of pixels are at
            halves.
        fill: The value of what comes from outside.

    Example:
    >>> x = tf.constant([[[[1], [2], [3]]]])
    >>> transform(x, (1, 0, 1, 0, 1, 0), fill=9)[0, 0, :, 0].numpy()
    array([2, 3, 9], dtype=int32)
    """
    x = as_images(x, "transform")
    count, height, width, _ = tf.unstack(tf.shape(x))
    a, b, c, d, e, f = (
        tf.reshape(tf.cast(value, tf.float32), [-1, 1, 1]) for value in matrix
    )
    to_y = tf.range(tf.cast(height, tf.float32))[:, tf.newaxis] + 0.5
    to_x = tf.range(tf.cast(width, tf.float32)) + 0.5
    from_x, from_y = a * to_x + (b * to_y + c), d * to_x + (e * to_y + f)
    inside = (from_x >= 0) & (from_x < tf.cast(width, tf.float32))
    inside &= (from_y >= 0) & (from_y < tf.cast(height, tf.float32))
    row, column = tf.cast(from_y, tf.int32), tf.cast(from_x, tf.int32)
    first = tf.reshape(tf.range(count) * height * width, [-1, 1, 1])
    index = first + row * width + column
    # `inside` has one image where the matrix is numbers alone.
    inside = tf.broadcast_to(inside, tf.shape(index))
    outside = tf.fill(tf.shape(index), count * height * width)
    return _pixels(x, tf.where(inside, index, outside), fill)


def _pixels(x: tf.Tensor, index: tf.Tensor, fill: float) -> tf.Tensor:
    """Pixels by their number in the batch; one past the last is `fill`."""
    channels = tf.shape(x)[3]
    pixels = tf.concat(
        [
            tf.reshape(x, [-1, channels]),
            tf.fill([1, channels], tf.cast(fill, x.dtype)),
        ],
        axis=0,
    )
    return tf.ensure_shape(tf.gather(pixels, index), x.shape)


def as_images(x: Any, name: str, dtype: tf.DType | None = None) -> tf.Tensor:
    """Returns `x` as a tensor of images, or raises for wrong rank or dtype."""
    x = tf.convert_to_tensor(x)
    if x.shape.rank != 4:
        grey = " (grey images: `x[..., None]`)" if x.shape.rank == 3 else ""
        raise ValueError(
            f"`x` of {name} must be images of shape [N, height, width, "
            f"channels]{grey}. Received: shape={x.shape}"
        )
    if dtype is not None and x.dtype != dtype:
        raise ValueError(
            f"`x` of {name} must be {dtype.name}. Received: "
            f"dtype={x.dtype.name}. Float images in [0, 1] are converted by "
            "`tf.image.convert_image_dtype(x, tf.uint8, saturate=True)`."
        )
    return x


def size_of(x: tf.Tensor) -> list[Any]:
    """Height and width of images, as floats: numbers where they are known."""
    if x.shape[1:3].is_fully_defined():
        return [float(length) for length in x.shape[1:3]]
    return tf.unstack(tf.cast(tf.shape(x)[1:3], tf.float32))


def to_float(x: tf.Tensor) -> tf.Tensor:
    """`x` in float32 or float64."""
    return x if x.dtype in (tf.float32, tf.float64) else tf.cast(x, tf.float32)


def like(values: tf.Tensor, x: tf.Tensor, shape: Any = None) -> tf.Tensor:
    """Float `values` with the dtype and static shape of `x`."""
    if x.dtype.is_integer:
        values = tf.saturate_cast(tf.round(values), x.dtype)
    shape = x.shape if shape is None else shape
    return tf.ensure_shape(tf.cast(values, x.dtype), shape)
