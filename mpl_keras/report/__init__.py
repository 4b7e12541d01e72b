"""What people read of a training: a page, figures, and a model card."""

from mpl_keras.report.page import (
    check_installed,
    plot_confusion,
    plot_curves,
    write,
)
from mpl_keras.report.preview import (
    plot_views,
)

__all__ = [
    "check_installed",
    "plot_confusion",
    "plot_curves",
    "plot_views",
    "write",
]
