"""Image files: what is in them, and how they become tensors of one size.

What Pillow reads is what counts as an image. TensorFlow decodes it in the data
pipeline, where it does so exactly; Pillow does where TensorFlow does not.
"""

import contextlib
import io
import threading
from typing import NamedTuple

import numpy as np
import tensorflow as tf

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP")
# Of one picture, where nobody asks for more: where Pillow begins to warn.
MAX_PIXELS = 89_478_485
# Pictures above this are decoded one after another.
LARGE = 4_000_000
PNG, JPEG, GIF = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8"
_ORIENTATION = 0x112  # the EXIF tag
_WITH_EXIF = ("JPEG", "MPO")  # as far as pictures are turned by it
_GREY = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L")
# Markers of a JPEG: of its frames, which say the size; and those without a
# length.
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_ALONE = {0x01, *range(0xD0, 0xD9)}
# What phones write; Pillow alone takes it for no image.
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")
_one_large = threading.Lock()


class Header(NamedTuple):
    """What a file says about its image.

    Attributes:
        size: (height, width) in pixels.
        grey: Whether it has no colours.
        special: Whether Pillow must decode it: TensorFlow reads the palette of
            a BMP as grey levels, shows what transparency hides, does not turn
            a phone's pictures upright, makes no grey of CMYK, and has another
            operation for WEBP.
        remark: What is unusual and how it is handled, or "".
    """

    size: tuple[int, int]
    grey: bool
    special: bool
    remark: str


def inspect(contents: bytes, max_pixels: int = MAX_PIXELS) -> Header:
    """Reads the header of an image file.

    Args:
        contents: All bytes of the file.
        max_pixels: How many it may have. No pixel is decoded to know it.

    Raises:
        ValueError: If it is none of `FORMATS`, or has more pixels.

    Example:
    >>> file = io.BytesIO()
    >>> _pillow().Image.new("RGB", (5, 4)).save(file, "PNG")
    >>> inspect(file.getvalue())
    Header(size=(4, 5), grey=False, special=False, remark='')
    """
    if not contents:
        raise ValueError("is empty (zero bytes)")
    try:
        image = _open(contents)
        size = image.height, image.width
        frames = getattr(image, "n_frames", 1)
        turned = _turn(image) != 1
    except _pillow().Image.DecompressionBombError as error:
        raise ValueError(f"has too many pixels: {error}") from error
    except Exception as error:
        if contents[4:8] == b"ftyp" and contents[8:12] in _HEIC:
            raise ValueError(_not_one_of("HEIC")) from error
        raise ValueError("is not an image, or is damaged") from error
    check_pixels(size, max_pixels)
    # Phones write several JPEGs into one file, the picture first.
    form = "JPEG" if image.format == "MPO" else image.format
    if form not in FORMATS:
        raise ValueError(_not_one_of(form))
    remarks = []
    if frames > 1 and form in ("GIF", "WEBP"):
        remarks.append("animated: the first frame is used")
    if _has_alpha(image):
        remarks.append("transparent: shown on white")
    if image.mode.startswith("I"):
        remarks.append("16 bits: the upper 8 are used")
    if image.mode == "CMYK":
        remarks.append("CMYK: converted to RGB")
    if image.mode == "P" and form != "GIF":
        remarks.append("palette: converted to RGB")
    if turned:
        remarks.append("lying on its side: turned upright, as its EXIF says")
    special = (
        form in ("BMP", "GIF", "WEBP")
        or _has_alpha(image)
        or turned
        or image.mode == "CMYK"
    )
    if special:
        try:
            size = _decode_with_pillow(contents, 3).shape[:2]
        except Exception as error:
            raise ValueError("is damaged or truncated") from error
    return Header(size, image.mode in _GREY, special, "; ".join(remarks))


def _not_one_of(form):
    return f"is {form}, not one of {', '.join(FORMATS)}"


def stated_size(contents: bytes) -> tuple[int, int] | None:
    """(height, width) as the first bytes of a file say, or None.

    It costs next to nothing, and says nothing about the rest of the file.

    Args:
        contents: Of a PNG, JPEG, BMP, GIF or WEBP file.

    Example:
    >>> file = io.BytesIO()
    >>> _pillow().Image.new("RGB", (5, 4)).save(file, "JPEG")
    >>> stated_size(file.getvalue())
    (4, 5)
    """
    if contents[:3] == JPEG:
        return _jpeg_size(contents)
    if contents[:8] == PNG and contents[12:16] == b"IHDR":
        width, height = contents[16:20], contents[20:24]
        return int.from_bytes(height, "big"), int.from_bytes(width, "big")
    if contents[:4] == b"RIFF" and contents[8:12] == b"WEBP":
        return _webp_size(contents)
    places = None
    if contents[:4] == b"GIF8":
        places = (8, 10), (6, 8)
    elif contents[:2] == b"BM":
        old = contents[14:18] == b"\x0c\0\0\0"
        places = ((20, 22), (18, 20)) if old else ((22, 26), (18, 22))
    if places is None:
        return None
    height, width = (
        int.from_bytes(contents[a:b], "little", signed=b - a == 4)
        for a, b in places
    )
    return abs(height), abs(width)  # of a BMP from top to bottom it is negative


