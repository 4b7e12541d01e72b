"""Plain convolutional networks, which a CPU trains in minutes."""

import keras

from mpl_keras.checks.arguments import ArgumentError
from mpl_keras.distribute import replicas
from mpl_keras.networks import wide_residual

_MOST_PLACES = 9  # height and width of the features before the last layer
_STRIDED_FROM = 24  # pixels from which the first convolution halves them


def small_cnn(
    shape: tuple[int, int, int],
    num_classes: int,
    dropout: float = 0.0,
    weight_decay: float = 0.0,
) -> keras.Model:
    """Two convolutions and a dense layer; 3,706 parameters for 8x8x1.

    Args:
        shape: (height, width, channels) of images in [0, 255], at least 4 x 4.
        num_classes: Number of logits.
        dropout: Rate before the last layer.
        weight_decay: Of the kernels.

    Raises:
        ArgumentError: The images are too small.

    Example:
    >>> small_cnn((8, 8, 1), 10).count_params()
    3706
    """
    _check_size(shape, 4, "small_cnn")
    decay = wide_residual.regularizer(weight_decay)

    def convolution(filters):
        return keras.layers.Conv2D(
            filters,
            3,
            padding="same",
            activation="relu",
            kernel_initializer="he_normal",
            kernel_regularizer=decay,
        )

    return keras.Sequential(
        [
            keras.Input(shape),
            keras.layers.Rescaling(1 / 255, dtype="float32"),
            convolution(12),
            keras.layers.AveragePooling2D(2),
            convolution(24),
            keras.layers.AveragePooling2D(2),
            *_head(num_classes, dropout, decay),
        ],
        name="small_cnn",
    )


def compact_cnn(
    shape: tuple[int, int, int],
    num_classes: int,
    dropout: float = 0.0,
    weight_decay: float = 0.0,
) -> keras.Model:
    """A few convolutions with BatchNorm; the last layer sees each place.

    The first convolution is 5 x 5, with 32 filters; from 24 pixels on it halves
    height and width. A 3 x 3 one of 64 filters and average pooling follow, and
    further such pairs until at most 9 x 9 places are left. These are not
    averaged: on pictures of things in the middle, that costs 3 points of
    accuracy (benchmarks/RESULTS.md).

    Args:
        shape: (height, width, channels) of images in [0, 255], at least 8 x 8.
        num_classes: Number of logits.
        dropout: Rate before the last layer.
        weight_decay: Of the kernels.

    Raises:
        ArgumentError: The images are too small.

    Example:
    >>> compact_cnn((28, 28, 1), 10).count_params()
    50986
    """
    _check_size(shape, 8, "compact_cnn")
    decay = wide_residual.regularizer(weight_decay)

    def convolution(filters, size, strides=1):
        yield keras.layers.Conv2D(
            filters,
            size,
            strides,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            kernel_regularizer=decay,
        )
        yield keras.layers.BatchNormalization(
            momentum=0.99, synchronized=replicas.num_replicas() > 1
        )
        yield keras.layers.LeakyReLU(negative_slope=0.1)

    side, filters = max(shape[:2]), 64
    strides = 2 if min(shape[:2]) >= _STRIDED_FROM else 1
    layers = [
        keras.Input(shape),
        keras.layers.Rescaling(1 / 64, offset=-2.0, dtype="float32"),
        *convolution(32, 5, strides),
    ]
    side = -(-side // strides)
    while filters == 64 or side > _MOST_PLACES:
        layers += convolution(filters, 3)
        layers.append(keras.layers.AveragePooling2D(2))
        side, filters = side // 2, min(2 * filters, 256)
    layers += _head(num_classes, dropout, decay)
    return keras.Sequential(layers, name="compact_cnn")


def _head(num_classes, dropout, decay):
    """From what the convolutions give to logits."""
    return [
        keras.layers.Flatten(),
        keras.layers.Dropout(dropout),
        keras.layers.Dense(
            num_classes,
            kernel_regularizer=decay,
            dtype="float32",
            name="logits",
        ),
    ]


def _check_size(shape, least, name):
    """Raises for images that the network would pool to nothing."""
    if any(size is None or size < least for size in shape[:2]):
        raise ArgumentError(
            "input_shape",
            f"be at least {least} x {least} pixels for {name!r}",
            str(shape),
            note=". Channels must come last"
            if shape[0] in (1, 3) and None not in shape and shape[2] >= least
            else "",
        )
