"""Callbacks for training with the losses of this library, and for watching.

Ramps are for a Keras model of your own: `MetaPseudoLabels` and `UDA` pass their
own step to the schedules.
"""

import sys
import time

import keras
import numpy as np

from mpl_keras import arguments, checks, networks, samples, schedules


class _LossSchedule(keras.callbacks.Callback):
    """Sets a number of a loss before each batch, by the optimizer's step."""

    def __init__(self, variable: keras.Variable, schedule):
        super().__init__()
        self._variable = variable
        most = 1 if variable.name == "threshold" else None
        self.schedule = schedules.check_schedule(
            "schedule", schedule, least=0, most=most
        )

    def on_train_batch_begin(self, batch, logs=None):
        """Sets the number for the step that comes.

        The optimizer counts the steps, and is saved with the model, so that a
        resumed training goes on where it was. With `steps_per_execution` of k
        the number stays for k steps.
        """
        step = self.model.optimizer.iterations
        self._variable.assign(schedules.value_at(self.schedule, step))

    def on_epoch_end(self, epoch, logs=None):
        """Shows the number beside the epoch's metrics."""
        if logs is not None:
            logs[self._variable.name] = float(self._variable)


class ConsistencyWeightRamp(_LossSchedule):
    """Ramps the weight of a `losses.UDALoss`.

    Example:
    >>> from mpl_keras import losses, schedules
    >>> loss = losses.UDALoss(weight=0.0)
    >>> ramp = ConsistencyWeightRamp(loss, schedules.LinearRamp(8.0, 5000))

    Args:
        loss: A `losses.UDALoss` that the model trains with.
        schedule: A schedule of the optimizer's step, or a number.

    Raises:
        ValueError: If the loss has no weight.
    """

    def __init__(self, loss, schedule):
        super().__init__(_variable_of(loss, "weight"), schedule)


class SignalAnnealing(_LossSchedule):
    """Sets the threshold of training signal annealing.

    Example:
    >>> from mpl_keras import losses, schedules
    >>> loss = losses.AnnealedSparseCategoricalCrossentropy()
    >>> threshold = schedules.SignalAnnealing(steps=5000, num_classes=10)
    >>> annealing = SignalAnnealing(loss, threshold)

    Args:
        loss: An annealed crossentropy or a `losses.UDALoss`.
        schedule: A schedule of the optimizer's step, such as
            `schedules.SignalAnnealing`, or a number.

    Raises:
        ValueError: If the loss has no threshold.
    """

    def __init__(self, loss, schedule):
        super().__init__(_variable_of(loss, "threshold"), schedule)


def _variable_of(loss, name):
    variable = getattr(loss, name, None)
    if not isinstance(variable, keras.Variable):
        raise ValueError(
            f"`loss` must be a loss of `mpl_keras.losses` whose `{name}` can "
            f"be set. Received: loss={loss!r}"
        )
    return variable


