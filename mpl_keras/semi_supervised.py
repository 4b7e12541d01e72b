"""What `MetaPseudoLabels` and `UDA` share.

The teacher's own loss (supervised + consistency), a counted step, the averaged
network that people evaluate and deploy, and what makes both good Keras models:
metrics, `fit`, `export`, saving.
"""

import os
from typing import NamedTuple

import keras
import tensorflow as tf

from mpl_keras import (
    arguments,
    averaging,
    batch_norm,
    batches,
    checks,
    distribution,
    export,
    losses,
    networks,
    safeguard,
    schedules,
    serving,
)

VIEWS = ("labeled", "weak", "strong")
NETWORKS = ("teacher", "student", "model")  # that are trained, as attributes


class SemiSupervisedModel(distribution.DistributedModel):
    """Base class: a network with UDA's loss, and the average of one.

    Args:
        average_of: The network whose moving average is evaluated.
        argument: What the user calls it.
        consistency: A `ConsistencyLoss`, None, or "default".
        consistency_weight: A number or a schedule.
        supervised_threshold: None, or a number or schedule: the threshold of
            training signal annealing.
        label_smoothing: In `[0, 1)`.
        ema_momentum: In `[0, 1)`.
        name: Of the model.

    Attributes:
        bad_steps: How many steps had a loss or gradient that was not finite,
            and were undone.
        bad_steps_limit: After so many in a row training stops.
        examples_per_step: Labeled and unlabeled examples that a step of `fit`
            trains on, where the data say how many; or None.
    """

    bad_steps_limit = 20
    examples_per_step = None

    def __init__(
        self,
        average_of: keras.Model,
        argument: str,
        *,
        consistency,
        consistency_weight,
        supervised_threshold,
        label_smoothing: float,
        ema_momentum: float,
        name: str | None,
    ):
        # The average casts its inputs itself, each layer by its own policy.
        super().__init__(name=name, dtype="float32", autocast=False)
        if isinstance(consistency, str) and consistency == "default":
            consistency = losses.ConsistencyLoss(temperature=0.7, threshold=0.6)
        if consistency is not None and not isinstance(
            consistency, losses.ConsistencyLoss
        ):
            raise ValueError(
                "`consistency` must be an `mpl_keras.losses.ConsistencyLoss` "
                f"or None. Received: consistency={consistency!r}"
            )
        self.consistency = consistency
        self.consistency_weight = schedules.check_schedule(
            "consistency_weight", consistency_weight, least=0
        )
        self.supervised_threshold = supervised_threshold
        if supervised_threshold is not None:
            schedules.check_schedule(
                "supervised_threshold", supervised_threshold, 0, 1
            )
        arguments.number("label_smoothing", label_smoothing, 0, below=1)
        arguments.number("ema_momentum", ema_momentum, 0, below=1)
        self.label_smoothing = label_smoothing
        self.ema_momentum = ema_momentum
        self.num_classes = networks.output_width(average_of, argument)
        self.averaged = averaging.clone(average_of, argument)
        self.step = self._state("step", (), "zeros", "int64")
        self.bad_steps = self._state("bad_steps", (), "zeros", "int64")
        self._bad_in_row = self._state("bad_in_row", (), "zeros", "int64")
        self._first_bad = self._state("first_bad", (), "zeros", "int64")
        self._add_alignment()
        self._trackers = {}
        self._evaluating = False
        self._label_rows = None  # the form of the labels that metrics know
        self.built = True

    def _state(self, name, shape, initializer, dtype="float32"):
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=initializer,
            dtype=dtype,
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
        )

    def _add_alignment(self):
        """Running class marginals, for distribution alignment."""
        self.predicted_marginal = self.labeled_marginal = None
        if self._prior is None:
            return
        shape = (self.num_classes,)
        if not isinstance(self._prior, str):
            if len(self._prior) != self.num_classes:
                raise ValueError(
                    "`distribution_alignment` must be one probability per "
                    f"class, {self.num_classes}. Received: {self._prior}"
                )
        uniform = keras.initializers.Constant(1.0 / self.num_classes)
        self.predicted_marginal = self._state("predicted", shape, uniform)
        self.labeled_marginal = self._state("labeled", shape, uniform)

    @property
    def _prior(self):
        return self.consistency and self.consistency.distribution_alignment

    def _track(self, *names):
        for name in names:
            self._trackers[name] = keras.metrics.Mean(name=name)

    # The network that people use is the average.

    def call(self, inputs, training=None):
        """Logits of the averaged network, in inference mode.

        Args:
            inputs: What the network takes.
            training: Not used: the average is never trained.

        Returns:
            Logits, shape `(batch, num_classes)`.
        """
        del training
        return self.averaged(inputs, training=False)

    def export(
        self,
        filepath,
        format: str = "tf_saved_model",
        *,
        data=None,
        network: str = "averaged",
        overwrite: bool = False,
        **kwargs,
    ):
        """Writes a network as people deploy it; it needs no mpl_keras then.

        With `data`, images of any size (a SavedModel: also files) go in, and
        probabilities and class names come out; a model card is written beside.
        See `serving.write_classifier`. Without, it is the bare network, from
        its inputs to logits, as `keras.Model.export` writes it.

        Args:
            filepath: Folder (SavedModel) or file to write. It appears when it
                is complete.
            format: "tf_saved_model", "litert", "litert_int8", "onnx" or
                "keras"; without `data`, what `keras.Model.export` knows.
            data: What it was trained on, a `SemiSupervisedData` of images.
            network: "averaged", or the name of a network that was trained.
            overwrite: Whether to replace what is there.
            **kwargs: `keras.Model.export`'s, without `data`.

        Raises:
            FileExistsError: If there is something at `filepath`, and it is not
                to be overwritten.
            ImportError: What the format needs is not installed.
            ValueError: No such network or format, or what is written would
                not give what the network gives.
        """
        trained = [name for name in NETWORKS if hasattr(self, name)]
        arguments.choice("network", network, ("averaged", *trained))
        chosen = getattr(self, network)
        if data is None:
            export.write_network(
                chosen, filepath, format, overwrite=overwrite, **kwargs
            )
            return
        if kwargs:
            raise TypeError(
                f"`export` with `data` takes no {', '.join(kwargs)}."
            )
        serving.write_classifier(
            chosen,
            filepath,
            data,
            format=format,
            overwrite=overwrite,
            facts={
                "network": self._describe(network),
                "trained_steps": int(self.step.numpy()),
            },
        )

    def _describe(self, network):
        """A network in words."""
        if network == "averaged":
            of = "student" if hasattr(self, "student") else "network"
            return f"averaged {of}, ema_momentum {self.ema_momentum:g}"
        return {"model": "network", "student": "student as trained"}.get(
            network, network
        )

    # The loss of UDA.

    def _unpack(self, data):
        """Views, labels and weights of a batch, checked as far as shapes go."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        batches.check(x, y, sample_weight, self.num_classes)
        return x, y, sample_weight

    @staticmethod
    def _forward(network, x, views, learned):
        """Training passes over the views of a batch.

        All that it learns through go together: one pass is cheaper than three,
        and lets BatchNorm see labeled and unlabeled examples. The weak views,
        nearly half of all, may go by themselves where nothing is learned
        through them: their activations are not kept, and there is no backward
        pass. Each pass updates the moving statistics once.

        Args:
            network: What looks at them.
            x: Batch of views.
            views: Those that are looked at.
            learned: Those through whose logits it will learn.
        """
        logits = {}
        apart = [view for view in views if view not in learned]
        if apart:
            logits |= _look(network, x, apart)
        with tf.GradientTape() as tape:
            logits |= _look(network, x, learned)
            penalty = penalty_of(network, logits["labeled"].dtype)
        learned = [logits[view] for view in learned]
        return _Pass(network, tape, logits, penalty, learned)

    def _apply(self, optimizer, recorded, gradients):
        """Updates a network, given the gradients to its logits."""
        penalty = recorded.penalty
        scale = optimizer.scale_loss(1.0) / distribution.num_replicas()
        scale = tf.cast(scale, penalty.dtype)
        variables = recorded.network.trainable_variables
        gradients = gradients_of(
            recorded.tape,
            [*recorded.learned, penalty],
            variables,
            [g * scale for g in (*gradients, tf.ones_like(penalty))],
        )
        distribution.apply_gradients(optimizer, gradients, variables)
        return gradients

    def _supervised_loss(self, labels, logits, sample_weight):
        values = losses.crossentropy(labels, logits, self.label_smoothing)
        if self.supervised_threshold is not None:
            threshold = schedules.value_at(self.supervised_threshold, self.step)
            mask = losses.annealing_mask(labels, logits, threshold)
            kept = distribution.mean(tf.reduce_mean(mask))
            values = tf.math.divide_no_nan(values * mask, kept)
        return weighted_mean(values, sample_weight)

    def _own_loss(self, logits, y, sample_weight):
        """Supervised + weight * consistency, and values to watch.

        One number per replica: the mean over its share of the batch.
        """
        supervised = self._supervised_loss(y, logits["labeled"], sample_weight)
        watch = {"supervised_loss": supervised}
        if self.consistency is None:
            return supervised, watch
        weak = self._align(logits["weak"], y)
        consistency = tf.reduce_mean(
            self.consistency.call(weak, logits["strong"])
        )
        weight = schedules.value_at(self.consistency_weight, self.step)
        weight = tf.cast(weight, consistency.dtype)
        watch["consistency_loss"] = consistency
        watch["consistency_weight"] = weight
        watch["mask_rate"] = tf.reduce_mean(self.consistency.mask(weak))
        return supervised + weight * consistency, watch

    def _align(self, weak, y):
        """Distribution alignment of the weak logits, where asked for."""
        weak = tf.stop_gradient(weak)
        if self._prior is None:
            return weak
        momentum = self.consistency.alignment_momentum
        marginals = [
            tf.reduce_mean(tf.nn.softmax(weak), axis=0),
            tf.reduce_mean(losses.dense_labels(y, self.num_classes), axis=0),
        ]
        marginals = distribution.mean(
            [tf.cast(marginal, tf.float32) for marginal in marginals]
        )
        states = [self.predicted_marginal, self.labeled_marginal]
        marginals = [
            momentum * state + (1.0 - momentum) * new
            for state, new in zip(states, marginals, strict=True)
        ]
        distribution.assign(states, marginals)
        predicted, prior = marginals
        if self._prior == "uniform":
            prior = tf.fill([self.num_classes], 1.0 / self.num_classes)
        elif self._prior != "labeled":
            prior = tf.constant(self._prior)
        return losses.align_logits(weak, prior, predicted)

    def _begin_step(self, labels):
        """Keeps all that the step may change, but for its own counters."""
        self._build_metrics(labels)
        self._set_label_form(labels)
        ours = (self.step, self.bad_steps, self._bad_in_row, self._first_bad)
        kept = {id(v) for v in ours} | {
            id(v) for v in distribution.loss_scale_variables(self)
        }
        return safeguard.Snapshot(
            v for v in distribution.state_variables(self) if id(v) not in kept
        )

    def _end_step(self, before, quantities):
        """Puts back what was, and counts, if a quantity is not finite.

        A gradient that overflowed under float16's loss scale is not counted:
        the scale is halved, and the next step is tried with that.
        """
        finite = safeguard.finite(quantities)
        before.restore_unless(tf.reduce_all(finite))
        scaled = distribution.loss_scale_variables(self) != []
        counted = [not (scaled and "gradient" in name) for name in quantities]
        bad = tf.logical_not(finite) & tf.constant(counted)
        any_bad = tf.cast(tf.reduce_any(bad), tf.int64)
        in_row = tf.convert_to_tensor(self._bad_in_row)
        first = tf.where(
            (any_bad == 1) & (in_row == 0),
            tf.argmax(bad),
            tf.convert_to_tensor(self._first_bad),
        )
        distribution.assign(
            [self.bad_steps, self._bad_in_row, self._first_bad],
            [self.bad_steps + any_bad, (in_row + 1) * any_bad, first],
        )
        self._quantities = tuple(quantities)
        return self.get_metrics_result()

    @staticmethod
    def _weights_of(network):
        return [v.value for v in network.trainable_variables]

    def check_bad_steps(self) -> None:
        """Raises if too many steps in a row went bad; `fit` calls it.

        Raises:
            FloatingPointError: It names the quantity that went bad first.
        """
        count = int(self._bad_in_row.numpy())
        if count >= self.bad_steps_limit:
            name = self._quantities[int(self._first_bad.numpy())]
            raise FloatingPointError(
                f"{count} steps in a row had values that are not finite: the "
                f"first was the {name}, in step "
                f"{int(self.step.numpy()) - count}. They left no trace: "
                "weights, statistics and backups are those of the last good "
                "step. Look for such values in the data and for labels outside "
                f"of [0, {self.num_classes}), or lower the learning rate."
            )

    def _finish_step(self, network, watch):
        """Averages the network, counts the step, shows the values."""
        momentum = averaging.momentum_at(self.step, self.ema_momentum)
        averaging.update(self.averaged, network, momentum)
        distribution.assign([self.step], [self.step + 1])
        for name, tracker in self._trackers.items():
            tracker.update_state(watch[name])

    # Keras.

    def test_step(self, data):
        """Crossentropy and metrics of the averaged network on `(x, y)`."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        batches.check_labels(y, x, "evaluation", self.num_classes)
        logits = self(x, training=False)
        values = losses.crossentropy(y, logits)
        # A replica may be left without examples of the last batch.
        count = tf.size(values)
        loss = weighted_mean(values, sample_weight)
        loss = tf.where(count > 0, loss, tf.zeros_like(loss))
        self.update_loss(loss, count)
        self._measure(x, y, logits, sample_weight)
        return self._without_trackers(super().get_metrics_result())

    def _measure(self, x, y, logits, sample_weight):
        """Updates the metrics, with labels in the form of the first ones.

        Keras decides once, from the first labels, what "accuracy" is, and
        counts wrongly if others come as one-hot rows and not as indices.
        """
        rows = self._set_label_form(y)
        if self._label_rows and not rows:
            y = losses.dense_labels(y, self.num_classes)
        elif rows and not self._label_rows:
            y = tf.argmax(y, axis=-1)
        return self.compute_metrics(x, y, logits, sample_weight)

    def _set_label_form(self, y):
        """Whether labels are rows; notes it if they are the first."""
        rows = len(y.shape) == 2 and y.shape[-1] == self.num_classes
        if self._label_rows is None or not self._metrics_built():
            self._label_rows = rows
        return rows

    def _without_trackers(self, result):
        return {
            name: value
            for name, value in result.items()
            if name not in self._trackers
        }

    def get_metrics_result(self):
        """Values of all metrics; in evaluation of those it measures."""
        result = super().get_metrics_result()
        return self._without_trackers(result) if self._evaluating else result

    def evaluate(self, x=None, y=None, *args, **kwargs):
        """As `keras.Model.evaluate`, of the averaged network on `(x, y)`."""
        if y is not None:
            self._prepare_metrics(checks.labels(y, self.num_classes))
        self._evaluating = True
        try:
            return super().evaluate(x, y, *args, **kwargs)
        finally:
            self._evaluating = False

    def test_on_batch(self, *args, **kwargs):
        """As `keras.Model.test_on_batch`, of the averaged network."""
        self._evaluating = True
        try:
            return super().test_on_batch(*args, **kwargs)
        finally:
            self._evaluating = False

    def fit(self, x=None, y=None, batch_size=None, epochs=1, **kwargs):
        """As `keras.Model.fit`, on batches of labeled and unlabeled views.

        Args:
            x: A dataset of `({"labeled", "weak", "strong"}, y)`, as
                `pipeline.training_dataset` makes it, whose number of steps per
                epoch is taken from it. Or arrays under these names, all of one
                length.
            y: Labels, where `x` holds arrays.
            batch_size: Where `x` holds arrays.
            epochs: Number of epochs.
            **kwargs: `keras.Model.fit`'s. `validation_data` is `(x, y)`
                without views, and is classified by the averaged network.

        Returns:
            A `keras.callbacks.History`.

        Raises:
            ValueError: Before the first step, if the data are not of this
                form, or the replicas of a strategy could not train as one
                does.
            distribution.WorkerLost: If one of several workers is gone: start
                all of them again.
        """
        if isinstance(x, tf.data.Dataset):
            kwargs["steps_per_epoch"] = _steps_per_epoch(x, kwargs)
            kwargs.setdefault("shuffle", False)  # as it is; Keras would warn
            data = keras.utils.unpack_x_y_sample_weight(x.element_spec)
            batches.check(*data, self.num_classes)
            self._check_classes(x)
            sizes = [_batch_size(data[0][view]) for view in VIEWS[:2]]
            self.examples_per_step = None if None in sizes else sum(sizes)
        elif isinstance(x, dict):
            y = self._checked_labels(x, y, kwargs.get("sample_weight"))
            self._prepare_metrics(y)
        if kwargs.get("validation_split"):
            raise ValueError(
                "`validation_split` must be 0: validation takes plain "
                "examples, not views; pass them as `validation_data`. "
                f"Received: validation_split={kwargs['validation_split']}"
            )
        if kwargs.get("validation_data") is not None:
            self._check_validation(kwargs["validation_data"])
        self.check_execution(x, kwargs.get("steps_per_epoch"))
        strategy = self.distribute_strategy
        callbacks = kwargs.get("callbacks")
        if isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks = callbacks.callbacks
        else:
            callbacks = [_StopWhenBad(), *keras.tree.flatten(callbacks or [])]
            kwargs["callbacks"] = callbacks
        try:
            with distribution.noticing_lost_workers(strategy):
                x, kwargs["initial_epoch"] = self._resume(x, callbacks, kwargs)
                x = distribution.distribute_batches(strategy, x)
                return super().fit(x, y, batch_size, epochs, **kwargs)
        finally:
            for callback in callbacks:
                getattr(callback, "on_fit_end", lambda: None)()

    def check_execution(self, x, steps: int | None) -> None:
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
        networks = {
            name: getattr(self, name)
            for name in NETWORKS
            if hasattr(self, name)
        }
        sizes = {}
        if isinstance(x, tf.data.Dataset):
            views = x.element_spec[0]
            for name in ("labeled", "weak"):
                sizes[f"{name} batch size"] = _batch_size(views[name])
        distribution.check_replicas(self, networks, sizes)

    def _resume(self, x, callbacks, kwargs):
        """The data and the epoch to begin with, as a backup may say."""
        begin = kwargs.get("initial_epoch", 0)
        self._to_skip, self.resuming = 0, False
        self.wishes = dict.fromkeys(distribution.WISHES, False)
        self.granted = dict(self.wishes)
        if isinstance(x, tf.data.Dataset):
            self._prepare_metrics(x.element_spec[1])
        for callback in callbacks:
            if not hasattr(callback, "on_fit"):
                continue
            if not hasattr(x, "from_step"):
                raise ValueError(
                    "`x` must be what `pipeline.training_dataset` returns to "
                    "be trained with a backup: other data cannot be entered "
                    f"in the middle. Received: x={x!r}"
                )
            steps = kwargs["steps_per_epoch"]
            epoch, batch = callback.on_fit(self, x, steps)
            if epoch or batch:
                begin, self._to_skip = epoch, batch
                x = x.from_step(x.start_step + epoch * steps + batch)
        return x, begin

    def train_on_batch(self, x, y=None, sample_weight=None, **kwargs):
        """As `keras.Model.train_on_batch`, on one batch of views."""
        y = self._checked_labels(x, y, sample_weight)
        self._prepare_metrics(y)
        return super().train_on_batch(x, y, sample_weight, **kwargs)

    def _prepare_metrics(self, y):
        """Makes the metrics' variables before a step is traced.

        TensorFlow traces a function twice that makes variables.
        """
        labels = y["labeled"] if isinstance(y, dict) else y
        self._set_label_form(labels)
        self._build_metrics(labels)

    def _checked_labels(self, x, y, sample_weight):
        """Labels as arrays; raises unless all are views and labels."""
        batches.check(x, y, sample_weight, self.num_classes)
        checks.finite(x, "x")
        if not isinstance(y, dict):
            return checks.labels(y, self.num_classes)
        return {
            name: checks.labels(labels, self.num_classes, name)
            for name, labels in y.items()
        }

    def _check_classes(self, dataset):
        """Raises if a dataset of ours has other classes than the networks."""
        classes = getattr(dataset, "num_classes", self.num_classes)
        if classes != self.num_classes:
            raise ValueError(
                "`x` must have as many classes as the networks have outputs, "
                f"{self.num_classes}. Received: a dataset of {classes} classes"
            )

    def _check_validation(self, data):
        """Raises unless validation data are `(x, y)` for one network."""
        if isinstance(data, tf.data.Dataset):
            x, y, _ = keras.utils.unpack_x_y_sample_weight(data.element_spec)
        elif isinstance(data, (tuple, list)) and len(data) in (2, 3):
            x, y = data[:2]
        else:
            return  # Keras's other kinds of data have no common form.
        if isinstance(x, dict) and set(VIEWS) <= set(x):
            raise ValueError(
                "`validation_data` must be `(x, y)` with plain examples, as "
                f"the network takes them. Received: the views {sorted(x)}"
            )
        batches.check_labels(y, x, "validation_data", self.num_classes)
        if not isinstance(data, tf.data.Dataset):
            checks.labels(y, self.num_classes, "validation_data[1]")

    def save(self, filepath, *args, **kwargs):
        """As `keras.Model.save`, to a `.keras` file alone.

        Raises:
            ValueError: If it is to be another kind of file, which could not
                hold two networks and their optimizers.
        """
        if not os.fspath(filepath).endswith(".keras"):
            raise ValueError(
                "`filepath` must end in '.keras' (for a SavedModel call "
                f"`export`). Received: filepath={filepath}"
            )
        super().save(filepath, *args, **kwargs)

    # Keras saves no seeds of random layers; without them a resumed training
    # would see other dropout masks.

    def save_own_variables(self, store):
        """Saves the model's own state and the seeds of all layers."""
        super().save_own_variables(store)
        for index, seed in enumerate(self._seeds()):
            store[f"seed_{index}"] = seed.numpy()

    def load_own_variables(self, store):
        """The inverse of `save_own_variables`."""
        seeds = self._seeds()
        for index, seed in enumerate(seeds):
            seed.assign(store[f"seed_{index}"])
        super().load_own_variables(
            {
                name: store[name]
                for name in store.keys()
                if not name.startswith("seed_")
            }
        )

    def _seeds(self):
        """States of all seed generators, in the order of the layers."""
        weights = {id(variable) for variable in self.weights}
        return [
            variable
            for variable in self.variables
            if id(variable) not in weights
            and variable.name == "seed_generator_state"
        ]

    def _serialized_compile(self, **optimizers):
        """Keras's own record of `compile`'s arguments, with our optimizers."""
        if not self.compiled:
            return None
        config = super().get_compile_config()
        names = "metrics", "weighted_metrics", "run_eagerly"
        names += "jit_compile", "steps_per_execution"
        config = {name: config[name] for name in names if name in config}
        for name, optimizer in optimizers.items():
            config[name] = keras.saving.serialize_keras_object(optimizer)
        return config

    def compile_from_config(self, config):
        """Compiles a loaded model; the optimizers are ready to be loaded."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    def get_config(self):
        """Arguments that both models have."""
        return {
            "name": self.name,
            "consistency": self.consistency
            and keras.saving.serialize_keras_object(self.consistency),
            "consistency_weight": schedules.serialize(self.consistency_weight),
            "supervised_threshold": schedules.serialize(
                self.supervised_threshold
            ),
            "label_smoothing": self.label_smoothing,
            "ema_momentum": self.ema_momentum,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The inverse of `get_config`."""
        return cls(
            **{
                name: keras.saving.deserialize_keras_object(
                    value, custom_objects=custom_objects
                )
                if isinstance(value, dict)
                else value
                for name, value in config.items()
            }
        )


