"""How a model is trained and evaluated through Keras's own methods.

`fit` checks the data before the first step, goes on where a backup says, and
stops when steps go bad; metrics are of one network and one form of labels.
"""

import warnings
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpl_keras import losses
from mpl_keras.checks import arguments, arrays, batches
from mpl_keras.checks.arguments import ArgumentError
from mpl_keras.checks.batches import VIEWS
from mpl_keras.distribute import replica_checks, state, workers
from mpl_keras.distribute.fit_callback import FitCallback
from mpl_keras.models import batchwise, first_batch, passes
from mpl_keras.models.assigned_rates import AssignedRates
from mpl_keras.models.following import FollowingModel
from mpl_keras.models.passes import weighted_mean
from mpl_keras.models.progress_bar import ProgressBar
from mpl_keras.models.safeguard import Safeguard
from mpl_keras.models.scheduled import ScheduleCheck, Scheduled
from mpl_keras.models.step_metrics import MeanOfSome, Measuring
from mpl_keras.networks import inputs, requirements


class FittedModel(FollowingModel):
    """Base class: `fit`, `evaluate` and metrics of a semi-supervised model.

    Args:
        num_classes: Number of classes.
        **options: Of `keras.Model`.

    Attributes:
        step: How many steps were trained, saved with the model.
        safeguard: Undoes steps that went bad, and counts them.
        measuring: What steps show, and the metrics of `compile`.
        schedule_check: Looks at schedules before the steps that they are for.
        assigned_rates: Looks at learning rates that are assigned.
        examples_per_step: Labeled and unlabeled examples that a step of `fit`
            trains on, where the data say how many; or None.
    """

    def __init__(self, num_classes: int, **options: Any):
        super().__init__(num_classes, **options)
        self.step = self.make_state("step", (), "zeros", "int64")
        self.safeguard = Safeguard(self.make_state)
        self._trackers = {}
        self.measuring = Measuring(self, self._trackers)
        self.schedule_check = ScheduleCheck(
            lambda: self.scheduled, lambda: self.run_eagerly
        )
        self.assigned_rates = AssignedRates()
        self.examples_per_step = None
        self._evaluating = False

    def compile(
        self,
        optimizer: keras.optimizers.Optimizer | str | None = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        steps_per_execution: int = 1,
        **options: Any,
    ) -> None:
        """As `keras.Model.compile`; the models have their own arguments.

        Raises:
            ArgumentError: A metric is not known or has a name of ours, or
                `steps_per_execution` is no number.
        """
        arguments.integer("steps_per_execution", steps_per_execution, 1)
        self.measuring.compiled(
            metrics=metrics, weighted_metrics=weighted_metrics
        )
        super().compile(
            optimizer=optimizer,
            metrics=metrics,
            weighted_metrics=weighted_metrics,
            steps_per_execution=steps_per_execution,
            **options,
        )
        self.track_loss(MeanOfSome(name="loss"))

    def make_state(
        self, name: str, shape: Any, initializer: Any, dtype: Any = "float32"
    ) -> keras.Variable:
        """A variable of the model's own, which all replicas agree on."""
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=initializer,
            dtype=dtype,
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
        )

    @property
    def bad_steps(self) -> keras.Variable:
        """How many steps had values that were not finite, and were undone."""
        return self.safeguard.bad_steps

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        *,
        check_first_batch: bool = True,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """As `keras.Model.fit`, on batches of labeled and unlabeled views.

        Args:
            x: A dataset of `({"labeled", "weak", "strong"}, y)`, as
                `pipeline.training_dataset` makes it, whose number of steps per
                epoch is taken from it. Or arrays under these names, all of one
                length.
            y: Labels, where `x` holds arrays.
            batch_size: Where `x` holds arrays.
            epochs: Number of epochs.
            check_first_batch: Whether a model that was never trained looks at
                the first batch, and raises if the values are far larger than
                its networks were made for, or their outputs are probabilities.
            **kwargs: `keras.Model.fit`'s. `validation_data` is `(x, y)`
                without views, and is classified by the averaged network.
                The bar of `verbose=1` shows what fits 80 columns; all values
                are in the history, in the lines of `verbose=2`, and in the bar
                of `keras.callbacks.ProgbarLogger()` as a callback.

        Returns:
            A `keras.callbacks.History`.

        Raises:
            ValueError: Before the first step, if the data are not of this
                form, or the replicas of a strategy could not train as one
                does; or a network was changed since the model was made.
            distribute.WorkerLost: If one of several workers is gone: start
                all of them again.
        """
        batches.check_trained_on(x)
        self.examples_per_step = None
        if isinstance(x, tf.data.Dataset):
            kwargs["steps_per_epoch"] = _steps_per_epoch(x, kwargs)
            kwargs.setdefault("shuffle", False)  # as it is; Keras would warn
            data = keras.utils.unpack_x_y_sample_weight(x.element_spec)
            batches.check_batch(*data, self.num_classes)
            self._check_class_weight(kwargs, data[1])
            self._check_classes(x)
            sizes = [_batch_size(data[0][view]) for view in VIEWS[:2]]
            if None not in sizes:
                self.examples_per_step = sum(sizes)
        elif isinstance(x, dict):
            y = self._checked_labels(x, y, kwargs.get("sample_weight"))
            self._check_class_weight(kwargs, y)
            self._prepare_metrics(y)
        if kwargs.get("validation_split"):
            raise ValueError(
                "`validation_split` must be 0: validation takes plain "
                "examples, not views; pass them as `validation_data`. "
                f"Received: validation_split={kwargs['validation_split']}"
            )
        if kwargs.get("validation_data") is not None:
            self._check_validation(kwargs, epochs)
        self._forget_step_of_other_rates()
        self.check_networks()
        self._check_inputs(x)
        self.check_execution(x, kwargs.get("steps_per_epoch"))
        self.check_rates()
        if check_first_batch:
            self._check_first_batch(x, y)
        strategy = self.distribute_strategy
        callbacks, own = self._callbacks(kwargs)
        try:
            with workers.noticing_lost_workers(strategy):
                x, begin = self._resume(x, callbacks, kwargs)
                kwargs["initial_epoch"] = begin
                steps = kwargs.get("steps_per_epoch") or 0
                self.schedule_check.all_of((epochs - begin) * steps)
                self.schedule_check.warn_of_waiting((epochs - begin) * steps)
                x = workers.distribute_batches(strategy, x)
                return super().fit(x, y, batch_size, epochs, **kwargs)
        finally:
            for callback in callbacks:
                if isinstance(callback, FitCallback):
                    callback.on_fit_end()
            for callback in own:
                callbacks.remove(callback)

    def _callbacks(self, kwargs):
        """Those that will be called, and those of them that are ours."""
        own, given = (_StopWhenBad(), _CheckRates()), kwargs.get("callbacks")
        if isinstance(given, keras.callbacks.CallbackList):
            for callback in own:
                callback.set_model(self)
            callbacks = given.callbacks
        else:
            callbacks = kwargs["callbacks"] = keras.tree.flatten(given or [])
        callbacks.insert(0, own[0])  # its values are for those that follow
        if kwargs.get("verbose", "auto") in ("auto", 1) and not any(
            isinstance(callback, keras.callbacks.ProgbarLogger)
            for callback in callbacks
        ):
            validation = kwargs.get("validation_data") is not None
            callbacks.append(ProgressBar(self._trackers, validation))
        callbacks.append(own[1])  # after those that set rates
        return callbacks, own

    def check_execution(self, x: Any, steps: int | None) -> None:
        """Raises for what several replicas or steps at once cannot do.

        `fit` calls it before anything else.

        Args:
            x: What is to be trained on.
            steps: Its steps per epoch, or None.

        Raises:
            ValueError: Something was made outside of the strategy's scope, a
                BatchNorm is not synchronized, a batch does not divide by the
                replicas, or the steps not by `steps_per_execution`.
        """
        if steps is not None and steps % self.steps_per_execution:
            raise ValueError(
                "`steps_per_epoch` must be a multiple of "
                f"`steps_per_execution`, {self.steps_per_execution}. "
                f"Received: steps_per_epoch={steps}"
            )
        sizes = {}
        if isinstance(x, tf.data.Dataset):
            views = x.element_spec[0]
            for name in ("labeled", "weak"):
                sizes[f"{name} batch size"] = _batch_size(views[name])
        replica_checks.check_replicas(self, self.trained, sizes)

    def _resume(self, x, callbacks, kwargs):
        """The data and the epoch to begin with, as a backup may say."""
        begin = kwargs.get("initial_epoch", 0)
        stream = getattr(x, "stream", None)
        self.prepare_fit(0)
        if isinstance(x, tf.data.Dataset):
            self._prepare_metrics(x.element_spec[1])
        for callback in callbacks:
            if not isinstance(callback, FitCallback):
                continue
            if callback.resumes and stream is None:
                raise ValueError(
                    "`x` must be what `pipeline.training_dataset` returns to "
                    "be trained with a backup: other data cannot be entered "
                    f"in the middle. Received: x={x!r}"
                )
            steps = kwargs.get("steps_per_epoch")
            epoch, batch = callback.on_fit(self, x, steps)
            if epoch or batch:
                begin = epoch
                self.prepare_fit(batch)
                x = stream.from_step(stream.start_step + epoch * steps + batch)
        return x, begin

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        return_dict: bool = False,
        *,
        check_first_batch: bool = True,
    ) -> Any:
        """As `keras.Model.train_on_batch`, on one batch of views.

        Args:
            x: Dict of views.
            y: Labels.
            sample_weight: A weight for each label, or None.
            class_weight: Of each class, or None.
            return_dict: Whether values come by name.
            check_first_batch: As of `fit`, before the first step.
        """
        y = self._checked_labels(x, y, sample_weight)
        batches.check_class_weight(
            class_weight, y, self.num_classes, whole=False
        )
        self._prepare_metrics(y)
        self._forget_step_of_other_rates()
        first = self.train_function is None
        self.check_before_step()
        if first:
            self.check_rates()
            self._check_inputs(x)
            if check_first_batch:
                self._check_first_batch(x, y)
        self.assigned_rates.check()
        self.schedule_check.before(1)
        logs = super().train_on_batch(
            x, y, sample_weight, class_weight, return_dict=True
        )
        return self.over_replicas(logs, return_dict)

    def _check_inputs(self, x):
        """Raises unless all networks take the examples of the views."""
        if isinstance(x, tf.data.Dataset):
            x = keras.utils.unpack_x_y_sample_weight(x.element_spec)[0]
        if not isinstance(x, dict):
            return  # as other batches of Keras's
        for name, network in self.trained.items():
            try:
                inputs.check(network, x["labeled"], "x['labeled']")
            except ArgumentError as error:
                must = f"{error.must} (the network is `{name}`)"
                raise ArgumentError(
                    error.argument, must, error.received
                ) from error

    def check_rates(self) -> None:
        """Raises if an optimizer would go up the loss, as it is now."""
        optimizers = self._optimizers_by_argument()
        for argument, optimizer in optimizers.items():
            requirements.check_rates(optimizer, argument)
        self.assigned_rates.watch(optimizers)

    def _forget_step_of_other_rates(self):
        if self.assigned_rates.replaced(self.optimizers):
            self.train_function = None
            self.schedule_check.forget()

    def _optimizers_by_argument(self):
        return {
            f"{name}_optimizer".removeprefix("model_"): optimizer
            for name, optimizer in self.optimizers.items()
        }

    @property
    def scheduled(self) -> list[Scheduled]:
        """What follows a schedule, and the values that it may have."""
        found = []
        for argument, optimizer in self._optimizers_by_argument().items():
            inner = requirements.inner_optimizer(optimizer)
            schedule = state.rate_schedule(inner)
            if schedule is not None:
                found.append(
                    Scheduled(
                        argument, "learning rate", schedule, inner.iterations
                    )
                )
        return found

    def _check_first_batch(self, x, y):
        """Raises if the first batch of all is not what networks are for."""
        replicas = self.distribute_strategy.num_replicas_in_sync
        if int(self.step.numpy()) or replicas > 1:
            return  # BatchNorm would wait for the other replicas.
        if isinstance(x, tf.data.Dataset):
            first = next(iter(x.take(1)), None)
            if first is None:
                return
            x, y, _ = keras.utils.unpack_x_y_sample_weight(first)
        if isinstance(x, dict):
            y = y["labeled"] if isinstance(y, dict) else y
            first_batch.check(self.trained, x["labeled"], y)
            self.outside_changes.forget_assigned()

    def _prepare_metrics(self, y):
        """Makes the metrics' variables, from the labels that will come."""
        self.measuring.prepare(y["labeled"] if isinstance(y, dict) else y)

    def _checked_labels(self, x, y, sample_weight):
        """Labels as arrays; raises unless all are views and labels."""
        batches.check_batch(x, y, sample_weight, self.num_classes)
        arrays.finite(x, "x")
        if not isinstance(y, dict):
            return arrays.labels(y, self.num_classes)
        return {
            name: arrays.labels(labels, self.num_classes, name)
            for name, labels in y.items()
        }

    def _check_class_weight(self, kwargs, y):
        weights = kwargs.get("class_weight")
        batches.check_class_weight(weights, y, self.num_classes, whole=True)

    def _check_classes(self, dataset):
        """Raises if a dataset of ours has other classes than the networks."""
        stream = getattr(dataset, "stream", None)
        classes = self.num_classes if stream is None else stream.num_classes
        if classes != self.num_classes:
            raise ValueError(
                "`x` must have as many classes as the networks have outputs, "
                f"{self.num_classes}. Received: a dataset of {classes} classes"
            )

    def _check_validation(self, kwargs, epochs):
        """Raises unless validation data are `(x, y)` for one network."""
        data = kwargs["validation_data"]
        batches.refuse_views(data, "validation_data")
        batches.check_labeled(data, "validation_data")
        batchwise.refuse_twice(data, _num_validations(epochs, kwargs))
        first, data = batchwise.peek(data, "validation_data")
        kwargs["validation_data"] = data
        if first is not None:
            batches.refuse_views(first, "validation_data")
            data = tuple(keras.utils.unpack_x_y_sample_weight(first))
        if isinstance(data, tf.data.Dataset):
            x, y, _ = keras.utils.unpack_x_y_sample_weight(data.element_spec)
        elif isinstance(data, (tuple, list)) and len(data) in (2, 3):
            x, y = data[:2]
        else:
            return  # Keras's other kinds of data have no common form.
        batches.check_labels(y, x, "validation_data", self.num_classes)
        self._check_examples(x, "validation_data[0]")
        if not isinstance(data, tf.data.Dataset):
            arrays.finite(x, "validation_data[0]")
            arrays.labels(y, self.num_classes, "validation_data[1]")
            if first is None:
                _some_weight(data[2] if len(data) == 3 else None)

    # Evaluation, of the averaged network, and metrics.

    def test_step(self, data: Any) -> dict[str, Any]:
        """Crossentropy and metrics of the averaged network on `(x, y)`."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        batches.check_labels(y, x, "evaluation", self.num_classes)
        logits = self(x, training=False)
        values = losses.crossentropy(y, logits)
        odd = passes.odd_examples(x, y, self.num_classes)
        values += tf.cast(odd, values.dtype)
        # A replica may be left without examples of the last batch.
        count = tf.cast(tf.size(values), values.dtype)
        loss = weighted_mean(values, sample_weight)
        loss = tf.where(count > 0, loss, tf.zeros_like(loss))
        weighed = passes.any_weight(sample_weight)
        self.update_loss(loss, count if weighed is None else count * weighed)
        self.measuring.measure(x, y, logits, sample_weight)
        return self.measuring.without_trackers(self.get_metrics_result())

    def evaluate(
        self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        """As `keras.Model.evaluate`, of the averaged network on `(x, y)`.

        The values are NaN, with a warning, if the loss is not finite, or
        nothing was measured.
        """
        if not kwargs.get("_use_cached_eval_dataset"):  # as in `fit`
            x = self._check_first_batch_of(x)
        self._check_examples(x)
        self._check_evaluated(x, y, kwargs.get("sample_weight"))
        self._evaluating = True
        try:
            result = super().evaluate(x, y, *args, **kwargs)
        finally:
            self._evaluating = False
        self._warn_of_nan(result)
        return result

    def _check_first_batch_of(self, x, labeled=True):
        """Looks at the first of batches; returns them with that one."""
        first, x = batchwise.peek(x, "x")
        if first is not None:
            batches.refuse_views(first, "x")
            examples, y, _ = keras.utils.unpack_x_y_sample_weight(first)
            self._check_examples(examples)
            if labeled:
                batches.check_labels(y, examples, "x", self.num_classes)
                self._check_evaluated(examples, y, None)
        return x

    def _check_examples(self, x, argument="x"):
        """Raises unless they are examples as the averaged network takes them.

        Of what gives batches one after another the first one is looked at.
        """
        batches.refuse_views(x, argument)
        if x is None:
            raise ArgumentError(
                argument,
                "be examples, or a dataset of `(x, y)`. `data.test` and "
                "`data.validation` are None where the data were made without "
                "`test` or `validation` (or a fraction for it)",
                "None",
            )
        if isinstance(x, tf.data.Dataset):
            x = keras.utils.unpack_x_y_sample_weight(x.element_spec)[0]
        if batches.is_structure(x):
            inputs.check(self.outside_changes.average, x, argument)

    def _check_evaluated(self, x, y, sample_weight):
        """Raises unless examples and labels can be measured with."""
        if y is not None:
            arrays.finite(x, "x")
            y = arrays.labels(y, self.num_classes)
        elif isinstance(x, tf.data.Dataset):
            x, y, _ = keras.utils.unpack_x_y_sample_weight(x.element_spec)
            batches.check_labels(y, x, "evaluation", self.num_classes)
        if y is not None and tf.TensorShape(y.shape).rank is not None:
            self._prepare_metrics(y)
        _some_weight(sample_weight)

    def _warn_of_nan(self, result):
        """Says why values are NaN."""
        flat = keras.tree.flatten(
            result.get("loss") if isinstance(result, dict) else result
        )
        if flat and flat[0] is not None and not np.isfinite(flat[0]):
            warnings.warn(
                "The loss of the evaluation is not finite, so that its metrics "
                "are NaN. Look for values in the data that are not finite, "
                f"labels outside of [0, {self.num_classes}), rows of labels "
                "that do not sum to 1, and examples that all weigh 0.",
                stacklevel=3,
            )

    def test_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """As `keras.Model.test_on_batch`, of the averaged network."""
        self._check_examples(x)
        self._check_evaluated(x, y, sample_weight)
        self._evaluating = True
        try:
            logs = super().test_on_batch(x, y, sample_weight, return_dict=True)
            return self.over_replicas(logs, return_dict)
        finally:
            self._evaluating = False

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.predict`, of the averaged network."""
        x = self._check_first_batch_of(x, labeled=False)
        self._check_examples(x)
        return super().predict(x, *args, **kwargs)

    def predict_on_batch(self, x: Any) -> Any:
        """As `keras.Model.predict_on_batch`, of the averaged network."""
        self._check_examples(x)
        return super().predict_on_batch(x)

    def get_metrics_result(self) -> dict[str, Any]:
        """Values of all metrics; in evaluation of those it measures.

        What measured nothing is NaN.
        """
        result = super().get_metrics_result()
        result = self.measuring.without_guesses(result)
        if self._evaluating:
            return self.measuring.without_trackers(result)
        return result