class PseudoLabelMonitor(keras.callbacks.Callback):
    """Measures the quality of pseudo labels after each epoch.

    Adds to the epoch's logs, and so to `History` and to loggers that come
    after it:

    - `pseudo_label_mean_confidence`: mean of the highest probability;
    - `pseudo_label_coverage`: share of examples above the threshold;
    - `pseudo_label_marginal_gap`: total variation distance, in [0, 1], between
      the class marginals of the pseudo labels and `expected_marginals`;
    - `pseudo_label_accuracy` and `pseudo_label_accuracy_covered`, where the
      truth is known.

    The marginals themselves are in the attribute `marginals`, one row per
    measurement.

    Example:
    >>> x = np.zeros((8, 2), "float32")
    >>> net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    >>> monitor = PseudoLabelMonitor(x, y=[0] * 8, network=net, threshold=0.9)
    >>> monitor.measure()["pseudo_label_coverage"]
    0.0

    Args:
        x: Unlabeled examples, as the network takes them.
        y: Their true labels, where they are known, indices or one-hot. Only
            measured with.
        network: The network that labels; by default the model's teacher, or
            the model itself where it has none. It outputs logits.
        threshold: Confidence above which an example counts as covered, in
            `[0, 1]`.
        expected_marginals: Class probabilities; uniform by default.
        batch_size: Of the network's passes.
        every: Measures after every so many epochs.

    Raises:
        ValueError: If an argument is not what it must be.
    """

    def __init__(
        self,
        x,
        y=None,
        *,
        network: keras.Model | None = None,
        threshold: float = 0.95,
        expected_marginals=None,
        batch_size: int = 256,
        every: int = 1,
    ):
        super().__init__()
        arguments.number("threshold", threshold, least=0, most=1)
        if network is not None and not isinstance(network, keras.Model):
            raise ValueError(
                "`network` must be a `keras.Model` or None. Received: "
                f"network={network!r}"
            )
        self.x = checks.examples(x, "x")
        self.y = y
        self.network = network
        self.threshold = threshold
        self.expected_marginals = expected_marginals
        self.batch_size = arguments.integer("batch_size", batch_size, least=1)
        self.every = arguments.integer("every", every, least=1)
        self.marginals = []

    def on_train_begin(self, logs=None):
        """Checks the labels and marginals against the network's classes."""
        network = self._labeler()
        num_classes = getattr(network, "num_classes", None)
        num_classes = num_classes or networks.output_width(network, "network")
        if self.y is not None:
            checks.same_length(self.x, self.y, "x", "y")
            checks.labels(self.y, num_classes)
        expected = self.expected_marginals
        if expected is not None:
            expected = np.asarray(expected, dtype="float64")
            ok = expected.shape == (num_classes,) and (expected >= 0).all()
            if not ok or not abs(expected.sum() - 1) <= 1e-4:
                raise ValueError(
                    f"`expected_marginals` must be {num_classes} "
                    "probabilities that sum to 1. Received: "
                    f"expected_marginals={self.expected_marginals}"
                )

    def _labeler(self):
        """The network that labels."""
        return self.network or getattr(self.model, "teacher", self.model)

    def on_epoch_end(self, epoch, logs=None):
        """Measures, and adds the values to the logs."""
        if (epoch + 1) % self.every == 0 and logs is not None:
            logs.update(self.measure())

    def measure(self) -> dict[str, float]:
        """The values of now."""
        logits = self._labeler().predict(self.x, self.batch_size, verbose=0)
        probabilities = samples.softmax(np.asarray(logits))
        confidence = probabilities.max(axis=-1)
        labels = probabilities.argmax(axis=-1)
        covered = confidence >= self.threshold
        num_classes = probabilities.shape[-1]
        marginals = np.bincount(labels, minlength=num_classes) / len(labels)
        self.marginals.append(marginals)
        expected = self.expected_marginals
        expected = 1 / num_classes if expected is None else expected
        values = {
            "mean_confidence": confidence.mean(),
            "coverage": covered.mean(),
            "marginal_gap": np.abs(marginals - expected).sum() / 2,
        }
        if self.y is not None:
            truth = checks.class_ids(checks.labels(self.y, num_classes))
            right = labels == truth
            values["accuracy"] = right.mean()
            values["accuracy_covered"] = (
                right[covered].mean() if covered.any() else np.nan
            )
        return {
            f"pseudo_label_{name}": float(value)
            for name, value in values.items()
        }


class Progress(keras.callbacks.Callback):
    """Prints the step, the time that is left, and some metrics.

    One line for every epoch; meanwhile one that changes on a terminal, and a
    new one every minute elsewhere. For `fit(..., verbose=0)`.

    Args:
        steps: The last step of all, over several calls of `fit` if need be.
        metrics: Names of what to print, as far as there is such a metric.

    Example:
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> history = model.fit(
    ...     np.ones((4, 1)), np.ones(4), verbose=0, callbacks=[Progress(1)]
    ... )  # doctest: +ELLIPSIS
    step 1 of 1, loss ...
    """

    def __init__(
        self,
        steps: int,
        metrics=("loss", "val_accuracy", "mask_rate", "feedback_share"),
    ):
        super().__init__()
        self.steps = arguments.integer("steps", steps, 1)
        self.metrics = tuple(metrics)
        self._done = None

    def on_train_begin(self, logs=None):
        """Finds out where the training is."""
        if self._done is None:
            step = getattr(self.model, "step", None)
            self._done = 0 if step is None else int(step.numpy())
            self._first, self._begin, self._shown = None, 0.0, time.time()

    def on_train_batch_end(self, batch, logs=None):
        """Prints over the line before, a few times in a second."""
        if getattr(self.model, "resuming", False):
            self._batches = batch + 1
            return
        # `batch` is that of the last step of an execution of several.
        self._done += batch + 1 - self._batches
        self._batches = batch + 1
        if self._first is None:
            # The first step is compiled: what it takes tells nothing.
            self._first, self._begin = self._done, time.time()
        terminal = sys.stdout.isatty()
        if time.time() - self._shown > (0.3 if terminal else 60):
            self._shown = time.time()
            if terminal:
                print(f"\r{self._line(logs):100}", end="", flush=True)
            else:
                print(self._line(logs), flush=True)

    def on_epoch_begin(self, epoch, logs=None):
        """Counts the batches of an epoch from 0."""
        self._batches = 0

    def on_epoch_end(self, epoch, logs=None):
        """Prints a line that stays."""
        start = "\r" if sys.stdout.isatty() else ""
        print(f"{start}{self._line(logs):100}".rstrip(" "), flush=True)

    def _line(self, logs):
        text = f"step {self._done:,} of {self.steps:,}"
        measured = self._done - (self._first or self._done)
        if measured > 0:
            each = (time.time() - self._begin) / measured
            hours, rest = divmod(round(each * (self.steps - self._done)), 3600)
            text += f", {hours}:{rest // 60:02}:{rest % 60:02} left"
        for name in self.metrics:
            if name in (logs or {}):
                text += f", {name} {logs[name]:.3f}"
        return text
