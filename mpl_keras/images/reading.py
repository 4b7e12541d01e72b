"""Image files: what is in them, and how they become tensors of one size.

What Pillow reads is what counts as an image. TensorFlow decodes it in the data
pipeline, where it does so exactly; Pillow does where TensorFlow does not.
"""

import io
from typing import NamedTuple

import numpy as np
import tensorflow as tf

FORMATS = ("PNG", "JPEG", "BMP", "GIF")
_ORIENTATION = 0x112  # the EXIF tag
_GREY = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L")


class Header(NamedTuple):
    """What a file says about its image.

    Attributes:
        size: (height, width) in pixels.
        grey: Whether it has no colours.
        special: Whether Pillow must decode it: TensorFlow reads the palette of
            a BMP as grey levels, shows what transparency hides, and does not
            turn a phone's pictures upright.
        remark: What is unusual and how it is handled, or "".
    """

    size: tuple[int, int]
    grey: bool
    special: bool
    remark: str


def inspect(contents: bytes) -> Header:
    """Reads the header of an image file.

    Args:
        contents: All bytes of the file.

    Raises:
        ValueError: If it is none of `FORMATS`.

    Example:
    >>> file = io.BytesIO()
    >>> _pillow().Image.new("RGB", (5, 4)).save(file, "PNG")
    >>> inspect(file.getvalue())
    Header(size=(4, 5), grey=False, special=False, remark='')
    """
    if not contents:
        raise ValueError("is empty (zero bytes)")
    try:
        image = _pillow().Image.open(io.BytesIO(contents))
        frames = getattr(image, "n_frames", 1)
        # Of other files Pillow would decode all pixels to know it.
        exif = image.getexif() if image.format in ("JPEG", "MPO") else {}
        turned = exif.get(_ORIENTATION, 1) in range(2, 9)
    except Exception as error:
        raise ValueError("is not an image, or is damaged") from error
    # Phones write several JPEGs into one file, the picture first.
    form = "JPEG" if image.format == "MPO" else image.format
    if form not in FORMATS:
        raise ValueError(f"is {form}, not one of {', '.join(FORMATS)}")
    remarks = []
    if frames > 1 and form == "GIF":
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
    special = form in ("BMP", "GIF") or _has_alpha(image) or turned
    size = image.height, image.width
    if special:
        try:
            size = _decode_with_pillow(contents, 3).shape[:2]
        except Exception as error:
            raise ValueError("is damaged or truncated") from error
    return Header(size, image.mode in _GREY, special, "; ".join(remarks))


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


def _decode_with_pillow(contents: bytes, channels: int) -> np.ndarray:
    image_module = _pillow().Image
    image = image_module.open(io.BytesIO(contents))
    image = _pillow().ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        # Pillow would clip 16 bits to 8; the upper ones are kept.
        deep = np.asarray(image).astype(int)
        clear = deep == image.info.get("transparency", -1)
        upper = np.where(clear, 255, deep >> 8).astype(np.uint8)
        image = image_module.fromarray(upper)
    if _has_alpha(image):
        image = image.convert("RGBA")
        white = image_module.new("RGBA", image.size, "white")
        image = image_module.alpha_composite(white, image)
    image = image.convert("L" if channels == 1 else "RGB")
    return np.asarray(image, np.uint8).reshape(*image.size[::-1], channels)


def _has_alpha(image) -> bool:
    return image.mode in ("LA", "PA", "RGBA", "RGBa", "La") or (
        "transparency" in image.info
    )


def _pillow():
    # Late, because importing the library should cost nothing it need not.
    import PIL.Image
    import PIL.ImageOps

    return PIL
