"""Networks of `keras.applications` with a head of our own.

They take images in [0, 255] and preprocess them within, as each family does
outside; and their kernels are regularised, which Keras has no argument for.
"""

import inspect
import os
import warnings
from collections.abc import Callable

import keras
import numpy as np

from mpl_keras.distribute import replicas
from mpl_keras.networks import wide_residual

# Standard deviations of ImageNet's channels, as EfficientNet's files know it.
_IMAGENET_STDDEV = np.array([0.229, 0.224, 0.225])

_DECAYED = (
    "kernel_regularizer",
    "depthwise_regularizer",
    "pointwise_regularizer",
    "bias_regularizer",
)


def constructors() -> dict[str, Callable]:
    """Constructors of all applications by name.

    Example:
    >>> constructors()["ResNet50"] is keras.applications.ResNet50
    True
    """
    return {
        name: value
        for name, value in vars(keras.applications).items()
        if name[0].isupper() and callable(value)
    }


def make(
    name: str,
    shape: tuple[int, int, int],
    num_classes: int,
    dropout: float,
    weight_decay: float,
    weights: str | os.PathLike | None,
    options: dict,
) -> keras.Model:
    """One of the applications; see `networks.make`, which checks arguments.

    Args:
        name: A key of `constructors()`.
        shape: Of the images.
        num_classes: Number of logits.
        dropout: Rate before the last layer.
        weight_decay: Factor of the weights in their gradient.
        weights: None, "imagenet" or a file of weights.
        options: More arguments of the constructor.

    Raises:
        ValueError: If the images are too small, or the weights do not fit.
    """
    return _Application(name, shape, options).make(
        num_classes, dropout, weight_decay, weights
    )


def load(network: keras.Model, weights: str | os.PathLike) -> str | None:
    """Loads a file of weights; None if that went well, else what did not.

    Args:
        network: A built network.
        weights: The file.
    """
    with warnings.catch_warnings():
        # Keras warns of layers that stay at random because the file lacks
        # them, and goes on.
        warnings.simplefilter("error", UserWarning)
        try:
            network.load_weights(weights)
        except (ValueError, KeyError, OSError, TypeError, UserWarning) as error:
            return str(error)
    return None


class _Application:
    """One of `keras.applications`, with a head of our own."""

    def __init__(self, name: str, shape: tuple, options: dict):
        if shape[-1] not in (1, 3):
            raise ValueError(
                f"`input_shape` must have 1 or 3 channels for {name!r}. "
                f"Received: input_shape={shape}"
            )
        self.name = name
        self.shape = shape
        self.options = options
        self.constructor = constructors()[name]

    def make(self, num_classes, dropout, weight_decay, weights):
        """The network, with weights where they are asked for."""
        source = self._source(weights)
        inputs = keras.Input(self.shape)
        x = inputs
        if self.shape[-1] == 1:
            x = keras.layers.Concatenate(name="grey_to_rgb")([x, x, x])
        features = self._features(self._preprocess(x))
        x = keras.layers.Dropout(dropout, name="head_dropout")(features)
        logits = keras.layers.Dense(num_classes, dtype="float32", name="logits")
        network = keras.models.clone_model(
            keras.Model(inputs, logits(x), name=self.name.lower()),
            clone_function=_Adapt(weight_decay, self.name, source),
            recursive=True,
        )
        if source is not None:
            _copy(source, network, self.name, weights)
        return network

    def _features(self, x):
        try:
            return self.constructor(
                include_top=False,
                weights=None,
                input_tensor=x,
                input_shape=(*self.shape[:2], 3),
                pooling="avg",
                **self.options,
            ).output
        except ValueError as error:
            raise ValueError(
                f"`input_shape` must be one that {self.name} takes. Received: "
                f"input_shape={self.shape}, which failed with: {error}"
            ) from error

    def _preprocess(self, x):
        """What the family does to images in [0, 255]."""
        if (
            "include_preprocessing"
            in inspect.signature(self.constructor).parameters
        ):
            return x  # By default within the network.
        for module in vars(keras.applications).values():
            if getattr(module, self.name, None) is self.constructor:
                return module.preprocess_input(x)
        raise ValueError(
            f"`name` must be of a family with `preprocess_input`. Received: "
            f"name={self.name!r}"
        )

    def _source(self, weights):
        """The application as Keras has it, with the weights, or None."""
        if weights is None:
            return None
        if weights == "imagenet":
            return self._downloaded()
        problems = []
        for top in (False, True):
            source = self.constructor(
                include_top=top, weights=None, **self.options
            )
            problem = load(source, weights)
            if problem is None:
                return source
            problems.append(problem)
        raise ValueError(
            f"`weights` must be a file of the weights of {self.name}, with or "
            f"without the top for 1,000 classes. Received: weights="
            f"{str(weights)!r}, which failed without it: {problems[0]} And "
            f"with it: {problems[1]}"
        )

    def _downloaded(self):
        try:
            return self.constructor(
                include_top=False, weights="imagenet", **self.options
            )
        except Exception as error:  # Keras raises a bare one.
            raise ValueError(
                "`weights` must be None or a file where there is no network "
                "to download from. Download the weights elsewhere (Keras "
                "names the address below), and pass the file's path. "
                f"Received: weights='imagenet', which failed with: {error}"
            ) from error


