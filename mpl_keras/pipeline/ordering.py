"""The order of examples: a permutation for every pass, and no buffer.

An example's place follows from seed and step alone, so that a stream can be
entered at any step.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from mpl_keras.checks import arrays
from mpl_keras.datasets import sources

# Below it, sorting a whole pass is faster than `RandomIndexShuffle`, which
# searches 65,536 places for the few that exist.
SMALL_SET = 1024


class ShuffledBatches:
    """Batches from an endless sequence of passes, each in an order of its own.

    Batch t holds positions tB to tB + B - 1 of that sequence. Nothing is
    buffered: the example at a position is computed from the position.
    """

    def __init__(self, examples: Any, batch_size: int, key: int):
        self._read = sources.reader(examples)
        self._size = arrays.num_examples(examples)
        self._batch_size = batch_size
        self._key = key

    def __call__(self, step: tf.Tensor) -> Any:
        """The batch of a step, an int64 scalar."""
        batch = tf.range(self._batch_size, dtype=tf.int64)
        position = step * self._batch_size + batch
        few = self._size < SMALL_SET
        index = (self._sorted if few else self._shuffled)(position)
        return self._read(index)

    def _sorted(self, position: tf.Tensor) -> tf.Tensor:
        """Examples in the order of random numbers, drawn for each pass."""
        size = self._size
        first = position[0] // size
        # As many passes as a batch can touch.
        passes = first + tf.range(
            (self._batch_size - 2) // size + 2, dtype=tf.int64
        )
        counter = passes[:, tf.newaxis] * size + tf.range(size, dtype=tf.int64)
        numbers = tf.bitcast(mix(self._key, counter), tf.int64)
        order = tf.argsort(numbers, axis=1, direction="DESCENDING")
        return tf.gather(tf.reshape(order, [-1]), position - first * size)

    def _shuffled(self, position: tf.Tensor) -> tf.Tensor:
        """Examples by a permutation that is computed at single points."""
        # For thousands of examples it reads the low 8 bits of each word of its
        # seed, so that pass numbers as seeds would repeat after 256: three
        # well-mixed words. The raw operation, because
        # `tf.random.experimental.index_shuffle` takes no seed for each index.
        shifts = tf.constant([0, 21, 42], tf.uint64)
        bits = mix(self._key, position // self._size)
        words = tf.bitwise.right_shift(bits[:, tf.newaxis], shifts)
        return tf.raw_ops.RandomIndexShuffle(
            index=position % self._size,
            seed=tf.cast(words, tf.int64),
            max_index=tf.constant(self._size - 1, tf.int64),
            rounds=4,
        )


def key_of(seed: int, name: str) -> int:
    """64 bits for one purpose, independent of those for another."""
    entropy = np.random.SeedSequence([seed, *name.encode()])
    return int(entropy.generate_state(1, np.uint64)[0])


def mix(key: int, counter: tf.Tensor) -> tf.Tensor:
    """64 well-mixed bits, uint64, for each counter.

    The mixing function of SplitMix64 (Steele et al., 2014).
    """

    def stir(z, shift, factor):
        z ^= tf.bitwise.right_shift(z, tf.constant(shift, tf.uint64))
        return z * tf.constant(factor, tf.uint64)

    z = tf.cast(counter, tf.uint64) * tf.constant(0x9E3779B97F4A7C15, tf.uint64)
    z = stir(z + tf.constant(key, tf.uint64), 30, 0xBF58476D1CE4E5B9)
    return stir(stir(z, 27, 0x94D049BB133111EB), 31, 1)
