"""The house rules that a machine can hold: rooms, imports, docstrings."""

import ast
import importlib
import importlib.util
import inspect
import os
import pathlib
import subprocess
import sys

import pytest

import mpl_keras

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "mpl_keras"
FILES = sorted(PACKAGE.rglob("*.py"))
SCRIPTS = sorted(
    file
    for folder in ("examples", "benchmarks")
    for file in (ROOT / folder).rglob("*.py")
)

# Which room may import which. A new room, or a new arrow between two, is a
# decision: write it down here, and see that no circle comes of it.
ROOMS = {
    # What numbers, arrays, batches and networks must be.
    "arguments": (),
    "batches": (),
    "checks": ("sources",),
    "networks": ("distribution",),
    # Formulas and values that depend on the step.
    "formulas": (),
    "losses": ("arguments", "formulas"),
    "schedules": ("arguments",),
    # What differs between one replica and many.
    "distribution": (),
    "distributed_model": ("distribution",),
    "cluster": ("arguments",),
    "safeguard": ("distribution",),
    "averaging": ("distribution", "networks"),
    "batch_norm": ("distribution",),
    "feedback": ("arguments", "distribution", "schedules"),
    # Pixels: views.
    "geometry": (),
    "operations": ("geometry",),
    "transforms": ("arguments", "geometry", "operations"),
    "rand_augment": ("arguments", "geometry", "operations"),
    "augment": ("arguments", "geometry", "rand_augment", "transforms"),
    # Data: examples by number, from files, arrays and tables; then batches.
    "sources": (),
    "images": ("arguments", "augment", "sources"),
    "decoding": (),
    "preprocessing": ("arguments", "decoding", "images"),
    "records": (),
    "splits": ("arguments", "checks"),
    "columns": (),
    "data": ("arguments", "augment", "checks", "preprocessing", "sources"),
    "tables": ("arguments", "augment", "columns", "data", "splits"),
    "folder_files": ("images",),
    "folders": (
        "arguments",
        "augment",
        "data",
        "folder_files",
        "images",
        "splits",
    ),
    "tfds": ("augment", "data", "images", "records", "sources", "splits"),
    "datasets": (
        "arguments",
        "augment",
        "data",
        "folders",
        "splits",
        "tables",
        "tfds",
    ),
    "ordering": ("checks", "sources"),
    "pipeline": ("arguments", "augment", "checks", "ordering", "sources"),
    # Networks and settings by name.
    "wide_resnet": ("arguments", "distribution"),
    "applications": ("distribution", "wide_resnet"),
    "backbones": ("applications", "arguments", "wide_resnet"),
    "recipes": (),
    # For models of the user's own.
    "callbacks": ("arguments", "checks", "networks", "samples", "schedules"),
    "backup": ("arguments", "backup_files", "distribution", "locks"),
    "backup_files": ("distribution",),
    "locks": (),
    # After training.
    "export": (),
    "classifiers": ("preprocessing",),
    "prediction": ("arguments", "classifiers", "images", "preprocessing"),
    "conversion": ("arguments", "classifiers", "preprocessing"),
    "model_card": ("checks", "data", "findings", "measures"),
    "serving": (
        "classifiers",
        "conversion",
        "data",
        "export",
        "model_card",
        "networks",
        "sources",
    ),
    "finetune": (
        "arguments",
        "averaging",
        "checks",
        "losses",
        "networks",
        "pipeline",
        "semi_supervised",
    ),
    "measures": (),
    "mosaic": (),
    "canvas": (),
    "figures": ("canvas", "measures", "mosaic"),
    # While it trains.
    "events": (),
    "scalars": ("networks",),
    "samples": ("checks", "sources"),
    "snapshots": (
        "checks",
        "data",
        "figures",
        "findings",
        "measures",
        "samples",
    ),
    "tensorboard": (
        "arguments",
        "distribution",
        "events",
        "scalars",
        "snapshots",
    ),
    "findings": ("checks", "samples"),
    "panels": (),
    "pages": ("figures", "mosaic"),
    "chapters": (
        "checks",
        "figures",
        "findings",
        "measures",
        "pages",
        "panels",
        "samples",
    ),
    "report": (
        "canvas",
        "chapters",
        "figures",
        "findings",
        "measures",
        "model_card",
        "pages",
        "panels",
    ),
    "runs": ("export", "locks", "scalars"),
    # The models: a step's passes, saving, `fit`, UDA's own loss, both models.
    "passes": ("batch_norm", "distribution", "losses"),
    "saving": ("arguments", "distributed_model", "export", "serving"),
    "fitting": (
        "batches",
        "checks",
        "distribution",
        "losses",
        "passes",
        "saving",
    ),
    "semi_supervised": (
        "arguments",
        "averaging",
        "batches",
        "distribution",
        "fitting",
        "losses",
        "networks",
        "passes",
        "safeguard",
        "schedules",
    ),
    "uda": ("fitting", "networks", "passes", "semi_supervised"),
    "meta_pseudo_labels": (
        "arguments",
        "batch_norm",
        "distribution",
        "feedback",
        "fitting",
        "losses",
        "networks",
        "passes",
        "semi_supervised",
    ),
    "builder": (
        "arguments",
        "backbones",
        "feedback",
        "losses",
        "meta_pseudo_labels",
        "recipes",
        "schedules",
        "semi_supervised",
        "uda",
    ),
}


