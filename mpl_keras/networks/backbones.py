"""Networks by name: from images in [0, 255] to logits."""

import os
import re
from typing import Any

import keras

from mpl_keras.checks import arguments
from mpl_keras.checks import names as check_names
from mpl_keras.checks.arguments import ArgumentError
from mpl_keras.networks import applications, plain, wide_residual

_PLAIN = {"smallcnn": plain.small_cnn, "compactcnn": plain.compact_cnn}
_WIDE_RESNET = re.compile(r"wide_?resnet_?(\d+)_(\d+)")


def names() -> list[str]:
    """All names that `make` knows; other wide ResNets are as the one here.

    Example:
    >>> {"small_cnn", "wide_resnet_28_2", "ResNet50"} <= set(names())
    True
    """
    return [
        "small_cnn",
        "compact_cnn",
        "wide_resnet_28_2",
        *sorted(applications.constructors()),
    ]


def make(
    name: str,
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    dropout: float = 0.0,
    weight_decay: float = 0.0,
    weights: str | os.PathLike | None = None,
    **options: Any,
) -> keras.Model:
    """A network by name, from images in [0, 255] to logits.

    - `"small_cnn"`: two convolutions and a dense layer, for digits.
    - `"compact_cnn"`: two to five convolutions with BatchNorm, for pictures of
      up to 64 pixels on a CPU.
    - `"wide_resnet_28_2"`: see `networks.wide_resnet`; any depth and width.
    - Any of `keras.applications`, as `"ResNet50"`, `"resnet50"` or
      `"efficientnet_v2_b0"`: its convolutions, global average pooling, and a
      new head of dropout and a dense layer. Images are preprocessed within
      the network as its family expects (`preprocess_input`), grey ones
      repeated to three channels first. BatchNorm is as Keras has it there.

    All take images of any dtype, and give float32 logits by any dtype policy.
    Built in the scope of a strategy with several replicas, BatchNorm is
    synchronized.

    Example:
    >>> net = make("small_cnn", (8, 8, 1), num_classes=10)
    >>> net(keras.ops.full((2, 8, 8, 1), 255, "uint8")).shape
    TensorShape([2, 10])

    Args:
        name: One of `names()`; case, "_" and "-" do not matter.
        input_shape: `(height, width, channels)`. Applications take 1 or 3
            channels, and most of them at least 32 x 32 pixels.
        num_classes: Number of logits, at least 2.
        dropout: Rate before the last dense layer, in `[0, 1)`.
        weight_decay: Adds `weight_decay * weight` to the gradient of kernels,
            by L2 regularisers; of biases too, but for the two small networks;
            never of normalisation layers.
        weights: None: random. A path: a file of weights, `.weights.h5`, or
            `.h5` as Keras distributes them; for applications with or without
            ImageNet's 1,000 classes on top, of which only what is below is
            taken. "imagenet": what Keras downloads, for applications.
        **options: More arguments of `wide_resnet`, or of the application
            (such as `alpha=0.35` of MobileNetV2).

    Raises:
        ValueError: If an argument is not what it must be, or the weights do
            not fit.
    """
    shape = wide_residual.check_input_shape(input_shape)
    arguments.integer("num_classes", num_classes, least=2)
    arguments.number("dropout", dropout, 0, below=1)
    arguments.number("weight_decay", weight_decay, 0)
    if weights != "imagenet":
        _check_file(weights)
    check_name(name)
    key, match = _key(name), _wide(name)
    known = {_key(known): known for known in applications.constructors()}
    if key in known:
        return applications.make(
            known[key],
            shape,
            num_classes,
            dropout,
            weight_decay,
            weights,
            options,
        )
    if match:
        network = wide_residual.wide_resnet(
            *map(int, match.groups()),
            input_shape=shape,
            num_classes=num_classes,
            dropout=dropout,
            weight_decay=weight_decay,
            **options,
        )
    else:
        network = _PLAIN[key](
            shape, num_classes, dropout, weight_decay, **options
        )
    if weights is not None:
        _load(network, weights, name)
    return network


def check_name(name: Any) -> None:
    """Raises unless `make` knows the name.

    Example:
    >>> check_name("Small-CNN")
    """
    if _key(name) not in map(_key, names()) and not _wide(name):
        raise ArgumentError(
            "name",
            "be 'small_cnn', 'compact_cnn', 'wide_resnet_28_2' (or other depth "
            "and width), or one of `keras.applications`",
            repr(name),
            note=check_names.did_you_mean(name, names()),
        )


def _wide(name):
    """What the name says of a Wide ResNet, or None."""
    return _WIDE_RESNET.fullmatch(str(name).lower().replace("-", "_"))


def _key(name: Any) -> str:
    return re.sub(r"[\s_-]", "", str(name)).lower()


def _check_file(weights):
    """Raises unless `weights` is None or a file."""
    if weights is None:
        return
    if not isinstance(weights, (str, os.PathLike)) or not os.path.isfile(
        arguments.path("weights", weights)
    ):
        raise ArgumentError(
            "weights",
            "be None, a file or, for models of `keras.applications`, "
            "'imagenet'",
            repr(weights),
            note=", which is no file",
        )
    if os.fspath(weights).endswith(".keras"):
        raise ArgumentError(
            "weights",
            "be a file of weights, `.weights.h5` or `.h5`; a whole network is "
            "loaded with `keras.saving.load_model`",
            repr(str(weights)),
        )


def _load(network, weights, name):
    """Reads the weights of a network that is ours, head included."""
    if weights == "imagenet":
        raise ArgumentError(
            "weights",
            "be None or a file for this {name}: there are none of ImageNet. "
            "Keras has them for `keras.applications`, such as "
            "{name}='MobileNetV2'",
            repr(weights),
            others={"name": repr(name)},
        )
    problem = applications.load(network, weights)
    if problem is not None:
        raise ValueError(
            f"`weights` must be a file of the weights of {name!r}. Received: "
            f"weights={str(weights)!r}, which failed with: {problem}"
        )
