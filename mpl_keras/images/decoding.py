"""Image files to pixels with TensorFlow's operations alone.

So a SavedModel can take files as they are. The pixels are those on which was
trained, where Pillow decodes what TensorFlow alone would show otherwise: what
is transparent is on white, and pictures of a phone stand upright.
"""

from typing import Any

import tensorflow as tf

from mpl_keras.images.reading import GIF, JPEG, MAX_PIXELS, PNG, gif_size

# Rows that are put on white at once, so that wider numbers take little memory.
_STRIP = 1 << 20  # pixels
# EXIF stands at the beginning of a JPEG, in a segment of at most this size.
_HEAD = 1 << 17
_KNOWS_WEBP = hasattr(tf.image, "decode_webp")  # not every TensorFlow does
_TAG = 0x0112  # EXIF's "Orientation"


def decode(
    contents: tf.Tensor, channels: int, max_pixels: int = MAX_PIXELS
) -> tf.Tensor:
    """Decodes a PNG, JPEG or WEBP file, in graphs without Python too.

    An animated WEBP is refused: TensorFlow's operation for it may end the
    process.

    Args:
        contents: All bytes of the file, a string scalar.
        channels: 1 or 3.
        max_pixels: Of the picture; what has more is not decoded.

    Returns:
        uint8, shape [height, width, channels].

    Raises:
        tf.errors.InvalidArgumentError: When it runs, if the file is another
            or damaged, or has too many pixels.

    Example:
    >>> png = tf.io.encode_png(tf.zeros([4, 5, 3], tf.uint8))
    >>> decode(png, channels=1).shape
    TensorShape([4, 5, 1])
    """
    is_png = tf.strings.substr(contents, 0, len(PNG)) == PNG
    is_jpeg = tf.strings.substr(contents, 0, len(JPEG)) == JPEG
    is_webp = _is_webp(contents)
    known = tf.debugging.Assert(
        is_png | is_jpeg | is_webp,
        ["The file is neither PNG nor JPEG nor a still WEBP."],
    )

    def of_jpeg():
        return _upright(_decode_jpeg(contents, channels, max_pixels), contents)

    def of_others():
        if not _KNOWS_WEBP:
            return of_jpeg()
        return tf.cond(
            is_webp,
            lambda: _decode_webp(contents, channels, max_pixels),
            of_jpeg,
        )

    with _after(known):
        image = tf.cond(
            is_png,
            lambda: _decode_png(contents, channels, max_pixels),
            of_others,
        )
    return tf.ensure_shape(image, (None, None, channels))


def _after(check):
    """What follows waits for a check; eagerly it was done already."""
    return tf.control_dependencies([] if check is None else [check])


def check_size(contents: tf.Tensor, max_pixels: int) -> Any:
    """An assertion about the pixels of a PNG, JPEG or GIF, none decoded.

    The frames of a GIF are counted in Python.

    Args:
        contents: All bytes of the file, a string scalar.
        max_pixels: How many the picture may have.

    Returns:
        What is to be waited for, in a graph; None eagerly.

    Raises:
        tf.errors.InvalidArgumentError: When it runs: there are more, or the
            file is of another format.

    Example:
    >>> png = tf.io.encode_png(tf.zeros([4, 5, 3], tf.uint8))
    >>> check_size(png, max_pixels=20)
    """

    def of_png():
        height, width, head = _png_size(contents)
        with _after(_check_head(head)):
            return tf.stack([height, width])

    def of_jpeg():
        return tf.cast(tf.io.extract_jpeg_shape(contents)[:2], tf.int64)

    def of_gif():
        size = tf.py_function(
            lambda data: tf.constant(gif_size(data.numpy()), tf.int64),
            [contents],
            tf.int64,
        )
        return tf.ensure_shape(size, [2])

    def of_others():
        return tf.fill([2], tf.int64.max)

    begins = {
        begin: tf.strings.substr(contents, 0, len(begin)) == begin
        for begin in (PNG, JPEG, GIF)
    }
    known = tf.debugging.Assert(
        tf.reduce_any(list(begins.values())),
        ["The file is neither PNG nor JPEG nor GIF."],
    )
    with _after(known):
        height, width = tf.unstack(
            tf.case(
                [
                    (begins[PNG], of_png),
                    (begins[JPEG], of_jpeg),
                    (begins[GIF], of_gif),
                ],
                of_others,
            )
        )
    return _check_pixels(height, width, max_pixels)


def _png_size(contents):
    """Height and width of a PNG, and the 26 numbers in which they stand."""
    head = tf.concat(
        [
            _numbers(tf.strings.substr(contents, 12, 13)),
            tf.zeros([13], "int32"),
        ],
        0,
    )
    powers = tf.constant([1 << 24, 1 << 16, 1 << 8, 1], tf.int64)
    width, height = (
        tf.reduce_sum(tf.cast(head[at : at + 4], tf.int64) * powers)
        for at in (4, 8)
    )
    return height, width, head


def _check_head(head):
    """An assertion that these are the numbers of the chunk with the size."""
    is_head = _is(head[:4], b"IHDR")
    return tf.debugging.Assert(is_head, ["The PNG file is damaged."])


