"""Draws the pictures of the README and of the documentation, from real data.

    python docs/pictures.py

writes each into docs/images/, once for light pages and once for dark ones:

- views: ten labeled digits, and six unlabeled ones as teacher and student see
  them, with the teacher's pseudo labels after a training of 1,500 steps;
- accuracy: what the unlabeled digits brought, in 20 trainings of each method
  (benchmarks/ablation_results/runs.csv);
- step: one training step, as boxes and arrows;
- gradient: the feedback's gradient in the library's own training step, beside
  the exact one by double backpropagation, and beside what others compute.

It takes about a minute, and needs matplotlib and pandas.
"""

import contextlib
import pathlib

import keras
import matplotlib
import numpy as np
import pandas as pd
import tensorflow as tf
from absl import app, flags
from matplotlib import figure, patches

import mpl_keras as mk

FOLDER = pathlib.Path(__file__).parent
RUNS = FOLDER.parent / "benchmarks" / "ablation_results" / "runs.csv"
FLAGS = flags.FLAGS
flags.DEFINE_string("output_dir", str(FOLDER / "images"), "Where they go.")
flags.DEFINE_list(
    "only", ["views", "accuracy", "step", "gradient"], "Which to draw."
)
flags.DEFINE_integer("seed", 0, "Of the training that is shown.")

# What is drawn here, and what of the project's colours it has.
THINGS = ("ink", "faint", "grid", "teacher", "student", "feedback", "wrong")
METHODS = ("supervised", "uda", "mpl", "uda_aligned")
LIGHT, DARK = (
    {thing: mk.report.color(thing, dark) for thing in (*THINGS, *METHODS)}
    for dark in (False, True)
)


@contextlib.contextmanager
def style(colors):
    """Letters and lines for a light or a dark page, which is seen through."""
    ink = ("text.color", "axes.labelcolor", "xtick.color", "ytick.color")
    with matplotlib.rc_context(
        dict.fromkeys(ink, colors["ink"])
        | {
            "axes.edgecolor": colors["faint"],
            "axes.facecolor": "none",
            "axes.linewidth": 0.6,
            "figure.facecolor": "none",
            "font.size": 9,
            "grid.linewidth": 0.4,
            "grid.color": colors["grid"],
            "svg.hashsalt": "mpl_keras",
        }
    ):
        yield


def draw(name, kind, make):
    """One picture in both forms: `make(colors)` returns a figure."""
    for form, colors in (("light", LIGHT), ("dark", DARK)):
        with style(colors):
            path = pathlib.Path(FLAGS.output_dir, f"{name}-{form}.{kind}")
            options = {"metadata": {"Date": None}} if kind == "svg" else {}
            make(colors).savefig(path, dpi=200, **options)
            print(f"wrote {path}")


# Views and pseudo labels.


def train_on_digits():
    """The recipe's model, trained, and the data it was trained on."""
    data = mk.datasets.digits(10, seed=FLAGS.seed, dtype="uint8")
    recipe = mk.recipes.get("digits")
    model = mk.recipes.make_model(recipe, (8, 8, 1), 10, seed=FLAGS.seed)
    batches = mk.pipeline.training_dataset(
        data,
        recipe.labeled_batch_size,
        recipe.unlabeled_batch_size,
        steps_per_epoch=recipe.steps,
        meta=recipe.meta,
        seed=FLAGS.seed,
    )
    model.fit(batches, verbose=0)
    return model, data


# Which unlabeled digits are shown beside the surest: shares that are surer.
QUANTILES = (0.5, 0.9, 0.95, 0.98, 1.0)


