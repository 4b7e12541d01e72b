"""Speed of the views: ours, the same policies in Pillow, Keras and keras-cv.

Printed as Markdown: images (or weak and strong pairs of them) per second of
CPU time on one core, medians of alternating rounds, and the ratio to
Pillow. All of TensorFlow is held to one thread; ours, Keras and keras-cv run
inside `Dataset.map`, as in training. At the end: layers and functions of others
as views, each beside the view of ours that is closest; `--others` alone.

    python benchmarks/augment.py
"""

import importlib.util
import io
import os
import random
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags, logging
from PIL import Image, ImageEnhance, ImageOps
from sklearn import datasets

from mpl_keras import augment

FLAGS = flags.FLAGS
flags.DEFINE_integer("batch", 128, "Images in a batch.", lower_bound=1)
flags.DEFINE_integer("rounds", 9, "Timed rounds of each.", lower_bound=1)
flags.DEFINE_float("seconds", 0.3, "Length of a round.", lower_bound=0.0)

flags.DEFINE_bool("others", False, "Only layers of others, as views.")

GREY = (128, 128, 128)


class PillowPolicy:
    """The published policies, an image at a time, as in `mpl_keras.augment`."""

    def __init__(self, magnitude, translate_const, cutout_const):
        """With the constants of `augment.RandAugment`."""
        level = magnitude / 10
        affine = self.affine
        translate = translate_const * level
        self.cutout_size = 2 * int(cutout_const * level)
        bits, threshold = min(int(4 * level), 8), int(256 * level) % 256

        def enhance(kind):
            factor = 1.8 * level + 0.1
            return lambda image, sign: kind(image).enhance(factor)

        self.pool = [
            lambda image, sign: ImageOps.autocontrast(image),
            lambda image, sign: ImageOps.equalize(image),
            lambda image, sign: ImageOps.invert(image),
            lambda image, sign: image.rotate(sign * 30 * level, fillcolor=GREY),
            lambda image, sign: ImageOps.posterize(image, bits),
            lambda image, sign: ImageOps.solarize(image, threshold),
            enhance(ImageEnhance.Color),
            enhance(ImageEnhance.Contrast),
            enhance(ImageEnhance.Brightness),
            enhance(ImageEnhance.Sharpness),
            lambda image, sign: affine(image, 1, sign * 0.3 * level, 0),
            lambda image, sign: affine(image, 1, 0, 0, sign * 0.3 * level),
            lambda image, sign: affine(image, 1, 0, sign * translate),
            lambda image, sign: affine(image, 1, 0, 0, 0, 1, sign * translate),
            lambda image, sign: self.cutout(image, self.cutout_size),
        ]

    def affine(self, image, a, b, c, d=0, e=1, f=0):
        """Nearest pixels, grey where there are none."""
        kind = Image.Transform.AFFINE
        return image.transform(
            image.size, kind, (a, b, c, d, e, f), fillcolor=GREY
        )

    def cutout(self, image, size):
        """A grey square about a random pixel."""
        x = random.randrange(image.width) - size // 2
        y = random.randrange(image.height) - size // 2
        image = image.copy()
        image.paste(GREY, (x, y, x + size, y + size))
        return image

    def rand_augment(self, image):
        """Two operations, with a probability drawn for the image."""
        probability = random.uniform(0.2, 0.8)
        for _ in range(2):
            operation = random.choice(self.pool)
            if random.random() < probability:
                image = operation(image, random.choice((-1, 1)))
        return image

    def flip(self, image):
        """Left and right, half the time."""
        if random.random() < 0.5:
            return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return image

    def padded_crop(self, image, padding=4):
        """A shift by whole pixels."""
        x, y = random.randint(0, 2 * padding), random.randint(0, 2 * padding)
        padded = ImageOps.expand(image, padding, GREY)
        return padded.crop((x, y, x + image.width, y + image.height))

    def resized_crop(self, image, size=224):
        """A box of random area and aspect, resized bilinearly."""
        width, height = image.size
        low, high = np.log(3 / 4), np.log(4 / 3)
        for _ in range(10):
            area = random.uniform(0.08, 1.0) * width * height
            root = np.exp(random.uniform(low, high) / 2)
            w, h = round(area**0.5 * root), round(area**0.5 / root)
            if w <= width and h <= height:
                break
        else:
            w, h = width, height
        x, y = random.randint(0, width - w), random.randint(0, height - h)
        return image.resize(
            (size, size), Image.Resampling.BILINEAR, box=(x, y, x + w, y + h)
        )

    def cifar_pair(self, array):
        """Weak and strong view of an array, as arrays."""
        image = Image.fromarray(array)
        weak = self.padded_crop(self.flip(image))
        strong = self.rand_augment(self.padded_crop(self.flip(image)))
        strong = self.padded_crop(self.flip(self.cutout(strong, 16)))
        return np.asarray(weak), np.asarray(strong)

    def imagenet_pair(self, encoded):
        """Weak and strong view of a JPEG, as arrays."""
        image = Image.open(io.BytesIO(encoded)).convert("RGB")
        weak = self.flip(self.resized_crop(image))
        strong = self.rand_augment(self.flip(self.resized_crop(image)))
        return np.asarray(weak), np.asarray(strong)


