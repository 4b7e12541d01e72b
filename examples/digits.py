"""Supervised training, UDA and Meta Pseudo Labels on real digits.

Trains the methods on the same labeled images of scikit-learn's 8x8 digits,
with the same initial weights and batches for the same seed, and compares the
averaged networks of the last step on 540 test images.

    python examples/digits.py --num_labeled=20 --seeds=0,1,2

Where it departs from the paper: soft pseudo labels with the exact
hypergradient by default, a small network, and no finetuning on the labels.
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
from absl import app, flags, logging

import mpl_keras
from mpl_keras import feedback, files, losses, schedules

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402

METHODS = ("supervised", "uda", "uda_aligned", "no_feedback", "mpl")
FEEDBACKS = {
    "hypergradient": (feedback.HypergradientFeedback, 0.3),
    "per_example": (feedback.PerExampleFeedback, 0.3),
    "loss_difference": (feedback.LossDifferenceFeedback, 2.0),
    "cosine": (feedback.CosineFeedback, 3.0),
}

FLAGS = flags.FLAGS
flags.DEFINE_integer("num_labeled", 10, "Labeled images, equal per class.")
flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds, one paired run each.")
flags.DEFINE_list("methods", list(METHODS), f"Any of {', '.join(METHODS)}.")
flags.DEFINE_enum(
    "feedback", "hypergradient", list(FEEDBACKS), "What the teacher is told."
)
flags.DEFINE_float(
    "feedback_weight",
    None,
    "Factor of the feedback; negative turns it around. By default "
    + ", ".join(
        f"{weight} ({name})" for name, (_, weight) in FEEDBACKS.items()
    ),
)
flags.DEFINE_enum(
    "meta",
    "strong",
    ["labeled", "strong"],
    "View of the labeled images on which the student is measured.",
)
flags.DEFINE_integer("steps", 1500, "Training steps.", lower_bound=1)
flags.DEFINE_integer("labeled_batch_size", 32, "Labeled images per step.")
flags.DEFINE_integer("unlabeled_batch_size", 64, "Unlabeled ones per step.")
flags.DEFINE_float("teacher_learning_rate", 0.3, "Peak; for single nets too.")
flags.DEFINE_float("student_learning_rate", 0.2, "Peak of the student's.")
flags.DEFINE_float(
    "student_final_fraction",
    0.5,
    "What the student's falls to, of its peak.",
    lower_bound=0,
    upper_bound=1,
)
flags.DEFINE_integer("student_wait", 200, "Steps before the student starts.")
flags.DEFINE_integer(
    "student_warmup_steps",
    400,
    "Steps over which the student's rate then grows.",
    lower_bound=1,
)
flags.DEFINE_float("consistency_weight", 3.0, "Weight of UDA's consistency.")
flags.DEFINE_float("ema_momentum", 0.995, "Of the averaged networks.")
flags.DEFINE_string("output_dir", "digits_results", "Where results go.")
flags.DEFINE_bool("overwrite", False, "Replace what is in --output_dir.")


def make_net():
    """Two convolutions and a dense layer; 3,700 parameters."""
    decay = keras.regularizers.L2(2.5e-4)  # adds 5e-4 * weight to gradients
    conv = {
        "padding": "same",
        "activation": "relu",
        "kernel_initializer": "he_normal",
    }
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(12, 3, kernel_regularizer=decay, **conv),
            keras.layers.AveragePooling2D(2),
            keras.layers.Conv2D(24, 3, kernel_regularizer=decay, **conv),
            keras.layers.AveragePooling2D(2),
            keras.layers.Flatten(),
            keras.layers.Dense(10, kernel_regularizer=decay),
        ]
    )


def make_optimizer(learning_rate, warmup=100, wait=0, final_fraction=0.0):
    """SGD with warm-up and cosine decay, after some steps of waiting."""
    warmup = min(warmup, FLAGS.steps // 3)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        max(FLAGS.steps - wait - warmup, 1),
        alpha=final_fraction,
        warmup_target=learning_rate,
        warmup_steps=warmup,
    )
    return keras.optimizers.SGD(
        schedules.Delayed(schedule, wait) if wait else schedule,
        momentum=0.9,
        nesterov=True,
        global_clipnorm=1.0,
    )


def make_feedback():
    """The feedback that the flags ask for."""
    form, weight = FEEDBACKS[FLAGS.feedback]
    if FLAGS.feedback_weight is not None:
        weight = FLAGS.feedback_weight
    if FLAGS.feedback == "loss_difference":
        return form(weight, normalization="std")
    return form(weight)


def make_model(method, seed):
    """A compiled model; the same initial weights for the same seed."""
    keras.utils.set_random_seed(seed)
    net, student = make_net(), make_net()
    consistency = losses.ConsistencyLoss(
        temperature=0.7,
        threshold=0.6,
        distribution_alignment="labeled" if method == "uda_aligned" else None,
    )
    ramp = schedules.LinearRamp(FLAGS.consistency_weight, steps=300)
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
    form = make_feedback()
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
        student_optimizer=make_optimizer(
            FLAGS.student_learning_rate,
            FLAGS.student_warmup_steps,
            wait,
            FLAGS.student_final_fraction,
        ),
        metrics=["accuracy"],
    )
    return model


class Progress(keras.callbacks.Callback):
    """One line for all runs, with an estimate of the time left."""

    def __init__(self, runs):
        super().__init__()
        self.runs = runs
        self.done = 0
        self.begin = time.time()
        self.label = ""

    def on_epoch_end(self, epoch, logs=None):
        """Counts the steps of all runs."""
        self.done += self.params["steps"]
        total = self.runs * FLAGS.steps
        left = (time.time() - self.begin) * (total - self.done) / self.done
        if sys.stdout.isatty():
            line = f"{self.label}: {self.done:,} of {total:,} steps"
            line += f", about {left:.0f} s left"
            print(f"\r{line:78}", end="", flush=True)


def train(method, seed, progress):
    """Trains one method; gives its model, history and test accuracy."""
    data = mpl_keras.datasets.digits(FLAGS.num_labeled, seed)
    epochs = max(n for n in range(1, 21) if FLAGS.steps % n == 0)
    batches = mpl_keras.pipeline.training_dataset(
        data,
        FLAGS.labeled_batch_size,
        FLAGS.unlabeled_batch_size,
        steps_per_epoch=FLAGS.steps // epochs,
        meta=FLAGS.meta,
        seed=seed,
    )
    model = make_model(method, seed)
    progress.label = f"{method}, seed {seed}"
    history = model.fit(
        batches,
        epochs=epochs,
        validation_data=data.test,
        callbacks=[progress],
        verbose=0,
    ).history
    # Of the last step; the test images choose nothing.
    accuracy = 100 * history["val_accuracy"][-1]
    teacher = getattr(model, "teacher", None)
    teacher = 100 * accuracy_of(teacher, data.test) if teacher else math.nan
    print(
        ("\r" if sys.stdout.isatty() else "")
        + f"{progress.label}: {accuracy:.2f} %"
        + ("" if math.isnan(teacher) else f" (its teacher {teacher:.2f} %)")
        + (" " * 30 if sys.stdout.isatty() else "")
    )
    return model, history, accuracy, teacher


def accuracy_of(net, test):
    """Share of the test images that a network classifies correctly."""
    right = [np.argmax(net(x, training=False), -1) == y for x, y in test]
    return np.mean(np.concatenate(right))


def mean_and_error(values):
    """Mean and its standard error."""
    values = np.asarray(values)
    error = (
        values.std(ddof=1) / len(values) ** 0.5
        if len(values) > 1
        else (math.nan)
    )
    return f"{values.mean():.2f} ± {error:.2f}"


def plot_curves(histories, path):
    """Test accuracy through training, and the feedback's share."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for method, runs in histories.items():
        for axis, key, factor in (
            (axes[0], "val_accuracy", 100),
            (axes[1], "feedback_share", 1),
        ):
            if key not in runs[0]:
                continue
            values = factor * np.array([run[key] for run in runs])
            epochs = len(values[0])
            steps = np.arange(1, epochs + 1) * (FLAGS.steps // epochs)
            (line,) = axis.plot(steps, values.mean(0), label=method)
            axis.fill_between(
                steps,
                values.min(0),
                values.max(0),
                color=line.get_color(),
                alpha=0.15,
                linewidth=0,
            )
    axes[0].set(title="Averaged network on the test images", ylabel="%")
    axes[1].set(title="Feedback's share of the teacher's gradient")
    for axis in axes:
        axis.set_xlabel("step")
        axis.grid(alpha=0.3)
        if axis.lines:
            axis.legend()
    figure.suptitle(
        f"{FLAGS.num_labeled} labeled digits, mean and range over seeds "
        + ", ".join(FLAGS.seeds)
    )
    figure.savefig(path, dpi=120)
    plt.close(figure)


def plot_confusion(model, test, title, path):
    """Confusion matrix of a model on the test images, in percent per row."""
    labels = np.concatenate([y for _, y in test])
    predicted = model.predict(test, verbose=0).argmax(-1)
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (labels, predicted), 1)
    figure, axis = plt.subplots(figsize=(6, 5.5), layout="constrained")
    shares = counts / counts.sum(axis=1, keepdims=True)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        if count:
            color = "white" if shares[row, column] > 0.5 else "black"
            axis.text(column, row, count, ha="center", va="center", color=color)
    axis.set(xlabel="predicted", ylabel="true", title=title)
    axis.set_xticks(range(10))
    axis.set_yticks(range(10))
    figure.savefig(path, dpi=120)
    plt.close(figure)


