"""Between batches and epochs: backups, TensorBoard, progress, ramps."""

from mpl_keras.callbacks.backup import (
    EXIT_PREEMPTED,
    Backup,
)
from mpl_keras.callbacks.progress import (
    Progress,
)
from mpl_keras.callbacks.pseudo_label_monitor import (
    PseudoLabelMonitor,
)
from mpl_keras.callbacks.ramps import (
    ConsistencyWeightRamp,
    SignalAnnealing,
)
from mpl_keras.callbacks.tensorboard import (
    TensorBoard,
)
from mpl_keras.distribute.fit_callback import FitCallback

__all__ = [
    "Backup",
    "ConsistencyWeightRamp",
    "EXIT_PREEMPTED",
    "FitCallback",
    "Progress",
    "PseudoLabelMonitor",
    "SignalAnnealing",
    "TensorBoard",
]
