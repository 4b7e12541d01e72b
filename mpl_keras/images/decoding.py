"""Image files to pixels with TensorFlow's operations alone.

So a SavedModel can take files as they are. The pixels are those on which was
trained, where Pillow decodes what TensorFlow alone would show otherwise: what
is transparent is on white, and pictures of a phone stand upright.
"""

import tensorflow as tf

_PNG = b"\x89PNG\r\n\x1a\n"
# EXIF stands at the beginning of a JPEG, in a segment of at most this size.
_HEAD = 1 << 17
_TAG = 0x0112  # EXIF's "Orientation"


def decode(contents: tf.Tensor, channels: int) -> tf.Tensor:
    """Decodes a PNG or JPEG file, in graphs without Python too.

    Args:
        contents: All bytes of the file, a string scalar.
        channels: 1 or 3.

    Returns:
        uint8, shape [height, width, channels].

    Raises:
        tf.errors.InvalidArgumentError: When it runs, if the file is another
            or damaged.

    Example:
    >>> png = tf.io.encode_png(tf.zeros([4, 5, 3], tf.uint8))
    >>> decode(png, channels=1).shape
    TensorShape([4, 5, 1])
    """
    image = tf.cond(
        tf.strings.substr(contents, 0, len(_PNG)) == _PNG,
        lambda: _decode_png(contents, channels),
        lambda: _upright(_decode_jpeg(contents, channels), contents),
    )
    return tf.ensure_shape(image, (None, None, channels))


def _decode_jpeg(contents, channels):
    return tf.io.decode_jpeg(contents, channels, dct_method="INTEGER_ACCURATE")


def _decode_png(contents, channels):
    """What is transparent, on white."""
    pixels = tf.cast(tf.io.decode_png(contents, 4), tf.int32)
    colors, alpha = pixels[..., :3], pixels[..., 3:]
    # To pixels of less than 8 bits without alpha TensorFlow adds one of as
    # many bits.
    bits = _numbers(tf.strings.substr(contents, 24, 1))[0]
    added = tf.where(bits < 8, tf.bitwise.left_shift(1, bits) - 1, 255)

    def opaque():
        if channels == 3:
            return colors
        return tf.cast(tf.io.decode_png(contents, 1), tf.int32)

    def on_white():
        mixed = (colors * alpha + 255 * (255 - alpha) + 127) // 255
        if channels == 3:
            return mixed
        # Grey as Pillow makes it, of ITU-R 601-2.
        red, green, blue = tf.split(mixed, 3, axis=-1)
        return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) // 65536

    image = tf.cond(
        tf.reduce_all(alpha == 255) | tf.reduce_all(alpha == added),
        opaque,
        on_white,
    )
    return tf.cast(image, tf.uint8)


def _numbers(contents):
    """Bytes as int32."""
    return tf.cast(tf.io.decode_raw(contents, tf.uint8), tf.int32)


def _upright(image, contents):
    """Turns and mirrors a picture as its EXIF says."""
    turn = orientation(contents)
    image = tf.cond(
        turn >= 5, lambda: tf.transpose(image, (1, 0, 2)), lambda: image
    )
    for axis, when in ((1, (2, 3, 6, 7)), (0, (3, 4, 7, 8))):
        mirrored = tf.reduce_any(turn == when)
        image = tf.cond(
            mirrored,
            lambda image=image, axis=axis: tf.reverse(image, (axis,)),
            lambda image=image: image,
        )
    return image


def orientation(contents: tf.Tensor) -> tf.Tensor:
    """EXIF's orientation of a JPEG file: 1 to 8, 1 where it says nothing.

    Args:
        contents: All bytes of the file, a string scalar.

    Returns:
        An int32 scalar. 2 is mirrored, 3 upside down, 6 to be turned right, 8
        to be turned left, 4, 5 and 7 mirrored too.

    Reference:
    [CIPA DC-008, Exif 3.0, 4.6.5.1](https://www.cipa.jp/std/documents/)

    Example:
    >>> jpeg = tf.io.encode_jpeg(tf.zeros([8, 8, 3], tf.uint8))
    >>> int(orientation(jpeg))
    1
    """
    # Whatever a damaged file points to is zeros.
    head = _numbers(tf.strings.substr(contents, 0, _HEAD))
    data = tf.concat([head, tf.zeros([2], tf.int32)], 0)
    last = tf.size(data) - 1

    def number(at, count, little=False):
        places = tf.minimum(tf.maximum(at, 0) + tf.range(count), last)
        powers = tf.range(count) if little else count - 1 - tf.range(count)
        return tf.reduce_sum(
            tf.bitwise.left_shift(tf.gather(data, places), 8 * powers)
        )

    def is_other(at):
        """Whether a segment that is not EXIF's begins here."""
        marker = number(at, 2)
        exif = (marker == 0xFFE1) & (number(at + 4, 4) == 0x45786966)
        # EXIF's is among the application's segments, which come first.
        return (marker // 16 == 0xFFE) & ~exif & (at < last)

    (start,) = tf.while_loop(
        is_other, lambda at: (at + 2 + number(at + 2, 2),), (2,)
    )
    found = (number(start, 2) == 0xFFE1) & (number(start + 4, 4) == 0x45786966)
    tiff = start + 10
    little = number(tiff, 2) == 0x4949
    return tf.cond(
        found,
        lambda: tf.cond(
            little,
            lambda: _in_directory(tiff, lambda at, n: number(at, n, True)),
            lambda: _in_directory(tiff, number),
        ),
        lambda: 1,
    )


def _in_directory(tiff, number):
    """The orientation that the first directory of TIFF tags holds, or 1."""
    start = tiff + number(tiff + 4, 4)
    count = tf.minimum(number(start, 2), 512)

    def is_other(index):
        return (index < count) & (number(start + 2 + 12 * index, 2) != _TAG)

    (index,) = tf.while_loop(is_other, lambda index: (index + 1,), (0,))
    value = number(start + 2 + 12 * index + 8, 2)
    known = (index < count) & (value >= 1) & (value <= 8)
    return tf.where(known, value, 1)
