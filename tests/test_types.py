"""Types: on all that is public, and checked on the code of README and docs."""

import importlib.util
import inspect
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

import mpl_keras

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
# What a page needs beside the library, as it says itself.
NEEDS = re.compile(r"^<!-- needs: (.*?) -->$", re.MULTILINE)
WRONG = """\
import keras
import mpl_keras as mk

net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
mk.MetaPseudoLabels(net, net, pseudo_labels="hard")  # wrong
mk.MetaPseudoLabels(net, net, pseudo_label_view="medium")  # wrong
mk.MetaPseudoLabels(net, net, average_of="pupil")  # wrong
mk.MetaPseudoLabels(net, net, consistency="none")  # wrong
mk.MetaPseudoLabels(net, net, feedback="hypergradient")  # wrong
mk.UDA(net, label_smoothing="a little")  # wrong
mk.UDA(net, unknown=1)  # wrong
mk.losses.ConsistencyLoss(mask_on="cooked")  # wrong
mk.losses.ConsistencyLoss(distribution_alignment="label")  # wrong
mk.feedback.HypergradientFeedback(measured="between")  # wrong
mk.schedules.SignalAnnealing(10, 3, shape="sine")  # wrong
mk.pipeline.training_dataset(None, 1, 1, meta="weak")  # wrong
mk.recipes.for_method(mk.recipes.get("digits"), "maple")  # wrong
mk.datasets.from_folder("pictures", unreadable="skip")  # wrong
mk.estimators.UDAClassifier(distribution_alignment="label")  # wrong
mk.UDA(net, consistency=None, consistency_weight=mk.schedules.LinearRamp(1, 9))
mk.losses.ConsistencyLoss(distribution_alignment=[0.5, 0.2, 0.3])
mk.MetaPseudoLabels(net, net, consistency="default", feedback=None)
"""
# Keras, scikit-learn and others say no types; pyright would guess them from
# defaults, so that a schedule were no learning rate, because its default is a
# number. TensorFlow's are of typeshed, in part, and wrong about gradients. Both
# are unknown to both checkers. A page may end in a value, as a notebook does.
PYRIGHT = {
    "typeCheckingMode": "basic",
    "extraPaths": [str(ROOT)],
    "useLibraryCodeForTypes": False,
    "reportUnusedExpression": False,
    "stubPath": "stubs",
    "exclude": ["stubs"],
}
STUB = "from typing import Any\ndef __getattr__(name: str) -> Any: ...\n"
MYPY = """\
[mypy]
follow_imports = silent
disable_error_code = import-untyped
"""


def write_code(folder):
    """The Python of each page in a file, on the lines that it has there."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        needs = ", ".join(NEEDS.findall(text)).split(", ")
        if not all(importlib.util.find_spec(name) for name in needs if name):
            continue
        code = ""
        for block in BLOCK.finditer(text):
            line = text[: block.start(1)].count("\n")
            code += "\n" * (line - code.count("\n")) + block[1]
        if code:
            name = str(page.relative_to(ROOT)).replace(os.sep, "_")
            name = name.replace(".", "_").replace("-", "_")
            (folder / f"{name}.py").write_text(code, encoding="utf-8")
    (folder / "wrong.py").write_text(WRONG, encoding="utf-8")
    (folder / "stubs" / "tensorflow").mkdir(parents=True)
    (folder / "stubs" / "tensorflow" / "__init__.pyi").write_text(STUB)
    (folder / "pyrightconfig.json").write_text(json.dumps(PYRIGHT))
    (folder / "mypy.ini").write_text(MYPY)


def run(folder, *command):
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env={**os.environ, "MYPYPATH": str(ROOT), "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        timeout=600,
    )


def pyright(folder):
    """Findings as (file, line, text)."""
    result = run(
        folder, "pyright", "--outputjson", "--pythonpath", sys.executable
    )
    for found in json.loads(result.stdout)["generalDiagnostics"]:
        line = found["range"]["start"]["line"] + 1
        yield pathlib.Path(found["file"]).name, line, found["message"]


def mypy(folder):
    """Findings as (file, line, text)."""
    files = sorted(file.name for file in folder.glob("*.py"))
    result = run(folder, "mypy", "--no-error-summary", *files)
    assert result.returncode in (0, 1), result.stdout + result.stderr
    for line in result.stdout.splitlines():
        file, number, kind, text = line.split(":", 3)
        if kind.strip() == "error":
            yield file, int(number), text


@pytest.mark.slow
@pytest.mark.parametrize("checker", [pyright, mypy])
def test_the_code_of_pages(checker, tmp_path):
    if importlib.util.find_spec(checker.__name__) is None:
        pytest.skip(f"{checker.__name__} is not installed: the extra `typing`")
    write_code(tmp_path)
    findings = list(checker(tmp_path))
    wrong = {line for file, line, _ in findings if file == "wrong.py"}
    lines = enumerate(WRONG.splitlines(), start=1)
    assert wrong == {n for n, text in lines if text.endswith("# wrong")}
    assert not [found for found in findings if found[0] != "wrong.py"]


# Signatures.


def public():
    """Everything that a folder lists, by its name."""
    for name in mpl_keras.__all__:
        value = getattr(mpl_keras, name)
        if not inspect.ismodule(value):
            yield name, value
            continue
        listed = getattr(value, "__all__", None) or vars(value)
        for inner in listed:
            if not inner.startswith("_"):
                yield f"{name}.{inner}", getattr(value, inner)


def functions():
    """Those that are public, and the public methods of classes, once each."""
    seen = {}
    for name, value in public():
        if inspect.isfunction(value):
            seen.setdefault(value, name)
        for base in inspect.getmro(value) if inspect.isclass(value) else ():
            for inner, method in vars(base).items():
                if inner.startswith("_") and inner not in DUNDERS:
                    continue
                method = getattr(method, "__func__", method)
                method = getattr(method, "fget", method)
                if inspect.isfunction(method):
                    seen.setdefault(method, f"{base.__qualname__}.{inner}")
    for function, name in seen.items():
        if function.__module__.startswith("mpl_keras"):
            yield name, function


DUNDERS = ("__init__", "__call__")


def test_signatures_have_types():
    bare = []
    for name, function in functions():
        signature = inspect.signature(function)
        bare += [
            f"{name}: {parameter.name}"
            for parameter in signature.parameters.values()
            if parameter.annotation is parameter.empty
            and parameter.name not in ("self", "cls")
        ]
        returns = signature.return_annotation is not signature.empty
        if not returns and function.__name__ != "__init__":
            bare.append(f"{name}: what it returns")
    assert not bare


def test_the_package_says_that_it_has_types():
    assert (ROOT / "mpl_keras" / "py.typed").is_file()
