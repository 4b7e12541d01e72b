"""Each of Keras's layers in a small network: average, file, export.

After one step at momentum 0 the average is the network. It is that before a
step, in a file, and exported, too. What cannot be is refused by name.
"""

import inspect
import tempfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_keras import UDA

L = keras.layers
RANDOM = np.random.default_rng(0)
WORDS = np.array([["red"], ["green"], ["blue"], ["red blue"]] * 2)


def floats(*shape):
    return RANDOM.uniform(0.1, 1.0, (8, *shape)).astype("float32")


VECTOR, SEQUENCE = floats(6), floats(6, 4)
IMAGE, VOLUME = floats(8, 8, 3), floats(4, 4, 4, 2)
FRAMES = {1: floats(3, 4, 2), 2: floats(3, 4, 4, 2), 3: floats(2, 3, 3, 3, 2)}
WAVE = floats(64)
PAIRS = np.array([["a", "x"], ["b", "y"]] * 4)
TOKENS = RANDOM.integers(0, 5, (8, 4))


@keras.saving.register_keras_serializable("tests")
def halve(x):
    return x / 2


@keras.saving.register_keras_serializable("tests")
def as_floats(x):
    return tf.cast(x, "float32")


def classifier(inputs, outputs):
    """A network whose last layer is dense, whatever comes before."""
    if outputs.dtype != "float32":
        outputs = L.Lambda(as_floats)(outputs)
    if len(outputs.shape) > 2:
        outputs = L.Flatten()(outputs)
    return keras.Model(inputs, L.Dense(3)(outputs))


def input_of(x):
    dtype = "string" if x.dtype.kind == "U" else x.dtype.name
    return keras.Input(x.shape[1:], dtype=dtype)


def chain(*layers, x):
    """Layers in a row, and a classifier behind them."""

    def make():
        inputs = outputs = input_of(x)
        for layer in layers:
            outputs = layer()(outputs)
        return classifier(inputs, outputs)

    return make, x


def merge(layer, x=VECTOR):
    """A layer of two inputs, each a dense layer's output."""

    def make():
        inputs = input_of(x)
        parts = [L.Dense(4)(inputs), L.Dense(4)(inputs)]
        return classifier(inputs, layer()(parts))

    return make, x


def attend(layer):
    def make():
        inputs = input_of(SEQUENCE)
        return classifier(inputs, layer()(inputs, inputs))

    return make, SEQUENCE


def cross(layer):
    def make():
        inputs = input_of(PAIRS)
        parts = [inputs[:, :1], inputs[:, 1:]]
        return classifier(inputs, layer()(parts))

    return make, PAIRS


def quantized():
    network = keras.Sequential(
        [keras.Input((6,)), L.Dense(4, name="low"), L.Dense(3)]
    )
    network.get_layer("low").quantize("int8")
    return network


def reloaded():
    """A network around a SavedModel."""
    inner = keras.Sequential([keras.Input((6,)), L.Dense(4)])
    folder = tempfile.mkdtemp()
    inner.export(folder, verbose=False)
    inputs = input_of(VECTOR)
    return classifier(inputs, L.TFSMLayer(folder)(inputs))


def of(layer, *arguments, x=VECTOR, before=(), after=(), **options):
    make = lambda: layer(*arguments, **options)  # noqa: E731
    return chain(*before, make, *after, x=x)


def adapted(layer, x, data=None, after=(), **options):
    def make():
        made = layer(**options)
        made.adapt(x if data is None else data)
        return made

    return chain(make, *after, x=x)


def embed():
    return L.Embedding(16, 2)


