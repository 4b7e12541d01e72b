"""What is in a backup: values of variables, and what training they are of."""

import json
import os
from typing import Any

import numpy as np

from mpl_keras.distribute import state

_META = "meta.json"


def fingerprint(model, dataset, steps_per_epoch) -> dict[str, Any]:
    """What a training must have in common with the one it goes on with.

    Args:
        model: A compiled model of this library.
        dataset: What `pipeline.training_dataset` returned.
        steps_per_epoch: Of `fit`.

    Returns:
        A JSON-able dict; its entries say what differs where two do.
    """
    known = dict(dataset.stream.fingerprint)
    known["steps_per_epoch"] = steps_per_epoch
    known["shapes of the weights"] = [list(w.shape) for w in model.weights]
    for name, value in model.get_config().items():
        known[name] = _nameless(value)
    for name, value in (model.get_compile_config() or {}).items():
        if "optimizer" in name:
            known[name] = _nameless(value)
    known.pop("name", None)
    return json.loads(json.dumps(known, default=str))


def _nameless(value):
    """A configuration without names, which count up in a process."""
    if isinstance(value, dict):
        return {
            key: _nameless(part)
            for key, part in value.items()
            if key not in _NAMES
        }
    if isinstance(value, (list, tuple)):
        return [_nameless(part) for part in value]
    return value


_NAMES = (
    "name",
    "inbound_nodes",
    "input_layers",
    "output_layers",
    "build_config",
    "shared_object_id",
)


def check_same(saved, current, path) -> None:
    """Raises, with what differs, unless two fingerprints are the same."""
    different = sorted(
        name
        for name in saved.keys() | current.keys()
        if saved.get(name) != current.get(name)
    )
    if different:
        lines = [
            f"  {name} was {_short(saved.get(name))}, is "
            f"{_short(current.get(name))}"
            for name in different
        ]
        raise ValueError(
            f"The backup {path} must be of this training. What differs:\n"
            + "\n".join(lines)
            + "\nChange it back, or back up into another folder."
        )


def _short(value):
    text = json.dumps(value)
    return text if len(text) < 100 else text[:97] + "..."


def _key(index):
    return f"v{index:06}"


def size_of(variable) -> int:
    """Bytes that a variable takes at most."""
    return int(np.prod(variable.shape)) * 8


def copies(variables, metrics):
    """Values as arrays that do not change with the variables.

    Those of metrics are given by the variables' ids.
    """
    return [
        metrics[id(v)] if id(v) in metrics else _storable(np.array(v.numpy()))
        for v in variables
    ]


def local_copies(model):
    """Values of a model's metrics, of each replica."""
    return [
        np.stack(state.local_values(v)) for v in state.metric_variables(model)
    ]


def by_id(model, values):
    """One value for each variable of a model's metrics."""
    variables = state.metric_variables(model)
    return {id(v): value for v, value in zip(variables, values, strict=True)}


def _storable(array):
    # Files of numpy know no bfloat16.
    return array.view(np.uint16) if array.dtype.name == "bfloat16" else array


def write(file, arrays, meta: str) -> None:
    """Writes all of a backup to an open file."""
    parts = {_META: np.frombuffer(meta.encode(), np.uint8)}
    parts |= {_key(i): array for i, array in enumerate(arrays)}
    np.savez(file, **parts)


def read(path):
    """All of a backup; its checksums are compared in reading."""
    with np.load(path, allow_pickle=False) as file:
        meta = json.loads(bytes(file[_META]).decode())
        count = len(file.files) - 1
        return [file[_key(i)] for i in range(count)], meta


def restore(variables, arrays, metrics):
    """The inverse of `_copies`; `metrics` are ids."""
    if len(variables) != len(arrays):
        raise ValueError(
            f"The backup must hold {len(variables)} variables. Received: "
            f"{len(arrays)}"
        )
    for variable, array in zip(variables, arrays, strict=True):
        if id(variable) in metrics:
            state.assign_local_values(variable, array)
            continue
        current = np.asarray(variable.numpy())
        if current.dtype.name == "bfloat16":
            array = array.view(current.dtype)
        variable.assign(array)


def sync_folder(folder):
    """Makes a rename last through a power failure, where systems can."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
