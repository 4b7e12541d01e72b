"""Three ways to the student's reaction to each pseudo label, compared.

The derivative `J` of the student's log-probabilities along the gradient of its
labeled loss is a Jacobian-vector product. It can be taken in forward mode, as
the derivative of a vector-Jacobian product (what `mpl_keras` does), or as a
central finite difference. Printed: the error of each in float32 against
float64, and the time of each with the student's own forward and backward pass
(medians of alternating runs of compiled functions). Forward mode is moreover
wrong under synchronised BatchNorm; `tests/test_distribution.py` shows that ours
is right.

    python benchmarks/jvp.py
"""

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags, logging

FLAGS = flags.FLAGS
flags.DEFINE_integer("batch", 64, "Unlabeled images.")
flags.DEFINE_integer("rounds", 30, "Timed runs of each.")

layers = keras.layers


def make_net(dtype):
    """Convolutions of both kinds, BatchNorm and LayerNorm.

    No dropout, whose masks differ between precisions.
    """
    options = {"padding": "same", "dtype": dtype}
    return keras.Sequential(
        [
            keras.Input((32, 32, 3), dtype=dtype),
            layers.Conv2D(16, 3, **options),
            layers.BatchNormalization(dtype=dtype),
            layers.ReLU(dtype=dtype),
            layers.DepthwiseConv2D(3, strides=2, **options),
            layers.Conv2D(32, 3, strides=2, **options),
            layers.LayerNormalization(dtype=dtype),
            layers.ReLU(dtype=dtype),
            layers.GlobalAveragePooling2D(dtype=dtype),
            layers.Dense(10, dtype=dtype),
        ]
    )


class Student:
    """A network, a batch, and a direction in the space of its weights."""

    def __init__(self, net, x, labels, direction):
        self.net = net
        self.x, self.labels, self.direction = x, labels, direction
        self.variables = net.trainable_variables
        self.snapshot = [(v, v.numpy()) for v in net.non_trainable_variables]

    def log_probabilities(self, weights=None):
        """In training mode, from one snapshot of statistics and seeds."""
        mapping = [(v, tf.constant(value)) for v, value in self.snapshot]
        if weights is not None:
            mapping += list(zip(self.variables, weights, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            return tf.nn.log_softmax(self.net(self.x, training=True))

    def update(self, labels):
        """Gradient of the student's loss: what every method needs first."""
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(
                tf.reduce_sum(labels * self.log_probabilities(), axis=-1)
            )
        return tape.gradient(
            loss,
            [v.value for v in self.variables],
            unconnected_gradients="zero",
        )

    def nothing(self):
        """The update alone."""
        return self.update(self.labels), tf.zeros_like(self.labels)

    def forward_mode(self):
        """The update, then a second pass in forward mode."""
        weights = [tf.identity(v) for v in self.variables]
        with tf.autodiff.ForwardAccumulator(weights, self.direction) as acc:
            outputs = self.log_probabilities(weights)
        return self.update(self.labels), acc.jvp(outputs)

    def double_vjp(self):
        """The update, and the derivative of its product with v."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self.labels)
            gradients = self.update(self.labels)
        slope = tape.gradient(
            gradients, self.labels, output_gradients=self.direction
        )
        return gradients, -slope * tf.cast(tf.shape(self.x)[0], slope.dtype)

    def finite_difference(self):
        """The update, then two more forward passes."""
        weights = [tf.identity(v) for v in self.variables]
        size = 1e-2 if weights[0].dtype == tf.float32 else 1e-5
        size = size / tf.linalg.global_norm(self.direction)
        sides = [
            self.log_probabilities(
                [
                    w + sign * size * d
                    for w, d in zip(weights, self.direction, strict=True)
                ]
            )
            for sign in (1, -1)
        ]
        return self.update(self.labels), (sides[0] - sides[1]) / (2 * size)


METHODS = ("forward_mode", "double_vjp", "finite_difference")


def make_student(dtype, batch):
    """The same numbers in either precision."""
    keras.utils.set_random_seed(0)
    net = make_net(dtype)
    rng = np.random.default_rng(0)
    net.set_weights([rng.normal(0, 0.2, w.shape) for w in net.get_weights()])
    for variable in net.weights:
        if variable.name == "moving_variance":
            variable.assign(np.ones(variable.shape))
    x = tf.constant(rng.normal(size=(batch, 32, 32, 3)), dtype)
    labels = tf.constant(rng.dirichlet(np.ones(10), size=batch), dtype)
    direction = [
        tf.constant(rng.normal(size=v.shape), dtype)
        for v in net.trainable_variables
    ]
    return Student(net, x, labels, direction)


def error(value, reference):
    """Relative error in the Euclidean norm."""
    value, reference = np.float64(value), np.float64(reference)
    return np.linalg.norm(value - reference) / np.linalg.norm(reference)


def compare():
    """Errors and times on one device."""
    reference = make_student("float64", FLAGS.batch).double_vjp()[1]
    student = make_student("float32", FLAGS.batch)
    names = ("nothing", *METHODS)
    functions = {name: tf.function(getattr(student, name)) for name in names}
    times = {name: [] for name in names}
    errors = {}
    for name, function in functions.items():
        errors[name] = error(function()[1], reference)
    for _ in range(FLAGS.rounds):
        for name, function in functions.items():
            begin = time.perf_counter()
            function()[1].numpy()
            times[name].append(time.perf_counter() - begin)
    base = np.median(times["nothing"])
    print(f"{'method':18} {'error':>8} {'ms':>7} {'of the update':>14}")
    for name in names:
        median = np.median(times[name])
        shown = "" if name == "nothing" else f"{errors[name]:.1e}"
        print(
            f"{name:18} {shown:>8} {1e3 * median:7.1f} {median / base:13.2f}x"
        )
    exact = make_student("float64", 8)
    for name in METHODS[::2]:
        value = error(getattr(exact, name)()[1], exact.double_vjp()[1])
        print(f"float64: {name} and double_vjp differ by {value:.1e}")


def main(argv):
    """Prints the comparison."""
    del argv
    logging.set_verbosity(logging.WARNING)
    compare()


if __name__ == "__main__":
    app.run(main)
