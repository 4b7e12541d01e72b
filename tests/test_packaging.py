"""What the distributions hold, and the files around them."""

import importlib.util
import pathlib
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest
import setuptools

import mpl_keras

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "mpl_keras"
VERSION = mpl_keras.__version__


def text_of(path):
    return (ROOT / path).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("CITATION.cff", r"^version: (\S+)$"),
        ("Dockerfile", r"mpl_keras:(\S+) \.$"),
        ("examples/cluster/kubernetes.yaml", r"image: .*/mpl_keras:(\S+)$"),
        ("CHANGELOG.md", r"^## (\S+)"),
    ],
)
def test_the_version_is_one(path, pattern):
    assert re.findall(pattern, text_of(path), re.MULTILINE)[0] == VERSION


def test_what_the_dockerfile_copies_is_there():
    lines = re.findall(r"^COPY (.*) \S+$", text_of("Dockerfile"), re.MULTILINE)
    paths = [path for line in lines for path in line.split()]
    assert "setup.py" in paths and "mpl_keras" in paths
    allowed = text_of(".dockerignore").splitlines()
    for path in paths:
        assert (ROOT / path).exists(), path
        assert f"!{path}" in allowed, path
    # All that setup.py reads is among them.
    read = re.findall(r'ROOT / "([^"/]+)', text_of("setup.py"))
    assert set(read) <= set(paths)


@pytest.fixture(scope="module")
def told():
    """What setup.py tells setuptools."""
    with pytest.MonkeyPatch.context() as patch:
        told = {}
        patch.setattr(setuptools, "setup", told.update)
        runpy.run_path(str(ROOT / "setup.py"))
    return told


def test_extras_hold_what_they_are_named_for(told):
    """The project names keras-cv and tensorflow-datasets as requirements."""
    assert {"keras-cv", "tensorflow-datasets"} <= set(told["install_requires"])
    extras = {name: set(held) for name, held in told["extras_require"].items()}
    assert extras["report"] == {"jinja2", "matplotlib", "tensorboard"}
    more = extras["examples"] - extras["report"]
    assert more == {"pandas", "scikit-learn"}


def test_texts_name_the_smallest_extra(told):
    """What draws, and fills pages, needs neither pandas nor scikit-learn."""
    files = [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        ROOT / "Dockerfile",
    ]
    files += [*ROOT.glob("docs/**/*.ipynb"), *PACKAGE.rglob("*.py")]
    named = {
        (str(file.relative_to(ROOT)), name)
        for file in files
        if "_build" not in file.parts
        for name in re.findall(
            r"install[^`\n]*\n?.*?(?:mpl_keras|\.)\[(\w+)\]",
            file.read_text(encoding="utf-8"),
        )
    }
    assert {name for _, name in named} <= set(told["extras_require"])
    assert ("mpl_keras/report/canvas.py", "report") in named
    # These use pandas, scikit-learn, or any command.
    assert {file for file, name in named if name == "examples"} == {
        *("docs/your_tables.md", "Dockerfile"),
    }


@pytest.mark.slow
def test_distributions_are_complete(tmp_path):
    if importlib.util.find_spec("build") is None:
        pytest.skip("build is not installed")
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True
    ).stdout.split()
    if not listed:
        pytest.skip("not a clone: what belongs to it is not known")
    copy = tmp_path / "copy"
    for name in listed:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy / name)
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", tmp_path, copy],
        check=True,
        capture_output=True,
        timeout=600,
    )
    (source,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    expected = {name for name in listed if not name.startswith(".")}
    assert expected <= held, sorted(expected - held)[:20]
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
        (name,) = (name for name in held if name.endswith("/METADATA"))
        metadata = archive.read(name).decode()
    expected = {n for n in listed if n.startswith("mpl_keras/")}
    assert expected <= held, sorted(expected - held)
    assert not {name.split("/")[0] for name in held} - {
        "mpl_keras",
        f"mpl_keras-{VERSION}.dist-info",
    }
    for line in ("License(-Expression)?: Apache-2.0", "Keywords: semi-superv"):
        assert re.search(f"^{line}", metadata, re.MULTILINE)
