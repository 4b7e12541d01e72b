"""The search of settings on validation pictures."""

import importlib.util
import json
import os

import pytest
import scripts


def tune(*flags, cwd, **options):
    return scripts.command("tune", *flags, cwd=cwd, **options)


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
        (["--output_dir=file"], "--output_dir must be a folder"),
    ],
)
def test_mistakes_are_said_before_time_is_spent(flags, message, tmp_path):
    if importlib.util.find_spec("keras_tuner") is None:
        pytest.skip("KerasTuner is not installed")
    (tmp_path / "file").touch()
    done = tune("--output_dir=out", *flags, cwd=tmp_path)
    assert done.returncode == 1
    assert f"\nmpl-keras tune: {message}" in f"\n{done.stderr}"
    assert os.listdir(tmp_path) == ["file"]


def test_help(tmp_path):
    text = tune("--help", cwd=tmp_path).stdout
    assert text.startswith("usage: mpl-keras tune [flags]")
    assert "--output" in text
    assert "--seed" in text
    done = tune(cwd=tmp_path)
    assert done.returncode == 2 and "--output_dir must have" in done.stderr
