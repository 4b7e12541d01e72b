"""What a network and an optimizer must be, and how the errors read."""

import sys
import types
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_keras.networks import requirements


def make_net(width=3, activation=None, name=None):
    return keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(4),
            keras.layers.Dense(width, activation=activation),
        ],
        name=name,
    )


def functional(output):
    inputs = keras.Input((2,))
    return keras.Model(inputs, output(keras.layers.Dense(3)(inputs)))


class Subclassed(keras.Model):
    """A network as people write it: no `compute_output_shape`."""

    def __init__(self, width=3, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.dense = keras.layers.Dense(width)

    def call(self, inputs, training=None):
        return self.dense(inputs)

    def get_config(self):
        return {**super().get_config(), "width": self.width}


class TwoHeads(Subclassed):
    def call(self, inputs, training=None):
        return self.dense(inputs), self.dense(inputs)


def called(network):
    network(np.zeros((4, 2), "float32"))
    return network


def check(network):
    requirements.check_network(network, "teacher")


def test_good_networks_pass_in_silence():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(make_net())
        check(functional(lambda x: x))
        check(functional(keras.layers.LeakyReLU()))
        check(functional(keras.ops.log_softmax))
        check(keras.Sequential([keras.Input((2,)), make_net()]))


def test_a_subclassed_network_passes():
    check(called(Subclassed(5)))
    assert requirements.output_width(called(Subclassed(5))) == 5


# Not a Keras 3 model.


@pytest.mark.parametrize(
    "network",
    [
        None,
        "resnet",
        3,
        [make_net(), make_net()],
        {"a": make_net()},
        keras.layers.Dense(3),
        tf.Module(),
        make_net,
        keras.Model,
    ],
    ids=lambda x: type(x).__name__,
)
def test_not_a_model(network):
    with pytest.raises(
        ValueError, match=r"`teacher` must be a `keras.Model`.*Received: teach"
    ):
        check(network)


@pytest.mark.parametrize("name", ["tf_keras", "tf_keras_nightly"])
def test_a_network_of_keras_2_is_recognized(monkeypatch, name):
    module = types.ModuleType(name + ".src.engine.sequential")
    exec("class Sequential: pass", module.__dict__)
    module.Sequential.__module__ = module.__name__
    monkeypatch.setitem(sys.modules, module.__name__, module)
    with pytest.raises(ValueError, match="tf_keras.*Keras 2.*Received"):
        check(module.Sequential())


# Not built, nothing to train, wrong outputs.


@pytest.mark.parametrize(
    "network",
    [
        keras.Sequential([keras.layers.Dense(3)], name="unready"),
        Subclassed(name="unready"),
        keras.Sequential(name="unready"),
    ],
)
def test_not_built(network):
    with pytest.raises(
        ValueError, match="`teacher` must be built.*Received.*'unready'"
    ):
        check(network)


def test_all_frozen():
    network = make_net(name="ice")
    network.trainable = False
    with pytest.raises(ValueError, match="`teacher`.*trainable.*'ice'"):
        check(network)
    network.layers[-1].trainable = True
    network.trainable = True
    network.layers[0].trainable = False
    check(network)


@pytest.mark.parametrize(
    "network",
    [
        keras.Sequential([keras.Input((4, 2)), keras.layers.Dense(3)]),
        functional(lambda x: [x, x]),
        functional(lambda x: {"logits": x}),
        functional(lambda x: {"logits": x, "features": x}),
        functional(lambda x: keras.ops.reshape(x, (-1, 3, 1))),
        functional(lambda x: keras.ops.sum(x, axis=-1)),
    ],
    ids=["rank3", "two", "dict", "dict_of_two", "rank3_end", "rank1"],
)
def test_outputs_that_are_no_rows_of_logits(network):
    with pytest.raises(
        ValueError, match=r"`teacher` must have one output.*Received.*shape"
    ):
        check(network)


def test_two_outputs_of_a_subclassed_network():
    with pytest.raises(ValueError, match="`teacher` must have one output"):
        check(called(TwoHeads()))


def test_one_logit():
    with pytest.raises(
        ValueError, match=r"`teacher` must output at least two.*\(None, 1\)"
    ):
        check(make_net(1))
    assert requirements.output_width(make_net(2)) == 2


# Softmax at the end.


@pytest.mark.parametrize(
    "network",
    [
        make_net(activation="softmax"),
        make_net(activation="sigmoid"),
        functional(keras.layers.Softmax()),
        functional(keras.layers.Activation("softmax")),
        functional(keras.ops.softmax),
        functional(keras.activations.softmax),
        keras.Sequential([keras.Input((2,)), make_net(activation="softmax")]),
    ],
    ids=["dense", "sigmoid", "layer", "activation", "ops", "call", "nested"],
)
def test_a_network_that_ends_in_softmax_is_warned_of(network):
    cure = "Remove the activation of the last layer: .*Received: teacher="
    with pytest.warns(UserWarning, match=f"logits.*{cure}"):
        check(network)


# Pairs.


def test_a_pair_of_different_architectures():
    inputs = keras.Input((2,))
    other = keras.Model(inputs, keras.layers.Dense(3)(inputs))
    requirements.check_pair(make_net(), other)


def test_one_object_for_both():
    network = make_net(name="only")
    with pytest.raises(ValueError, match="`teacher` and `student`.*'only'"):
        requirements.check_pair(network, network)


@pytest.mark.parametrize("trainable", [True, False])
def test_shared_weights(trainable):
    inputs = keras.Input((2,))
    shared = keras.layers.Dense(4, name="trunk", trainable=trainable)
    hidden = shared(inputs)
    first = keras.Model(inputs, keras.layers.Dense(3)(hidden))
    second = keras.Model(inputs, keras.layers.Dense(3)(hidden))
    with pytest.raises(ValueError, match="must not share.*Received.*trunk"):
        requirements.check_pair(first, second)


def test_different_widths():
    with pytest.raises(ValueError, match="same number of classes.*3 and 4"):
        requirements.check_pair(make_net(3), make_net(4))


def test_which_of_the_two_is_wrong_is_said():
    with pytest.raises(ValueError, match="`student` must"):
        requirements.check_pair(make_net(), None)
    with pytest.raises(ValueError, match="`teacher` must"):
        requirements.check_pair(None, make_net())


# Optimizers.


def test_an_optimizer_is_built_on_its_network():
    network = make_net()
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    checked = requirements.check_optimizer(optimizer, network, "optimizer")
    assert checked is optimizer
    assert optimizer.built
    # Iterations, learning rate, and a momentum per weight.
    assert len(optimizer.variables) == 2 + len(network.trainable_variables)
    # Compiling once more is no error.
    assert (
        requirements.check_optimizer(optimizer, network, "optimizer") is checked
    )


def test_an_optimizer_by_name():
    optimizer = requirements.check_optimizer("adam", make_net(), "optimizer")
    assert isinstance(optimizer, keras.optimizers.Adam)


@pytest.mark.parametrize(
    "optimizer", [None, "nonsense", 0.1, keras.optimizers.SGD, "sgd,0.1", []]
)
def test_not_an_optimizer(optimizer):
    with pytest.raises(
        ValueError, match="`student_optimizer` must be.*Received: student_opt"
    ):
        requirements.check_optimizer(optimizer, make_net(), "student_optimizer")


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"use_ema": True}, "`optimizer`.*average.*Received.*use_ema=True"),
        (
            {"gradient_accumulation_steps": 4},
            "`optimizer`.*accumulate.*student.*Received.*steps=4",
        ),
    ],
)
def test_optimizers_that_would_spoil_it(kwargs, message, wrap):
    optimizer = keras.optimizers.SGD(0.1, **kwargs)
    if wrap:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    with pytest.raises(ValueError, match=message):
        requirements.check_optimizer(optimizer, make_net(), "optimizer")


