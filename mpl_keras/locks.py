"""One job alone writes into a folder."""

import contextlib
import os
import warnings
from typing import Any

import filelock

FILE = ".lock"


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
        self._folder = os.fspath(folder)
        self._argument = argument
        self._lock = filelock.FileLock(
            os.path.join(self._folder, FILE), timeout=0, thread_local=False
        )

    def acquire(self) -> None:
        """Takes the lock; taken twice by one object it is held once.

        Raises:
            BlockingIOError: If another job holds it.
        """
        if self._lock.is_locked:
            return
        try:
            self._lock.acquire()
        except filelock.Timeout as error:
            raise BlockingIOError(
                f"`{self._argument}` must be the folder of one job alone: "
                "another one that still runs trains there. Received: "
                f"{self._argument}={self._folder}"
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
