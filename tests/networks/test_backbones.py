"""Networks by name, above all those of `keras.applications`."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_keras import MetaPseudoLabels
from mpl_keras.distribute import replicas
from mpl_keras.networks import averaging, backbones

APPLICATIONS = keras.applications
# Mode of `preprocess_input`: caffe, tf, and none, because it is inside.
FAMILIES = [
    ("ResNet50", APPLICATIONS.resnet50),
    ("MobileNetV2", APPLICATIONS.mobilenet_v2),
    ("EfficientNetB0", APPLICATIONS.efficientnet),
]


def images(count=2, size=32, channels=3, seed=0):
    """Smooth pictures with all grey levels, as bytes."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (count, 5, 5, channels))
    fine = tf.image.resize(coarse, (size, size), method="bicubic")
    return np.clip(np.round(fine), 0, 255).astype("uint8")


def randomize(network, gain=1.0, seed=0):
    """Weights through all of which the image is seen in the features."""
    rng = np.random.default_rng(seed)
    for variable in network.weights:
        name, shape = variable.path.split("/")[-1], tuple(variable.shape)
        if len(shape) == 4:
            # Those of depthwise convolutions see one channel each.
            fan_in = np.prod(shape[: 2 if shape[-1] == 1 else 3])
            value = rng.normal(0, np.sqrt(2 / fan_in), shape)
        elif name in ("gamma", "moving_variance"):
            value = rng.uniform(0.8, 1.2, shape)
            value *= gain if name == "gamma" else 1.0
        elif name in ("beta", "moving_mean", "bias"):
            value = rng.uniform(-0.2, 0.2, shape)
        else:
            continue
        variable.assign(value)
    return network


