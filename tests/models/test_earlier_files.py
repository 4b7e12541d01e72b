"""Files that were written when the package lay flat are still read."""

import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_keras import datasets, export, pipeline

DATA = pathlib.Path(__file__).parents[1] / "data"


@pytest.fixture(scope="module")
def answers():
    return np.load(DATA / "earlier_answers.npz")


def test_a_model_is_loaded_and_goes_on(answers):
    model = keras.saving.load_model(DATA / "earlier_model.keras")
    assert int(model.step.numpy()) == 4
    images = answers["images"]
    np.testing.assert_allclose(
        model.predict(images, verbose=0), answers["logits"], atol=1e-6
    )
    assert float(model.alignment.predicted.numpy().sum()) == pytest.approx(1)
    # The same two steps as then: optimizers, seeds and feedback are restored.
    # (But the student's BatchNorm has followed the weak views since.)
    batches = pipeline.training_dataset(
        datasets.digits(20, seed=0), 8, 16, seed=1, start_step=4
    )
    model.fit(batches, steps_per_epoch=2, verbose=0)
    np.testing.assert_allclose(
        model.predict(images, verbose=0), answers["after"], atol=1e-5
    )


def test_a_classifier_is_loaded_and_answers(answers):
    classifier = export.load(DATA / "earlier_classifier")
    assert classifier.class_names == tuple("0123456789")
    pixels = np.round(answers["images"] * 255).astype("uint8")
    given = classifier(pixels)
    # It was exported before the two last steps.
    expected = tf.nn.softmax(answers["logits"]).numpy()
    np.testing.assert_allclose(given, expected, atol=0.02)
    assert (given.argmax(-1) == expected.argmax(-1)).all()
