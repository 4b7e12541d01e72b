"""How far several trainings are, and how long the rest of them takes."""

import time
from collections.abc import Sequence

import numpy as np


class Outlook:
    """Which training of how many runs, and about when all are done.

    What a training that is to come takes, is reckoned from those of the same
    method that are finished; without one, from all that is known, the training
    that runs included.

    Args:
        trainings: Pairs of a method and a seed, in order.
        quick: Methods that take no time that counts.

    Example:
    >>> outlook = Outlook([("uda", 0), ("mpl", 0), ("uda", 1)])
    >>> outlook.begin()
    >>> outlook.line(0, None)
    'training 1 of 3: uda, seed 0, step 0'
    >>> outlook.line(500, 60.0)
    'training 1 of 3, about 3 min left in all: uda, seed 0, step 500'
    """

    def __init__(
        self,
        trainings: Sequence[tuple[str, int]],
        quick: Sequence[str] = (),
    ):
        self._trainings = list(trainings)
        self._quick = frozenset(quick)
        self._number = 0  # of the training that runs, from 1
        self._started = 0.0
        self._taken = {}  # seconds of the finished ones, by method

    def begin(self) -> None:
        """The next training begins."""
        self._number += 1
        self._started = time.monotonic()

    def end(self, seconds: float) -> None:
        """The training has ended.

        Args:
            seconds: What it is known to have taken, NaN where it began earlier.
                What has passed since `begin` counts where it is more.
        """
        if not np.isnan(seconds):
            method, _ = self._trainings[self._number - 1]
            took = max(seconds, time.monotonic() - self._started)
            self._taken.setdefault(method, []).append(took)

    def line(self, done: int, left: float | None) -> str:
        """The line of progress.

        Args:
            done: Steps of the training that runs.
            left: Seconds until its last step, None where this is not known.
        """
        method, seed = self._trainings[self._number - 1]
        rest = self._rest(left)
        told = "" if rest is None else f", {about(rest)} left in all"
        return (
            f"training {self._number} of {len(self._trainings)}{told}: "
            f"{method}, seed {seed}, step {done:,}"
        )

    def _rest(self, left):
        """Seconds until the last training is done, or None."""
        method, _ = self._trainings[self._number - 1]
        passed = time.monotonic() - self._started
        known = {name: np.mean(taken) for name, taken in self._taken.items()}
        if left is not None:
            known.setdefault(method, passed + left)
        elif known:
            usual = known.get(method, np.mean(list(known.values())))
            left = max(usual - passed, 0.0)
        else:
            return None
        each = np.mean(list(known.values()))
        later = self._trainings[self._number :]
        return left + sum(
            known.get(name, each)
            for name, _ in later
            if name not in self._quick
        )


def about(seconds: float) -> str:
    """A time that is not known exactly, in words.

    Example:
    >>> about(41.0), about(400.0), about(9000.0)
    ('about 40 s', 'about 7 min', 'about 2 h 30 min')
    """
    if seconds < 90:
        return f"about {max(10 * round(seconds / 10), 10)} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"about {minutes} min"
    minutes = 10 * round(minutes / 10)
    return f"about {minutes // 60} h {minutes % 60} min"
