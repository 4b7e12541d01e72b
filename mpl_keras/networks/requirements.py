"""What a network must be, to be taught."""

import contextlib
import contextvars
import warnings
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from mpl_keras.checks.arguments import ArgumentError
from mpl_keras.distribute import replica_checks, state
from mpl_keras.networks import carrying

_LOADING = contextvars.ContextVar("loading", default=False)

# What would lead up the loss if it were negative.
_RATES = (
    "learning_rate",
    "weight_decay",
    "clipnorm",
    "global_clipnorm",
    "clipvalue",
)


def check_network(network, argument: str, stacklevel: int = 4) -> int:
    """Raises unless a network is a built Keras classifier.

    Args:
        network: What the user gave.
        argument: Its name in the error.
        stacklevel: How far above a warning the user's line is.

    Returns:
        The number of classes.

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
            f"`{argument}` must be built: call it once on a batch, as in "
            "`net(x[:1])`, or start it with a `keras.Input`. Received: "
            f"{argument}={network.name!r}, which has no weights yet"
        )
    check_trainable(network, argument)
    _check_layers(network, argument)
    width = output_width(network, argument)
    warn_of_probabilities(network, argument, stacklevel)
    return width


def _check_layers(network, argument):
    """Raises for layers that remember what neither batch nor file holds."""
    for layer in state.layers_of(network):
        called = f"{layer.name!r} of class {type(layer).__name__}"
        if isinstance(layer, keras.layers.RNN) and layer.stateful:
            raise ArgumentError(
                argument,
                "have no layer that goes on where the batch before ended "
                "(`stateful=True`): batches are drawn at random",
                f"{network.name!r} with {called}",
            )
        # What a lookup holds is carried with its vocabulary.
        known = isinstance(layer, carrying.LOOKUPS)
        if not known and any(
            isinstance(value, tf.Variable) for value in _held(layer)
        ):
            raise ArgumentError(
                argument,
                "have no layer that holds a `tf.Variable`, which neither "
                "`weights` nor a file has: make it by `add_weight`, or as a "
                "`keras.Variable`",
                f"{network.name!r} with {called}",
            )
        if known and _was_replaced(layer):
            raise ArgumentError(
                argument,
                "have no vocabulary in place of the one by argument: files "
                "hold the first one. Make the layer with the vocabulary that "
                "it is to have",
                f"{network.name!r} with {called}",
            )


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Networks may be frozen within it, as they were when they were saved.

    Example:
    >>> layers = [keras.Input((2,)), keras.layers.Dense(3, trainable=False)]
    >>> with loading():
    ...     check_trainable(keras.Sequential(layers), "student")
    """
    token = _LOADING.set(True)
    try:
        yield
    finally:
        _LOADING.reset(token)


def check_trainable(network: keras.Model, argument: str) -> None:
    """Raises if nothing of a network is to be trained, but not while loading.

    Args:
        network: A built network.
        argument: What the user calls it.

    Raises:
        ArgumentError: All of its weights are frozen.

    Example:
    >>> layers = [keras.Input((2,)), keras.layers.Dense(3)]
    >>> check_trainable(keras.Sequential(layers), "student")
    """
    if not network.trainable_variables and not _LOADING.get():
        raise ArgumentError(
            argument,
            "have trainable weights",
            f"{network.name!r}, all of whose weights are frozen",
        )


def check_precision(network: keras.Model, argument: str) -> None:
    """Raises unless the weights to be trained can be averaged.

    Args:
        network: A built network.
        argument: What the user calls it.

    Raises:
        ArgumentError: Some are kept in half precision.

    Example:
    >>> layers = [keras.Input((2,)), keras.layers.Dense(3)]
    >>> check_precision(keras.Sequential(layers), "student")
    """
    for variable in network.trainable_variables:
        if variable.dtype in ("float16", "bfloat16"):
            raise ArgumentError(
                argument,
                "keep the weights that are trained in float32 or float64: a "
                "moving average takes steps that are smaller than the last "
                "digit of half precision, and would stand still. The dtype "
                f"policy 'mixed_{variable.dtype}' computes in "
                f"{variable.dtype} and keeps weights in float32",
                f"{network.name!r} with {variable.path!r} of {variable.dtype}",
            )


