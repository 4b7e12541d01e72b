"""Settings of whole trainings by name, and models from them."""

from mpl_keras.recipes.adaptation import (
    FEEDBACKS,
    adapt,
)
from mpl_keras.recipes.building import (
    METHODS,
    make_model,
    make_optimizer,
    own_loss,
)
from mpl_keras.recipes.published import (
    get,
    names,
)
from mpl_keras.recipes.recipe import (
    Recipe,
)

__all__ = [
    "FEEDBACKS",
    "METHODS",
    "Recipe",
    "adapt",
    "get",
    "make_model",
    "make_optimizer",
    "names",
    "own_loss",
]
