"""From the environment to a strategy: which devices and machines train.

A cluster's manager tells each process of a job who the others are: in the
variable `TF_CONFIG` (Kubernetes' training operator, Vertex AI) or in variables
of its own (Slurm). All run the same program, which makes its strategy first.
"""

import itertools
import json
import os
import re
from typing import Any, Literal, get_args

import tensorflow as tf

from mpl_keras.checks import arguments

Strategy = Literal["auto", "none", "mirrored", "multi_worker", "tpu"]
STRATEGIES = get_args(Strategy)

_TASKS = ("chief", "worker")
_MANY = 1024
_KEYS = itertools.count(1000, 1000)  # where each strategy's keys begin
_ADDRESS = re.compile(r"[^\s:/]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}")


def make_strategy(
    name: Strategy = "auto", virtual_devices: int | None = None
) -> tf.distribute.Strategy:
    """The strategy under which a program is to train.

    To be called before anything else of TensorFlow. Where there are several
    workers it waits until all of them have come. A process may make several
    mirrored strategies by it, one after the other; of those that it makes by
    `tf.distribute.MirroredStrategy` itself, the second or third can fail in
    `CollectiveReduce`, because TensorFlow numbers their sums alike.

        strategy = distribute.make_strategy()
        with strategy.scope():
            model = ...  # made, and compiled
        model.fit(...)

    Args:
        name: One of
            "none": one device, the first GPU or the CPU;
            "mirrored": all GPUs of this machine;
            "multi_worker": all processes that `TF_CONFIG` or Slurm names;
            "tpu": the TPU named by the variable `TPU_NAME`, or this machine's;
            "auto": several workers where the environment names several, else
            all GPUs where there are several, else one device.
        virtual_devices: Splits the CPU into so many devices, to try
            several replicas where there are no GPUs.

    Raises:
        ValueError: `TF_CONFIG` is not what it must be, there are not several
            workers where these are asked for, or there is no TPU.

    Example:
    >>> make_strategy("none").num_replicas_in_sync
    1
    """
    arguments.choice("name", name, STRATEGIES)
    if virtual_devices is not None:
        arguments.integer("virtual_devices", virtual_devices, 1)
        cpu = tf.config.list_physical_devices("CPU")[0]
        parts = [tf.config.LogicalDeviceConfiguration()] * virtual_devices
        # A second strategy of the process finds it split already.
        if tf.config.get_logical_device_configuration(cpu) != parts:
            tf.config.set_logical_device_configuration(cpu, parts)
    if name in ("auto", "multi_worker"):
        resolver = _workers()
        if resolver is not None:
            return tf.distribute.MultiWorkerMirroredStrategy(resolver)
        if name == "multi_worker":
            raise ValueError(
                "There must be several workers for 'multi_worker': named in "
                "the variable TF_CONFIG, or started by Slurm's srun. Received: "
                f"TF_CONFIG={os.environ.get('TF_CONFIG')!r}"
            )
    if name == "tpu":
        return _tpu_strategy()
    # Physical ones, because asking for the others starts the devices.
    several = len(tf.config.list_physical_devices("GPU")) > 1
    if name == "mirrored" or (name == "auto" and (several or virtual_devices)):
        devices = [f"CPU:{number}" for number in range(virtual_devices or 0)]
        return _mirrored(devices or None)
    return tf.distribute.get_strategy()


def _mirrored(devices):
    """A mirrored strategy that shares no sums with others of the process.

    TensorFlow numbers the sums over devices anew in each strategy. In the
    second or third one of a process, sums of other shapes than before then
    have a number that is known, and the step fails in `CollectiveReduce`.
    """
    base = next(_KEYS)
    own = {"_collective_key_base": base}
    return type("MirroredStrategy", (tf.distribute.MirroredStrategy,), own)(
        devices
    )


