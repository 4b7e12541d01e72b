"""From a recipe to a compiled model."""

import dataclasses
from typing import Any, Literal

import keras

from mpl_keras import losses, schedules
from mpl_keras.checks import arguments
from mpl_keras.models.meta_pseudo_labels import MetaPseudoLabels
from mpl_keras.models.semi_supervised import SemiSupervisedModel
from mpl_keras.models.uda import UDA
from mpl_keras.networks import backbones
from mpl_keras.recipes.overrides import FEEDBACKS, check_recipe
from mpl_keras.recipes.recipe import Recipe

# A method by its paper knows nothing of the neighbours of an example.
_BARE = {"distribution_alignment": None, "label_spreading": False}
# FixMatch and what came after it: hard targets, by the raw confidence.
_HARD = _BARE | {
    "hard_targets": True,
    "mask_on": "raw",
}
# What a method changes in a recipe.
METHODS = {
    "supervised": _BARE,
    "uda": _BARE,
    "uda_aligned": {},
    "fixmatch": _HARD | {"masking": "fixed"},
    "flexmatch": _HARD | {"masking": "flexmatch"},
    "freematch": _HARD | {"masking": "freematch"},
    "softmatch": _HARD
    | {"masking": "softmatch", "distribution_alignment": "uniform"},
    "no_feedback": {"feedback": "none"},
    "mpl": {},
}
Method = Literal[
    "supervised",
    "uda",
    "uda_aligned",
    "fixmatch",
    "flexmatch",
    "freematch",
    "softmatch",
    "no_feedback",
    "mpl",
]
# Those with a teacher and a student; all others train one network.
WITH_STUDENT = ("no_feedback", "mpl")


def make_model(
    recipe: Recipe,
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    method: Method = "mpl",
    weights: Any = None,
    seed: int = 0,
    steps_per_execution: int = 1,
    jit_compile: bool | Literal["auto"] = "auto",
) -> SemiSupervisedModel:
    """A compiled model by a recipe.

    Args:
        recipe: Its networks, losses, feedback and optimizers are used.
        input_shape: (height, width, channels) of images in [0, 255].
        num_classes: Number of classes.
        method: One of `METHODS`. All but "no_feedback" and "mpl" train one
            network, which is the teacher in these two, from the same weights.
            "uda_aligned" aligns with the labels' marginal, unless the recipe
            names another prior. "uda" has no alignment and no label
            spreading, whatever the recipe says. "fixmatch", "flexmatch",
            "freematch" and "softmatch" have the targets and the masking of
            these methods, and neither; the threshold, where they have one,
            stays the recipe's: theirs is 0.95.
        weights: Of all networks to begin with, see `networks.make`.
        seed: Of the initial weights, dropout and sampled pseudo labels.
        steps_per_execution: As of the models' `compile`.
        jit_compile: The same.

    Returns:
        A `UDA` or a `MetaPseudoLabels` model.

    Raises:
        ValueError: A number of the recipe is out of range.

    Example:
    >>> from mpl_keras import recipes
    >>> model = make_model(recipes.get("digits"), (8, 8, 1), num_classes=10)
    >>> type(model).__name__
    'MetaPseudoLabels'
    """
    check_recipe(recipe)
    recipe.check_wait()
    recipe = for_method(recipe, method)
    keras.utils.set_random_seed(arguments.integer("seed", seed, 0, 2**31 - 1))

    def network(role):
        return backbones.make(
            recipe.backbone,
            input_shape,
            num_classes,
            dropout=getattr(recipe, f"{role}_dropout"),
            weight_decay=recipe.weight_decay,
            weights=weights,
        )

    common = loss_arguments(recipe, supervised=method == "supervised")
    options = {
        "metrics": ["accuracy"],
        "steps_per_execution": steps_per_execution,
        "jit_compile": jit_compile,
    }
    teacher = network("teacher")
    optimizer = make_optimizer(recipe, "teacher")
    if method not in WITH_STUDENT:
        model = UDA(teacher, **common)
        model.compile(optimizer, **options)
        return model
    model = MetaPseudoLabels(
        teacher,
        network("student"),
        feedback=_feedback(recipe),
        pseudo_labels=recipe.pseudo_labels,
        pseudo_label_view=recipe.pseudo_label_view,
        average_of=recipe.average_of,
        seed=seed,
        **common,
    )
    model.compile(
        teacher_optimizer=optimizer,
        student_optimizer=make_optimizer(recipe, "student"),
        **options,
    )
    return model


