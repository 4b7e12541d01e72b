"""Labels of the user's own batches, as they are refused."""

import keras
import pytest
import tensorflow as tf

from mpl_keras.checks import batches

X = tf.zeros((2, 3))


@pytest.mark.parametrize("shape", [(2,), (2, 1), (2, 3)])
def test_labels_that_are_texts_have_a_way_out(shape):
    texts = tf.fill(shape, "cat")
    with pytest.raises(ValueError, match="dtype string. For names") as error:
        batches.check_labels(texts, X, "labeled", 3)
    assert "`datasets.from_arrays`" in str(error.value)
    # What is said there is a cure.
    lookup = keras.layers.StringLookup(
        vocabulary=["dog", "cat"], num_oov_indices=0
    )
    assert lookup(tf.constant(["cat", "dog"])).numpy().tolist() == [1, 0]
    batches.check_labels(lookup(tf.fill((2,), "cat")), X, "labeled", 2)
