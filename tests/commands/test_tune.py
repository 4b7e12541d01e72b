"""The search of settings on validation pictures."""

import importlib.util
import json
import os
import types

import numpy as np
import pytest
import scripts
from PIL import Image

from mpl_keras import datasets, recipes, runs
from mpl_keras.commands.tune import COMMAND
from mpl_keras.runs import tuning


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
    assert "the recipe's own settings" in second.stdout
    assert (
        "to train   mpl-keras train --steps=20 --dataset=digits"
        in second.stdout
    )
    best = json.loads((tmp_path / "out" / "best.json").read_text())
    assert best["val_accuracy"] >= best["recipe_val_accuracy"]
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
        (["--views=nonsense"], "--views must be one of"),
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
        return {
            "settings": {"temperature": 0.5},
            "network": "teacher",
            "val_accuracy": 0.75,
            "recipe_val_accuracy": 0.5,
        }

    monkeypatch.setattr(runs, "tune", search)
    COMMAND.run(["--dataset=own", "--output_dir=out", *flags])
    ((data, recipe),) = asked
    assert recipe.name == "fashion_mnist" and recipe.label_spreading
    held = data.validation.stream.num_examples
    assert (len(data.labeled[1]), held) == sizes
    said = capsys.readouterr().out
    assert f"{sizes[0]} labeled, " in said and f"{held} to choose on" in said
    assert "best       75.0 % of" in said and "settings 50.0 %" in said
    assert "wrote      best.json and teacher/ to out" in said
    given = [flag for flag in flags if not flag.startswith("--validation")]
    again = " ".join(["--dataset=own", *given, "--temperature=0.5"])
    assert f"mpl-keras train {again} --output_dir=run" in said


@pytest.mark.parametrize(
    ("held", "flags", "message"),
    [
        ("folder", [], None),
        ("empty", [], None),  # a fifth is set aside
        ("empty", ["--validation_fraction=0"], "no validation images"),
        ("hidden", [], "no validation images"),
        ("table", ["--labels=own.csv"], None),
    ],
)
def test_validation_pictures_are_found_before_they_are_read(
    held, flags, message, tmp_path, monkeypatch, capsys
):
    if importlib.util.find_spec("keras_tuner") is None:
        pytest.skip("KerasTuner is not installed")
    monkeypatch.chdir(tmp_path)
    lines = ["file,class,part"]
    for part in ("labeled", "unlabeled", "validation"):
        for name in "ab":
            folder = tmp_path / "own" / part / name
            folder.mkdir(parents=True)
            empty = part == "validation" and held in ("empty", "hidden")
            if empty and held == "hidden":
                (folder / ".DS_Store").touch()
            for number in range(0 if empty else 5):
                color = 20 * number + 100 * (name == "b") + len(part)
                image = Image.new("L", (28, 28), color)
                image.save(folder / f"{number}.png")
                known = "" if part == "unlabeled" else name
                place = folder.relative_to(tmp_path / "own") / f"{number}.png"
                lines.append(f"{place},{known},{part}")
    (tmp_path / "own.csv").write_text("\n".join(lines) + "\n")
    asked = []
    monkeypatch.setattr(runs, "tune", lambda data, *_, **__: asked.append(data))
    with pytest.raises((SystemExit, TypeError)):  # it has no results
        COMMAND.run(["--dataset=own", "--output_dir=out", *flags])
    if message:
        assert message in capsys.readouterr().err and not asked
        return
    count = asked[0].validation.stream.num_examples
    assert count == (2 if held == "empty" else 10)


def test_the_first_trial_has_the_settings_of_the_recipe(tmp_path):
    """So that one sees what the search has brought."""
    if importlib.util.find_spec("keras_tuner") is None:
        pytest.skip("KerasTuner is not installed")
    data = datasets.digits(20, dtype="uint8")
    for feedback, searched in (("hypergradient", 3), ("none", 2)):
        recipe = recipes.adapt(
            recipes.get("digits"), feedback=feedback, consistency_weight=12.0
        )
        trial = tuning._Trial(data, recipe, 0)
        tuner = tuning._tuner(trial, tmp_path / feedback, 3, seed=0)
        trials = [tuner.oracle.create_trial(f"tuner{k}") for k in range(3)]
        first, *others = (trial.hyperparameters.values for trial in trials)
        assert first == trial.recipes_own and len(first) == searched
        assert first["consistency_weight"] == 12.0
        ranges = {one.name: one for one in tuner.oracle.hyperparameters.space}
        assert ranges["consistency_weight"].max_value == 12.0
        assert ranges["temperature"].max_value == 1.0
        assert all(set(other) == set(first) for other in others)
        assert others[0] != first and others[0] != others[1]


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


@pytest.mark.parametrize("spreads", [False, True])
def test_labels_are_spread_as_in_a_training(spreads, monkeypatch):
    data = datasets.digits(40, dtype="uint8")
    recipe = recipes.adapt(recipes.get("digits"), label_spreading=spreads)
    trials = []

    def stop(trial, *rest):
        trials.append(trial)
        raise StopIteration

    monkeypatch.setattr(tuning, "_tuner", stop)
    run, said = types.SimpleNamespace(path="none"), []
    with pytest.raises(StopIteration):
        tuning._search(data, recipe, run, 1, 3, said.append)
    prior = trials[0]._data.unlabeled_prior
    if not spreads:
        assert prior is None and not said
        return
    wanted = datasets.spread_labels(data, seed=3)
    np.testing.assert_array_equal(prior, wanted.data.unlabeled_prior)
    assert said == [f"spreading  {wanted}"]
