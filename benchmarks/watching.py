"""Times what watching a training in TensorBoard costs it.

    python benchmarks/watching.py

Meta Pseudo Labels by the recipe `digits`, with the callback as it is by
default, pictures included. Timed is every call of the callback's hooks that
the training waits for, so that what the training itself takes does not blur
it; pictures are also timed by themselves. Where other work shares the
CPU, the time that the callback itself was on it tells more.
"""

import os
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import matplotlib.figure  # noqa: F401  as by whoever draws results later
from absl import app, flags

from mpl_keras import callbacks, datasets, pipeline, recipes

FLAGS = flags.FLAGS
flags.DEFINE_integer("epochs", None, "By default the recipe's steps.")
flags.DEFINE_integer("steps_per_epoch", 100, "Steps in each.", lower_bound=1)
flags.DEFINE_integer("num_labeled", 20, "Labeled images.", lower_bound=10)
flags.DEFINE_enum("method", "mpl", recipes.METHODS, "What is trained with.")


class Timed(callbacks.TensorBoard):
    """Adds up the time in all of its hooks, and that in pictures."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.hooks, self.cpu = 0.0, 0.0
        self.pictures, self._depth = [], 0
        for name in dir(self):
            if name.startswith("on_"):
                setattr(self, name, self._timed(getattr(self, name)))

    def _timed(self, hook):
        def call(*args, **kwargs):
            self._depth += 1
            begin, busy = time.perf_counter(), time.thread_time()
            try:
                return hook(*args, **kwargs)
            finally:
                self._depth -= 1
                if not self._depth:  # hooks call each other
                    self.hooks += time.perf_counter() - begin
                    self.cpu += time.thread_time() - busy

        return call

    def _draw(self):
        begin = time.perf_counter()
        super()._draw()
        self.pictures.append(time.perf_counter() - begin)


def main(argv):
    """Trains, and prints what the callback took."""
    del argv
    data = datasets.digits(
        num_labeled=FLAGS.num_labeled, dtype="uint8", validation_fraction=0.2
    )
    recipe = recipes.get("digits")
    model = recipes.make_model(recipe, (8, 8, 1), 10, method=FLAGS.method)
    train = pipeline.training_dataset(
        data,
        recipe.labeled_batch_size,
        recipe.unlabeled_batch_size,
        steps_per_epoch=FLAGS.steps_per_epoch,
    )
    epochs = FLAGS.epochs or recipe.steps // FLAGS.steps_per_epoch
    with tempfile.TemporaryDirectory() as folder:
        watch = Timed(folder, data=data, hyperparameters={"seed": 0})
        begin = time.perf_counter()
        model.fit(
            train,
            epochs=epochs,
            validation_data=data.validation,
            callbacks=[watch],
            verbose=0,
        )
        whole = time.perf_counter() - begin
        size = sum(entry.stat().st_size for entry in os.scandir(folder))
    steps = epochs * FLAGS.steps_per_epoch
    pictures = sum(watch.pictures)
    print(
        f"{steps:,} steps, {1000 * whole / steps:.2f} ms each with evaluation:"
        f" the callback takes {1000 * watch.hooks / steps:.3f} ms of a step, "
        f"{1000 * (watch.hooks - pictures) / steps:.3f} for numbers and "
        f"{1000 * pictures / steps:.3f} for pictures, drawn "
        f"{len(watch.pictures)} times in "
        f"{', '.join(seconds_of(watch))} s; on the CPU "
        f"{1000 * watch.cpu / steps:.3f} ms; "
        f"{size / 2**20:.1f} MB written"
    )


def seconds_of(watch):
    """Seconds of each drawing."""
    return [f"{seconds:.2f}" for seconds in watch.pictures]


if __name__ == "__main__":
    app.run(main)