def views_picture(model, data):
    """A function that draws labeled digits, views and pseudo labels."""
    labeled, labels = data.labeled
    x = tf.constant(data.unlabeled)
    weak = data.views.weak(x, tf.constant([0, 1]))
    strong = data.views.strong(x, tf.constant([0, 2]))
    probabilities = tf.nn.softmax(model.teacher(weak, training=False)).numpy()
    # From the surest of all to the least sure.
    order = np.argsort(-probabilities.max(axis=-1), kind="stable")
    chosen = order[[0, *(np.array(QUANTILES) * (len(order) - 1)).astype(int)]]
    truth = data.unlabeled_labels[chosen]
    weak, strong = (np.asarray(seen)[chosen] for seen in (weak, strong))
    probabilities = probabilities[chosen]

    def image(drawn, pixels, left, bottom, side):
        width, height = drawn.get_size_inches()
        place = left / width, bottom / height, side / width, side / height
        axis = drawn.add_axes(place)
        axis.imshow(np.asarray(pixels)[..., 0], "gray", vmin=0, vmax=255)
        axis.set_xticks([])
        axis.set_yticks([])
        return axis

    def make(colors):
        drawn = figure.Figure((4.3, 3.3))
        write = drawn.text
        write(0.02, 0.945, "10 labeled digits", weight="bold", size=9.5)
        for number, row in enumerate(np.argsort(labels)):
            left = 0.09 + 0.416 * number
            axis = image(drawn, labeled[row], left, 2.62, 0.38)
            axis.set_xlabel(str(labels[row]), labelpad=2)
        write(0.02, 0.665, "1,257 digits in all", weight="bold", size=9.5)
        rows = ("weak view", "teacher says", "strong view")
        for name, height in zip(rows, (1.74, 1.25, 0.78), strict=True):
            color = {"teacher says": colors["teacher"]}.get(name, colors["ink"])
            write(0.02, height / 3.3, name, color=color, va="center", size=8.5)
        for column, answer in enumerate(probabilities):
            left = 1.02 + 0.54 * column
            image(drawn, weak[column], left, 1.5, 0.48)
            image(drawn, strong[column], left, 0.54, 0.48)
            right = answer.argmax() == truth[column]
            share = f"{answer.max():.0%}"
            share += "" if right else f", is {truth[column]}"
            place = (left + 0.24) / 4.3
            color = colors["teacher" if right else "wrong"]
            style = {"ha": "center", "va": "center", "color": color}
            label = str(answer.argmax())
            write(place, 1.29 / 3.3, label, weight="bold", size=11, **style)
            write(place, 1.12 / 3.3, share, size=7, **style)
        write(
            *(0.02, 0.07),
            "The student learns to give the strong view the teacher's answer.",
            size=8.5,
            color=colors["student"],
        )
        return drawn

    return make


# Accuracy.


def accuracy_picture(setting="digits_10"):
    """A function that draws a point for each training of each method."""
    runs = pd.read_csv(RUNS)
    runs = runs[runs.setting == setting]

    def make(colors):
        drawn = figure.Figure((4.3, 3.3))
        axis = drawn.add_axes((0.035, 0.145, 0.93, 0.71))
        for row, method in enumerate(METHODS):
            found = runs[runs.method == method].accuracy
            color, name = colors[method], mk.report.method_name(method)
            axis.plot(found, [row] * len(found), "o", color=color, alpha=0.45)
            mean = found.mean()
            axis.plot([mean] * 2, [row - 0.2, row + 0.2], color=color, lw=3)
            axis.text(41, row - 0.32, name, va="center", size=9.5)
            axis.text(
                *(100, row - 0.32, f"{mean:.1f} %"),
                color=color,
                ha="right",
                va="center",
                weight="bold",
            )
        axis.set(xlim=(40, 100), ylim=(len(METHODS) - 0.6, -0.62), yticks=[])
        axis.set_xlabel("test accuracy, %")
        axis.grid(True, axis="x")
        axis.set_axisbelow(True)
        axis.spines[["top", "right", "left"]].set_visible(False)
        drawn.text(
            *(0.02, 0.925),
            "What the unlabeled digits bring",
            weight="bold",
            size=9.5,
        )
        return drawn

    return make


# One step.