def _workers():
    """Who trains together, or None for this process alone."""
    config = tf_config()
    if config is not None:
        tasks = config["cluster"]
        task = config["task"]
        resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
        count = sum(len(tasks.get(name, [])) for name in _TASKS)
        own = f"{task['type']} {task['index']}"
    elif int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1:
        # Slurm deals out the GPUs itself (`--gpus-per-task`); the resolver,
        # left to count them, fails on a machine that has none.
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            auto_set_gpu=False, gpus_per_node=_MANY, gpus_per_task=1
        )
        tasks = resolver.cluster_spec().as_dict()
        count = len(tasks["worker"])
        own = f"worker {resolver.task_id}"
    else:
        return None
    if count == 1:
        return None
    everyone = [a for name in _TASKS for a in tasks.get(name, [])]
    print(
        f"This is {own} of {count} workers; waiting for all of them: "
        f"{', '.join(everyone[:4])}{', ...' if count > 4 else ''}",
        flush=True,
    )
    return resolver


def tf_config() -> dict[str, Any] | None:
    """The variable `TF_CONFIG`, checked; None where there is none.

    Raises:
        ValueError: It is not JSON of the form `{"cluster": {"worker":
            ["host:port", ...]}, "task": {"type": "worker", "index": 0}}`, with
            a "chief" besides perhaps, or the task is not of the cluster.

    Example:
    >>> tf_config() is None
    True
    """
    text = os.environ.get("TF_CONFIG", "").strip()
    if not text:
        return None
    try:
        config = json.loads(text)
    except ValueError as error:
        raise _bad(f"no JSON ({error})", text) from error
    if config == {}:
        return None
    problem = _problem(config)
    if problem:
        raise _bad(problem, text)
    return {**config, "task": {**config["task"], "index": _index(config)}}


def _problem(config):
    """What is wrong with a TF_CONFIG, or nothing."""
    if not isinstance(config, dict):
        return "no object"
    cluster, task = config.get("cluster"), config.get("task")
    if not isinstance(cluster, dict) or not isinstance(task, dict):
        return "no objects under 'cluster' and 'task'"
    others = sorted(set(cluster) - set(_TASKS))
    if others:
        return (
            f"tasks that there are not here, {others}: the first worker also "
            "evaluates"
        )
    for name, addresses in cluster.items():
        if not isinstance(addresses, list) or not addresses:
            return f"no list of addresses under {name!r}"
        for address in addresses:
            if not isinstance(address, str) or not _ADDRESS.fullmatch(address):
                return f"the address {address!r}"
    addresses = [a for group in cluster.values() for a in group]
    if not addresses or len(set(addresses)) < len(addresses):
        return "no address, or one twice"
    if len(cluster.get("chief", [])) > 1:
        return "more than one chief"
    if task.get("type") not in list(cluster):
        return (
            f"the task type {task.get('type')!r}, which is not in the cluster"
        )
    count = len(cluster[task["type"]])
    if _index(config) not in range(count):
        return f"the task index {task.get('index')!r} of {count} tasks"
    return ""


def _index(config):
    """The task's index, which some managers write as a string."""
    index = config["task"].get("index")
    if isinstance(index, str) and index.isdecimal():
        return int(index)
    return None if isinstance(index, bool) else index


def _bad(problem, text):
    short = text if len(text) < 300 else text[:297] + "..."
    return ValueError(
        'The variable TF_CONFIG must be of the form {"cluster": {"worker": '
        '["host:port", ...]}, "task": {"type": "worker", "index": 0}}. '
        f"Received: {problem}, in TF_CONFIG={short}"
    )


def _tpu_strategy():
    """The strategy of a TPU, which is started anew."""
    name = os.environ.get("TPU_NAME", "local")
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name)
        if name != "local":
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, RuntimeError, tf.errors.OpError) as error:
        text = str(error).strip().splitlines()[0]
        raise ValueError(
            "There must be a TPU for 'tpu': one of this machine, or the one "
            "that the variable TPU_NAME names. Received: TPU_NAME="
            f"{os.environ.get('TPU_NAME')!r}, which failed with: {text[:200]}"
        ) from error
    return tf.distribute.TPUStrategy(resolver)
