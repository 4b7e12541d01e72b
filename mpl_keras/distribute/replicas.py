"""What differs where several replicas train together, and nothing else.

The only place that touches replica contexts. With one replica every function
here is the identity, or Keras's own way.
"""

import contextlib

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
