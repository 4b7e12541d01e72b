"""The table: UTF-8, one line for each file, whatever names there are."""

import csv
import os

import numpy as np
import pytest

from mpl_keras.commands.predict import COMMAND
from mpl_keras.export import loading, prediction_table
from mpl_keras.images import preprocessing

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "'")
NAMES = {
    b"plain.png": "plain.png",
    "ü 猫.png".encode(): "ü 猫.png",
    b"=1+1.png": "./=1+1.png",
    b"+2.png": "./+2.png",
    b"-3.png": "./-3.png",
    b"@SUM(A1).png": "./@SUM(A1).png",
    "\uff1d4.png".encode(): "./\uff1d4.png",
    b" =5.png": "./ =5.png",
    b"\t=6.png": r"\t=6.png",
    b"a;=7.png": "a;=7.png",
    b'a,b "c".png': 'a,b "c".png',
    b"two\nlines\r.png": r"two\nlines\r.png",
    b"two\\nlines.png": r"two\\nlines.png",
    b"\x1b[31mred.png": r"\x1b[31mred.png",
    b"bytes \xff\xfe.png": r"bytes \xff\xfe.png",
    "turned \u202egnp.png".encode(): r"turned \u202egnp.png",
}
CLASSES = ("=cmd|' /C calc'!A0", "\x1b[31m\nred")


class Stub(loading.Classifier):
    """Classes of odd names."""

    def __init__(self, path):
        prepare = preprocessing.ImagePreprocessing((4, 4), 1)
        config = prepare.get_config()
        super().__init__({"class_names": CLASSES, "preprocessing": config})

    def _run(self, images):
        first = np.arange(len(images)) % 2
        return np.stack([first, 1 - first], -1).astype("float32")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "load", Stub)
    path = tmp_path / "pictures"
    path.mkdir()
    image = b"BM" + bytes(60)  # no picture: an error has its row too
    png = (
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0:~\x9bU"
        b"\0\0\0\nIDATx\x9cc`\0\0\0\x02\0\x01H\xaf\xa4q\0\0\0\0IEND\xaeB`\x82"
    )
    for number, name in enumerate(NAMES):
        with open(os.path.join(os.fsencode(path), name), "wb") as file:
            file.write(png if number % 5 else image)
    return path


def test_the_table_is_safe(folder, tmp_path):
    output = tmp_path / "p.csv"
    counts = prediction_table.write_predictions(
        "stub", folder, output, all_probabilities=True
    )
    assert counts.files == len(NAMES) and counts.errors == 4
    lines = output.read_bytes().decode("utf-8").split("\r\n")
    assert len(lines) == len(NAMES) + 2 and lines[-1] == ""
    assert all(line.isprintable() for line in lines)
    head, *rows = csv.reader(lines[:-1])
    assert {row[0] for row in rows} == set(NAMES.values())
    for row in (head, *rows):
        assert len(row) == 6
        assert not any(cell.startswith(FORMULA[:-1]) for cell in row)
    assert {row[1] for row in rows} == {
        "",
        "'=cmd|' /C calc'!A0",
        r"\x1b[31m\nred",
    }
    # A spreadsheet that divides at semicolons finds no cell within a name.
    (odd,) = (line for line in lines if ";" in line)
    assert odd.startswith('"a;=7.png"')
    # The paths of formulas are paths still.
    for shown in NAMES.values():
        if shown.startswith("./"):
            assert (folder / shown).exists()


def test_the_terminal_is_safe(folder, tmp_path, capsys):
    model = tmp_path / "stub.keras"
    model.touch()
    COMMAND.run([str(model), str(folder), f"--output={tmp_path}/\x1bp.csv"])
    said = capsys.readouterr()
    assert r"\x1b[31m\nred" in said.out
    assert "\x1b" not in said.out + said.err
    with pytest.raises(SystemExit):
        COMMAND.run([str(model), f"{folder}/\x1b[31m\nnone"])
    said = capsys.readouterr()
    assert r"\x1b[31m\nnone" in said.err and "\x1b" not in said.err
