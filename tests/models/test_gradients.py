"""The teacher's gradient from the feedback, checked against exact ones.

Everything is float64, and it is the library's own training step that is
measured: two copies of a model take one step from the same state, with and
without feedback, by SGD with learning rate 1. The difference of their teachers
is the feedback's gradient.
"""

import functools
import itertools

import keras
import numpy as np
import pytest
import seeds
import tensorflow as tf

from mpl_keras import MetaPseudoLabels
from mpl_keras.feedback import (
    CosineFeedback,
    HypergradientFeedback,
    LossDifferenceFeedback,
    PerExampleFeedback,
)

STUDENT_RATE = 0.1


pytestmark = pytest.mark.usefixtures("float64")


def dense_net(num_classes=3, features=4):
    return keras.Sequential(
        [
            keras.Input((features,)),
            keras.layers.Dense(5, activation="tanh"),
            keras.layers.Dense(num_classes),
        ]
    )


def dense_batch(rng, num_classes=3, features=4, unlabeled=6):
    weak = rng.normal(size=(unlabeled, features))
    views = {
        "labeled": rng.normal(size=(5, features)),
        "weak": weak,
        "strong": weak + 0.3 * rng.normal(size=weak.shape),
    }
    return views, rng.integers(0, num_classes, 5)


def image_net():
    """Layers whose derivatives are easily got wrong."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            layers.Conv2D(4, 3, padding="same", activation="relu"),
            layers.BatchNormalization(),
            layers.DepthwiseConv2D(3),
            layers.LayerNormalization(),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dropout(0.3, seed=7),
            layers.Dense(3),
        ]
    )


def image_batch(rng):
    weak = rng.normal(size=(7, 6, 6, 1))
    views = {
        "labeled": rng.normal(size=(5, 6, 6, 1)),
        "weak": weak,
        "strong": weak + 0.1 * rng.normal(size=weak.shape),
    }
    return views, rng.integers(0, 3, 5)


class Injected(MetaPseudoLabels):
    """Pseudo labels of the test's choice, through the library's seam."""

    labels = None

    def make_pseudo_labels(self, logits):
        if self.labels is None:
            return super().make_pseudo_labels(logits)
        return tf.one_hot(self.labels, logits.shape[-1], dtype=logits.dtype)


class Bench:
    """One state of two networks, from which single steps are tried."""

    def __init__(self, make_net, batch, seed, **options):
        seeds.set_random_seed(seed)
        self.teacher, self.student = make_net(), make_net()
        self.batch = batch
        self.options = {"consistency": None, **options}
        self.teacher_state = [v.numpy() for v in self.teacher.variables]
        self.student_state = [v.numpy() for v in self.student.variables]
        self.models = {}

    def reset(self):
        for network, state in (
            (self.teacher, self.teacher_state),
            (self.student, self.student_state),
        ):
            for variable, value in zip(network.variables, state, strict=True):
                variable.assign(value)

    def model(self, feedback, kind):
        key = (type(feedback), kind)
        if key not in self.models:
            model = Injected(
                self.teacher,
                self.student,
                feedback=feedback,
                pseudo_labels=kind,
                **self.options,
            )
            model.compile(
                teacher_optimizer=keras.optimizers.SGD(1.0),
                student_optimizer=keras.optimizers.SGD(STUDENT_RATE),
                run_eagerly=False,
            )
            model.labels = tf.Variable(
                tf.zeros(len(self.batch[0]["weak"]), tf.int32)
            )
            if kind == "soft":
                model.labels = None
            self.models[key] = model
        return self.models[key]

    def step(self, feedback, kind, labels=None):
        """The teacher's weights after one step, flat, and the logs."""
        model = self.model(feedback, kind)
        if labels is not None:
            model.labels.assign(labels)
        self.reset()
        logs = model.train_on_batch(*self.batch, return_dict=True)
        weights = [np.ravel(v.numpy()) for v in self.teacher.trainable_weights]
        return np.concatenate(weights), logs

    def feedback_gradient(self, feedback, kind, labels=None):
        without, _ = self.step(None, kind, labels)
        with_feedback, _ = self.step(feedback, kind, labels)
        return without - with_feedback

    def probabilities(self):
        """The teacher's, on the weak view, within its own forward pass."""
        views = self.batch[0]
        sizes = [len(views[name]) for name in ("labeled", "weak", "strong")]
        images = np.concatenate(
            [views["labeled"], views["weak"], views["strong"]]
        )
        snapshot = [
            (v, tf.identity(v)) for v in self.teacher.non_trainable_variables
        ]
        with keras.StatelessScope(state_mapping=snapshot):
            logits = self.teacher(images, training=True)
        return tf.nn.softmax(tf.split(logits, sizes)[1])

    def loss_after(self, pseudo_labels):
        """Labeled loss after the student's step, differentiable."""
        views, y = self.batch
        variables = self.student.trainable_variables
        snapshot = [
            (v, tf.identity(v)) for v in self.student.non_trainable_variables
        ]
        old = [tf.identity(v) for v in variables]
        with tf.GradientTape() as tape:
            tape.watch(old)
            mapping = list(zip(variables, old, strict=True))
            with keras.StatelessScope(state_mapping=snapshot + mapping):
                logits = self.student(views["strong"], training=True)
            loss = -tf.reduce_mean(
                tf.reduce_sum(pseudo_labels * tf.nn.log_softmax(logits), -1)
            )
        gradients = tape.gradient(loss, old)
        new = [
            w - STUDENT_RATE * tf.convert_to_tensor(g)
            for w, g in zip(old, gradients, strict=True)
        ]
        mapping = list(zip(variables, new, strict=True))
        with keras.StatelessScope(state_mapping=snapshot + mapping):
            logits = self.student(views["labeled"], training=True)
        return tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits)
        )

    def exact_soft(self):
        """Double backpropagation through the student's step."""
        self.reset()
        with tf.GradientTape() as tape:
            after = self.loss_after(self.probabilities())
        gradients = tape.gradient(after, self.teacher.trainable_variables)
        return np.concatenate(
            [np.ravel(tf.convert_to_tensor(g)) for g in gradients]
        )


