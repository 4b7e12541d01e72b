"""All that a step of training reads and writes."""

import keras

from mpl_keras.distribute.workers import num_workers


def optimized_variables(optimizer) -> list:
    """The variables for which a Keras optimizer was built."""
    return list(optimizer._trainable_variables)


def layers_of(network: keras.Model) -> list[keras.layers.Layer]:
    """All layers of a network, those inside of others too.

    Example:
    >>> net = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> type(layers_of(net)[-1]).__name__
    'Dense'
    """
    return list(network._flatten_layers())


def metric_variables(model) -> list:
    """State of a model's metrics, its own and those of `compile`."""
    return [v for metric in model.metrics for v in metric.variables]


def state_variables(model) -> list:
    """Everything that a step of training reads and writes, once each.

    Weights, statistics and seeds of all layers, both optimizers, metrics.
    """
    variables = list(model.variables)
    for optimizer in model.optimizers.values():
        variables += getattr(optimizer, "variables", [])
    variables += metric_variables(model)
    return list({id(v): v for v in variables}.values())


def local_values(variable) -> list:
    """The values of a metric's variable, of each replica where they differ.

    With several workers it is their sum, for which all must ask.
    """
    value = variable.value
    strategy = getattr(value, "distribute_strategy", None)
    if strategy is None or num_workers(strategy) > 1:
        return [variable.numpy()]
    return [v.numpy() for v in strategy.experimental_local_results(value)]


def assign_local_values(variable, values) -> None:
    """The inverse of `local_values`, also for another number of replicas."""
    strategy = getattr(variable.value, "distribute_strategy", None)
    own = [variable.value]
    if strategy is not None:
        own = strategy.experimental_local_results(variable.value)
    if len(own) == len(values) and (
        strategy is None or num_workers(strategy) == 1
    ):
        for part, value in zip(own, values, strict=True):
            part.assign(value)
    else:
        variable.assign(sum(values))  # shares the sum out


def loss_scale_variables(model) -> list:
    """What float16's optimizers keep of their loss scales."""
    found = []
    for optimizer in model.optimizers.values():
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            found += [optimizer.dynamic_scale, optimizer.step_counter]
    return found
