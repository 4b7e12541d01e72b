"""Watches the memory of a process in a long training of small steps.

    python benchmarks/memory.py

Two moons, Meta Pseudo Labels, with backups, evaluation and metrics as in any
training. Memory that grows with the steps would show after 20,000 of them.
"""

import os
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
from absl import app, flags

import mpl_keras
from mpl_keras import callbacks, datasets, pipeline

FLAGS = flags.FLAGS
flags.DEFINE_integer("steps", 20_000, "Of the training.", lower_bound=4000)
flags.DEFINE_integer("first", 2000, "Step from which growth counts.")
flags.DEFINE_float("limit", 2.0, "Growth in % that is too much.")


def resident():
    """Resident memory of this process in MB."""
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


class Watch(keras.callbacks.Callback):
    """Notes the memory every 1,000 steps."""

    def __init__(self):
        super().__init__()
        self.sizes = {}
        self.begin = time.time()

    def on_train_batch_end(self, batch, logs=None):
        """Notes the memory."""
        step = int(self.model.step.numpy())
        if step % 1000 == 0:
            self.sizes[step] = resident()
            print(
                f"step {step:6,}: {self.sizes[step]:.1f} MB, "
                f"{time.time() - self.begin:.0f} s",
                flush=True,
            )


def make_net():
    """A small network with all kinds of state."""
    return keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(16),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.Dropout(0.1),
            keras.layers.Dense(2),
        ]
    )


def main(argv):
    """Trains, and compares the memory at the end with that at the beginning."""
    del argv
    data = datasets.two_moons()
    model = mpl_keras.MetaPseudoLabels(make_net(), make_net())
    model.compile(
        keras.optimizers.SGD(0.1, momentum=0.9),
        keras.optimizers.SGD(0.1, momentum=0.9),
        metrics=["accuracy"],
    )
    train = pipeline.training_dataset(data, 6, 32, steps_per_epoch=500)
    watch = Watch()
    with tempfile.TemporaryDirectory() as folder:
        model.fit(
            train,
            epochs=FLAGS.steps // 500,
            validation_data=data.test,
            callbacks=[callbacks.Backup(folder, every=500), watch],
            verbose=0,
        )
    first, last = watch.sizes[FLAGS.first], watch.sizes[FLAGS.steps]
    growth = 100 * (last / first - 1)
    print(
        f"from step {FLAGS.first:,} to {FLAGS.steps:,}: {first:.1f} to "
        f"{last:.1f} MB, {growth:+.2f} %"
    )
    sys.exit(growth >= FLAGS.limit)


if __name__ == "__main__":
    app.run(main)
