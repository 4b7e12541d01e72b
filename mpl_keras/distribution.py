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


class DistributedModel(keras.Model):
    """A model whose metrics are built for labels, not for the whole input.

    Keras builds a model under a strategy by calling it on a batch's `x`. Our
    batches hold several views under names, on which no network is called as
    a whole; networks and optimizers are built before `fit`, and only the
    metrics are left.
    """

    num_classes: int

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
        with self.distribute_strategy.scope():
            label = self.distribute_strategy.experimental_local_results(labels)[
                0
            ]
            metrics.build(
                keras.KerasTensor(label.shape, label.dtype.name),
                keras.KerasTensor((None, self.num_classes)),
            )

    def _metrics_built(self):
        """Whether Keras has decided what the metrics' names mean."""
        return self._compile_metrics is not None and self._compile_metrics.built

    def update_loss(self, value, weight=1.0) -> None:
        """Adds a value to the mean that Keras shows as `loss`."""
        self._loss_tracker.update_state(value, sample_weight=weight)