@pytest.mark.parametrize("wrap", [False, True])
def test_an_optimizer_of_several_rates(wrap):
    parts = keras.optimizers.OptimizerMap(
        keras.optimizers.SGD(0.1), {".*bias": keras.optimizers.Adam(0.01)}
    )
    optimizer = keras.optimizers.MultiOptimizer(parts)
    if wrap:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    with pytest.raises(
        ValueError, match="`optimizer` must be one optimizer.*MultiOptimizer"
    ):
        requirements.check_optimizer(optimizer, make_net(), "optimizer")


@pytest.mark.parametrize("wrap", [False, True])
def test_an_optimizer_of_another_network(wrap):
    optimizer = keras.optimizers.SGD(0.1)
    requirements.check_optimizer(optimizer, make_net(), "optimizer")
    if wrap:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    with pytest.raises(ValueError, match="`optimizer`.*another network"):
        requirements.check_optimizer(optimizer, make_net(), "optimizer")


def test_an_optimizer_from_before_a_layer_was_frozen():
    network = make_net()
    optimizer = keras.optimizers.SGD(0.1)
    requirements.check_optimizer(optimizer, network, "optimizer")
    network.layers[0].trainable = False
    with pytest.raises(ValueError, match="`optimizer` must be a new"):
        requirements.check_optimizer(optimizer, network, "optimizer")


def half_net():
    keras.config.set_dtype_policy("mixed_float16")
    network = make_net()
    keras.config.set_dtype_policy("float32")
    return network


def half_inside():
    return keras.Sequential([keras.Input((2,)), half_net()])


@pytest.mark.parametrize("make", [half_net, half_inside])
def test_half_precision_scales_its_loss(make):
    optimizer = requirements.check_optimizer("sgd", make(), "optimizer")
    assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    # A layer deeper down than the network's own.
    deep = keras.Sequential([keras.Input((2,)), make()])
    optimizer = requirements.check_optimizer("sgd", deep, "optimizer")
    assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer)


def test_half_precision_scales_its_loss_once():
    given = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1))
    assert requirements.check_optimizer(given, half_net(), "optimizer") is given


def test_full_precision_scales_nothing():
    optimizer = requirements.check_optimizer("sgd", make_net(), "optimizer")
    assert isinstance(optimizer, keras.optimizers.SGD)


def test_weights_of_words_are_carried_and_taken():
    # Keras keeps them in a `tf.Variable`, but with the vocabulary.
    lookup = keras.layers.StringLookup(
        vocabulary=["a", "b"], idf_weights=[0.5, 2.0], output_mode="tf_idf"
    )
    inputs = keras.Input((3,), dtype="string")
    network = keras.Model(inputs, keras.layers.Dense(2)(lookup(inputs)))
    assert requirements.check_network(network, "model") == 2