def relative_error(got, exact):
    return np.linalg.norm(got - exact) / np.linalg.norm(exact)


def cosine(a, b):
    return a @ b / (np.linalg.norm(a) * np.linalg.norm(b))


@pytest.mark.slow_cases(
    "convolution, BatchNorm, dropout-1",
    "convolution, BatchNorm, dropout-2",
)
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(
    "make_net, make_batch",
    [(dense_net, dense_batch), (image_net, image_batch)],
    ids=["dense", "convolution, BatchNorm, dropout"],
)
def test_hypergradient_is_the_exact_gradient(make_net, make_batch, seed):
    bench = Bench(make_net, make_batch(np.random.default_rng(seed)), seed)
    feedback = HypergradientFeedback(weight=1.0, normalization=None)

    got = bench.feedback_gradient(feedback, "soft")

    assert relative_error(got, bench.exact_soft()) <= 1e-8


@pytest.mark.slow
def test_hypergradient_of_embeddings_attention_and_recurrence():
    # Sparse gradients, softmax and loops within the student.
    layers = keras.layers

    def token_net():
        tokens = keras.Input((5,), dtype="int32")
        x = layers.Embedding(9, 4)(tokens)
        x = x + layers.MultiHeadAttention(2, 2, dropout=0.2, seed=3)(x, x)
        x = layers.SimpleRNN(4)(layers.LayerNormalization()(x))
        return keras.Model(tokens, layers.Dense(3)(x))

    rng = np.random.default_rng(0)
    sizes = {"labeled": 4, "weak": 6, "strong": 6}
    views = {
        name: rng.integers(0, 9, (size, 5)).astype("int32")
        for name, size in sizes.items()
    }
    bench = Bench(token_net, (views, rng.integers(0, 3, 4)), 0)
    feedback = HypergradientFeedback(weight=1.0, normalization=None)

    got = bench.feedback_gradient(feedback, "soft")

    assert relative_error(got, bench.exact_soft()) <= 1e-8


