"""The table of the unlabeled pictures that are worth labeling next."""

import io
import os
from collections.abc import Sequence

from mpl_keras.datasets.semi_supervised_data import SemiSupervisedData
from mpl_keras.evaluation import Candidate
from mpl_keras.export.cells import class_cell, path_cell, write_row

FILE = "label_next.csv"
MOST = 100
_HEAD = ("number", "file", "class", "probability", "or", "its_probability")


def table(
    data: SemiSupervisedData, candidates: Sequence[Candidate], root: str = ""
) -> str:
    """The table, as CSV.

    Args:
        data: What was trained on.
        candidates: What `evaluation.worth_labeling` returns.
        root: Folder that files are named from.

    Example:
    >>> from mpl_keras import datasets
    >>> candidate = Candidate(7, "", (1, 0), (0.51, 0.49))
    >>> table(datasets.two_moons(), [candidate]).splitlines()[1]
    '7,,lower,0.5100,upper,0.4900'
    """
    text = io.StringIO(newline="")
    write_row(text, _HEAD)
    for one in candidates:
        file = os.path.relpath(one.file, root) if one.file and root else ""
        first, second = (class_cell(data.class_names[k]) for k in one.classes)
        share, its_share = (f"{value:.4f}" for value in one.shares)
        file = path_cell(file or one.file)
        write_row(text, (one.index, file, first, share, second, its_share))
    return text.getvalue()
