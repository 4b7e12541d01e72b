"""Exact resuming: what is saved of a training, and how it is read back.

A backup holds every number that a training depends on: weights, both
optimizers, the average, baselines and running statistics, metrics in the
middle of an epoch, seeds, and the position in the data, which is a function of
the step. A training that goes on from one ends bit for bit as one that was
never interrupted.
"""

import json
import math
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
import warnings
from typing import Any

import keras
import tensorflow as tf

from mpl_keras import files
from mpl_keras.callbacks import backup_files
from mpl_keras.checks import arguments
from mpl_keras.checks.arguments import NotWritableError
from mpl_keras.distribute import state, workers
from mpl_keras.distribute.fit_callback import FitCallback

EXIT_PREEMPTED = workers.EXIT_RESTART


class Backup(FitCallback):
    """Backs up a training while it runs, and goes on from the last backup.

        model.fit(train, epochs=10, callbacks=[Backup("run/backup", every=500)])

    Started again, this goes on after the last backup, in the middle of an
    epoch too, without a batch being trained twice or left out. `train` is what
    `pipeline.training_dataset` returned; models of this library alone.

    A backup is written by a thread, to a temporary name, and then renamed. If
    writing fails, as on a full disk, training goes on, with a warning. A
    damaged backup is passed over for the one before, with a warning.

    On SIGTERM, by which clusters announce that they need the machine, a last
    backup is made, and the process exits with code `backup.EXIT_PREEMPTED`, 75:
    start it again.

    Of several workers the first one writes, and all read: the folder must be
    the same for all. A SIGTERM to one of them ends all, after a last backup.

    Args:
        folder: Where backups go; of one training alone. While `fit` runs it is
            locked.
        every: Steps between backups, or None for once at each epoch's end.
        minutes: Time after which a backup is made even so, or None.
        keep: How many of the newest are kept, at least 1.
        on_sigterm: Whether to handle SIGTERM as described; only where `fit`
            runs in the main thread.

    Raises:
        ValueError: By `fit`, before the first step, if the backup is of
            another model, other data, or another seed or batch size.
        OSError: By `fit`, before the first step, if the folder cannot be
            written to, has not the space for two backups, or is locked by
            another training.

    Files of other names in the folder are never touched.

    Example:
    >>> import tempfile
    >>> import keras
    >>> from mpl_keras import UDA, datasets, pipeline
    >>> net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    >>> model = UDA(net)
    >>> model.compile("sgd")
    >>> train = pipeline.training_dataset(
    ...     datasets.two_moons(), 6, 64, steps_per_epoch=5
    ... )
    >>> backup = Backup(tempfile.mkdtemp(), every=2)
    >>> history = model.fit(train, epochs=2, callbacks=[backup], verbose=0)
    >>> [step for step, _ in backup.backups()]
    [8, 10]
    """

    resumes = True

    def __init__(
        self,
        folder: Any,
        every: int | None = None,
        keep: int = 2,
        on_sigterm: bool = True,
        minutes: float | None = None,
    ):
        super().__init__()
        self.folder = arguments.path("folder", folder)
        self.every = every
        if minutes is not None:
            arguments.number("minutes", minutes, above=0)
        self.minutes = minutes
        self._saved = time.monotonic()
        if every is not None:
            arguments.integer("every", every, 1)
        self.keep = arguments.integer("keep", keep, 1)
        self.on_sigterm = on_sigterm
        self._writer = None
        self._listening = False
        self._fingerprint = None
        self._metrics = None  # as they were when the epoch's training ended
        self._preempted = False
        self._history = {}
        self._damaged = set()  # paths of backups that were passed over
        self._lock = files.FolderLock(self.folder)

    def backups(self) -> list[tuple[int, str]]:
        """Steps and paths of the backups, the newest last."""
        try:
            found = backup_files.find(self.folder)
        except OSError as error:
            raise self._unusable(error) from error
        return [(step, path) for step, path, _ in found]

    def _unusable(self, error):
        """What the system says of the folder, as an error of ours."""
        return NotWritableError(
            "folder",
            "be a folder that can be read and written to",
            self.folder,
            note=f", where the system says: {error.strerror or error}",
        )

    # Before `fit`.

    def on_fit(
        self,
        model: keras.Model,
        dataset: tf.data.Dataset,
        steps_per_epoch: int | None,
    ) -> tuple[int, int]:
        """What `fit` of this library's models calls before anything else.

        Restores the model, and says where to go on.

        Args:
            model: The model, compiled.
            dataset: What is trained on.
            steps_per_epoch: Of this call of `fit`.

        Returns:
            The epoch, and how many of its batches are done.
        """
        self._fingerprint = backup_files.fingerprint(
            model, dataset, steps_per_epoch
        )
        self._strategy = model.distribute_strategy
        self._chief = workers.is_chief(self._strategy)
        self._alone = workers.num_workers(self._strategy) == 1
        variables = state.state_variables(model)
        if self._chief:
            self._check_folder(sum(backup_files.size_of(v) for v in variables))
        if not workers.same_everywhere(self._strategy, self._fingerprint):
            raise ValueError(
                "All workers must train the same model on the same data, with "
                "the same seeds and batch sizes. Received: other settings in "
                "another worker"
            )
        step, arrays, meta, path = self._newest()
        if not workers.same_everywhere(self._strategy, step):
            raise OSError(
                "`folder` must be the same for all workers, as on a file "
                "system that they share: they do not see the same backups. "
                f"Received: folder={self.folder}, where this worker found "
                f"{'none' if step < 0 else f'that of step {step:,}'}"
            )
        self._metrics_to_restore = None
        self._done = 0, 0
        if path is not None:
            ids = {id(v) for v in state.metric_variables(model)}
            backup_files.restore(variables, arrays, ids)
            # `fit` empties the metrics once more.
            pairs = zip(variables, arrays, strict=True)
            self._metrics_to_restore = [p for p in pairs if id(p[0]) in ids]
            self._history = meta["history"]
            self._done = meta["epoch"], meta["batch"]
            print(f"Going on after step {step:,}, from {path}", flush=True)
        return self._done

    def _newest(self):
        """Step, arrays, facts and path of the newest backup that is whole."""
        for step, path in reversed(self.backups()):
            try:
                arrays, meta = backup_files.read(path)
            except PermissionError as error:
                raise self._unusable(error) from error
            except backup_files.DamagedBackupError as error:
                self._damaged.add(path)
                warnings.warn(
                    f"The backup {path} is damaged, the one before is tried: "
                    f"{error}",
                    stacklevel=3,
                )
                continue
            backup_files.check_same(
                meta["fingerprint"], self._fingerprint, path
            )
            return step, arrays, meta, path
        if self.backups():
            raise ValueError(
                f"Every backup in {self.folder} is damaged. Remove them to "
                "begin anew."
            )
        return -1, None, None, None

    def _check_folder(self, size):
        """Locks it; raises unless two backups can be written there."""
        files.check_folder(self.folder, overwrite=True, argument="folder")
        try:
            os.makedirs(self.folder, exist_ok=True)
            self._lock.acquire()
            backup_files.remove_halves(self.folder)
            with tempfile.TemporaryFile(dir=self.folder):
                pass
            free = shutil.disk_usage(self.folder).free
        except arguments.ArgumentError:
            raise
        except OSError as error:
            raise self._unusable(error) from error
        needed = 2 * size + 2**20
        if free < needed:
            least, received = _megabytes(needed, free)
            raise OSError(
                f"`folder` must have space for two backups, {least} MB. "
                f"Received: folder={self.folder}, with {received} MB"
            )

    # While `fit` runs.

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Listens for SIGTERM."""
        self._preempted, self._position = False, self._done
        main = threading.current_thread() is threading.main_thread()
        self._listening = self.on_sigterm and main
        if self._listening:
            self._before = signal.signal(signal.SIGTERM, self._on_signal)

    def _on_signal(self, number, frame):
        self._preempted = True

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Restores the metrics of an epoch that was begun before."""
        self._epoch, self._metrics = epoch, None
        self._total = epoch * self.params["steps"]
        if epoch == self._done[0] and self._metrics_to_restore is not None:
            history = self.model.history
            history.history = {k: list(v) for k, v in self._history.items()}
            history.epoch = list(range(epoch))
            if self._done[1]:
                for variable, values in self._metrics_to_restore:
                    state.assign_local_values(variable, values)
            self._metrics_to_restore = None

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Makes a backup when it is time."""
        done = batch + 1
        if self.model.resuming:
            self._total = self._epoch * self.params["steps"] + done
            if done == self.params["steps"]:
                self._keep_metrics()
            return
        self._position = self._epoch, done
        total = self._epoch * self.params["steps"] + done
        due = self.every and total // self.every > self._total // self.every
        self._total = total
        if self._agreed("leave", self._preempted):
            self._exit()
        late = time.monotonic() - self._saved > 60 * (self.minutes or math.inf)
        if self._agreed("backup", late) or due:
            self._save()
        if done == self.params["steps"]:
            self._keep_metrics()

    def _agreed(self, name, wish):
        """Whether to do what one worker alone knows that it is time for."""
        if self._alone:
            return wish
        self.model.wishes[name] = wish
        return self.model.granted[name]

    def _keep_metrics(self):
        """Evaluation counts with the same variables."""
        self._metrics = backup_files.local_copies(self.model)

    def on_test_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Exits on SIGTERM during evaluation too."""
        if self._alone and self._preempted and self._metrics is not None:
            self._exit()

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Makes a backup, if it is to be made once in an epoch."""
        for name, value in (logs or {}).items():
            self._history.setdefault(name, []).append(float(value))
        if self._position[1] == self.params["steps"]:  # and not stopped
            self._position = epoch + 1, 0
        if self._alone and self._preempted:
            self._exit()
        if self.every is None:
            self._save()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Makes sure that the last step is backed up."""
        if self._position != self._done:
            self._save()

    def on_fit_end(self) -> None:
        """What `fit` calls at last, also when it was interrupted."""
        self._wait()
        self._listen_no_more()
        self._lock.release()

    def _exit(self):
        """Makes a last backup, and ends the process."""
        self._listen_no_more()
        self._save()
        self._wait()
        step = int(self.model.step.numpy())
        print(
            f"SIGTERM: backed up after step {step:,} in {self.folder}; exit "
            f"code {EXIT_PREEMPTED}",
            flush=True,
        )
        sys.exit(EXIT_PREEMPTED)

    def _listen_no_more(self):
        if self._listening:
            signal.signal(signal.SIGTERM, self._before)
            self._listening = False

    # Writing.

    def _save(self):
        """Copies the state, and has a thread write it."""
        self._wait()
        self._saved = time.monotonic()
        self.model.wishes["backup"] = False
        # Values of several workers are asked for by all.
        metrics = self._metrics or backup_files.local_copies(self.model)
        if not self._chief:
            return
        variables = state.state_variables(self.model)
        arrays = backup_files.copies(
            variables, backup_files.by_id(self.model, metrics)
        )
        meta = {
            "epoch": self._position[0],
            "batch": self._position[1],
            "history": self._history,
            "fingerprint": self._fingerprint,
            "time": time.time(),
        }
        step = int(self.model.step.numpy())
        self._writer = threading.Thread(
            target=self._write, args=(step, arrays, json.dumps(meta))
        )
        self._writer.start()

    def _wait(self):
        if self._writer is not None:
            self._writer.join()
            self._writer = None

    def _write(self, step, arrays, meta):
        path = os.path.join(self.folder, backup_files.file_name(step))
        half = os.path.join(self.folder, backup_files.half_name(step))
        try:
            with open(half, "wb+") as file:
                backup_files.write(file, arrays, meta, step)
                file.flush()
                os.fsync(file.fileno())
            os.replace(half, path)
            backup_files.sync_folder(self.folder)
            self._damaged.discard(path)
            self._remove_old()
        except OSError as error:
            if os.path.exists(half):
                os.remove(half)
            warnings.warn(
                f"The backup {path} could not be written, training goes on: "
                f"{error}",
                stacklevel=2,
            )

    def _remove_old(self):
        """Keeps the newest, not counting what is damaged or not ours."""
        own = [
            (step, path)
            for step, path, own in backup_files.find(self.folder)
            if own
        ]
        whole = [entry for entry in own if entry[1] not in self._damaged]
        oldest = min(whole[-self.keep :], default=(0, ""))[0]
        for step, path in own:
            if step < oldest:
                os.remove(path)


def _megabytes(needed, free):
    """Two sizes as text, with as many digits as tell them apart."""
    for digits in range(7):
        texts = [f"{size / 2**20:.{digits}f}" for size in (needed, free)]
        if texts[0] != texts[1]:
            break
    return texts
