"""The models' classes: what a base class reads it makes; the step in one file.

So the step is read without leaving `meta_pseudo_labels.py`, but for objects
that the model holds.
"""

import ast
import inspect
import sys

import keras
import pytest

from mpl_keras import UDA, MetaPseudoLabels

# What Keras's own `Model` makes in `__init__` and `compile`, which `dir` of the
# class does not show.
KERAS = {
    *dir(keras.Model),
    "_compile_metrics",
    "_distribute_strategy",
    "_loss_tracker",
    "compiled",
    "name",
    "optimizer",
    "steps_per_execution",
    "test_function",
    "train_function",
}


def body_of(cls):
    tree = ast.parse(inspect.getsource(sys.modules[cls.__module__]))
    return next(
        node
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name == cls.__name__
    )


def of_self(node, context):
    """Names that are read from `self`, or stored in it."""
    return {
        part.attr
        for part in ast.walk(node)
        if isinstance(part, ast.Attribute)
        and isinstance(part.value, ast.Name)
        and part.value.id == "self"
        and isinstance(part.ctx, context)
    }


def made(cls):
    """What a class makes: methods, attributes of the class and of `self`."""
    node = body_of(cls)
    names = {n.name for n in node.body if isinstance(n, ast.FunctionDef)}
    for part in node.body:
        if isinstance(part, ast.Assign):
            names |= {t.id for t in part.targets if isinstance(t, ast.Name)}
    return names | of_self(node, ast.Store)


def ours(cls):
    return [c for c in cls.__mro__ if c.__module__.startswith("mpl_keras")]


@pytest.mark.parametrize("leaf", [MetaPseudoLabels, UDA])
def test_a_base_class_reads_what_it_or_its_own_bases_make(leaf):
    known = set(KERAS)
    for cls in reversed(ours(leaf)):
        known |= made(cls)
        missing = of_self(body_of(cls), ast.Load) - known
        assert not missing, (
            f"{cls.__name__} reads {sorted(missing)}, which only a subclass "
            "makes"
        )


def method(cls, name):
    node = body_of(cls)
    return next(
        n
        for n in node.body
        if isinstance(n, ast.FunctionDef) and n.name == name
    )


@pytest.mark.parametrize("cls", [MetaPseudoLabels, UDA])
def test_the_step_calls_methods_of_its_own_file_alone(cls):
    called = {
        part.func.attr
        for part in ast.walk(method(cls, "train_step"))
        if isinstance(part, ast.Call)
        and isinstance(part.func, ast.Attribute)
        and isinstance(part.func.value, ast.Name)
        and part.func.value.id == "self"
    }
    objects = of_self(method(cls, "__init__"), ast.Store) | {
        "alignment",
        "measuring",
        "objective",
        "safeguard",
    }
    assert called <= made(cls) | objects


@pytest.mark.parametrize("cls", [MetaPseudoLabels, UDA])
def test_the_step_is_seen_at_a_glance(cls):
    _, *body = method(cls, "train_step").body  # the docstring is the first
    assert body[-1].end_lineno - body[0].lineno < 50
