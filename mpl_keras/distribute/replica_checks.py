"""What networks, models and batches must be, to train on several replicas."""

import keras
import tensorflow as tf

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
    if strategy is None and tf.distribute.has_strategy():
        strategy = tf.distribute.get_strategy()
    for name, network in {"the model": model, **networks}.items():
        if network._distribute_strategy is not strategy:
            raise ValueError(
                "The networks and the model must be made, and the model "
                "compiled, within `strategy.scope()`, under which they train. "
                f"Received: {name}, made outside of it"
            )
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
