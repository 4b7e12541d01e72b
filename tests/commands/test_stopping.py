"""Ctrl-C ends a program with a sentence, however early it comes."""

import os
import signal
import subprocess
import sys

import pytest

from mpl_keras.commands import main, quiet_start, train


def test_ctrl_c_while_a_program_starts(monkeypatch, capsys):
    def stopped(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(train.COMMAND, "run", stopped)
    with pytest.raises(SystemExit) as end:
        main(["mpl-keras", "train", "--output_dir=run"])
    assert end.value.code == 130
    assert capsys.readouterr().err == "\nmpl-keras train: stopped.\n"


# As `mpl_keras` does before it imports anything that takes time.
EARLY = """
import os, signal, time
import quiet_start
quiet_start.leave_quietly()
if {begin}:
    quiet_start.begin()
os.kill(os.getpid(), signal.SIGINT)
time.sleep(5)
"""


@pytest.mark.parametrize("begin", [False, True])
def test_ctrl_c_while_it_is_imported(begin):
    folder = os.path.dirname(quiet_start.__file__)
    result = subprocess.run(
        [sys.executable, "-c", EARLY.format(begin=begin)],
        env=os.environ | {"PYTHONPATH": folder},
        capture_output=True,
        text=True,
        # Where tests run in the background Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.default_int_handler
        ),
    )
    if begin:  # it is an exception again
        assert "KeyboardInterrupt" in result.stderr
        return
    assert result.returncode == 130
    assert result.stderr == "\nmpl-keras: stopped before it began.\n"


def test_a_program_in_the_background_ignores_it(monkeypatch):
    monkeypatch.setattr(signal, "getsignal", lambda number: signal.SIG_IGN)
    monkeypatch.setattr(signal, "signal", None)
    quiet_start.leave_quietly()
    quiet_start.begin()
