"""What is said of a training that is too short for its schedules."""

import dataclasses
import re

import pytest

from mpl_keras import recipes

DIGITS = recipes.get("digits")


@pytest.mark.parametrize(
    ("changes", "method", "words"),
    [
        ({"steps": 100}, "mpl", "100 steps are few .* student may .*375 steps"),
        ({"steps": 1}, "no_feedback", "^1 step is few .* made for 1,500"),
        ({"steps": 374}, "uda", "network may learn little"),
        (
            {"steps": 374, "average_of": "teacher"},
            "mpl",
            "networks may learn little",
        ),
        ({"student_wait": 1400}, "mpl", "waits for 1,400 of .* 100 alone.*2,8"),
        (
            {"student_warmup_steps": 1300},
            "mpl",
            "after the student's wait of 2",
        ),
        ({"warmup_steps": 1500}, "supervised", "grows for warmup_steps=1,500,"),
        ({"consistency_ramp_steps": 3000}, "uda", "ends at 50 % of its value"),
    ],
)
def test_what_will_happen_is_said(changes, method, words):
    recipe = recipes.adapt(DIGITS, **changes)
    said = recipes.short_training(recipe, DIGITS, method)
    assert said.count("Take ") == 1  # one thing to do
    assert re.search(words, said), said


@pytest.mark.parametrize(
    ("changes", "method"),
    [
        ({}, "mpl"),
        ({"steps": 375}, "mpl"),
        ({"steps": 100_000}, "mpl"),
        ({"student_wait": 1400}, "uda"),
        ({"student_warmup_steps": 1400}, "uda"),
        ({"consistency_ramp_steps": 3000}, "supervised"),
        ({"consistency_ramp_steps": 3000, "consistency_weight": 0.0}, "uda"),
        ({"student_wait": 0, "student_warmup_steps": 0}, "mpl"),
    ],
)
def test_nothing_is_said_of_what_fits(changes, method):
    recipe = recipes.adapt(DIGITS, **changes)
    assert recipes.short_training(recipe, DIGITS, method) == ""


@pytest.mark.parametrize("name", recipes.names())
def test_published_recipes_fit_themselves(name):
    recipe = recipes.get(name)
    for method in recipes.METHODS:
        assert recipes.short_training(recipe, recipe, method) == ""


@pytest.mark.parametrize("size", [8, 28, 64, 224])
@pytest.mark.parametrize("gpu", [True, False])
def test_default_recipes_fit_themselves(size, gpu):
    recipe = recipes.default(size, 10, gpu=gpu)
    assert recipes.short_training(recipe, recipe) == ""


def test_a_recipe_alone_tells_of_its_own_schedules():
    recipe = dataclasses.replace(DIGITS, steps=250)
    assert "200 of the 250 steps" in recipes.short_training(recipe)
