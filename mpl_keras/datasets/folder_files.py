"""The files of a folder of pictures: which there are, and what is in them."""

import collections
import concurrent.futures
import hashlib
import os
import warnings
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from mpl_keras.checks.arguments import ArgumentError, MissingFileError
from mpl_keras.images import reading

# What systems leave behind in folders, beside names that begin with a dot.
_LITTER = ("thumbs.db", "desktop.ini")
PARTS = ("labeled", "unlabeled", "test", "validation")
_LEAVES = "is a link that leaves the folder: put a copy there instead"
_SHOWN = 10  # files or classes in an error
_LEAVE_OUT = "be 'leave_out' where files cannot be used"


class UnreadableFilesError(ArgumentError):
    """Files cannot be used; its `note` lists them.

    Example:
    >>> error = UnreadableFilesError("unreadable", "be so", note="a.png: empty")
    >>> print(error.renamed({"unreadable": "--unreadable"}))
    a.png: empty
    Remove or repair what is listed, or have it left out with \
--unreadable=leave_out.
    """

    def _text(self):
        leave_out = f'{self.argument}="leave_out"'
        if self.argument in self.called:
            leave_out = f"{self.called[self.argument]}=leave_out"
        return (
            f"{self.note}\nRemove or repair what is listed, or have it left "
            f"out with {leave_out}."
        )


class File(NamedTuple):
    """A picture: where it is, what for, and, once it is read, what is in it."""

    path: str
    part: str
    label: int
    digest: bytes = b""
    header: reading.Header | None = None


def find(path):
    """All files by sorted name, the links that are none, and the classes."""
    if not os.path.isdir(path):
        raise MissingFileError("path", "be a folder", path)
    if not os.path.isdir(os.path.join(path, "labeled")):
        raise MissingFileError(
            "path",
            "hold the folders `labeled`, with a folder for each class, and "
            "`unlabeled`",
            path,
            note=f", which holds {sorted(os.listdir(path))[:_SHOWN]}",
        )
    classes = _folders(os.path.join(path, "labeled"))
    if len(classes) < 2:
        raise ArgumentError(
            "path",
            f"hold a folder for each of at least two classes in {path}/labeled",
            note=str(classes),
        )
    _note_unknown(path)
    entries, problems = [], {}
    for part in PARTS:
        folder = os.path.join(path, part)
        if not os.path.isdir(folder):
            continue
        if part == "unlabeled":
            for file in walk(folder, path, problems):
                entries.append(File(file, part, -1))
            continue
        names = _folders(folder)
        _check_known(names, classes, folder)
        absent = [name for name in classes if name not in names]
        if absent:
            warnings.warn(
                f"{folder} has no folder for {absent[:_SHOWN]}: what is "
                "measured there says nothing about these classes.",
                stacklevel=3,
            )
        for name in names:
            for file in walk(os.path.join(folder, name), path, problems):
                entries.append(File(file, part, classes.index(name)))
    return entries, problems, classes


def _note_unknown(path):
    """Says which folders are not read, because of their names."""
    unknown = [
        name
        for name in sorted(os.listdir(path))
        if name not in PARTS
        and not _is_litter(name)
        and os.path.isdir(os.path.join(path, name))
    ]
    if unknown:
        warnings.warn(
            f"{path} holds {unknown[:_SHOWN]}, which are none of "
            f"{', '.join(PARTS)}, and are not read.",
            stacklevel=4,
        )


def _folders(folder):
    """Names of the folders in a folder of classes; it must hold no files."""
    names = sorted(n for n in os.listdir(folder) if not _is_litter(n))
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise ArgumentError(
                "path",
                f"hold classes in {folder} whose names are UTF-8",
                note=repr(name),
            ) from error
    loose = [n for n in names if not os.path.isdir(os.path.join(folder, n))]
    if loose:
        raise ArgumentError(
            "path",
            f"hold folders alone in {folder}, one for each class",
            note=f"the files {loose[:_SHOWN]}",
        )
    return names


def _check_known(names, classes, folder):
    unknown = [name for name in names if name not in classes]
    if unknown:
        raise ArgumentError(
            "path",
            f"hold in {folder} classes of `labeled` alone, which are "
            f"{classes[:_SHOWN]}",
            note=f"also {unknown[:_SHOWN]}",
        )


def _is_litter(name):
    return name.startswith(".") or name.lower() in _LITTER