def test_hypergradient_agrees_with_a_finite_difference():
    bench = Bench(image_net, image_batch(np.random.default_rng(3)), 3)
    feedback = HypergradientFeedback(weight=1.0, normalization=None)
    got = bench.feedback_gradient(feedback, "soft")
    bench.reset()
    rng = np.random.default_rng(0)
    variables = bench.teacher.trainable_variables
    direction = [rng.normal(size=v.shape) for v in variables]
    values = []
    for sign in (1, -1):
        bench.reset()
        for variable, delta in zip(variables, direction, strict=True):
            variable.assign_add(sign * 1e-6 * delta)
        values.append(float(bench.loss_after(bench.probabilities())))
    slope = (values[0] - values[1]) / 2e-6

    flat = np.concatenate([np.ravel(d) for d in direction])
    assert abs(got @ flat - slope) <= 1e-5 * abs(slope)


@pytest.mark.parametrize("smoothing", [0.0, 0.15])
def test_label_smoothing_scales_the_hypergradient(smoothing):
    batch = dense_batch(np.random.default_rng(4))
    feedback = HypergradientFeedback(weight=1.0, normalization=None)
    bench = Bench(dense_net, batch, 4, label_smoothing=smoothing)
    bench.reset()
    with tf.GradientTape() as tape:
        labels = bench.probabilities() * (1 - smoothing) + smoothing / 3
        after = bench.loss_after(labels)
    exact = tape.gradient(after, bench.teacher.trainable_variables)
    exact = np.concatenate([np.ravel(g) for g in exact])

    got = bench.feedback_gradient(feedback, "soft")

    assert relative_error(got, exact) <= 1e-8


def test_strong_view_pseudo_labels_are_credited_to_the_strong_view():
    batch = dense_batch(np.random.default_rng(5))
    views, y = batch
    bench = Bench(dense_net, batch, 5, pseudo_label_view="strong")
    swapped = {**views, "weak": views["strong"]}
    reference = Bench(dense_net, (swapped, y), 5)
    feedback = HypergradientFeedback(weight=1.0, normalization=None)

    got = bench.feedback_gradient(feedback, "soft")

    assert relative_error(got, reference.exact_soft()) <= 1e-8


LABELS = list(itertools.product(range(2), repeat=8))


def expectation(bench, feedback):
    """Expectation over all label vectors of the feedback's gradient."""
    bench.reset()
    probabilities = bench.probabilities().numpy()
    return sum(
        probabilities[np.arange(8), vector].prod()
        * bench.feedback_gradient(feedback, "sampled", vector)
        for vector in LABELS
    )


@functools.cache
def exact_expectation(seed):
    """The exact gradient of the expected labeled loss after the step."""
    bench, after = two_class_bench(seed), []
    loss_after = tf.function(bench.loss_after)
    for vector in LABELS:
        bench.reset()
        after.append(loss_after(tf.one_hot(vector, 2, dtype="float64")))
    bench.reset()
    indices = tf.constant(LABELS)
    with tf.GradientTape() as tape:
        log_chance = tf.math.log(bench.probabilities())
        chances = tf.exp(
            tf.reduce_sum(
                tf.one_hot(indices, 2, dtype="float64") * log_chance, [1, 2]
            )
        )
        objective = tf.reduce_sum(chances * tf.stack(after))
    exact = tape.gradient(objective, bench.teacher.trainable_variables)
    return np.concatenate([np.ravel(g) for g in exact])


def two_class_bench(seed):
    rng = np.random.default_rng(seed)
    batch = dense_batch(rng, num_classes=2, features=3, unlabeled=8)
    return Bench(lambda: dense_net(2, 3), batch, seed)


@pytest.mark.slow_cases("old - new")
@pytest.mark.parametrize(
    "feedback, least",
    [
        (LossDifferenceFeedback(1.0, baseline_momentum=None), 0.99999),
        (PerExampleFeedback(1.0, normalization=None), 0.97),
    ],
    ids=["old - new", "per example"],
)
def test_expectation_over_all_sampled_labels(feedback, least):
    # Trap: the most used port has new - old, and a cosine of -0.45.
    expected = expectation(two_class_bench(6), feedback)
    assert cosine(expected, exact_expectation(6)) >= least


