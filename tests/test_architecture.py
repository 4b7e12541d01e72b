"""Laws of the package's structure: folders, imports, lists, docstrings."""

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
    for folder in ("examples", "benchmarks", "docs")
    for file in (ROOT / folder).rglob("*.py")
)

# Which folder may import which: three districts, and in each a folder imports
# what stands above it. A new folder, or a new arrow, is a decision.
METHOD = {
    "checks": (),
    "files": ("checks",),
    "losses": ("checks",),
    "schedules": ("checks",),
    "distribute": ("checks",),
    "feedback": ("checks", "schedules", "distribute"),
    "networks": ("checks", "distribute"),
    "models": (
        *("checks", "files", "losses", "schedules", "distribute"),
        *("feedback", "networks"),
    ),
}
DATA = {
    "augment": ("checks",),
    "images": ("checks",),
    "datasets": ("checks", "augment", "images"),
    "pipeline": ("checks", "augment", "datasets"),
}
WORK = {
    "evaluation": ("checks", "datasets"),
    "recipes": (*METHOD,),
    "finetune": (*METHOD, "pipeline"),
    "report": ("checks", "datasets", "evaluation"),
    "callbacks": (
        *(name for name in METHOD if name != "models"),
        *("datasets", "evaluation", "report"),
    ),
    "export": (
        *("checks", "files", "networks", "models"),
        *("images", "datasets", "evaluation", "report"),
    ),
}
WORK["estimators"] = (*METHOD, "augment", "datasets", "pipeline", "recipes")
WORK["runs"] = (*METHOD, *DATA, *WORK)
WORK["commands"] = (*METHOD, *DATA, *WORK)
WORK["__main__"] = ("commands",)
FOLDERS = METHOD | DATA | WORK


def folder_of(file):
    """The folder, or the file at the top level, by its name."""
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


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


def imported(file):
    """Modules of the package that a file imports, as dotted names."""
    for name in modules_imported(file):
        parts = name.split(".")
        if parts[0] == "mpl_keras" and len(parts) > 1:
            yield parts[1:]


def strangers(file):
    """Folders that a file imports and must not."""
    own = folder_of(file)
    return sorted({parts[0] for parts in imported(file)} - {own, *FOLDERS[own]})


def test_every_folder_is_in_the_table():
    there = {folder_of(file) for file in FILES} - {"__init__"}
    assert there <= set(FOLDERS), (
        "Say in tests/test_architecture.py what a new folder may import: "
        f"{sorted(there - set(FOLDERS))}"
    )


@pytest.mark.parametrize(
    "file", FILES, ids=lambda f: str(f.relative_to(PACKAGE))
)
def test_a_folder_imports_what_the_table_says(file):
    if file == PACKAGE / "__init__.py":
        return
    assert not strangers(file), (
        f"{file.relative_to(ROOT)} imports {strangers(file)}, which the table "
        "in tests/test_architecture.py does not allow. Is the code in the "
        "right place?"
    )


def test_the_table_is_one_way():
    for folder, needs in FOLDERS.items():
        if folder in METHOD:
            assert set(needs) <= set(METHOD), folder
        if folder in DATA:
            # Only what says what arguments must be.
            assert set(needs) <= {*DATA, "checks"}, folder
    without_circle(FOLDERS)


def without_circle(arrows):
    """Raises if modules import each other in a circle."""
    left = {name: set(needs) for name, needs in arrows.items()}
    while left:
        ready = {name for name, needs in left.items() if not needs & set(left)}
        assert ready, f"These import each other: {sorted(left)}"
        left = {name: left[name] for name in set(left) - ready}


def arrows_between(files):
    """Which module imports which, by dotted names."""
    names = {
        ".".join(file.relative_to(PACKAGE).with_suffix("").parts).removesuffix(
            ".__init__"
        ): file
        for file in files
    }
    arrows = {}
    for name, file in names.items():
        needs = set()
        for parts in imported(file):
            module = ".".join(parts)
            while module and module not in names:
                module = module.rpartition(".")[0]
            needs.add(module)
        arrows[name] = needs - {name, ""}
    return arrows


def test_there_is_no_circle():
    files = [file for file in FILES if file.parent != PACKAGE]
    files += [file for file in PACKAGE.glob("*.py") if file.stem[0] != "_"]
    without_circle(arrows_between(files))


