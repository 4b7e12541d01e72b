"""Files decoded by TensorFlow alone: the pixels that Pillow shows."""

import io
import struct

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from mpl_keras.images import decoding, preprocessing, reading

NOISE = np.random.default_rng(0).integers(0, 256, (13, 9, 4), np.uint8)
RAMP = (np.add.outer(np.arange(40), np.arange(56)) * 2 % 256).astype(np.uint8)


def encoded(image, form="PNG", **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def palette(colors, **options):
    return encoded(COLORS.quantize(colors), **options)


COLORS = PIL.Image.fromarray(NOISE[..., :3])
GREY = PIL.Image.fromarray(NOISE[..., 0])
TURNED = PIL.Image.Exif()
TURNED[0x0112] = 6
PRINTED = PIL.Image.fromarray(RAMP).convert("RGB").convert("CMYK")
DEEP = PIL.Image.fromarray(NOISE[..., 0].astype(np.uint16) * 256 + 7)
FILES = {
    "alpha": encoded(PIL.Image.fromarray(NOISE)),
    "colors": encoded(COLORS),
    "grey": encoded(GREY),
    "grey with alpha": encoded(
        PIL.Image.merge("LA", [GREY, PIL.Image.fromarray(NOISE[..., 1])])
    ),
    "one bit": encoded(GREY.convert("1")),
    "16 bits": encoded(DEEP),
    "a clear colour": encoded(
        COLORS, transparency=tuple(NOISE[2, 2, :3].tolist())
    ),
    "a clear grey": encoded(GREY, transparency=int(NOISE[2, 2, 0])),
    "2 colours": palette(2),
    "4 colours": palette(4),
    "16 colours": palette(16),
    "256 colours": palette(256),
    "4 colours, one clear": palette(4, transparency=1),
    "256 colours, one clear": palette(256, transparency=3),
    "webp": encoded(COLORS, "WEBP"),
    "webp without loss": encoded(COLORS, "WEBP", lossless=True),
    "webp with alpha": encoded(PIL.Image.fromarray(NOISE), "WEBP"),
    "webp with alpha, without loss": encoded(
        PIL.Image.fromarray(NOISE), "WEBP", lossless=True
    ),
    "webp with a word on turning": encoded(COLORS, "WEBP", exif=TURNED),
    "jpeg": encoded(PIL.Image.fromarray(RAMP).convert("RGB"), "JPEG"),
    "cmyk": encoded(PRINTED, "JPEG"),
    "cmyk of noise": encoded(
        PIL.Image.frombytes("CMYK", (9, 13), NOISE), "JPEG"
    ),
    "cmyk on its side": encoded(PRINTED, "JPEG", exif=TURNED),
    "what only XMP turns": encoded(
        PIL.Image.fromarray(RAMP), "JPEG", xmp=b'<a tiff:Orientation="6"/>'
    ),
    "alpha, and a word on turning": encoded(
        PIL.Image.fromarray(NOISE), exif=TURNED
    ),
}


@pytest.fixture(scope="module")
def decode():
    """In a graph, as it is exported."""
    functions = {
        channels: tf.function(
            lambda contents, channels=channels: decoding.decode(
                contents, channels
            ),
            input_signature=[tf.TensorSpec((), tf.string)],
        )
        for channels in (1, 3)
    }
    return lambda contents, channels: functions[channels](contents).numpy()


@pytest.fixture(scope="module")
def decoded(decode):
    """All in one go: a new seed, as every test has, loads a graph anew."""
    return {
        (name, channels): decode(contents, channels)
        for name, contents in FILES.items()
        for channels in (1, 3)
    }


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", FILES)
def test_pixels_are_those_that_are_trained_on(name, channels, decoded):
    contents = FILES[name]
    special = tf.constant(reading.inspect(contents).special)
    expected = reading.decode(tf.constant(contents), special, channels)
    given = decoded[name, channels]
    assert given.shape == expected.shape
    # Of colours with alpha, grey is rounded once, and not twice.
    far = np.abs(given.astype(int) - expected.numpy())
    assert far.max() == 0


def tiff(order, entries):
    """An EXIF directory: (tag, value) of type short."""
    head = b"II*\0" if order == "<" else b"MM\0*"
    body = struct.pack(order + "IH", 8, len(entries))
    for tag, value in entries:
        body += struct.pack(order + "HHIHH", tag, 3, 1, value, 0)
    return head + body + bytes(4)


def with_exif(contents, block):
    segment = b"Exif\0\0" + block
    size = struct.pack(">H", len(segment) + 2)
    return contents[:2] + b"\xff\xe1" + size + segment + contents[2:]


def behind_jfif(contents, block):
    """The same, where cameras write a JFIF segment first."""
    end = 4 + struct.unpack(">H", contents[4:6])[0]
    return contents[:end] + with_exif(b"\0\0" + contents[end:], block)[2:]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("place", [with_exif, behind_jfif])
def test_phones_pictures_stand_upright(place, order, decode):
    for turn in range(1, 9):
        block = tiff(order, [(0x0100, 40), (0x0112, turn)])
        contents = place(FILES["jpeg"], block)
        assert int(decoding.orientation(tf.constant(contents))) == turn
        expected = reading._decode_with_pillow(contents, 3)
        np.testing.assert_array_equal(
            decode(contents, 3), expected, err_msg=f"turned by {turn}"
        )


@pytest.mark.parametrize(
    "block",
    [
        tiff("<", [(0x0112, 0)]),
        tiff("<", [(0x0112, 9)]),
        tiff(">", [(0x0100, 40)]),
        b"II*\0\xff\xff\xff\x7f",
        b"II*\0\xff\xff\xff\xff",
        b"MM\0*" + struct.pack(">IH", 8, 65535),
        b"",
    ],
)
def test_exif_that_says_nothing(block):
    contents = with_exif(FILES["jpeg"], block)
    assert int(decoding.orientation(tf.constant(contents))) == 1


def test_a_damaged_file_is_an_error(decode):
    for contents in (FILES["colors"][:60], FILES["jpeg"][:200], b"", b"text"):
        with pytest.raises(tf.errors.InvalidArgumentError):
            decode(contents, 3)


def test_a_webp_that_moves_is_refused_in_a_graph(decode):
    # TensorFlow's operation has ended the process with one.
    contents = encoded(
        COLORS, "WEBP", save_all=True, append_images=[COLORS.rotate(90)]
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match="a still WEBP"):
        decode(contents, 3)
    header = reading.inspect(contents)
    assert "animated" in header.remark
    first = reading.decode(tf.constant(contents), tf.constant(True), 3)
    want = np.asarray(PIL.Image.open(io.BytesIO(contents)).convert("RGB"))
    np.testing.assert_array_equal(first, want)
    for end in range(40):  # short ones are an error too
        with pytest.raises(tf.errors.InvalidArgumentError):
            decode(FILES["webp"][:end], 3)


def test_batches_are_covered_as_images_are():
    batch = np.stack([NOISE[..., :3], NOISE[::-1, ..., :3]])
    together = reading.cover(tf.constant(batch), 5, 6)
    for image, one in zip(batch, together, strict=True):
        np.testing.assert_array_equal(reading.cover(image, 5, 6), one)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"image_size": 8, "channels": 1}, r"\(height, width\)"),
        ({"image_size": (8, 0), "channels": 1}, "image_size"),
        ({"image_size": (8, 8), "channels": 2}, "channels"),
        ({"image_size": (8, 8), "channels": 1, "scale": 0}, "scale"),
        (
            {"image_size": (8, 8), "channels": 1, "canvas_size": (7, 9)},
            "canvas_size",
        ),
    ],
)
def test_preprocessing_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        preprocessing.ImagePreprocessing(**options)
