"""What becomes of a training that is too short for its schedules, in words."""

import math

from mpl_keras.recipes.building import WITH_STUDENT, Method
from mpl_keras.recipes.recipe import Recipe

# Of the recipe's own steps: with a tenth of them the student of `digits` stays
# at chance, with a quarter it does not.
_LEAST = 0.25


def short_training(
    recipe: Recipe, original: Recipe | None = None, method: Method = "mpl"
) -> str:
    """Says what will happen where there are too few steps, and what to do.

    Nothing in the training depends on it.

    Args:
        recipe: What is trained by.
        original: The recipe before it was changed, whose number of steps is
            what its other settings are for; None is unknown.
        method: One of `recipes.METHODS`.

    Returns:
        Some sentences, or "" where there is nothing to say.

    Example:
    >>> from mpl_keras import recipes
    >>> recipe = recipes.get("digits")
    >>> shorter = recipes.adapt(recipe, steps=100)
    >>> print(short_training(shorter, recipe, "uda"))
    100 steps are few for the recipe digits, which is made for 1,500: the \
network may learn little. Take at least 375 steps.
    >>> short_training(recipe)
    ''
    """
    has_student = method in WITH_STUDENT
    found = [] if original is None else [_few(recipe, original, has_student)]
    waits = _waits(recipe) if has_student else ""
    found += [waits, _warms_up(recipe, has_student and not waits)]
    if method != "supervised":
        found.append(_ramps(recipe))
    return " ".join(filter(None, found))


def _few(recipe, original, has_student):
    """A small part of the steps that the recipe is made for."""
    least = math.ceil(_LEAST * original.steps)
    if recipe.steps >= least:
        return ""
    what = "the network may learn little"
    if has_student:
        what = "the networks may learn little"
        if recipe.average_of == "student":
            what = "the student may stay at chance"
    return (
        f"{_count(recipe.steps)} few for the recipe {original.name}, which is "
        f"made for {original.steps:,}: {what}. Take at least "
        f"{least:,} steps."
    )


def _waits(recipe):
    """A student that waits for most of the training."""
    wait = recipe.student_wait
    if 2 * wait <= recipe.steps:
        return ""
    left = recipe.steps - wait
    return (
        f"The student waits for {wait:,} of the {recipe.steps:,} steps: it "
        f"learns in {left:,} alone, and may stay at chance. Take at least "
        f"{2 * wait:,} steps, or a student_wait of at most "
        f"{recipe.steps // 2:,}."
    )


def _warms_up(recipe, has_student):
    """A learning rate that never comes to its peak."""
    names, waited = ["warmup_steps"], 0
    if has_student and recipe.student_warmup_steps is not None:
        names.append("student_warmup_steps")
    for name in names:
        steps = getattr(recipe, name)
        if name.startswith("student"):
            waited = recipe.student_wait
        if steps and waited + steps >= recipe.steps > 1:
            after = f" after the student's wait of {waited:,}" if waited else ""
            return (
                f"The learning rate grows for {name}={steps:,}{after}, and "
                f"there are {recipe.steps:,} steps: it comes to its peak in "
                f"the last one. Take more than {waited + steps:,} steps, or "
                f"fewer {name}."
            )
    return ""


def _ramps(recipe):
    """A consistency loss that never has its weight."""
    ramp = recipe.consistency_ramp_steps
    if ramp <= recipe.steps or not recipe.consistency_weight:
        return ""
    return (
        "The weight of the consistency loss grows for "
        f"consistency_ramp_steps={ramp:,}, and there are {recipe.steps:,} "
        f"steps: it ends at {100 * recipe.steps / ramp:.0f} % of its value. "
        f"Take at least {ramp:,} steps, or fewer consistency_ramp_steps."
    )


def _count(steps):
    return "1 step is" if steps == 1 else f"{steps:,} steps are"
