"""RandAugment's pool of operations, each on a batch of images at once.

Every operation takes uint8 images [N, height, width, channels] and returns such
images. An argument is a number, or a tensor [N] with one for each image. They
mean what Pillow's functions of these names mean. Where the code released with
Meta Pseudo Labels ("official code": google-research, meta_pseudo_labels,
augment.py) differs from Pillow, the operation says so.
"""

import numpy as np
import tensorflow as tf

from mpl_keras.augment import geometry

# Where pixels move; empty ones get `fill`.


def rotate(x: tf.Tensor, degrees: tf.Tensor, fill: float = 128) -> tf.Tensor:
    """Rotates about the centre, counter-clockwise; the nearest pixel.

    As Pillow's `Image.rotate`.

    Example:
    >>> x = tf.constant([[1, 2], [3, 4]], tf.uint8)[tf.newaxis, ..., tf.newaxis]
    >>> rotate(x, 90)[0, :, :, 0].numpy()
    array([[2, 4],
           [1, 3]], dtype=uint8)
    """
    x = geometry.as_images(x, "rotate", tf.uint8)
    matrix = rotation_matrix(degrees, *geometry.size_of(x))
    return geometry.transform(x, matrix, fill)


def rotation_matrix(degrees, height, width) -> tuple[tf.Tensor, ...]:
    """Of a rotation about the centre, for `geometry.transform`."""
    radians = tf.cast(degrees, tf.float32) * (np.pi / 180)
    cos, sin = tf.cos(radians), tf.sin(radians)
    y, x = height / 2, width / 2
    return cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y


def shear_x(x: tf.Tensor, shear: tf.Tensor, fill: float = 128) -> tf.Tensor:
    """Shows at (x, y) what was at (x + shear · y, y).

    The upper edge stays, as with the matrix (1, shear, 0, 0, 1, 0) in Pillow.
    In the official code the centres of the first row stay, which makes a
    difference of half a pixel times `shear`.

    Example:
    >>> x = tf.constant([[1, 2], [3, 4]], tf.uint8)[tf.newaxis, ..., tf.newaxis]
    >>> shear_x(x, 0.8)[0, :, :, 0].numpy()
    array([[  1,   2],
           [  4, 128]], dtype=uint8)
    """
    return _transform(x, "shear_x", (1, shear, 0, 0, 1, 0), fill)


def shear_y(x: tf.Tensor, shear: tf.Tensor, fill: float = 128) -> tf.Tensor:
    """Shows at (x, y) what was at (x, y + shear · x). See `shear_x`.

    Example:
    >>> x = tf.constant([[1, 2], [3, 4]], tf.uint8)[tf.newaxis, ..., tf.newaxis]
    >>> shear_y(x, 0.8)[0, :, :, 0].numpy()
    array([[  1,   4],
           [  3, 128]], dtype=uint8)
    """
    return _transform(x, "shear_y", (1, 0, 0, shear, 1, 0), fill)


def translate_x(
    x: tf.Tensor, pixels: tf.Tensor, fill: float = 128
) -> tf.Tensor:
    """Shows at (x, y) what was at (x + pixels, y); the nearest pixel.

    Example:
    >>> x = tf.constant([[[[1], [2], [3]]]], tf.uint8)
    >>> translate_x(x, -1.4)[0, 0, :, 0].numpy()
    array([128,   1,   2], dtype=uint8)
    """
    return _transform(x, "translate_x", (1, 0, pixels, 0, 1, 0), fill)


def translate_y(
    x: tf.Tensor, pixels: tf.Tensor, fill: float = 128
) -> tf.Tensor:
    """Shows at (x, y) what was at (x, y + pixels); the nearest pixel.

    Example:
    >>> x = tf.constant([[[[1]], [[2]], [[3]]]], tf.uint8)
    >>> translate_y(x, 1)[0, :, 0, 0].numpy()
    array([  2,   3, 128], dtype=uint8)
    """
    return _transform(x, "translate_y", (1, 0, 0, 0, 1, pixels), fill)


def _transform(x: tf.Tensor, name: str, matrix, fill: float) -> tf.Tensor:
    x = geometry.as_images(x, name, tf.uint8)
    return geometry.transform(x, matrix, fill)


def cutout(
    x: tf.Tensor,
    row: tf.Tensor,
    column: tf.Tensor,
    size: tf.Tensor,
    fill: float = 128,
) -> tf.Tensor:
    """Fills a square of each image.

    It covers rows `row - size // 2` to `row - size // 2 + size - 1`, and
    columns likewise, as far as they lie in the image.

    Args:
        x: Images, [N, height, width, channels], of any dtype.
        row: Of the square's centre.
        column: Of the square's centre.
        size: Side in pixels; 0 for none.
        fill: The value it is filled with.

    Example:
    >>> cutout(tf.ones([1, 1, 4, 1]), 0, 2, 2, fill=7)[0, 0, :, 0].numpy()
    array([1., 7., 7., 1.], dtype=float32)
    """
    x = geometry.as_images(x, "cutout")
    shape = tf.shape(x)
    rows = _covered(row, size, shape[1])
    # Columns once for each channel, and the innermost axes as one: a mask that
    # is broadcast over three channels is four times as slow.
    columns = tf.repeat(_covered(column, size, shape[2]), shape[3], axis=1)
    square = rows[:, :, tf.newaxis] & columns[:, tf.newaxis, :]
    flat = tf.reshape(x, [shape[0], shape[1], -1])
    square = tf.broadcast_to(square, tf.shape(flat))
    filled = tf.where(
        square, tf.fill(tf.shape(flat), tf.cast(fill, x.dtype)), flat
    )
    return tf.ensure_shape(tf.reshape(filled, shape), x.shape)


