"""A folder of files through a classifier: every file gets its row."""

import csv
import os
import pathlib

import keras
import numpy as np
import PIL.Image
import pytest
import scripts

from mpl_keras import datasets
from mpl_keras.datasets import image_files
from mpl_keras.export import classifiers, prediction, write
from mpl_keras.images import reading

SCRIPT = pathlib.Path(__file__).parents[2] / "examples" / "predict.py"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """An exported classifier of 12 x 12 images in colour."""
    keras.utils.set_random_seed(0)
    layers = [keras.Input((12, 12, 3)), keras.layers.Flatten()]
    net = keras.Sequential([*layers, keras.layers.Dense(3)])
    path = tmp_path_factory.mktemp("model") / "net.keras"
    write.write_classifier(net, path, data(), format="keras")
    return path


def data():
    x = np.zeros((6, 12, 12, 3), "uint8")
    return datasets.from_arrays(
        x, np.arange(6) % 3, x, class_names=("cat", "<b>", "a,b")
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """80 files: PNG of the model's size and others, JPEG, BMP, GIF, damaged."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "sub").mkdir()
    rng = np.random.default_rng(0)
    for i in range(70):
        side = 12 if i % 3 else 20
        image = PIL.Image.fromarray(
            rng.integers(0, 256, (side, side, 3), np.uint8)
        )
        ending = ("png", "png", "jpg", "bmp", "gif")[i % 5]
        image.save(folder / "sub" / f"{i:02}.{ending}")
    alpha = rng.integers(0, 256, (12, 12, 4), np.uint8)
    PIL.Image.fromarray(alpha).save(folder / "alpha.png")
    whole = (folder / "sub" / "01.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[:100])
    (folder / "cut.jpg").write_bytes(
        (folder / "sub" / "02.jpg").read_bytes()[:300]
    )
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("no picture")
    tiff = PIL.Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8))
    tiff.save(folder / "a.tiff")
    (folder / ".hidden").write_text("not looked at")
    return folder


BAD = {
    "a.tiff": "TIFF",
    "cut.jpg": "damaged",
    "cut.png": "damaged or truncated",
    "empty.png": "zero bytes",
    "text.png": "not an image",
}


@pytest.mark.parametrize("batch_size", [1, 7, 256])
def test_every_file_gets_a_prediction(batch_size, model, folder):
    classifier = classifiers.load(model)
    paths = sorted(str(p) for p in folder.rglob("[!.]*") if p.is_file())
    paths.append(str(folder / "gone.png"))
    found = list(prediction.predict_files(classifier, paths, batch_size))
    assert [p.path for p in found] == paths
    for path, probabilities, error in found:
        name = os.path.basename(path)
        if name in BAD or name == "gone.png":
            assert probabilities is None
            assert BAD.get(name, "cannot be opened") in error
        else:
            # As training and evaluation see the file.
            header = reading.inspect(pathlib.Path(path).read_bytes())
            source = image_files.ImageFiles(
                [path], [header.special], (12, 12, 3)
            )
            expected = classifier(source[:1])[0]
            np.testing.assert_allclose(probabilities, expected, atol=1e-6)
            assert error == ""


def run(*arguments):
    return scripts.run(SCRIPT, *arguments)


def test_the_table(model, folder, tmp_path):
    output = tmp_path / "p.csv"
    done = run(model, folder, f"--output={output}", "--all_probabilities")
    assert done.returncode == 0, done.stderr
    assert "76 files" in done.stdout and "5 with errors" in done.stdout
    with open(output, newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 76
    assert set(rows[0]) == {
        *("file", "class", "probability", "error"),
        *("p(cat)", "p(<b>)", "p(a,b)"),
    }
    assert {row["file"] for row in rows if row["error"]} == set(BAD)
    for row in rows:
        if not row["error"]:
            values = {k: float(row[f"p({k})"]) for k in ("cat", "<b>", "a,b")}
            assert max(values, key=values.get) == row["class"]
            assert float(row["probability"]) == max(values.values())
    # One file alone.
    one = tmp_path / "one.csv"
    done = run(model, folder / "alpha.png", f"--output={one}")
    assert done.returncode == 0, done.stderr
    with open(one, newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["file"] == "alpha.png" and row["class"]
    before = output.read_text()
    done = run(model, folder, f"--output={output}")
    assert done.returncode == 1 and "--output must be free" in done.stderr
    assert "filepath" not in done.stderr
    assert output.read_text() == before


def test_mistakes_are_said(model, tmp_path):
    (tmp_path / "empty").mkdir()
    for arguments, message in (
        ([model], "usage"),
        ([model, tmp_path / "none"], "FOLDER must be a folder or an image"),
        ([tmp_path, tmp_path], "which holds none of these"),
        ([model.parent, tmp_path], "which holds net.keras"),
        ([model, tmp_path / "empty"], "must hold image files"),
        ([tmp_path / "no.onnx", SCRIPT.parent], "does not exist"),
    ):
        done = run(*arguments, f"--output={tmp_path}/p.csv")
        assert done.returncode == 1 and message in done.stderr
        assert "Traceback" not in done.stderr
        assert "`path`" not in done.stderr and "path=" not in done.stderr
    assert os.listdir(tmp_path) == ["empty"]


def test_a_run_stands_for_its_student(model, folder, tmp_path):
    net = keras.saving.load_model(model, compile=False)
    write.write_classifier(net, tmp_path / "student", data())
    tables = []
    for number, named in enumerate((model, tmp_path)):
        output = tmp_path / f"{number}.csv"
        done = run(named, folder, f"--output={output}")
        assert done.returncode == 0, done.stderr
        tables.append(output.read_text())
    assert tables[0] == tables[1]
    assert f"model      {tmp_path}/student" in done.stdout
