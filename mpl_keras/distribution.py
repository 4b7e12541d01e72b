"""What differs where several replicas train together, and nothing else.

The only place that touches replica contexts and Keras's private trainer
hooks. Checked with Keras 3.15.1 and TensorFlow 2.21.0.

With one replica every function here is the identity, or Keras's own way.
"""

import contextlib
import functools
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


def _next_seed(draw, ordered=True):
    """What a `keras.random.SeedGenerator` draws, on this replica."""
    seed = draw(ordered)
    return tf.cast(replica_seed(tf.cast(seed, tf.int64)), seed.dtype)


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


class DistributedModel(keras.Model):
    """What Keras's training loop lacks for our models.

    Keras builds a model under a strategy by calling it on a batch's `x`. Our
    batches hold several views under names, on which no network is called as
    a whole; networks and optimizers are built before `fit`, and only the
    metrics are left.

    And it can begin an epoch in the middle: batches that were trained before
    are reported to the callbacks, and neither read nor trained again.

    Several workers must do some things at the same step, though one of them
    alone knows that it is time: they send their wishes along with the metrics.

    Attributes:
        resuming: Whether the last batch that callbacks heard of was one of
            these.
        wishes: What this worker wants, by the names in `WISHES`.
        granted: What any of the workers wanted at the last step; the same in
            all of them.
    """

    num_classes: int
    resuming = False
    wishes = dict.fromkeys(WISHES, False)
    granted = dict.fromkeys(WISHES, False)
    _to_skip = 0

    def make_train_function(self, force=False):
        """As Keras's, but for batches to be skipped, and several replicas."""
        if self.train_function is not None and not force:
            return
        if self._distribute_strategy is None:
            super().make_train_function(force)
            run = self.train_function
        else:
            self._spread_seeds()
            run = self._wishing(
                self._replicated(self.train_step, self.steps_per_execution)
            )

        def train_function(iterator):
            self.resuming = self._to_skip > 0
            if not self.resuming:
                return run(iterator)
            self._to_skip -= self.steps_per_execution
            return self.get_metrics_result()

        self.train_function = train_function

    def make_test_function(self, force=False):
        """As Keras's, but for several replicas."""
        if self.test_function is not None and not force:
            return
        if self._distribute_strategy is None:
            super().make_test_function(force)
            return
        run = self._replicated(self.test_step, 1)
        none = tf.zeros(len(WISHES))

        def test_function(iterator):
            # There may be fewer batches left than an execution takes.
            logs = None
            for _ in range(self.steps_per_execution):
                try:
                    logs, _ = run(iterator, none)
                except (tf.errors.OutOfRangeError, StopIteration):
                    break
            if logs is None:
                raise StopIteration
            return logs

        self.test_function = test_function

    def _replicated(self, step, count):
        """Runs a step on all replicas, `count` times, in one graph.

        Keras's own fails with several steps under MirroredStrategy, and with
        several workers always.
        """
        strategy = self.distribute_strategy
        logs = {}

        def flat_step(data, wishes):
            # All values in one tensor: each would be sent by itself.
            logs.clear()
            logs.update(step(data))
            values = [*logs.values(), wishes]
            return tf.concat(
                [tf.cast(tf.reshape(v, [-1]), tf.float32) for v in values], 0
            )

        def run(iterator, wishes):
            for _ in tf.range(count - 1):
                strategy.run(flat_step, args=(next(iterator), wishes))
            values = strategy.run(flat_step, args=(next(iterator), wishes))
            values = strategy.reduce("MEAN", values, axis=None)
            shapes = [value.shape for value in logs.values()]
            sizes = [shape.num_elements() for shape in shapes]
            *parts, wishes = tf.split(values, [*sizes, len(WISHES)])
            return {
                name: tf.reshape(part, shape)
                for name, part, shape in zip(logs, parts, shapes, strict=True)
            }, wishes

        if self.run_eagerly:
            return run
        return tf.function(run, reduce_retracing=True)

    def _wishing(self, run):
        """Trains, and tells all workers what any of them wants."""
        none = tf.zeros(len(WISHES))

        def train_alone(iterator):
            return run(iterator, none)[0]

        def train(iterator):
            own = [float(self.wishes[name]) for name in WISHES]
            logs, shares = run(iterator, tf.constant(own))
            shares = shares.numpy()
            self.granted = {
                name: share > 0
                for name, share in zip(WISHES, shares, strict=True)
            }
            return logs

        alone = num_workers(self.distribute_strategy) == 1
        return train_alone if alone else train

    def _spread_seeds(self):
        """Lets random layers draw other numbers on each replica.

        Keras's draw the same, so that the parts of a batch would share their
        dropout masks.
        """
        if self.distribute_strategy.num_replicas_in_sync == 1:
            return
        for layer in self._flatten_layers():
            for generator in getattr(layer, "_seed_generators", []):
                if "next" not in vars(generator):
                    generator.next = functools.partial(
                        _next_seed, generator.next
                    )

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        metrics = self._compile_metrics
        if self._distribute_strategy is None or metrics is None:
            return
        if metrics.built:
            return
        if data_batch is None:
            for step in iterator:
                # (step, batches), and in newer versions (begin, end, batches).
                data_batch = next(step[-1])
                break
        labels = keras.utils.unpack_x_y_sample_weight(data_batch)[1]
        if isinstance(labels, dict):
            labels = labels["labeled"]
        local = self.distribute_strategy.experimental_local_results(labels)
        self._build_metrics(local[0])

    def _build_metrics(self, labels) -> None:
        """Makes the variables of the metrics, for labels of this form."""
        if self._compile_metrics is None or self._compile_metrics.built:
            return
        with self.distribute_strategy.scope():
            self._compile_metrics.build(
                keras.KerasTensor(labels.shape, labels.dtype.name),
                keras.KerasTensor((None, self.num_classes)),
            )

    def _metrics_built(self):
        """Whether Keras has decided what the metrics' names mean."""
        return self._compile_metrics is not None and self._compile_metrics.built

    def update_loss(self, value, weight=1.0) -> None:
        """Adds a value to the mean that Keras shows as `loss`."""
        self._loss_tracker.update_state(value, sample_weight=weight)
