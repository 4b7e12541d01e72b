"""An exported classifier of texts, used from strings."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from mpl_keras.checks import names as spelling
from mpl_keras.checks.arguments import ArgumentError
from mpl_keras.datasets import tokenizing

COLUMN = "text"


class TextClassifier:
    """From strings to class probabilities.

    `load` makes one of what `write_classifier` has written for texts.

    Args:
        metadata: "class_names".
        serve: From a tensor of strings [N] to probabilities [N, classes].

    Attributes:
        class_names: One name for each column of the probabilities.
        columns: The one column of a CSV file that `mpl-keras predict` reads.

    Example:
    >>> half = lambda strings: tf.fill([len(strings), 2], 0.5)
    >>> TextClassifier({"class_names": "ab"}, half)(["a text"])
    array([[0.5, 0.5]], dtype=float32)
    """

    def __init__(self, metadata: Mapping[str, Any], serve: Any):
        self.class_names = tuple(metadata["class_names"])
        self.columns = (COLUMN,)
        self._serve = serve

    def __call__(self, strings: Sequence[str]) -> np.ndarray:
        """Classifies texts.

        Args:
            strings: A list of strings, an array, or a column of a data frame.

        Returns:
            Probabilities, float32, [N, number of classes].

        Raises:
            ArgumentError: It is one string alone, or holds something else.
        """
        return self.probabilities(tokenizing.as_texts(strings, "strings"))

    def names(self, strings: Sequence[str]) -> list[str]:
        """The name of the most probable class of each text.

        Args:
            strings: As of a call.
        """
        return [self.class_names[k] for k in self(strings).argmax(axis=-1)]

    def check_columns(self, found: Any, argument: str) -> None:
        """Raises unless a table has the column of texts.

        Args:
            found: Names of columns.
            argument: What to call their table in the error.
        """
        found = [str(name) for name in found]
        if COLUMN not in found:
            raise ArgumentError(
                argument,
                f"have a column {COLUMN!r}, or be a .txt file with a text in "
                "each line",
                f"columns {', '.join(map(repr, found[:8])) or 'of no name'}",
                note=spelling.did_you_mean(COLUMN, found),
            )

    def parse(self, rows: list) -> tuple[list, dict[int, str]]:
        """Texts of rows of `columns`, and what is wrong with other rows.

        Args:
            rows: For each row a list of one cell.
        """
        values, errors = [], {}
        for number, (cell,) in enumerate(rows):
            if isinstance(cell, str) and cell.strip():
                values.append(cell)
            else:
                errors[number] = f"no text in column {COLUMN!r}"
        return values, errors

    def probabilities(self, values: list) -> np.ndarray:
        """Of texts that `parse` has returned.

        Args:
            values: Strings.
        """
        if not values:
            return np.zeros((0, len(self.class_names)), np.float32)
        return np.asarray(self._serve(tf.constant(values, tf.string)))
