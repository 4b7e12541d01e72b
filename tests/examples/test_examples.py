"""The examples and the README's quick start, run as people run them."""

import csv
import json
import os
import pathlib
import re

import numpy as np
import pytest
import scripts
import tensorflow as tf

ROOT = pathlib.Path(__file__).parents[2]
PNG = b"\x89PNG\r\n\x1a\n"


def run(script, *flags, cwd, true=False):
    return scripts.run(ROOT / "examples" / script, *flags, cwd=cwd, true=true)


def test_digits(tmp_path):
    result = run(
        "digits.py",
        "--num_labeled=20",
        "--seeds=3,4",
        "--methods=mpl,no_feedback",
        "--feedback_weight=0.1",
        "--steps=40",
        "--output_dir=out",
        cwd=tmp_path,
        true=True,
    )
    assert result.returncode == 0, result.stderr
    last = result.stdout.splitlines()[-1]
    assert re.fullmatch(r"mpl +\d+\.\d\d ± \d+\.\d\d", last)
    assert "mpl minus no_feedback, paired:" in result.stdout
    out = tmp_path / "out"
    with open(out / "results.csv") as file:
        rows = list(csv.DictReader(file))
    assert [(row["method"], row["seed"]) for row in rows] == [
        (method, seed)
        for seed in ("3", "4")
        for method in ("no_feedback", "mpl")
    ]
    mean = np.mean(
        [float(row["accuracy"]) for row in rows if row["method"] == "mpl"]
    )
    assert float(last.split()[1]) == pytest.approx(mean, abs=0.006)
    for name in ("curves.png", "confusion_matrix.png"):
        assert (out / name).read_bytes().startswith(PNG)
    settings = json.loads((out / "settings.json").read_text())
    assert settings["steps"] == 40 and settings["seeds"] == ["3", "4"]
    student = tf.saved_model.load(str(out / "student"))
    given = student.serve(np.zeros((7, 30, 20, 1), "uint8"))
    assert given["probabilities"].shape == (7, 10)

    # A second start does not overwrite, and says so at once.
    again = run("digits.py", "--output_dir=out", cwd=tmp_path)
    assert again.returncode != 0
    assert "--output_dir" in again.stderr and "out" in again.stderr


@pytest.mark.parametrize(
    "flag, message",
    [
        ("--methods=mpl,magic", "magic"),
        ("--seeds=one", "one"),
        ("--num_labeled=15", "num_labeled"),
        ("--steps=0", "steps"),
        ("surplus", "surplus"),
    ],
)
def test_digits_refuses_wrong_flags_before_it_writes(flag, message, tmp_path):
    result = run("digits.py", flag, "--output_dir=out", cwd=tmp_path)
    assert result.returncode != 0
    assert message in result.stderr + result.stdout
    assert "seed 0:" not in result.stdout
    assert not os.path.exists(tmp_path / "out")


def test_two_moons(tmp_path):
    result = run(
        "two_moons.py",
        "--seeds=0",
        "--steps=60",
        "--num_points=200",
        "--output_dir=out",
        cwd=tmp_path,
        true=True,
    )
    assert result.returncode == 0, result.stderr
    assert re.fullmatch(r"mpl +\d+\.\d\d", result.stdout.splitlines()[-1])
    assert (tmp_path / "out/boundaries.png").read_bytes().startswith(PNG)


def test_the_code_of_the_readme(tmp_path):
    """All of it, one piece after the other, as a newcomer would paste it."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    use, quick_start, serve, arrays, own = re.findall(
        r"```python\n(.*?)```", text, re.DOTALL
    )
    lines = [line for line in quick_start.splitlines() if line.strip()]
    assert len(lines) <= 25
    code = f"""{quick_start}
import os
from PIL import Image
os.makedirs("run")
model.export("run/student", data=data)
Image.new("RGB", (50, 40), "red").save("new.png")
{use}
assert answer["probabilities"].shape == (1, 10)
assert abs(float(keras.ops.sum(answer["probabilities"])) - 1) < 1e-5
accuracy = model.evaluate(data.test, verbose=0, return_dict=True)["accuracy"]
assert accuracy > 0.7, accuracy
images = (255 * data.labeled[0][:7]).astype("uint8")
{serve}
assert answer["probabilities"].shape == (7, 10)
digits = train
import numpy as np
x_unlabeled = np.random.default_rng(0).normal(size=(90, 4)).astype("float32")
x_labeled, y_labeled = x_unlabeled[:6], np.arange(6) % 3
x_val, y_val = x_test, y_test = x_unlabeled[6:20], np.arange(14) % 3
{arrays}
views, y = next(iter(train))
assert views["strong"].shape == (64, 4) and y.shape == (16,)
train = digits
{own}
assert float(model.uda.weight) > 1.9
"""
    result = scripts.run_code(code, tmp_path, cwd=tmp_path)
    assert result.returncode == 0, result.stderr[-3000:]


@pytest.mark.parametrize(
    "script", sorted(file.name for file in (ROOT / "examples").glob("*.py"))
)
def test_every_script_has_help(script, tmp_path):
    text = run(script, "--help", cwd=tmp_path).stdout
    assert "--output" in text
    assert "--seed" in text
