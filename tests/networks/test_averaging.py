"""The moving average of a network, against numpy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_keras.networks import averaging


def make_net():
    return keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(4),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(2),
        ]
    )


def randomize(network, seed=0):
    random = np.random.default_rng(seed)
    for weight in network.weights:
        weight.assign(random.uniform(0.1, 1.0, weight.shape))


class Bare(keras.Model):
    """A subclassed network that Keras can not clone."""

    def __init__(self, width):
        super().__init__(name="bare")
        self.dense = keras.layers.Dense(width)

    def call(self, inputs, training=None):
        return self.dense(inputs)


@keras.saving.register_keras_serializable("tests")
class Cloneable(keras.Model):
    """A subclassed network with `get_config`."""

    def __init__(self, width, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.dense = keras.layers.Dense(width)
        self.norm = keras.layers.BatchNormalization()

    def call(self, inputs, training=None):
        return self.norm(self.dense(inputs), training=training)

    def get_config(self):
        return {**super().get_config(), "width": self.width}


class Counting(keras.layers.Layer):
    """Counts its training passes in an integer, and keeps a flag."""

    def build(self, input_shape):
        self.count = self.add_weight(
            shape=(), dtype="int32", trainable=False, initializer="zeros"
        )
        self.flag = self.add_weight(
            shape=(), dtype="bool", trainable=False, initializer="zeros"
        )

    def call(self, inputs):
        return inputs


def test_momentum_warms_up():
    steps = [0, 1, 8, 89, 1790, 1791, 10**6]
    np.testing.assert_allclose(
        [averaging.momentum_at(step, 0.995) for step in steps],
        [0.1, 2 / 11, 0.5, 90 / 99, 0.995, 0.995, 0.995],
        rtol=1e-6,
    )
    assert float(averaging.momentum_at(1789, 0.995)) < 0.995
    assert float(averaging.momentum_at(5, 0.0)) == 0.0
    compiled = tf.function(averaging.momentum_at)
    assert float(compiled(tf.constant(8, tf.int64), 0.9)) == 0.5


def test_several_steps_against_numpy():
    network = make_net()
    randomize(network)
    average = averaging.clone(network)
    expected = [w.astype("float64") for w in network.get_weights()]
    for step in range(6):
        randomize(network, seed=step + 1)
        momentum = min(0.3, (step + 1) / (step + 10))
        averaging.update(average, network, averaging.momentum_at(step, 0.3))
        expected = [
            momentum * old + (1 - momentum) * new
            for old, new in zip(expected, network.get_weights(), strict=True)
        ]
    for value, by_hand in zip(average.get_weights(), expected, strict=True):
        np.testing.assert_allclose(value, by_hand, rtol=1e-5)


def test_batch_statistics_are_averaged_too():
    network = make_net()
    average = averaging.clone(network)
    norm, averaged_norm = network.layers[1], average.layers[1]
    norm.moving_mean.assign([4.0, 0.0, 0.0, -4.0])
    norm.moving_variance.assign([5.0] * 4)
    averaging.update(average, network, 0.75)
    np.testing.assert_allclose(averaged_norm.moving_mean, [1, 0, 0, -1])
    np.testing.assert_allclose(averaged_norm.moving_variance, [2.0] * 4)


def test_integers_are_copied():
    network = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(2), Counting()]
    )
    average = averaging.clone(network)
    network.layers[-1].count.assign(7)
    network.layers[-1].flag.assign(True)
    averaging.update(average, network, 0.9)
    assert int(average.layers[-1].count) == 7
    assert average.layers[-1].flag.numpy()
    assert average.layers[-1].count.dtype == "int32"


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_update_in_a_compiled_function(momentum):
    network = make_net()
    randomize(network)
    average = averaging.clone(network)
    before = network.get_weights()
    randomize(network, seed=1)
    tf.function(lambda: averaging.update(average, network, momentum))()
    for value, old, new in zip(
        average.get_weights(), before, network.get_weights(), strict=True
    ):
        np.testing.assert_allclose(
            value, momentum * old + (1 - momentum) * new, rtol=1e-5
        )


def test_a_clone_is_a_network_of_its_own():
    network = make_net()
    randomize(network)
    copy = averaging.clone(network)
    x = np.ones((2, 3), "float32")
    expected = network(x).numpy()
    np.testing.assert_array_equal(copy(x), expected)
    assert copy.trainable_variables == []
    assert len(network.trainable_variables) == 6
    assert not {id(v) for v in copy.weights} & {id(v) for v in network.weights}
    randomize(network, seed=1)
    np.testing.assert_array_equal(copy(x), expected)
    assert not np.allclose(network(x), expected)
    # In the other direction too.
    moved = network(x).numpy()
    randomize(copy, seed=2)
    np.testing.assert_array_equal(network(x), moved)


def functional():
    inputs = {name: keras.Input((3,), name=name) for name in "ab"}
    x = keras.layers.Concatenate()(list(inputs.values()))
    shared = keras.layers.Dense(5)
    return keras.Model(inputs, keras.layers.Dense(2)(shared(x)))


def nested():
    inputs = keras.Input((3,))
    return keras.Model(inputs, make_net()(inputs))


class Named(keras.Model):
    """A Functional model by way of a subclass with arguments of its own."""

    def __init__(self, width):
        inputs = keras.Input((3,))
        outputs = keras.layers.Dense(width)(inputs)
        super().__init__(inputs=inputs, outputs=outputs)


@pytest.mark.parametrize(
    "make",
    [make_net, functional, nested, lambda: Named(2)],
    ids=["sequential", "functional", "nested", "functional_subclass"],
)
def test_networks_made_of_layers_are_cloned(make):
    network = make()
    randomize(network)
    copy = averaging.clone(network)
    for left, right in zip(
        copy.get_weights(), network.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(left, right)


def test_a_subclass_with_get_config_is_cloned():
    network = Cloneable(2)
    x = np.ones((4, 3), "float32")
    network(x)
    randomize(network)
    copy = averaging.clone(network)
    assert type(copy) is Cloneable
    # Before anybody calls it: it may be saved and exported as it is.
    assert copy.built
    np.testing.assert_array_equal(copy(x), network(x))
    randomize(network, seed=1)
    averaging.update(copy, network, 0.0)
    np.testing.assert_allclose(copy(x), network(x), rtol=1e-6)


def test_a_subclass_without_get_config_is_named():
    network = Bare(2)
    network(np.ones((4, 3), "float32"))
    with pytest.raises(ValueError, match="`student` must.*get_config.*'bare'"):
        averaging.clone(network)
    with pytest.raises(ValueError, match="`model` must.*of class Bare"):
        averaging.clone(network, "model")


def test_frozen_layers_are_averaged_as_they_are():
    network = make_net()
    network.layers[0].trainable = False
    randomize(network)
    average = averaging.clone(network)
    randomize(network, seed=1)
    averaging.update(average, network, 0.0)
    for left, right in zip(
        average.get_weights(), network.get_weights(), strict=True
    ):
        np.testing.assert_allclose(left, right, rtol=1e-6)


@pytest.mark.parametrize("nested", [False, True])
def test_a_clone_normalises_by_adapted_statistics(nested):
    """Keras computes by a copy of these, which `set_weights` leaves alone."""
    layer = keras.layers.Normalization()
    x = np.random.RandomState(0).normal(5.0, 3.0, (50, 4)).astype("float32")
    layer.adapt(x)
    layers = [keras.Input((4,)), layer, keras.layers.Dense(2)]
    if nested:
        inner = keras.Sequential(layers)
        layers = [keras.Input((4,)), inner, keras.layers.Dense(2)]
    network = keras.Sequential(layers)
    copy = averaging.clone(network)
    np.testing.assert_allclose(copy(x), network(x), atol=1e-6)
    averaging.update(copy, network, 0.9)
    np.testing.assert_allclose(copy(x), network(x), atol=1e-5)