def _held(layer):
    """What a layer keeps in attributes, and in lists and dicts there."""
    for value in vars(layer).values():
        if isinstance(value, dict):
            yield from value.values()
        elif isinstance(value, (list, tuple)):
            yield from value
        else:
            yield value


def _was_replaced(layer):
    """Whether a lookup has another vocabulary than it was made with."""
    first = layer.input_vocabulary
    if first is None or not carrying.has_vocabulary(layer):
        return False
    return [str(word) for word in np.array(first)] not in (
        [str(word) for word in layer.get_vocabulary(include_special_tokens=x)]
        for x in (True, False)
    )


def check_compiled(network: keras.Model, optimizer, argument: str) -> None:
    """Raises unless a network can be trained by its optimizer now.

    An optimizer that made no step begins at the weights of now.

    Args:
        network: A network.
        optimizer: Its optimizer, or None before `compile`.
        argument: What the user calls the network.

    Raises:
        ArgumentError: A lookup has no vocabulary, or other weights are to be
            trained than when the model was compiled.
    """
    for layer in state.layers_of(network):
        if isinstance(layer, carrying.LOOKUPS):
            if not carrying.has_vocabulary(layer):
                raise ArgumentError(
                    argument,
                    "have a vocabulary in each lookup: call `adapt` on the "
                    "layer",
                    f"{network.name!r}, in which {layer.name!r} of class "
                    f"{type(layer).__name__} has none",
                )
    if optimizer is None:
        return
    inner = inner_optimizer(optimizer)
    if not _optimizes(inner, network):
        known = state.optimized_variables(inner)
        raise ArgumentError(
            argument,
            "have the trainable weights that it was compiled with: call "
            "`compile` again, with a new optimizer",
            f"{network.name!r} with {len(network.trainable_variables)} "
            f"trainable weights, compiled with {len(known)}",
        )
    state.begin_at_weights(inner)


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


def symbolic_inputs(network: keras.Model):
    """What a network was built for, as symbolic tensors."""
    if isinstance(network, keras.Sequential):
        return network.inputs[0]
    if hasattr(network, "inputs"):
        return network.input
    config = network.get_build_config() or {}
    shapes = config.get("shapes_dict") or {"": config.get("input_shape")}
    shape = next(iter(shapes.values()))
    if shape is None:
        raise ValueError(
            f"The network {network.name!r} must have been called on a batch "
            "of the one input that it takes: the shapes that it was built for "
            "are not known."
        )
    return _tensors(shape)


def _tensors(shape):
    """Symbolic tensors for a structure of shapes."""
    if isinstance(shape, dict):
        return {name: _tensors(part) for name, part in shape.items()}
    if all(size is None or isinstance(size, int) for size in shape):
        # What the network takes may be of any batch size.
        return keras.KerasTensor((None, *shape[1:]))
    return [_tensors(part) for part in shape]


def _output_shape(network):
    """Shape of the one output, or the shapes of several."""
    if isinstance(network, keras.Sequential):
        outputs = network.outputs[0]
    elif hasattr(network, "inputs"):
        outputs = network.output
    else:
        outputs = network.compute_output_spec(symbolic_inputs(network))
    return keras.tree.map_structure(lambda x: tuple(x.shape), outputs)


def last_activation(network: keras.Model) -> str:
    """The name of what a network's last layer does, in lower case.

    Of a network of the user's own class it is the layer that was made last.
    """
    _, activation = _last_layer(network)
    name = getattr(activation, "__name__", type(activation).__name__)
    return name.lower()


def _last_layer(network):
    """The last layer, and its activation or itself."""
    last = network
    while getattr(last, "layers", None):
        last = getattr(last, "operations", last.layers)[-1]
    return last, getattr(last, "activation", last)