NETWORKS = {
    "Activation": of(L.Activation, "tanh"),
    "ActivityRegularization": of(L.ActivityRegularization, l2=0.1),
    "AdaptiveAveragePooling1D": of(L.AdaptiveAveragePooling1D, 2, x=SEQUENCE),
    "AdaptiveAveragePooling2D": of(L.AdaptiveAveragePooling2D, 2, x=IMAGE),
    "AdaptiveAveragePooling3D": of(L.AdaptiveAveragePooling3D, 2, x=VOLUME),
    "AdaptiveMaxPooling1D": of(L.AdaptiveMaxPooling1D, 2, x=SEQUENCE),
    "AdaptiveMaxPooling2D": of(L.AdaptiveMaxPooling2D, 2, x=IMAGE),
    "AdaptiveMaxPooling3D": of(L.AdaptiveMaxPooling3D, 2, x=VOLUME),
    "Add": merge(L.Add),
    "AdditiveAttention": merge(L.AdditiveAttention, x=SEQUENCE),
    "AlphaDropout": of(L.AlphaDropout, 0.5),
    "Attention": merge(lambda: L.Attention(use_scale=True), x=SEQUENCE),
    "AugMix": of(L.AugMix, (0, 1), x=IMAGE),
    "AutoContrast": of(L.AutoContrast, (0, 1), x=IMAGE),
    "Average": merge(L.Average),
    "AveragePooling1D": of(L.AveragePooling1D, 2, x=SEQUENCE),
    "AveragePooling2D": of(L.AveragePooling2D, 2, x=IMAGE),
    "AveragePooling3D": of(L.AveragePooling3D, 2, x=VOLUME),
    "BatchNormalization": of(L.BatchNormalization),
    "BatchNormalization, renormalised": of(L.BatchNormalization, renorm=True),
    "Bidirectional": chain(lambda: L.Bidirectional(L.GRU(3)), x=SEQUENCE),
    "CategoryEncoding": of(L.CategoryEncoding, 5, x=TOKENS),
    "CenterCrop": of(L.CenterCrop, 4, 4, x=IMAGE),
    "Concatenate": merge(L.Concatenate),
    "ContrastLimitedAdaptiveHistogramEqualization": of(
        L.ContrastLimitedAdaptiveHistogramEqualization, (0, 1), x=IMAGE
    ),
    "Conv1D": of(L.Conv1D, 2, 3, x=SEQUENCE),
    "Conv1DTranspose": of(L.Conv1DTranspose, 2, 3, x=SEQUENCE),
    "Conv2D": of(L.Conv2D, 2, 3, x=IMAGE),
    "Conv2DTranspose": of(L.Conv2DTranspose, 2, 3, x=IMAGE),
    "Conv3D": of(L.Conv3D, 2, 3, x=VOLUME),
    "Conv3DTranspose": of(L.Conv3DTranspose, 2, 3, x=VOLUME),
    "ConvLSTM1D": of(L.ConvLSTM1D, 2, 3, x=FRAMES[1]),
    "ConvLSTM2D": of(L.ConvLSTM2D, 2, 3, x=FRAMES[2]),
    "ConvLSTM3D": of(L.ConvLSTM3D, 2, 3, x=FRAMES[3]),
    "Cropping1D": of(L.Cropping1D, 1, x=SEQUENCE),
    "Cropping2D": of(L.Cropping2D, 1, x=IMAGE),
    "Cropping3D": of(L.Cropping3D, 1, x=VOLUME),
    "Dense": of(L.Dense, 4),
    "Dense, with LoRA": of(L.Dense, 4, lora_rank=2),
    "Dense, quantized": (quantized, VECTOR),
    "DepthwiseConv1D": of(L.DepthwiseConv1D, 3, x=SEQUENCE),
    "DepthwiseConv2D": of(L.DepthwiseConv2D, 3, x=IMAGE),
    "Discretization": of(L.Discretization, [0.3, 0.6], output_mode="one_hot"),
    "Discretization, adapted": adapted(L.Discretization, VECTOR, num_bins=3),
    "Dot": merge(lambda: L.Dot(axes=1)),
    "Dropout": of(L.Dropout, 0.5),
    "ELU": of(L.ELU),
    "EinsumDense": of(L.EinsumDense, "ab,bc->ac", 4, bias_axes="c"),
    "Embedding": of(L.Embedding, 5, 3, x=TOKENS),
    "Equalization": of(L.Equalization, (0, 1), x=IMAGE),
    "Flatten": of(L.Flatten, x=IMAGE),
    "GRU": of(L.GRU, 3, x=SEQUENCE),
    "GaussianDropout": of(L.GaussianDropout, 0.5),
    "GaussianNoise": of(L.GaussianNoise, 0.5),
    "GlobalAveragePooling1D": of(L.GlobalAveragePooling1D, x=SEQUENCE),
    "GlobalAveragePooling2D": of(L.GlobalAveragePooling2D, x=IMAGE),
    "GlobalAveragePooling3D": of(L.GlobalAveragePooling3D, x=VOLUME),
    "GlobalMaxPooling1D": of(L.GlobalMaxPooling1D, x=SEQUENCE),
    "GlobalMaxPooling2D": of(L.GlobalMaxPooling2D, x=IMAGE),
    "GlobalMaxPooling3D": of(L.GlobalMaxPooling3D, x=VOLUME),
    "GroupNormalization": of(L.GroupNormalization, 2),
    "GroupQueryAttention": attend(lambda: L.GroupQueryAttention(4, 4, 2)),
    "Hashing": of(L.Hashing, 4, x=WORDS, output_mode="one_hot"),
    "HashedCrossing": cross(lambda: L.HashedCrossing(8, output_mode="one_hot")),
    "Identity": of(L.Identity),
    "IntegerLookup": of(
        L.IntegerLookup, vocabulary=[1, 2, 3], x=TOKENS, after=(embed,)
    ),
    "IntegerLookup, adapted": adapted(
        L.IntegerLookup, TOKENS, output_mode="multi_hot"
    ),
    "LSTM": of(L.LSTM, 3, x=SEQUENCE),
    "Lambda": of(L.Lambda, halve),
    "Lambda, a closure": chain(
        lambda: L.Lambda(lambda x: tf.square(x) * SEQUENCE[0, 0, 0]), x=VECTOR
    ),
    "LayerNormalization": of(L.LayerNormalization),
    "LeakyReLU": of(L.LeakyReLU),
    "Masking": of(L.Masking, x=SEQUENCE, after=(lambda: L.GRU(3),)),
    "MaxPooling1D": of(L.MaxPooling1D, x=SEQUENCE),
    "MaxPooling2D": of(L.MaxPooling2D, x=IMAGE),
    "MaxPooling3D": of(L.MaxPooling3D, x=VOLUME),
    "Maximum": merge(L.Maximum),
    "MelSpectrogram": of(
        L.MelSpectrogram,
        num_mel_bins=4,
        fft_length=16,
        sequence_stride=8,
        x=WAVE,
    ),
    "Minimum": merge(L.Minimum),
    "MultiHeadAttention": attend(lambda: L.MultiHeadAttention(2, 3)),
    "Multiply": merge(L.Multiply),
    "Normalization": of(L.Normalization, mean=[1.0] * 6, variance=[2.0] * 6),
    "Normalization, adapted": adapted(L.Normalization, VECTOR),
    "PReLU": of(L.PReLU),
    "Permute": of(L.Permute, (2, 1), x=SEQUENCE),
    "Pipeline": chain(
        lambda: L.Pipeline([L.Rescaling(2.0), L.RandomFlip()]), x=IMAGE
    ),
    "RMSNormalization": of(L.RMSNormalization),
    "RNN": chain(
        lambda: L.RNN([L.GRUCell(3), L.LSTMCell(3), L.SimpleRNNCell(3)]),
        x=SEQUENCE,
    ),
    "ReLU": of(L.ReLU),
    "RepeatVector": of(L.RepeatVector, 2),
    "Rescaling": of(L.Rescaling, 2.0, 1.0),
    "Reshape": of(L.Reshape, (3, 2)),
    "Resizing": of(L.Resizing, 4, 4, x=IMAGE),
    "ReversibleEmbedding": of(L.ReversibleEmbedding, 5, 3, x=TOKENS),
    "STFTSpectrogram": of(
        L.STFTSpectrogram,
        frame_length=16,
        frame_step=8,
        fft_length=16,
        x=floats(64, 1),
    ),
    "SeparableConv1D": of(L.SeparableConv1D, 2, 3, x=SEQUENCE),
    "SeparableConv2D": of(L.SeparableConv2D, 2, 3, x=IMAGE),
    "SimpleRNN": of(L.SimpleRNN, 3, x=SEQUENCE),
    "Softmax": of(L.Softmax),
    "Solarization": of(L.Solarization, value_range=(0, 1), x=IMAGE),
    "SpatialDropout1D": of(L.SpatialDropout1D, 0.5, x=SEQUENCE),
    "SpatialDropout2D": of(L.SpatialDropout2D, 0.5, x=IMAGE),
    "SpatialDropout3D": of(L.SpatialDropout3D, 0.5, x=VOLUME),
    "SpectralNormalization": chain(
        lambda: L.SpectralNormalization(L.Dense(4)), x=VECTOR
    ),
    "StackedRNNCells": chain(
        lambda: L.RNN(L.StackedRNNCells([L.GRUCell(3), L.GRUCell(2)])),
        x=SEQUENCE,
    ),
    "StringLookup": of(
        L.StringLookup, vocabulary=["red", "blue"], x=WORDS, after=(embed,)
    ),
    "StringLookup, adapted": adapted(L.StringLookup, WORDS, after=(embed,)),
    "StringLookup, one_hot": adapted(
        L.StringLookup, WORDS, output_mode="one_hot"
    ),
    "StringLookup, tf_idf": adapted(
        L.StringLookup, WORDS, output_mode="tf_idf"
    ),
    "Subtract": merge(L.Subtract),
    "TFSMLayer": (reloaded, VECTOR),
    "TextVectorization": adapted(
        L.TextVectorization,
        WORDS,
        after=(embed,),
        output_sequence_length=3,
    ),
    "TextVectorization, tf_idf": adapted(
        L.TextVectorization, WORDS, output_mode="tf_idf"
    ),
    "TimeDistributed": chain(lambda: L.TimeDistributed(L.Dense(2)), x=SEQUENCE),
    "UnitNormalization": of(L.UnitNormalization),
    "UpSampling1D": of(L.UpSampling1D, x=SEQUENCE),
    "UpSampling2D": of(L.UpSampling2D, x=IMAGE),
    "UpSampling3D": of(L.UpSampling3D, x=VOLUME),
    "ZeroPadding1D": of(L.ZeroPadding1D, x=SEQUENCE),
    "ZeroPadding2D": of(L.ZeroPadding2D, x=IMAGE),
    "ZeroPadding3D": of(L.ZeroPadding3D, x=VOLUME),
    "CutMix": of(L.CutMix, x=IMAGE),
    "MixUp": of(L.MixUp, x=IMAGE),
    "RandAugment": of(L.RandAugment, (0, 1), x=IMAGE),
    "RandomBrightness": of(L.RandomBrightness, 0.5, (0, 1), x=IMAGE),
    "RandomColorDegeneration": of(
        L.RandomColorDegeneration, 0.5, (0, 1), x=IMAGE
    ),
    "RandomColorJitter": of(
        L.RandomColorJitter, (0, 1), 0.2, 0.2, 0.2, 0.2, x=IMAGE
    ),
    "RandomContrast": of(L.RandomContrast, 0.5, (0, 1), x=IMAGE),
    # Keras itself evaluates it as uncropped where the sizes differ.
    "RandomCrop": of(L.RandomCrop, 8, 8, x=IMAGE),
    "RandomElasticTransform": of(
        L.RandomElasticTransform, 0.5, 0.5, value_range=(0, 1), x=IMAGE
    ),
    "RandomErasing": of(L.RandomErasing, 0.5, value_range=(0, 1), x=IMAGE),
    "RandomFlip": of(L.RandomFlip, x=IMAGE),
    "RandomGaussianBlur": of(
        L.RandomGaussianBlur, 0.5, value_range=(0, 1), x=IMAGE
    ),
    "RandomGrayscale": of(L.RandomGrayscale, 0.5, x=IMAGE),
    "RandomHue": of(L.RandomHue, 0.5, (0, 1), x=IMAGE),
    "RandomInvert": of(L.RandomInvert, 0.5, (0, 1), x=IMAGE),
    "RandomPerspective": of(L.RandomPerspective, 0.5, x=IMAGE),
    "RandomPosterization": of(L.RandomPosterization, 4, (0, 1), x=IMAGE),
    "RandomRotation": of(L.RandomRotation, 0.5, x=IMAGE),
    "RandomSaturation": of(L.RandomSaturation, 0.5, (0, 1), x=IMAGE),
    "RandomSharpness": of(L.RandomSharpness, 0.5, (0, 1), x=IMAGE),
    "RandomTranslation": of(L.RandomTranslation, 0.5, 0.5, x=IMAGE),
    "RandomZoom": of(L.RandomZoom, 0.5, x=IMAGE),
}


