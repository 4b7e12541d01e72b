"""What differs where several replicas train together, and nothing else.

The only place that touches replica contexts. With one replica every function
here is the identity, or Keras's own way.
"""

import contextlib
import json
import zlib

import keras
import tensorflow as tf

# What TensorFlow raises in the others when a worker is gone, and what it says
# where it raises something else.
_LOST = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.UnavailableError,
)
_LOST_TEXT = "Collective ops is aborted by"

# sysexits.h: a failure that is gone when it is tried again.
EXIT_RESTART = 75

# What a callback may want to be done by all workers together.
WISHES = ("backup", "leave")


class WorkerLost(RuntimeError):
    """Another worker of the training is gone; all must start again.

    `fit` raises it. What was trained since the last backup is lost.

    Example:
    >>> WorkerLost.exit_code
    75

    Attributes:
        exit_code: That of a process which is to be started again, 75.
    """

    exit_code = EXIT_RESTART


def num_replicas() -> int:
    """How many replicas share a step."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def mean(value):
    """Mean over the replicas of a tensor, or of each in a list."""
    if num_replicas() == 1:
        return value
    return tf.distribute.get_replica_context().all_reduce("MEAN", value)


def replica_seed(seed) -> tf.Tensor:
    """A stateless seed that differs between replicas."""
    if num_replicas() == 1:
        return seed
    context = tf.distribute.get_replica_context()
    return tf.random.experimental.stateless_fold_in(
        seed, context.replica_id_in_sync_group
    )


def apply_gradients(optimizer, gradients, variables) -> list:
    """Updates the variables with the sum of all replicas' gradients.

    Keras clips on each replica and sums afterwards, and looks for values that
    are not finite on the first replica only. So the sum is made before, and
    what Keras clips and checks is the gradient of the whole batch.

    Returns:
        The sums.
    """
    if num_replicas() == 1:
        optimizer.apply(gradients, variables)
        return gradients
    context = tf.distribute.get_replica_context()
    gradients = context.all_reduce("SUM", gradients)
    with _summed_already(optimizer):
        optimizer.apply(gradients, variables)
    return gradients


@contextlib.contextmanager
def _summed_already(optimizer):
    """Keeps an optimizer from summing over the replicas itself.

    It would send all gradients a second time.
    """
    own = vars(getattr(optimizer, "inner_optimizer", optimizer))
    own["_all_reduce_sum_gradients"] = list
    try:
        yield
    finally:
        # Replicas take turns where they meet, and each comes here once. The
        # first one to leave has seen all others pass the place of the sum.
        own.pop("_all_reduce_sum_gradients", None)


def assign(variables, values) -> None:
    """Assigns values that all replicas agree on."""
    if num_replicas() == 1:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        return

    def update(strategy, values):
        for variable, value in zip(variables, values, strict=True):
            strategy.extended.update(
                variable.value,
                lambda replica, new: replica.assign(new),
                args=(value,),
            )

    tf.distribute.get_replica_context().merge_call(update, args=(values,))


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
    if model.jit_compile is True and not _is_tpu(strategy):
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


def _is_tpu(strategy):
    return isinstance(strategy, tf.distribute.TPUStrategy)


def num_workers(strategy) -> int:
    """How many processes train together, each with devices of its own."""
    resolver = strategy.cluster_resolver
    if resolver is None or _is_tpu(strategy):
        return 1
    tasks = resolver.cluster_spec().as_dict()
    return len(tasks.get("chief", [])) + len(tasks.get("worker", [])) or 1


def is_chief(strategy) -> bool:
    """Whether this process writes what all share: the first one does."""
    if num_workers(strategy) == 1:
        return True
    resolver = strategy.cluster_resolver
    first = "chief" if "chief" in resolver.cluster_spec().jobs else "worker"
    return (resolver.task_type, resolver.task_id) == (first, 0)


def sum_over_workers(strategy, numbers: list[int]) -> list[int]:
    """Sums of whole numbers that each worker has; all must ask.

    Raises:
        WorkerLost: If one does not answer.
    """
    if num_workers(strategy) == 1:
        return numbers
    own = strategy.num_replicas_in_sync // num_workers(strategy)

    def add(numbers):
        context = tf.distribute.get_replica_context()
        first = context.replica_id_in_sync_group % own == 0
        numbers = tf.where(first, numbers, tf.zeros_like(numbers))
        return context.all_reduce("SUM", numbers)

    with noticing_lost_workers(strategy):
        sums = tf.function(lambda n: strategy.run(add, args=(n,)))(
            tf.constant(numbers, tf.int64)
        )
        sums = strategy.experimental_local_results(sums)[0]
        return [int(number) for number in sums.numpy()]


def same_everywhere(strategy, value) -> bool:
    """Whether all workers have the same JSON-able value; all must ask."""
    number = zlib.crc32(json.dumps(value, sort_keys=True).encode())
    chief = is_chief(strategy)
    first = sum_over_workers(strategy, [number if chief else 0])[0]
    return sum_over_workers(strategy, [int(number != first)])[0] == 0


@contextlib.contextmanager
def noticing_lost_workers(strategy):
    """Says what has happened where TensorFlow speaks of collectives.

    Raises:
        WorkerLost: For an error that a worker's end leads to.
    """
    try:
        yield
    except tf.errors.OpError as error:
        count = num_workers(strategy)
        lost = isinstance(error, _LOST) or _LOST_TEXT in error.message
        if count == 1 or not lost:
            raise
        # The rest is a trace of the graph.
        lines = [line for line in error.message.splitlines() if line.strip()]
        said = [line for line in lines if _LOST_TEXT in line] or lines or [""]
        raise WorkerLost(
            f"One of the {count} workers that train together is gone, so that "
            "this one cannot go on. Start all of them again, to go on after "
            f"the last backup. TensorFlow says: {said[0][:200]}"
        ) from error


def distribute_batches(strategy, dataset):
    """Has each worker make only its own part of every batch.

    Where a dataset is not made of as many parts as there are replicas, or a
    multiple, Keras has every worker make all of a batch and drop the rest.

    Args:
        strategy: Of the model.
        dataset: What `pipeline.training_dataset` returned, or any other.

    Returns:
        What Keras's `fit` takes.
    """
    shards = getattr(dataset, "shards", 1)
    count = strategy.num_replicas_in_sync
    if num_workers(strategy) == 1 or shards % count:
        return dataset
    own = count // num_workers(strategy)  # replicas in this process

    def of_worker(context):
        first = own * context.input_pipeline_id
        return dataset.of_replicas(range(first, first + own), count)

    return strategy.distribute_datasets_from_function(of_worker)


def metric_variables(model) -> list:
    """State of a model's metrics, its own and those of `compile`."""
    return [v for metric in model.metrics for v in metric.variables]


def state_variables(model) -> list:
    """Everything that a step of training reads and writes, once each.

    Weights, statistics and seeds of all layers, both optimizers, metrics.
    """
    variables = list(model.variables)
    for name in ("optimizer", "teacher_optimizer"):
        variables += getattr(getattr(model, name, None), "variables", [])
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
    for name in ("optimizer", "teacher_optimizer"):
        optimizer = getattr(model, name, None)
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            found += [optimizer.dynamic_scale, optimizer.step_counter]
    return found