class _StopWhenBad(keras.callbacks.Callback):
    """Looks at the count of bad steps, not so often that devices wait."""

    def on_train_batch_begin(self, batch, logs=None):
        self.model.schedule_check.before(self.model.steps_per_execution)

    def on_train_batch_end(self, batch, logs=None):
        self.model.outside_changes.forget_assigned()
        if batch % 10 == 9:
            self._check()

    def on_epoch_end(self, epoch, logs=None):
        self._check()
        if logs is not None:
            logs["bad_steps"] = int(self.model.bad_steps.numpy())

    def _check(self):
        self.model.safeguard.check(
            int(self.model.step.numpy()), self.model.num_classes
        )


class _CheckRates(keras.callbacks.Callback):
    """Looks at learning rates, after other callbacks have set them."""

    def on_train_batch_begin(self, batch, logs=None):
        if batch == 0:
            self.model.check_rates()
        self.model.assigned_rates.check()

    def on_epoch_end(self, epoch, logs=None):
        self.model.check_rates()  # perhaps not by Keras's `assign`


def _some_weight(sample_weight):
    """Raises if arrays' weights are all 0: nothing would be measured."""
    if sample_weight is not None and not np.any(sample_weight):
        raise ArgumentError(
            "sample_weight", "not be 0 for all examples", "zeros"
        )


def _num_validations(epochs, kwargs):
    """How often `fit` evaluates."""
    often = kwargs.get("validation_freq", 1)
    ended = range(kwargs.get("initial_epoch", 0) + 1, epochs + 1)
    if isinstance(often, int):
        return sum(epoch % often == 0 for epoch in ended)
    return sum(epoch in often for epoch in ended)


def _batch_size(spec):
    """How many examples, where it is known."""
    return tf.nest.flatten(spec)[0].shape[0]


def _steps_per_epoch(dataset, kwargs):
    """What the user says, or the dataset; raises if it would never end."""
    steps = kwargs.get("steps_per_epoch")
    if steps is None:
        stream = getattr(dataset, "stream", None)
        steps = stream and stream.steps_per_epoch
    if steps is None and dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError(
            "`steps_per_epoch` must be given for a dataset without end. "
            "(`pipeline.training_dataset` knows its own, but the dataset that "
            "`map`, `prefetch` and the like make of it does not.) Received: "
            "steps_per_epoch=None"
        )
    return steps