def tree_of(file):
    return ast.parse(file.read_text(encoding="utf-8"))


def modules_imported(file):
    """Dotted names that a file imports, those inside functions too."""
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from (f"{module}.{alias.name}" for alias in node.names)


def rooms_imported(file):
    names = (name.split(".") for name in modules_imported(file))
    return {parts[1] for parts in names if parts[0] == "mpl_keras"}


def test_every_room_is_in_the_table():
    rooms = {file.stem for file in FILES} - {"__init__"}
    assert rooms == set(ROOMS), (
        "Rooms and the table in tests/test_house.py differ; say there what a "
        f"new room may import: {sorted(rooms ^ set(ROOMS))}"
    )


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_a_room_imports_what_the_table_says(room):
    came = rooms_imported(PACKAGE / f"{room}.py")
    new = sorted(came - set(ROOMS[room]))
    assert not new, (
        f"mpl_keras/{room}.py imports {new}, which the table in "
        "tests/test_house.py does not allow. Is the code in the right room?"
    )
    gone = sorted(set(ROOMS[room]) - came)
    assert not gone, (
        f"mpl_keras/{room}.py imports {gone} no longer: take it out of the "
        "table in tests/test_house.py."
    )


def test_there_is_no_circle():
    left = {room: set(needs) for room, needs in ROOMS.items()}
    while left:
        ready = {room for room, needs in left.items() if not needs & set(left)}
        assert ready, f"These rooms import each other: {sorted(left)}"
        left = {room: left[room] for room in set(left) - ready}


def test_there_is_no_room_for_odds_and_ends():
    names = {file.stem for file in FILES}
    assert not names & {"utils", "util", "helpers", "common", "misc"}


@pytest.mark.parametrize("file", FILES + SCRIPTS, ids=lambda f: f.name)
def test_imports_by_full_name_and_nothing_private(file):
    for name in modules_imported(file):
        assert not name.startswith("."), f"{file.name}: relative import {name}"
        assert not name.startswith("keras.src"), (
            f"{file.name} imports {name}: what is not public in Keras moves "
            "without notice"
        )
        parts = name.split(".")
        assert parts[0] != "tf_keras" and parts[:2] != ["tensorflow", "keras"]
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.Attribute):
            text = ast.unparse(node)
            assert not text.startswith(("keras.src.", "tf.keras.")), text


