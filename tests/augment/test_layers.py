"""Other people's augmentations as views: functions of their seed, or refused.

A training that goes on shows the batches, and ends with the weights, of one
that was not interrupted.
"""

import random

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_keras
from mpl_keras import augment, callbacks, datasets, pipeline
from mpl_keras.checks import settings

IMAGES = np.random.RandomState(0).randint(0, 256, (24, 12, 12, 3)).astype("u1")
LABELS = np.arange(24) % 2
SEED = tf.constant([1, 2])
layers = keras.layers


def cropped():
    return layers.Pipeline([layers.ZeroPadding2D(2), layers.RandomCrop(12, 12)])


def jitter():
    return layers.RandomColorJitter(
        brightness_factor=0.3,
        contrast_factor=0.3,
        saturation_factor=0.3,
        hue_factor=0.1,
    )


def noise(x):
    return x + 9 * np.random.normal(size=x.shape) + random.random()


def own_generator():
    """A function whose draws are of a generator that it holds."""
    held = {"rng": np.random.default_rng(0)}

    def reseed(seed):
        held["rng"] = np.random.default_rng(seed)

    return lambda x: x + 9 * held["rng"].normal(size=x.shape), reseed


def cv(name, *args, eager=False):
    keras_cv = pytest.importorskip("keras_cv")
    return augment.from_layer(
        getattr(keras_cv.layers, name)(*args), eager=eager
    )


def albumentations_view():
    albumentations = pytest.importorskip("albumentations")
    compose = albumentations.Compose(
        [
            albumentations.HorizontalFlip(),
            albumentations.Affine(rotate=(-20, 20)),
            albumentations.RandomBrightnessContrast(),
        ]
    )
    return augment.from_function(
        lambda image: compose(image=image)["image"],
        each=True,
        reseed=compose.set_random_seed,
    )


def reseeded():
    function, reseed = own_generator()
    return augment.from_function(function, reseed=reseed)


@keras.saving.register_keras_serializable("test_layers")
class OwnNoise(keras.layers.Layer):
    """Draws as people draw who know TensorFlow better than Keras."""

    def call(self, x):
        mixed = tf.random.shuffle(x)
        share = tf.random.gamma([tf.shape(x)[0], 1, 1, 1], 2.0)
        pixels = tf.random.normal(tf.shape(x)) * tf.random.uniform([])
        return (
            tf.cast(x, "float32") + share * tf.cast(mixed, "float32") + pixels
        )


VIEWS = {
    "flip": lambda: augment.from_layer(layers.RandomFlip()),
    "rotation": lambda: augment.from_layer(layers.RandomRotation(0.1)),
    "erasing": lambda: augment.from_layer(layers.RandomErasing()),
    "jitter": lambda: augment.from_layer(jitter()),
    "crop": lambda: augment.from_layer(cropped()),
    "blur": lambda: augment.from_layer(layers.RandomGaussianBlur()),
    "rand augment": lambda: augment.from_layer(layers.RandAugment()),
    "sequential": lambda: augment.from_layer(
        keras.Sequential(
            [layers.RandomFlip(), layers.RandomTranslation(0.1, 0.1)]
        )
    ),
    "pipeline": lambda: augment.from_layer(
        layers.Pipeline([layers.RandomZoom(0.2), layers.RandomContrast(0.5)])
    ),
    "mix": lambda: augment.from_layer(layers.AugMix(), eager=True),
    "own layer": lambda: augment.from_layer(OwnNoise()),
    "composed": lambda: augment.Compose(
        (
            augment.from_layer(layers.RandomFlip()),
            augment.RandomPaddedCrop(2),
            augment.from_function(noise),
        )
    ),
    "function": lambda: augment.from_function(noise),
    "generator": lambda: reseeded(),
    "cv flip": lambda: cv("RandomFlip"),
    "cv rotation": lambda: cv("RandomRotation", 0.1),
    "cv rand augment": lambda: cv("RandAugment", (0, 255), 2, 0.5),
    "cv cutout": lambda: cv("RandomCutout", 0.5, 0.5),
    "cv hue": lambda: cv("RandomHue", 0.5, (0, 255)),
    "cv grid": lambda: cv("GridMask"),
    "cv mix": lambda: cv("AugMix", (0, 255), eager=True),
    "albumentations": albumentations_view,
}
GATE = ("flip", "mix", "own layer")
CASES = [
    pytest.param(name, marks=() if name in GATE else pytest.mark.slow)
    for name in VIEWS
]


def data():
    return datasets.from_arrays(
        IMAGES[:4], LABELS[:4], IMAGES, labeled_in_unlabeled=False
    )


def batches(view, **options):
    views = augment.Views(augment.RandomPaddedCrop(1), view)
    return pipeline.training_dataset(data(), 4, 8, views=views, **options)


def strong(dataset, count):
    return [x["strong"].numpy() for x, _ in dataset.take(count)]


@pytest.mark.parametrize("name", CASES)
def test_a_batch_is_a_function_of_seed_and_step(name):
    view = VIEWS[name]()
    whole = strong(batches(view), 4)
    # What is drawn between must not be seen.
    random.seed(5), np.random.seed(5)
    again = strong(batches(VIEWS[name](), start_step=2), 2)
    for one, other in zip(whole[2:], again, strict=True):
        np.testing.assert_array_equal(one, other)
    one, other = view(IMAGES, SEED).numpy(), view(IMAGES, SEED + 1).numpy()
    assert one.dtype == np.uint8
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("name", CASES)
def test_images_of_a_batch_are_seen_differently(name):
    if name in ("own layer", "crop", "blur"):
        pytest.skip("it draws for the batch, or mixes images")
    same = np.repeat(IMAGES[:1], 16, axis=0)
    seen = {image.tobytes() for image in VIEWS[name]()(same, SEED).numpy()}
    assert len(seen) >= (2 if "flip" in name else 5)


