"""Writing results to disk whole or not at all, and locks on folders."""

import contextlib
import json
import os
import tempfile
import warnings
from collections.abc import Callable
from typing import Any

import filelock

from mpl_keras.checks import arguments
from mpl_keras.checks.arguments import (
    FileInTheWayError,
    FolderInUseError,
    NotWritableError,
)

LOCK_FILE = ".lock"
SAVED_MODEL = "saved_model.pb"  # what a folder that is one holds


def check_folder(
    path: Any,
    overwrite: bool = False,
    argument: str = "path",
    permission: str = "overwrite",
) -> str:
    """Raises unless a folder for results is free, and can be written to.

    Nothing is made or written.

    Args:
        path: The folder, which need not exist.
        overwrite: Whether files in it may be written over.
        argument: What to call the path in the error.
        permission: What to call `overwrite` in the error.

    Returns:
        The path as a string.

    Raises:
        FileInTheWayError: If it holds something, and `overwrite` is False.
        NotWritableError: If it could not be written to.

    Example:
    >>> check_folder("/dev/null/new", argument="output_dir")
    Traceback (most recent call last):
    ...
    mpl_keras.checks.arguments.NotWritableError: `output_dir` must be a folder \
that can be written to. Received: output_dir=/dev/null/new, and /dev/null cannot
    """
    path = arguments.path(argument, path)
    if os.path.lexists(path) and not os.path.isdir(path):
        raise FileInTheWayError(
            argument, "be a folder", path, note=", which is a file"
        )
    if _occupied(path) and not overwrite:
        raise FileInTheWayError(
            argument,
            f"be a new or empty folder, unless {{{permission}}} is set",
            path,
            others={permission: str(overwrite)},
        )
    parent = os.path.abspath(path)
    while not os.path.exists(parent):
        parent = os.path.dirname(parent)
    if not os.path.isdir(parent) or not os.access(parent, os.W_OK | os.X_OK):
        raise NotWritableError(
            argument,
            "be a folder that can be written to",
            path,
            note=f", and {parent} cannot",
        )
    return path


def write_whole(filepath, write: Callable[[str], None]) -> None:
    """Writes a file or folder so that it is there whole, or as it was.

    Args:
        filepath: Where it is to be. What is there is replaced at the end, but
            a folder by a folder alone.
        write: Writes it to the path that it gets.

    Raises:
        FileInTheWayError: A folder is where a file is to be.

    Example:
    >>> folder = tempfile.mkdtemp()
    >>> path = os.path.join(folder, "answer.txt")
    >>> write_whole(path, lambda path: open(path, "w").write("42"))
    >>> os.listdir(folder)
    ['answer.txt']
    """
    filepath = os.path.abspath(arguments.path("filepath", filepath))
    folder, name = os.path.split(filepath)
    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".{name}.") as half:
        target = os.path.join(half, name)
        write(target)
        if not os.path.isdir(target):
            _check_replaceable(filepath, None, "filepath")
        if os.path.isdir(filepath) or os.path.isdir(target):
            # A folder cannot be replaced at once: what was is set aside.
            if os.path.lexists(filepath):
                os.replace(filepath, os.path.join(half, ".before"))
        os.replace(target, filepath)


def text_writer(text: str) -> Callable[[str], None]:
    """What writes a text to a path, for `write_whole`.

    Bytes that are no UTF-8, as in names of folders, become what JSON reads as
    they were.
    """

    def write(path):
        with open(
            path, "w", encoding="utf-8", errors="backslashreplace"
        ) as file:
            file.write(text)

    return write


def bytes_writer(contents: bytes) -> Callable[[str], None]:
    """What writes bytes to a path, for `write_whole`."""

    def write(path):
        with open(path, "wb") as file:
            file.write(contents)

    return write


def json_writer(value) -> Callable[[str], None]:
    """What writes a value as JSON to a path, for `write_whole`.

    Example:
    >>> path = os.path.join(tempfile.mkdtemp(), "a.json")
    >>> write_whole(path, json_writer({"a": 1}))
    """
    return text_writer(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def check_free(
    filepath: Any,
    overwrite: bool = False,
    argument: str = "filepath",
    folder_with: str | None = None,
) -> None:
    """Raises `FileInTheWayError` if there is something that is to stay.

    A folder full of other things is never replaced, whatever may be.

    Args:
        filepath: A file or folder.
        overwrite: Whether it may be replaced.
        argument: What to call the path in the error.
        folder_with: Where a folder is written, a file by which one that may be
            replaced is known, such as `SAVED_MODEL`; None for a file.

    Example:
    >>> check_free("/", argument="output")
    Traceback (most recent call last):
    ...
    mpl_keras.checks.arguments.FileInTheWayError: `output` must be free, \
unless `overwrite` is set. Received: output=/, overwrite=False
    """
    filepath = arguments.path(argument, filepath)
    if _occupied(filepath) and not overwrite:
        raise FileInTheWayError(
            argument,
            "be free, unless {overwrite} is set",
            filepath,
            others={"overwrite": str(overwrite)},
        )
    _check_replaceable(filepath, folder_with, argument)


def _check_replaceable(filepath, folder_with, argument):
    """Raises for a folder of which nobody has said that it may be deleted."""
    if not os.path.isdir(filepath):
        return
    if folder_with is None:
        must, note = "be a file", ", which is a folder"
    elif os.listdir(filepath) and not os.path.exists(
        os.path.join(filepath, folder_with)
    ):
        must = "be a new or empty folder, or one to replace"
        note = f", which holds other things, and no {folder_with}"
    else:
        return
    raise FileInTheWayError(
        argument, must, filepath, note=f"{note}: it is not deleted"
    )


def _occupied(path):
    if os.path.isdir(path):
        return bool(os.listdir(path))
    return os.path.exists(path)


class FolderLock:
    """A lock on a folder, which ends with the process that holds it.

    Args:
        folder: The folder; it must exist when the lock is taken.
        argument: What to call the folder in an error.

    Example:
    >>> import tempfile
    >>> lock = FolderLock(tempfile.mkdtemp())
    >>> lock.acquire()
    >>> lock.release()
    """

    def __init__(self, folder: Any, argument: str = "folder"):
        self._folder = arguments.path(argument, folder)
        self._argument = argument
        self._lock = filelock.FileLock(
            os.path.join(self._folder, LOCK_FILE), timeout=0, thread_local=False
        )

    def acquire(self) -> None:
        """Takes the lock; taken twice by one object it is held once.

        Raises:
            FolderInUseError: If another job holds it.
        """
        if self._lock.is_locked:
            return
        try:
            self._lock.acquire()
        except filelock.Timeout as error:
            raise FolderInUseError(
                self._argument,
                "be the folder of one job alone: another one that still runs "
                "trains there",
                self._folder,
            ) from error
        except NotImplementedError:
            warnings.warn(
                f"The file system of {self._folder} has no locks: see to it "
                "that no other job trains there.",
                stacklevel=3,
            )

    def release(self) -> None:
        """Gives it back, and leaves no file behind."""
        if self._lock.is_locked:
            # Still locked: who opens it now sees that it is gone.
            with contextlib.suppress(OSError):
                os.remove(self._lock.lock_file)
            self._lock.release()

    def __del__(self):
        """Gives it back when nobody can any more."""
        self.release()
