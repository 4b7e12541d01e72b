"""Training on several devices and machines as on one."""

from mpl_keras.distribute.state import (
    state_variables,
)
from mpl_keras.distribute.strategy import (
    STRATEGIES,
    make_strategy,
)
from mpl_keras.distribute.workers import (
    EXIT_RESTART,
    WorkerLost,
    is_chief,
    num_workers,
    same_everywhere,
    sum_over_workers,
)

__all__ = [
    "EXIT_RESTART",
    "STRATEGIES",
    "WorkerLost",
    "is_chief",
    "make_strategy",
    "num_workers",
    "same_everywhere",
    "state_variables",
    "sum_over_workers",
]
