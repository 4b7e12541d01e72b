"""Keras's training loop, for several replicas and for training that goes on.

The only place that touches Keras's private trainer hooks. Checked with Keras
3.15.1 and TensorFlow 2.21.0.
"""

import contextlib
import functools
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpl_keras.distribute import replica_checks, replicas, workers


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

    Args:
        num_classes: Number of classes.
        **options: Of `keras.Model`.

    Attributes:
        num_classes: Number of classes.
        resuming: Whether the last batch that callbacks heard of was one of
            these.
        wishes: What this worker wants, by the names in `workers.WISHES`.
        granted: What any of the workers wanted at the last step; the same in
            all of them.
    """

    def __init__(self, num_classes: int, **options: Any):
        super().__init__(**options)
        self.num_classes = num_classes
        self.prepare_fit(0)

    def prepare_fit(self, batches: int) -> None:
        """Forgets wishes, and will skip so many batches.

        Args:
            batches: How many batches were trained before.
        """
        self.resuming = False
        self.wishes = dict.fromkeys(workers.WISHES, False)
        self.granted = dict.fromkeys(workers.WISHES, False)
        self._to_skip = batches

    # What callbacks, reports and exports ask of a model of this library.

    @property
    def method(self) -> str:
        """How it is trained: "mpl", "uda" or "supervised"."""
        raise NotImplementedError

    @property
    def trained(self) -> dict[str, keras.Model]:
        """The networks that are trained, by name; the averaged one last."""
        raise NotImplementedError

    @property
    def optimizers(self) -> dict[str, keras.optimizers.Optimizer | None]:
        """Their optimizers, by the same names; None before `compile`."""
        raise NotImplementedError

    @property
    def labeler(self) -> keras.Model:
        """The network that makes pseudo labels."""
        raise NotImplementedError

    def make_train_function(self, force: bool = False) -> Any:
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

    def make_test_function(self, force: bool = False) -> Any:
        """As Keras's, but for several replicas."""
        if self.test_function is not None and not force:
            return
        if self._distribute_strategy is None:
            super().make_test_function(force)
            return
        run = self._replicated(self.test_step, 1)
        none = tf.zeros(len(workers.WISHES))

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
            *parts, wishes = tf.split(values, [*sizes, len(workers.WISHES)])
            return {
                name: tf.reshape(part, shape)
                for name, part, shape in zip(logs, parts, shapes, strict=True)
            }, wishes

        if self.run_eagerly:
            return run
        return tf.function(run, reduce_retracing=True)

    def _wishing(self, run):
        """Trains, and tells all workers what any of them wants."""
        none = tf.zeros(len(workers.WISHES))

        def train_alone(iterator):
            return run(iterator, none)[0]

        def train(iterator):
            own = [float(self.wishes[name]) for name in workers.WISHES]
            logs, shares = run(iterator, tf.constant(own))
            shares = shares.numpy()
            self.granted = {
                name: share > 0
                for name, share in zip(workers.WISHES, shares, strict=True)
            }
            return logs

        alone = workers.num_workers(self.distribute_strategy) == 1
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
        self.build_metrics(local[0])

    def check_scope(self) -> None:
        """Raises if `compile` is called outside of the strategy's scope."""
        if replica_checks.current_strategy() is not self._distribute_strategy:
            raise replica_checks.outside_of_scope("`compile`, called")

    def build_metrics(self, labels: Any) -> None:
        """Makes the variables of the metrics, for labels of this form.

        Raises:
            ValueError: A metric was made outside of the strategy's scope.
        """
        if self._compile_metrics is None or self._compile_metrics.built:
            return
        labels = keras.KerasTensor(labels.shape, labels.dtype.name)
        logits = keras.KerasTensor((labels.shape[0], self.num_classes))
        with self.distribute_strategy.scope():
            self._compile_metrics.build(labels, logits)
            if not self.run_eagerly:
                _trial_update(self._compile_metrics, labels, logits)
        replica_checks.check_scope(
            self._distribute_strategy,
            {
                f"the metric {m.name!r}": m
                for m in self._compile_metrics.metrics
            },
        )

    @property
    def metrics_built(self) -> bool:
        """Whether Keras has decided what the metrics' names mean."""
        return self._compile_metrics is not None and self._compile_metrics.built

    def track_loss(self, metric: keras.metrics.Metric) -> None:
        """Shows this mean as `loss`, in place of Keras's."""
        # Keras's own is no tracked attribute either: it would show it twice.
        object.__setattr__(self, "_loss_tracker", metric)

    def shown_metrics(self) -> dict[str, keras.metrics.Metric]:
        """All metrics by the names of their results."""
        compiled = self._compile_metrics
        found = {m.name: m for m in self.metrics if m is not compiled}
        if self.metrics_built:
            results = compiled.result()
            found.update(zip(results, compiled.metrics, strict=True))
        return found

    def over_replicas(
        self, logs: dict[str, Any] | None, return_dict: bool
    ) -> Any:
        """What a batch showed, from what all replicas measured together.

        The mean of their own results would be that of a mean alone.

        Args:
            logs: Values by name, of a batch.
            return_dict: Whether they are wanted by name.
        """
        if self.distribute_strategy.num_replicas_in_sync > 1:
            logs = keras.tree.map_structure(np.array, self.get_metrics_result())
        return logs if return_dict else self._flatten_metrics_in_order(logs)

    def update_loss(self, value: Any, weight: Any = 1.0) -> None:
        """Adds a value to the mean that Keras shows as `loss`."""
        self._loss_tracker.update_state(value, sample_weight=weight)


def _trial_update(metrics, labels, logits):
    """Lets metrics make the variables that they make at their first update.

    Within a step, that would be traced twice, and fail under replicas. Nothing
    is computed.
    """

    class Trial(keras.layers.Layer):
        def call(self, labels, logits):
            metrics.update_state(labels, logits)
            return logits

    # What a metric cannot take it says in a step, with its own words.
    with contextlib.suppress(Exception):
        Trial().compute_output_spec(labels, logits)


def _next_seed(draw, ordered=True):
    """What a `keras.random.SeedGenerator` draws, on this replica."""
    seed = draw(ordered)
    return tf.cast(replicas.replica_seed(tf.cast(seed, tf.int64)), seed.dtype)