class _Adapt:
    """What becomes of a layer of an application in our network."""

    def __init__(self, weight_decay, name, source):
        self.decay = keras.saving.serialize_keras_object(
            wide_residual.regularizer(weight_decay)
        )
        self.constants = None
        if source is not None:
            for layer in source.layers:
                if _is_adapted(layer):
                    self.constants = _constants(layer, name)

    def __call__(self, layer):
        """A new layer from an old one."""
        if _is_adapted(layer):
            return self._rescaling(layer)
        config = layer.get_config()
        if isinstance(
            layer, (keras.layers.Rescaling, keras.layers.Normalization)
        ):
            # Bfloat16 has 8 bits for 256 grey levels.
            config["dtype"] = "float32"
        elif isinstance(layer, keras.layers.BatchNormalization):
            config["synchronized"] = replicas.num_replicas() > 1
        elif self.decay is not None:
            for key in config:
                if key in _DECAYED:
                    config[key] = self.decay
        return type(layer).from_config(config)

    def _rescaling(self, layer):
        """Statistics as constants.

        Those of `keras.layers.Normalization` are weights that `set_weights`
        changes without effect, and that a clone or an average would lose.
        """
        scale, offset = self.constants or ([1.0] * 3, [0.0] * 3)
        return keras.layers.Rescaling(
            scale, offset, name=layer.name, dtype="float32"
        )


def _is_adapted(layer):
    """Whether it normalises by statistics that are weights."""
    return isinstance(layer, keras.layers.Normalization) and layer.weights


def _constants(layer, name):
    """Scale and offset of a normalisation."""
    mean, variance, *_ = (np.float64(w).ravel() for w in layer.get_weights())
    stddev = np.sqrt(variance)
    if name.startswith("EfficientNetB") and np.allclose(
        variance, _IMAGENET_STDDEV, rtol=1e-3
    ):
        # The files hold the deviations where the layer wants their squares
        # (tensorflow/tensorflow#49930). Keras mends it by one more layer, but
        # only with `weights="imagenet"`, not with a file of these weights.
        stddev = variance
    return (1 / stddev).tolist(), (-mean / stddev).tolist()


def _copy(source, network, name, weights):
    """Copies weights up to the head, in the order of the layers."""

    def weighted(model):
        return [
            layer
            for layer in model.layers
            if layer.weights and not _is_adapted(layer)
        ]

    ours = weighted(network)[:-1]
    theirs = weighted(source)[: len(ours)]
    shapes = [
        [[tuple(w.shape) for w in layer.weights] for layer in layers]
        for layers in (ours, theirs)
    ]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"`weights` must be a file of the weights of {name}. Received: "
            f"weights={str(weights)!r}, whose layers have other shapes"
        )
    for layer, other in zip(ours, theirs, strict=True):
        layer.set_weights(other.get_weights())
