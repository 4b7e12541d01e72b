"""What layers keep beside their weights is in a clone, too."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_keras
from mpl_keras.networks import averaging, carrying

WORDS = np.array([["red"], ["green"], ["blue green"]])
NUMBERS = np.array([[1], [2], [7]])


def network_of(layer, x, head=True):
    dtype = "string" if x.dtype.kind == "U" else x.dtype.name
    layers = [keras.Input(x.shape[1:], dtype=dtype), layer]
    return keras.Sequential(
        [*layers, keras.layers.Dense(3)] if head else layers
    )


def adapted(layer, x):
    layer.adapt(x)
    return layer, x


@pytest.mark.parametrize(
    "make",
    [
        lambda: adapted(keras.layers.StringLookup(), WORDS),
        lambda: adapted(
            keras.layers.StringLookup(output_mode="one_hot"), WORDS
        ),
        lambda: adapted(keras.layers.StringLookup(output_mode="tf_idf"), WORDS),
        lambda: adapted(keras.layers.IntegerLookup(num_oov_indices=2), NUMBERS),
        lambda: adapted(
            keras.layers.IntegerLookup(output_mode="multi_hot", max_tokens=9),
            NUMBERS,
        ),
        lambda: adapted(
            keras.layers.TextVectorization(output_sequence_length=3), WORDS
        ),
        lambda: adapted(
            keras.layers.TextVectorization(
                output_mode="tf_idf", max_tokens=8, pad_to_max_tokens=True
            ),
            WORDS,
        ),
        lambda: adapted(
            keras.layers.Discretization(num_bins=3), NUMBERS.astype("float32")
        ),
        lambda: adapted(
            keras.layers.Normalization(), NUMBERS.astype("float32")
        ),
    ],
    ids=lambda make: make()[0].name,
)
def test_what_was_adapted_is_in_the_clone(make):
    layer, x = make()
    network = network_of(layer, x, head=False)
    inner = network_of(network, x, head=False)
    for net in (network, inner):
        copy = averaging.clone(net)
        np.testing.assert_array_equal(copy(x), net(x))
        assert not carrying.carry(net, copy)


def test_what_is_adapted_later_is_carried():
    layers = [
        (keras.layers.StringLookup(), WORDS),
        (keras.layers.Discretization(num_bins=3), NUMBERS.astype("float32")),
    ]
    for layer, x in layers:
        network = network_of(layer, x, head=False)
        copy = averaging.clone(network)
        layer.adapt(x)
        assert carrying.carry(network, copy)
        np.testing.assert_array_equal(copy(x), network(x))


class Clip(keras.layers.Layer):
    """Clips at what it has seen: in an attribute, a table and a closure."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.limit = 0.0
        self.bounds = {"low": [0.0]}
        self.table = {}
        self.clip = lambda x: tf.minimum(x, self.limit)

    def adapt(self, x):
        self.limit = float(np.max(x))
        self.bounds["low"] = [float(np.min(x))]

    def call(self, x):
        return tf.maximum(self.clip(x), self.bounds["low"][0])


