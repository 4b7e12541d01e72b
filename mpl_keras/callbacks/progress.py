"""How far a training is, in a line for each epoch."""

import sys
import time
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from mpl_keras import evaluation
from mpl_keras.checks import arguments
from mpl_keras.distribute.trainer import DistributedModel
from mpl_keras.evaluation import confusion


class Progress(keras.callbacks.Callback):
    """Prints the step, the time that is left, and some metrics.

    One line for every epoch; meanwhile one that changes on a terminal, and a
    new one every minute elsewhere. For `fit(..., verbose=0)`.

    Args:
        steps: The last step of all, over several calls of `fit` if need be.
        metrics: Names of what to print, as far as there is such a metric.
        epochs: Whether a line stays for each epoch.
        student_wait: Steps in which the student waits for its teacher: so long
            the lines say so, because what is evaluated has learned nothing yet.
        teacher_data: Batches of labeled examples that the teacher is measured
            on meanwhile, after each epoch; None measures nothing.

    From half of the steps on a note says, once, that what is evaluated is no
    better than chance.

    Example:
    >>> import numpy as np
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
        metrics: Sequence[str] = (
            "loss",
            "val_accuracy",
            "mask_rate",
            "feedback_share",
        ),
        epochs: bool = True,
        student_wait: int = 0,
        teacher_data: tf.data.Dataset | None = None,
    ):
        super().__init__()
        self.steps = arguments.integer("steps", steps, 1)
        self.metrics = tuple(metrics)
        self.epochs = epochs
        self.student_wait = arguments.integer("student_wait", student_wait, 0)
        self.teacher_data = teacher_data
        self._done, self._noted = None, False

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Finds out where the training is."""
        if self._done is None:
            self._ours = isinstance(self.model, DistributedModel)
            self._done = int(self.model.step.numpy()) if self._ours else 0
            self._first, self._begin, self._shown = None, 0.0, time.time()

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Prints over the line before, a few times in a second."""
        if self._ours and self.model.resuming:
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

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Counts the batches of an epoch from 0."""
        self._batches = 0

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Prints a line that stays."""
        if not self.epochs:
            return
        start = "\r" if sys.stdout.isatty() else ""
        line = self._line(logs, self._teacher())
        print(f"{start}{line:100}".rstrip(" "), flush=True)
        if self._at_chance(logs or {}):
            self._noted = True
            print(
                "note: after half of the steps what is evaluated is no better "
                f"than chance, val_accuracy {logs['val_accuracy']:.3f} for "
                f"{self.model.num_classes} classes. More steps, more labels or "
                "a lower learning rate may help.",
                flush=True,
            )

    def _teacher(self):
        """How good the teacher is while the student waits, in words."""
        waits = self._ours and self._done <= self.student_wait
        if not waits or self.teacher_data is None:
            return ""
        counts = evaluation.confusion_matrix(
            self.model.labeler, self.teacher_data, self.model.num_classes
        )
        return (
            f"; the teacher is at {100 * evaluation.accuracy_of(counts):.0f} %"
        )

    def _at_chance(self, logs):
        """Whether this is to be said now: once, and of a measured accuracy."""
        late = self._done >= max(self.steps / 2, 2 * self.student_wait)
        if self._noted or not (self._ours and late):
            return False
        chance = 1 / self.model.num_classes
        accuracy = logs.get("val_accuracy", 1.0)
        return accuracy <= confusion.NEAR_CHANCE * chance

    def _line(self, logs, teacher=""):
        text = f"step {self._done:,} of {self.steps:,}"
        measured = self._done - (self._first or self._done)
        if measured > 0:
            each = (time.time() - self._begin) / measured
            hours, rest = divmod(round(each * (self.steps - self._done)), 3600)
            text += f", {hours}:{rest // 60:02}:{rest % 60:02} left"
        if self._done <= self.student_wait:
            text += f", the student waits until step {self.student_wait:,}"
            text += teacher
        for name in self.metrics:
            if name in (logs or {}):
                text += f", {name} {logs[name]:.3f}"
        return text