def _jpeg_size(contents):
    """Of the first frame; None where the markers do not follow each other."""
    at = 2
    while contents[at : at + 1] == b"\xff" and at + 9 <= len(contents):
        marker = contents[at + 1]
        if marker in _FRAMES:
            height, width = contents[at + 5 : at + 7], contents[at + 7 : at + 9]
            return int.from_bytes(height, "big"), int.from_bytes(width, "big")
        if marker == 0xFF:  # what fills up
            at += 1
        elif marker in _ALONE:
            at += 2
        else:
            at += 2 + int.from_bytes(contents[at + 2 : at + 4], "big")
    return None


def _webp_size(contents):
    """Of a picture as WEBP's first chunk says: lossy, lossless, or extended."""
    kind = contents[12:16]

    def number(start, end):
        return int.from_bytes(contents[start:end], "little")

    if len(contents) < 30:
        return None
    if kind == b"VP8 ":
        return number(28, 30) & 0x3FFF, number(26, 28) & 0x3FFF
    if kind == b"VP8L":
        return (number(21, 25) >> 14 & 0x3FFF) + 1, number(21, 23) % 0x4000 + 1
    if kind == b"VP8X":
        return number(27, 30) + 1, number(24, 27) + 1
    return None


def gif_size(contents: bytes) -> tuple[int, int]:
    """(height, width) of what a decoder of a whole GIF holds.

    That is its canvas; or all of its frames, one upon the other, if there are
    several, or one that is larger.

    Args:
        contents: Of a file that begins as a GIF; it may be damaged.

    Example:
    >>> file = io.BytesIO()
    >>> _pillow().Image.new("RGB", (5, 4)).save(file, "GIF")
    >>> gif_size(file.getvalue())
    (4, 5)
    """

    def number(at, size=2):
        return int.from_bytes(contents[at : at + size], "little")

    def colors(flags):
        return 3 * 2 ** (flags % 8 + 1) if flags & 0x80 else 0

    width, height = number(6), number(8)
    at, frames = 13 + colors(number(10, 1)), []
    while at < len(contents) and contents[at] in (0x21, 0x2C):
        if contents[at] == 0x2C:  # a frame
            frames.append((number(at + 7), number(at + 5)))
            at += 11 + colors(number(at + 9, 1))
        else:
            at += 2
        while number(at, 1):  # blocks of data, up to an empty one
            at += 1 + number(at, 1)
        at += 1
    pixels = sum(a * b for a, b in frames)
    inside = all(a <= height and b <= width for a, b in frames)
    if inside and len(frames) < 2:
        return height, width
    return max(pixels // max(width, 1), height), max(width, 1)


def check_pixels(size: tuple[int, int], max_pixels: int) -> None:
    """Raises ValueError if a picture has more pixels than it may.

    Args:
        size: (height, width).
        max_pixels: The limit.

    Example:
    >>> check_pixels((20000, 30000), 90_000_000)
    Traceback (most recent call last):
    ...
    ValueError: has too many pixels, 30,000 x 20,000: more than `max_pixels`, \
90,000,000
    """
    height, width = size
    if height * width > max_pixels:
        raise ValueError(
            f"has too many pixels, {width:,} x {height:,}: more than "
            f"`max_pixels`, {max_pixels:,}"
        )


def decode(contents: tf.Tensor, special: tf.Tensor, channels: int) -> tf.Tensor:
    """Decodes one image file, in graphs too.

    Args:
        contents: All bytes of the file, a string scalar.
        special: `Header.special`, a boolean scalar, or False for no file.
        channels: 1 or 3.

    Returns:
        uint8, shape [height, width, channels].
    """

    def by_tensorflow():
        # It decodes PNG too; `decode_image` would take a faster and less exact
        # transform for JPEG than Pillow, with which people serve.
        return tf.io.decode_jpeg(
            contents, channels, dct_method="INTEGER_ACCURATE"
        )

    def by_pillow():
        # Not a numpy_function: eagerly, numpy would cut zero bytes at the end.
        return tf.py_function(
            lambda data: _decode_with_pillow(data.numpy(), channels),
            [contents],
            tf.uint8,
        )

    if special is False:
        image = by_tensorflow()
    else:
        image = tf.cond(special, by_pillow, by_tensorflow)
    return tf.ensure_shape(image, (None, None, channels))


def cover(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Scales an image until it covers a size, and crops the centre.

    Bilinear, antialiased; an image of that size is returned as it is.

    Args:
        image: uint8, [any height, any width, channels], or a batch of these.
        height: Of the result.
        width: Of the result.

    Returns:
        uint8, [height, width, channels], or a batch.

    Example:
    >>> cover(tf.zeros([10, 30, 3], tf.uint8), 5, 5).shape
    TensorShape([5, 5, 3])
    """
    size = tf.shape(image)[-3:-1]

    def scaled():
        target = tf.constant([height, width])
        factor = tf.reduce_max(target / size)
        # Of a picture like a line, what cannot be seen is not enlarged.
        most = tf.math.ceil(4 * tf.cast(target, tf.float64) / factor) + 2
        keep = tf.minimum(size, tf.cast(most, tf.int32))
        keep += (size - keep) % 2  # the centre stays where it is
        top, left = tf.unstack((size - keep) // 2)
        part = image[..., top : top + keep[0], left : left + keep[1], :]
        new = tf.cast(
            tf.math.ceil(factor * tf.cast(keep, tf.float64)), tf.int32
        )
        # Rounding must not leave it a pixel too small, nor one too large.
        new = tf.where(
            tf.cast(target / keep, tf.float64) == factor, target, new
        )
        values = tf.image.resize(part, new, antialias=True)
        top, left = tf.unstack((new - target) // 2)
        values = values[..., top : top + height, left : left + width, :]
        return tf.saturate_cast(tf.round(values), tf.uint8)

    same = tf.reduce_all(size == [height, width])
    image = tf.cond(same, lambda: image, scaled)
    return tf.ensure_shape(
        image, (*image.shape[:-3], height, width, image.shape[-1])
    )


def _open(contents):
    """Pillow's image, not yet decoded, without Pillow's limit of pixels.

    That limit is one for the whole process; ours is the caller's.
    """
    image_module = _pillow().Image
    image_module.preinit()
    for form in FORMATS:
        make, accepts = image_module.OPEN[form]
        # WEBP's gives a text where Pillow was built without it.
        if accepts(contents[:16]) is True:
            return make(io.BytesIO(contents), "")
    return image_module.open(io.BytesIO(contents))


def _decode_with_pillow(contents: bytes, channels: int) -> np.ndarray:
    image = _open(contents)
    large = image.width * image.height > LARGE
    with _one_large if large else contextlib.nullcontext():
        if image.format in _WITH_EXIF:
            image = _jpeg(image, contents, channels)
            image = _pillow().ImageOps.exif_transpose(image)
        if image.mode.startswith("I"):
            image = _upper_bits(image)
        if _has_alpha(image):
            image = _on_white(image)
        image = image.convert("L" if channels == 1 else "RGB")
        return np.asarray(image, np.uint8).reshape(*image.size[::-1], channels)


def _turn(image):
    """What a JPEG's EXIF says, 1 to 8; Pillow would ask its XMP, too."""
    if image.format not in _WITH_EXIF:
        return 1
    exif = _pillow().Image.Exif()
    try:
        exif.load(image.info.get("exif", b""))
        turn = exif.get(_ORIENTATION, 1)
    except Exception:  # of many kinds; the picture may be whole
        return 1
    return turn if turn in range(2, 9) else 1


def _jpeg(image, contents, channels):
    """Decoded by TensorFlow: as in graphs, where there is nothing else."""
    turn = _turn(image)
    if image.mode == "CMYK":
        channels = 3  # of which Pillow makes grey
    pixels = tf.io.decode_jpeg(
        contents, channels, dct_method="INTEGER_ACCURATE"
    ).numpy()
    image = _pillow().Image.fromarray(
        pixels if channels == 3 else pixels[..., 0]
    )
    image.getexif()[_ORIENTATION] = turn
    return image


def _upper_bits(image):
    """Of 16 bits, which Pillow would clip to 8."""
    deep = np.asarray(image)
    clear = deep == image.info.get("transparency", -1)
    upper = np.where(clear, np.uint8(255), (deep >> 8).astype(np.uint8))
    return _pillow().Image.fromarray(upper)


def _on_white(image):
    image_module = _pillow().Image
    image = image.convert("RGBA")
    white = image_module.new("RGBA", image.size, "white")
    return image_module.alpha_composite(white, image)


def _has_alpha(image) -> bool:
    return image.mode in ("LA", "PA", "RGBA", "RGBa", "La") or (
        "transparency" in image.info
    )


def _pillow():
    # Late, because importing the library should cost nothing it need not.
    import PIL.Image
    import PIL.ImageOps
    import PIL.WebPImagePlugin  # which `preinit` leaves out

    return PIL