# Refused by name when the model is made.
REFUSED = {
    # Keras's own `from_config` does not take what its `get_config` gives.
    "RandomShear": of(L.RandomShear, 0.5, 0.5, x=IMAGE),
    "GRU, stateful": (
        lambda: keras.Sequential(
            [
                keras.Input(batch_shape=(8, 6, 4)),
                L.GRU(3, stateful=True, name="memory"),
                L.Dense(3),
            ]
        ),
        SEQUENCE,
    ),
}

# What stands in no network by itself, holds another library's modules, or is
# for boxes and not for classes.
NO_LAYERS_OF_A_CLASSIFIER = {
    *("FlaxLayer", "JaxLayer", "TorchModuleWrapper", "MaxNumBoundingBoxes"),
    *("GRUCell", "LSTMCell", "SimpleRNNCell", "InputLayer", "InputSpec"),
    *("Layer", "Wrapper"),
}


def test_every_layer_of_keras_is_in_the_list():
    classes = {
        cls: name
        for name, cls in reversed(inspect.getmembers(L, inspect.isclass))
    }
    listed = {name.split(",")[0] for name in (*NETWORKS, *REFUSED)}
    by_class = {getattr(L, name) for name in listed}
    missing = {
        name for cls, name in classes.items() if cls not in by_class
    } - NO_LAYERS_OF_A_CLASSIFIER
    assert not missing


