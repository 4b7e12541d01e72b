"""Meta Pseudo Labels on a table, in which most rows have no class.

    python examples/tabular.py --csv=patients.csv --target=diagnosis

learns from all rows, and writes the classes of those without a target to
predictions.csv, and a classifier that `mpl-keras predict` takes. Without --csv
it takes one of scikit-learn's tables, and hides most of its labels. 30 % of the
rows with a target are set aside to test with. Features with gaps are refused;
--fill_missing fills them, in new rows too.
"""

import os

import keras
import numpy as np
import pandas as pd
from absl import app, flags
from sklearn.datasets import load_breast_cancer, load_wine

import mpl_keras
from mpl_keras import (
    augment,
    datasets,
    export,
    feedback,
    losses,
    pipeline,
    recipes,
)

TABLES = {"breast_cancer": load_breast_cancer, "wine": load_wine}

FLAGS = flags.FLAGS
flags.DEFINE_enum("dataset", "breast_cancer", list(TABLES), "What to train on.")
flags.DEFINE_string("csv", None, "A table of your own instead.")
flags.DEFINE_string("target", "target", "The column of --csv with the classes.")
flags.DEFINE_integer(
    "num_labeled", None, "Keep so many labels. Default: 10; of --csv all."
)
flags.DEFINE_bool("fill_missing", False, "Fill the gaps in features.")
flags.DEFINE_integer("steps", 600, "Training steps.", lower_bound=1)
flags.DEFINE_integer("seed", 0, "Of labels, networks, order and views.")
flags.DEFINE_string("output_dir", "tabular_results", "A new folder.")
flags.register_validator(
    "output_dir", lambda path: not os.path.exists(path), "must be a new folder"
)


def read_table():
    """A data frame, and how many of its labels are kept."""
    if FLAGS.csv is not None:
        return pd.read_csv(FLAGS.csv), FLAGS.num_labeled
    table = TABLES[FLAGS.dataset](as_frame=True)
    names = table.target_names[table.target]
    return table.frame.assign(**{FLAGS.target: names}), FLAGS.num_labeled or 10


def make_network(data):
    """Two hidden layers of 64 ReLU units, to logits."""
    options = {
        "kernel_initializer": "he_normal",
        "kernel_regularizer": keras.regularizers.L2(2.5e-4),
    }
    return keras.Sequential(
        [
            keras.Input(data.unlabeled.shape[1:]),
            keras.layers.Dense(64, activation="relu", **options),
            keras.layers.Dense(64, activation="relu", **options),
            keras.layers.Dense(data.num_classes, **options),
        ]
    )


def make_model(data):
    """A compiled model of two such networks."""
    keras.utils.set_random_seed(FLAGS.seed)
    model = mpl_keras.MetaPseudoLabels(
        teacher=make_network(data),
        student=make_network(data),
        consistency=losses.ConsistencyLoss(temperature=0.7, threshold=0.6),
        consistency_weight=mpl_keras.schedules.LinearRamp(3.0, steps=200),
        feedback=feedback.HypergradientFeedback(0.03),
        ema_momentum=0.99,
        seed=FLAGS.seed,
    )
    # SGD as for digits; its warm-up and the student's wait follow the steps.
    recipe = recipes.adapt(
        recipes.get("digits"),
        steps=FLAGS.steps,
        teacher_learning_rate=0.1,
        student_learning_rate=0.1,
    )
    model.compile(
        teacher_optimizer=recipes.make_optimizer(recipe, "teacher"),
        student_optimizer=recipes.make_optimizer(recipe, "student"),
        metrics=["accuracy"],
    )
    return model


def main(argv):
    """Trains, evaluates, and predicts the classes that are missing."""
    if argv[1:]:
        raise app.UsageError(f"Unknown arguments: {argv[1:]}")
    frame, num_labeled = read_table()
    data = datasets.from_dataframe(
        frame,
        FLAGS.target,
        num_labeled=num_labeled,
        balanced=False,  # but as equal as can be
        test_fraction=0.3,
        fill_missing=FLAGS.fill_missing,
        seed=FLAGS.seed,
    )
    # Noise on the numbers; categories stay as they are.
    spread = data.unlabeled.std(axis=0) * data.encoder.is_number
    batches = pipeline.training_dataset(
        data,
        labeled_batch_size=32,
        unlabeled_batch_size=64,
        views=augment.jitter_views(weak=0.1 * spread, strong=spread),
        steps_per_epoch=FLAGS.steps,
        seed=FLAGS.seed,
    )
    model = make_model(data)
    model.fit(batches, verbose=2)

    os.makedirs(FLAGS.output_dir)
    missing = frame[FLAGS.target].isna()
    if missing.any():
        logits = model.predict(data.encoder(frame[missing]), verbose=0)
        predictions = pd.DataFrame(
            {
                "row": np.flatnonzero(missing),
                "predicted": np.array(data.class_names)[logits.argmax(axis=-1)],
                "probability": np.max(keras.ops.softmax(logits), axis=-1),
            }
        )
        path = os.path.join(FLAGS.output_dir, "predictions.csv")
        predictions.to_csv(path, index=False)
        print(f"wrote {path}")
    # From raw rows to class names, without this library; with a JSON beside.
    path = os.path.join(FLAGS.output_dir, "classifier")
    export.write_classifier(model, path, data)
    print(f"wrote {path}")
    results = model.evaluate(data.test, return_dict=True, verbose=0)
    print(f"test accuracy: {100 * results['accuracy']:.2f} %")


if __name__ == "__main__":
    app.run(main)
