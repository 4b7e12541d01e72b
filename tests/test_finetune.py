"""The last stage, on the labels alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_keras import UDA, MetaPseudoLabels, augment, datasets, finetune
from mpl_keras.finetune import accuracy


@pytest.fixture(scope="module")
def data():
    return datasets.digits(num_labeled=20, seed=0)


def make_net(dropout=0.0, batch_norm=True, seed=None):
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(8, 3, strides=2, kernel_initializer="he_normal"),
            *([layers.BatchNormalization()] if batch_norm else []),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dropout(dropout, seed=seed),
            layers.Dense(10),
        ]
    )


def make_mpl(**options):
    """A model whose average differs from its student."""
    model = MetaPseudoLabels(make_net(**options), make_net(**options))
    model.compile(
        teacher_optimizer=keras.optimizers.SGD(0.1),
        student_optimizer=keras.optimizers.SGD(0.1),
        metrics=["accuracy"],
    )
    return model


def make_uda(**options):
    model = UDA(make_net(**options))
    model.compile(keras.optimizers.SGD(0.1), metrics=["accuracy"])
    return model


def train(model, data, steps=30):
    rng = np.random.default_rng(0)
    x, y = data.labeled
    for _ in range(steps):
        weak = data.unlabeled[rng.integers(0, len(data.unlabeled), 32)]
        model.train_on_batch({"labeled": x, "weak": weak, "strong": weak}, y)
    return model


def state(model):
    return [variable.numpy() for variable in model.variables]


def assert_same(left, right):
    for one, other in zip(left, right, strict=True):
        np.testing.assert_array_equal(one, other)


def loss(network, pair):
    x, y = pair
    logits = network(x, training=False)
    return float(
        np.mean(
            keras.losses.sparse_categorical_crossentropy(
                y, logits, from_logits=True
            )
        )
    )


def short(model, data, **options):
    options = {"learning_rate": 0.01, "steps": 20, **options}
    return finetune.finetune(model, data, **options)


@pytest.mark.slow_cases("make_uda")
@pytest.mark.parametrize("make", [make_mpl, make_uda])
def test_a_copy_of_the_average_learns_the_labels(make, data):
    model = train(make(), data)
    before = state(model)
    compiled = model.optimizer
    finetuned = short(model, data, steps=40)

    # It learns,
    assert loss(finetuned, data.labeled) < loss(model, data.labeled) - 0.01
    assert accuracy(finetuned, data.labeled) >= accuracy(model, data.labeled)
    # and nothing of the user's changes.
    assert_same(state(model), before)
    assert model.optimizer is compiled
    assert not model.averaged.trainable_variables
    ours = {id(variable) for variable in model.variables}
    assert not [v for v in finetuned.variables if id(v) in ours]


@pytest.mark.slow_cases("make_uda")
@pytest.mark.parametrize("make", [make_mpl, make_uda])
def test_it_starts_from_the_average(make, data):
    model = train(make(), data)
    finetuned = short(model, data, learning_rate=0.0, steps=1)
    assert_same(finetuned.get_weights(), model.averaged.get_weights())
    trained = getattr(model, "student", None) or model.model
    assert not np.array_equal(
        finetuned.get_weights()[0], trained.get_weights()[0]
    )


def test_steps_against_plain_gradient_descent(data):
    # Momentum 0.9 by Nesterov, the mean crossentropy of the whole set, at a
    # constant learning rate.
    network = make_net(batch_norm=False)
    finetuned = short(network, data, learning_rate=0.05, steps=3)
    x, y = data.labeled
    variables = network.trainable_variables
    velocity = [np.zeros(v.shape) for v in variables]
    for _ in range(3):
        with tf.GradientTape() as tape:
            value = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(y, network(x))
            )
        for index, gradient in enumerate(tape.gradient(value, variables)):
            velocity[index] = 0.9 * velocity[index] - 0.05 * gradient.numpy()
            variables[index].assign_add(
                0.9 * velocity[index] - 0.05 * gradient.numpy()
            )
    for one, other in zip(
        finetuned.get_weights(), network.get_weights(), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.slow_cases("None")
@pytest.mark.parametrize("views", [None, "weak"])
def test_one_seed_is_one_result(views, data):
    network = make_net(dropout=0.5)
    results = [
        short(network, data, seed=seed, views=views, batch_size=8, steps=5)
        for seed in (0, 0, 1)
    ]
    assert_same(results[0].get_weights(), results[1].get_weights())
    assert not np.array_equal(
        results[0].get_weights()[0], results[2].get_weights()[0]
    )


def test_dropout_by_the_seed(data):
    # The whole set in each batch, without views: only masks differ.
    network = make_net(dropout=0.5)
    weights = [
        short(network, data, seed=seed, steps=3).get_weights()[0]
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(weights[0], weights[1])
    assert np.abs(weights[0] - weights[2]).max() > 1e-4


def test_batch_norm_stands_still_by_default(data):
    network = make_net()
    norm = network.layers[1]
    norm.moving_mean.assign(np.linspace(-1, 1, 8))
    before = [w.numpy() for w in norm.weights]
    finetuned = short(network, data)
    assert_same([w.numpy() for w in finetuned.layers[1].weights], before)
    # Also in the pass: by moving statistics, an example does not see others.
    other = short(network, data, freeze_batch_norm=False)
    moved = [w.numpy() for w in other.layers[1].weights]
    for old, new in zip(before, moved, strict=True):
        assert not np.array_equal(old, new)
    # Afterwards it is a layer as before, in both.
    for result in (finetuned, other):
        assert result.layers[1].trainable


def test_frozen_batch_norm_uses_moving_statistics(data):
    network = make_net()
    randomized = np.random.default_rng(0).uniform(0.5, 1.5, 8)
    network.layers[1].moving_variance.assign(randomized)
    finetuned = short(network, data, learning_rate=0.1, steps=1)
    x, y = data.labeled
    with tf.GradientTape() as tape:
        logits = network(x, training=False)
        value = tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits)
        )
    kernel = network.layers[0].kernel
    gradient = tape.gradient(value, kernel).numpy()
    np.testing.assert_allclose(
        finetuned.layers[0].kernel,
        kernel.numpy() - 0.19 * gradient,
        rtol=1e-4,
        atol=1e-6,
    )


def test_frozen_layers_stay_frozen(data):
    model = make_uda()
    model.model.layers[0].trainable = False
    model.compile(keras.optimizers.SGD(0.1))
    finetuned = short(model, data)
    assert not finetuned.layers[0].trainable
    assert finetuned.layers[-1].trainable
    assert_same(
        finetuned.layers[0].get_weights(), model.model.layers[0].get_weights()
    )


def test_an_average_by_itself_is_trained_whole(data):
    model = make_mpl()
    finetuned = short(model.averaged_student, data)
    assert len(finetuned.trainable_variables) == 6
    assert not np.array_equal(
        finetuned.get_weights()[0], model.averaged_student.get_weights()[0]
    )
    assert not model.averaged_student.trainable_variables


def test_views(data):
    seen = []

    def view(x, seed):
        seen.append(x.shape)
        return x + 10 * tf.cast(seed[0] % 7, x.dtype)

    network = make_net()
    plain = short(network, data)
    short(network, data, views=view, batch_size=48)
    # With views a batch repeats the set, each repeat seen differently.
    assert seen and seen[-1][0] == 48
    weak = short(network, data, views="weak")
    same = short(network, data, views=augment.digits_views().weak)
    assert_same(weak.get_weights(), same.get_weights())
    assert not np.array_equal(weak.get_weights()[0], plain.get_weights()[0])


def test_label_smoothing(data):
    network = make_net()
    plain, smooth = (
        short(network, data, label_smoothing=s, steps=100, learning_rate=0.1)
        for s in (0.0, 0.5)
    )

    def confidence(net):
        return np.mean(np.max(keras.ops.softmax(net(data.labeled[0])), axis=-1))

    assert confidence(smooth) < 0.7 < confidence(plain)


def test_labels_as_rows(data):
    x, y = data.labeled
    rows = datasets.from_arrays(x, np.eye(10)[y], data.unlabeled)
    network = make_net()
    left, right = short(network, data), short(network, rows)
    for one, other in zip(left.get_weights(), right.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)
    # Compiled for the labels' form.
    figures = [
        net.evaluate(*pair, verbose=0, return_dict=True)
        for net, pair in ((left, data.labeled), (right, rows.labeled))
    ]
    np.testing.assert_allclose(
        list(figures[0].values()), list(figures[1].values()), rtol=1e-4
    )


def test_both_accuracies(data):
    model = train(make_uda(), data, steps=5)
    finetuned = short(model, data)
    for network in (model, finetuned):
        figures = network.evaluate(data.test, verbose=0, return_dict=True)
        np.testing.assert_allclose(
            accuracy(network, data.test), figures["accuracy"], rtol=1e-5
        )


def test_accuracy_of_rows_and_pairs(data):
    network = make_net()
    x, y = data.labeled
    by_hand = np.mean(np.argmax(network(x), axis=-1) == y)
    for labels in (y, y[:, None], np.eye(10)[y]):
        assert accuracy(network, (x, labels)) == by_hand


def test_another_optimizer(data):
    optimizer = keras.optimizers.Adam(0.01)
    finetuned = short(make_net(), data, optimizer=optimizer, learning_rate=None)
    assert isinstance(finetuned.optimizer, keras.optimizers.Adam)
    assert int(optimizer.iterations) == 20


def test_the_result_is_saved_and_exported(data, tmp_path):
    finetuned = short(make_mpl(dropout=0.1), data)
    x = data.labeled[0]
    finetuned.save(tmp_path / "net.keras")
    loaded = keras.saving.load_model(tmp_path / "net.keras")
    np.testing.assert_array_equal(loaded(x), finetuned(x))
    assert loaded.evaluate(data.test, verbose=0)[1] == pytest.approx(
        accuracy(finetuned, data.test)
    )
    finetuned.export(tmp_path / "saved", verbose=False)
    # And goes on like any Keras model.
    finetuned.fit(*data.labeled, epochs=1, verbose=0)


def test_callbacks_see_every_step(data):
    steps = []
    callback = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda step, logs: steps.append(step)
    )
    short(make_net(), data, callbacks=[callback], steps=7)
    assert steps == list(range(7))


def test_mixed_precision(data):
    keras.config.set_dtype_policy("mixed_float16")
    finetuned = short(make_net(), data)
    assert np.isfinite(finetuned.get_weights()[0]).all()


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"steps": 0}, ["`steps`", "steps=0"]),
        ({"batch_size": 0}, ["`batch_size`", "batch_size=0"]),
        ({"learning_rate": -1}, ["`learning_rate`", "-1"]),
        ({"label_smoothing": 1}, ["`label_smoothing`", "1"]),
        ({"seed": -1}, ["`seed`", "-1"]),
        ({"views": "strong"}, ["`views`", "'strong'"]),
        ({"optimizer": "nonsense"}, ["`optimizer`", "nonsense"]),
    ],
)
def test_bad_arguments(options, parts, data):
    with pytest.raises(ValueError) as error:
        short(make_net(), data, **options)
    for part in parts:
        assert part in str(error.value)


def test_bad_models(data):
    with pytest.raises(ValueError, match="must be a `keras.Model`"):
        short(3, data)
    unbuilt = keras.Sequential([keras.layers.Dense(10)])
    with pytest.raises(ValueError, match="must be built"):
        short(unbuilt, data)
    few = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )
    with pytest.raises(ValueError, match="as many outputs as the data has"):
        short(few, data)


def test_weak_views_that_do_not_exist(data):
    bare = datasets.from_arrays(*data.labeled, data.unlabeled)
    object.__setattr__(bare, "views", None)
    with pytest.raises(ValueError, match="data without views"):
        short(make_net(), bare, views="weak")