def _order_is_known(network):
    """Whether the last layer is what is called last.

    A class of the user's own may call its layers in any order.
    """
    while getattr(network, "layers", None):
        ordered = isinstance(network, keras.Sequential)
        if not ordered and not hasattr(network, "operations"):
            return False
        network = getattr(network, "operations", network.layers)[-1]
    return True


def warn_of_probabilities(
    network: keras.Model, argument: str, stacklevel: int
) -> None:
    """Warns of a network that ends in a softmax.

    It trains, but hardly learns, and what is exported has the softmax twice.
    Where the last layer is not known, only the first batch tells.

    Args:
        network: Any.
        argument: The name by which the warning calls it.
        stacklevel: Of the user's line.
    """
    named = last_activation(network) in ("softmax", "sigmoid")
    if named and _order_is_known(network):
        last, _ = _last_layer(network)
        warnings.warn(
            "Networks must output logits, without softmax or sigmoid at the "
            f"end. {how_to_give_logits(network)} Received: "
            f"{argument}={network.name!r}, whose last layer is "
            f"{last.name!r} of class {type(last).__name__}.",
            stacklevel=stacklevel,
        )


def how_to_give_logits(network: keras.Model) -> str:
    """What to change in a network that ends in probabilities, in a sentence.

    Args:
        network: Its last layer, or what follows it, is a softmax or sigmoid.

    Example:
    >>> layers = [keras.Input((2,)), keras.layers.Dense(3, "softmax")]
    >>> print(how_to_give_logits(keras.Sequential(layers)))
    Remove the activation of the last layer: `Dense(3)` in place of \
`Dense(3, activation="softmax")`.
    """
    last, activation = _last_layer(network)
    kind, name = type(last).__name__, last_activation(network)
    if name not in ("softmax", "sigmoid"):
        return (
            "Remove what makes probabilities at the end of the network, whose "
            f"last layer is {last.name!r} of class {kind}."
        )
    if not isinstance(last, keras.layers.Layer):
        return f"Remove the activation of the last layer: the call of {name}."
    if isinstance(last, keras.layers.Activation) or activation is last:
        called = "()" if activation is last else f'("{name}")'
        return (
            "Remove the activation of the last layer: leave out "
            f"`{kind}{called}`, the layer {last.name!r}."
        )
    units = getattr(last, "units", getattr(last, "filters", "..."))
    return (
        f"Remove the activation of the last layer: `{kind}({units})` in place "
        f'of `{kind}({units}, activation="{name}")`.'
    )


def check_pair(teacher: keras.Model, student: keras.Model) -> None:
    """Raises unless two networks can be teacher and student."""
    widths = (
        check_network(teacher, "teacher", stacklevel=5),
        check_network(student, "student", stacklevel=5),
    )
    check_precision(teacher, "teacher")
    check_precision(student, "student")
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
    _check_same_inputs(teacher, student)
    if widths[0] != widths[1]:
        raise ValueError(
            "`teacher` and `student` must have the same number of classes. "
            f"Received: outputs of width {widths[0]} and {widths[1]}"
        )


def _check_same_inputs(teacher, student):
    """Raises if one batch cannot be of both networks' shapes."""
    networks = teacher, student
    if not all(hasattr(network, "inputs") for network in networks):
        return  # One called on examples of a size may take others.
    ones, others = (
        {
            path: tuple(x.shape)[1:]
            for path, x in keras.tree.flatten_with_path(i)
        }
        for i in map(symbolic_inputs, networks)
    )
    if len(ones) == len(others) == 1:
        others = dict(zip(ones, others.values(), strict=True))
    for path in ones.keys() & others.keys():
        if not compatible(ones[path], others[path]):
            where = "".join(f"[{key!r}]" for key in path)
            raise ArgumentError(
                "student",
                "take inputs of the same shape as {teacher}",
                f"inputs{where} of shape {others[path]}",
                others={"teacher": f"inputs{where} of shape {ones[path]}"},
            )


