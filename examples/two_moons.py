"""Meta Pseudo Labels on two moons: six labels, and pictures of what is learned.

Trains the student with and without the teacher's ear for it, for several
seeds, and draws the decision boundaries of the last one.

    python examples/two_moons.py --seeds=0,1,2

The paper's figure uses networks of 8 sigmoid units and SGD alone; here they
have 32 ReLU units, and the teacher trains with UDA.
"""

import csv
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import matplotlib
import numpy as np
from absl import app, flags, logging

import mpl_keras
from mpl_keras import augment, feedback, files, losses, schedules

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402

FLAGS = flags.FLAGS
flags.DEFINE_integer("num_labeled", 6, "Labeled points, half of them a moon.")
flags.DEFINE_list("seeds", [str(seed) for seed in range(8)], "Seeds.")
flags.DEFINE_integer("num_points", 2000, "Unlabeled points.")
flags.DEFINE_float("noise", 0.12, "Standard deviation around the moons.")
flags.DEFINE_float("jitter", 0.2, "Standard deviation of the strong view.")
flags.DEFINE_float("feedback_weight", 0.03, "Factor of the hypergradient.")
flags.DEFINE_float("consistency_weight", 4.0, "Weight of UDA's consistency.")
flags.DEFINE_integer("steps", 2000, "Training steps.", lower_bound=1)
flags.DEFINE_float("learning_rate", 0.1, "Peak, of both networks.")
flags.DEFINE_integer("student_wait", 200, "Steps before the student starts.")
flags.DEFINE_string("output_dir", "two_moons_results", "Where results go.")
flags.DEFINE_bool("overwrite", False, "Replace what is in --output_dir.")


def make_net():
    """Two hidden layers of 32 ReLU units."""
    layers = keras.layers
    hidden = {"activation": "relu", "kernel_initializer": "he_normal"}
    return keras.Sequential(
        [
            keras.Input((2,)),
            layers.Dense(32, **hidden),
            layers.Dense(32, **hidden),
            layers.Dense(2),
        ]
    )


def make_optimizer(wait=0):
    """SGD with warm-up and cosine decay, after some steps of waiting."""
    warmup = min(100, FLAGS.steps // 3)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        max(FLAGS.steps - wait - warmup, 1),
        warmup_target=FLAGS.learning_rate,
        warmup_steps=warmup,
    )
    return keras.optimizers.SGD(
        schedules.Delayed(schedule, wait),
        momentum=0.9,
        nesterov=True,
        global_clipnorm=1.0,
    )


def load(seed):
    """The points of a seed."""
    return mpl_keras.datasets.two_moons(
        FLAGS.num_labeled,
        seed,
        num_points=FLAGS.num_points,
        noise=FLAGS.noise,
    )


def train(seed, with_feedback):
    """Trains one pair of networks; gives the model, the data, accuracies."""
    data = load(seed)
    keras.utils.set_random_seed(seed)
    model = mpl_keras.MetaPseudoLabels(
        make_net(),
        make_net(),
        consistency=losses.ConsistencyLoss(temperature=0.7, threshold=0.6),
        consistency_weight=schedules.LinearRamp(
            FLAGS.consistency_weight, steps=300
        ),
        feedback=feedback.HypergradientFeedback(FLAGS.feedback_weight)
        if with_feedback
        else None,
        seed=seed,
    )
    model.compile(
        teacher_optimizer=make_optimizer(),
        student_optimizer=make_optimizer(
            min(FLAGS.student_wait, FLAGS.steps // 3)
        ),
        metrics=["accuracy"],
    )
    batches = mpl_keras.pipeline.training_dataset(
        data,
        FLAGS.num_labeled,
        128,
        views=augment.jitter_views(weak=0.02, strong=FLAGS.jitter),
        steps_per_epoch=FLAGS.steps,
        seed=seed,
    )
    model.fit(batches, verbose=0)
    student = (
        100 * model.evaluate(data.test, return_dict=True, verbose=0)["accuracy"]
    )
    x, y = (np.concatenate(part) for part in zip(*data.test, strict=True))
    teacher = 100 * np.mean(np.argmax(model.teacher(x), axis=-1) == y)
    return model, data, student, teacher


def plot_boundaries(columns, path):
    """What teacher and averaged student say everywhere, one column a run."""
    figure, axes = plt.subplots(
        2,
        len(columns),
        figsize=(5 * len(columns), 8),
        squeeze=False,
        layout="constrained",
    )
    for top, bottom, (title, model, data) in zip(*axes, columns, strict=True):
        for axis, name, net in (
            (top, "teacher", model.teacher),
            (bottom, "averaged student", model.averaged_student),
        ):
            draw_boundary(axis, net, data)
            axis.set_title(f"{title}: {name}")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_boundary(axis, net, data):
    """Probability of the second moon, the points, and the labeled ones."""
    points = data.unlabeled
    low, high = points.min(axis=0) - 0.3, points.max(axis=0) + 0.3
    grid = np.stack(
        np.meshgrid(*np.linspace(low, high, 200).T, indexing="xy"), axis=-1
    ).astype("float32")
    logits = np.asarray(net(grid.reshape(-1, 2), training=False))
    probability = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
    axis.contourf(
        grid[..., 0],
        grid[..., 1],
        probability.reshape(200, 200),
        levels=np.linspace(0, 1, 11),
        cmap="RdBu_r",
        alpha=0.8,
    )
    axis.scatter(*points.T, s=2, color="black", alpha=0.3)
    x, y = data.labeled
    for label, color in ((0, "blue"), (1, "red")):
        axis.scatter(
            *x[y == label].T, s=120, color=color, edgecolor="white", marker="*"
        )
    axis.set_xticks([])
    axis.set_yticks([])


def main(argv):
    """Trains with and without feedback, and compares."""
    logging.set_verbosity(logging.WARNING)
    if argv[1:]:
        sys.exit(f"{argv[0]}: unknown arguments {argv[1:]}")
    try:
        seeds = [int(seed) for seed in FLAGS.seeds]
        for seed in seeds:
            load(seed)
        files.prepare_folder(FLAGS.output_dir, FLAGS.overwrite, "--output_dir")
    except (ValueError, OSError) as error:
        sys.exit(f"{argv[0]}: {error}")
    methods = {"no_feedback": False, "mpl": True}
    rows, columns = [], {}
    for index, seed in enumerate(seeds):
        for method, with_feedback in methods.items():
            if sys.stdout.isatty():
                line = f"seed {seed} ({index + 1} of {len(seeds)}): {method}"
                print(f"\r{line:60}", end="", flush=True)
            model, data, student, teacher = train(seed, with_feedback)
            rows.append([method, seed, student, teacher])
            columns[method] = (method, model, data)
            print(
                f"\r{method}, seed {seed}: {student:.2f} % (its teacher "
                f"{teacher:.2f} %)"
            )
    with open(
        os.path.join(FLAGS.output_dir, "results.csv"), "w", newline=""
    ) as file:
        writer = csv.writer(file)
        writer.writerow(["method", "seed", "accuracy", "teacher_accuracy"])
        writer.writerows(rows)
    plot_boundaries(
        list(columns.values()),
        os.path.join(FLAGS.output_dir, "boundaries.png"),
    )
    print(f"\nWrote to {FLAGS.output_dir}/: boundaries.png, results.csv")
    print("\nMedian accuracy of the averaged student in %:")
    for method in methods:
        accuracies = [row[2] for row in rows if row[0] == method]
        print(f"{method:12} {np.median(accuracies):.2f}")


if __name__ == "__main__":
    app.run(main)
