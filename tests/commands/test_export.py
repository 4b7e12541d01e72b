"""From a finished run to files for servers, phones and browsers."""

import json
import os
import shutil

import numpy as np
import pytest
import scripts

from mpl_keras import datasets
from mpl_keras.commands.export import COMMAND
from mpl_keras.export import loading

# LiteRT itself says so, once.
LITERT = "INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a short run on digits."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    done = scripts.command(
        "train",
        "--dataset=digits",
        "--num_labeled=20",
        "--steps=4",
        "--notensorboard",
        "--noreport",
        f"--output_dir={folder}",
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


def export(run, folder, *flags, **options):
    return scripts.command(
        "export", run, f"--output_dir={folder}", *flags, **options
    )


@pytest.mark.slow
def test_a_run_is_exported(run, tmp_path):
    flags = "--formats=keras,onnx,litert", "--network=teacher"
    done = export(run, tmp_path / "out", *flags, true=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr in ("", LITERT)
    lines = done.stdout.splitlines()
    assert all(line.startswith(f"wrote {tmp_path}/out/") for line in lines)
    assert sorted(os.listdir(tmp_path / "out")) == sorted(
        f"teacher{ending}{card}"
        for ending in (".keras", ".onnx", ".tflite")
        for card in ("", ".md")
    )
    card = (tmp_path / "out/teacher.onnx.md").read_text()
    assert "| Network | teacher |" in card
    assert "uint8, [N, 8, 8, 1]" in card
    assert "| Labeled examples | 20 |" in card
    assert "| Steps | 4 |" in card
    x = datasets.digits(20, dtype="uint8").labeled[0]
    expected = loading.load(run / "teacher.keras")(x)
    given = loading.load(tmp_path / "out/teacher.onnx")(x)
    np.testing.assert_allclose(given, expected, atol=1e-5)
    # A second time nothing is replaced, unless asked for.
    done = export(run, tmp_path / "out", *flags)
    assert done.returncode == 1 and "must be free" in done.stderr
    assert "--output_dir must be free, unless --overwrite is" in done.stderr
    assert "filepath" not in done.stderr


@pytest.mark.slow
def test_what_cannot_be_exported_is_said(run, tmp_path, capsys):
    half = tmp_path / "half"
    shutil.copytree(run, half)
    (half / "results.json").unlink()
    moved = tmp_path / "moved"
    shutil.copytree(run, moved)
    settings = json.loads((moved / "settings.json").read_text())
    settings["dataset"] = "/nowhere"
    (moved / "settings.json").write_text(json.dumps(settings))
    for folder, flags, message in (
        (half, [], "without results.json"),
        (half, [], "RUN must be the folder of a finished run of `mpl-keras"),
        (tmp_path, [], "without settings.json"),
        (run, ["--network=finetuned"], "without finetuned.keras"),
        (run, ["--formats=pickle"], "--formats must be of"),
        (run, ["--dataset=/nowhere"], "must be a folder that exists"),
        (run, ["--dataset=/nowhere"], "--dataset must be a folder that exists"),
        (moved, [], "the data set of the run (--dataset says where it is now)"),
    ):
        with pytest.raises(SystemExit) as stop:
            COMMAND.run([str(folder), f"--output_dir={tmp_path}/out", *flags])
        error = capsys.readouterr().err
        assert stop.value.code == 1 and message in error
        assert error.startswith("mpl-keras export: ")
        assert "Traceback" not in error
    assert not (tmp_path / "out").exists()
    with pytest.raises(SystemExit) as stop:
        COMMAND.run([str(run)])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and "--output_dir must be given" in error


def test_help(capsys):
    COMMAND.run(["--help"])
    text = capsys.readouterr().out
    assert text.startswith("usage: mpl-keras export RUN [flags]")
    assert "--output_dir=TEXT" in text
