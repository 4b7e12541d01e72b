"""What is in a backup: values of variables, and what training they are of.

A backup is a `.npz` file, whose last bytes hold the step, with a checksum of
its own, and a SHA-256 of all bytes before: whatever is damaged is seen before
anything is believed.
"""

import hashlib
import json
import os
import re
import zipfile
import zlib
from typing import Any

import numpy as np

from mpl_keras.checks import settings
from mpl_keras.distribute import state

_META = "meta.json"
_NAME = re.compile(r"backup-([0-9]{12}|[1-9][0-9]{12,17})\.npz")
_HALF = re.compile(_NAME.pattern + r"\.half")
# What a file of ours ends with, as the comment of its zip archive.
_END = re.compile(
    rb"mpl_keras backup step=([0-9]{18}) crc32=([0-9a-f]{8}) "
    rb"sha256=([0-9a-f]{64})"
)
_DIGEST = 64
_END_LENGTH = len("mpl_keras backup step= crc32= sha256=") + 18 + 8 + _DIGEST
_BLOCK = 2**20


class DamagedBackupError(ValueError):
    """A file is not, bit for bit, what was written.

    Example:
    >>> read("/dev/null")
    Traceback (most recent call last):
    ...
    mpl_keras.callbacks.backup_files.DamagedBackupError: of its 0 bytes the \
last ones are not a backup's end
    """


def file_name(step: int) -> str:
    """The name of the backup of a step.

    Example:
    >>> file_name(500)
    'backup-000000000500.npz'
    """
    return f"backup-{step:012}.npz"


def half_name(step: int) -> str:
    """The name of a backup while it is written."""
    return f".{file_name(step)}.half"


def find(folder: str) -> list[tuple[int, str, bool]]:
    """All backups of a folder, the newest last, by the steps that they hold.

    Files of other names are the user's, those of a file manager's copy among
    them.

    Args:
        folder: Need not exist.

    Returns:
        The step, the path, and whether the file is named as it was written: of
        these alone are old ones removed.
    """
    found = []
    for name in os.listdir(folder) if os.path.isdir(folder) else []:
        path = os.path.join(folder, name)
        parsed = _NAME.fullmatch(name)
        if parsed and os.path.isfile(path):
            named, held = int(parsed[1]), _step_of(path)
            step = named if held is None else held
            found.append((step, path, held == named))
    return sorted(found)


def remove_halves(folder: str) -> None:
    """Removes halves of backups, left by a kill."""
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if name.startswith(".") and _HALF.fullmatch(name[1:]):
            if os.path.isfile(path):
                os.remove(path)


def _step_of(path):
    """The step that a file says it holds, or None."""
    try:
        with open(path, "rb") as file:
            file.seek(-_END_LENGTH, os.SEEK_END)
            parsed = _END.fullmatch(file.read())
    except OSError:  # too short, or not to be read
        return None
    # Without it one flipped bit would be another step.
    good = parsed and parsed[2] == _checksum(parsed[1])
    return int(parsed[1]) if good else None


def _checksum(digits):
    return b"%08x" % zlib.crc32(digits)


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
        known[name] = settings.nameless(value)
        own = getattr(model, name, None)
        if hasattr(own, "get_config"):
            known[f"class of {name}"] = _own_parts(own)
    for name, value in (model.get_compile_config() or {}).items():
        if "optimizer" in name:
            known[name] = settings.nameless(value)
    known["metrics"] = [
        settings.described(metric)
        for group in model.metrics
        for metric in getattr(group, "metrics", [group])
    ]
    known["state"] = [
        [list(v.shape), str(v.dtype)] for v in state.state_variables(model)
    ]
    known.pop("name", None)
    return json.loads(json.dumps(settings.described(known)))


def _own_parts(value):
    """What objects of users hold that their configurations need not tell."""
    parts = [value]
    if hasattr(value, "_flatten_layers"):
        parts = state.layers_of(value)
    return [
        settings.described(part)
        for part in parts
        if not type(part).__module__.startswith(("keras", "mpl_keras"))
    ]


def check_same(saved, current, path) -> None:
    """Raises, with what differs, unless two fingerprints are the same."""
    lines = [
        f"  {line}"
        for name in sorted(saved.keys() | current.keys())
        for line in settings.differences(
            saved.get(name), current.get(name), name
        )
    ]
    if lines:
        raise ValueError(
            f"The backup {path} must be of this training. What differs:\n"
            + "\n".join(lines)
            + "\nChange it back, or back up into another folder."
        )


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


def write(file, arrays, meta: str, step: int) -> None:
    """Writes all of a backup to an open file, which can be read too."""
    parts = {_META: np.frombuffer(meta.encode(), np.uint8)}
    parts |= {_key(i): array for i, array in enumerate(arrays)}
    np.savez(file, **parts)
    with zipfile.ZipFile(file, "a") as archive:
        empty = "0" * _DIGEST
        digits = f"{step:018}"
        checksum = _checksum(digits.encode()).decode()
        archive.comment = (
            f"mpl_keras backup step={digits} crc32={checksum} sha256={empty}"
        ).encode()
    size = file.seek(0, os.SEEK_END) - _DIGEST
    digest = _digest(file, size)
    file.seek(size)
    file.write(digest)


def _digest(file, size):
    """SHA-256 of the first bytes of an open file, as text."""
    digest = hashlib.sha256()
    file.seek(0)
    while size > 0:
        block = file.read(min(_BLOCK, size))
        if not block:
            break
        digest.update(block)
        size -= len(block)
    return digest.hexdigest().encode()


def read(path) -> tuple[list[np.ndarray], dict[str, Any]]:
    """All of a backup.

    Raises:
        DamagedBackupError: The file is not, bit for bit, what was written.
        PermissionError: It cannot be read by this user.
    """
    try:
        with open(path, "rb") as file:
            _check_whole(file)
            file.seek(0)
            return _parse(file)
    except PermissionError:
        raise
    except OSError as error:  # as disks say it of blocks that are lost
        raise DamagedBackupError(str(error)) from error


def _check_whole(file):
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _END_LENGTH))
    parsed = _END.fullmatch(file.read())
    if not parsed:
        raise DamagedBackupError(
            f"of its {size:,} bytes the last ones are not a backup's end"
        )
    if _digest(file, size - _DIGEST) != parsed[3]:
        raise DamagedBackupError("its SHA-256 is not that of what it holds")


def _parse(file):
    with np.load(file, allow_pickle=False) as archive:
        meta = json.loads(bytes(archive[_META]).decode())
        count = len(archive.files) - 1
        return [archive[_key(i)] for i in range(count)], meta


def restore(variables, arrays, metrics):
    """The inverse of `copies`; `metrics` are ids."""
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
