"""From a recipe to a compiled model."""

import dataclasses
from typing import Any

import keras

from mpl_keras import (
    arguments,
    backbones,
    feedback,
    losses,
    recipes,
    schedules,
)
from mpl_keras.meta_pseudo_labels import MetaPseudoLabels
from mpl_keras.semi_supervised import SemiSupervisedModel
from mpl_keras.uda import UDA

METHODS = ("supervised", "uda", "mpl")
# A form of feedback by its name in recipes, and a weight for one whose recipe
# has another form.
FEEDBACKS = {
    "loss_difference": (feedback.LossDifferenceFeedback, 1.0),
    "cosine": (feedback.CosineFeedback, 1.0),
    "hypergradient": (feedback.HypergradientFeedback, 0.1),
    "per_example": (feedback.PerExampleFeedback, 0.1),
}


def adapt(recipe: recipes.Recipe, **changes: Any) -> recipes.Recipe:
    """A recipe with changes, and what follows from them.

    With the steps, warm-ups, the student's wait and the ramp of the consistency
    grow or shrink. With the labeled batch, the unlabeled one and the learning
    rates do. With another feedback come its own weight, normalization and
    kind of pseudo labels. What is given itself stays as it is given.

    Args:
        recipe: Where to begin.
        **changes: Fields of the recipe; None is no change.

    Raises:
        ValueError: A field is unknown or out of range.

    Example:
    >>> recipe = adapt(recipes.get("cifar10_4000"), labeled_batch_size=64)
    >>> recipe.unlabeled_batch_size, recipe.teacher_learning_rate
    (448, 0.025)
    """
    _check_recipe(recipe)
    changes = {k: v for k, v in changes.items() if v is not None}
    known = {field.name for field in dataclasses.fields(recipe)}
    if set(changes) - known:
        raise ValueError(
            f"`changes` must be fields of a recipe, {sorted(known)}. "
            f"Received: {sorted(set(changes) - known)}"
        )
    _check(changes)
    follows = {}
    stretch = changes.get("steps", recipe.steps) / recipe.steps
    for name in _STRETCHED:
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
    if form not in (*FEEDBACKS, "none"):
        raise ValueError(
            f"`feedback` must be one of {(*FEEDBACKS, 'none')}. "
            f"Received: feedback={form!r}"
        )
    if form != recipe.feedback and form in FEEDBACKS:
        kind, follows["feedback_weight"] = FEEDBACKS[form]
        follows["pseudo_labels"] = kind.kinds[0]
        follows["feedback_normalization"] = _NORMALIZATIONS.get(form)
        follows["feedback_baseline"] = (
            0.99 if form == "loss_difference" else None
        )
    adapted = dataclasses.replace(recipe, **(follows | changes))
    if "student_wait" in changes and adapted.student_wait >= adapted.steps:
        raise ValueError(
            "`student_wait` must be less than `steps`, or the student never "
            f"starts. Received: student_wait={adapted.student_wait}, steps="
            f"{adapted.steps}"
        )
    return adapted


def _check_recipe(recipe):
    if not isinstance(recipe, recipes.Recipe):
        raise ValueError(
            "`recipe` must be a Recipe, such as recipes.get('digits'). "
            f"Received: recipe={recipe!r}"
        )


def _check(changes):
    """Raises for numbers that no training could be done with."""
    for name, value in changes.items():
        if name in _AT_LEAST_ONE:
            arguments.integer(name, value, 1)
        elif name in _STEPS:
            arguments.integer(name, value, 0)
        elif name == "clip_norm":
            arguments.number(name, value, above=0)
        elif name == "meta":
            arguments.choice(name, value, ("labeled", "strong"))
        elif name == "feedback_weight":
            arguments.number(name, value)  # negative ones are for ablations
        elif name in _SHARES:
            arguments.number(name, value, 0, below=1)
        elif name in _FRACTIONS:
            arguments.number(name, value, 0, most=1)
        elif name in _NUMBERS:
            arguments.number(name, value, 0)


