"""The examples, run as people run them."""

import os
import pathlib
import re
import shutil

import numpy as np
import pytest
import scripts
import tensorflow as tf
from PIL import Image

from mpl_keras import datasets

ROOT = pathlib.Path(__file__).parents[2]
PNG = b"\x89PNG\r\n\x1a\n"


def run(script, *flags, cwd, true=False):
    return scripts.run(ROOT / "examples" / script, *flags, cwd=cwd, true=true)


@pytest.mark.slow
def test_digits(tmp_path):
    flags = "--num_labeled=20", "--seed=3", "--steps=300"
    texts = []
    for out in ("one", "other"):
        result = run(
            "digits.py",
            *flags,
            f"--output_dir={out}",
            cwd=tmp_path,
            true=out == "one",
        )
        assert result.returncode == 0, result.stderr
        texts.append(result.stdout.splitlines()[-2:])
    # The same flags give the same result.
    assert texts[0] == texts[1]
    supervised, student = (
        float(re.search(r" (\d+\.\d\d) %$", text)[1]) for text in texts[0]
    )
    assert supervised > 60
    assert student > 60
    out = tmp_path / "one"
    assert set(os.listdir(out)) == {
        *("confusion_matrix.png", "student", "student.md")
    }
    assert (out / "confusion_matrix.png").read_bytes().startswith(PNG)
    classifier = tf.saved_model.load(str(out / "student"))
    given = classifier.serve(np.zeros((7, 30, 20, 1), "uint8"))
    assert given["probabilities"].shape == (7, 10)

    # A second start does not overwrite, and says so at once.
    again = run("digits.py", "--output_dir=one", cwd=tmp_path)
    assert again.returncode != 0
    assert "--output_dir=one: must be a new folder" in again.stderr


@pytest.mark.parametrize(
    "flag, message",
    [
        ("--seed=one", "one"),
        ("--num_labeled=15", "num_labeled"),
        ("--steps=0", "steps"),
        ("surplus", "surplus"),
    ],
)
def test_digits_refuses_wrong_flags_before_it_writes(flag, message, tmp_path):
    result = run("digits.py", flag, "--output_dir=out", cwd=tmp_path)
    assert result.returncode != 0
    assert message in result.stderr + result.stdout
    assert "step " not in result.stdout
    assert not os.path.exists(tmp_path / "out")


def test_two_moons(tmp_path):
    result = run("two_moons.py", "--steps=60", "--output_dir=out", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    last = result.stdout.splitlines()[-1]
    assert re.fullmatch(r"test accuracy: \d+\.\d\d %", last)
    assert (tmp_path / "out/boundaries.png").read_bytes().startswith(PNG)
    again = run("two_moons.py", "--output_dir=out", cwd=tmp_path)
    assert again.returncode != 0
    assert "--output_dir=out: must be a new folder" in again.stderr


def make_pictures(folder):
    """200 unlabeled digits as files, 20 labeled ones and 50 to test with."""
    data = datasets.digits(20, dtype="uint8", labeled_in_unlabeled=False)
    x, y = next(iter(data.test))
    sets = {
        "labeled": data.labeled,
        "test": (x.numpy()[:50], y.numpy()[:50]),
        "unlabeled": (data.unlabeled[:200], [""] * 200),
    }
    for name, (images, labels) in sets.items():
        for number, (image, label) in enumerate(
            zip(images, labels, strict=True)
        ):
            path = folder / name / str(label) / f"{number:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[..., 0]).save(path)


@pytest.mark.slow
def test_train_images(tmp_path):
    make_pictures(tmp_path / "pictures")
    flags = "--folder=pictures", "--output_dir=out", "--steps=40", "--seed=1"
    result = run("train_images.py", *flags, cwd=tmp_path, true=True)
    assert result.returncode == 0, result.stderr
    assert "SemiSupervisedData(labeled=20, unlabeled=220" in result.stdout
    *_, accuracy, first, _, _, _, _ = result.stdout.splitlines()
    assert re.fullmatch(r"test accuracy: \d+\.\d\d %", accuracy)
    assert re.fullmatch(r"pictures/unlabeled/000.png: \d, \d+ %", first)
    out = tmp_path / "out"
    assert set(os.listdir(out)) == {"backups", "logs", "student", "student.md"}
    # What is finished is not written over, and a backup is gone on from.
    again = run("train_images.py", *flags, cwd=tmp_path)
    assert again.returncode != 0
    assert "FileInTheWayError" in again.stderr.splitlines()[-1]
    shutil.move(out / "student", tmp_path)
    third = run("train_images.py", *flags, cwd=tmp_path)
    assert third.returncode == 0, third.stderr
    assert third.stdout.splitlines()[-6:] == result.stdout.splitlines()[-6:]
    wrong = run("train_images.py", *flags, "--steps=15", cwd=tmp_path)
    assert wrong.returncode != 0
    assert "--steps=15: must be a multiple of 10" in wrong.stderr


@pytest.mark.parametrize(
    "script", sorted(file.name for file in (ROOT / "examples").glob("*.py"))
)
def test_every_script_has_help(script, tmp_path):
    text = run(script, "--help", cwd=tmp_path).stdout
    assert "--output" in text
    assert "--seed" in text


@pytest.mark.slow
def test_text(tmp_path):
    with open(tmp_path / "mails.csv", "w", encoding="utf-8") as file:
        file.write("folder,body\n")
        for number in range(60):
            name, word = ("work", "sea")[number % 2], number % 7
            kept = name if number < 40 else ""
            file.write(f'{kept},"Word{word} {name}{word}, über"\n')
    flags = (
        *("--csv=mails.csv", "--text=body", "--label=folder", "--steps=200"),
        *("--num_labeled=8", "--output_dir=out"),
    )
    result = run("text.py", *flags, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    last = result.stdout.splitlines()[-1]
    assert re.fullmatch(r"test accuracy: \d+\.\d\d %", last)
    lines = (tmp_path / "out/predictions.csv").read_text().splitlines()
    assert lines[0] == "row,predicted,probability" and len(lines) == 21
    assert lines[1].startswith("40,")
    model = tf.saved_model.load(str(tmp_path / "out/classifier"))
    answer = model.signatures["serving_default"](
        strings=tf.constant(["Word3 sea3, über", "Word3 work3"])
    )
    assert set(answer["classes"].numpy()) <= {b"sea", b"work"}
    again = run("text.py", "--output_dir=out", cwd=tmp_path)
    assert again.returncode != 0
    assert "--output_dir=out: must be a new folder" in again.stderr


@pytest.mark.slow
def test_a_table_with_gaps(tmp_path):
    rows = [["age", "town", "kind"]]
    for n in range(40):
        kind = "no" if n % 20 < 10 else "yes"
        rows.append([str(n % 20), "ab"[n % 2], kind if n < 30 else ""])
    rows[4][0] = rows[5][1] = ""
    (tmp_path / "own.csv").write_text("\n".join(map(",".join, rows)))
    flags = "--csv=own.csv", "--target=kind", "--steps=20", "--output_dir=out"
    refused = run("tabular.py", *flags, cwd=tmp_path)
    assert refused.returncode != 0
    assert "`fill_missing=True`" in refused.stderr
    filled = run("tabular.py", *flags, "--fill_missing", cwd=tmp_path)
    assert filled.returncode == 0, filled.stderr
    assert set(os.listdir(tmp_path / "out")) == {
        *("classifier", "classifier.json", "classifier.md", "predictions.csv")
    }
