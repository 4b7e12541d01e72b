"""Runs scripts in processes of their own, without importing TensorFlow anew.

Importing it takes 5 seconds of a CPU. A server has done it once, and is
forked for each script: the child has the arguments, the environment, the folder
and the files for its output that a new process would have, and a process id to
which signals can be sent.

What is about importing, about a clean environment, or about how a user starts a
script, belongs in a true process: `subprocess`, or `true=True` here.
"""

import multiprocessing
import os
import pathlib
import random
import runpy
import subprocess
import sys
import tempfile

# What scripts import; none of it starts TensorFlow's devices.
PRELOADED = (
    "tensorflow",
    "keras",
    "mpl_keras",
    "matplotlib.pyplot",
    "sklearn.datasets",
    "pandas",
    "absl.app",
)

ROOT = pathlib.Path(__file__).parents[1]

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(list(PRELOADED))


class Script:
    """A script that was started; what it has of `subprocess.Popen` is alike."""

    def __init__(self, path, *flags, cwd=None, env=None, module=False):
        self._files = [tempfile.NamedTemporaryFile() for _ in range(2)]
        self.arguments = [str(path), *map(str, flags)]
        self._process = _server.Process(
            target=_run,
            args=(
                self.arguments,
                str(cwd or os.getcwd()),
                dict(os.environ if env is None else env),
                [file.name for file in self._files],
                module,
            ),
            daemon=True,  # ends with the tests, also where one has failed
        )
        self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self):
        return self._process.exitcode

    poll = returncode.fget

    def send_signal(self, number):
        os.kill(self.pid, number)

    def wait(self, timeout=None):
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout)
        return self.returncode

    def output(self):
        """What it has written so far: of stdout, and of stderr."""
        return tuple(
            pathlib.Path(file.name).read_text(errors="backslashreplace")
            for file in self._files
        )

    def communicate(self, timeout=None):
        self.wait(timeout)
        return self.output()


def start(path, *flags, cwd=None, env=None):
    """Starts a script."""
    return Script(path, *flags, cwd=cwd, env=env)


def run(path, *flags, cwd=None, env=None, true=False):
    """Runs a script to its end: what `subprocess.run` returns."""
    if true:
        return _run_truly([str(path), *flags], cwd, env)
    return _end(start(path, *flags, cwd=cwd, env=env))


def start_command(name, *flags, cwd=None, env=None):
    """Starts a program of the library: `python -m mpl_keras NAME ...`."""
    return Script("mpl_keras", name, *flags, cwd=cwd, env=env, module=True)


def command(name, *flags, cwd=None, env=None, true=False):
    """Runs a program of the library to its end, as `run` does a script."""
    if true:
        env = {**(os.environ if env is None else env), "PYTHONPATH": str(ROOT)}
        # As on a terminal: that of the tests is not the user's.
        env.pop("TF_CPP_MIN_LOG_LEVEL", None)
        return _run_truly(["-m", "mpl_keras", name, *flags], cwd, env)
    return _end(start_command(name, *flags, cwd=cwd, env=env))


def run_code(code, folder, **options):
    """Runs Python code as a script of that folder."""
    path = pathlib.Path(folder) / "code_of_a_test.py"
    path.write_text(code, encoding="utf-8")
    return run(path, **options)


def _run_truly(arguments, cwd, env):
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=env,
    )


def _end(script):
    output = script.communicate()
    return subprocess.CompletedProcess(
        script.arguments, script.returncode, *output
    )


def _run(argv, cwd, environment, outputs, module):
    """In the child: what the interpreter does for `python script.py`."""
    import numpy as np

    for number, name in enumerate(outputs, start=1):
        file = os.open(name, os.O_WRONLY | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    # A new process would not draw what its siblings draw.
    random.seed()
    np.random.seed()
    sys.argv = argv
    if module:
        sys.path.insert(0, os.getcwd())
        runpy.run_module(argv[0], run_name="__main__", alter_sys=True)
        return
    sys.path.insert(0, os.path.dirname(os.path.abspath(argv[0])))
    runpy.run_path(argv[0], run_name="__main__")
