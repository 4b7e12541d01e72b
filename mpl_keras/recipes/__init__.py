"""Settings of whole trainings by name, and models from them."""

from mpl_keras.recipes.building import (
    METHODS,
    WITH_STUDENT,
    for_method,
    loss_arguments,
    make_model,
    make_optimizer,
)
from mpl_keras.recipes.defaults import default
from mpl_keras.recipes.overrides import (
    FEEDBACKS,
    adapt,
)
from mpl_keras.recipes.published import (
    get,
    names,
)
from mpl_keras.recipes.recipe import (
    Recipe,
)
from mpl_keras.recipes.shortness import short_training

__all__ = [
    "FEEDBACKS",
    "METHODS",
    "Recipe",
    "WITH_STUDENT",
    "adapt",
    "default",
    "for_method",
    "get",
    "loss_arguments",
    "make_model",
    "make_optimizer",
    "names",
    "short_training",
]