def make_model():
    keras.utils.set_random_seed(0)
    net = keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )
    model = mpl_keras.UDA(net)
    model.compile(keras.optimizers.Adam(0.01))
    return model


TRAINED = (
    *("flip", "rotation", "erasing", "jitter", "crop", "blur"),
    *("rand augment", "sequential", "pipeline", "mix", "generator"),
    *("cv flip", "cv rand augment", "albumentations"),
)


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_a_resumed_training_ends_as_an_uninterrupted_one(name, tmp_path):
    def train(epochs, *saver):
        model = make_model()
        model.fit(
            batches(VIEWS[name](), steps_per_epoch=3, shards=2),
            epochs=epochs,
            callbacks=list(saver),
            verbose=0,
        )
        return model

    train(1, callbacks.Backup(tmp_path))
    resumed = train(2, callbacks.Backup(tmp_path))
    assert int(resumed.step.numpy()) == 6
    whole = train(2)
    for one, other in zip(whole.variables, resumed.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), one.path)


def test_the_state_of_a_layer_and_of_python_stay():
    layer = layers.RandomFlip(seed=3)
    state = layer.variables[0].numpy()
    view, mixed = augment.from_layer(layer), augment.from_function(noise)
    drawn = random.random(), np.random.random()
    random.seed(7), np.random.seed(7)
    want = random.random(), np.random.random()
    random.seed(7), np.random.seed(7)
    view(IMAGES, SEED), mixed(IMAGES, SEED)
    assert (random.random(), np.random.random()) == want != drawn
    np.testing.assert_array_equal(layer.variables[0].numpy(), state)


def test_a_seed_of_the_layer_is_none_of_the_view():
    views = [augment.from_layer(layers.RandomCrop(12, 12)) for _ in "ab"]
    assert views[0].layer.seed != views[1].layer.seed
    one, other = map(settings.described, views)
    assert one == other
    assert one != settings.described(
        augment.from_layer(layers.RandomCrop(12, 11))
    )


class Counted(keras.layers.Layer):
    def call(self, x):
        return x + keras.random.normal(keras.ops.shape(x))


class Looped(keras.layers.Layer):
    def call(self, x):
        return tf.map_fn(lambda v: v + tf.random.normal([]), x)


class Vectorized(keras.layers.Layer):
    def call(self, x):
        return tf.vectorized_map(lambda v: v + tf.random.normal([]), x)


STATEFUL = tf.random.Generator.from_seed(1)
TWO_ANSWERS = "`views.strong` must be a function of .* gave two answers"
FLIP = layers.RandomFlip()


@pytest.mark.parametrize(
    ("view", "message"),
    [
        (lambda x, seed: tf.cast(FLIP(x), x.dtype), TWO_ANSWERS),
        (lambda x, seed: x // np.uint8(random.randint(1, 99)), TWO_ANSWERS),
        (augment.from_function(own_generator()[0]), TWO_ANSWERS),
        (
            augment.Compose((lambda x, s: tf.cast(FLIP(x), "uint8"),)),
            TWO_ANSWERS,
        ),
        # What is drawn changes nothing in what is tried.
        (
            lambda x, seed: x + tf.cast(tf.random.uniform([]) > 2, x.dtype),
            "draws or counts by RandomUniform",
        ),
        (
            lambda x, seed: tf.map_fn(
                lambda v: v + tf.cast(STATEFUL.uniform([]) > 2, v.dtype), x
            ),
            "draws or counts by Rng",
        ),
        (lambda x, seed: x.numpy(), "made of TensorFlow's.*from_function"),
        (augment.from_layer(layers.AugMix()), "eager=True.*Python's `random`"),
        (augment.from_layer(Counted()), "keeps a `keras.random.SeedGenerator`"),
        (augment.from_layer(Looped()), "eager=True.* draws within a loop"),
        (augment.from_layer(Vectorized()), "eager=True.* draws within a loop"),
    ],
)
def test_what_is_no_function_of_its_seed_is_refused(view, message):
    floats = IMAGES.astype("float32")
    of_floats = getattr(view, "layer", None).__class__ in (
        Counted,
        Looped,
        Vectorized,
    )
    x = floats if of_floats else IMAGES
    some = datasets.from_arrays(x[:4], LABELS[:4], x)
    with pytest.raises(ValueError, match=message):
        pipeline.training_dataset(
            some, 4, 8, views=augment.Views(augment.GaussianNoise(0.0), view)
        )


def test_a_labeled_dataset_refuses_it_too():
    with pytest.raises(ValueError, match="`view` must be a function of"):
        pipeline.labeled_dataset(
            data(), 4, view=lambda x, seed: tf.cast(FLIP(x), x.dtype)
        )


def test_views_that_are_functions_pass():
    table = tf.constant([3, 1], tf.uint8)
    for view in (
        lambda x, seed: x,
        lambda x, seed: x * tf.gather(table, 1),
        lambda x, seed: tf.numpy_function(
            lambda x, seed: np.random.default_rng(seed).permuted(x, axis=2),
            [x, tf.abs(seed)],
            tf.uint8,
        ),
    ):
        assert len(strong(batches(view), 1)) == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: augment.from_layer(len), "`layer` .*from_function.*len"),
        (lambda: augment.from_function(FLIP), "`function` .*from_layer"),
        (lambda: augment.from_function(3), "`function` must be callable.*=3"),
        (
            lambda: augment.from_function(len, reseed=3),
            "`reseed` must be callable.*=3",
        ),
        (lambda: augment.Views(FLIP, len), "`weak` .*from_layer"),
        (lambda: augment.Compose((FLIP,)), r"`pieces\[0\]` .*from_layer"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()
