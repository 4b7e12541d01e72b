"""Which settings come with which pictures, with and without a GPU."""

import pytest

from mpl_keras import networks, recipes


@pytest.mark.parametrize(
    ("size", "gpu", "name", "backbone", "word"),
    [
        (8, False, "digits", "small_cnn", "8x8 digits"),
        (8, True, "digits", "small_cnn", "a GPU"),
        (28, False, "fashion_mnist", "compact_cnn", "searched on Fashion"),
        (28, True, "fashion_mnist", "compact_cnn", "searched on Fashion"),
        (32, False, "fashion_mnist", "compact_cnn", "no GPU"),
        (64, True, "cifar10_4000", "wide_resnet_28_2", "Wide ResNet"),
        (224, False, "imagenet_10_percent", "MobileNetV2", "not searched"),
        (224, True, "imagenet_10_percent", "resnet50", "ImageNet"),
    ],
)
def test_each_size_has_settings_and_says_why(size, gpu, name, backbone, word):
    recipe = recipes.default(size, 10, gpu=gpu)
    assert (recipe.name, recipe.backbone) == (name, backbone)
    assert word in recipe.why and f"pictures of {size} pixels" in recipe.why


def test_two_classes_ask_for_more_confidence():
    recipe = recipes.default(28, 2, gpu=False)
    assert recipe.threshold == 0.9 and "fewer than five" in recipe.why
    assert recipes.default(28, 5, gpu=False).threshold < 0.9


@pytest.mark.parametrize("size", [8, 15, 16, 31, 32, 64])
def test_a_cpu_gets_a_network_that_takes_the_pictures(size):
    recipe = recipes.default(size, 10, gpu=False)
    network = networks.make(recipe.backbone, (size, size, 3), 10)
    assert network.count_params() < 500_000


@pytest.mark.parametrize(
    ("arguments", "name"), [((0, 10), "image_size"), ((28, 1), "num_classes")]
)
def test_what_is_out_of_range_is_refused(arguments, name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        recipes.default(*arguments)
