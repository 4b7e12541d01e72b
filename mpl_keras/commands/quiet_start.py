"""How a program starts: quietly, and fast on a CPU."""

import os
import signal
import sys
import tempfile


def is_program() -> bool:
    """Whether Python was started for one of the programs."""
    given = sys.orig_argv
    if "-m" in given[:-1]:
        return given[given.index("-m") + 1] == "mpl_keras"
    return os.path.basename(sys.argv[0] or "") in ("mpl-keras", "mpl-keras.exe")


def leave_quietly() -> None:
    """Lets Ctrl-C end the program with a sentence while it is imported.

    `main` takes over with `begin`.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return  # as of a job in the background
    terminal = os.dup(2)  # `quietly` puts another file in its place

    def leave(number, frame):
        os.write(terminal, b"\nmpl-keras: stopped before it began.\n")
        os._exit(128 + signal.SIGINT)

    _leave.append(leave)
    signal.signal(signal.SIGINT, leave)


_leave = []


def begin() -> None:
    """From here on Ctrl-C is an exception again, which programs handle."""
    if signal.getsignal(signal.SIGINT) in _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def quietly() -> None:
    """Imports TensorFlow without its own lines on the terminal.

    They come from C++, some before any log level is read. They are shown if
    the import fails; later errors come as exceptions. oneDNN's operations,
    which are faster on every CPU, are switched on where nothing else is
    set.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as lines:
        os.dup2(lines.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()
        except BaseException:
            lines.seek(0)
            os.write(terminal, lines.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
