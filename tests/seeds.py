"""The random seed of a test."""

from unittest import mock

import keras


def set_random_seed(seed):
    """`keras.utils.set_random_seed` without `tf.random.set_seed`.

    The latter makes TensorFlow load each graph again that the process has
    loaded so far. Keras's random numbers come from Python's; TensorFlow's own
    seed is set once, by `conftest.py`.
    """
    with mock.patch("tensorflow.random.set_seed"):
        keras.utils.set_random_seed(seed)
