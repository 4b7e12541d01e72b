"""Times how long a backup holds up the training of a WRN-28-2.

    python benchmarks/backup.py

Meta Pseudo Labels by the recipe `cifar10_4000`: two networks, their average and
momenta. A backup copies them in the training's thread, and a thread of its own
writes the copy; what is timed is how long the callback keeps the training, and
how long the file takes.
"""

import os
import statistics
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from absl import app, flags

from mpl_keras import callbacks, datasets, pipeline, recipes

FLAGS = flags.FLAGS
flags.DEFINE_integer("backups", 10, "How many are timed.", lower_bound=1)


class Timed(callbacks.Backup):
    """Times each call that the training waits for, and each file."""

    def __init__(self, folder):
        super().__init__(folder, every=1)
        self.held, self.written = [], []

    def on_train_batch_end(self, batch, logs=None):
        """Times the callback."""
        begin = time.perf_counter()
        super().on_train_batch_end(batch, logs)
        self.held.append(time.perf_counter() - begin)

    def _write(self, *arguments):
        begin = time.perf_counter()
        super()._write(*arguments)
        self.written.append(time.perf_counter() - begin)


def main(argv):
    """Trains some steps, with a backup after each."""
    del argv
    random = np.random.default_rng(0)
    x = random.integers(0, 255, (40, 32, 32, 3)).astype("uint8")
    images = datasets.from_arrays(x, np.arange(40) % 10, x, num_classes=10)
    recipe = recipes.get("cifar10_4000")
    model = recipes.make_model(recipe, (32, 32, 3), 10)
    train = pipeline.training_dataset(
        images, 2, 4, steps_per_epoch=FLAGS.backups
    )
    with tempfile.TemporaryDirectory() as folder:
        saver = Timed(folder)
        model.fit(train, callbacks=[saver], verbose=0)
        size = os.path.getsize(saver.backups()[-1][1])
    print(
        f"{len(saver.held)} backups of {size / 2**20:.1f} MB: training held up "
        f"{1000 * statistics.median(saver.held):.0f} ms (median), at most "
        f"{1000 * max(saver.held):.0f} ms; a file takes "
        f"{1000 * statistics.median(saver.written):.0f} ms, at most "
        f"{1000 * max(saver.written):.0f} ms"
    )


if __name__ == "__main__":
    app.run(main)