class _StopWhenBad(keras.callbacks.Callback):
    """Looks at the count of bad steps, not so often that devices wait."""

    def on_train_batch_end(self, batch, logs=None):
        if batch % 10 == 9:
            self.model.check_bad_steps()

    def on_epoch_end(self, epoch, logs=None):
        self.model.check_bad_steps()
        if logs is not None and int(self.model.bad_steps.numpy()):
            logs["bad_steps"] = int(self.model.bad_steps.numpy())


def refuse_unknown(unknown, optimizers) -> None:
    """Raises if `compile` got arguments that it does not have."""
    if unknown:
        raise TypeError(
            f"`compile` takes {optimizers}, metrics, weighted_metrics, "
            "run_eagerly, jit_compile and steps_per_execution; the losses are "
            f"the model's own. Received also: {sorted(unknown)}"
        )


class _Pass(NamedTuple):
    """A network's recorded passes over the views of a batch."""

    network: keras.Model
    tape: tf.GradientTape
    logits: dict[str, tf.Tensor]
    penalty: tf.Tensor
    learned: list[tf.Tensor]  # logits that gradients come from


def _look(network, x, names):
    """Logits of some views, in one batch, by name."""
    images = tf.nest.map_structure(
        lambda *parts: tf.concat(parts, axis=0), *(x[name] for name in names)
    )
    with batch_norm.fused(network):
        logits = losses.as_float(network(images, training=True))
    sizes = [tf.shape(tf.nest.flatten(x[name])[0])[0] for name in names]
    return dict(zip(names, tf.split(logits, sizes), strict=True))


