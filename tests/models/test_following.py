"""The average follows what is done to a network; what it cannot is refused."""

import warnings

import keras
import numpy as np
import pytest
import seeds
import tensorflow as tf

from mpl_keras import UDA, MetaPseudoLabels
from mpl_keras.checks.arguments import ArgumentError

X = np.random.default_rng(0).normal(size=(12, 6)).astype("float32")
Y = np.arange(12) % 3
VIEWS = {"labeled": X, "weak": X, "strong": X}


def make_net(seed=0):
    seeds.set_random_seed(seed)
    return keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(8), keras.layers.Dense(3)]
    )


def make_model(network=None, **options):
    model = UDA(network or make_net(), consistency=None)
    model.compile("sgd", run_eagerly=True, **options)
    return model


@pytest.fixture
def other(tmp_path):
    network = make_net(seed=1)
    network.save_weights(tmp_path / "other.weights.h5")
    return network, tmp_path / "other.weights.h5"


def averaged_by(way, model, folder):
    """Logits of the average, in a way that people get them."""
    if way == "predict":
        return model.predict(X, verbose=0)
    if way == "predict_on_batch":
        return model.predict_on_batch(X)
    if way == "call":
        return model(X)
    if way == "attribute":
        return model.averaged_model(X)
    if way == "save":
        model.save(folder / "model.keras")
        return keras.saving.load_model(folder / "model.keras").averaged(X)
    model.export(folder / "exported", verbose=False)
    served = tf.saved_model.load(folder / "exported")
    return served.serve(X)


@pytest.mark.parametrize(
    "way",
    ["predict", "predict_on_batch", "call", "attribute", "save", "export"],
)
def test_weights_loaded_later_are_evaluated(way, other, tmp_path):
    network, file = other
    model = make_model()
    model.predict(X, verbose=0)  # traced with the weights of before
    model.model.load_weights(file)
    given = averaged_by(way, model, tmp_path)
    np.testing.assert_allclose(given, network(X), rtol=1e-5, atol=1e-6)


def test_evaluation_says_it_of_weights_that_were_loaded(other):
    network, file = other
    model = make_model(metrics=["accuracy"])
    right = network.predict(X, verbose=0).argmax(-1)
    model.model.load_weights(file)
    assert model.evaluate(X, right, verbose=0)[1] == 1.0
    assert model.test_on_batch(X, right)[1] == 1.0