def box(axis, x, y, text, color, width=1.5, height=0.52):
    """A named box around a place."""
    axis.add_patch(
        patches.FancyBboxPatch(
            *((x - width / 2, y - height / 2), width, height),
            boxstyle="round,pad=0.02,rounding_size=0.08",
            facecolor="none",
            edgecolor=color,
            linewidth=1.4,
        )
    )
    axis.text(x, y, text, ha="center", va="center", color=color, size=9)


def arrow(axis, start, end, color, text="", at=None, bend=0.0, **options):
    """An arrow with words beside it."""
    axis.add_patch(
        patches.FancyArrowPatch(
            *(start, end),
            arrowstyle="-|>",
            mutation_scale=11,
            color=color,
            linewidth=1.3,
            connectionstyle=f"arc3,rad={bend}",
        )
    )
    if text:
        options = {"ha": "center", "va": "center"} | options
        axis.text(*at, text, color=color, size=8, **options)


def step_picture(colors):
    """Teacher looks, student learns, teacher answers."""
    drawn = figure.Figure((6.4, 3.4))
    axis = drawn.add_axes((0, 0, 1, 1))
    axis.set(xlim=(0, 6.4), ylim=(0, 3.4))
    axis.axis("off")
    ink, teacher, student = (
        colors[name] for name in ("ink", "teacher", "student")
    )
    box(axis, 0.95, 2.85, "labeled examples", ink)
    box(axis, 0.95, 1.95, "unlabeled examples,\nweak view", ink)
    box(axis, 0.95, 0.6, "unlabeled examples,\nstrong view", ink)
    box(axis, 3.3, 2.4, "teacher", teacher, 1.2)
    box(axis, 3.3, 0.6, "student", student, 1.2)
    box(axis, 5.45, 0.6, "its loss on the\nlabeled examples", student)
    grey = colors["faint"]
    arrow(axis, (1.75, 2.8), (2.66, 2.5), grey, "labels", (2.3, 2.78))
    arrow(axis, (1.75, 2.0), (2.66, 2.3), teacher, "1", (2.2, 2.02))
    arrow(
        *(axis, (3.3, 2.1), (3.3, 0.9), teacher),
        *("2  pseudo labels", (3.2, 1.5)),
        ha="right",
    )
    arrow(axis, (1.75, 0.6), (2.66, 0.6), student)
    arrow(axis, (3.95, 0.6), (4.66, 0.6), student, "3", (4.3, 0.74))
    arrow(
        *(axis, (5.3, 0.92), (3.96, 2.3), colors["feedback"]),
        *(
            "4  feedback:\nwhich pseudo labels\nlowered this loss?",
            (4.85, 1.85),
        ),
        ha="left",
    )
    return drawn


# The gradient.

RATE = 0.1  # of the student


def small_network():
    """Two layers, float64."""
    return keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(5, activation="tanh"),
            keras.layers.Dense(3),
        ]
    )


def flat(tensors):
    """All elements of some tensors, one after the other."""
    return np.concatenate([np.ravel(np.asarray(t)) for t in tensors])


