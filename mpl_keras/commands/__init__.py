"""The programs: `mpl-keras NAME`, or `python -m mpl_keras NAME`."""

from mpl_keras.commands.main import main

__all__ = ["main"]
