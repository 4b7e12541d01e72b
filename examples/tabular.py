"""Supervised training, UDA and Meta Pseudo Labels on tables.

Trains the methods on scikit-learn's breast cancer and wine with most labels
hidden, or on a table of your own, in which the target may be missing in most
rows; and compares the averaged networks of the last step on test rows.

    python examples/tabular.py --dataset=breast_cancer --num_labeled=10
    python examples/tabular.py --csv=patients.csv --target=diagnosis

predictions.csv then has the classes of the rows without a target.

A seed is one choice of labels, one initialisation and one data order for all
methods. The test rows, 30 % of those with a target, stratified, are the same
for all seeds: the errors speak of labels and luck, not of other test rows.
The default settings are the best of six, chosen on seeds 100 to 104 with
--measure_on=validation, which leaves the test rows alone.
"""

import csv
import json
import math
import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import matplotlib
import numpy as np
import pandas as pd
from absl import app, flags, logging
from sklearn import datasets as sklearn_datasets

import mpl_keras
from mpl_keras import augment, feedback, files, losses, schedules
from mpl_keras.datasets import tables

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402

METHODS = ("supervised", "uda", "uda_aligned", "no_feedback", "mpl")
# What loads them, and how many rows keep their label by default.
TABLES = {
    "breast_cancer": (sklearn_datasets.load_breast_cancer, 10),
    "wine": (sklearn_datasets.load_wine, 9),
}

FLAGS = flags.FLAGS
flags.DEFINE_enum("dataset", "all", [*TABLES, "all"], "What to train on.")
flags.DEFINE_string("csv", None, "A table of your own, in place of --dataset.")
flags.DEFINE_string("target", None, "The column of --csv with the classes.")
flags.DEFINE_integer(
    "num_labeled",
    None,
    "Rows that keep their label, as equal per class as can be. By default 10 "
    "(breast cancer), 9 (wine), or all that have one (--csv).",
)
flags.DEFINE_list("seeds", ["0", "1", "2", "3", "4"], "Paired runs, one each.")
flags.DEFINE_list("methods", list(METHODS), f"Any of {', '.join(METHODS)}.")
flags.DEFINE_enum(
    "measure_on",
    "test",
    ["test", "validation"],
    "Choose settings on validation: a third of the rows that are no test rows.",
)
flags.DEFINE_float("feedback_weight", 0.03, "Factor of the hypergradient.")
flags.DEFINE_float("consistency_weight", 3.0, "Weight of UDA's consistency.")
flags.DEFINE_float("weak_jitter", 0.1, "Noise in standard deviations.")
flags.DEFINE_float("strong_jitter", 1.0, "The same, of the strong view.")
flags.DEFINE_integer("steps", 600, "Training steps.", lower_bound=1)
flags.DEFINE_integer("labeled_batch_size", 32, "Labeled rows per step.")
flags.DEFINE_integer("unlabeled_batch_size", 64, "Unlabeled ones per step.")
flags.DEFINE_float("teacher_learning_rate", 0.1, "Peak; for single nets too.")
flags.DEFINE_float("student_learning_rate", 0.1, "Peak of the student's.")
flags.DEFINE_integer("student_wait", 100, "Steps before the student starts.")
flags.DEFINE_float("ema_momentum", 0.99, "Of the averaged networks.")
flags.DEFINE_string("output_dir", "tabular_results", "Where results go.")
flags.DEFINE_bool("overwrite", False, "Replace what is in --output_dir.")


def read_tables():
    """Name -> data frame, its target, and how many labels to keep."""
    if FLAGS.csv is not None:
        if FLAGS.target is None:
            raise ValueError("--csv needs --target, the column of classes")
        name = os.path.splitext(os.path.basename(FLAGS.csv))[0]
        frame = pd.read_csv(FLAGS.csv)
        return {name: (frame, FLAGS.target, FLAGS.num_labeled)}
    names = TABLES if FLAGS.dataset == "all" else [FLAGS.dataset]
    found = {}
    for name in names:
        load, num_labeled = TABLES[name]
        bunch = load(as_frame=True)
        frame = bunch.frame
        # Names in place of numbers: from_dataframe finds the classes.
        frame["target"] = bunch.target_names[bunch.target]
        found[name] = (frame, "target", FLAGS.num_labeled or num_labeled)
    return found


def make_data(table, seed):
    """What is trained on and measured with; the test rows of every seed."""
    frame, target, num_labeled = table
    return tables.from_dataframe(
        frame,
        target,
        num_labeled=num_labeled,
        balanced=False,  # but as equal as can be
        test_fraction=0.3,
        validation_fraction=1 / 3 if FLAGS.measure_on == "validation" else 0.0,
        seed=seed,
    )