def walk(folder, root, problems):
    """Files below a folder, sorted; links that leave the root are problems.

    Args:
        folder: Where to look; hidden files are passed over.
        root: Links must not leave it.
        problems: A dict, to which paths that are no file, and why, are added.
    """
    inside = os.path.realpath(root) + os.sep

    def fail(error):
        problems[error.filename] = f"cannot be opened: {error.strerror}"

    found = []
    if not (os.path.realpath(folder) + os.sep).startswith(inside):
        problems[folder] = _LEAVES
        return found
    for where, folders, names in os.walk(folder, onerror=fail):
        for name in folders:
            full = os.path.join(where, name)
            if os.path.islink(full):
                problems[full] = (
                    "is a link to a folder, which is not followed: put a copy "
                    "there instead"
                )
        folders[:] = [name for name in folders if not _is_litter(name)]
        for name in names:
            full = os.path.join(where, name)
            if _is_litter(name):
                continue
            if not os.path.realpath(full).startswith(inside):
                problems[full] = _LEAVES
            elif os.path.exists(full) and not os.path.isfile(full):
                problems[full] = "is no file"
            else:
                found.append(full)
    return sorted(found)


def find_all(folder: str) -> list[str]:
    """All files below a folder, sorted, with a warning about what is no file.

    Args:
        folder: Where to look; hidden files are passed over.

    Example:
    >>> import tempfile
    >>> find_all(tempfile.mkdtemp())
    []
    """
    problems = {}
    paths = walk(folder, folder, problems)
    for path, why in problems.items():
        warnings.warn(f"{path} {why}", stacklevel=3)
    return paths


def read(entries, problems, unreadable, path, verbose):
    """The files that can be read, with their headers."""
    if verbose:
        print(f"Looking at {count(entries)} in {path}")
    bar = keras.utils.Progbar(
        len(entries), verbose=int(verbose), unit_name="file"
    )
    files = []
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for entry, result in zip(
            entries, pool.map(_inspect, entries), strict=True
        ):
            if isinstance(result, str):
                problems[entry.path] = result
            else:
                files.append(result)
            bar.add(1)
    whole = _decodable(files)
    for file, good in zip(files, whole, strict=True):
        if not good:
            problems[file.path] = "is damaged or truncated"
    if problems:
        _report(problems, unreadable, path)
    files = [file for file, good in zip(files, whole, strict=True) if good]
    remarks = collections.defaultdict(list)
    for file in files:
        if file.header.remark:
            remarks[file.header.remark].append(file.path)
    for remark, paths in remarks.items():
        warnings.warn(
            f"{count(paths)}, such as {paths[0]}: {remark}", stacklevel=3
        )
    return files


def _inspect(entry):
    """The entry with what is in it, or what is wrong."""
    try:
        with open(entry.path, "rb") as file:
            contents = file.read()
        header = reading.inspect(contents)
    except OSError as error:
        return f"cannot be opened: {error.strerror}"
    except ValueError as error:
        return str(error)
    digest = hashlib.blake2b(contents, digest_size=16).digest()
    return entry._replace(digest=digest, header=header)


def _decodable(files):
    """Which of the files can be decoded whole."""
    good = np.zeros(len(files), bool)
    if not files:
        return good
    paths = [os.fsencode(file.path) for file in files]
    special = [file.header.special for file in files]

    def decode(index, path, special):
        image = reading.decode(tf.io.read_file(path), special, 3)
        with tf.control_dependencies([image]):
            return tf.identity(index)

    numbers = np.arange(len(files))
    survivors = (
        tf.data.Dataset.from_tensor_slices((numbers, paths, special))
        .map(decode, num_parallel_calls=tf.data.AUTOTUNE)
        .ignore_errors()
    )
    good[list(survivors.as_numpy_iterator())] = True
    return good


def _report(problems, unreadable, path):
    """Raises, or warns, with a list of files that are left out."""
    lines = [f"  {name} {why}" for name, why in sorted(problems.items())]
    if len(lines) > _SHOWN:
        lines[_SHOWN:] = [f"  and {len(lines) - _SHOWN} more"]
    text = "\n".join([f"{count(problems)} in {path} cannot be used:", *lines])
    if unreadable == "error":
        raise UnreadableFilesError("unreadable", _LEAVE_OUT, note=text)
    warnings.warn(f"{text}\nThis is left out.", stacklevel=4)


def count(things) -> str:
    """A number of files in words."""
    return f"{len(things):,} file" + ("s" if len(things) != 1 else "")
