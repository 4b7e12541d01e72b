"""A training in TensorBoard: numbers, pictures, and what it was set to."""

import time
import warnings
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpl_keras.callbacks import event_files, scalars, snapshots
from mpl_keras.checks import arguments
from mpl_keras.distribute import workers
from mpl_keras.distribute.fit_callback import FitCallback
from mpl_keras.distribute.trainer import DistributedModel

# By them trainings are compared in the HParams tab.
_COMPARED = (
    "held_out/accuracy",
    "held_out/loss",
    "training/accuracy",
    "loss/total",
    "loss/teacher",
    "loss/student",
    "pseudo_labels/mask_rate",
)
# Seconds of a step that pictures may take, and what they take at first.
_SHARE, _FIRST_COST = 0.5e-3, 1.0


class TensorBoard(keras.callbacks.TensorBoard, FitCallback):
    """Shows a training in TensorBoard, over the training's own step.

        watch = mpl_keras.callbacks.TensorBoard("run/tensorboard", data=data)
        model.fit(train, validation_data=data.validation, callbacks=[watch])

    and, while it trains or later, `tensorboard --logdir=run`.

    After each epoch it writes the losses by part, feedback and its baseline,
    pseudo labels, learning rates, the time of a step (without the first one,
    which is compiled, and without evaluation), images per second (labeled and
    unlabeled ones, each counted once), and all other metrics. With `data`
    there are pictures: weak and strong views with pseudo labels, the most and
    the least confident, classes of the pseudo labels beside those of the
    labeled set, and, on validation data or else test data, the averaged
    network's confusion matrix and reliability diagram. They are of a few
    hundred examples, always the same, and drawn as often as costs half a
    millisecond a step, and once at the end, which takes about a second.

    A training that goes on from a backup goes on here too: what was shown of
    later steps is dropped. So is all that a folder shows when another training
    begins in it from step 0.

    What cannot be written, as on a full disk, costs no training: it is left
    out, with a warning. Of several workers the first one writes, without
    pictures. Any other Keras model is shown without pictures, over its
    optimizer's iterations.

    Args:
        log_dir: Folder of this training alone.
        data: The `SemiSupervisedData` that is trained on, or None for no
            pictures.
        hyperparameters: Numbers, strings and booleans by name, for the HParams
            tab; None is shown as a word, and a tuple or list as words. Needs
            `pip install tensorboard`.
        update_freq: "epoch"; or a number of steps, or "batch" for 1, after
            which metrics are written between epochs too: means since the
            epoch began.
        pictures_every: Steps between pictures, which are drawn when an epoch
            ends; by default as many as are cheap.
        **keras_arguments: Of `keras.callbacks.TensorBoard`: `histogram_freq`,
            `write_images`, `write_graph` (here by default False),
            `profile_batch`, `embeddings_freq`, `embeddings_metadata`. They
            are written as Keras does, to a run `train` of their own, over
            epochs or batches.

    Raises:
        ValueError: If an argument is not what it must be.
        ImportError: If matplotlib or TensorBoard is needed, and missing.
        OSError: By `fit`, before the first step, if the folder cannot be
            written to.

    Example:
    >>> import tempfile
    >>> from mpl_keras import UDA, datasets, pipeline
    >>> model = UDA(keras.Sequential([keras.Input((2,)),
    ...                               keras.layers.Dense(2)]))
    >>> model.compile("sgd")
    >>> train = pipeline.training_dataset(
    ...     datasets.two_moons(), 6, 64, steps_per_epoch=5
    ... )
    >>> watch = TensorBoard(tempfile.mkdtemp(), hyperparameters={"seed": 0})
    >>> history = model.fit(train, epochs=2, callbacks=[watch], verbose=0)
    """

    def __init__(
        self,
        log_dir: Any = "logs",
        *,
        data: Any = None,
        hyperparameters: Mapping[str, Any] | None = None,
        update_freq: int | str = "epoch",
        pictures_every: int | None = None,
        **keras_arguments: Any,
    ):
        keras_arguments.setdefault("write_graph", False)
        # Keras's own numbers would be over batches of this process.
        super().__init__(arguments.path("log_dir", log_dir), **keras_arguments)
        self._keras_too = any(
            keras_arguments.get(name)
            for name in (
                "histogram_freq",
                "write_graph",
                "profile_batch",
                "embeddings_freq",
            )
        )
        self.every = None
        if update_freq != "epoch":
            every = 1 if update_freq == "batch" else update_freq
            self.every = arguments.integer("update_freq", every, 1)
        if pictures_every is not None:
            arguments.integer("pictures_every", pictures_every, 1)
        self.pictures_every = pictures_every
        self.snapshots = None if data is None else snapshots.Snapshots(data)
        self.hyperparameters = _plain(hyperparameters)
        self._file, self._chief, self._cost = None, True, _FIRST_COST
        if hyperparameters is not None:
            _hparams()

    # Beginning and end.

    def set_model(self, model: keras.Model) -> None:
        """Finds out who writes."""
        self._ours = isinstance(model, DistributedModel)
        self._chief = workers.is_chief(model.distribute_strategy)
        if self._keras_too and self._chief:
            super().set_model(model)
        else:
            keras.callbacks.Callback.set_model(self, model)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Opens the file of events."""
        self._step, self._compiled, self._told = self._now(), False, False
        self._drawn = self._step
        if not self._chief:
            return
        count = workers.num_workers(self.model.distribute_strategy)
        self._pictured = self.snapshots is not None and count == 1
        self._pictured = self._pictured and self._ours
        try:
            self._file = event_files.EventFile(self.log_dir, self._step)
        except OSError as error:
            raise OSError(
                "`log_dir` must be a folder that can be written to. Received: "
                f"log_dir={self.log_dir}, which failed with: {error}"
            ) from error
        if self._keras_too:
            super().on_train_begin(logs)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Draws the last step, and closes the file."""
        if not self._chief:
            return
        if self._pictured and self._drawn != self._now():
            self._draw()
        if self._keras_too:
            super().on_train_end(logs)
        self.on_fit_end()

    def on_fit_end(self) -> None:
        """What `fit` of this library's models calls, also when interrupted."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _now(self):
        """The step: how many are done."""
        step = (
            self.model.step if self._ours else self.model.optimizer.iterations
        )
        return int(keras.ops.convert_to_numpy(step))

    # Batches: as little as can be.

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Starts the clock, unless there is a step to be compiled."""
        if self._keras_too and self._chief:
            super().on_epoch_begin(epoch, logs)
        self._timed, self._batches = 0, 0
        self._begin = time.perf_counter() if self._compiled else None
        self._end = self._begin

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Keras's, where its profiler or graph is asked for."""
        if self._keras_too and self._chief:
            super().on_train_batch_begin(batch)

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Reads the clock."""
        done, self._batches = batch + 1 - self._batches, batch + 1
        if self._ours and self.model.resuming:
            return
        self._end = time.perf_counter()
        self._step += done
        if self._begin is None:
            self._begin, self._compiled = self._end, True
        else:
            self._timed += done
        if not self._chief:
            return
        if self._keras_too:
            super().on_train_batch_end(batch)
        if (
            self.every is not None
            and batch + 1 != self.params["steps"]  # the epoch's own
            and self._step // self.every > (self._step - done) // self.every
        ):
            self._write(
                self._step,
                scalars=scalars.tagged(self.model, logs or {}),
                told=scalars.told(self.model, logs or {}),
            )

    # Epochs.

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Writes the numbers, and pictures when it is time."""
        if not self._chief:
            return
        self._step = self._now()
        values = scalars.tagged(self.model, logs or {}) | scalars.state(
            self.model
        )
        values |= self._speed()
        if not self._told:
            self._tell(values)
        self._write(
            self._step,
            scalars=values,
            told=scalars.told(self.model, logs or {}),
        )
        if self._pictured and self._is_time():
            self._draw()
        if self._keras_too:
            super().on_epoch_end(epoch)

    def _speed(self):
        """Time of a step, and images per second, of this epoch."""
        if not self._timed:
            return {}
        seconds = (self._end - self._begin) / self._timed
        values = {"speed/step_milliseconds": 1000 * seconds}
        examples = self.model.examples_per_step if self._ours else None
        if examples is not None:
            values["speed/images_per_second"] = examples / seconds
        return values

    def _is_time(self):
        """Whether the steps since the last pictures have paid for new ones."""
        steps = self._step - self._drawn
        if self.pictures_every is not None:
            return steps >= self.pictures_every
        return steps * _SHARE >= self._cost

    def _draw(self):
        step = self._now()
        try:
            begin = time.perf_counter()
            pictures, numbers = self.snapshots.take(self.model)
            self._write(step, scalars=numbers, images=pictures)
            self._cost = time.perf_counter() - begin
        except (OSError, tf.errors.OpError) as error:
            self._warn(step, error)
        self._drawn = step

    def _tell(self, values):
        """What the training was set to, and by what it is to be compared."""
        self._told = True
        if self.hyperparameters is None:
            return
        hp = _hparams()
        metrics = [tag for tag in _COMPARED if tag in values] or list(values)
        config = hp.hparams_config_pb(
            hparams=[hp.HParam(name) for name in self.hyperparameters],
            metrics=[hp.Metric(tag) for tag in metrics],
        )
        own = hp.hparams_pb(self.hyperparameters, trial_id=self.log_dir)
        for summary in (config, own):
            self._write(0, summary=summary.SerializeToString())

    def _write(self, step, **content):
        try:
            self._file.write(step, **content)
        except (OSError, tf.errors.OpError) as error:
            self._warn(step, error)

    def _warn(self, step, error):
        warnings.warn(
            f"What TensorBoard was to show of step {step:,} could not be "
            f"written to {self.log_dir}, training goes on: {error}",
            stacklevel=2,
        )

    # Evaluation in `fit` is part of the epoch; any other is not a training.

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Nothing: evaluation is written with the epoch."""

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """Nothing: evaluation is written with the epoch."""

    def on_test_batch_begin(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Nothing: evaluation is written with the epoch."""


def _plain(hyperparameters):
    """As the HParams tab can show them."""
    if hyperparameters is None:
        return None
    if not isinstance(hyperparameters, Mapping):
        raise _bad(f"hyperparameters={hyperparameters!r}")
    plain = {}
    for name, value in hyperparameters.items():
        if isinstance(value, (tuple, list)):
            value = ", ".join(str(part) for part in value)
        value = "None" if value is None else value
        if not isinstance(value, (str, bool, int, float, np.generic)):
            raise _bad(f"{name}={value!r}")
        plain[str(name)] = value
    return plain


def _bad(received):
    return ValueError(
        "`hyperparameters` must be numbers, strings and booleans by name. "
        f"Received: {received}"
    )


def _hparams():
    """TensorBoard's own part, which writes what the HParams tab reads."""
    try:
        from tensorboard.plugins.hparams import api
    except ImportError as error:
        raise ImportError(
            "Hyperparameters need TensorBoard: pip install tensorboard"
        ) from error
    return api