def penalty_of(network, dtype) -> tf.Tensor:
    """Sum of the regularisers' losses in a network's last pass."""
    return tf.add_n(
        [tf.zeros((), dtype)] + [tf.cast(x, dtype) for x in network.losses]
    )


def gradients_of(tape, target, sources, output_gradients=None):
    """Dense gradients, zeros where the target does not depend on a source."""
    gradients = tape.gradient(
        target,
        sources,
        output_gradients=output_gradients,
        unconnected_gradients=tf.UnconnectedGradients.ZERO,
    )
    return [tf.convert_to_tensor(gradient) for gradient in gradients]


def confidence(logits) -> tf.Tensor:
    """Mean over the batch of the highest probability."""
    return tf.reduce_mean(tf.reduce_max(tf.nn.softmax(logits), axis=-1))


def weighted_mean(values, sample_weight):
    """Mean over the batch of values, each times its weight."""
    if sample_weight is not None:
        weight = tf.cast(sample_weight, values.dtype)
        values *= tf.reshape(weight, tf.shape(values))
    return tf.reduce_mean(values)


def _batch_size(spec):
    """How many examples, where it is known."""
    return tf.nest.flatten(spec)[0].shape[0]


def _steps_per_epoch(dataset, kwargs):
    """What the user says, or the dataset; raises if it would never end."""
    steps = kwargs.get("steps_per_epoch")
    if steps is None:
        steps = getattr(dataset, "steps_per_epoch", None)
    if steps is None and dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError(
            "`steps_per_epoch` must be given for a dataset without end. "
            "(`pipeline.training_dataset` knows its own, but the dataset that "
            "`map`, `prefetch` and the like make of it does not.) Received: "
            "steps_per_epoch=None"
        )
    return steps
