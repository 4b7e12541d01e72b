"""What is done to a network outside of training, and to its average then."""

import copy
import re

import keras
import numpy as np
import pytest

from mpl_keras.checks.arguments import ArgumentError
from mpl_keras.networks import averaging
from mpl_keras.networks.outside_changes import OutsideChanges, Structure


def make_net():
    return keras.Sequential(
        [
            keras.Input((8,)),
            keras.layers.Dense(4, name="low"),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(3),
        ]
    )


@pytest.fixture
def watched():
    network = make_net()
    average = averaging.clone(network)
    changes = OutsideChanges()
    changes.watch(network, "student", average)
    return network, average, changes


def move(network, by=1.0):
    network.set_weights([w + by for w in network.get_weights()])


def same(left, right):
    pairs = zip(left.get_weights(), right.get_weights(), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


# Layers and weights that came, went or are others.


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda n: n.layers[0].enable_lora(2), "weight more.*lora"),
        (lambda n: n.quantize("int8"), "weight more|uint8|int8"),
        (lambda n: n.layers[0].quantize("int8"), "weight more|int8"),
        (lambda n: n.add(keras.layers.Dense(3, name="late")), "more, 'late'"),
        (lambda n: n.add(keras.layers.ReLU(name="late")), "more, 'late'"),
        (lambda n: n.pop(), "layer less, 'dense"),
        (
            lambda n: setattr(n.layers[0], "dtype_policy", "mixed_float16"),
            "another `dtype_policy` in 'low'",
        ),
        (
            lambda n: setattr(n.layers[0], "kernel_regularizer", "l2"),
            "another `kernel_regularizer` in 'low'",
        ),
        (
            lambda n: setattr(n.layers[1], "gamma_constraint", "non_neg"),
            "another `gamma_constraint`",
        ),
    ],
    ids=[
        *("lora", "quantized", "one quantized", "dense", "relu", "pop"),
        *("policy", "regularizer", "constraint"),
    ],
)
def test_a_change_of_structure_is_named(change, said):
    network = make_net()
    structure = Structure(network, "student")
    structure.check()
    change(network)
    with pytest.raises(
        ArgumentError, match="`student` must be as it was.*anew"
    ) as e:
        structure.check()
    assert re.search(said, str(e.value))


def test_what_is_no_change_of_structure():
    network = make_net()
    structure = Structure(network, "student")
    move(network)
    network.layers[0].trainable = False
    network.compile("sgd", "mse")
    network(np.zeros((2, 8)))
    structure.check()


# Weights.


def test_weights_that_are_loaded_are_the_averages_too(watched, tmp_path):
    network, average, changes = watched
    other = make_net()
    move(other)
    other.save_weights(tmp_path / "w.weights.h5")
    network.load_weights(tmp_path / "w.weights.h5")
    assert changes.carry()
    assert same(average, other)
    assert not changes.carry()


def test_weights_that_did_not_change_stay(watched):
    network, average, changes = watched
    with changes.training():
        move(network)
        averaging.update(average, network, 0.5)
    before = average.get_weights()
    network.layers[0].bias.assign([1.0, 2.0, 3.0, 4.0])
    assert changes.carry()
    after = average.get_weights()
    np.testing.assert_array_equal(after[1], [1.0, 2.0, 3.0, 4.0])
    for number in (0, 2, 3, 4, 5, 6, 7):
        np.testing.assert_array_equal(before[number], after[number])


@pytest.mark.parametrize("both", [False, True])
def test_an_average_that_was_set_stays(watched, both):
    network, average, changes = watched
    move(average, 2.0)
    if both:
        move(network)
    before = average.get_weights()
    assert not changes.carry()
    assert all(map(np.array_equal, before, average.get_weights()))
    # What comes next is carried again.
    move(network)
    assert changes.carry()


def test_training_is_no_change_from_outside(watched):
    network, average, changes = watched
    with changes.training():
        move(network)
        assert not changes.carry()
    assert not changes.carry()
    assert not same(average, network)
    changes.after_step()
    move(network)
    assert not changes.carry_before_step()
    assert not changes.carry()
    move(network)
    assert changes.carry_before_step()
    assert same(average, network)


def test_a_copy_of_a_watched_weight_is_its_own(watched):
    network, average, changes = watched
    weight = network.weights[0]
    copied = copy.deepcopy(weight)
    copied.assign(weight + 1.0)
    assert not np.array_equal(copied, weight)


def test_what_is_assigned_after_a_step_is_told(watched):
    network, average, changes = watched
    network.weights[0].assign(network.weights[0] + 1.0)
    assert changes.not_followed() is None  # it is carried
    changes.after_step()
    network(np.ones((2, 8)), training=True)  # moves statistics, no weight
    assert changes.not_followed() is None
    for number in (0, 1, 2, 6):
        network.weights[number].assign(network.weights[number] + 1.0)
    said = changes.not_followed()
    assert "/low/kernel', " in said and "and 1 more" in said
    assert changes.not_followed(whole=True) is None
    average.weights[0].assign(network.weights[0])
    assert changes.not_followed() is None
