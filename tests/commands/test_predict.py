"""From a classifier and a folder of files to a table."""

import contextlib
import csv
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import PIL.Image
import pytest
import scripts

from mpl_keras import datasets, export
from mpl_keras.commands.predict import COMMAND, class_table
from mpl_keras.export import write


def predict(*arguments, **options):
    return scripts.command("predict", *arguments, **options)


def test_the_table(classifier_file, picture_folder, bad_pictures, tmp_path):
    output = tmp_path / "p.csv"
    done = predict(
        classifier_file,
        picture_folder,
        f"--output={output}",
        "--all_probabilities",
    )
    assert done.returncode == 0, done.stderr
    assert "76 files" in done.stdout and "5 with errors" in done.stdout
    head, *shown, last = done.stdout.split("\n", 1)[1].splitlines()
    assert head == "files  class" and 1 <= len(shown) <= 3
    assert last.startswith("the column `error` of the table says")
    with open(output, newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 76
    assert set(rows[0]) == {
        *("file", "class", "probability", "error"),
        *("p(cat)", "p(<b>)", "p(a,b)"),
    }
    assert {row["file"] for row in rows if row["error"]} == set(bad_pictures)
    for row in rows:
        if not row["error"]:
            values = {k: float(row[f"p({k})"]) for k in ("cat", "<b>", "a,b")}
            assert max(values, key=values.get) == row["class"]
            assert float(row["probability"]) == max(values.values())
    # One file alone.
    one = tmp_path / "one.csv"
    done = predict(
        classifier_file, picture_folder / "alpha.png", f"--output={one}"
    )
    assert done.returncode == 0, done.stderr
    with open(one, newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["file"] == "alpha.png" and row["class"]
    before = output.read_text()
    done = predict(classifier_file, picture_folder, f"--output={output}")
    assert done.returncode == 1 and "--output must be free" in done.stderr
    assert "unless --overwrite is set" in done.stderr
    assert "filepath" not in done.stderr
    assert output.read_text() == before


def test_the_classes_in_the_terminal():
    """Heads, numbers that end in one column, 80 columns, and what is left."""
    classes = {f"class {n}": 30 - n for n in range(22)}
    classes |= {"x" * 100: 12345, "\u732b" * 60: 1000, "a\x1b[31m\n": 999}
    lines = class_table(export.Counts(unit="rows", classes=classes))
    assert lines[0] == "  rows  class"
    assert lines[1] == "12,345  " + 69 * "x" + "..."
    assert lines[2] == " 1,000  " + 34 * "\u732b" + "..."
    assert lines[3] == r"   999  a\x1b[31m\n"
    assert lines[4] == "    30  class 0"
    assert lines[-1] == "    55  in 5 more classes" and len(lines) == 22
    assert max(map(len, lines)) == 80
    assert class_table(export.Counts()) == []


def test_mistakes_are_said(classifier_file, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    network = tmp_path / "compared" / "uda_aligned-0" / "network"
    network.mkdir(parents=True)
    (network / "saved_model.pb").touch()
    here = pathlib.Path(__file__).parent
    for arguments, code, message in (
        ([classifier_file], 2, "usage"),
        (
            [classifier_file, tmp_path / "none"],
            1,
            "FOLDER must be a folder or an image",
        ),
        ([tmp_path / "empty", here], 1, "which holds none of these"),
        (
            [network.parent.parent, here],
            1,
            f"such as a comparison. Take one of its runs: {network.parent}",
        ),
        ([classifier_file.parent, tmp_path], 1, "which holds net.keras"),
        ([classifier_file, tmp_path / "empty"], 1, "must hold image files"),
        ([tmp_path / "no.onnx", here], 1, "does not exist"),
        ([__file__, here], 1, "MODEL must be a SavedModel's folder, or end in"),
    ):
        with pytest.raises(SystemExit) as stop:
            COMMAND.run([*map(str, arguments), f"--output={tmp_path}/p.csv"])
        error = capsys.readouterr().err
        assert stop.value.code == code and message in error
        assert error.startswith("mpl-keras predict: ")
        assert "Traceback" not in error
        assert "`path`" not in error and "path=" not in error
    assert sorted(os.listdir(tmp_path)) == ["compared", "empty"]


@pytest.mark.slow
def test_a_run_stands_for_its_student(
    classifier_file, picture_data, picture_folder, tmp_path
):
    net = keras.saving.load_model(classifier_file, compile=False)
    write.write_classifier(net, tmp_path / "student", picture_data)
    tables = []
    for number, named in enumerate((classifier_file, tmp_path)):
        output = tmp_path / f"{number}.csv"
        done = predict(named, picture_folder, f"--output={output}")
        assert done.returncode == 0, done.stderr
        tables.append(output.read_text())
    assert tables[0] == tables[1]
    assert f"model      {tmp_path}/student" in done.stdout


@pytest.mark.slow
def test_it_is_quiet(classifier_file, picture_folder, tmp_path):
    """But for what libjpeg itself says of a damaged file."""
    done = predict(
        classifier_file,
        picture_folder / "sub",
        f"--output={tmp_path}/p.csv",
        true=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("70 files in ")


def test_what_is_no_file_is_noted(classifier_file, tmp_path, capsys):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures/a.png").symlink_to(classifier_file)
    arguments = [str(classifier_file), str(tmp_path / "pictures")]
    with pytest.raises(SystemExit):
        COMMAND.run([*arguments, f"--output={tmp_path}/p.csv"])
    said = capsys.readouterr()
    assert "must hold image files" in said.err
    assert said.out.startswith("note: ")
    assert "a.png is a link that leaves the folder" in said.out


@pytest.mark.slow
@pytest.mark.skipif(
    not os.path.exists("/proc/self/status"), reason="it says what memory was"
)
def test_memory_of_a_picture_that_nobody_asked_for(tmp_path, capsys):
    """20,000 x 20,000 pixels in 48 KB, beside 100 pictures."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(100):
        noise = rng.integers(0, 256, (64, 64, 3), np.uint8)
        PIL.Image.fromarray(noise).save(folder / f"{number}.png")
    PIL.Image.new("1", (20000, 20000)).save(folder / "huge.png")
    x = np.zeros((4, 32, 32, 3), "uint8")
    data = datasets.from_arrays(x[:2], [0, 1], x[2:])
    layers = [keras.Input((32, 32, 3)), keras.layers.Flatten()]
    net = keras.Sequential([*layers, keras.layers.Dense(2)])
    write.write_classifier(net, tmp_path / "model", data)
    code = f"""
from mpl_keras.commands.main import main
main(["", "predict", "{tmp_path}/model", "{folder}",
      "--output={tmp_path}/p.csv"])
status = dict(line.split(":") for line in open("/proc/self/status"))
print("peak", status["VmHWM"].split()[0])
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(scripts.ROOT)},
    )
    assert done.returncode == 0, done.stderr
    peak = int(done.stdout.split()[-1]) / 2**20  # GB
    with capsys.disabled():
        print(f"peak resident memory: {peak:.2f} GB")
    assert peak < 1.5
    with open(tmp_path / "p.csv", newline="") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    assert "too many pixels, 20,000 x 20,000" in rows.pop("huge.png")["error"]
    assert len(rows) == 100 and all(row["class"] for row in rows.values())


def test_help(capsys):
    COMMAND.run(["--help"])
    text = capsys.readouterr().out
    assert text.startswith("usage: mpl-keras predict MODEL FOLDER [flags]")
    assert "--output=TEXT\n" in text and "(default: predictions.csv)" in text


@pytest.mark.parametrize("errors", [1, 2])
def test_nothing_classified_is_a_failure(errors, monkeypatch, capsys):
    """As where every file is broken."""
    counts = export.Counts(files=2, errors=errors, seconds=1.0)
    monkeypatch.setattr("mpl_keras.runs.find_classifier", str)
    monkeypatch.setattr(export, "write_predictions", lambda *a, **k: counts)
    with contextlib.ExitStack() as stack:
        if errors == 2:
            stack.enter_context(pytest.raises(SystemExit, match="1"))
        COMMAND.run(["model", "folder"])
    said = capsys.readouterr()
    assert ("none of the files" in said.err) == (errors == 2)
    assert "with errors; wrote" in said.out
    assert ("the column `error`" in said.out) == (errors > 0)