def _check_pixels(height, width, max_pixels):
    # In floats, which do not overflow.
    pixels = tf.cast(height, tf.float64) * tf.cast(width, tf.float64)
    return tf.debugging.Assert(
        pixels <= max_pixels,
        ["Too many pixels: width", width, "height", height]
        + [f"are more than max_pixels={max_pixels}."],
    )


def _decode_jpeg(contents, channels, max_pixels):
    height, width, stored = tf.unstack(tf.io.extract_jpeg_shape(contents))

    def plain():
        return tf.io.decode_jpeg(
            contents, channels, dct_method="INTEGER_ACCURATE"
        )

    def grey_of_cmyk():
        image = tf.io.decode_jpeg(contents, 3, dct_method="INTEGER_ACCURATE")
        return _in_strips(_grey, image, 1)

    with _after(_check_pixels(height, width, max_pixels)):
        if channels == 3:
            return plain()
        return tf.cond(stored == 4, grey_of_cmyk, plain)


def _decode_png(contents, channels, max_pixels):
    """What is transparent, on white."""
    height, width, head = _png_size(contents)
    with (
        _after(_check_head(head)),
        _after(_check_pixels(height, width, max_pixels)),
    ):
        pixels = tf.io.decode_png(contents, 4)
    alpha = pixels[..., 3]
    # To pixels of less than 8 bits without alpha TensorFlow adds one of as
    # many bits.
    bits = head[12]
    added = tf.where(bits < 8, tf.bitwise.left_shift(1, bits % 8) - 1, 255)
    added = tf.cast(added, tf.uint8)

    def opaque():
        if channels == 3:
            return pixels[..., :3]
        return tf.io.decode_png(contents, 1)

    return tf.cond(
        tf.reduce_all(alpha == 255) | tf.reduce_all(alpha == added),
        opaque,
        lambda: _on_white(pixels, channels),
    )


def _on_white(pixels, channels):
    """What is transparent, on white."""

    def mix(part):
        part = tf.cast(part, tf.int32)
        colors, alpha = part[..., :3], part[..., 3:]
        mixed = (colors * alpha + 255 * (255 - alpha) + 127) // 255
        return mixed if channels == 3 else _grey(mixed)

    return _in_strips(mix, pixels, channels)


def _is_webp(contents):
    """Whether it is a WEBP that does not move, and can be decoded."""
    if not _KNOWS_WEBP:
        return tf.constant(False)
    head = _webp_head(contents)
    known = _is(head[:4], b"RIFF") & _is(head[8:12], b"WEBP")
    return known & ~(_is(head[12:16], b"VP8X") & (head[20] // 2 % 2 == 1))


def _is(numbers, text):
    return tf.reduce_all(numbers == tuple(text))


def _webp_head(contents):
    """The first 30 bytes, zeros where there are fewer."""
    head = _numbers(tf.strings.substr(contents, 0, 30))
    return tf.concat([head, tf.zeros([30], tf.int32)], 0)[:30]


def _decode_webp(contents, channels, max_pixels):
    head = _webp_head(contents)

    def number(start, end):
        return tf.reduce_sum(
            head[start:end] * (1, 1 << 8, 1 << 16)[: end - start]
        )

    # As `reading.stated_size` has it: lossy, lossless, or extended.
    lossy = number(28, 30) % (1 << 14), number(26, 28) % (1 << 14)
    lossless = (
        number(22, 25) // (1 << 6) % (1 << 14) + 1,
        number(21, 23) % (1 << 14) + 1,
    )
    extended = number(27, 30) + 1, number(24, 27) + 1
    is_lossy, is_lossless = _is(head[12:16], b"VP8 "), _is(head[12:16], b"VP8L")
    height, width = (
        tf.where(is_lossy, a, tf.where(is_lossless, b, c))
        for a, b, c in zip(lossy, lossless, extended, strict=True)
    )
    with _after(_check_pixels(height, width, max_pixels)):
        pixels = tf.image.decode_webp(contents)[0]

    def opaque():
        if channels == 3:
            return pixels[..., :3]
        return _in_strips(_grey, pixels[..., :3], 1)

    return tf.cond(
        tf.shape(pixels)[2] == 4, lambda: _on_white(pixels, channels), opaque
    )


def _grey(colors):
    """Grey as Pillow makes it, of ITU-R 601-2."""
    red, green, blue = tf.split(tf.cast(colors, tf.int32), 3, axis=-1)
    return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) // 65536


def _in_strips(function, image, channels):
    """A function of pixels, of a few rows at a time; uint8."""
    height, width = tf.unstack(tf.shape(image)[:2])
    rows = tf.maximum(_STRIP // tf.maximum(width, 1), 1)
    count = (height + rows - 1) // rows
    strips = tf.TensorArray(
        tf.uint8,
        count,
        infer_shape=False,
        element_shape=(None, None, channels),
    )
    _, strips = tf.while_loop(
        lambda index, strips: index < count,
        lambda index, strips: (
            index + 1,
            strips.write(
                index,
                tf.cast(
                    function(image[index * rows : (index + 1) * rows]),
                    tf.uint8,
                ),
            ),
        ),
        (0, strips),
        parallel_iterations=1,
    )
    return strips.concat()


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