class Bench:
    """Two networks from which single steps are tried, always from one state.

    The teacher learns by SGD of learning rate 1, so that what a step with
    feedback moves it by, and a step without does not, is the gradient.
    """

    def __init__(self, seed):
        keras.utils.set_random_seed(seed)
        rng = np.random.default_rng(seed)
        self.teacher, self.student = small_network(), small_network()
        self.start = [n.get_weights() for n in (self.teacher, self.student)]
        weak = rng.normal(size=(6, 4))
        strong = weak + 0.3 * rng.normal(size=weak.shape)
        labeled = rng.normal(size=(5, 4))
        self.views = {"labeled": labeled, "weak": weak, "strong": strong}
        self.labels = rng.integers(0, 3, 5)

    def reset(self):
        """Both networks as they were at the beginning."""
        for network, weights in zip(
            (self.teacher, self.student), self.start, strict=True
        ):
            network.set_weights(weights)

    def step(self, feedback, kind):
        """The teacher's weights after one step."""
        self.reset()
        model = mk.MetaPseudoLabels(
            *(self.teacher, self.student),
            consistency=None,
            feedback=feedback,
            pseudo_labels=kind,
        )
        model.compile(
            teacher_optimizer=keras.optimizers.SGD(1.0),
            student_optimizer=keras.optimizers.SGD(RATE),
        )
        model.train_on_batch(self.views, self.labels)
        return flat(self.teacher.get_weights())

    def by_the_library(self, feedback, kind):
        """The feedback's gradient, of the training step itself."""
        return self.step(None, kind) - self.step(feedback, kind)

    def exact(self):
        """Double backpropagation through the student's step."""
        self.reset()
        variables = self.student.trainable_variables
        weights = [tf.identity(variable) for variable in variables]

        def logits(values, x):
            mapping = [(v, w) for v, w in zip(variables, values, strict=True)]
            with keras.StatelessScope(state_mapping=mapping):
                return tf.nn.log_softmax(self.student(x))

        with tf.GradientTape() as outer:
            pseudo_labels = tf.nn.softmax(self.teacher(self.views["weak"]))
            with tf.GradientTape() as inner:
                inner.watch(weights)
                learned = -tf.reduce_mean(
                    tf.reduce_sum(
                        pseudo_labels * logits(weights, self.views["strong"]),
                        axis=-1,
                    )
                )
            slopes = inner.gradient(learned, weights)
            new = [w - RATE * g for w, g in zip(weights, slopes, strict=True)]
            after = logits(new, self.views["labeled"])
            loss = -tf.reduce_mean(tf.gather(after, self.labels, batch_dims=1))
        return flat(outer.gradient(loss, self.teacher.trainable_variables))


def gradient_picture():
    """A function that draws the library's gradient over the exact one."""
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    exact, ours = [], []
    form = mk.feedback.HypergradientFeedback(1.0, normalization=None)
    for seed in range(4):
        bench = Bench(seed)
        exact.append(bench.exact())
        ours.append(bench.by_the_library(form, "soft"))
    exact, ours = np.concatenate(exact), np.concatenate(ours)
    error = np.linalg.norm(ours - exact) / np.linalg.norm(exact)
    print(f"relative error {error:.1e} in {exact.size} weights")

    def make(colors):
        drawn = figure.Figure((4.6, 3.4), layout="constrained")
        axis = drawn.subplots()
        axis.plot(
            *(1e3 * exact, 1e3 * ours, "o"),
            color=colors["feedback"],
            markersize=4,
            label=f"this library: relative error {error:.0e}",
        )
        axis.plot(
            *(1e3 * exact, -1e3 * ours, "x"),
            color=colors["wrong"],
            markersize=4,
            label="its sign turned around (a port)",
        )
        axis.plot(
            *(1e3 * exact, 0 * exact, "_"),
            color=colors["faint"],
            markersize=6,
            label="soft labels times h (released code)",
        )
        axis.set(
            xlabel="exact gradient of a teacher's weight, in thousandths",
            ylabel="gradient in the training step",
        )
        axis.grid(True)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(framealpha=0.0, fontsize=8)
        return drawn

    return make


def main(argv):
    """Draws what --only names."""
    if argv[1:]:
        raise app.UsageError(f"Unknown arguments: {argv[1:]}")
    pathlib.Path(FLAGS.output_dir).mkdir(parents=True, exist_ok=True)
    if "step" in FLAGS.only:
        draw("step", "svg", step_picture)
    if "accuracy" in FLAGS.only:
        draw("accuracy", "png", accuracy_picture())
    if "views" in FLAGS.only:
        draw("views", "png", views_picture(*train_on_digits()))
    if "gradient" in FLAGS.only:  # the last, because it is in float64
        draw("gradient", "svg", gradient_picture())


if __name__ == "__main__":
    app.run(main)
