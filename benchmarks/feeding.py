"""Memory and speed of feeding records, by their number.

Prepares 10,000 images in the format of TensorFlow Datasets, and the same
files a hundred times, as a data set of 1,000,000 records. Each is fed once in a
process of its own, whose largest memory is what counts.

    python benchmarks/feeding.py
"""

import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
from absl import app, flags

from mpl_keras import augment, datasets, pipeline

FLAGS = flags.FLAGS
flags.DEFINE_integer("records", 10_000, "In one file.", lower_bound=100)
flags.DEFINE_integer("copies", 100, "Files of the large data set.")
flags.DEFINE_integer("image_size", 16, "Pixels.")
flags.DEFINE_integer("batch_size", 1000, "Unlabeled images in a batch.")
flags.DEFINE_string("feed", None, "Feed what is in this folder, and report.")


def prepare(folder):
    """A data set of one file, as `tfds.load` would write it."""
    import tensorflow_datasets as tfds

    side = FLAGS.image_size
    random = np.random.RandomState(0)

    def examples():
        for number in range(FLAGS.records):
            pixels = random.randint(0, 256, (side, side, 3)).astype("uint8")
            yield {"image": pixels, "label": number % 10}

    spec = {
        "image": tf.TensorSpec([side, side, 3], tf.uint8),
        "label": tf.TensorSpec([], tf.int64),
    }
    tfds.dataset_builders.store_as_tfds_dataset(
        name="noise",
        version="1.0.0",
        features=tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(side, side, 3)),
                "label": tfds.features.ClassLabel(num_classes=10),
            }
        ),
        split_datasets={
            "train": tf.data.Dataset.from_generator(
                examples, output_signature=spec
            )
        },
        data_dir=folder,
        disable_shuffling=True,
    )


def multiply(source, target):
    """The same data set with its file many times, by hard links."""
    source = pathlib.Path(source, "noise/1.0.0")
    target = pathlib.Path(target, "noise/1.0.0")
    target.mkdir(parents=True)
    info = json.loads((source / "dataset_info.json").read_text())
    (split,) = info["splits"]
    split["shardLengths"] = split["shardLengths"] * FLAGS.copies
    split["numBytes"] = str(int(split["numBytes"]) * FLAGS.copies)
    (target / "dataset_info.json").write_text(json.dumps(info))
    (target / "features.json").write_bytes(
        (source / "features.json").read_bytes()
    )
    (file,) = source.glob("*.tfrecord-*")
    for number in range(FLAGS.copies):
        name = f"noise-train.tfrecord-{number:05}-of-{FLAGS.copies:05}"
        os.link(file, target / name)


def feed(folder):
    """Feeds every record once; gives records, seconds and megabytes."""
    side = FLAGS.image_size
    data = datasets.from_tfds(
        "noise",
        data_dir=folder,
        num_labeled=10,
        views=augment.svhn_views(side),
    )
    train = pipeline.training_dataset(data, 10, FLAGS.batch_size)
    begin = time.perf_counter()
    for _ in train.take(train.stream.steps_per_epoch):
        pass
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([len(data.unlabeled), seconds, peak]))


def main(argv):
    """Prepares, feeds each in a process of its own, and prints a table."""
    if FLAGS.feed:
        feed(FLAGS.feed)
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        small, large = f"{folder}/small", f"{folder}/large"
        prepare(small)
        multiply(small, large)
        for path in (small, large):
            result = subprocess.run(
                [sys.executable, *argv, *sys.argv[1:], f"--feed={path}"],
                stdout=subprocess.PIPE,
                check=True,
                text=True,
            )
            rows.append(json.loads(result.stdout.splitlines()[-1]))
    print("\n| records | images/s (weak and strong) | largest memory in MB |")
    print("|---|---|---|")
    for count, seconds, peak in rows:
        print(f"| {count:,} | {count / seconds:,.0f} | {peak:,.0f} |")
    print(f"\ndifference: {rows[1][2] - rows[0][2]:,.0f} MB (bar: 300)")


if __name__ == "__main__":
    app.run(main)
