"""A recipe with changes, and what follows from them."""

import dataclasses
from typing import Any

from mpl_keras import feedback
from mpl_keras.checks import arguments, names
from mpl_keras.recipes.recipe import CHOICES, STRETCHED, Recipe

# A form of feedback by its name in recipes, and a weight for one whose recipe
# has another form.
FEEDBACKS = {
    "loss_difference": (feedback.LossDifferenceFeedback, 1.0),
    "cosine": (feedback.CosineFeedback, 1.0),
    "hypergradient": (feedback.HypergradientFeedback, 0.1),
    "per_example": (feedback.PerExampleFeedback, 0.1),
}


def adapt(recipe: Recipe, **changes: Any) -> Recipe:
    """A recipe with changes, and what follows from them.

    With the steps, warm-ups, the student's wait and the ramp of the consistency
    grow or shrink. With the labeled batch, the unlabeled one and the learning
    rates do. With another feedback come its own weight, normalization and
    kind of pseudo labels. What is given itself stays as it is given.

    Args:
        recipe: Where to begin.
        **changes: Fields of the recipe; None is no change. The word "none" as
            `distribution_alignment` takes a recipe's alignment away.

    Raises:
        ValueError: A field is unknown or out of range.

    Example:
    >>> from mpl_keras import recipes
    >>> recipe = adapt(recipes.get("cifar10_4000"), labeled_batch_size=64)
    >>> recipe.unlabeled_batch_size, recipe.teacher_learning_rate
    (448, 0.025)
    """
    check_recipe(recipe)
    changes = {k: v for k, v in changes.items() if v is not None}
    if changes.get("distribution_alignment") == "none":
        changes["distribution_alignment"] = None
    known = {field.name for field in dataclasses.fields(recipe)}
    unknown = sorted(set(changes) - known)
    if unknown:
        near = names.did_you_mean(unknown[0], known)
        raise ValueError(
            f"`changes` must be fields of a recipe, {sorted(known)}{near}. "
            f"Received: {unknown}"
        )
    # Raises for what is out of range, before anything follows from it.
    dataclasses.replace(recipe, **changes)
    follows = {}
    stretch = changes.get("steps", recipe.steps) / recipe.steps
    for name in STRETCHED:
        steps = getattr(recipe, name)
        follows[name] = None if steps is None else round(stretch * steps)
    batch = changes.get("labeled_batch_size", recipe.labeled_batch_size)
    batch /= recipe.labeled_batch_size
    follows["unlabeled_batch_size"] = max(
        round(batch * recipe.unlabeled_batch_size), 1
    )
    for name in ("teacher_learning_rate", "student_learning_rate"):
        follows[name] = batch * getattr(recipe, name)
    form = changes.get("feedback", recipe.feedback)
    arguments.choice("feedback", form, CHOICES["feedback"])
    if form != recipe.feedback and form in FEEDBACKS:
        kind, follows["feedback_weight"] = FEEDBACKS[form]
        follows["pseudo_labels"] = kind.kinds[0]
        follows["feedback_normalization"] = _NORMALIZATIONS.get(form)
        follows["feedback_baseline"] = (
            0.99 if form == "loss_difference" else None
        )
    adapted = dataclasses.replace(recipe, **(follows | changes))
    if "student_wait" in changes:
        adapted.check_wait()
    return adapted


def check_recipe(recipe: Any) -> None:
    """Raises unless it is a recipe."""
    if not isinstance(recipe, Recipe):
        raise ValueError(
            "`recipe` must be a Recipe, such as recipes.get('digits'). "
            f"Received: recipe={recipe!r}"
        )


_NORMALIZATIONS = {"hypergradient": "rms", "per_example": "rms"}