def equal(left, right, when):
    np.testing.assert_allclose(left, right, atol=1e-6, rtol=1e-6, err_msg=when)


def check_layer(name, folder, eager):
    """One step, a file and an export of a network with a layer."""
    make, x = NETWORKS[name]
    network, x = make(), tf.constant(x)
    model = UDA(network, ema_momentum=0.0, consistency=None)
    model.compile("sgd", run_eagerly=eager, jit_compile=False)
    averaged = model.averaged_model
    equal(averaged(x, training=False), network(x, training=False), "when made")

    views = {"labeled": x, "weak": x, "strong": x}
    model.train_on_batch(views, np.arange(8) % 3)
    expected = network(x, training=False).numpy()
    equal(averaged(x, training=False), expected, "after a step")

    model.save(folder / "model.keras")
    trusted = name in ("Lambda, a closure", "TFSMLayer")
    if name != "Lambda, a closure":  # a file holds no names of this module
        loaded = keras.saving.load_model(
            folder / "model.keras", safe_mode=not trusted
        )
        for part in (loaded.averaged_model, loaded.model):
            equal(part(x, training=False), expected, "in a file")

    model.export(folder / "exported", verbose=False)
    served = tf.saved_model.load(folder / "exported")
    equal(served.serve(x), expected, "exported")


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_the_average_is_the_network(name, tmp_path):
    check_layer(name, tmp_path, eager=False)


@pytest.mark.parametrize(
    "name", ["TextVectorization", "Discretization, adapted", "RandomFlip"]
)
def test_a_sample_of_them(name, tmp_path):
    check_layer(name, tmp_path, eager=True)


@pytest.mark.parametrize(
    "name, said", [("RandomShear", "random_shear"), ("GRU, stateful", "memory")]
)
def test_what_cannot_be_is_refused_by_name(name, said):
    network = REFUSED[name][0]()
    with pytest.raises(ValueError, match=f"`model` must .*{said}"):
        UDA(network)
