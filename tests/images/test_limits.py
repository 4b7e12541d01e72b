"""Pictures of more pixels than may be: told by their size, never decoded."""

import io
import struct
import zlib

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from mpl_keras.images import decoding, preprocessing, reading

NOISE = np.random.default_rng(0).integers(0, 256, (13, 9, 3), np.uint8)
IMAGE = PIL.Image.fromarray(NOISE)


def encoded(image=IMAGE, form="PNG", **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def chunk(name, body):
    check = struct.pack(">I", zlib.crc32(name + body))
    return struct.pack(">I", len(body)) + name + body + check


def png(width, height):
    """The beginning of a PNG of any size; its pixels are missing."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    return (
        reading.PNG
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", data)
        + chunk(b"IEND", b"")
    )


def jpeg(width, height):
    """A JPEG that says another size than it has."""
    contents = bytearray(encoded(form="JPEG"))
    at = contents.index(b"\xff\xc0") + 5
    contents[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(contents)


def gif(width, height):
    contents = bytearray(encoded(form="GIF"))
    contents[6:10] = struct.pack("<HH", width, height)
    return bytes(contents)


def bmp(width, height):
    contents = bytearray(encoded(form="BMP"))
    contents[18:26] = struct.pack("<ii", width, height)
    return bytes(contents)


HUGE = {
    "png": png(20000, 20000),
    "jpeg": jpeg(20000, 20000),
    "gif": gif(20000, 20000),
    "bmp": bmp(20000, 20000),
    "bmp from the top": bmp(20000, -20000),
}


@pytest.mark.parametrize("name", HUGE)
def test_a_file_of_too_many_pixels_is_no_damaged_one(name):
    with pytest.raises(ValueError, match="too many pixels, 20,000 x 20,000"):
        reading.inspect(HUGE[name])


def test_a_limit_above_pillows():
    """Which is one for the process: 179 million, and a warning above 89."""
    assert reading.inspect(HUGE["png"], 400_000_000).size == (20000, 20000)
    with pytest.raises(ValueError, match="`max_pixels`, 399,999,999"):
        reading.inspect(HUGE["png"], 399_999_999)


SMALL = {
    "png": encoded(),
    "jpeg": encoded(form="JPEG"),
    "progressive": encoded(form="JPEG", progressive=True),
    "exif": encoded(form="JPEG", exif=b"Exif\0\0" + bytes(300)),
    "cmyk": encoded(IMAGE.convert("CMYK"), "JPEG"),
    "gif": encoded(form="GIF"),
    "bmp": encoded(form="BMP"),
    "webp": encoded(form="WEBP"),
    "webp without loss": encoded(form="WEBP", lossless=True),
    "webp with exif": encoded(form="WEBP", exif=b"Exif\0\0" + bytes(30)),
    "old bmp": b"BM" + bytes(12) + struct.pack("<IHHHH", 12, 9, 13, 1, 24),
}


@pytest.mark.parametrize("name", SMALL)
def test_the_size_is_known_from_the_first_bytes(name):
    contents = SMALL[name]
    assert reading.stated_size(contents) == (13, 9)
    for end in range(30):
        reading.stated_size(contents[:end])
    if name != "old bmp":
        assert reading.inspect(contents, 117).size == (13, 9)
        with pytest.raises(ValueError, match="too many pixels, 9 x 13: more"):
            reading.inspect(contents, 116)


def test_jpegs_of_other_markers():
    filled = SMALL["jpeg"][:2] + b"\xff\xff" + SMALL["jpeg"][2:]
    assert reading.stated_size(filled) == (13, 9)
    strewn = SMALL["jpeg"][:2] + b"strewn" + SMALL["jpeg"][2:]
    assert reading.stated_size(strewn) is None
    assert reading.stated_size(b"text") is None


@pytest.fixture(scope="module")
def decode():
    """In a graph, as it is exported."""
    return tf.function(
        lambda contents: decoding.decode(contents, 3, 117),
        input_signature=[tf.TensorSpec((), tf.string)],
    )


IN_GRAPHS = ("png", "jpeg", "progressive", "cmyk")
IN_GRAPHS += ("webp", "webp without loss", "webp with exif")


@pytest.mark.parametrize("name", IN_GRAPHS)
def test_the_limit_in_a_graph(name, decode):
    assert decode(SMALL[name]).shape == (13, 9, 3)
    fewer = preprocessing.ImagePreprocessing((8, 8), 3, max_pixels=116)
    with pytest.raises(tf.errors.InvalidArgumentError, match="Too many pixels"):
        fewer.decode(tf.constant([SMALL[name]]))


@pytest.mark.parametrize(
    "contents", [*HUGE.values(), png(2**32 - 1, 2**32 - 1)]
)
def test_a_graph_decodes_nothing_huge(contents, decode):
    with pytest.raises(
        tf.errors.InvalidArgumentError,
        match="Too many pixels|neither PNG nor JPEG",
    ):
        decode(contents)


def test_a_size_that_is_not_the_one():
    """Where the header does not come first, what stands there is another."""
    contents = bytearray(HUGE["png"])
    first = chunk(b"prVt", struct.pack(">II", 4, 4) + bytes(5))
    contents[8:8] = first
    with pytest.raises(tf.errors.InvalidArgumentError, match="damaged"):
        decoding.decode(bytes(contents), 3)
    assert reading.stated_size(bytes(contents)) is None


@pytest.mark.parametrize("strip", [1, 9, 30, 117])
def test_rows_on_white_are_whole_pictures(strip, monkeypatch):
    alpha = np.concatenate([NOISE, NOISE[..., :1]], -1)
    contents = encoded(PIL.Image.fromarray(alpha))
    monkeypatch.setattr(decoding, "_STRIP", strip)
    for channels in (1, 3):
        np.testing.assert_array_equal(
            decoding.decode(contents, channels),
            reading.decode(contents, tf.constant(True), channels),
        )


def test_preprocessing_keeps_its_limit():
    prepare = preprocessing.ImagePreprocessing((8, 8), 3, max_pixels=500)
    again = preprocessing.ImagePreprocessing.from_config(prepare.get_config())
    assert again.max_pixels == 500
    config = {"image_size": [8, 8], "channels": 3}  # as it once was written
    old = preprocessing.ImagePreprocessing.from_config(config)
    assert old.max_pixels == reading.MAX_PIXELS
    with pytest.raises(ValueError, match="max_pixels"):
        preprocessing.ImagePreprocessing((8, 8), 3, max_pixels=0)


@pytest.mark.parametrize("make", [png, jpeg])
def test_sizes_are_told_without_decoding(make):
    contents = make(3000, 2000)
    decoding.check_size(contents, 6_000_000)
    assert tf.function(
        lambda: (decoding.check_size(contents, 6_000_000), 1)[1]
    )()
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="(?s)Too many.*3000.*2000"
    ):
        decoding.check_size(contents, 5_999_999)


def gif(sizes, canvas=None):
    """Frames of these sizes, with colors of their own and a comment."""
    screen = struct.pack("<HHBBB", *(canvas or sizes[0]), 0x80, 0, 0)
    parts = [b"GIF89a", screen, bytes(6), b"!\xfe\x03abc\0"]
    for size in sizes:
        place = struct.pack("<BHHHHB", 0x2C, 0, 0, *size, 0x81)
        parts += [place, bytes(12), b"\x02\x01a\x02bc\0"]
    return b"".join(parts) + b";"


def test_sizes_of_a_gif_are_told_without_decoding():
    noise = PIL.Image.fromarray(NOISE)
    for size in ((9, 5), (300, 200)):
        contents = encoded(noise.resize(size), "GIF")
        assert reading.gif_size(contents) == size[::-1]
    assert reading.gif_size(gif([(9, 5)])) == (5, 9)
    assert reading.gif_size(gif([(9, 5)], canvas=(20, 30))) == (30, 20)
    # What is not seen takes memory, too.
    assert np.prod(reading.gif_size(gif([(9, 50)], (9, 5)))) == 450
    assert np.prod(reading.gif_size(gif([(9, 5)] * 10))) == 450
    for end in range(60):
        reading.gif_size(gif([(9, 5)] * 2)[:end])  # a damaged file
    several = gif([(9000, 5000)] * 10)
    with pytest.raises(tf.errors.InvalidArgumentError, match="Too many"):
        decoding.check_size(several, reading.MAX_PIXELS)


@pytest.mark.parametrize("contents", [b"other", b"", b"BM" + bytes(60)])
def test_no_other_file_has_a_size(contents):
    with pytest.raises(tf.errors.InvalidArgumentError, match="neither PNG"):
        decoding.check_size(contents, reading.MAX_PIXELS)


def test_a_png_whose_size_is_not_first_has_none():
    contents = bytearray(HUGE["png"])
    contents[8:8] = chunk(b"prVt", struct.pack(">II", 4, 4) + bytes(5))
    with pytest.raises(tf.errors.InvalidArgumentError, match="damaged"):
        decoding.check_size(bytes(contents), reading.MAX_PIXELS)
