"""Which program is meant."""

import importlib
import signal
import sys
from collections.abc import Sequence

from mpl_keras.checks import names
from mpl_keras.commands import quiet_start

PROGRAMS = {
    "train": "Trains a classifier on a folder of pictures or a data set.",
    "compare": "Trains several methods over seeds, and compares them.",
    "predict": "Classifies the pictures in a folder, into a table.",
    "export": "Writes a trained network for servers, phones and browsers.",
    "tune": "Searches settings on validation pictures.",
    "preview": "Draws weak and strong views of pictures, to look at.",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the program that the first argument names.

    Args:
        argv: Its own name and the arguments, as `sys.argv`, by default that.

    Raises:
        SystemExit: At the end of a program, where something is wrong, for
            `--help`, or with code 130 after Ctrl-C.
    """
    _, *arguments = sys.argv if argv is None else argv
    name = arguments[0] if arguments else "--help"
    if name in ("--help", "-h", "-help", "help"):
        print(_overview())
        return
    if name not in PROGRAMS:
        near = names.did_you_mean(name, PROGRAMS)
        print(
            f"mpl-keras: NAME must be one of {', '.join(PROGRAMS)}{near}. "
            f"Received: {names.printable(name)}",
            file=sys.stderr,
        )
        sys.exit(2)
    try:
        quiet_start.begin()
        module = importlib.import_module(f"mpl_keras.commands.{name}")
        module.COMMAND.run(arguments[1:])
    except KeyboardInterrupt:
        print(f"\nmpl-keras {name}: stopped.", file=sys.stderr, flush=True)
        sys.exit(128 + signal.SIGINT)


def _overview():
    lines = ["usage: mpl-keras NAME [arguments]", ""]
    lines += [f"  {name:9} {text}" for name, text in PROGRAMS.items()]
    return "\n".join([*lines, "", "mpl-keras NAME --help says more."])