def test_inside_a_folder_nothing_is_imported_by_its_face():
    for file in FILES:
        own = folder_of(file)
        assert [own] not in list(imported(file)) or file.parent == PACKAGE, (
            f"{file.relative_to(ROOT)} imports its own folder"
        )


def test_there_is_no_place_for_odds_and_ends():
    names = {file.stem for file in FILES} | {file.parent.stem for file in FILES}
    assert not names & {"utils", "util", "helpers", "common", "misc"}


def test_the_top_level_is_seen_at_a_glance():
    entries = {
        path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"
    }
    assert len(entries) <= 25, sorted(entries)
    assert {"__init__.py", "__main__.py", "py.typed"} <= entries


def listed(module):
    """The names that a folder lists."""
    return set(importlib.import_module(module).__all__)


def unlisted(file):
    """Names of the package that a script uses and no `__init__` lists."""
    tree = tree_of(file)
    aliases = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "mpl_keras":
                    aliases[alias.asname or alias.name] = alias.name
        elif isinstance(node, ast.ImportFrom):
            if (node.module or "").split(".")[0] != "mpl_keras":
                continue
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                aliases[alias.asname or alias.name] = name
                yield from _unlisted_name(name)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            first, *rest = ast.unparse(node).split(".")
            if first in aliases and all(part.isidentifier() for part in rest):
                yield from _unlisted_name(".".join([aliases[first], *rest]))


def _unlisted_name(name):
    """The name, if a folder on the way to it does not list the next part."""
    module = "mpl_keras"
    for part in name.split(".")[1:]:
        if part == "__version__":
            return
        if part not in listed(module):
            yield f"{module}.{part}"
            return
        module = f"{module}.{part}"
        if importlib.util.find_spec(module) is None or not hasattr(
            importlib.import_module(module), "__all__"
        ):
            return


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda f: f.name)
def test_scripts_use_what_is_listed(file):
    assert sorted(set(unlisted(file))) == []


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
def test_scripts_import_no_other_script(file):
    # What several need is in a module that is not run, such as real_data.
    local = {s.stem for s in SCRIPTS if "__main__" in s.read_text("utf-8")}
    for name in modules_imported(file):
        assert name.split(".")[0] not in local, f"{file.name} imports {name}"


# Docstrings.

MODULES = [
    importlib.import_module(
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(
            ".__init__"
        )
    )
    for file in FILES
    if file.stem != "__main__"
]
# Base classes, and what is handed to them or between modules: their examples
# are those of what uses them.
ABSTRACT = {
    "AdaptiveThreshold",
    "DistributedModel",
    "Feedback",
    "File",
    "FileInTheWayError",
    "FittedModel",
    "FolderInUseError",
    "Header",
    "Learned",
    "MetaBatch",
    "MissingFileError",
    "NotWritableError",
    "Pass",
    "ShuffledBatches",
    "Reaction",
    "SavableModel",
    "SemiSupervisedClassifier",
    "SemiSupervisedModel",
    "Source",
    "Split",
}


def public_objects():
    for module in MODULES:
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
    for module in MODULES:
        assert module.__doc__ and module.__doc__.strip(), module.__name__


def faces():
    return [module for module in MODULES if hasattr(module, "__all__")]


@pytest.mark.parametrize("module", faces(), ids=lambda m: m.__name__)
def test_a_face_lists_names_that_are_there(module):
    assert sorted(module.__all__) == module.__all__
    for name in module.__all__:
        assert hasattr(module, name)


def test_every_folder_lists_its_names():
    folders = {file.parent for file in FILES}
    assert {pathlib.Path(m.__file__).parent for m in faces()} == folders


def test_dir_shows_the_public_names_alone():
    assert dir(mpl_keras) == sorted(mpl_keras.__all__)


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


@pytest.mark.slow
def test_the_models_load_neither_data_nor_work():
    code = "import sys, mpl_keras.models; sys.stderr.write('\\nLOADED: ' + "
    code += "' '.join(name for name in sys.modules if 'mpl_keras.' in name))"
    result = python(code)
    assert result.returncode == 0, result.stderr
    loaded = result.stderr.splitlines()[-1].removeprefix("LOADED: ").split()
    assert "mpl_keras.models.student" in loaded
    folders = {name.split(".")[1] for name in loaded}
    assert folders <= {*METHOD, "commands"}  # how a program starts
    assert "mpl_keras.commands.train" not in loaded


@pytest.mark.slow
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
