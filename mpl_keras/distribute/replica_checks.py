"""What networks, models and batches must be, to train on several replicas."""

import keras
import tensorflow as tf

from mpl_keras.checks.arguments import ArgumentError
from mpl_keras.distribute.state import layers_of
from mpl_keras.distribute.workers import is_tpu


def check_replicas(model, networks, batch_sizes) -> None:
    """Raises unless several replicas would train as one does.

    Args:
        model: A `DistributedModel`.
        networks: Its Keras models by their name in the error.
        batch_sizes: Sizes of the whole batch by their name in the error.

    Raises:
        ValueError: Something was made outside of the strategy's scope,
            BatchNorm is not synchronized, or a batch does not divide.
    """
    strategy = model._distribute_strategy
    if strategy is None:
        strategy = current_strategy()
    for name, network in {"the model": model, **networks}.items():
        if network._distribute_strategy is not strategy:
            raise ValueError(
                "The networks and the model must be made, and the model "
                "compiled, within `strategy.scope()`, under which they train. "
                f"Received: {name}, made outside of it"
            )
    compiled = {
        f"the {name}'s optimizer": optimizer
        for name, optimizer in model.optimizers.items()
    } | {f"the metric {metric.name!r}": metric for metric in model.metrics}
    # A feedback with state is a layer of the model.
    layers = {
        f"the layer {layer.name!r}": layer
        for layer in layers_of(model)
        if layer is not model
    }
    check_scope(strategy, compiled | layers)
    if strategy is None:
        return
    if model.jit_compile is True and not is_tpu(strategy):
        raise ValueError(
            "`jit_compile` must be False or 'auto' under a strategy, other "
            "than a TPU's. Received: jit_compile=True under "
            f"{type(strategy).__name__}"
        )
    count = strategy.num_replicas_in_sync
    if count == 1:
        return
    for name, network in networks.items():
        alone = [
            layer.name
            for layer in layers_of(network)
            if isinstance(layer, keras.layers.BatchNormalization)
            and layer.trainable
            and not layer.synchronized
        ]
        if alone:
            raise ValueError(
                f"Every BatchNormalization must have `synchronized=True` under "
                f"{count} replicas: otherwise each normalises by its own part "
                "of the batch, and the statistics of one alone are saved. "
                f"Received: {name} with {alone[:10]}"
            )
    for name, size in batch_sizes.items():
        if size is not None and size % count:
            raise ValueError(
                f"`{name}` must be a multiple of {count}, the number of "
                f"replicas. Received: {name}={size}"
            )


def check_scope(strategy, compiled) -> None:
    """Raises if variables were made outside of the scope of a strategy.

    Args:
        strategy: The strategy, or None.
        compiled: What has `variables`, by its name in the error; or None.

    Raises:
        ArgumentError: `compile` was called outside of the scope, or a metric
            was made there.
    """
    if strategy is not None and strategy.num_replicas_in_sync == 1:
        return  # plain variables do as well
    for name, part in compiled.items():
        for variable in getattr(part, "variables", ()):
            made = getattr(variable.value, "distribute_strategy", None)
            if made is not strategy:
                raise outside_of_scope(f"{name}, made")


def current_strategy() -> tf.distribute.Strategy | None:
    """The strategy in whose scope this is called, or None.

    Example:
    >>> current_strategy() is None
    True
    """
    if tf.distribute.has_strategy():
        return tf.distribute.get_strategy()
    return None


def outside_of_scope(received: str) -> ArgumentError:
    """The error for what should have been in the scope of a strategy.

    Args:
        received: What was not, and how it came.

    Example:
    >>> print(outside_of_scope("`compile`, called"))
    `compile` must be called within `strategy.scope()`, if the model is made \
there, and its optimizers and metrics be made there, too. Received: \
compile=`compile`, called outside of it
    """
    return ArgumentError(
        "compile",
        "be called within `strategy.scope()`, if the model is made there, and "
        "its optimizers and metrics be made there, too",
        f"{received} outside of it",
    )