_AT_LEAST_ONE = (
    "num_labeled",
    "num_classes",
    "image_size",
    "labeled_batch_size",
    "unlabeled_batch_size",
    "steps",
    "finetune_batch_size",
)
_STRETCHED = (
    "warmup_steps",
    "student_wait",
    "student_warmup_steps",
    "consistency_ramp_steps",
)
_STEPS = (*_STRETCHED, "finetune_steps")
_SHARES = (
    "momentum",
    "teacher_dropout",
    "student_dropout",
    "label_smoothing",
    "ema_momentum",
)
_FRACTIONS = ("student_final_fraction", "threshold")
_NUMBERS = (
    "teacher_learning_rate",
    "student_learning_rate",
    "weight_decay",
    "consistency_weight",
    "temperature",
    "finetune_learning_rate",
)
_NORMALIZATIONS = {"hypergradient": "rms", "per_example": "rms"}


def make_model(
    recipe: recipes.Recipe,
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    method: str = "mpl",
    weights: Any = None,
    seed: int = 0,
    steps_per_execution: int = 1,
    jit_compile: Any = "auto",
) -> SemiSupervisedModel:
    """A compiled model by a recipe.

    Args:
        recipe: Its networks, losses, feedback and optimizers are used.
        input_shape: (height, width, channels) of images in [0, 255].
        num_classes: Number of classes.
        method: "supervised", "uda" or "mpl". The first two train the network
            that is the teacher in the third, from the same weights.
        weights: Of all networks to begin with, see `backbones.make`.
        seed: Of the initial weights, dropout and sampled pseudo labels.
        steps_per_execution: As of the models' `compile`.
        jit_compile: The same.

    Returns:
        A `UDA` or a `MetaPseudoLabels` model.

    Raises:
        ValueError: A number of the recipe is out of range.

    Example:
    >>> model = make_model(recipes.get("digits"), (8, 8, 1), num_classes=10)
    >>> type(model).__name__
    'MetaPseudoLabels'
    """
    arguments.choice("method", method, METHODS)
    _check_recipe(recipe)
    # One by `dataclasses.replace` has not been checked yet.
    adapt(recipe, **dataclasses.asdict(recipe))
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

    common = own_loss(recipe, supervised=method == "supervised")
    options = {
        "metrics": ["accuracy"],
        "steps_per_execution": steps_per_execution,
        "jit_compile": jit_compile,
    }
    teacher = network("teacher")
    optimizer = make_optimizer(recipe, "teacher")
    if method != "mpl":
        model = UDA(teacher, **common)
        model.compile(optimizer, **options)
        return model
    model = MetaPseudoLabels(
        teacher,
        network("student"),
        feedback=_feedback(recipe),
        pseudo_labels=recipe.pseudo_labels,
        pseudo_label_view=recipe.pseudo_label_view,
        seed=seed,
        **common,
    )
    model.compile(
        teacher_optimizer=optimizer,
        student_optimizer=make_optimizer(recipe, "student"),
        **options,
    )
    return model


def own_loss(
    recipe: recipes.Recipe,
    *,
    supervised: bool = False,
    distribution_alignment: Any = None,
) -> dict[str, Any]:
    """What `UDA` and `MetaPseudoLabels` are told of the loss and the average.

    Args:
        recipe: Its consistency, label smoothing and momentum are used.
        supervised: Whether to leave the consistency out.
        distribution_alignment: See `losses.ConsistencyLoss`.

    Returns:
        Arguments of both models' constructors, by name.

    Example:
    >>> own_loss(recipes.get("digits"), supervised=True)["ema_momentum"]
    0.995
    """
    consistency = losses.ConsistencyLoss(
        temperature=recipe.temperature,
        threshold=recipe.threshold,
        mask_on=recipe.mask_on,
        distribution_alignment=distribution_alignment,
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
    recipe: recipes.Recipe, role: str
) -> keras.optimizers.Optimizer:
    """SGD by a recipe: warm-up, then a cosine decay; the student waits first.

    Args:
        recipe: Its learning rates, steps and momentum are used.
        role: "teacher", which is that of single networks, too, or "student".

    Example:
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


def _feedback(recipe):
    if recipe.feedback == "none":
        return None
    options = {}
    if recipe.feedback != "cosine":
        options["normalization"] = recipe.feedback_normalization
    if recipe.feedback == "loss_difference":
        options["baseline_momentum"] = recipe.feedback_baseline
    return FEEDBACKS[recipe.feedback][0](recipe.feedback_weight, **options)
