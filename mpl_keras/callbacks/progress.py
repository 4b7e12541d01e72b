"""How far a training is, in a line for each epoch."""

import shutil
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
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
        metrics: Names of what to print, as far as there is such a metric; of
            one with a value for each class their mean.
        epochs: Whether a line stays for each epoch.
        student_wait: Steps in which the student waits for its teacher: so long
            the lines say so, because what is evaluated has learned nothing yet.
        teacher_data: Batches of labeled examples that the teacher is measured
            on meanwhile, after each epoch; None measures nothing.
        describe: Makes the line instead, as of a training among several. It
            gets the steps done and the seconds left, None where these are not
            known yet; on a terminal before the first step, too.

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
        describe: Callable[[int, float | None], str] | None = None,
    ):
        super().__init__()
        self.steps = arguments.integer("steps", steps, 1)
        self.metrics = tuple(metrics)
        self.epochs = epochs
        self.student_wait = arguments.integer("student_wait", student_wait, 0)
        self.teacher_data = teacher_data
        self.describe = describe
        self._done, self._noted = None, False

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Finds out where the training is."""
        if self._done is None:
            self._ours = isinstance(self.model, DistributedModel)
            self._done = int(self.model.step.numpy()) if self._ours else 0
            self._first, self._begin, self._shown = None, 0.0, time.time()
            if self.describe is not None and sys.stdout.isatty():
                self._show(self._line({}))

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
        seconds = 0.3 if sys.stdout.isatty() else 60
        if time.time() - self._shown > seconds:
            self._shown = time.time()
            self._show(self._line(logs))

    def _show(self, line):
        """Prints a line: over the one before, where there is a terminal."""
        if sys.stdout.isatty():
            columns = _columns()
            print(f"\r{line[:columns]:{columns}}", end="", flush=True)
        else:
            print(line, flush=True)

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
        clear_line()
        print(self._line(logs, self._teacher()), flush=True)
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

    def _left(self):
        """Seconds until the last step, or None where none was measured."""
        measured = self._done - (self._first or self._done)
        if measured <= 0:
            return None
        each = (time.time() - self._begin) / measured
        return each * (self.steps - self._done)

    def _line(self, logs, teacher=""):
        left = self._left()
        if self.describe is not None:
            return self.describe(self._done, left)
        text = f"step {self._done:,} of {self.steps:,}"
        if left is not None:
            hours, rest = divmod(round(left), 3600)
            text += f", {hours}:{rest // 60:02}:{rest % 60:02} left"
        if self._done <= self.student_wait:
            text += f", the student waits until step {self.student_wait:,}"
            text += teacher
        for name in self.metrics:
            if name in (logs or {}):
                text += f", {name} {np.mean(logs[name]):.3f}"
        return text


def clear_line() -> None:
    """Takes the line of progress away, where there is a terminal.

    Example:
    >>> clear_line()
    """
    if sys.stdout.isatty():
        print(f"\r{'':{_columns()}}\r", end="", flush=True)


def _columns():
    """Of a line that no terminal wraps, so that another one replaces it."""
    return shutil.get_terminal_size().columns - 1
