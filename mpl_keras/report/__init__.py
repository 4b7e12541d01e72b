"""What people read of a training: a page, figures, and a model card."""

from mpl_keras.report.preview import (
    plot_views,
)
from mpl_keras.report.training_page import (
    check_installed,
    missing,
    plot_confusion,
    plot_curves,
    write,
)

__all__ = [
    "check_installed",
    "missing",
    "plot_confusion",
    "plot_curves",
    "plot_views",
    "write",
]