def each(function, inputs):
    """A round's unit: `function` on every input; how many there are."""

    def run():
        for value in inputs:
            function(value)
        return len(inputs)

    return run


def mapped(function, inputs):
    """The same inside `Dataset.map`: `function(inputs, seed)`, endlessly."""
    inputs = tf.constant(inputs)
    dataset = tf.data.Dataset.counter().map(
        lambda step: function(inputs, tf.stack([tf.zeros_like(step), step]))
    )
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    options.threading.max_intra_op_parallelism = 1
    batches = iter(dataset.with_options(options))

    def run():
        next(batches)
        return len(inputs)

    return run


def pair(views):
    """Both views of the same images."""
    return lambda x, seed: (
        views.weak(x, seed),
        views.strong(x, seed + tf.constant([1, 0], seed.dtype)),
    )


def decoded_pair(views):
    """Both views of JPEGs."""
    see = pair(views)

    def decode(encoded):
        return tf.ensure_shape(tf.io.decode_jpeg(encoded, 3), [256, 256, 3])

    return lambda encoded, seed: see(
        tf.map_fn(decode, encoded, tf.uint8, parallel_iterations=1), seed
    )


def tiles(count, side, seed=0):
    """Random squares of scikit-learn's photographs, uint8."""
    rng = np.random.default_rng(seed)
    images = datasets.load_sample_images().images
    done = []
    for index in range(count):
        image = images[index % len(images)]
        y = rng.integers(image.shape[0] - side + 1)
        x = rng.integers(image.shape[1] - side + 1)
        done.append(image[y : y + side, x : x + side])
    return np.stack(done)


def measure(contenders):
    """Times them in turn; medians of what each does in a second, by name."""
    rates = {name: [] for name in contenders}
    for run in contenders.values():
        run()
    for _ in range(FLAGS.rounds):
        for name, run in contenders.items():
            done, begin = 0, time.process_time()
            while (passed := time.process_time() - begin) < FLAGS.seconds:
                done += run()
            rates[name].append(done / passed if passed else np.nan)
    return {name: np.median(values) for name, values in rates.items()}


def compare(title, contenders):
    """Prints a table of their speeds; the first is the reference."""
    rates = measure(contenders)
    print(f"\n### {title}\n\n| | per second | of Pillow's |\n|---|---|---|")
    base = next(iter(rates.values()))
    for name, median in rates.items():
        print(f"| {name} | {median:,.0f} | {median / base:.2f} |", flush=True)


def compare_small():
    """The policy for CIFAR-10, and RandAugment alone, at 32x32."""
    from keras_cv import layers as keras_cv_layers

    images = tiles(FLAGS.batch, 32)
    policy = PillowPolicy(16, 4, 4)
    views = augment.cifar_views(32)
    compare(
        "Weak and strong pairs, CIFAR policy, 32x32",
        {
            "Pillow": each(policy.cifar_pair, images),
            f"ours, batch {FLAGS.batch}": mapped(pair(views), images),
            "ours, batch 1": mapped(pair(views), images[:1]),
        },
    )

    def alone(image):
        return np.asarray(policy.rand_augment(Image.fromarray(image)))

    ours = augment.RandAugment(2, 16, 4, 4)
    theirs = {
        "keras-cv": keras_cv_layers.RandAugment((0, 255), 2, 0.5),
        "keras.layers": keras.layers.RandAugment((0, 255), 2, 0.5),
    }
    compare(
        "RandAugment alone, 2 operations, 32x32",
        {
            "Pillow": each(alone, images),
            f"ours, batch {FLAGS.batch}": mapped(ours, images),
            "ours, batch 1": mapped(ours, images[:1]),
            **{
                f"{name}, batch {FLAGS.batch}": mapped(
                    lambda x, seed, layer=layer: layer(x), images
                )
                for name, layer in theirs.items()
            },
        },
    )


