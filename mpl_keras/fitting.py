"""How a model is trained and evaluated through Keras's own methods.

`fit` checks the data before the first step, goes on where a backup says, and
stops when steps go bad; metrics are of one network and one form of labels.
"""

import keras
import tensorflow as tf

from mpl_keras import batches, checks, distribution, losses
from mpl_keras.passes import weighted_mean
from mpl_keras.saving import SavableModel

VIEWS = ("labeled", "weak", "strong")


class FittedModel(SavableModel):
    """Base class: `fit`, `evaluate` and metrics of a semi-supervised model.

    A subclass has `num_classes`, `step` and the states that count bad steps.

    Attributes:
        examples_per_step: Labeled and unlabeled examples that a step of `fit`
            trains on, where the data say how many; or None.
    """

    examples_per_step = None
    # Of a subclass's instances.
    _evaluating = False
    _label_rows = None  # the form of the labels that metrics know

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
        sizes = {}
        if isinstance(x, tf.data.Dataset):
            views = x.element_spec[0]
            for name in ("labeled", "weak"):
                sizes[f"{name} batch size"] = _batch_size(views[name])
        distribution.check_replicas(self, self._trained_networks(), sizes)

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

    # Evaluation, of the averaged network, and metrics.

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


class _StopWhenBad(keras.callbacks.Callback):
    """Looks at the count of bad steps, not so often that devices wait."""

    def on_train_batch_end(self, batch, logs=None):
        if batch % 10 == 9:
            self.model.check_bad_steps()

    def on_epoch_end(self, epoch, logs=None):
        self.model.check_bad_steps()
        if logs is not None and int(self.model.bad_steps.numpy()):
            logs["bad_steps"] = int(self.model.bad_steps.numpy())


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
