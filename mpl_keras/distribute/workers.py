"""Several processes that train together: who is the chief, and who is lost."""

import contextlib
import json
import zlib
from typing import Any

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


def is_tpu(strategy) -> bool:
    """Whether it is of a TPU."""
    return isinstance(strategy, tf.distribute.TPUStrategy)


def num_workers(strategy: tf.distribute.Strategy | None) -> int:
    """How many processes train together, each with devices of its own."""
    resolver = strategy.cluster_resolver
    if resolver is None or is_tpu(strategy):
        return 1
    tasks = resolver.cluster_spec().as_dict()
    return len(tasks.get("chief", [])) + len(tasks.get("worker", [])) or 1


def is_chief(strategy: tf.distribute.Strategy | None) -> bool:
    """Whether this process writes what all share: the first one does."""
    if num_workers(strategy) == 1:
        return True
    resolver = strategy.cluster_resolver
    first = "chief" if "chief" in resolver.cluster_spec().jobs else "worker"
    return (resolver.task_type, resolver.task_id) == (first, 0)


def sum_over_workers(
    strategy: tf.distribute.Strategy | None, numbers: list[int]
) -> list[int]:
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


def same_everywhere(
    strategy: tf.distribute.Strategy | None, value: Any
) -> bool:
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
    stream = getattr(dataset, "stream", None)
    count = strategy.num_replicas_in_sync
    alone = stream is None or num_workers(strategy) == 1
    if alone or stream.shards % count:
        return dataset
    own = count // num_workers(strategy)  # replicas in this process

    def of_worker(context):
        first = own * context.input_pipeline_id
        return stream.of_replicas(range(first, first + own), count)

    return strategy.distribute_datasets_from_function(of_worker)