def for_method(recipe: Recipe, method: Method) -> Recipe:
    """The recipe of a method: with its feedback and its alignment.

    Args:
        recipe: Of Meta Pseudo Labels.
        method: One of `METHODS`.

    Example:
    >>> from mpl_keras import recipes
    >>> for_method(recipes.get("digits"), "uda_aligned").distribution_alignment
    'labeled'
    """
    arguments.choice("method", method, METHODS)
    changes = METHODS[method]
    if method == "uda_aligned" and recipe.distribution_alignment is None:
        changes = {"distribution_alignment": "labeled"}
    return dataclasses.replace(recipe, **changes)


def loss_arguments(
    recipe: Recipe, *, supervised: bool = False
) -> dict[str, Any]:
    """What `UDA` and `MetaPseudoLabels` are told of the loss and the average.

    Args:
        recipe: Its consistency, label smoothing and momentum are used.
        supervised: Whether to leave the consistency out.

    Returns:
        Arguments of both models' constructors, by name.

    Example:
    >>> from mpl_keras import recipes
    >>> loss_arguments(recipes.get("digits"), supervised=True)["ema_momentum"]
    0.995
    """
    consistency = losses.ConsistencyLoss(
        temperature=recipe.temperature,
        threshold=_threshold(recipe),
        mask_on=recipe.mask_on,
        distribution_alignment=recipe.distribution_alignment,
        hard_targets=recipe.hard_targets,
        # SoftMatch aligns what it weighs by alone.
        align_targets=recipe.masking != "softmatch",
    )
    return {
        "consistency": None if supervised else consistency,
        "consistency_weight": schedules.LinearRamp(
            recipe.consistency_weight,
            steps=max(recipe.consistency_ramp_steps, 1),
        ),
        "label_smoothing": recipe.label_smoothing,
        "ema_momentum": recipe.ema_momentum,
    }


def make_optimizer(
    recipe: Recipe, role: Literal["teacher", "student"]
) -> keras.optimizers.Optimizer:
    """SGD by a recipe: warm-up, then a cosine decay; the student waits first.

    Args:
        recipe: Its learning rates, steps and momentum are used.
        role: "teacher", which is that of single networks, too, or "student".

    Example:
    >>> from mpl_keras import recipes
    >>> make_optimizer(recipes.get("digits"), "student").momentum
    0.9
    """
    arguments.choice("role", role, ("teacher", "student"))
    learning_rate = getattr(recipe, f"{role}_learning_rate")
    wait, warmup, alpha = 0, recipe.warmup_steps, 0.0
    if role == "student":
        wait = min(recipe.student_wait, recipe.steps - 1)
        alpha = recipe.student_final_fraction
        if recipe.student_warmup_steps is not None:
            warmup = recipe.student_warmup_steps
    left = recipe.steps - wait
    warmup = min(warmup, left - 1)
    if warmup > 0:
        schedule = keras.optimizers.schedules.CosineDecay(
            0.0,
            left - warmup,
            alpha=alpha,
            warmup_target=learning_rate,
            warmup_steps=warmup,
        )
    else:
        schedule = keras.optimizers.schedules.CosineDecay(
            learning_rate, left, alpha=alpha
        )
    return keras.optimizers.SGD(
        schedules.Delayed(schedule, wait) if wait else schedule,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        global_clipnorm=recipe.clip_norm,
    )


def _threshold(recipe):
    """The threshold of the consistency: a number, or one that adapts itself."""
    if recipe.masking == "fixed":
        return recipe.threshold
    options = {}
    if recipe.masking == "flexmatch":
        options["threshold"] = recipe.threshold
    else:
        # The papers' 0.999 spans 1,000 of a million steps: in a short training
        # the running means would still be those that they began with.
        window = min(max(recipe.steps / 20, 1.0), 1000.0)
        options["momentum"] = 1.0 - 1.0 / window
    if recipe.masking_momentum is not None:
        options["momentum"] = recipe.masking_momentum
    kinds = {
        "flexmatch": losses.FlexMatchThreshold,
        "freematch": losses.FreeMatchThreshold,
        "softmatch": losses.SoftMatchWeight,
    }
    return kinds[recipe.masking](**options)


def _feedback(recipe):
    if recipe.feedback == "none":
        return None
    options = {}
    if recipe.feedback != "cosine":
        options["normalization"] = recipe.feedback_normalization
    if recipe.feedback == "loss_difference":
        options["baseline_momentum"] = recipe.feedback_baseline
    elif recipe.feedback != "cosine":
        options["measured"] = recipe.feedback_measured
    return FEEDBACKS[recipe.feedback][0](recipe.feedback_weight, **options)