def compatible(one: tuple, other: tuple) -> bool:
    """Whether an example can have both shapes, as Keras fits them.

    Example:
    >>> compatible((8, 8), (8, 8, 1)), compatible((None,), (3,))
    (True, True)
    """
    if len(one) > len(other):
        one, other = other, one
    if len(other) == len(one) + 1 and other[-1] == 1:
        other = other[:-1]  # Keras adds and drops a last axis of 1.
    return len(one) == len(other) and all(
        None in sizes or sizes[0] == sizes[1]
        for sizes in zip(one, other, strict=True)
    )


def check_optimizer(optimizer, network: keras.Model, argument: str):
    """An optimizer for one network, built on its weights.

    Raises:
        ValueError: If it is missing, or would spoil what is trained.
    """
    try:
        known = keras.optimizers.get(optimizer)
    except (ValueError, TypeError, AttributeError):
        known = None
    if known is None:
        raise ValueError(
            f"`{argument}` must be a `keras.optimizers.Optimizer` or the name "
            f"of one. Received: {argument}={optimizer!r}"
        )
    optimizer = known
    inner = inner_optimizer(optimizer)
    if isinstance(inner, keras.optimizers.MultiOptimizer):
        raise ArgumentError(
            argument,
            "be one optimizer, with one learning rate: feedback, schedules and "
            "callbacks ask for it",
            type(inner).__name__,
        )
    check_rates(optimizer, argument)
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
    replica_checks.check_scope(
        replica_checks.current_strategy(), {f"`{argument}`": inner}
    )
    if _is_half(network) and inner is optimizer:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    if inner.built:
        _check_same_weights(inner, network, argument)
    if not optimizer.built:
        optimizer.build(network.trainable_variables)
    return optimizer


def check_rates(optimizer, argument: str) -> None:
    """Raises if an optimizer would go up the loss, as it is now.

    Args:
        optimizer: A Keras optimizer.
        argument: Its name in the error.

    Raises:
        ArgumentError: Its learning rate is negative or not finite, its decay
            of weights negative, or a limit of its gradients not positive.

    Example:
    >>> check_rates(keras.optimizers.SGD(0.1), "optimizer")
    """
    inner = inner_optimizer(optimizer)
    for name in _RATES:
        value = getattr(inner, name, None)
        if value is not None:
            check_rate(inner, name, value, argument)


def check_rate(optimizer, name: str, value, argument: str) -> None:
    """Raises if a value may not be an optimizer's rate, decay or limit.

    Args:
        optimizer: A Keras optimizer.
        name: Of the value in it.
        value: A number.
        argument: The optimizer's name in the error.

    Raises:
        ArgumentError: It is negative or not finite; or a limit of 0.

    Example:
    >>> check_rate(keras.optimizers.SGD(), "clipnorm", 1.0, "optimizer")
    """
    value = float(keras.ops.convert_to_numpy(value))
    positive = value > 0 or (value == 0 and "clip" not in name)
    if not positive or value == float("inf"):
        raise ArgumentError(
            argument,
            f"have a {name} that is finite and "
            f"{'positive' if 'clip' in name else 'not negative'}",
            f"{type(optimizer).__name__} with {name}={value:g}",
        )


def inner_optimizer(optimizer):
    """The optimizer itself, where it is wrapped for float16's sake."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def _optimizes(optimizer, network):
    """Whether an optimizer was built for the weights that are trained now."""
    known = {id(v) for v in state.optimized_variables(optimizer)}
    return known == {id(v) for v in network.trainable_variables}


def _check_same_weights(optimizer, network, argument):
    if not _optimizes(optimizer, network):
        raise ValueError(
            f"`{argument}` must be a new optimizer. Received: one that was "
            "built for the weights of another network"
        )


def _is_half(network):
    """Whether something in the network computes in float16."""
    return network.compute_dtype == "float16" or any(
        _is_half(layer)
        if hasattr(layer, "layers")
        else (layer.compute_dtype == "float16")
        for layer in network.layers
    )
