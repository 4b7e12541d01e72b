"""The sheet of weak and strong views."""

import pytest
import scripts
from PIL import Image

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


def test_pictures_of_a_folder_and_photographs(tmp_path):
    (tmp_path / "own").mkdir()
    for number, size in enumerate([(50, 40), (30, 60), (90, 90)]):
        Image.new("RGB", size, "red").save(tmp_path / f"own/{number}.jpg")
    (tmp_path / "own/notes.txt").write_text("no picture")
    flags = ("--columns=1", "--output=a.svg")
    done = preview("--folder=own", *flags, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Wrote a.svg: 3 images." in done.stdout
    flags = ("--views=imagenet", "--size=64", "--rows=2", *flags)
    done = preview(*flags, "--overwrite", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Wrote a.svg: 2 images." in done.stdout
    assert "<svg" in (tmp_path / "a.svg").read_text()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--output=a.txt"], "--output must end in .png, .pdf, .jpg or .svg"),
        (["--output=no/a.png"], "and there is no folder no"),
        (["--folder=no"], "--folder must be a folder. Received: --folder=no"),
        (["--folder=empty"], "--folder must hold files that end in"),
        (["--folder=bad"], "bad/a.png cannot be read as an image"),
        (["--views=digits", "--size=9"], "--views must be without --folder"),
        (["--size=500"], "--size must be an integer >= 1 and <= 419"),
    ],
)
def test_mistakes_are_said(flags, message, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/a.png").write_text("no picture")
    done = preview(*flags, cwd=tmp_path)
    assert done.returncode == 1 and message in done.stderr
    assert "\nmpl-keras preview: " in f"\n{done.stderr}"
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("preview.*"))


def test_help(tmp_path):
    text = preview("--help", cwd=tmp_path).stdout
    assert text.startswith("usage: mpl-keras preview [flags]")
    assert "--output" in text
    assert "--seed" in text
