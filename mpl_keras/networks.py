"""What a network must be, to be taught."""

import warnings

import keras

_LOGITS = "Networks must output logits, without softmax or sigmoid at the end."


def check(network, argument: str) -> None:
    """Raises unless a network is a built Keras classifier.

    Args:
        network: What the user gave.
        argument: Its name in the error.

    Raises:
        ValueError: If it is no Keras 3 model, not built, has nothing to
            train, or its output is not a row of at least two logits.
    """
    if not isinstance(network, keras.Model):
        module = type(network).__module__.split(".")[0]
        hint = (
            " Models of `tf_keras` (Keras 2) are another library's; build the "
            "network with `keras` 3."
            if module in ("tf_keras", "tf_keras_nightly")
            else ""
        )
        raise ValueError(
            f"`{argument}` must be a `keras.Model`.{hint} Received: "
            f"{argument}={network!r} of type {type(network)}"
        )
    if not network.built or not network.weights:
        raise ValueError(
            f"`{argument}` must be built: give it a `keras.Input`, or call it "
            f"once on a batch. Received: {argument}={network.name!r}, which "
            "has no weights yet"
        )
    if not network.trainable_variables:
        raise ValueError(
            f"`{argument}` must have trainable weights. Received: "
            f"{argument}={network.name!r}, all of whose weights are frozen"
        )
    output_width(network, argument)
    _warn_of_probabilities(network, argument)


def output_width(network: keras.Model, argument: str = "network") -> int:
    """Number of classes: the width of a network's logits."""
    shape = _output_shape(network)
    if not (
        isinstance(shape, tuple)
        and len(shape) == 2
        and isinstance(shape[-1], int)
    ):
        raise ValueError(
            f"`{argument}` must have one output of shape `(batch, "
            f"num_classes)`. Received: {argument}={network.name!r} with an "
            f"output of shape {shape}"
        )
    if shape[-1] < 2:
        raise ValueError(
            f"`{argument}` must output at least two logits, one per class "
            "(two for a binary problem). Received: "
            f"{argument}={network.name!r} with an output of shape {shape}"
        )
    return shape[-1]


def _output_shape(network):
    if hasattr(network, "output_shape"):
        return network.output_shape
    config = network.get_build_config() or {}
    shapes = config.get("shapes_dict") or {"": config.get("input_shape")}
    return network.compute_output_shape(next(iter(shapes.values())))


def _warn_of_probabilities(network, argument):
    """A network that ends in a softmax trains, but hardly learns."""
    last = network
    while getattr(last, "layers", None):
        last = last.layers[-1]
    activation = getattr(last, "activation", None)
    softmax = isinstance(last, keras.layers.Softmax)
    if softmax or activation in (
        keras.activations.softmax,
        keras.activations.sigmoid,
    ):
        warnings.warn(
            f"{_LOGITS} Received: {argument}={network.name!r}, whose last "
            f"layer is {last.name!r} of class {type(last).__name__}.",
            stacklevel=4,
        )


def check_pair(teacher: keras.Model, student: keras.Model) -> None:
    """Raises unless two networks can be teacher and student."""
    check(teacher, "teacher")
    check(student, "student")
    if teacher is student:
        raise ValueError(
            "`teacher` and `student` must be two models. Received: the same "
            f"object for both, {teacher.name!r}; make the network twice, or "
            "clone it with `keras.models.clone_model`"
        )
    ours = {id(variable) for variable in teacher.weights}
    shared = [v.path for v in student.weights if id(v) in ours]
    if shared:
        raise ValueError(
            "`teacher` and `student` must not share weights. Received: "
            f"networks that share {shared}"
        )
    widths = output_width(teacher, "teacher"), output_width(student, "student")
    if widths[0] != widths[1]:
        raise ValueError(
            "`teacher` and `student` must have the same number of classes. "
            f"Received: outputs of width {widths[0]} and {widths[1]}"
        )


def check_optimizer(optimizer, network: keras.Model, argument: str):
    """An optimizer for one network, built on its weights.

    Raises:
        ValueError: If it is missing, or would spoil what is trained.
    """
    if optimizer is None:
        raise ValueError(
            f"`{argument}` must be a `keras.optimizers.Optimizer` or the name "
            f"of one. Received: {argument}=None"
        )
    optimizer = keras.optimizers.get(optimizer)
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if inner.use_ema:
        raise ValueError(
            f"`{argument}` must not use an average of its own: at the end of "
            "`fit` Keras would write it over other weights. The model keeps "
            f"one, see `ema_momentum`. Received: {argument} with use_ema=True"
        )
    if inner.gradient_accumulation_steps:
        raise ValueError(
            f"`{argument}` must not accumulate gradients: the student would "
            "not move between updates, so that the feedback would mean "
            f"nothing. Received: {argument} with gradient_accumulation_steps="
            f"{inner.gradient_accumulation_steps}"
        )
    if _is_half(network) and inner is optimizer:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    if optimizer.built:
        _check_same_weights(inner, network, argument)
    else:
        optimizer.build(network.trainable_variables)
    return optimizer


def _check_same_weights(optimizer, network, argument):
    known = {id(v) for v in optimizer._trainable_variables}
    if known != {id(v) for v in network.trainable_variables}:
        raise ValueError(
            f"`{argument}` must be a new optimizer. Received: one that was "
            "built for the weights of another network"
        )


def _is_half(network):
    return any(
        layer.compute_dtype == "float16" for layer in (network, *network.layers)
    )
