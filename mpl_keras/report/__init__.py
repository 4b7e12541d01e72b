"""What people read of a training: a page, figures, and a model card."""

from mpl_keras.report.page import (
    check,
    plot_confusion,
    plot_curves,
    write,
)

__all__ = [
    "check",
    "plot_confusion",
    "plot_curves",
    "write",
]
