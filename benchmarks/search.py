"""Settings for Fashion-MNIST, found on training images that are set aside.

    python benchmarks/search.py --data=FOLDER --seeds=3000:3002 \
        --methods=uda_aligned,mpl --changes=steps=3000,feedback_weight=0.3

FOLDER holds the four gzipped idx files, as Debian's `dataset-fashion-mnist`
installs them. Every seed draws its own labeled and unlabeled images out of the
first 56,000 training images, and measures on the other 4,000. With --test it
draws out of all 60,000, and measures on the 10,000 test images: no setting may
be chosen by that.

Each run appends a row to OUTPUT, with the changes, the accuracies in % of the
averaged networks at the end, and a curve of them over the steps. A run that has
its row already is not made again. All runs are of one thread.
"""

import csv
import dataclasses
import json
import os
import pathlib
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # faster on all CPUs

import keras
import real_data
import tensorflow as tf
from absl import app, flags

from mpl_keras import augment, datasets, evaluation, pipeline, recipes

FLAGS = flags.FLAGS
flags.DEFINE_string("data", real_data.FASHION, "Folder of the idx files.")
flags.DEFINE_string("seeds", "3000:3001", "From:to, the second not included.")
flags.DEFINE_list("methods", ["mpl"], "Of recipes.METHODS.")
flags.DEFINE_list("changes", [], "Of the recipe, NAME=VALUE.")
flags.DEFINE_string("recipe", "fashion_mnist", "Where settings begin.")
flags.DEFINE_integer("labels", 100, "Labeled images.")
flags.DEFINE_integer("unlabeled", 8000, "Unlabeled images.")
flags.DEFINE_bool("test", False, "Measure on the test images.")
flags.DEFINE_string("output", "search.csv", "Table of the runs.")
flags.DEFINE_integer("threads", 1, "Of a run.")
COLUMNS = (
    *("recipe", "method", "changes", "labels", "unlabeled", "seed", "test"),
    *("student", "teacher", "steps", "seconds", "curve"),
)
_SET_ASIDE = 4000


def load(seed):
    """Labeled, unlabeled and other images of a seed."""
    return real_data.fashion(
        FLAGS.data,
        FLAGS.labels,
        seed,
        unlabeled=FLAGS.unlabeled,
        aside=0 if FLAGS.test else _SET_ASIDE,
    )


class Curve(keras.callbacks.Callback):
    """Measures the averaged networks now and then."""

    def __init__(self, networks, found):
        super().__init__()
        self.networks = networks
        self.test = found.test
        self.values = []

    def on_epoch_end(self, epoch, logs=None):
        """After each tenth of the training."""
        self.values.append([self._accuracy(net) for net in self.networks])

    def _accuracy(self, network):
        counts = evaluation.confusion_matrix(
            network, self.test, real_data.CLASSES
        )
        return round(100 * evaluation.accuracy_of(counts), 3)


def changed(recipe):
    """The recipe with the changes of the flags."""
    fields = {field.name for field in dataclasses.fields(recipe)}
    changes = {}
    for text in FLAGS.changes:
        name, _, value = text.partition("=")
        if name not in fields:
            raise app.UsageError(f"--changes: no field {name!r}")
        try:
            changes[name] = json.loads(value)
        except json.JSONDecodeError:
            changes[name] = value
    recipe = recipes.adapt(recipe, **changes)
    # `adapt` takes None for no change.
    none = {name: None for name, value in changes.items() if value is None}
    return dataclasses.replace(recipe, **none)


def run(method, seed):
    """Trains once; gives the figures of a row."""
    recipe = changed(recipes.get(FLAGS.recipe))
    found = load(seed)
    views = augment.named_views(recipe.views, *found.unlabeled.shape[1:3])
    found = dataclasses.replace(found, views=views)
    begin = time.monotonic()
    model = recipes.make_model(
        recipe,
        found.unlabeled.shape[1:],
        found.num_classes,
        method=method,
        seed=seed,
        steps_per_execution=10,
    )
    if recipes.for_method(recipe, method).label_spreading:
        spread = datasets.spread_labels(found)
        found = spread.data
        print(spread, flush=True)
    two = method in recipes.WITH_STUDENT
    batches = pipeline.training_dataset(
        found,
        recipe.labeled_batch_size,
        recipe.unlabeled_batch_size,
        steps_per_epoch=recipe.steps // 10,
        meta=recipe.meta if two else None,
        seed=seed,
    )
    curve = Curve([model.averaged], found)
    if two:
        curve.networks.append(model.teacher)
    model.fit(batches, epochs=10, verbose=0, callbacks=[curve])
    return {
        "student": curve.values[-1][0],
        "teacher": curve.values[-1][1] if two else "",
        "steps": recipe.steps,
        "seconds": round(time.monotonic() - begin),
        "curve": json.dumps(curve.values),
    }


def main(_):
    """Makes the runs that are missing."""
    tf.config.threading.set_intra_op_parallelism_threads(FLAGS.threads)
    tf.config.threading.set_inter_op_parallelism_threads(FLAGS.threads)
    tf.config.experimental.enable_op_determinism()
    first, last = map(int, FLAGS.seeds.split(":"))
    path = pathlib.Path(FLAGS.output)
    for seed in range(first, last):
        for method in FLAGS.methods:
            key = {
                "recipe": FLAGS.recipe,
                "method": method,
                "changes": ",".join(sorted(FLAGS.changes)),
                "labels": str(FLAGS.labels),
                "unlabeled": str(FLAGS.unlabeled),
                "seed": str(seed),
                "test": str(FLAGS.test),
            }
            made = []
            if path.exists():
                made = list(csv.DictReader(path.open()))
            if any(key.items() <= row.items() for row in made):
                continue
            row = key | run(method, seed)
            keras.backend.clear_session()
            with path.open("a", newline="") as file:
                writer = csv.DictWriter(file, COLUMNS)
                if not file.tell():
                    writer.writeheader()
                writer.writerow(row)
            print({k: row[k] for k in COLUMNS if k != "recipe"}, flush=True)


if __name__ == "__main__":
    app.run(main)
