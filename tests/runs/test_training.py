"""The data of a training, and the recipe that tells of it."""

import numpy as np
import pytest
from PIL import Image

from mpl_keras import augment, runs
from mpl_keras.runs import training


@pytest.fixture(scope="module")
def small_pictures(tmp_path_factory):
    """Twelve pictures of 12 x 12 pixels, four of them labeled."""
    folder = tmp_path_factory.mktemp("small")
    random = np.random.default_rng(0)
    for part in ("labeled/a", "labeled/b", "unlabeled"):
        (folder / part).mkdir(parents=True)
        for i in range(2 if part != "unlabeled" else 8):
            pixels = random.integers(0, 256, (12, 12), np.uint8)
            Image.fromarray(pixels).save(folder / part / f"{i}.png")
    return folder


def loaded(**settings):
    return training.load_data(runs.Settings(**settings), verbose=False)


@pytest.mark.parametrize(
    ("options", "name"),
    [({}, "small_shifts"), ({"changes": {"views": "svhn"}}, "svhn")],
)
def test_the_recipe_names_the_views_of_pictures(small_pictures, options, name):
    """Settings that say other views than are taken would mislead."""
    data, recipe = loaded(dataset=str(small_pictures), **options)
    assert recipe.views == name
    assert data.views == augment.named_views(name, 12, 12)


def test_the_recipe_names_the_views_of_a_data_set_that_has_its_own():
    data, recipe = loaded(dataset="digits")
    assert recipe.views == "digits"
    assert data.views == augment.digits_views(scale=255)