def assert_sees(features, x):
    """Raises if the features would hardly tell one image from another."""
    values, others = (np.asarray(features(images)) for images in (x, x // 2))
    assert np.abs(values - others).mean() > 0.05 * np.abs(values).mean()


def features_of(network):
    """The network up to its head."""
    head = network.get_layer("head_dropout")
    return keras.Model(network.input, head.input)


def copy_weights(source, target):
    """Copies in order what the target has; the source may have a top."""
    weights = target.get_weights()
    target.set_weights(source.get_weights()[: len(weights)])


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A small application with other weights than at first, and its files."""
    folder = tmp_path_factory.mktemp("weights")
    build = APPLICATIONS.MobileNetV2
    top = randomize(build(weights=None, alpha=0.35))
    bare = build(weights=None, alpha=0.35, include_top=False)
    copy_weights(top, bare)
    files = {}
    for name, network in (("with top", top), ("without top", bare)):
        stem = str(folder / name.replace(" ", "_"))
        network.save_weights(f"{stem}.weights.h5")
        network.save(f"{stem}.h5")  # the format that Keras distributes
        files[name] = f"{stem}.weights.h5"
        files[f"{name}, legacy"] = f"{stem}.h5"
    return top, files


@pytest.fixture(scope="module")
def features_of_small(small):
    """What Keras's own network makes of the images, with these weights."""
    reference = APPLICATIONS.MobileNetV2(
        include_top=False,
        weights=None,
        alpha=0.35,
        pooling="avg",
        input_shape=(32, 32, 3),
    )
    copy_weights(small[0], reference)
    return reference(
        APPLICATIONS.mobilenet_v2.preprocess_input(images().astype("float32"))
    )


def make_small(channels=3, **options):
    return backbones.make(
        "mobilenet_v2", (32, 32, channels), 4, alpha=0.35, **options
    )


# Names.


def test_names():
    names = backbones.names()
    assert names[:3] == ["small_cnn", "compact_cnn", "wide_resnet_28_2"]
    assert {"ResNet50", "EfficientNetB0", "EfficientNetV2B0"} <= set(names)
    assert "resnet50" not in names  # a module


@pytest.mark.slow_cases("MobileNetV2", "mobile_net_v2")
@pytest.mark.parametrize(
    "name", ["MobileNetV2", "mobilenet_v2", "mobile_net_v2", "mobilenet-v2"]
)
def test_spelling_does_not_matter(name):
    network = backbones.make(name, (32, 32, 3), 3, alpha=0.35)
    assert network.output_shape == (None, 3)


@pytest.mark.parametrize(
    ("shape", "said"),
    [((1, 28, 28), ". Channels must come last"), ((6, 28, 3), "(6, 28, 3)")],
)
def test_too_few_pixels_or_channels_that_come_first(shape, said):
    with pytest.raises(ValueError, match="at least 8 x 8 pixels") as error:
        backbones.make("compact_cnn", shape, 3)
    assert str(error.value).endswith(said)


@pytest.mark.parametrize("name", ["wide_resnet_10_1", "WideResNet-10-1"])
def test_wide_resnets(name):
    network = backbones.make(
        name,
        (8, 8, 1),
        4,
        dropout=0.3,
        weight_decay=1e-3,
        negative_slope=0.1,
    )
    assert network.name == "wide_resnet_10_1"
    assert network.get_layer("head_dropout").rate == 0.3
    assert network.get_layer("head_relu").negative_slope == 0.1
    assert network.losses


def test_small_cnn_is_that_of_the_digits():
    network = backbones.make(
        "small_cnn", (8, 8, 1), 10, dropout=0.2, weight_decay=5e-4
    )
    assert network.count_params() == 3_706 - 6 + 6
    assert len(network.losses) == 3
    x = images(3, 8, 1)
    rescaling = network.layers[0]
    np.testing.assert_allclose(rescaling(x), x / 255, rtol=1e-6)
    decay = network.layers[1].kernel_regularizer
    np.testing.assert_allclose(decay.l2, 2.5e-4)
    with pytest.raises(ValueError, match="at least 4 x 4"):
        backbones.make("small_cnn", (3, 8, 1), 10)


# Applications.


@pytest.mark.slow_cases(
    "ResNet50",
    "EfficientNetB0",
)
@pytest.mark.parametrize(
    ("name", "module"), FAMILIES, ids=[name for name, _ in FAMILIES]
)
def test_images_are_preprocessed_as_the_family_expects(name, module, tmp_path):
    network = backbones.make(name, (32, 32, 3), 5, weight_decay=1e-4)
    original = getattr(APPLICATIONS, name)(
        include_top=False, weights=None, pooling="avg", input_shape=(32, 32, 3)
    )
    # EfficientNet's gates halve what passes.
    randomize(network, gain=1.5 if name == "EfficientNetB0" else 1.0)
    normalization = [
        layer
        for layer in original.layers
        if isinstance(layer, keras.layers.Normalization)
    ]
    ours = network.get_weights()[:-2]
    # EfficientNet's statistics are 3 weights, which are constants in ours.
    original.set_weights(
        (normalization[0].get_weights() if normalization else []) + ours
    )
    x = images()
    expected = original(module.preprocess_input(x.astype("float32")))
    ours = features_of(network)(x)
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)
    assert_sees(features_of(network), x)

    network.save(tmp_path / "net.keras")
    loaded = keras.saving.load_model(tmp_path / "net.keras")
    np.testing.assert_array_equal(loaded(x), network(x))
    clone = averaging.clone(network)
    np.testing.assert_array_equal(clone(x), network(x))


def test_head():
    network = make_small(dropout=0.3)
    kinds = [type(layer).__name__ for layer in network.layers[-3:]]
    assert kinds == ["GlobalAveragePooling2D", "Dropout", "Dense"]
    assert network.layers[-2].rate == 0.3
    assert network.output_shape == (None, 4)
    # Two networks begin differently.
    kernels = [n.get_layer("Conv1").kernel for n in (network, make_small())]
    assert not np.array_equal(*kernels)


def test_grey_images_are_repeated():
    grey, colour = make_small(1), make_small(3)
    grey.set_weights(colour.get_weights())
    x = images(2, 32, 1)
    np.testing.assert_array_equal(grey(x), colour(np.repeat(x, 3, axis=-1)))


def test_weight_decay_reaches_all_but_normalisation():
    network = randomize(make_small(weight_decay=0.5))
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
    assert make_small().losses == []


def test_weight_decay_reaches_nested_layers():
    # ConvNeXt's stem is a network in the network.
    network = backbones.make("ConvNeXtTiny", (32, 32, 3), 3, weight_decay=0.1)
    free = [v for v in network.trainable_variables if v.regularizer is None]
    kinds = {v.path.split("/")[-1].rstrip("_0123456789") for v in free}
    assert kinds <= {"gamma", "beta", "variable"}  # "variable": layer scale


def test_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    network = make_small()
    assert network(images()).dtype == tf.float32
    assert network.get_layer("Conv1").compute_dtype == "bfloat16"


def test_batch_norm_is_synchronized_under_replicas(monkeypatch):
    monkeypatch.setattr(replicas, "num_replicas", lambda: 2)
    norms = [
        layer
        for layer in make_small().layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    assert norms and all(norm.synchronized for norm in norms)


@pytest.mark.slow
def test_a_step_of_meta_pseudo_labels():
    model = MetaPseudoLabels(
        make_small(1, weight_decay=1e-4), make_small(1, weight_decay=1e-4)
    )
    model.compile(
        teacher_optimizer=keras.optimizers.SGD(0.01),
        student_optimizer=keras.optimizers.SGD(0.01),
        run_eagerly=True,  # tracing takes 12 s
    )
    views = {
        name: images(4, 32, 1, seed)
        for seed, name in enumerate(("labeled", "weak", "strong"))
    }
    logs = model.train_on_batch(views, [0, 1, 2, 3], return_dict=True)
    assert np.isfinite(list(logs.values())).all()


@pytest.mark.slow
def test_export(tmp_path):
    network = make_small(1)
    network.export(tmp_path / "saved", verbose=False)
    x = images(2, 32, 1).astype("float32")
    served = tf.saved_model.load(tmp_path / "saved")
    np.testing.assert_allclose(
        served.serve(x), network(x), rtol=1e-4, atol=1e-5
    )


# Weights.


@pytest.mark.slow_cases("with top", "without top, legacy", "with top, legacy")
@pytest.mark.parametrize(
    "kind",
    ["with top", "with top, legacy", "without top", "without top, legacy"],
)
def test_weights_from_a_file(kind, small, features_of_small):
    network = make_small(weights=small[1][kind])
    x = images()
    np.testing.assert_allclose(
        features_of(network)(x), features_of_small, rtol=1e-4, atol=1e-5
    )
    assert_sees(features_of(network), x)


@pytest.mark.slow
@pytest.mark.slow_cases(
    "variance1-scale1",
)
@pytest.mark.parametrize(
    ("variance", "scale"),
    [
        # As in Keras's files, which hold the deviations (Keras divides by
        # their roots once more, but only with weights="imagenet").
        ([0.229, 0.224, 0.225], [1 / 0.229, 1 / 0.224, 1 / 0.225]),
        ([4.0, 4.0, 4.0], [0.5, 0.5, 0.5]),
    ],
)
def test_statistics_of_efficientnets_files(variance, scale, tmp_path):
    source = APPLICATIONS.EfficientNetB0(include_top=False, weights=None)
    mean = np.array([0.485, 0.456, 0.406], "float32")
    layer = next(
        layer
        for layer in source.layers
        if isinstance(layer, keras.layers.Normalization)
    )
    layer.set_weights([mean, np.array(variance, "float32"), np.int32(0)])
    source.save_weights(tmp_path / "file.weights.h5")
    network = backbones.make(
        "EfficientNetB0", (32, 32, 3), 4, weights=tmp_path / "file.weights.h5"
    )
    x = images()
    stem = keras.Model(network.input, network.get_layer("stem_conv_pad").input)
    np.testing.assert_allclose(
        stem(x), (x / 255 - mean) * scale, rtol=1e-4, atol=1e-4
    )
    # They are constants, which a clone and an average cannot lose.
    assert not [
        layer
        for layer in network.layers
        if isinstance(layer, keras.layers.Normalization)
    ]
    clone = averaging.clone(network)
    np.testing.assert_array_equal(clone(x), network(x))


def test_weights_of_our_own_networks(tmp_path):
    file = tmp_path / "net.weights.h5"
    network = randomize(backbones.make("wide_resnet_10_1", (8, 8, 1), 4))
    network.save_weights(file)
    other = backbones.make("wide_resnet_10_1", (8, 8, 1), 4, weights=file)
    x = images(2, 8, 1)
    np.testing.assert_array_equal(other(x), network(x))
    with pytest.raises(ValueError) as error:
        backbones.make("wide_resnet_10_2", (8, 8, 1), 4, weights=file)
    for part in ("`weights`", "wide_resnet_10_2", "net.weights.h5"):
        assert part in str(error.value)


def test_weights_of_another_application(small):
    _, files = small
    for kind in ("with top", "with top, legacy"):
        with pytest.raises(ValueError) as error:
            backbones.make(
                "MobileNet", (32, 32, 3), 4, alpha=0.25, weights=files[kind]
            )
        assert "`weights` must be a file of the weights of MobileNet" in str(
            error.value
        )


def test_no_network_to_download_from(monkeypatch):
    def constructor(weights=None, **options):
        if weights == "imagenet":
            raise Exception("URL fetch failure on https://example.org/w.h5")
        raise AssertionError

    monkeypatch.setattr(APPLICATIONS, "ResNet50", constructor)
    with pytest.raises(ValueError) as error:
        backbones.make("resnet50", (32, 32, 3), 4, weights="imagenet")
    for part in ("pass the file's path", "https://example.org/w.h5"):
        assert part in str(error.value)


# Errors.


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("resnet5", "ResNet50"),
        ("wide_resnet_28", "wide_resnet_28_2"),
        ("efficientnet_v2", "EfficientNetV2"),
        ("smallcn", "small_cnn"),
        ("qqq", "small_cnn"),
        (None, "small_cnn"),
    ],
)
def test_unknown_names(name, near):
    with pytest.raises(ValueError) as error:
        backbones.make(name, (32, 32, 3), 4)
    assert near in str(error.value) and f"name={name!r}" in str(error.value)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"input_shape": (31, 32, 3)}, ["`input_shape`", "at least 32x32"]),
        ({"input_shape": (32, 32, 4)}, ["`input_shape`", "1 or 3 channels"]),
        ({"input_shape": (32, 32)}, ["`input_shape`", "(32, 32)"]),
        ({"num_classes": 1}, ["`num_classes`", "num_classes=1"]),
        ({"dropout": 1}, ["`dropout`", "dropout=1"]),
        ({"weight_decay": -1}, ["`weight_decay`", "-1"]),
        ({"weights": "no/such.h5"}, ["`weights`", "no/such.h5", "no file"]),
        ({"weights": 3}, ["`weights`", "weights=3"]),
    ],
)
def test_bad_arguments(options, parts):
    options = {"input_shape": (32, 32, 3), "num_classes": 4, **options}
    with pytest.raises(ValueError) as error:
        backbones.make("MobileNetV2", **options)
    for part in parts:
        assert part in str(error.value)


def test_whole_networks_are_no_weights(tmp_path):
    network = backbones.make("small_cnn", (8, 8, 1), 3)
    network.save(tmp_path / "net.keras")
    with pytest.raises(ValueError, match="keras.saving.load_model"):
        backbones.make(
            "small_cnn", (8, 8, 1), 3, weights=tmp_path / "net.keras"
        )


def test_imagenet_is_of_applications_alone():
    with pytest.raises(ValueError, match="there are none of ImageNet") as error:
        backbones.make("small_cnn", (8, 8, 1), 3, weights="imagenet")
    assert "`name`='MobileNetV2'" in str(error.value)
    flags = {"name": "--backbone", "weights": "--weights"}
    assert "--backbone='MobileNetV2'" in str(error.value.renamed(flags))
