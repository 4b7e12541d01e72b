"""Meta Pseudo Labels on two moons: six labels, and a picture of the result.

    python examples/two_moons.py --seed=1

The networks, losses and feedback are written out here, for any Keras model.
The paper's figure has networks of 8 sigmoid units and SGD alone; here they have
32 ReLU units, and the teacher learns with UDA too.
"""

import os

import keras
import numpy as np
from absl import app, flags
from matplotlib import figure

import mpl_keras
from mpl_keras import datasets, feedback, losses, pipeline, recipes

FLAGS = flags.FLAGS
flags.DEFINE_integer("num_labeled", 6, "Labeled points, half of them a moon.")
flags.DEFINE_float("feedback_weight", 0.03, "Factor of the feedback.")
flags.DEFINE_integer("steps", 2000, "Training steps.", lower_bound=1)
flags.DEFINE_integer("seed", 0, "Of points, labels, networks and order.")
flags.DEFINE_string("output_dir", "two_moons_results", "A new folder.")
flags.register_validator(
    "output_dir", lambda path: not os.path.exists(path), "must be a new folder"
)


def make_network():
    """Two hidden layers of 32 ReLU units, to logits."""
    hidden = {"activation": "relu", "kernel_initializer": "he_normal"}
    return keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(32, **hidden),
            keras.layers.Dense(32, **hidden),
            keras.layers.Dense(2),
        ]
    )


def make_model():
    """A compiled model of two such networks."""
    keras.utils.set_random_seed(FLAGS.seed)
    model = mpl_keras.MetaPseudoLabels(
        teacher=make_network(),
        student=make_network(),
        consistency=losses.ConsistencyLoss(temperature=0.7, threshold=0.6),
        consistency_weight=mpl_keras.schedules.LinearRamp(4.0, steps=300),
        feedback=feedback.HypergradientFeedback(FLAGS.feedback_weight),
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


def draw_boundary(axis, title, network, data):
    """Probability of the lower moon everywhere, and the points."""
    side = np.linspace(-2.5, 2.5, 200, dtype="float32")
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    probability = keras.ops.softmax(network(grid))[:, 1]
    axis.contourf(
        *(side, side, np.reshape(probability, (200, 200))),
        levels=np.linspace(0, 1, 11),
        cmap="RdBu_r",
        alpha=0.7,
    )
    axis.scatter(*data.unlabeled.T, s=2, color="black", alpha=0.3)
    x, y = data.labeled
    colors = np.where(y == 0, "blue", "red")
    axis.scatter(*x.T, s=150, c=colors, edgecolor="white", marker="*")
    axis.set(title=title, xticks=[], yticks=[])


def main(argv):
    """Trains, evaluates and draws."""
    if argv[1:]:
        raise app.UsageError(f"Unknown arguments: {argv[1:]}")
    data = datasets.two_moons(FLAGS.num_labeled, FLAGS.seed)
    model = make_model()
    batches = pipeline.training_dataset(
        data,
        FLAGS.num_labeled,
        128,
        steps_per_epoch=FLAGS.steps,
        seed=FLAGS.seed,
    )
    model.fit(batches, verbose=2)

    os.makedirs(FLAGS.output_dir)
    picture = figure.Figure((9, 4), layout="constrained")
    left, right = picture.subplots(1, 2)
    draw_boundary(left, "teacher", model.teacher, data)
    draw_boundary(right, "averaged student", model.averaged_student, data)
    path = os.path.join(FLAGS.output_dir, "boundaries.png")
    picture.savefig(path, dpi=110)
    print(f"wrote {path}")
    results = model.evaluate(data.test, return_dict=True, verbose=0)
    print(f"test accuracy: {100 * results['accuracy']:.2f} %")


if __name__ == "__main__":
    app.run(main)