def make_views(data):
    """Noise on the numbers; categories stay as they are."""
    spread = data.unlabeled.std(axis=0) * data.encoder.is_number
    return augment.jitter_views(
        weak=FLAGS.weak_jitter * spread, strong=FLAGS.strong_jitter * spread
    )


def make_net(data):
    """Two hidden layers of 64 ReLU units."""
    decay = keras.regularizers.L2(2.5e-4)  # adds 5e-4 * weight to gradients
    hidden = {"activation": "relu", "kernel_initializer": "he_normal"}
    return keras.Sequential(
        [
            keras.Input(data.unlabeled.shape[1:]),
            keras.layers.Dense(64, kernel_regularizer=decay, **hidden),
            keras.layers.Dense(64, kernel_regularizer=decay, **hidden),
            keras.layers.Dense(data.num_classes, kernel_regularizer=decay),
        ]
    )


def make_optimizer(learning_rate, wait=0):
    """SGD with warm-up and cosine decay, after some steps of waiting."""
    warmup = min(100, FLAGS.steps // 3)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        max(FLAGS.steps - wait - warmup, 1),
        warmup_target=learning_rate,
        warmup_steps=warmup,
    )
    return keras.optimizers.SGD(
        schedules.Delayed(schedule, wait) if wait else schedule,
        momentum=0.9,
        nesterov=True,
        global_clipnorm=1.0,
    )


