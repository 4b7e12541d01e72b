"""Image files of every kind, against Pillow; sizes."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mpl_keras.datasets import image_files
from mpl_keras.images import reading

RANDOM = np.random.RandomState(0)
SMOOTH = np.asarray(
    Image.fromarray(RANDOM.randint(0, 256, (5, 7, 3)).astype("uint8")).resize(
        (35, 24), Image.BICUBIC
    )
)
NOISE = RANDOM.randint(0, 256, (24, 35, 3)).astype("uint8")


def saved(image, form, **options):
    if not isinstance(image, Image.Image):
        image = Image.fromarray(image)
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def decoded(contents, channels=3):
    special = tf.constant(reading.inspect(contents).special)
    return reading.decode(contents, special, channels).numpy()


@pytest.mark.parametrize("form", ["PNG", "BMP"])
def test_lossless_files_give_the_pixels(form):
    contents = saved(NOISE, form)
    np.testing.assert_array_equal(decoded(contents), NOISE)
    header = reading.inspect(contents)
    assert header.size == (24, 35) and not header.grey and not header.remark


@pytest.mark.parametrize("form", ["PNG", "BMP", "GIF"])
def test_grey_files_give_the_pixels(form):
    contents = saved(NOISE[..., 0], form)
    np.testing.assert_array_equal(decoded(contents, 1)[..., 0], NOISE[..., 0])
    np.testing.assert_array_equal(decoded(contents)[..., 2], NOISE[..., 0])


def test_jpeg_is_what_pillow_reads():
    contents = saved(SMOOTH, "JPEG", quality=95)
    want = np.asarray(Image.open(io.BytesIO(contents))).astype(int)
    assert np.abs(decoded(contents) - want).max() <= 2


def test_cmyk_is_said_and_converted():
    contents = saved(Image.fromarray(SMOOTH).convert("CMYK"), "JPEG")
    want = np.asarray(Image.open(io.BytesIO(contents)).convert("RGB"))
    assert np.abs(decoded(contents) - want.astype(int)).max() <= 10
    assert "CMYK" in reading.inspect(contents).remark


@pytest.mark.parametrize("form", ["PNG", "BMP", "GIF"])
def test_palettes_are_converted(form):
    # TensorFlow shows the palette's numbers of a BMP as grey levels.
    contents = saved(Image.fromarray(SMOOTH).convert("P"), form)
    want = np.asarray(Image.open(io.BytesIO(contents)).convert("RGB"))
    np.testing.assert_array_equal(decoded(contents), want)
    assert form == "GIF" or "palette" in reading.inspect(contents).remark


def test_sixteen_bits_keep_the_upper_eight():
    deep = RANDOM.randint(0, 65536, (24, 35)).astype("uint16")
    contents = saved(deep, "PNG")
    np.testing.assert_array_equal(decoded(contents, 1)[..., 0], deep >> 8)
    header = reading.inspect(contents)
    assert "16 bits" in header.remark and header.grey


@pytest.mark.parametrize("grey", [False, True])
def test_what_is_transparent_is_white(grey):
    alpha = np.zeros((24, 35), "uint8")
    alpha[:, :20] = 255
    alpha[:, 20:25] = 128
    image = Image.fromarray(NOISE).convert("L" if grey else "RGB")
    image.putalpha(Image.fromarray(alpha))
    contents = saved(image, "PNG")
    got = decoded(contents, 1 if grey else 3).astype(int)
    original = np.asarray(Image.fromarray(NOISE).convert("L"))[..., None]
    original = (original if grey else NOISE).astype(int)
    np.testing.assert_array_equal(got[:, :20], original[:, :20])
    assert (got[:, 25:] == 255).all()
    half = np.abs(got[:, 20:25] - (original[:, 20:25] + 255) / 2)
    assert half.max() <= 1.5
    assert "white" in reading.inspect(contents).remark


def test_a_transparent_palette():
    image = Image.fromarray(SMOOTH).convert("P")
    contents = saved(image, "PNG", transparency=image.getpixel((3, 4)))
    assert (decoded(contents)[4, 3] == 255).all()


def test_an_animation_shows_its_first_frame():
    frames = [Image.fromarray(NOISE[..., k]) for k in range(3)]
    contents = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decoded(contents)[..., 1], NOISE[..., 0])
    assert "first frame" in reading.inspect(contents).remark


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "zero bytes"),
        (b"these are words", "not an image"),
        (saved(NOISE, "PNG")[:20], "not an image"),
        (saved(NOISE, "TIFF"), "TIFF, not one of PNG"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "is HEIC, not one of PNG"),
    ],
)
def test_what_is_no_image_is_refused(contents, message):
    with pytest.raises(ValueError, match=message):
        reading.inspect(contents)


def test_cover_keeps_what_has_the_size():
    np.testing.assert_array_equal(reading.cover(NOISE, 24, 35), NOISE)


@pytest.mark.parametrize("size", [(24, 24), (12, 12), (60, 31), (7, 90)])
def test_cover_scales_and_crops_the_centre(size):
    got = reading.cover(SMOOTH, *size).numpy().astype(int)
    factor = max(size[0] / 24, size[1] / 35)
    large = round(35 * factor), round(24 * factor)
    # Pillow's bilinear filter is antialiased too.
    want = np.asarray(Image.fromarray(SMOOTH).resize(large, Image.BILINEAR))
    top, left = (n - m for n, m in zip(want.shape, size, strict=False))
    want = want[top // 2 :, left // 2 :][: size[0], : size[1]]
    assert got.shape == (*size, 3)
    assert np.abs(got - want)[1:-1, 1:-1].max() <= 8
    assert np.abs(got - want).mean() < 1.5


@pytest.mark.parametrize("size", [(1, 1), (24, 35), (23, 35), (100, 3)])
def test_cover_gives_the_size_always(size):
    for shape in ((24, 35, 3), (1, 1, 3), (3, 500, 3), (37, 41, 1)):
        assert reading.cover(np.zeros(shape, "uint8"), *size).shape == (
            *size,
            shape[-1],
        )


def test_forms():
    assert image_files.forms(64, None, 3) == ((64, 64, 3), (64, 64, 3))
    assert image_files.forms(65, None, 3)[0] == (74, 74, 3)
    assert image_files.forms((96, 96), (96, 96), 1)[0] == (96, 96, 1)
    with pytest.raises(ValueError, match="`image_size` must be .*=0"):
        image_files.forms(0, None, 3)
    with pytest.raises(ValueError, match=r"`image_size` must be .*\(1, 2, 3\)"):
        image_files.forms((1, 2, 3), None, 3)


def test_files_are_read_by_number(tmp_path):
    paths = []
    for number, name in enumerate(["a b.png", "ä ö.png", "c.png"]):
        paths.append(str(tmp_path / name))
        Image.fromarray(NOISE + np.uint8(number)).save(paths[-1])
    files = image_files.ImageFiles(paths, [False] * 3, (24, 35, 3))
    assert files.shape == (3, 24, 35, 3) and files.paths == paths
    np.testing.assert_array_equal(files[2], NOISE + np.uint8(2))
    np.testing.assert_array_equal(files[:2][1], NOISE + np.uint8(1))
    some = files.subset([2, 0])
    np.testing.assert_array_equal(some(tf.constant([1]))[0], NOISE)
    assert len(some) == 2


def test_files_are_read_by_one_graph(tmp_path, monkeypatch):
    """Eagerly they were read one after another, ten times as slowly."""
    path = str(tmp_path / "a.png")
    Image.fromarray(NOISE).save(path)
    made = []
    monkeypatch.setattr(
        image_files, "decode", lambda *a: made.append(a) or reading.decode(*a)
    )
    files = image_files.ImageFiles([path] * 70, [False] * 70, (24, 35, 3))
    for part in (files[:70], files[:64], files.subset(range(65))[:]):
        np.testing.assert_array_equal(part[0], NOISE)
    assert len(made) == 1
    # A graph takes longer than a few of them.
    np.testing.assert_array_equal(files[:2][1], NOISE)
    assert len(made) == 3


def test_a_phone_writes_several_pictures_into_one_jpeg():
    first = Image.fromarray(NOISE)
    contents = saved(first, "MPO", save_all=True, append_images=[first])
    header = reading.inspect(contents)
    assert header.size == (24, 35) and not header.remark
    assert decoded(contents).shape == (24, 35, 3)


def test_cover_rounds():
    pixels = np.array([[[1], [2]], [[2], [2]]], "uint8")  # mean 1.75
    assert reading.cover(pixels, 1, 1) == 2


@pytest.mark.parametrize("mode", ["1", "L", "LA"])
def test_what_counts_as_grey(mode):
    assert reading.inspect(saved(Image.new(mode, (4, 4)), "PNG")).grey
    assert not reading.inspect(saved(Image.new("RGB", (4, 4)), "PNG")).grey


def test_sixteen_bits_with_a_transparent_level():
    deep = RANDOM.randint(0, 65536, (24, 35)).astype("uint16")
    contents = saved(deep, "PNG", transparency=int(deep[3, 4]))
    got = decoded(contents, 1)[..., 0]
    clear = deep == deep[3, 4]
    assert (got[clear] == 255).all()
    np.testing.assert_array_equal(got[~clear], deep[~clear] >> 8)


def test_a_picture_like_a_line_takes_little_memory():
    line = np.zeros((1, 30000, 3), "uint8")
    line[0, ::2] = 255
    assert reading.cover(line, 224, 224).shape == (224, 224, 3)
