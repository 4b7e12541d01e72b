"""Kills trainings at random moments, and compares what they end with.

Each run trains on digits in a process of its own that is killed with SIGKILL
at random moments, also while a backup is being written, and started again until
it is done. Its last state, both optimizers and the average included, must be
that of a training which nobody interrupted, bit for bit.

    python benchmarks/kill.py --runs=20
    python benchmarks/kill.py --runs=20 --steps_per_execution=4
    python benchmarks/kill.py --runs=1 --replicas=2
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_integer("runs", 20, "Trainings that are killed.", lower_bound=1)
flags.DEFINE_integer("kills", 3, "Kills of each, at least.", lower_bound=1)
flags.DEFINE_integer("steps", 200, "Of each training, a multiple of 40.")
flags.DEFINE_integer("every", 8, "Steps between backups.")
flags.DEFINE_integer("steps_per_execution", 1, "As of `compile`.")
flags.DEFINE_integer("replicas", 1, "Logical devices.")
flags.DEFINE_integer("seed", 0, "Of the moments.")
flags.DEFINE_string("folder", None, "Train here, and write the last state.")


def work(folder):
    """One training, which goes on from what is in the folder."""
    import contextlib

    import tensorflow as tf

    scope = contextlib.nullcontext()
    if FLAGS.replicas > 1:
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * FLAGS.replicas,
        )
        names = [f"CPU:{number}" for number in range(FLAGS.replicas)]
        scope = tf.distribute.MirroredStrategy(names).scope()

    from mpl_keras import callbacks, datasets, distribute, pipeline, recipes

    data = datasets.digits(20, dtype="uint8")
    recipe = recipes.adapt(
        recipes.get("digits"), steps=FLAGS.steps, student_dropout=0.1
    )
    with scope:
        model = recipes.make_model(recipe, (8, 8, 1), 10)
        model.compile(
            model.teacher_optimizer,
            model.optimizer,
            metrics=["accuracy"],
            steps_per_execution=FLAGS.steps_per_execution,
        )
    train = pipeline.training_dataset(data, 32, 64, steps_per_epoch=40)
    saver = callbacks.Backup(f"{folder}/backups", every=FLAGS.every)
    history = model.fit(
        train,
        epochs=FLAGS.steps // 40,
        validation_data=data.test,
        callbacks=[saver],
        verbose=0,
    ).history
    arrays = [v.numpy() for v in distribute.state_variables(model)]
    arrays += [np.array(history[name]) for name in sorted(history)]
    np.savez(f"{folder}/half.npz", *arrays)
    os.replace(f"{folder}/half.npz", f"{folder}/done.npz")


def start(folder):
    """A process that trains in a folder."""
    arguments = [a for a in sys.argv[1:] if not a.startswith("--folder")]
    return subprocess.Popen(
        [sys.executable, sys.argv[0], *arguments, f"--folder={folder}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def newest(folder):
    """When something was last written among the backups, or 0."""
    try:
        return max(
            (entry.stat().st_mtime for entry in os.scandir(folder)), default=0
        )
    except FileNotFoundError:
        return 0


def kill_until_done(folder, moments):
    """Kills a training again and again; gives the number of kills.

    Half of the kills come at a random moment after a step was backed up, half
    as soon as the folder of backups changes: while one is being written.
    """
    kills = 0
    while not os.path.exists(f"{folder}/done.npz"):
        process = start(folder)
        seen = newest(f"{folder}/backups")
        wait = moments.uniform(0, 1.5)
        at_once = moments.random() < 0.5
        if kills < FLAGS.kills:
            while process.poll() is None:
                if newest(f"{folder}/backups") > seen:
                    if not at_once:
                        time.sleep(wait)
                    process.send_signal(signal.SIGKILL)
                    break
                time.sleep(0.0005)
        if process.wait() == -signal.SIGKILL:
            kills += 1
        elif process.returncode:
            raise RuntimeError(f"A training failed: {process.args}")
    return kills


def same(one, other):
    """Whether two files hold the same arrays."""
    with np.load(one) as a, np.load(other) as b:
        return a.files == b.files and all(
            np.array_equal(a[name], b[name], equal_nan=True) for name in a.files
        )


def main(argv):
    """Trains once in peace, then with kills, and counts."""
    del argv
    if FLAGS.folder:
        work(FLAGS.folder)
        return
    moments = random.Random(FLAGS.seed)
    good = kills = 0
    begin = time.time()
    with tempfile.TemporaryDirectory() as folder:
        peace = f"{folder}/peace"
        os.makedirs(peace)
        start(peace).wait()
        for number in range(FLAGS.runs):
            own = f"{folder}/{number}"
            os.makedirs(own)
            count = kill_until_done(own, moments)
            equal = same(f"{own}/done.npz", f"{peace}/done.npz")
            good, kills = good + equal, kills + count
            print(
                f"run {number + 1}: {count} kills, "
                f"{'identical' if equal else 'DIFFERENT'}",
                flush=True,
            )
    print(
        f"{good} of {FLAGS.runs} identical after {kills} kills, "
        f"{time.time() - begin:.0f} s"
    )
    sys.exit(good != FLAGS.runs)


if __name__ == "__main__":
    app.run(main)
