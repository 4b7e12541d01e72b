"""What differs where several replicas train together, and nothing else.

The only place that touches replica contexts and Keras's private trainer
hooks. Checked with Keras 3.15.1 and TensorFlow 2.21.0.

With one replica every function here is the identity, or Keras's own way.
"""

import keras
import tensorflow as tf


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


def apply_gradients(optimizer, gradients, variables) -> None:
    """Updates the variables with the sum of all replicas' gradients.

    Keras clips on each replica and sums afterwards, and looks for values that
    are not finite on the first replica only. So the sum is made before: the
    first replica hands it over, the others zeros, and what Keras sums, clips
    and checks is the gradient of the whole batch.
    """
    if num_replicas() > 1:
        context = tf.distribute.get_replica_context()
        total = context.all_reduce("SUM", gradients)
        first = tf.equal(context.replica_id_in_sync_group, 0)
        gradients = [tf.where(first, g, tf.zeros_like(g)) for g in total]
    optimizer.apply(gradients, variables)


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


def check_replicas(networks, batch_sizes) -> None:
    """Raises unless several replicas would train as one does.

    Args:
        networks: Keras models by their name in the error.
        batch_sizes: Sizes of the whole batch by their name in the error.

    Raises:
        ValueError: BatchNorm is not synchronized, or a batch does not divide.
    """
    count = num_replicas()
    if count == 1:
        return
    for name, network in networks.items():
        alone = [
            layer.name
            for layer in network._flatten_layers()
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


def is_chief() -> bool:
    """Whether this process writes what all share."""
    resolver = tf.distribute.get_strategy().cluster_resolver
    return resolver is None or resolver.task_id in (0, None)


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

    Attributes:
        resuming: Whether the last batch that callbacks heard of was one of
            these.
    """

    num_classes: int
    resuming = False
    _to_skip = 0

    def make_train_function(self, force=False):
        """As Keras's, but for batches to be skipped, and several replicas."""
        if self.train_function is not None and not force:
            return
        if self._distribute_strategy is None:
            super().make_train_function(force)
            run = self.train_function
        else:
            run = self._replicated(self.train_step, self.steps_per_execution)

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

        def test_function(iterator):
            # There may be fewer batches left than an execution takes.
            logs = None
            for _ in range(self.steps_per_execution):
                try:
                    logs = run(iterator)
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

        def run(iterator):
            for _ in tf.range(count - 1):
                strategy.run(step, args=(next(iterator),))
            logs = strategy.run(step, args=(next(iterator),))
            return {
                name: strategy.reduce("MEAN", value, axis=None)
                for name, value in logs.items()
            }

        if self.run_eagerly:
            return run
        return tf.function(run, reduce_retracing=True)

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