def make_model(method, data, seed):
    """A compiled model; the same initial weights for the same seed."""
    keras.utils.set_random_seed(seed)
    net, student = make_net(data), make_net(data)
    consistency = losses.ConsistencyLoss(
        temperature=0.7,
        threshold=0.6,
        distribution_alignment="labeled" if method == "uda_aligned" else None,
    )
    ramp = schedules.LinearRamp(FLAGS.consistency_weight, steps=200)
    teacher_optimizer = make_optimizer(FLAGS.teacher_learning_rate)
    if method in ("supervised", "uda", "uda_aligned"):
        model = mpl_keras.UDA(
            net,
            consistency=None if method == "supervised" else consistency,
            consistency_weight=ramp,
            ema_momentum=FLAGS.ema_momentum,
        )
        model.compile(teacher_optimizer, metrics=["accuracy"])
        return model
    form = feedback.HypergradientFeedback(FLAGS.feedback_weight)
    model = mpl_keras.MetaPseudoLabels(
        net,
        student,
        consistency=consistency,
        consistency_weight=ramp,
        feedback=form if method == "mpl" else None,
        pseudo_labels=form.kinds[0],
        ema_momentum=FLAGS.ema_momentum,
        seed=seed,
    )
    wait = min(FLAGS.student_wait, FLAGS.steps // 3)
    model.compile(
        teacher_optimizer=teacher_optimizer,
        student_optimizer=make_optimizer(FLAGS.student_learning_rate, wait),
        metrics=["accuracy"],
    )
    return model


def train(method, data, seed):
    """Trains one method; gives its model and accuracies in percent."""
    batches = mpl_keras.pipeline.training_dataset(
        data,
        FLAGS.labeled_batch_size,
        FLAGS.unlabeled_batch_size,
        views=make_views(data),
        steps_per_epoch=FLAGS.steps,
        seed=seed,
    )
    model = make_model(method, data, seed)
    model.fit(batches, verbose=0)
    # Of the last step; what is measured on chooses nothing.
    measured = data.test if FLAGS.measure_on == "test" else data.validation
    result = model.evaluate(measured, return_dict=True, verbose=0)
    teacher = getattr(model, "teacher", None)
    teacher = 100 * accuracy_of(teacher, measured) if teacher else math.nan
    return model, 100 * result["accuracy"], teacher


def accuracy_of(net, measured):
    """Share of the rows that a network classifies correctly."""
    right = [np.argmax(net(x, training=False), -1) == y for x, y in measured]
    return np.mean(np.concatenate(right))


def mean_and_error(values):
    """Mean and its standard error."""
    values = np.asarray(values)
    several = len(values) > 1
    error = values.std(ddof=1) / len(values) ** 0.5 if several else math.nan
    return f"{values.mean():.2f} ± {error:.2f}"


def plot(accuracies, path):
    """Every run, the runs of one seed joined, and means with their errors."""
    figure, axes = plt.subplots(
        1,
        len(accuracies),
        figsize=(6 * len(accuracies), 4.5),
        squeeze=False,
        layout="constrained",
    )
    for axis, (name, methods) in zip(axes[0], accuracies.items(), strict=True):
        values = np.array(list(methods.values()))
        axis.plot(values, color="gray", alpha=0.5, marker="o", markersize=4)
        count = values.shape[1]
        axis.errorbar(
            range(len(values)),
            values.mean(axis=1),
            values.std(axis=1, ddof=1) / count**0.5 if count > 1 else None,
            color="C0",
            marker="D",
            linestyle="",
            capsize=6,
        )
        axis.set_xticks(range(len(values)), methods)
        axis.set(title=name, ylabel=f"{FLAGS.measure_on} accuracy in %")
        axis.grid(alpha=0.3)
    figure.suptitle("Gray: one seed each. Blue: mean and standard error")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def write_runs(rows, folder):
    """Writes the runs so far, and their settings."""
    with open(os.path.join(folder, "results.csv"), "w", newline="") as file:
        writer = csv.writer(file)
        header = ["dataset", "method", "seed", "accuracy", "teacher_accuracy"]
        writer.writerows([header, *rows])
    settings = FLAGS.flags_by_module_dict()[sys.argv[0]]
    with open(os.path.join(folder, "settings.json"), "w") as file:
        json.dump({flag.name: flag.value for flag in settings}, file, indent=1)


def write_predictions(model, data, table, path):
    """Classes of the rows without a target, if there are any."""
    frame, target, _ = table
    missing = frame[target].isna()
    if not missing.any():
        return
    logits = model.predict(data.encoder(frame[missing]), verbose=0)
    predictions = pd.DataFrame(
        {
            "row": np.flatnonzero(missing),
            "predicted": np.array(data.class_names)[logits.argmax(axis=-1)],
            "probability": np.max(keras.ops.softmax(logits), axis=-1),
        }
    )
    predictions.to_csv(path, index=False)


def check_flags(argv):
    """Tables, seeds and methods; exits before anything is written."""
    unknown = argv[1:] or sorted(set(FLAGS.methods) - set(METHODS))
    if unknown or not FLAGS.methods:
        sys.exit(
            f"{argv[0]}: unknown arguments or --methods {unknown}; methods "
            f"are {', '.join(METHODS)}"
        )
    try:
        seeds = [int(seed) for seed in FLAGS.seeds]
        found = read_tables()
        for table in found.values():
            for seed in seeds:
                make_data(table, seed)
        files.prepare_folder(FLAGS.output_dir, FLAGS.overwrite, "--output_dir")
    except (ValueError, OSError) as error:
        sys.exit(f"{argv[0]}: {error}")
    return found, seeds, sorted(set(FLAGS.methods), key=METHODS.index)


def print_tables(accuracies):
    """Means, and the paired difference that the feedback makes."""
    for name, runs in accuracies.items():
        print(f"\n{name}, {FLAGS.measure_on} accuracy in %, mean ± error:")
        for method, values in runs.items():
            print(f"{method:12} {mean_and_error(values)}")
        if "mpl" in runs and "no_feedback" in runs:
            gain = np.subtract(runs["mpl"], runs["no_feedback"])
            print(f"mpl minus no_feedback, paired: {mean_and_error(gain)}")


def main(argv):
    """Trains every method with every seed on every table, and compares."""
    logging.set_verbosity(logging.WARNING)
    found, seeds, methods = check_flags(argv)
    folder = FLAGS.output_dir
    runs = [(n, s, m) for n in found for s in seeds for m in methods]
    print(f"{len(runs)} runs of {FLAGS.steps:,} steps; results go to {folder}/")
    accuracies = {name: {m: [] for m in methods} for name in found}
    rows, begin = [], time.time()
    for done, (name, seed, method) in enumerate(runs):
        data = make_data(found[name], seed)
        if sys.stdout.isatty():
            left = (time.time() - begin) * (len(runs) - done) / max(done, 1)
            line = f"{name}, seed {seed}: {method}"
            line += f", about {left:.0f} s left" if done else ""
            print(f"\r{line:78}", end="", flush=True)
        model, accuracy, teacher = train(method, data, seed)
        accuracies[name][method].append(accuracy)
        rows.append([name, method, seed, accuracy, teacher])
        write_runs(rows, folder)
    # By the last method of the last seed: MPL's student, if it was trained.
    path = os.path.join(folder, "predictions.csv")
    write_predictions(model, data, found[name], path)
    plot(accuracies, os.path.join(folder, "accuracies.png"))
    print(f"\nWrote to {folder}/: " + ", ".join(sorted(os.listdir(folder))))
    print_tables(accuracies)


if __name__ == "__main__":
    app.run(main)
