"""Trains with two processes on this machine, and kills one of them.

    python benchmarks/workers.py
    python benchmarks/workers.py --kills=10

Digits, a network with BatchNorm, clipping, hypergradient: one process alone;
two workers, who are to end with the same weights, and with those of the one
process; then two workers of which one is killed with SIGKILL at a random
moment. The other has to end by itself, with exit code 75, and when both are
started again they are to end with the weights of the two that nobody killed.
"""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_integer("steps", 50, "Of each training, a multiple of 10.")
flags.DEFINE_integer("kills", 2, "Trainings of which a worker is killed.")
flags.DEFINE_integer("seed", 0, "Of the moments.")
flags.DEFINE_float("limit", 60, "Seconds in which the other has to end.")
flags.DEFINE_string("folder", None, "Train here, and write the last state.")


def make_net():
    """A convolutional network with BatchNorm.

    Without ReLUs: one whose input is 0 to within rounding can be on in one
    training and off in the other, and the weights then part by 1e-4 at once.
    """
    import keras

    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(12, 3, kernel_initializer="he_normal"),
            keras.layers.BatchNormalization(synchronized=True),
            keras.layers.Activation("silu"),
            keras.layers.Flatten(),
            keras.layers.Dense(10),
        ]
    )


def work(folder):
    """One worker's training, which goes on from what is in the folder."""
    from mpl_keras import distribute

    strategy = distribute.make_strategy()

    import keras

    import mpl_keras
    from mpl_keras import callbacks, datasets, distribute, pipeline

    keras.utils.set_random_seed(0)
    data = datasets.digits(20)
    with strategy.scope():
        model = mpl_keras.MetaPseudoLabels(make_net(), make_net())
        model.compile(
            *(
                keras.optimizers.SGD(
                    0.05, momentum=0.9, nesterov=True, global_clipnorm=1.0
                )
                for _ in range(2)
            ),
            metrics=["accuracy"],
        )
    train = pipeline.training_dataset(
        data, 32, 64, steps_per_epoch=10, shards=2
    )
    try:
        model.fit(
            train,
            epochs=FLAGS.steps // 10,
            validation_data=data.test,
            callbacks=[callbacks.Backup(f"{folder}/backups", every=4)],
            verbose=0,
        )
    except distribute.WorkerLost as error:
        print(error)
        sys.exit(error.exit_code)
    index = int(os.environ.get("WORKER", 0))
    arrays = [v.numpy() for v in model.weights]
    for optimizer in (model.optimizer, model.teacher_optimizer):
        arrays += [v.numpy() for v in optimizer.variables]
    np.savez(f"{folder}/half{index}.npz", *arrays)
    os.replace(f"{folder}/half{index}.npz", f"{folder}/{index}.npz")


def free_ports(count):
    """Ports of this machine that nobody uses."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def start(folder, count):
    """So many workers that train in a folder, and write a log."""
    os.makedirs(folder, exist_ok=True)
    addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
    workers = []
    for index in range(count):
        config = {
            "cluster": {"worker": addresses},
            "task": {"type": "worker", "index": index},
        }
        arguments = [a for a in sys.argv[1:] if not a.startswith("--folder")]
        with open(f"{folder}/log{index}", "a") as log:
            workers.append(
                subprocess.Popen(
                    [
                        sys.executable,
                        sys.argv[0],
                        *arguments,
                        f"--folder={folder}",
                    ],
                    stdout=log,
                    stderr=log,
                    env={
                        **os.environ,
                        "TF_CONFIG": json.dumps(config),
                        "WORKER": str(index),
                    },
                )
            )
    return workers


def finish(workers, folder):
    """Waits for workers that nobody kills."""
    codes = [worker.wait() for worker in workers]
    if any(codes):
        raise RuntimeError(f"Workers ended with {codes}, see {folder}/log*")


def kill_one(workers, folder, moments):
    """Kills one worker during training; seconds in which the other ends."""
    last = FLAGS.steps // 4 - 2
    count = moments.randint(1, last)
    newest = f"{folder}/backups/backup-{4 * count:012}.npz"
    while not os.path.exists(newest):
        time.sleep(0.005)
    time.sleep(moments.uniform(0, 0.3))
    victim, other = moments.sample(workers, 2)
    victim.send_signal(signal.SIGKILL)
    begin = time.time()
    if victim.wait() != -signal.SIGKILL:
        raise RuntimeError(f"The kill came too late, see {folder}/log*")
    code = other.wait(timeout=10 * FLAGS.limit)
    return 4 * count, time.time() - begin, code


def difference(one, other):
    """Largest difference of two states."""
    with np.load(one) as a, np.load(other) as b:
        return max(
            float(np.abs(a[n].astype("f8") - b[n]).max()) for n in a.files
        )


def main(argv):
    """Trains alone, in two, and in two with kills; compares."""
    del argv
    if FLAGS.folder:
        work(FLAGS.folder)
        return
    moments = random.Random(FLAGS.seed)
    good = True
    with tempfile.TemporaryDirectory() as folder:
        alone, both = f"{folder}/alone", f"{folder}/both"
        finish(start(alone, 1), alone)
        begin = time.time()
        finish(start(both, 2), both)
        seconds = time.time() - begin
        workers = difference(f"{both}/0.npz", f"{both}/1.npz")
        one = difference(f"{both}/0.npz", f"{alone}/0.npz")
        good &= workers == 0 and one <= 1e-5
        print(
            f"{FLAGS.steps} steps, {seconds:.0f} s: two workers differ by "
            f"{workers:g}, from one process by {one:.1e}",
            flush=True,
        )
        for number in range(FLAGS.kills):
            own = f"{folder}/kill{number}"
            step, wait, code = kill_one(start(own, 2), own, moments)
            finish(start(own, 2), own)
            equal = max(
                difference(f"{own}/{i}.npz", f"{both}/{i}.npz") for i in (0, 1)
            )
            good &= equal == 0 and wait <= FLAGS.limit and code == 75
            print(
                f"kill {number + 1}, after step {step}: the other ended in "
                f"{wait:.1f} s with code {code}; both started again: differ "
                f"by {equal:g}",
                flush=True,
            )
    sys.exit(not good)


if __name__ == "__main__":
    app.run(main)
