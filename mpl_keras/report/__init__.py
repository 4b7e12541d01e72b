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
from mpl_keras.report.vocabulary import (
    color,
    method_name,
    metric_name,
)

__all__ = [
    "check_installed",
    "color",
    "method_name",
    "metric_name",
    "missing",
    "plot_confusion",
    "plot_curves",
    "plot_views",
    "write",
]