def _covered(center, size, length) -> tf.Tensor:
    """Which of `length` pixels a square covers, [N or 1, length]."""
    center, size = (
        tf.reshape(tf.cast(value, tf.int32), [-1, 1])
        for value in (center, size)
    )
    pixel = tf.range(length) - (center - size // 2)
    return (pixel >= 0) & (pixel < size)


# Where pixels stay:


def autocontrast(x: tf.Tensor) -> tf.Tensor:
    """Stretches each channel of each image to [0, 255].

    A channel of one value stays. As Pillow's `ImageOps.autocontrast`.

    Example:
    >>> x = tf.constant([100, 110, 120], tf.uint8)[tf.newaxis, tf.newaxis, :]
    >>> autocontrast(x[..., tf.newaxis])[0, 0, :, 0].numpy()
    array([  0, 127, 255], dtype=uint8)
    """
    x = geometry.as_images(x, "autocontrast", tf.uint8)
    low, high = (
        tf.cast(reduce(x, axis=[1, 2], keepdims=True), tf.float32)
        for reduce in (tf.reduce_min, tf.reduce_max)
    )
    flat = low == high
    low, high = tf.where(flat, 0.0, low), tf.where(flat, 255.0, high)
    # In this order whole numbers stay exact, and are not truncated to less.
    stretched = (tf.cast(x, tf.float32) - low) * 255 / (high - low)
    return tf.cast(stretched, tf.uint8)


def equalize(x: tf.Tensor) -> tf.Tensor:
    """Makes the histogram of each channel of each image as flat as it can.

    As Pillow's `ImageOps.equalize`.

    Example:
    >>> x = tf.reshape(tf.range(1024) // 256, [1, 32, 32, 1])
    >>> equalize(tf.cast(x, tf.uint8))[0, ::8, 0, 0].numpy()
    array([  0,  85, 171, 255], dtype=uint8)
    """
    x = geometry.as_images(x, "equalize", tf.uint8)
    count, height, width, channels = tf.unstack(tf.shape(x))
    # A table of 256 entries for each channel of each image, one after another.
    tables = count * channels
    first = tf.reshape(256 * tf.range(tables), [count, 1, 1, channels])
    index = tf.reshape(tf.cast(x, tf.int32) + first, [-1])
    histogram = tf.raw_ops.DenseBincount(
        input=index, size=256 * tables, weights=tf.zeros([0], tf.int32)
    )
    histogram = tf.reshape(histogram, [tables, 256])
    brightest = tf.reduce_max(tf.range(256) * tf.sign(histogram), axis=1)
    last = tf.gather(histogram, brightest, batch_dims=1)
    step = ((height * width - last) // 255)[:, tf.newaxis]
    below = tf.cumsum(histogram, axis=1, exclusive=True)
    table = (step // 2 + below) // tf.maximum(step, 1)
    # Pillow leaves an image alone that has too few pixels, or one value.
    table = tf.where(step > 0, tf.minimum(table, 255), tf.range(256))
    table = tf.cast(tf.reshape(table, [-1]), tf.uint8)
    return tf.ensure_shape(
        tf.reshape(tf.gather(table, index), tf.shape(x)), x.shape
    )


def invert(x: tf.Tensor) -> tf.Tensor:
    """255 minus each value. As Pillow's `ImageOps.invert`.

    Example:
    >>> invert(tf.constant([[[[0], [200]]]], tf.uint8))[0, 0, :, 0].numpy()
    array([255,  55], dtype=uint8)
    """
    return tf.bitwise.invert(geometry.as_images(x, "invert", tf.uint8))


def posterize(x: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
    """Keeps the highest `bits` bits of each value, 0 to 8.

    As Pillow's `ImageOps.posterize`.

    Example:
    >>> x = tf.constant([[[[63], [64], [255]]]], tf.uint8)
    >>> posterize(x, 2)[0, 0, :, 0].numpy()
    array([  0,  64, 192], dtype=uint8)
    """
    x = geometry.as_images(x, "posterize", tf.uint8)
    mask = tf.bitwise.left_shift(255, 8 - tf.cast(bits, tf.int32))
    mask = tf.cast(tf.bitwise.bitwise_and(mask, 255), tf.uint8)
    return tf.bitwise.bitwise_and(x, tf.reshape(mask, [-1, 1, 1, 1]))


def solarize(x: tf.Tensor, threshold: tf.Tensor) -> tf.Tensor:
    """Inverts the values that are at least `threshold`.

    As Pillow's `ImageOps.solarize`. The official code casts a threshold above
    255 to uint8, so that it wraps; `RandAugment` passes what comes of it.

    Example:
    >>> x = tf.constant([[[[99], [100], [255]]]], tf.uint8)
    >>> solarize(x, 100)[0, 0, :, 0].numpy()
    array([ 99, 155,   0], dtype=uint8)
    """
    x = geometry.as_images(x, "solarize", tf.uint8)
    threshold = tf.reshape(tf.cast(threshold, tf.int32), [-1, 1, 1, 1])
    high = tf.cast(tf.cast(x, tf.int32) >= threshold, tf.uint8)
    # To invert is XOR with 255; faster than `tf.where`.
    return tf.bitwise.bitwise_xor(x, 255 * high)


def color(x: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Scales each pixel's distance from its own grey by `factor`.

    As Pillow's `ImageEnhance.Color`; images of one channel stay. In this and
    the next three operations, a result outside of [0, 255] is clipped. The
    official code clips [0, 1] to [0, 255] by mistake, and such values wrap.

    Example:
    >>> color(tf.constant([[[[100, 0, 0]]]], tf.uint8), 0)[0, 0, 0].numpy()
    array([30, 30, 30], dtype=uint8)
    """
    x = geometry.as_images(x, "color", tf.uint8)
    return x if _channels(x, "color") == 1 else _blend(_grey(x), x, factor)


def contrast(x: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Scales the distance from the image's mean grey by `factor`.

    As Pillow's `ImageEnhance.Contrast`. The official code takes the number of
    pixels divided by 256, at most 255, for the mean grey: 4 at 32x32, 196 at
    224x224.

    Example:
    >>> x = tf.constant([[[[100], [120]]]], tf.uint8)
    >>> contrast(x, 2)[0, 0, :, 0].numpy()
    array([ 90, 130], dtype=uint8)
    """
    x = geometry.as_images(x, "contrast", tf.uint8)
    mean = tf.reduce_mean(_grey(x), axis=[1, 2], keepdims=True)
    return _blend(tf.floor(mean + 0.5), x, factor)


def brightness(x: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Scales each value by `factor`. As Pillow's `ImageEnhance.Brightness`.

    Example:
    >>> x = tf.constant([[[[100], [120]]]], tf.uint8)
    >>> brightness(x, 2.5)[0, 0, :, 0].numpy()
    array([250, 255], dtype=uint8)
    """
    x = geometry.as_images(x, "brightness", tf.uint8)
    return _blend(0.0, x, factor)


def sharpness(x: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Scales the distance from a smoothed image by `factor`.

    Smoothed with a 3x3 kernel whose centre weighs 5 and the others 1; pixels
    at the border stay. As Pillow's `ImageEnhance.Sharpness`.

    Example:
    >>> x = tf.constant([[0, 0, 0], [0, 130, 0], [0, 0, 0]], tf.uint8)
    >>> sharpness(x[tf.newaxis, :, :, tf.newaxis], 0.5)[0, 1, :, 0].numpy()
    array([ 0, 90,  0], dtype=uint8)
    """
    x = geometry.as_images(x, "sharpness", tf.uint8)
    values = tf.cast(x, tf.float32)
    total = values[:, :-2] + values[:, 1:-1] + values[:, 2:]
    total = total[:, :, :-2] + total[:, :, 1:-1] + total[:, :, 2:]
    inside = values[:, 1:-1, 1:-1]
    smooth = tf.floor((total + 4 * inside) / 13 + 0.5)
    inside = _blend(smooth, inside, factor)
    # Slices that are right, that is empty, for one or two rows or columns too.
    left, right = x[:, 1:-1, :1], x[:, 1:-1, 1:][:, :, -1:]
    middle = tf.concat([left, inside, right], axis=2)
    sharp = tf.concat([x[:, :1], middle, x[:, 1:][:, -1:]], axis=1)
    return tf.ensure_shape(sharp, x.shape)


def _blend(base: tf.Tensor, x: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """`base + factor * (x - base)`, clipped and truncated, as Pillow does."""
    factor = tf.reshape(tf.cast(factor, tf.float32), [-1, 1, 1, 1])
    values = base + factor * (tf.cast(x, tf.float32) - base)
    return tf.cast(tf.clip_by_value(values, 0.0, 255.0), tf.uint8)


def _grey(x: tf.Tensor) -> tf.Tensor:
    """ITU-R 601-2 luma, rounded as Pillow does, float [N, height, width, 1]."""
    if _channels(x, "contrast") == 1:
        return tf.cast(x, tf.float32)
    red, green, blue = tf.unstack(tf.cast(x, tf.float32), axis=3)
    # Whole numbers below 2**24, so that float32 is exact.
    luma = 19595.0 * red + 38470.0 * green + 7471.0 * blue
    return tf.floor((luma + 32768.0) / 65536.0)[..., tf.newaxis]


def _channels(x: tf.Tensor, name: str) -> int:
    if x.shape[3] not in (1, 3):
        raise ValueError(
            f"`x` of {name} must have 1 or 3 channels. "
            f"Received: shape={x.shape}"
        )
    return x.shape[3]
