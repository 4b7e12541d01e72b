"""Validation and prediction on what gives one batch after another."""

import keras
import numpy as np
import pytest
import seeds
import tensorflow as tf

from mpl_keras import UDA
from mpl_keras.checks import ArgumentError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 6)).astype("float32")
Y = np.arange(12) % 3
VIEWS = {"labeled": X, "weak": X, "strong": X}


@pytest.fixture(scope="module")
def model():
    seeds.set_random_seed(0)
    layers = [keras.Input((6,)), keras.layers.Dense(3)]
    model = UDA(keras.Sequential(layers), consistency=None)
    model.compile("sgd", metrics=["accuracy"], run_eagerly=True)
    return model


class Sequence(keras.utils.PyDataset):
    """Batches by their numbers."""

    def __init__(self, *batches):
        super().__init__()
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        return self.batches[index]


def generator(*batches):
    yield from batches


def loader(*batches):
    data = pytest.importorskip("torch").utils.data
    return data.DataLoader(batches, batch_size=None)


KINDS = {"generator": generator, "sequence": Sequence, "loader": loader}
THREE = [(X[i : i + 4], Y[i : i + 4]) for i in (0, 4, 8)]


def trained(model, data, **options):
    batches = tf.data.Dataset.from_tensors((VIEWS, Y))
    options = {"verbose": 0, "validation_data": data} | options
    return model.fit(batches, **options).history


@pytest.mark.parametrize("kind", KINDS)
def test_batches_are_measured_as_arrays_are(model, kind):
    make = KINDS[kind]
    want = model.evaluate(X, Y, verbose=0)
    np.testing.assert_allclose(
        model.evaluate(make(*THREE), verbose=0), want, rtol=1e-5
    )
    np.testing.assert_allclose(
        model.predict(make(*((x,) for x, _ in THREE)), verbose=0),
        model.predict(X, verbose=0),
        rtol=1e-5,
    )
    history = trained(model, make(*THREE))
    want = model.evaluate(X, Y, verbose=0)
    given = [history["val_loss"][0], history["val_accuracy"][0]]
    np.testing.assert_allclose(given, want, rtol=1e-5)


BAD = {
    "no labels": ((X,), "y=None"),
    "views": ((VIEWS, Y), "plain examples"),
    "too wide": ((np.ones((12, 7), "float32"), Y), "shape"),
    "out of range": ((X, Y + 1), "value 3"),
    "as many": ((X, Y[:5]), "5 labels for 12"),
    "not finite": ((X * np.nan, Y), "finite"),
    "text": ((X.astype(str), Y), "numbers"),
    "parts": (({"a": X, "b": X}, Y), "by their names"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("kind", ["generator", "sequence"])
def test_a_first_batch_that_cannot_be_measured(model, kind, case):
    batch, said = BAD[case]
    step = int(model.step)
    for argument, ask in (
        ("validation_data", lambda data: trained(model, data)),
        ("x|y", lambda data: model.evaluate(data, verbose=0)),
    ):
        with pytest.raises(ValueError, match=f"['`]({argument}).*{said}"):
            ask(KINDS[kind](batch))
    assert int(model.step) == step


@pytest.mark.parametrize("case", ["views", "too wide", "text"])
def test_a_first_batch_that_cannot_be_predicted(model, case):
    (x, _), said = BAD[case]
    for make in (generator, Sequence):
        with pytest.raises(ArgumentError, match=f"`x`.*{said}"):
            model.predict(make((x,)), verbose=0)


@pytest.mark.parametrize("case", ["too wide", "out of range"])
def test_a_first_batch_of_a_loader(model, case):
    batch, said = BAD[case]
    with pytest.raises(ValueError, match=said):
        trained(model, loader(batch))


def test_no_batch_at_all(model):
    ended = generator(*THREE)
    list(ended)
    for data in (ended, generator(), Sequence()):
        with pytest.raises(ArgumentError, match="`validation_data` must.*one"):
            trained(model, data)
        with pytest.raises(ArgumentError, match="`x` must give.*one batch"):
            model.evaluate(data, verbose=0)
    with pytest.raises(ArgumentError, match="`x` must give tuples.*ndarrays"):
        model.evaluate(generator(X), verbose=0)


def test_labels_out_of_range_in_a_later_batch(model):
    later = [*THREE, (X, Y + 1)]
    with pytest.warns(UserWarning, match="outside of"):
        history = trained(model, Sequence(*later))
    assert np.isnan(history["val_loss"]).all()
    with pytest.warns(UserWarning, match="outside of"):
        assert np.isnan(model.evaluate(generator(*later), verbose=0)).all()


def test_a_generator_is_not_read_twice(model):
    step = int(model.step)
    for options, number in (
        ({"epochs": 2}, 2),
        ({"epochs": 5, "validation_freq": [1, 5]}, 2),
        ({"epochs": 3, "validation_steps": 1}, 3),
    ):
        said = f"`validation_data`.*read again.*for {number} validations"
        with pytest.raises(ArgumentError, match=said):
            trained(model, generator(*THREE), **options)
    assert int(model.step) == step
    options = {"epochs": 2, "validation_freq": 2}
    history = trained(model, generator(*THREE), **options)
    assert np.isfinite(history["val_loss"]).all()
