"""The search of settings on validation pictures."""

import importlib.util
import json
import os

import numpy as np
import pytest
import scripts
from PIL import Image

from mpl_keras import runs
from mpl_keras.commands.tune import COMMAND


def tune(*flags, cwd, **options):
    return scripts.command("tune", *flags, cwd=cwd, **options)


@pytest.mark.slow
def test_tune(tmp_path):
    flags = "--trials=1", "--steps=20", "--output_dir=out"
    first = tune(*flags, cwd=tmp_path, true=True)
    assert first.returncode == 0, first.stderr[-2000:]
    assert first.stderr == ""
    refused = tune(*flags, cwd=tmp_path)
    assert refused.returncode == 1 and "--output_dir" in refused.stderr
    assert "unless --resume is set" in refused.stderr
    more = "--trials=2", *flags[1:], "--resume"
    second = tune(*more, cwd=tmp_path)
    assert second.returncode == 0, second.stderr[-2000:]
    assert "Trial 2 Complete" in second.stdout
    assert "Trial 1 Complete" not in second.stdout
    best = json.loads((tmp_path / "out" / "best.json").read_text())
    assert set(best["settings"]) == {
        *("feedback_weight", "consistency_weight", "temperature")
    }
    assert 0 <= best["test_accuracy"] <= 1
    assert (tmp_path / "out" / "student" / "saved_model.pb").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--recipe=digts"], "--recipe must be one of"),
        (["--dataset=/nowhere"], "--dataset must be a folder that exists"),
        (["--num_labeled=15"], "--num_labeled must be a multiple of 10"),
        (["--validation_fraction=0"], "--validation_fraction must be above 0"),
        (["--temperature=1"], "--temperature must be left out: it is searched"),
        (["--labels=none.csv"], "--labels must"),
        (["--output_dir=file"], "--output_dir must be a folder"),
    ],
)
def test_mistakes_are_said_before_time_is_spent(
    flags, message, tmp_path, monkeypatch, capsys
):
    if importlib.util.find_spec("keras_tuner") is None:
        pytest.skip("KerasTuner is not installed")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as stop:
        COMMAND.run(["--output_dir=out", *flags])
    assert stop.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith(f"mpl-keras tune: {message}")
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize(
    ("own", "flags", "sizes"),
    [
        (False, [], (16, 4)),  # a fifth is set aside
        (True, [], (20, 6)),
        (False, ["--validation_fraction=0.4"], (12, 8)),
        (False, ["--num_labeled=4"], (4, 4)),
    ],
)
def test_pictures_are_searched_on_as_they_are_trained_on(
    own, flags, sizes, tmp_path, monkeypatch, capsys
):
    """All that are sorted, by the recipe for their size."""
    if importlib.util.find_spec("keras_tuner") is None:
        pytest.skip("KerasTuner is not installed")
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    counts = {"labeled/a": 10, "labeled/b": 10, "unlabeled": 5}
    if own:
        counts |= {"validation/a": 3, "validation/b": 3}
    for part, count in counts.items():
        (tmp_path / "own" / part).mkdir(parents=True)
        for number in range(count):
            pixels = random.integers(0, 256, (28, 28), np.uint8)
            image = Image.fromarray(pixels)
            image.save(tmp_path / "own" / part / f"{number}.png")
    asked = []

    def search(data, recipe, *rest, **options):
        asked.append((data, recipe))
        return {"settings": {"temperature": 0.5}, "network": "teacher"}

    monkeypatch.setattr(runs, "tune", search)
    COMMAND.run(["--dataset=own", "--output_dir=out", *flags])
    ((data, recipe),) = asked
    assert recipe.name == "fashion_mnist" and recipe.label_spreading
    held = data.validation.stream.num_examples
    assert (len(data.labeled[1]), held) == sizes
    said = capsys.readouterr().out
    assert "wrote best.json and teacher/ to out" in said
    assert "takes what was found as --temperature=0.5" in said


def test_help(capsys):
    COMMAND.run(["--help"])
    text = capsys.readouterr().out
    assert text.startswith("usage: mpl-keras tune [flags]")
    assert "--output" in text
    assert "--seed" in text
    with pytest.raises(SystemExit) as stop:
        COMMAND.run([])
    assert stop.value.code == 2
    assert "--output_dir must be given" in capsys.readouterr().err