@pytest.mark.parametrize("file", FILES + SCRIPTS, ids=lambda f: f.name)
def test_nothing_is_asserted_outside_of_tests(file):
    # `python -O` drops it, and it says nothing to the user.
    for node in ast.walk(tree_of(file)):
        assert not isinstance(node, ast.Assert), f"{file.name}:{node.lineno}"


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda f: f.name)
def test_scripts_share_nothing_but_the_library(file):
    local = {script.stem for script in SCRIPTS}
    for name in modules_imported(file):
        assert name.split(".")[0] not in local, f"{file.name} imports {name}"


# Docstrings.

PUBLIC = [
    importlib.import_module(f"mpl_keras.{file.stem}")
    for file in FILES
    if file.stem != "__init__"
]
# Base classes, and what is handed to them or between rooms: their examples are
# those of what uses them.
ABSTRACT = {
    "DistributedModel",
    "Feedback",
    "File",
    "FittedModel",
    "Header",
    "Pass",
    "Passes",
    "Reaction",
    "SavableModel",
    "SemiSupervisedModel",
    "Source",
    "Split",
}


def public_objects():
    for module in PUBLIC:
        for name, value in vars(module).items():
            own = getattr(value, "__module__", None) == module.__name__
            kind = inspect.isclass(value) or inspect.isfunction(value)
            if own and kind and not name.startswith("_"):
                yield pytest.param(value, id=f"{module.__name__}.{name}")


@pytest.mark.parametrize("value", list(public_objects()))
def test_what_is_public_is_documented(value):
    # Not inherited: `inspect.getdoc` would find Keras's.
    text = value.__doc__
    assert text and text.strip(), f"{value.__qualname__} has no docstring"
    if inspect.isclass(value) and value.__name__ not in ABSTRACT:
        assert "Example:\n" in text and ">>> " in text, (
            f"The docstring of {value.__qualname__} has no example that runs"
        )


def test_every_module_is_documented():
    for module in [mpl_keras, *PUBLIC]:
        assert module.__doc__ and module.__doc__.strip(), module.__name__


def test_the_face_is_what_it_says():
    assert sorted(mpl_keras.__all__) == mpl_keras.__all__
    for name in mpl_keras.__all__:
        assert hasattr(mpl_keras, name)


# In a process of its own.


def python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=120,
    )


LATE = ("keras_cv", "tensorflow_datasets")


def test_importing_is_quiet_and_light():
    code = "import sys, warnings; warnings.simplefilter('error', UserWarning); "
    code += "import mpl_keras; sys.stderr.write('\\nLATE: ' + repr("
    code += f"[name for name in {LATE!r} if name in sys.modules]))"
    result = python(code)
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""
    # TensorFlow may talk to stderr, we do not.
    *rest, late = result.stderr.splitlines()
    assert late == "LATE: []"
    assert not [line for line in rest if "mpl_keras" in line]


def test_another_backend_is_refused():
    # The other backends are not installed with the library; so Keras is made
    # to name one.
    code = "import keras; keras.backend.backend = lambda: 'jax'; "
    result = python(code + "import mpl_keras")
    assert result.returncode == 1
    error = result.stderr.strip().splitlines()[-1]
    assert error.startswith("ImportError: mpl_keras"), error
    for part in ("'tensorflow'", "KERAS_BACKEND=tensorflow", "'jax'"):
        assert part in error


@pytest.mark.parametrize("backend", ["jax", "torch", "numpy"])
def test_a_backend_by_its_variable(backend):
    """Our error, also where that backend is not installed."""
    result = python("import mpl_keras", KERAS_BACKEND=backend)
    assert result.returncode != 0
    for part in ("ImportError", "KERAS_BACKEND=tensorflow", f"'{backend}'"):
        assert part in result.stderr


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]])
def test_ruff(command):
    if importlib.util.find_spec("ruff") is None:
        pytest.skip("ruff is not installed")
    result = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "--no-cache", str(ROOT)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stdout + result.stderr
