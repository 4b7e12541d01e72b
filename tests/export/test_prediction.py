"""A folder of files through a classifier: every file gets its row."""

import os
import pathlib
import zlib

import numpy as np
import PIL.Image
import pytest

from mpl_keras.datasets import image_files
from mpl_keras.export import loading, prediction
from mpl_keras.export.table_classifier import TableClassifier
from mpl_keras.images import preprocessing, reading


@pytest.mark.slow_cases("1", "256")
@pytest.mark.parametrize("batch_size", [1, 7, 256])
def test_every_file_gets_a_prediction(
    batch_size, classifier_file, picture_folder, bad_pictures
):
    classifier = loading.load(classifier_file)
    paths = sorted(str(p) for p in picture_folder.rglob("[!.]*") if p.is_file())
    paths.append(str(picture_folder / "gone.png"))
    found = list(prediction.predict_files(classifier, paths, batch_size))
    assert [p.path for p in found] == paths
    # As training and evaluation see the files.
    whole = [path for path, _, error in found if not error]
    special = [
        reading.inspect(pathlib.Path(path).read_bytes()).special
        for path in whole
    ]
    source = image_files.ImageFiles(whole, special, (12, 12, 3))
    expected = dict(zip(whole, classifier(source[:]), strict=True))
    for path, probabilities, error in found:
        name = os.path.basename(path)
        if name in bad_pictures or name == "gone.png":
            assert probabilities is None
            assert bad_pictures.get(name, "cannot be opened") in error
        else:
            np.testing.assert_allclose(probabilities, expected[path], atol=1e-6)
            assert error == ""


class Pixels(loading.Classifier):
    """Gives the first pixels as they are."""

    def _run(self, images):
        return images.reshape(len(images), -1)[:, :2].astype("float32")


def classifier(channels=3, **options):
    prepare = preprocessing.ImagePreprocessing((12, 12), channels, **options)
    config = {"preprocessing": prepare.get_config(), "class_names": "ab"}
    return Pixels(config)


NOISE = np.random.default_rng(0).integers(0, 256, (20, 16, 4), np.uint8)
COLORS = PIL.Image.fromarray(NOISE[..., :3])
TURNED = PIL.Image.Exif()
TURNED[0x0112] = 6
FILES = {
    "cmyk.jpg": (PIL.Image.frombytes("CMYK", (16, 20), NOISE), {}),
    "made.jpg": (COLORS.convert("CMYK"), {"quality": 95}),
    "turned.jpg": (COLORS.convert("CMYK"), {"exif": TURNED}),
    "small.jpg": (PIL.Image.frombytes("CMYK", (12, 12), NOISE), {}),
    "progressive.jpg": (COLORS, {"progressive": True, "exif": TURNED}),
    "turned.png": (PIL.Image.fromarray(NOISE), {"exif": TURNED}),
    "deep.png": (PIL.Image.fromarray(NOISE[..., 0] * np.uint16(257)), {}),
    "palette.bmp": (COLORS.quantize(9), {}),
}


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd")
    for name, (image, options) in FILES.items():
        image.save(folder / name, **options)
    return [str(folder / name) for name in FILES]


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_what_training_takes_prediction_takes(
    channels, large, paths, monkeypatch, capfd
):
    """And the same pixels; CMYK of printers among it."""
    if large:  # decoded one after another
        monkeypatch.setattr(reading, "LARGE", 10)
    reader = prediction._Reader(classifier(channels).preprocessing)
    canvas, errors = reader.read(paths)
    special = [
        reading.inspect(pathlib.Path(path).read_bytes()).special
        for path in paths
    ]
    source = image_files.ImageFiles(paths, special, (12, 12, channels))
    assert errors == {}
    np.testing.assert_array_equal(canvas, source[:])
    assert capfd.readouterr().err == ""  # libjpeg has nothing to say


@pytest.fixture(scope="module")
def huge(tmp_path_factory):
    """A PNG of 48 KB whose 20,000 x 20,000 pixels are white, or are not."""
    size = (20000).to_bytes(4, "big")
    pieces = {
        b"IHDR": size + size + bytes([1, 0, 0, 0, 0]),
        b"IDAT": zlib.compress(bytes(20000 * 2501)),
        b"IEND": b"",
    }
    contents = reading.PNG
    for name, body in pieces.items():
        check = zlib.crc32(name + body).to_bytes(4, "big")
        contents += len(body).to_bytes(4, "big") + name + body + check
    path = tmp_path_factory.mktemp("huge") / "huge.png"
    path.write_bytes(contents)
    return str(path)


def test_too_many_pixels_are_an_error(huge, paths, capfd):
    found = list(prediction.predict_files(classifier(), [huge, *paths]))
    assert "too many pixels, 20,000 x 20,000" in found[0].error
    assert not any(row.error for row in found[1:])
    # What training took; what the caller says.
    for rows in (
        prediction.predict_files(classifier(max_pixels=319), paths),
        prediction.predict_files(classifier(), paths, max_pixels=319),
    ):
        errors = [row.error for row in rows]
        assert [bool(error) for error in errors] == [
            name != "small.jpg" for name in FILES
        ]
        assert errors[0].startswith("has too many pixels, 16 x 20")
    with pytest.raises(ValueError, match="`max_pixels` must be"):
        next(prediction.predict_files(classifier(), paths, max_pixels=0))
    assert capfd.readouterr().err == ""


def test_a_classifier_of_tables_takes_no_files():
    columns = [{"name": "age", "input": "age", "kind": "numbers"}]
    known = {"class_names": "ab", "missing": [], "columns": columns}
    rows = TableClassifier(known, dict)
    with pytest.raises(ValueError, match="images.*tables.*TableClassifier"):
        next(prediction.predict_files(rows, ["a.png"]))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 2, 3, 1)), "float64 of shape.*Of floats from 0 to 1"),
        (np.zeros((2, 3, 1), "uint8"), "of shape .2, 3, 1.*`x.None.` makes"),
        (np.zeros((5, 2, 3), "uint8"), "of shape .5, 2, 3.*an axis of chan"),
        (np.zeros((5, 2, 3, 3), "uint8"), r"\[N, 2, 3, 1\]. Received"),
        (np.zeros((5, 3, 3, 1), "uint8"), r"\[N, 2, 3, 1\]. Received"),
        ([[0.5]], r"float64 of shape \[1, 1\]"),
    ],
)
def test_images_that_a_classifier_does_not_take(images, message):
    form = preprocessing.ImagePreprocessing((2, 3), channels=1)
    known = {"class_names": "ab", "preprocessing": form.get_config()}
    classifier = Pixels(known)
    assert classifier(np.ones((4, 2, 3, 1), "uint8")).shape == (4, 2)
    with pytest.raises(ValueError, match=f"`images` must be uint8.*{message}"):
        classifier(images)