def test_a_step_after_loading_averages_the_loaded_weights(other):
    model, twin = make_model(), UDA(make_net(seed=1), consistency=None)
    twin.compile("sgd", run_eagerly=True)
    model.model.load_weights(other[1])
    for either in (model, twin):
        either.train_on_batch(VIEWS, Y)
        either.fit(VIEWS, Y, verbose=0)
    for left, right in zip(
        model.averaged.get_weights(), twin.averaged.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("way", ["fit", "train_on_batch"])
def test_an_optimizer_that_copies_weights_begins_at_the_loaded_ones(other, way):
    model = UDA(make_net(), consistency=None)
    model.compile(keras.optimizers.ScheduleFreeAdamW(1e-6), run_eagerly=True)
    model.model.load_weights(other[1])
    train = getattr(model, way)
    train(VIEWS, Y, **({"verbose": 0} if way == "fit" else {}))
    given, loaded = model.model.get_weights(), other[0].get_weights()
    for left, right in zip(given, loaded, strict=True):
        np.testing.assert_allclose(left, right, atol=1e-5)


def test_a_loaded_model_keeps_its_average_and_follows(other, tmp_path):
    model = make_model()
    model.train_on_batch(VIEWS, Y)
    model.train_on_batch(VIEWS, Y)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    expected = model.averaged.predict(X, verbose=0)
    assert not np.allclose(expected, model.model.predict(X, verbose=0))
    np.testing.assert_allclose(loaded.predict(X, verbose=0), expected)
    # Before anything else is done with it.
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    loaded.model.load_weights(other[1])
    np.testing.assert_allclose(
        loaded.predict(X, verbose=0), other[0](X), rtol=1e-5, atol=1e-6
    )


# After a single step it is told, not carried: a loop that clips weights after
# each step would lose its average.


def load(model, other, tmp_path):
    model.model.load_weights(other[1])


def set_all(model, other, tmp_path):
    model.model.set_weights(other[0].get_weights())


def assign_one(model, other, tmp_path):
    model.model.layers[0].bias.assign(np.ones(8))


def set_a_layer(model, other, tmp_path):
    model.model.layers[1].set_weights(other[0].layers[1].get_weights())


def add_to_one(model, other, tmp_path):
    model.model.layers[0].kernel.assign_add(np.ones((6, 8)))


def restore(model, other, tmp_path):
    path = tf.train.Checkpoint(model=other[0]).save(tmp_path / "net")
    checkpoint = tf.train.Checkpoint(model=model.model)
    checkpoint.restore(path).assert_existing_objects_matched()


def restore_a_layer(model, other, tmp_path):
    path = tf.train.Checkpoint(part=other[0].layers[0]).write(tmp_path / "net")
    tf.train.Checkpoint(part=model.model.layers[0]).read(path)


@pytest.mark.parametrize(
    "change",
    [load, set_all, assign_one, set_a_layer, add_to_one]
    + [restore, restore_a_layer],
)
def test_weights_set_after_a_step_are_named(change, other, tmp_path):
    model = make_model()
    model.train_on_batch(VIEWS, Y)
    before = model.averaged.get_weights()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model.predict_on_batch(X)
    change(model, other, tmp_path)
    said = "Weights of `model`.*after a step.*`model.averaged_model.set_weig"
    with pytest.warns(UserWarning, match=said):
        model.predict_on_batch(X)
    for use in (
        lambda: model.evaluate(X, Y, verbose=0),
        lambda: model.predict(X, verbose=0),
        lambda: model.test_on_batch(X, Y),
        lambda: model.save(tmp_path / "model.keras"),
    ):
        if change is load:
            with pytest.warns(UserWarning, match=said):
                use()
    for left, right in zip(before, model.averaged.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        # What the warning says.
        model.averaged_model.set_weights(model.model.get_weights())
        given = model.predict_on_batch(X)
    np.testing.assert_allclose(given, model.model(X), rtol=1e-5, atol=1e-6)


def test_weights_loaded_between_steps_are_named(other):
    model = make_model()
    model.train_on_batch(VIEWS, Y)
    model.model.layers[0].bias.assign(np.zeros(8))  # as a limit of weights
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model.train_on_batch(VIEWS, Y)
        model.predict_on_batch(X)
    model.model.load_weights(other[1])
    with pytest.warns(UserWarning, match="Weights of `model` were assigned"):
        model.train_on_batch(VIEWS, Y)


def test_a_checkpoint_of_the_whole_model_has_the_average_too(tmp_path):
    model, later = make_model(), make_model()
    for _ in range(2):
        model.train_on_batch(VIEWS, Y)
    path = tf.train.Checkpoint(model=model).save(tmp_path / "all")
    later.train_on_batch(VIEWS, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        tf.train.Checkpoint(model=later).restore(path)
        given = later.predict_on_batch(X)
    np.testing.assert_array_equal(given, model.predict_on_batch(X))
    assert int(later.step) == 2


def test_weights_that_a_callback_sets_are_named(other):
    class Load(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.model.load_weights(other[1])

    model = make_model()
    model.fit(VIEWS, Y, verbose=0, callbacks=[Load()])
    with pytest.warns(UserWarning, match="Weights of `model` were assigned"):
        model.predict_on_batch(X)


def test_steps_and_files_are_nothing_that_was_set(tmp_path):
    model = make_model()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model.fit(VIEWS, Y, validation_data=(X, Y), verbose=0)
        model.train_on_batch(VIEWS, Y)
        model.save_weights(tmp_path / "all.weights.h5")
        model.load_weights(tmp_path / "all.weights.h5")
        model.set_weights(model.get_weights())
        model.predict(X, verbose=0)


def test_statistics_adapted_later_are_the_averages_too():
    layer = keras.layers.Normalization()
    network = keras.Sequential(
        [keras.Input((6,)), layer, keras.layers.Dense(3)]
    )
    model = make_model(network)
    before = model.predict(X, verbose=0)
    layer.adapt(5 * X + 3)
    given = model.predict(X, verbose=0)
    assert not np.allclose(given, before)
    np.testing.assert_allclose(given, network(X), rtol=1e-5, atol=1e-6)


# What the average cannot follow.


@pytest.mark.parametrize("name", ["teacher", "student"])
def test_a_network_that_changed_is_refused(name):
    model = MetaPseudoLabels(make_net(), make_net(1))
    model.compile("sgd", "sgd")
    getattr(model, name).layers[0].enable_lora(2)
    said = f"`{name}` must be as it was.*make the model anew.*lora"
    for use in (
        lambda: model.compile("sgd", "sgd"),
        lambda: model.fit(VIEWS, Y, verbose=0),
        lambda: model.train_on_batch(VIEWS, Y),
        lambda: model.evaluate(X, Y, verbose=0),
    ):
        with pytest.raises(ArgumentError, match=said):
            use()
    assert int(model.step) == 0


def test_other_weights_to_train_ask_for_another_compile():
    model = make_model()
    model.model.layers[0].trainable = False
    with pytest.raises(ArgumentError, match="`model` must have.*`compile`"):
        model.fit(VIEWS, Y, verbose=0)
    model.compile("sgd", run_eagerly=True)
    model.fit(VIEWS, Y, verbose=0)


def test_a_network_that_was_frozen_since_is_named_by_compile():
    model = MetaPseudoLabels(make_net(), make_net())
    model.student.trainable = False
    with pytest.raises(ArgumentError, match="`student` must have trainable"):
        model.compile("sgd", "sgd")
    model = UDA(make_net())
    model.model.trainable = False
    with pytest.raises(ArgumentError, match="`model` must have trainable"):
        model.compile("sgd")


def test_a_lookup_without_vocabulary_is_named_before_a_step():
    words = tf.constant([["red"], ["blue"]] * 6)
    lookup = keras.layers.StringLookup(name="colours")
    network = keras.Sequential(
        [
            keras.Input((1,), dtype="string"),
            lookup,
            keras.layers.Embedding(8, 2),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )
    model = make_model(network)
    views = dict.fromkeys(VIEWS, words)
    with pytest.raises(ArgumentError, match="adapt.*'colours'"):
        model.fit(views, Y, verbose=0)
    with pytest.raises(ArgumentError, match="adapt.*'colours'"):
        model.train_on_batch(views, Y)
    assert int(model.step) == 0
    lookup.adapt(words)
    model.train_on_batch(views, Y)
    assert model.predict(words, verbose=0).shape == (12, 3)


def test_a_vocabulary_that_changes_after_a_step_is_refused(tmp_path):
    words = tf.constant([["red"], ["blue"]] * 6)
    lookup = keras.layers.StringLookup(vocabulary=["red"], name="colours")
    network = keras.Sequential(
        [
            keras.Input((1,), dtype="string"),
            lookup,
            keras.layers.CategoryEncoding(3),
            keras.layers.Dense(3),
        ]
    )
    model = make_model(network)
    lookup.set_vocabulary(["red", "blue"])  # before training: it follows
    model.predict_on_batch(words)
    views = dict.fromkeys(VIEWS, words)
    model.train_on_batch(views, Y)
    model.train_on_batch(views, Y)
    lookup.set_vocabulary(["blue", "red"])
    for use in (
        lambda: model.train_on_batch(views, Y),
        lambda: model.fit(views, Y, verbose=0),
        lambda: model.evaluate(words, Y, verbose=0),
        lambda: model.predict(words, verbose=0),
    ):
        with pytest.raises(ArgumentError, match="`model` must keep.*'colours'"):
            use()
    assert int(model.step) == 2


def test_a_vocabulary_that_was_replaced_is_refused():
    lookup = keras.layers.StringLookup(vocabulary=["red"], name="colours")
    lookup.set_vocabulary(["blue"])
    network = keras.Sequential(
        [
            keras.Input((1,), dtype="string"),
            lookup,
            keras.layers.Embedding(8, 2),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )
    with pytest.raises(ArgumentError, match="vocabulary in place.*'colours'"):
        UDA(network)


# Metrics that make their variables late.


class Late(keras.metrics.Metric):
    """Makes a variable when it sees how wide the logits are."""

    total = None

    def update_state(self, y_true, y_pred, sample_weight=None):
        if self.total is None:
            self.total = self.add_weight(
                shape=y_pred.shape[-1:], initializer="zeros", name="total"
            )
        self.total.assign_add(tf.reduce_sum(y_pred, axis=0))

    def result(self):
        return tf.reduce_sum(self.total)


@pytest.mark.parametrize(
    "make", [Late, keras.metrics.F1Score, keras.metrics.R2Score]
)
def test_metrics_make_their_variables_before_the_first_step(make):
    metric = make()
    model = UDA(make_net(), consistency=None)
    model.compile("sgd", metrics=[metric])
    model.build_metrics(np.eye(3, dtype="float32")[Y])
    assert metric.variables
    for variable in metric.variables:
        np.testing.assert_array_equal(variable, np.zeros(variable.shape))
