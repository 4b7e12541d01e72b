"""The feedback through the student's optimizer, against double backprop."""

from unittest import mock

import keras
import numpy as np
import pytest
import seeds
import tensorflow as tf

from mpl_keras import MetaPseudoLabels
from mpl_keras.feedback import HypergradientFeedback
from mpl_keras.models import update_jacobian

SGD, Adam = keras.optimizers.SGD, keras.optimizers.Adam
OPTIMIZERS = {
    "sgd": lambda **clip: SGD(0.125, **clip),
    "momentum": lambda **clip: SGD(0.125, momentum=0.9, **clip),
    "nesterov": lambda **clip: SGD(0.125, momentum=0.9, nesterov=True, **clip),
    "adam": lambda **clip: Adam(2**-7, **clip),
    "amsgrad": lambda **clip: Adam(2**-7, amsgrad=True, **clip),
    "adamw": lambda **clip: keras.optimizers.AdamW(
        2**-7, weight_decay=0.1, **clip
    ),
}
# Each active, and, where it is large, not.
CLIPS = [
    {},
    {"global_clipnorm": 0.05},
    {"global_clipnorm": 1e3},
    {"clipnorm": 0.05},
    {"clipvalue": 0.05},
]
IDS = [",".join(f"{k}={v:g}" for k, v in clip.items()) for clip in CLIPS]


pytestmark = pytest.mark.usefixtures("float64")


def relative_error(got, exact):
    got, exact = (
        np.concatenate([np.ravel(x) for x in y]) for y in (got, exact)
    )
    return np.linalg.norm(got - exact) / np.linalg.norm(exact)


def updated(optimizer, gradients, variables, old):
    """Weights after Keras's own update from `old`, differentiable."""
    rate = optimizer.learning_rate
    mapping = [(v, tf.identity(v)) for v in optimizer.variables]
    mapping += list(zip(variables, old, strict=True))
    places = {id(v): place for place, v in enumerate(variables)}
    with keras.StatelessScope(state_mapping=mapping) as scope:

        def write(variable, value):
            scope.add_update((variable, value))

        with (
            mock.patch.object(
                optimizer, "_get_variable_index", lambda v: places[id(v)]
            ),
            mock.patch.object(optimizer, "assign", write),
            mock.patch.object(
                optimizer, "assign_add", lambda v, x: write(v, v + x)
            ),
            mock.patch.object(
                optimizer, "assign_sub", lambda v, x: write(v, v - x)
            ),
        ):
            gradients = optimizer._clip_gradients(gradients)
            for gradient, variable in zip(gradients, variables, strict=True):
                decay = rate * (optimizer.weight_decay or 0.0)
                write(variable, variable * (1.0 - decay))
                optimizer.update_step(gradient, variable, rate)
        return [scope.get_current_value(v) for v in variables]


@pytest.mark.parametrize("clip", CLIPS, ids=IDS)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_pull_back_is_the_transposed_jacobian(name, clip):
    rng = np.random.default_rng(0)
    shapes = [(4, 3), (3,)]

    def random():
        return [tf.constant(rng.normal(size=shape)) for shape in shapes]

    weights = [keras.Variable(w) for w in random()]
    optimizer = OPTIMIZERS[name](**clip)
    optimizer.build(weights)
    for _ in range(2):
        optimizer.apply(random(), weights)
    g, v = random(), random()
    old = [tf.identity(w) for w in weights]
    with tf.GradientTape() as tape:
        tape.watch(g)
        new = updated(optimizer, g, weights, old)
    exact = tape.gradient(new, g, output_gradients=v)

    optimizer.apply(g, weights)
    got = update_jacobian.pull_back(optimizer, g, v, weights)

    rate = float(optimizer.learning_rate)
    assert relative_error([-rate * x for x in got], exact) <= 1e-12


def make_net():
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(5, activation="tanh"),
            layers.BatchNormalization(),
            layers.Dense(3),
        ]
    )


def make_batch(rng):
    weak = rng.normal(size=(6, 4))
    views = {
        "labeled": rng.normal(size=(5, 4)),
        "weak": weak,
        "strong": weak + 0.3 * rng.normal(size=weak.shape),
    }
    return views, rng.integers(0, 3, 5)


def double_backprop(model, views, y):
    """Derivative of the labeled loss after the update to the teacher."""
    student, optimizer = model.student, model.student_optimizer
    trained = student.trainable_variables
    fixed = [(v, tf.identity(v)) for v in student.non_trainable_variables]

    def logits_of(weights, x):
        mapping = fixed + list(zip(trained, weights, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            return student(x, training=True)

    names = ("labeled", "weak", "strong")
    old = [tf.identity(v) for v in trained]
    statistics = model.teacher.non_trainable_variables
    kept = [tf.identity(v) for v in statistics]
    with tf.GradientTape() as outer:
        looked = model.teacher(
            np.concatenate([views[name] for name in names]), training=True
        )
        labels = tf.nn.softmax(tf.split(looked, [5, 6, 6])[1])
        with tf.GradientTape() as inner:
            inner.watch(old)
            logits = logits_of(old, views["strong"])
            loss = -tf.reduce_mean(
                tf.reduce_sum(labels * tf.nn.log_softmax(logits), -1)
            )
        gradients = inner.gradient(loss, old)
        new = updated(optimizer, gradients, trained, old)
        after = tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(
                y, logits_of(new, views["labeled"])
            )
        )
    gradients = outer.gradient(after, model.teacher.trainable_variables)
    for variable, value in zip(statistics, kept, strict=True):
        variable.assign(value)
    return gradients


@pytest.mark.slow_cases(
    *(f"{n}-{i}" for n in OPTIMIZERS for i in ("without", "clipnorm"))
)
@pytest.mark.parametrize(
    "clip",
    CLIPS[:2] + CLIPS[3:4],
    ids=["without", "global_clipnorm", "clipnorm"],
)
@pytest.mark.parametrize("name", [n for n in OPTIMIZERS if n != "amsgrad"])
def test_hypergradient_through_train_on_batch(name, clip):
    seeds.set_random_seed(1)
    rng = np.random.default_rng(1)
    feedback = HypergradientFeedback(weight=0.0, normalization=None)
    model = MetaPseudoLabels(
        make_net(), make_net(), consistency=None, feedback=feedback
    )
    model.compile(SGD(1.0), OPTIMIZERS[name](**clip), run_eagerly=True)
    for _ in range(2):  # momenta are not 0
        model.train_on_batch(*make_batch(rng))
    batch = make_batch(rng)
    exact = double_backprop(model, *batch)
    variables = model.variables + model.student_optimizer.variables
    before = [tf.identity(v) for v in variables]
    taught = []
    for weight in (0.0, 1.0):
        feedback.weight = weight
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)
        model.train_on_batch(*batch)
        taught.append([v.numpy() for v in model.teacher.trainable_variables])

    got = [old - new for old, new in zip(*taught, strict=True)]

    assert relative_error(got, exact) <= 1e-8
