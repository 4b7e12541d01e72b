"""What a dataset of training batches knows of itself."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Stream:
    """An endless stream of batches, which can be entered at any step.

    It is the attribute `stream` of what `training_dataset` and
    `labeled_dataset` return. `fit` of this library's models reads it; what
    `map`, `prefetch` and the like make of such a dataset has none.

    Args:
        batches: Makes the dataset of the batches from a step on: of the
            replicas with these numbers, of so many.
        start_step: Number of the first batch.
        steps_per_epoch: Batches of an epoch.
        num_classes: Number of classes.
        shards: Parts in which a batch is made.
        fingerprint: By what a backup knows the data again.

    Example:
    >>> from mpl_keras import datasets, pipeline
    >>> train = pipeline.training_dataset(datasets.two_moons(), 6, 128)
    >>> train.stream.steps_per_epoch
    16
    >>> train.stream.from_step(10).stream.start_step
    10
    """

    batches: Callable[[int, Sequence[int], int], tf.data.Dataset]
    start_step: int
    steps_per_epoch: int
    num_classes: int
    shards: int = 1
    fingerprint: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def dataset(self) -> tf.data.Dataset:
        """The batches from `start_step` on; the dataset has this stream."""
        dataset = self.of_replicas([0], 1)
        dataset.stream = self
        return dataset

    def from_step(self, step: int) -> tf.data.Dataset:
        """The batches from another step on.

        Args:
            step: Number of the first batch.
        """
        return dataclasses.replace(self, start_step=step).dataset()

    def of_replicas(
        self, replicas: Sequence[int], count: int
    ) -> tf.data.Dataset:
        """The batches of some replicas, one after the other.

        Args:
            replicas: Their numbers.
            count: How many there are in all.
        """
        return self.batches(self.start_step, replicas, count)
