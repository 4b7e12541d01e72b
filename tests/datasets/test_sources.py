"""Examples by their number, in order."""

import time

import numpy as np
import tensorflow as tf

from mpl_keras.datasets import semi_supervised_data, sources


class _SlowFirst(sources.Source):
    def read(self, index):
        def wait(numbers):
            time.sleep(1.0 if 0 in numbers else 0.0)
            return numbers.astype("float32")

        return tf.numpy_function(wait, [index], tf.float32)


def test_evaluation_keeps_the_order():
    batches = semi_supervised_data.evaluation_batches(
        _SlowFirst((8,), "float32"), np.arange(8), batch_size=1
    )
    np.testing.assert_array_equal([int(x[0]) for x, _ in batches], np.arange(8))
