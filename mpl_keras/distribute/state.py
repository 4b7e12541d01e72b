"""All that a step of training reads and writes."""

from typing import Any

import keras

from mpl_keras.distribute.workers import num_workers


def optimized_variables(optimizer) -> list:
    """The variables for which a Keras optimizer was built."""
    return list(optimizer._trainable_variables)


def without_decay(optimizer) -> list[int]:
    """The numbers of its variables whose weights are not to decay.

    Keras forgets in a file what `exclude_from_weight_decay` was told.

    Example:
    >>> net = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> adamw = keras.optimizers.AdamW()
    >>> adamw.exclude_from_weight_decay(var_names=["bias"])
    >>> adamw.build(net.trainable_variables)
    >>> without_decay(adamw)
    [1]
    """
    return [
        number
        for number, variable in enumerate(optimized_variables(optimizer))
        if not optimizer._use_weight_decay(variable)
    ]


def leave_out_of_decay(optimizer, numbers) -> None:
    """The inverse of `without_decay`, for an optimizer that was built."""
    variables = optimized_variables(optimizer)
    keys = {optimizer._var_key(variables[number]) for number in numbers}
    optimizer._exclude_from_weight_decay = keys
    optimizer._exclude_from_weight_decay_cache = {}


def rate_schedule(optimizer) -> Any:
    """An optimizer's schedule of its learning rate; None if it has none.

    Example:
    >>> schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    >>> rate_schedule(keras.optimizers.SGD(schedule)) is schedule
    True
    """
    kind = keras.optimizers.schedules.LearningRateSchedule
    schedule = getattr(optimizer, "_learning_rate", None)
    return schedule if isinstance(schedule, kind) else None


def rate_variable(optimizer) -> keras.Variable | None:
    """What holds an optimizer's learning rate; None if a schedule does.

    Example:
    >>> float(rate_variable(keras.optimizers.SGD(0.5)))
    0.5
    """
    rate = getattr(optimizer, "_learning_rate", None)
    return rate if isinstance(rate, keras.Variable) else None


def rate_of(optimizer) -> Any:
    """What an optimizer has its learning rate from, as it is now.

    Example:
    >>> schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    >>> rate_of(keras.optimizers.SGD(schedule)) is schedule
    True
    """
    return getattr(optimizer, "_learning_rate", None)


def begin_at_weights(optimizer) -> None:
    """Lets an optimizer that made no step begin at the weights as they are.

    `ScheduleFreeAdamW` keeps a copy of them from when it was built, and goes
    back to it in its first step.

    Args:
        optimizer: Any, that was built.

    Example:
    >>> weight = keras.Variable([1.0])
    >>> free = keras.optimizers.ScheduleFreeAdamW(0.0)
    >>> free.build([weight])
    >>> weight.assign([5.0])
    <...>
    >>> begin_at_weights(free)
    >>> free.apply([keras.ops.ones(1)], [weight])
    >>> float(weight[0])
    5.0
    """
    free = isinstance(optimizer, keras.optimizers.ScheduleFreeAdamW)
    if free and not int(optimizer.iterations.numpy()):
        for copy, weight in zip(
            optimizer._momentums, optimizer._trainable_variables, strict=True
        ):
            copy.assign(weight)


def layers_of(network: keras.Model) -> list[keras.layers.Layer]:
    """All layers of a network, those inside of others too.

    Example:
    >>> net = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> type(layers_of(net)[-1]).__name__
    'Dense'
    """
    return list(network._flatten_layers())


def kept_variables(network: keras.Model) -> list:
    """Floats that layers keep beside their weights, such as statistics.

    Weights that are frozen are none of them.

    Example:
    >>> layers = keras.Input((2,)), keras.layers.BatchNormalization()
    >>> [v.name for v in kept_variables(keras.Sequential(layers))]
    ['moving_mean', 'moving_variance']
    """
    found = {
        id(variable): variable
        for layer in layers_of(network)
        for variable in layer._non_trainable_variables
        if keras.backend.is_float_dtype(variable.dtype)
    }
    return list(found.values())


def metric_variables(model) -> list:
    """State of a model's metrics, its own and those of `compile`."""
    return [v for metric in model.metrics for v in metric.variables]


def state_variables(model: keras.Model) -> list:
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