def others():
    """Other people's layers as views, by the view of ours that is closest."""
    from keras_cv import layers as keras_cv_layers

    layer, layers = augment.from_layer, keras.layers
    flips = {
        "keras.layers RandomFlip": layer(layers.RandomFlip("horizontal")),
        "keras-cv RandomFlip": layer(keras_cv_layers.RandomFlip("horizontal")),
    }
    drawn = {
        "keras.layers RandAugment": layer(layers.RandAugment((0, 255), 2, 0.5)),
        "keras-cv RandAugment": layer(
            keras_cv_layers.RandAugment((0, 255), 2, 0.5)
        ),
        "keras.layers AugMix (eager)": layer(layers.AugMix(), eager=True),
    }
    rotated = {"keras.layers RandomRotation": layer(layers.RandomRotation(0.1))}
    erased = {"keras.layers RandomErasing": layer(layers.RandomErasing())}
    cropped = layers.Pipeline(
        [layers.ZeroPadding2D(4), layers.RandomCrop(32, 32)]
    )
    colored = layers.RandomColorJitter(
        brightness_factor=0.4,
        contrast_factor=0.4,
        saturation_factor=0.4,
        hue_factor=0.1,
    )
    pair = [layers.RandomFlip("horizontal"), layers.RandomRotation(0.1)]
    alone = {
        "keras.layers RandomColorJitter": layer(colored),
        "keras.layers RandomGaussianBlur": layer(layers.RandomGaussianBlur()),
        "keras.Sequential, flip and rotation": layer(keras.Sequential(pair)),
        "keras.layers.Pipeline, the same": layer(layers.Pipeline(pair)),
    }
    if importlib.util.find_spec("albumentations") is not None:
        alone |= {"albumentations Compose (numpy)": albumentations_view()}
    crops = {"keras.layers.Pipeline, RandomCrop": layer(cropped)}
    return [
        ("RandomFlip", augment.RandomFlip(), flips),
        ("RandomAffine", augment.RandomAffine(rotation=36.0), rotated),
        ("RandomPaddedCrop", augment.RandomPaddedCrop(4), crops),
        ("Cutout", augment.Cutout(16), erased),
        ("RandAugment", augment.RandAugment(2, 16, 4, 4), drawn | alone),
    ]


def albumentations_view():
    """Flip, rotation and colours, an image at a time."""
    import albumentations

    compose = albumentations.Compose(
        [
            albumentations.HorizontalFlip(),
            albumentations.Affine(rotate=(-36, 36)),
            albumentations.ColorJitter(),
        ]
    )
    return augment.from_function(
        lambda image: compose(image=image)["image"],
        each=True,
        reseed=compose.set_random_seed,
    )


def compare_others():
    """Other people's layers, each beside a view of ours."""
    images = tiles(FLAGS.batch, 32)
    print(
        f"\n### Other people's layers as views, 32x32, batch {FLAGS.batch}\n\n"
        "| view | images per second | ours beside it | per second |\n"
        "|---|---|---|---|"
    )
    for name, own, views in others():
        rates = measure(
            {
                key: mapped(view, images)
                for key, view in {"": own, **views}.items()
            }
        )
        for key in views:
            print(
                f"| {key} | {rates[key]:,.0f} | {name} | {rates['']:,.0f} |",
                flush=True,
            )


def compare_large():
    """The policy for ImageNet at 224x224, from JPEGs of 256x256."""
    encoded = [
        tf.io.encode_jpeg(image).numpy() for image in tiles(32, 256, seed=1)
    ]
    policy = PillowPolicy(17, 100, 40)
    views = augment.imagenet_views(224)
    compare(
        "Weak and strong pairs, ImageNet policy, 224x224 from JPEG",
        {
            "Pillow": each(policy.imagenet_pair, encoded),
            "ours, batch 32": mapped(decoded_pair(views), encoded),
            "ours, batch 1": mapped(decoded_pair(views), encoded[:1]),
        },
    )


def main(argv):
    """Prints the comparisons."""
    del argv
    logging.set_verbosity(logging.ERROR)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    if not FLAGS.others:
        compare_small()
        compare_large()
    compare_others()


if __name__ == "__main__":
    app.run(main)