def write_runs(rows, folder):
    """Writes the runs so far, and their settings."""
    with open(os.path.join(folder, "results.csv"), "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["method", "seed", "accuracy", "teacher_accuracy"])
        writer.writerows(rows)
    settings = FLAGS.flags_by_module_dict()[sys.argv[0]]
    with open(os.path.join(folder, "settings.json"), "w") as file:
        json.dump({flag.name: flag.value for flag in settings}, file, indent=1)


def check_flags(argv):
    """Seeds and methods; raises before anything is written or trained."""
    unknown = set(FLAGS.methods) - set(METHODS)
    if argv[1:] or unknown or not FLAGS.methods:
        sys.exit(
            f"{argv[0]}: unknown arguments {argv[1:]}"
            if argv[1:]
            else f"{argv[0]}: --methods must be of {', '.join(METHODS)}. "
            f"Received: {','.join(FLAGS.methods)}"
        )
    try:
        seeds = [int(seed) for seed in FLAGS.seeds]
        for seed in seeds:
            mpl_keras.datasets.digits(FLAGS.num_labeled, seed)
        files.prepare_folder(FLAGS.output_dir, FLAGS.overwrite, "--output_dir")
    except (ValueError, OSError) as error:
        sys.exit(f"{argv[0]}: {error}")
    return seeds, sorted(set(FLAGS.methods), key=METHODS.index)


def print_table(accuracies):
    """Paired differences, then the means, MPL last."""
    base = accuracies.get("no_feedback")
    if base and "mpl" in accuracies and len(base) > 1:
        gain = np.subtract(accuracies["mpl"], base)
        print(f"\nmpl minus no_feedback, paired: {mean_and_error(gain)}")
    print(f"\nTest accuracy in %, {FLAGS.num_labeled} labels, mean ± error:")
    for method in sorted(accuracies, key=METHODS.index):
        print(f"{method:12} {mean_and_error(accuracies[method])}")


def main(argv):
    """Trains every method with every seed, and compares."""
    logging.set_verbosity(logging.WARNING)
    seeds, methods = check_flags(argv)
    folder = FLAGS.output_dir
    print(
        f"{len(seeds) * len(methods)} runs of {FLAGS.steps:,} steps, "
        f"{FLAGS.num_labeled} labeled digits; results go to {folder}/"
    )
    progress = Progress(len(seeds) * len(methods))
    histories = {method: [] for method in methods}
    accuracies = {method: [] for method in methods}
    rows = []
    for seed in seeds:
        for method in methods:
            model, history, accuracy, teacher = train(method, seed, progress)
            histories[method].append(history)
            accuracies[method].append(accuracy)
            rows.append([method, seed, accuracy, teacher])
            write_runs(rows, folder)
    # The last method of the last seed: MPL's student, if it was trained.
    plot_curves(histories, os.path.join(folder, "curves.png"))
    data = mpl_keras.datasets.digits(FLAGS.num_labeled, seeds[-1])
    plot_confusion(
        model,
        data.test,
        f"{methods[-1]}, seed {seeds[-1]}: {accuracy:.2f} %",
        os.path.join(folder, "confusion_matrix.png"),
    )
    model.export(
        os.path.join(folder, "student"),
        data=data,
        overwrite=FLAGS.overwrite,
    )
    print(f"\nWrote to {folder}/: " + ", ".join(sorted(os.listdir(folder))))
    print_table(accuracies)


if __name__ == "__main__":
    app.run(main)
