"""The wide ResNet, layer by layer."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_keras import MetaPseudoLabels
from mpl_keras.distribute import replicas
from mpl_keras.networks import averaging, wide_residual
from mpl_keras.networks.wide_residual import wide_resnet as make

MEAN = np.array([0.4914, 0.482158, 0.4465309])
STDDEV = np.array([0.247032, 0.243485, 0.26159])


def images(count=2, size=32, channels=3, seed=0):
    shape = (count, size, size, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, "uint8")


def count(variables):
    return sum(int(np.prod(v.shape)) for v in variables)


def randomize(network, seed=0):
    """Other statistics, scales and biases than those of the beginning."""
    rng = np.random.default_rng(seed)
    for variable in network.weights:
        if len(variable.shape) == 1:
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))


def by_hand(depth, width, num_classes, stem):
    """Trainable parameters, counted from the paper's table."""
    total = 9 * 3 * stem  # stem
    filters = stem
    for out in (16 * width, 32 * width, 64 * width):
        for _ in range((depth - 4) // 6):
            total += 2 * filters + 9 * filters * out
            total += 2 * out + 9 * out * out
            if filters != out:
                total += filters * out
            filters = out
    return total + 2 * filters + filters * num_classes + num_classes


def test_parameters_of_28_2():
    network = make()
    assert count(network.trainable_variables) == 1_472_170
    assert by_hand(28, 2, 10, stem=32) == 1_472_170
    # With the stem of the original paper, as the docstring says.
    assert by_hand(28, 2, 10, stem=16) == 1_467_610
    # And two statistics per channel: 25 BatchNorms.
    assert count(network.non_trainable_variables) == 3_648


@pytest.mark.parametrize(
    ("depth", "width", "classes"), [(10, 1, 4), (16, 3, 7)]
)
def test_parameters_of_others(depth, width, classes):
    network = make(depth, width, num_classes=classes)
    assert count(network.trainable_variables) == by_hand(
        depth, width, classes, stem=16 * width
    )


def test_layers_of_28_2():
    network = make()
    convolutions = [
        layer
        for layer in network.layers
        if isinstance(layer, keras.layers.Conv2D)
    ]
    kernels = [tuple(c.kernel.shape) for c in convolutions]
    # 1 stem, 24 in 12 blocks, and a shortcut where the width changes; none
    # in the first group.
    assert len(kernels) == 1 + 24 + 2
    assert kernels[0] == (3, 3, 3, 32)
    shortcuts = [c for c in convolutions if c.kernel_size == (1, 1)]
    assert [tuple(c.kernel.shape[2:]) for c in shortcuts] == [
        (32, 64),
        (64, 128),
    ]
    assert [c.strides for c in shortcuts] == [(2, 2)] * 2
    assert sum(c.strides == (2, 2) for c in convolutions) == 4
    assert not any(c.use_bias for c in convolutions)
    assert all(c.padding == "same" for c in convolutions)

    def of(kind):
        return [layer for layer in network.layers if isinstance(layer, kind)]

    norms = of(keras.layers.BatchNormalization)
    assert len(norms) == 25
    assert {(n.momentum, n.epsilon) for n in norms} == {(0.99, 1e-3)}
    assert {r.negative_slope for r in of(keras.layers.LeakyReLU)} == {0.2}
    assert network.get_layer("group_1_block_4_add").output.shape[1:] == (
        32,
        32,
        32,
    )
    assert network.get_layer("group_2_block_4_add").output.shape[1:] == (
        16,
        16,
        64,
    )
    assert network.get_layer("group_3_block_4_add").output.shape[1:] == (
        8,
        8,
        128,
    )


def reference(network, x, depth, width, slope=0.2):
    """The same network in bare TensorFlow, its weights in order of use."""
    weights = {
        "/".join(w.path.split("/")[-2:]): w.numpy() for w in network.weights
    }

    def active(x, name):
        mean, variance, gamma, beta = (
            weights[f"{name}_norm/{part}"]
            for part in ("moving_mean", "moving_variance", "gamma", "beta")
        )
        x = (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta
        return tf.where(x > 0, x, slope * x)

    def conv(x, name, stride=1):
        return tf.nn.conv2d(x, weights[f"{name}/kernel"], stride, "SAME")

    x = ((x / 255.0 - MEAN) / STDDEV).astype("float32")
    x = conv(x, "stem")
    for group in (1, 2, 3):
        for block in range(1, (depth - 4) // 6 + 1):
            name = f"group_{group}_block_{block}"
            stride = 2 if group > 1 and block == 1 else 1
            changes = x.shape[-1] != 16 * width * 2 ** (group - 1)
            before = active(x, f"{name}_1")
            y = conv(before, f"{name}_1_conv", stride)
            y = conv(active(y, f"{name}_2"), f"{name}_2_conv")
            x = y + (conv(before, f"{name}_shortcut", stride) if changes else x)
    x = tf.reduce_mean(active(x, "head"), axis=(1, 2))
    return x @ weights["logits/kernel"] + weights["logits/bias"]


def test_forward_pass_against_bare_tensorflow():
    network = make(16, 2, num_classes=5)
    randomize(network)
    x = images(3, 32)
    ours = network(x).numpy()
    expected = reference(network, x, 16, 2).numpy()
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)
    assert np.abs(ours).max() > 0.01


def test_initial_weights():
    network = make(10, 8)
    kernel = network.get_layer("group_3_block_1_2_conv").kernel.numpy()
    # Variance 2 / fan_out = 2 / (9 * 512), untruncated: 0.3 % are beyond
    # three deviations.
    deviation = (2 / (9 * 512)) ** 0.5
    np.testing.assert_allclose(kernel.std(), deviation, rtol=0.01)
    assert 0.002 < np.mean(np.abs(kernel) > 3 * deviation) < 0.004
    dense = network.get_layer("logits").kernel.numpy()
    assert 0.98 / 10**0.5 < np.abs(dense).max() <= 1 / 10**0.5
    # Two networks begin differently.
    other = make(10, 8).get_layer("logits").kernel.numpy()
    assert not np.array_equal(dense, other)


def test_weight_decay_is_added_to_the_gradient():
    # METHOD: L2 added to the gradient, so half of it in the loss.
    network = make(10, 1, num_classes=4, weight_decay=0.5)
    randomize(network)
    with tf.GradientTape() as tape:
        penalty = tf.add_n(network.losses)
    gradients = tape.gradient(penalty, network.trainable_variables)
    for variable, gradient in zip(
        network.trainable_variables, gradients, strict=True
    ):
        if variable.path.endswith(("gamma", "beta")):
            assert gradient is None
        else:
            np.testing.assert_allclose(
                gradient, 0.5 * variable.numpy(), rtol=1e-5
            )
    assert make(10, 1).losses == []


def test_dropout_is_before_the_dense_layer():
    network = make(10, 1, dropout=0.5)
    layer = network.get_layer("head_dropout")
    assert layer.rate == 0.5
    assert layer.output is network.get_layer("logits").input
    x = images(4)
    assert not np.array_equal(
        network(x, training=True), network(x, training=True)
    )


@pytest.mark.parametrize("dtype", ["uint8", "float32", "int64"])
def test_any_dtype_of_images(dtype):
    network = make(10, 1)
    x = images()
    np.testing.assert_array_equal(network(x.astype(dtype)), network(x))


@pytest.mark.parametrize(
    ("channels", "mean", "stddev", "expected"),
    [
        (1, None, None, [(0 - 0.5) / 0.25, (1 - 0.5) / 0.25]),
        (2, 0.0, 1.0, [0, 1]),
        (3, [0.1, 0.2, 0.3], 0.5, [-0.2, 1.8]),
    ],
)
def test_normalization(channels, mean, stddev, expected):
    network = make(
        10, 1, input_shape=(8, 8, channels), mean=mean, stddev=stddev
    )
    layer = network.get_layer("normalization")
    for value, normalized in zip((0, 255), expected, strict=True):
        x = np.full((1, 8, 8, channels), value, "uint8")
        np.testing.assert_allclose(
            layer(x)[0, 0, 0, 0], normalized, rtol=1e-5, atol=1e-6
        )


def test_images_of_any_size():
    network = make(10, 1, input_shape=(None, None, 3))
    assert network(images(2, 11)).shape == (2, 10)


def test_saving_cloning_and_config(tmp_path):
    network = make(10, 1, num_classes=4, dropout=0.1, weight_decay=1e-3)
    randomize(network)
    x = images()
    expected = network(x).numpy()
    network.save(tmp_path / "net.keras")
    loaded = keras.saving.load_model(tmp_path / "net.keras")
    np.testing.assert_array_equal(loaded(x), expected)
    assert len(loaded.losses) == len(network.losses)
    np.testing.assert_array_equal(averaging.clone(network)(x), expected)
    json.dumps(network.get_config())
    network.export(tmp_path / "saved", verbose=False)
    served = tf.saved_model.load(tmp_path / "saved")
    np.testing.assert_allclose(
        served.serve(x.astype("float32")), expected, rtol=1e-5, atol=1e-6
    )


def test_mixed_precision():
    x = images()
    full = make(10, 2)
    keras.config.set_dtype_policy("mixed_bfloat16")
    network = make(10, 2)
    network.set_weights(full.get_weights())
    logits = network(x)
    assert logits.dtype == tf.float32
    assert network.get_layer("stem").compute_dtype == "bfloat16"
    assert network.get_layer("normalization").compute_dtype == "float32"
    np.testing.assert_allclose(logits, full(x), atol=0.05)


def test_batch_norm_is_synchronized_under_replicas(monkeypatch):
    def synchronized(network):
        return {
            layer.synchronized
            for layer in network.layers
            if isinstance(layer, keras.layers.BatchNormalization)
        }

    assert synchronized(make(10, 1)) == {False}
    monkeypatch.setattr(replicas, "num_replicas", lambda: 2)
    assert synchronized(make(10, 1)) == {True}


def test_a_step_of_meta_pseudo_labels_on_bytes(tmp_path):
    networks = [
        make(
            10,
            1,
            input_shape=(8, 8, 1),
            num_classes=4,
            dropout=0.2,
            weight_decay=5e-4,
        )
        for _ in range(2)
    ]
    model = MetaPseudoLabels(*networks)
    model.compile(
        teacher_optimizer=keras.optimizers.SGD(0.1),
        student_optimizer=keras.optimizers.SGD(0.1),
    )
    views = {
        "labeled": images(4, 8, 1, 1),
        "weak": images(6, 8, 1, 2),
        "strong": images(6, 8, 1, 3),
    }
    before = [v.numpy() for v in model.student.trainable_variables]
    logs = model.train_on_batch(views, [0, 1, 2, 3], return_dict=True)
    assert np.isfinite(list(logs.values())).all()
    moved = [
        not np.array_equal(old, new)
        for old, new in zip(
            before, model.student.trainable_variables, strict=True
        )
    ]
    assert all(moved)
    logits = model.predict(views["weak"], verbose=0)
    assert logits.shape == (6, 4)
    # Teacher, student and average have layers of the same names.
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        loaded.predict(views["weak"], verbose=0), logits
    )
    for one, other in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"depth": 27}, ["`depth`", "6 n + 4", "depth=27"]),
        ({"depth": 4}, ["`depth`", ">= 10", "depth=4"]),
        ({"depth": 28.0}, ["`depth`", "depth=28.0"]),
        ({"width": 0}, ["`width`", "width=0"]),
        ({"input_shape": (32, 32)}, ["`input_shape`", "(32, 32)"]),
        ({"input_shape": 32}, ["`input_shape`", "32"]),
        ({"input_shape": (32, 32, None)}, ["`input_shape`", "None"]),
        ({"input_shape": (0, 32, 3)}, ["`input_shape`", "(0, 32, 3)"]),
        ({"num_classes": 1}, ["`num_classes`", "num_classes=1"]),
        ({"dropout": 1.0}, ["`dropout`", "dropout=1.0"]),
        ({"weight_decay": -1e-4}, ["`weight_decay`", "-0.0001"]),
        ({"negative_slope": 1.5}, ["`negative_slope`", "1.5"]),
        ({"mean": [0.1, 0.2]}, ["`mean`", "one per channel, 3", "[0.1, 0.2]"]),
        ({"mean": "cifar"}, ["`mean`", "'cifar'"]),
        ({"stddev": [1, 0, 1]}, ["`stddev`", "greater than 0"]),
    ],
)
def test_bad_arguments(options, parts):
    with pytest.raises(ValueError) as error:
        make(**options)
    for part in parts:
        assert part in str(error.value)


def test_regularizer_of_nothing():
    assert wide_residual.regularizer(0.0) is None
