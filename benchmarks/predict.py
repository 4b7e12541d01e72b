"""Speed of `mpl-keras predict` on files, against the bare model on arrays.

    python benchmarks/predict.py --backbone=wide_resnet_28_2 --images=10000

Writes images as PNG files, ten of them damaged, and an exported classifier.
Then, alternating: all files through `prediction.predict_files`, and as many
images in an array through the bare model in batches of the same size.
"""

import os
import resource
import statistics
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
from absl import app, flags

from mpl_keras import datasets, export, networks

FLAGS = flags.FLAGS
flags.DEFINE_integer("images", 10_000, "Files.", 100)
flags.DEFINE_integer("size", 32, "Pixels of the square.", 8)
flags.DEFINE_string("backbone", "wide_resnet_28_2", "As of networks.make.")
flags.DEFINE_enum(
    "format", "tf_saved_model", export.FORMATS, "Of the classifier."
)
flags.DEFINE_integer("repeats", 3, "Of both.", 1)
flags.DEFINE_integer("batch_size", 256, "Images classified at once.", 1)
DAMAGED = 10


def write_files(folder, images):
    """PNG files, of which a few are cut in the middle; returns their paths."""
    paths = []
    for number, image in enumerate(images):
        contents = tf.io.encode_png(image).numpy()
        if number % (len(images) // DAMAGED) == 50:
            contents = contents[: len(contents) // 2]
        paths.append(os.path.join(folder, f"{number:06}.png"))
        with open(paths[-1], "wb") as file:
            file.write(contents)
    return paths


def make_images():
    """Smooth colours with noise, which PNG packs as it does photographs."""
    random = np.random.default_rng(0)
    shape = FLAGS.images, 4, 4, 3
    small = random.integers(0, 256, shape).astype("float32")
    side = (FLAGS.size, FLAGS.size)
    images = np.empty((FLAGS.images, *side, 3), np.uint8)
    for begin in range(0, FLAGS.images, 1000):
        part = tf.image.resize(small[begin : begin + 1000], side, "bicubic")
        part = part + random.normal(0, 4, part.shape)
        images[begin : begin + 1000] = np.clip(part, 0, 255)
    return images


def make_classifier(folder, images):
    """An exported network with random weights."""
    network = networks.make(FLAGS.backbone, images.shape[1:], 10)
    labels = np.arange(100) % 10
    data = datasets.from_arrays(images[:100], labels, images[100:400])
    path = os.path.join(folder, "model" + export.suffix(FLAGS.format))
    export.write_classifier(network, path, data, format=FLAGS.format)
    return export.load(path)


def main(argv):
    """Measures, and prints each pair and the median ratio."""
    if argv[1:]:
        sys.exit(f"unknown arguments {argv[1:]}")
    images = make_images()
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(os.path.join(folder, "images"))
        paths = write_files(os.path.join(folder, "images"), images)
        classifier = make_classifier(folder, images)
        classifier(images[: FLAGS.batch_size])
        ratios = []
        for _ in range(FLAGS.repeats):
            begin = time.perf_counter()
            for i in range(0, len(images), FLAGS.batch_size):
                classifier(images[i : i + FLAGS.batch_size])
            bare = len(images) / (time.perf_counter() - begin)
            begin = time.perf_counter()
            found = list(
                export.predict_files(classifier, paths, FLAGS.batch_size)
            )
            files = len(paths) / (time.perf_counter() - begin)
            errors = sum(bool(one.error) for one in found)
            ratios.append(files / bare)
            print(
                f"bare model {bare:,.0f} images/s, files {files:,.0f}: "
                f"{ratios[-1]:.3f}; {len(found):,} rows, {errors} errors",
                flush=True,
            )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{FLAGS.backbone}, {FLAGS.size} pixels, {FLAGS.format}: median ratio "
        f"{statistics.median(ratios):.3f}, peak memory {peak:,.0f} MB"
    )


if __name__ == "__main__":
    app.run(main)
