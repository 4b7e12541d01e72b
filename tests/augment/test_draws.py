"""Draws that follow from a seed, where code of others draws as it likes."""

import random
import threading
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_keras import augment
from mpl_keras.augment import draws

CALLS = {
    "uniform": ([3],),
    "normal": ([3],),
    "truncated_normal": ([3],),
    "gamma": ([3], 2.0),
    "shuffle": (tf.range(9),),
    "categorical": (tf.zeros([1, 9]), 3),
}


def test_every_draw_that_is_redirected_can_be_drawn():
    assert set(CALLS) == set(draws._REDIRECTED)


@pytest.mark.parametrize("name", CALLS)
def test_a_draw_follows_from_the_seed(name):
    """Also of a generator that an object holds; it has its own afterwards."""

    own, function = tf.random.Generator.from_seed(1), getattr(tf.random, name)
    held = types.SimpleNamespace(generator=own)

    def drawn(seed):
        with draws.redirected([held], draws.Draws(seed)):
            return (
                getattr(tf.random, name)(*CALLS[name]).numpy().tolist(),
                held.generator.uniform([2]).numpy().tolist(),
            )

    first = drawn([0, 1])
    assert drawn([0, 1]) == first != drawn([0, 2])
    assert held.generator is own and getattr(tf.random, name) is function


def test_what_stood_before_stands_again_after_an_error():
    uniform, state = tf.random.uniform, draws.state_of_python()
    with pytest.raises(KeyError), draws.seeded(1):
        with draws.redirected([], draws.Draws([0, 1])):
            random.random(), np.random.random()
            raise KeyError
    assert tf.random.uniform is uniform
    assert draws.state_of_python() == state
    for draw in (random.random, np.random.random):
        state = draws.state_of_python()
        draw()
        assert draws.state_of_python() != state


def test_other_threads_draw_as_they_would():
    uniform, drawn = tf.random.uniform, []

    class Slow(keras.layers.Layer):
        def call(self, x):
            def draw():
                tf.random.set_seed(3)
                drawn.append(tf.random.uniform([2]).numpy())

            thread = threading.Thread(target=draw)
            thread.start(), thread.join()
            return x

    augment.from_layer(Slow())(tf.zeros([2, 4, 4, 1]), [1, 2])
    assert tf.random.uniform is uniform
    tf.random.set_seed(3)
    np.testing.assert_array_equal(drawn[0], tf.random.uniform([2]).numpy())
