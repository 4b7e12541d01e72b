"""A network on a table as a SavedModel: raw rows in, class names out.

What the table's encoder does is done in TensorFlow, with the same float64
arithmetic: who loads it needs nothing else.
"""

import re
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpl_keras.checks.arguments import ArgumentError
from mpl_keras.datasets.columns import TableEncoder
from mpl_keras.export import named_serving

_LARGEST = float(np.finfo(np.float32).max)
_PLAIN = (str, int, float, bool)


def described(encoder: TableEncoder) -> dict[str, Any]:
    """What the columns of a table are, as JSON.

    Args:
        encoder: Of the training table.

    Returns:
        "missing", the signs that say that a value is missing, and "columns",
        for each one: its "name"; "input", what it is called as an input of the
        SavedModel; "kind", numbers, booleans or categories; "dtype" of the
        input; "categories" as the table has them; "fill", what stands for a
        missing value, where one is taken; and "missing", how the input says it.

    Raises:
        ArgumentError: Two columns, or two categories of one, have one text.

    Example:
    >>> import pandas as pd
    >>> from mpl_keras.datasets import columns
    >>> encoder = columns.fit(pd.DataFrame({"an age": [1.0, 3.0]}), ["an age"])
    >>> described(encoder)["columns"][0]["input"]
    'an_age'
    """
    names = [str(column.name) for column in encoder.columns]
    if len(set(names)) < len(names):
        raise ArgumentError("data", "have columns of different names", names)
    inputs = _identifiers(names)
    return {
        "missing": [s for s in encoder.missing if isinstance(s, _PLAIN)],
        "columns": [
            _column(column, name, inputs[name])
            for name, column in zip(names, encoder.columns, strict=True)
        ],
    }


def _column(column, name, argument):
    known = {"name": name, "input": argument, "kind": column.kind}
    known["dtype"] = "float64"
    if column.kind == "categories":
        known["dtype"] = "string"
        known["categories"] = [
            value if isinstance(value, _PLAIN) else str(value)
            for value in column.categories
        ]
        texts = [str(value) for value in known["categories"]]
        if len(set(texts)) < len(texts):
            raise ArgumentError(
                "data",
                "have categories of different texts",
                f"column {name!r} of {column.categories}",
            )
    if column.fill is not None:
        known["fill"] = column.fill
        known["missing"] = "NaN" if known["dtype"] == "float64" else ""
    return known


def _identifiers(names):
    """A name of an input for each column, which any language can write."""
    chosen = {}
    for name in names:
        plain = re.sub(r"\W", "_", name, flags=re.ASCII)
        plain = plain if plain[:1].isalpha() else f"column_{plain}"
        number, free = 1, plain
        while free.lower() in chosen.values():
            number += 1
            free = f"{plain}_{number}"
        chosen[name] = free.lower()
    return chosen


def write_saved_model(
    network: keras.Model,
    path: str,
    encoder: TableEncoder,
    metadata: Mapping[str, Any],
) -> None:
    """Writes a SavedModel that takes a tensor [N] for each column.

    Args:
        network: From the encoder's features to logits.
        path: The folder.
        encoder: Is put in it.
        metadata: What JSON can hold, with "class_names" and what `described`
            gives.
    """
    features = _Features(encoder, metadata)
    named_serving.write(network, path, features, features.inputs(), metadata)


class _Features:
    """From raw columns to the features of an encoder, in a graph."""

    def __init__(self, encoder, metadata):
        self._columns = metadata["columns"]
        self._missing = metadata["missing"]
        self._shift, self._scale = encoder.shift, encoder.scale
        widths = [len(c.get("categories", "1")) for c in self._columns]
        ends = np.cumsum(widths)
        places = {True: [], False: []}
        columns = {True: [], False: []}
        for column, width, end in zip(self._columns, widths, ends, strict=True):
            text = column["kind"] == "categories"
            columns[text].append(column)
            places[text] += range(end - width, end)
        self._numbers, self._texts = columns[False], columns[True]
        # Numbers are computed first, together; then texts.
        self._order = np.argsort(places[False] + places[True])

    def inputs(self):
        return {
            c["input"]: tf.TensorSpec((None,), c["dtype"], c["input"])
            for c in self._columns
        }

    def __call__(self, rows):
        parts = [self._one_hot(rows[c["input"]], c) for c in self._texts]
        if self._numbers:
            values = [rows[c["input"]] for c in self._numbers]
            parts.insert(0, self._complete(tf.stack(values, axis=1)))
        raw = tf.gather(tf.concat(parts, axis=1), self._order, axis=1)
        return tf.cast((raw - self._shift) * self._scale, tf.float32)

    def _complete(self, values):
        """Numbers without gaps; raises where one is missing or infinite."""
        gone = tf.math.is_nan(values)
        yes = [c["kind"] == "booleans" for c in self._numbers]
        for sign in self._missing:
            if isinstance(sign, (int, float)):
                gone |= (values == float(sign)) & ~tf.constant(yes)
        fills = [c.get("fill", np.nan) for c in self._numbers]
        values = tf.where(gone, tf.constant(fills, tf.float64), values)
        missing = tf.math.is_nan(values)
        names = [c["name"] for c in self._numbers]
        checks = [
            _check(missing, names, "must have a value in every row"),
            _check(
                (tf.abs(values) > _LARGEST) & ~missing,
                names,
                "must hold finite numbers in float32's range",
            ),
        ]
        odd = (values != 0) & (values != 1) & tf.constant(yes)
        checks.append(_check(odd & ~missing, names, "must hold 0 or 1"))
        with tf.control_dependencies(checks):
            return tf.identity(values)

    def _one_hot(self, values, column):
        texts = [str(value) for value in column["categories"]]
        signs = [s for s in self._missing if isinstance(s, str)]
        signs = [s for s in (*signs, "") if s not in texts]
        same = values[:, tf.newaxis] == tf.constant(texts, tf.string)
        known = tf.reduce_any(same, axis=1)
        gone = tf.zeros_like(known)
        for sign in signs:
            gone |= values == sign
        checks = [_check_texts(values, ~known & ~gone, column["name"], texts)]
        if "fill" not in column:
            told = "must have a value in every row"
            checks.append(_check(gone[:, tf.newaxis], [column["name"]], told))
        with tf.control_dependencies(checks):
            return tf.cast(same, tf.float64)


def _check(bad, names, must):
    """An error in the graph that names the columns."""
    columns = tf.boolean_mask(tf.constant(names), tf.reduce_any(bad, axis=0))
    rows = tf.where(tf.reduce_any(bad, axis=1))[:, 0]
    return tf.debugging.Assert(
        ~tf.reduce_any(bad),
        [f"Columns {must}. Received others in columns", columns, "rows", rows],
        summarize=8,
    )


def _check_texts(values, bad, name, texts):
    return tf.debugging.Assert(
        ~tf.reduce_any(bad),
        [
            # Quotes would be shown with backslashes.
            f"Column {name} must hold categories of the training table, of "
            f"{', '.join(texts[:8])}"
            + (", ..." if len(texts) > 8 else "")
            + ". Received",
            tf.boolean_mask(values, bad),
            "in rows",
            tf.where(bad)[:, 0],
        ],
        summarize=8,
    )
