"""Wide residual networks: what papers train on CIFAR-10 with few labels."""

import math
from typing import Any

import keras
import numpy as np

from mpl_keras.checks import arguments
from mpl_keras.distribute import replicas

# Of CIFAR-10's training images, per channel, in units of 255.
_CIFAR_MEAN = (0.4914, 0.482158, 0.4465309)
_CIFAR_STDDEV = (0.247032, 0.243485, 0.26159)

_BLOCKS = ((1, 1), (2, 2), (4, 2))  # filters and stride of the three groups


def wide_resnet(
    depth: int = 28,
    width: int = 2,
    *,
    input_shape: tuple[int | None, int | None, int] = (32, 32, 3),
    num_classes: int = 10,
    dropout: float = 0.0,
    weight_decay: float = 0.0,
    mean: Any = None,
    stddev: Any = None,
    negative_slope: float = 0.2,
    name: str | None = None,
) -> keras.Model:
    """A wide residual network from images in [0, 255] to logits.

    Three groups of `(depth - 4) / 6` blocks with 16, 32 and 64 times `width`
    filters, the second and third with stride 2. A block is twice BatchNorm,
    leaky ReLU and a 3x3 convolution, added to its input; where the shape
    changes, the shortcut is a 1x1 convolution of the normalised and activated
    input. After the last group BatchNorm, leaky ReLU, the mean over all
    places, dropout and a dense layer.

    Layer by layer this is the released code of Meta Pseudo Labels: its stem
    has `16 * width` filters, so that the first group's shortcuts are all
    identities; BatchNorm has momentum 0.99 and epsilon 1e-3; convolutions
    have no bias and start from a normal distribution of variance
    `2 / fan_out`, the dense layer from a uniform one within
    `1 / sqrt(num_classes)`. WRN-28-2 with 10 classes has 1,472,170 trainable
    parameters; with the original paper's stem of 16 filters it would be
    1,467,610, and both are the "1.47 M" of the literature.

    Logits are float32 also under a mixed-precision policy. Built in the scope
    of a strategy with several replicas, BatchNorm is synchronized.

    Example:
    >>> net = wide_resnet(10, 1, input_shape=(8, 8, 3), num_classes=4)
    >>> net(np.zeros((2, 8, 8, 3), "uint8")).shape
    TensorShape([2, 4])

    Args:
        depth: Number of convolutions on the longest path, `6 n + 4`.
        width: Factor of all numbers of filters, at least 1.
        input_shape: `(height, width, channels)` of the images, of any dtype,
            with values in [0, 255]. Height and width may be None.
        num_classes: Number of logits, at least 2.
        dropout: Rate before the dense layer, in `[0, 1)`.
        weight_decay: Added to the gradient is `weight_decay * weight`, for
            all kernels and the dense bias, but not for BatchNorm, as L2
            regularisers of factor `weight_decay / 2`.
        mean: What is subtracted from a channel divided by 255: a number, or
            one per channel. By default CIFAR-10's for 3 channels, else 0.5.
        stddev: By what this is divided, likewise. By default CIFAR-10's for 3
            channels, else 0.25.
        negative_slope: Of the leaky ReLU, in `[0, 1)`.
        name: Optional name.

    Raises:
        ValueError: If an argument is not what it must be.

    Reference:
        Zagoruyko and Komodakis, "Wide Residual Networks", BMVC 2016
        (arXiv:1605.07146); google-research/meta_pseudo_labels, `modeling.py`
        (`Wrn28k`) and `modeling_utils.py` (`wrn_block`).
    """
    arguments.integer("depth", depth, least=10)
    if depth % 6 != 4:
        raise ValueError(
            "`depth` must be 6 n + 4, such as 10, 16, 22, 28 or 40. Received: "
            f"depth={depth}"
        )
    arguments.integer("width", width, least=1)
    shape = check_input_shape(input_shape)
    arguments.integer("num_classes", num_classes, least=2)
    arguments.number("dropout", dropout, 0, below=1)
    arguments.number("negative_slope", negative_slope, 0, below=1)
    layers = _Layers(
        arguments.number("weight_decay", weight_decay, 0), negative_slope
    )
    inputs = keras.Input(shape)
    x = _normalization(shape[-1], mean, stddev)(inputs)
    x = layers.conv(x, 16 * width, 3, 1, "stem")
    for group, (factor, stride) in enumerate(_BLOCKS, 1):
        for block in range(1, (depth - 4) // 6 + 1):
            x = layers.block(
                x,
                16 * width * factor,
                stride if block == 1 else 1,
                f"group_{group}_block_{block}",
            )
    x = layers.activated(x, "head")
    x = keras.layers.GlobalAveragePooling2D(name="head_pool")(x)
    x = keras.layers.Dropout(dropout, name="head_dropout")(x)
    logits = layers.dense(x, num_classes)
    name = name or f"wide_resnet_{depth}_{width}"
    return keras.Model(inputs, logits, name=name)


def check_input_shape(input_shape: Any) -> tuple:
    """Raises unless it is `(height, width, channels)`; returns it."""
    shape = tuple(input_shape) if np.iterable(input_shape) else ()
    sizes = [size for size in shape[:2] if size is not None] + [*shape[2:]]
    whole = [isinstance(size, (int, np.integer)) and size > 0 for size in sizes]
    if len(shape) != 3 or not all(whole):
        raise ValueError(
            "`input_shape` must be (height, width, channels) of the images, "
            f"without the batch. Received: input_shape={input_shape!r}"
        )
    return shape


def regularizer(weight_decay: float) -> keras.Regularizer | None:
    """The regulariser whose gradient is `weight_decay * weight`.

    Keras's L2 of factor `f` adds `f * weight ** 2` to the loss, and so
    `2 * f * weight` to the gradient.

    Example:
    >>> float(regularizer(0.5)(np.array([2.0])))
    1.0
    """
    if not weight_decay:
        return None
    return keras.regularizers.L2(weight_decay / 2)


class _Layers:
    """The layers of the network, with what they have in common."""

    def __init__(self, weight_decay: float, negative_slope: float):
        self.decay = regularizer(weight_decay)
        self.negative_slope = negative_slope
        self.synchronized = replicas.num_replicas() > 1

    def conv(self, x, filters, size, stride, name):
        return keras.layers.Conv2D(
            filters,
            size,
            stride,
            padding="same",
            use_bias=False,
            kernel_initializer=keras.initializers.VarianceScaling(
                2.0, mode="fan_out", distribution="untruncated_normal"
            ),
            kernel_regularizer=self.decay,
            name=name,
        )(x)

    def activated(self, x, name):
        """BatchNorm and leaky ReLU."""
        x = keras.layers.BatchNormalization(
            momentum=0.99,
            epsilon=1e-3,
            synchronized=self.synchronized,
            name=f"{name}_norm",
        )(x)
        return keras.layers.LeakyReLU(self.negative_slope, name=f"{name}_relu")(
            x
        )

    def block(self, x, filters, stride, name):
        """Two convolutions, added to their input."""
        active = self.activated(x, f"{name}_1")
        if stride != 1 or x.shape[-1] != filters:
            x = self.conv(active, filters, 1, stride, f"{name}_shortcut")
        y = self.conv(active, filters, 3, stride, f"{name}_1_conv")
        y = self.activated(y, f"{name}_2")
        y = self.conv(y, filters, 3, 1, f"{name}_2_conv")
        return keras.layers.Add(name=f"{name}_add")([x, y])

    def dense(self, x, num_classes):
        limit = 1 / math.sqrt(num_classes)
        return keras.layers.Dense(
            num_classes,
            kernel_initializer=keras.initializers.RandomUniform(-limit, limit),
            kernel_regularizer=self.decay,
            bias_regularizer=self.decay,
            dtype="float32",
            name="logits",
        )(x)


def _normalization(channels, mean, stddev):
    """`(x / 255 - mean) / stddev` per channel, in float32."""
    cifar = channels == 3
    mean = (_CIFAR_MEAN if cifar else 0.5) if mean is None else mean
    stddev = (_CIFAR_STDDEV if cifar else 0.25) if stddev is None else stddev
    mean = _per_channel("mean", mean, channels)
    stddev = _per_channel("stddev", stddev, channels)
    if min(stddev) <= 0:
        raise ValueError(
            f"`stddev` must be greater than 0. Received: stddev={stddev}"
        )
    # Bfloat16 has 8 bits for 256 grey levels: so in float32 by any policy.
    return keras.layers.Rescaling(
        [1 / (255 * s) for s in stddev],
        [-m / s for m, s in zip(mean, stddev, strict=True)],
        dtype="float32",
        name="normalization",
    )


def _per_channel(name, value, channels):
    """A list of one finite number per channel."""
    values = list(value) if np.iterable(value) else [value] * channels
    if len(values) != channels:
        raise ValueError(
            f"`{name}` must be a number or one per channel, {channels}. "
            f"Received: {name}={value!r}"
        )
    return [arguments.number(name, v) for v in values]