class Saved(Clip):
    """What it has seen is in a table that it saves itself."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.limits = tf.lookup.experimental.MutableHashTable(
            tf.string, tf.float32, 0.0
        )

    def adapt(self, x):
        self.limits.insert(["high"], [tf.reduce_max(x)])

    def call(self, x):
        high = tf.reshape(self.limits.lookup(tf.constant("high")), ())
        return tf.minimum(x, high)

    def save_own_variables(self, store):
        store["high"] = self.limits.lookup(["high"]).numpy()

    def load_own_variables(self, store):
        self.limits.insert(["high"], store["high"])


class Noted(Saved):
    """The same, in a file beside the weights."""

    def save_own_variables(self, store):
        pass

    def load_own_variables(self, store):
        pass

    def save_assets(self, folder):
        with open(f"{folder}/high.txt", "w") as file:
            file.write(str(float(self.limits.lookup(["high"])[0])))

    def load_assets(self, folder):
        with open(f"{folder}/high.txt") as file:
            self.limits.insert(["high"], [float(file.read())])


@pytest.mark.parametrize("kind", [Clip, Saved, Noted])
def test_layers_of_the_users_own(kind):
    x = np.array([[1.0], [2.0], [3.0]], "float32")
    layer = kind()
    layer.adapt(x[:2])
    network = network_of(layer, x, head=False)
    copy = averaging.clone(network)
    np.testing.assert_array_equal(copy(x), [[1.0], [2.0], [2.0]])
    if kind is Clip:
        layer.adapt(x)
        # Its own function sees its own limit.
        np.testing.assert_array_equal(copy(x), [[1.0], [2.0], [2.0]])
        assert carrying.carry(network, copy)
        np.testing.assert_array_equal(copy(x), x)


def test_an_activation_that_was_set_is_the_clones_too():
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2)])
    copy = averaging.clone(network)
    network.layers[0].activation = keras.activations.relu
    assert carrying.carry(network, copy)
    x = np.array([[1.0], [-1.0]])
    np.testing.assert_array_equal(copy(x), network(x))


# A copy in memory needs no distrust.


def functions():
    scale = np.float32(3.0)
    times = keras.layers.Lambda(lambda x: scale * tf.square(x))
    root = keras.layers.Lambda(lambda x: tf.sqrt(x), output_shape=(4,))
    each = keras.layers.TimeDistributed(
        keras.layers.Lambda(lambda x: x / scale)
    )
    return times, root, each


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("nested", [False, True])
def test_a_lambda_is_cloned(number, nested):
    layers = [keras.Input((2, 4)), functions()[number]]
    if nested:
        layers = [keras.Input((2, 4)), keras.Sequential(layers)]
    network = keras.Sequential(layers)
    x = np.random.default_rng(0).uniform(size=(3, 2, 4)).astype("float32")
    np.testing.assert_array_equal(averaging.clone(network)(x), network(x))


def test_a_saved_model_within_is_cloned(tmp_path):
    inner = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    inner.export(tmp_path / "inner", verbose=False)
    layer = keras.layers.TFSMLayer(tmp_path / "inner")
    network = keras.Sequential([keras.Input((2,)), layer])
    copy = averaging.clone(network)
    x = np.ones((2, 2), "float32")
    np.testing.assert_array_equal(copy(x), inner(x))
    network.set_weights([w + 1 for w in network.get_weights()])
    np.testing.assert_array_equal(copy(x), inner(x))
    averaging.update(copy, network, 0.0)
    np.testing.assert_allclose(copy(x), network(x), rtol=1e-6)


def test_a_layer_in_two_places_is_one_in_the_clone():
    shared = keras.layers.Dense(2)
    inputs = keras.Input((2,))
    inner = keras.Sequential([keras.Input((2,)), shared])
    network = keras.Model(inputs, shared(inner(inputs)))
    copy = averaging.clone(network)
    x = np.ones((2, 2), "float32")
    assert len(copy.weights) == len(network.weights) == 2
    np.testing.assert_array_equal(copy(x), network(x))


def test_an_export_is_of_the_network_as_it_is_evaluated(tmp_path):
    network = keras.Sequential(
        [keras.Input((4, 4, 1), name="pixels"), keras.layers.RandomFlip()]
    )
    fixed = averaging.as_evaluated(network)
    x = np.random.default_rng(0).uniform(size=(20, 4, 4, 1)).astype("float32")
    np.testing.assert_array_equal(fixed(x), x)
    assert fixed.input.name == "pixels"
    plain = keras.Sequential([keras.Input((2,)), keras.layers.Dropout(0.5)])
    assert averaging.as_evaluated(plain) is plain


class Held(keras.layers.Layer):
    """What it computes by is no weight of Keras's."""

    def __init__(self, **options):
        super().__init__(**options)
        self.parts = [tf.Variable(3.0)]

    def call(self, x):
        return x * self.parts[0]


def test_a_variable_of_tensorflow_is_refused():
    network = network_of(Held(), np.zeros((1, 6), "float32"))
    message = "`model` must have no layer that holds a `tf.Variable`.*of class"
    with pytest.raises(ValueError, match=message):
        mpl_keras.UDA(network)
