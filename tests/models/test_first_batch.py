"""The first batch tells of values that a network was not made for."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_keras import UDA, MetaPseudoLabels, networks
from mpl_keras.checks import ArgumentError
from mpl_keras.models import first_batch

layers = keras.layers
RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (12, 6)).astype("uint8")
X = (BYTES / 255).astype("float32")
Y = np.arange(12) % 3


def make_net(*end, scale=None):
    first = [] if scale is None else [layers.Rescaling(scale)]
    return keras.Sequential(
        [
            keras.Input((6,)),
            *first,
            layers.Dense(8, "relu"),
            layers.Dense(3),
            *end,
        ]
    )


def views(x):
    return {"labeled": x, "weak": x, "strong": x}


def refused(network, x=X, y=Y, name="model"):
    with pytest.raises(ArgumentError) as error:
        first_batch.check({name: network}, x, y)
    assert "check_first_batch=False" in str(error.value)
    return str(error.value)


IMAGES = RNG.integers(0, 256, (12, 8, 8, 1)).astype("uint8")


@pytest.mark.parametrize(
    "name", ["small_cnn", "compact_cnn", "wide_resnet_10_1"]
)
def test_images_that_are_scaled_twice(name):
    net = networks.make(name, (8, 8, 1), 3)
    with pytest.warns(UserWarning, match="from 0 to 255.*first batch is 1:"):
        first_batch.check({"teacher": net}, IMAGES / np.float32(255), Y)


@pytest.mark.parametrize(
    "x",
    [IMAGES, IMAGES // 255, IMAGES * np.float32(0.5), IMAGES * np.float32(0)],
    ids=["bytes", "bits", "floats", "black"],
)
def test_images_as_the_networks_take_them(x, recwarn):
    net = networks.make("small_cnn", (8, 8, 1), 3)
    first_batch.check({"teacher": net}, tf.constant(x), Y)
    head = keras.Sequential([layers.Flatten(), layers.Dense(3)])
    own = keras.Sequential([keras.Input((8, 8, 1)), head])
    first_batch.check({"model": own}, tf.constant(x) / 255, Y)
    assert not recwarn.list


@pytest.mark.parametrize(
    "x",
    [BYTES, BYTES.astype("float32"), X * 1e4, BYTES.astype("uint16") * 257],
    ids=["bytes", "floats", "unscaled features", "16 bits"],
)
def test_values_that_are_too_large(x):
    said = refused(make_net(), x)
    assert "`x` must hold values" in said and "Rescaling(1 / 255)" in said
    assert f"{float(x.max()):.6g}" in said


def test_values_that_a_network_scales_itself():
    first_batch.check({"model": make_net(scale=1 / 255)}, BYTES, Y)
    normal = layers.BatchNormalization()
    net = keras.Sequential([keras.Input((6,)), normal, make_net()])
    first_batch.check({"model": net}, BYTES, np.eye(3)[Y])
    # It was asked in training, and nothing of it stays.
    np.testing.assert_array_equal(normal.moving_mean, np.zeros(6))


@pytest.mark.parametrize(
    ("end", "cure"),
    [
        (layers.Softmax(name="end"), "leave out `Softmax()`, the layer 'end'"),
        (
            layers.Activation("sigmoid", name="end"),
            "leave out `Activation(\"sigmoid\")`, the layer 'end'",
        ),
        (
            layers.Lambda(lambda x: tf.nn.softmax(x), name="end"),
            "Remove what makes probabilities at the end of the network, whose "
            "last layer is 'end' of class Lambda",
        ),
        (
            layers.Dense(3, "softmax"),
            "Remove the activation of the last layer: `Dense(3)` in place of "
            '`Dense(3, activation="softmax")`',
        ),
    ],
    ids=["layer", "sigmoid", "lambda", "dense"],
)
def test_outputs_that_are_probabilities(end, cure):
    said = refused(make_net(end), name="teacher")
    assert "`teacher` must output logits" in said
    assert f"{cure} (`check_first_batch=False`" in said


@pytest.mark.parametrize(
    "end",
    [
        layers.ReLU(),
        layers.Lambda(lambda x: tf.nn.log_softmax(x)),
        layers.Dense(3, kernel_initializer="zeros"),
        layers.Dense(3, kernel_initializer="zeros", bias_initializer="ones"),
    ],
    ids=["relu", "log_softmax", "zeros", "ones"],
)
def test_outputs_that_may_be_logits(end):
    first_batch.check({"model": make_net(end)}, X, Y)


class Gated(keras.Model):
    """A network whose layer that was made last is not the one at its end."""

    def __init__(self, end=None, **kwargs):
        super().__init__(**kwargs)
        self.end = end
        self.head = layers.Dense(3)
        self.hidden = layers.Dense(4, "relu")
        self.gate = layers.Dense(4, "sigmoid")

    def call(self, x):
        logits = self.head(self.gate(x) * self.hidden(x))
        return keras.activations.get(self.end)(logits)

    def get_config(self):
        return {**super().get_config(), "end": self.end}


def test_a_gate_that_was_made_last_is_no_end(recwarn):
    net = Gated()
    net(X)
    model = UDA(net)
    model.compile("sgd")
    model.train_on_batch(views(X), Y)
    assert not [w for w in recwarn.list if "logits" in str(w.message)]


@pytest.mark.parametrize("end", ["sigmoid", "softmax"])
def test_a_class_of_ones_own_that_outputs_probabilities(end):
    net = Gated(end)
    net(X)
    assert "`model` must output logits" in refused(net)


def test_what_is_not_finite_is_the_safeguards():
    first_batch.check({"model": make_net()}, X * np.nan, Y)


def test_seeds_stay_as_they_were():
    drop = layers.Dropout(0.5, seed=3)
    first_batch.check({"model": make_net(drop)}, X, Y)
    assert drop.seed_generator.state.numpy().tolist() == [3, 0]


@pytest.mark.parametrize("how", ["fit", "arrays", "train_on_batch"])
def test_nothing_is_trained_before_it_is_said(how):
    model = UDA(make_net())
    model.compile("sgd", run_eagerly=True)
    before = model.get_weights()

    def train(**options):
        if how == "train_on_batch":
            model.train_on_batch(views(BYTES), Y, **options)
        elif how == "arrays":
            model.fit(views(BYTES), Y, verbose=0, **options)
        else:
            data = tf.data.Dataset.from_tensors((views(BYTES), Y))
            model.fit(data, verbose=0, **options)

    with pytest.raises(ArgumentError, match="`x` must hold values"):
        train()
    assert int(model.step) == 0
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    train(check_first_batch=False)
    assert int(model.step) == 1
    train()  # It was trained: what it answers now is its own.


def test_both_networks_are_asked():
    with pytest.warns(UserWarning, match="logits.*student="):
        model = MetaPseudoLabels(make_net(), make_net(layers.Softmax()))
    model.compile("sgd", "sgd")
    with pytest.raises(ArgumentError, match="`student` must output logits"):
        model.fit(views(X), Y, verbose=0)
