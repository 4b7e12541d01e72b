"""The sheet of weak and strong views."""

import numpy as np
import pytest
import scripts
from PIL import Image

from mpl_keras import runs
from mpl_keras.commands.preview import COMMAND, load_dataset

PNG = b"\x89PNG\r\n\x1a\n"


def preview(*flags, cwd, **options):
    return scripts.command("preview", *flags, cwd=cwd, **options)


def test_preview(tmp_path):
    flags = ("--views=digits", "--rows=2", "--output=a.png")
    first = preview(*flags, cwd=tmp_path, true=True)
    assert first.returncode == 0
    assert first.stderr == ""
    assert first.stdout == "Wrote a.png: 2 images.\n"
    assert (tmp_path / "a.png").read_bytes().startswith(PNG)
    again = preview(*flags, cwd=tmp_path)
    assert again.returncode != 0 and "--overwrite" in again.stderr


def test_pictures_of_a_folder_and_photographs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own").mkdir()
    for number, size in enumerate([(50, 40), (30, 60), (90, 90)]):
        Image.new("RGB", size, "red").save(tmp_path / f"own/{number}.jpg")
    (tmp_path / "own/notes.txt").write_text("no picture")
    flags = ("--columns=1", "--output=a.svg")
    COMMAND.run(["--folder=own", *flags])
    assert "Wrote a.svg: 3 images." in capsys.readouterr().out
    flags = ("--views=imagenet", "--size=64", "--rows=2", *flags)
    COMMAND.run([*flags, "--overwrite"])
    assert "Wrote a.svg: 2 images." in capsys.readouterr().out
    assert "<svg" in (tmp_path / "a.svg").read_text()


def test_a_data_set_shows_what_a_training_takes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for part in ("labeled/a", "labeled/b", "unlabeled"):
        (tmp_path / "own" / part).mkdir(parents=True)
        for number in range(4):
            pixels = random.integers(0, 256, (28, 28), np.uint8)
            image = Image.fromarray(pixels)
            image.save(tmp_path / "own" / part / f"{number}.png")
    COMMAND.run(["--dataset=own", "--rows=3", "--output=a.png"])
    assert "Wrote a.png: 3 images." in capsys.readouterr().out
    assert (tmp_path / "a.png").read_bytes().startswith(PNG)
    data, recipe = runs.load_data(runs.Settings(dataset="own"))
    images, views, title = load_dataset(COMMAND.flags)
    known = {image.tobytes() for image in data.unlabeled[:]}
    assert len(images) == 3 and images.shape[1:] == (28, 28, 1)
    assert all(image.tobytes() in known for image in images)
    for kind in ("weak", "strong"):
        shown = getattr(views, kind)(images, [1, 2])
        trained = getattr(data.views, kind)(images, [1, 2])
        np.testing.assert_array_equal(shown, trained)
    assert title == f"own, --views={recipe.views}"
    COMMAND.run(["--dataset=own", "--views=cifar", "--output=b.png"])
    assert load_dataset(COMMAND.flags)[2] == "own, --views=cifar"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--dataset=no"], "--dataset must be a folder that exists"),
        (
            ["--dataset=digits", "--folder=own"],
            "--folder must not be given with --dataset",
        ),
        (
            ["--dataset=digits", "--size=8"],
            "--size must not be given with --dataset",
        ),
        (["--output=a.txt"], "--output must end in .png, .pdf, .jpg or .svg"),
        (["--output=no/a.png"], "and there is no folder no"),
        (["--folder=no"], "--folder must be a folder. Received: --folder=no"),
        (["--folder=empty"], "--folder must hold files that end in"),
        (["--folder=bad"], "bad/a.png is not an image, or is damaged"),
        (["--views=digits", "--size=9"], "--views must be without --folder"),
        (["--size=500"], "--size must be an integer >= 1 and <= 419"),
    ],
)
def test_mistakes_are_said(flags, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/a.png").write_text("no picture")
    with pytest.raises(SystemExit) as stop:
        COMMAND.run(flags)
    error = capsys.readouterr().err
    assert stop.value.code == 1 and message in error
    assert error.startswith("mpl-keras preview: ")
    assert "Traceback" not in error
    assert not list(tmp_path.glob("preview.*"))


def test_help(capsys):
    COMMAND.run(["--help"])
    text = capsys.readouterr().out
    assert text.startswith("usage: mpl-keras preview [flags]")
    assert "--output" in text
    assert "--seed" in text


def test_what_is_missing_is_told_once(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        COMMAND.run([f"--output={tmp_path / 'a.png'}"])
    told = capsys.readouterr().err
    assert told.count("preview") == 1
    assert 'needs matplotlib: pip install "mpl_keras[report]"' in told


def test_pictures_of_a_table_are_shown(tmp_path, monkeypatch, capsys):
    """With the flags of a training, of which some need --dataset."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own").mkdir()
    random = np.random.default_rng(0)
    lines = ["file,class"]
    for number in range(6):
        pixels = random.integers(0, 256, (28, 28), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "own" / f"{number}.png")
        if number < 4:
            lines.append(f"{number}.png,{'ab'[number % 2]}")
    (tmp_path / "own.csv").write_text("\n".join(lines) + "\n")
    given = "--labels=own.csv", "--nolabeled_in_unlabeled"
    COMMAND.run(["--dataset=own", *given, "--output=a.png"])
    assert "Wrote a.png: 2 images." in capsys.readouterr().out
    for flag in given:
        with pytest.raises(SystemExit) as stop:
            COMMAND.run([flag, "--output=b.png"])
        assert stop.value.code == 1
        said = capsys.readouterr().err
        assert "must be given with --dataset alone" in said
    assert not (tmp_path / "b.png").exists()