@pytest.mark.slow
def test_old_minus_new_expectation_has_the_exact_size():
    expected = expectation(
        two_class_bench(7), LossDifferenceFeedback(1.0, baseline_momentum=None)
    )
    # The mean over the batch in the crossentropy, by convention.
    assert relative_error(8 * expected, exact_expectation(7)) <= 1e-6


@pytest.mark.slow_cases("None", "0.99")
@pytest.mark.parametrize("momentum", [None, 0.99])
def test_monte_carlo_of_the_models_own_samples(momentum):
    bench = two_class_bench(6)
    feedback = LossDifferenceFeedback(1.0, baseline_momentum=momentum)
    without, _ = bench.step(None, "sampled")
    model = bench.model(feedback, "sampled")
    model.labels = None  # drawn by the library, from its seed and step
    batch = tf.nest.map_structure(tf.constant, bench.batch)

    @tf.function  # a thousand calls from Python take ten times as long
    def mean_of_samples():
        total = [tf.zeros_like(v) for v in bench.teacher.trainable_variables]
        for _ in tf.range(1000):
            bench.reset()
            model.train_step(batch)
            after = bench.teacher.trainable_variables
            total = [t + v for t, v in zip(total, after, strict=True)]
        return [t / 1000 for t in total]

    mean = np.concatenate([np.ravel(part) for part in mean_of_samples()])
    assert int(model.step) == 1000
    assert cosine(without - mean, exact_expectation(6)) >= 0.98


def flat(network):
    return np.concatenate(
        [np.ravel(v.numpy()) for v in network.trainable_weights]
    )


def test_soft_labels_give_the_loss_difference_no_gradient():
    # The released TensorFlow 1 code multiplies h with the crossentropy of the
    # teacher's soft labels to themselves: p - p = 0. It is refused.
    with pytest.raises(ValueError, match="exactly zero"):
        Bench(
            dense_net, dense_batch(np.random.default_rng(0)), 0
        ).feedback_gradient(LossDifferenceFeedback(), "soft")


@pytest.mark.parametrize(
    "feedback, kind",
    [
        (CosineFeedback(), "sampled"),
        (CosineFeedback(), "argmax"),
        (PerExampleFeedback(), "argmax"),
        (LossDifferenceFeedback(normalization="std"), "argmax"),
        (HypergradientFeedback(), "soft"),
    ],
)
def test_every_feedback_moves_the_teacher(feedback, kind):
    bench = Bench(dense_net, dense_batch(np.random.default_rng(8)), 8)
    if kind != "soft":
        bench.model(feedback, kind).labels = None
        bench.model(None, kind).labels = None
    assert np.linalg.norm(bench.feedback_gradient(feedback, kind)) > 1e-6


def test_cosine_is_the_cosine_of_the_students_gradients():
    bench = Bench(dense_net, dense_batch(np.random.default_rng(9)), 9)
    labels = [0, 1, 2, 0, 1, 2]
    _, logs = bench.step(CosineFeedback(), "sampled", labels)
    views, y = bench.batch
    bench.reset()
    variables = bench.student.trainable_variables
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(
                labels, bench.student(views["strong"])
            )
        )
    g = tape.gradient(loss, variables)
    for variable, gradient in zip(variables, g, strict=True):
        variable.assign_sub(STUDENT_RATE * gradient)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(
                y, bench.student(views["labeled"])
            )
        )
    v = tape.gradient(loss, variables)
    g, v = (np.concatenate([np.ravel(t) for t in x]) for x in (g, v))
    assert logs["h"] == pytest.approx(cosine(g, v), rel=1e-9)


def test_first_order_h_matches_the_loss_difference():
    bench = Bench(dense_net, dense_batch(np.random.default_rng(10)), 10)
    labels = [2, 1, 0, 0, 1, 2]
    _, difference = bench.step(
        LossDifferenceFeedback(baseline_momentum=None), "sampled", labels
    )
    _, first_order = bench.step(PerExampleFeedback(), "sampled", labels)
    assert first_order["h"] == pytest.approx(difference["h"], rel=0.1)
