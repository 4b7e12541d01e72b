"""Texts, of which a few have a label, as training data."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from mpl_keras import augment
from mpl_keras.checks.arguments import ArgumentError
from mpl_keras.datasets import columns, signs, tokenizing
from mpl_keras.datasets import labels as labels_of
from mpl_keras.datasets import rows as rows_of
from mpl_keras.datasets.semi_supervised_data import SemiSupervisedData

_EXAMPLES = 256


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class TextData(SemiSupervisedData):
    """What `SemiSupervisedData` holds, and how texts become token ids.

    Args:
        tokenizer: Makes integers [N, length] of a batch of strings.
        statistics: How often each token occurs in the training texts.
        examples: Some training texts, at most 256; an export is compared on
            them.

    Example:
    >>> from_text(["so good", "so bad"], ["+", "-"], ["very good", "very bad"])
    TextData(labeled=2, unlabeled=4, classes=2)
    """

    tokenizer: Any = None
    statistics: augment.TokenStatistics | Any = None
    examples: tuple[str, ...] = ()

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids, for the embedding of a network."""
        return len(self.statistics.counts)

    @property
    def max_length(self) -> int:
        """Number of tokens of a row."""
        return self.unlabeled.shape[1]

    def encode(self, strings: Sequence[str]) -> np.ndarray:
        """Token ids of texts, int32, [N, length].

        Args:
            strings: Texts.

        Example:
        >>> data = from_text(["so good", "so bad"], ["+", "-"], ["good, bad"])
        >>> data.encode(["So bad!"])[0, :3]
        array([2, 4, 0], dtype=int32)
        """
        return tokenizing.encode(
            self.tokenizer, tokenizing.as_texts(strings, "strings")
        )


def from_text(
    strings: Sequence[str],
    labels: Sequence[Any],
    unlabeled_strings: Sequence[str] = (),
    *,
    num_labeled: int | None = None,
    seed: int = 0,
    test: tuple[Sequence[str], Sequence[Any]] | None = None,
    test_fraction: float = 0.0,
    validation: tuple[Sequence[str], Sequence[Any]] | None = None,
    validation_fraction: float = 0.0,
    max_length: int = 128,
    vocabulary_size: int = 10_000,
    tokenizer: Any = None,
    reserved: Sequence[int] = (0, 1),
    labeled_in_unlabeled: bool = True,
    balanced: bool = True,
    class_names: Sequence[str] | None = None,
    views: augment.Views | None = None,
    missing: Sequence | None = None,
) -> TextData:
    """Data from texts; those without a label are unlabeled.

    The vocabulary is that of the training texts, labeled and unlabeled, never
    of texts that are set aside.

    Args:
        strings: One text for each example.
        labels: One for each of `strings`: text, whole numbers or booleans;
            missing (None, NaN) where the class is not known.
        unlabeled_strings: More texts, without labels.
        num_labeled: Hides all labels but so many, for experiments; by default
            every known label is used. See `split_labeled`.
        seed: Of the choice of labeled and validation texts, in [0, 2**32).
        test: Pair (strings, labels) for the final figure.
        test_fraction: Share of the labeled texts to set aside as `test`
            instead, stratified, the same texts for every seed; in [0, 1).
        validation: Pair (strings, labels) for choosing settings.
        validation_fraction: Share of the labeled texts that are left, to set
            aside as `validation` instead, stratified; in [0, 1).
        max_length: How many tokens of a text are read. Further ones are cut
            off.
        vocabulary_size: How many ids there are at most: padding (0), a word
            that is not in the vocabulary (1), and the most frequent words.
        tokenizer: What makes token ids instead: a
            `keras.layers.TextVectorization` with a vocabulary, or any callable
            from a batch of strings to integers [N, length]. `max_length` is
            then its own affair. An export needs a Keras layer.
        reserved: Ids of a `tokenizer` that are no words, see
            `augment.count_tokens`.
        labeled_in_unlabeled: Whether labeled texts are among the unlabeled.
        balanced: Whether `num_labeled` holds equal numbers of each class.
        class_names: By default the labels themselves, sorted. For labels of
            text, their order; for numbers, a name for each.
        views: By default `augment.text_views`.
        missing: Signs that say that a label is missing, beside None and NaN,
            such as ("?", "", -1). By default a label that looks like one is
            refused; an empty list says that there are none.

    Returns:
        Examples are token ids, int32, [N, length].

    Raises:
        ValueError: An argument, a text or a label is not what it must be.

    Example:
    >>> data = from_text(
    ...     ["so good", "so bad", "very good", "good"], ["+", "-", None, None]
    ... )
    >>> data, data.class_names
    (TextData(labeled=2, unlabeled=4, classes=2), ('+', '-'))
    """
    strings = tokenizing.as_texts(strings, "strings")
    signs_given = signs.check_signs(missing)
    values = _label_values(labels, strings, "labels", signs_given)
    classes, names = _classes(values, class_names, signs_given)
    more = tokenizing.as_texts(unlabeled_strings, "unlabeled_strings")
    y = _class_ids(values + [None] * len(more), classes)
    strings = strings + more
    rows = rows_of.split(
        y,
        names,
        num_labeled,
        seed,
        test_fraction=rows_of.fraction("test", test, test_fraction),
        validation_fraction=rows_of.fraction(
            "validation", validation, validation_fraction
        ),
        labeled_in_unlabeled=labeled_in_unlabeled,
        balanced=balanced,
        must="`unlabeled_strings` must be given, or `labels` must be missing "
        "for some, or `num_labeled` must hide some",
    )
    training = [strings[row] for row in rows.training]
    if tokenizer is None:
        tokenizer = tokenizing.fit(training, vocabulary_size, max_length)
    x = tokenizing.encode(tokenizer, strings)
    statistics = augment.count_tokens(
        x[rows.training],
        tokenizing.size_of(tokenizer, vocabulary_size),
        reserved,
    )

    def measured(name, given):
        if given is None:
            return None
        return _given_pair(name, given, tokenizer, classes, signs_given)

    data = rows_of.make_data(
        rows,
        x,
        y,
        test=measured("test", test),
        validation=measured("validation", validation),
        num_classes=len(classes),
        class_names=names,
        views=views or augment.text_views(statistics),
    )
    return _with_tokenizer(data, tokenizer, statistics, training)


def _with_tokenizer(data, tokenizer, statistics, training) -> TextData:
    """The data, and what made them of the training texts."""
    some = np.unique(np.linspace(0, len(training) - 1, _EXAMPLES).astype(int))
    known = {
        "tokenizer": tokenizer,
        "statistics": statistics,
        "examples": tuple(training[row] for row in some),
    }
    return TextData(**vars(data) | known)


def _given_pair(name, given, tokenizer, classes, missing):
    """Token ids and class numbers of texts that are given to measure with."""
    if not isinstance(given, (tuple, list)) or len(given) != 2:
        raise ArgumentError(
            name, "be a pair (strings, labels)", type(given).__name__
        )
    strings = tokenizing.as_texts(given[0], f"{name}[0]")
    values = _label_values(given[1], strings, f"{name}[1]", missing)
    unknown = set(values) - set(classes)
    if unknown or not values:
        gone = values.count(None)
        came = f"classes {columns.quoted(unknown)}"
        raise ArgumentError(
            f"{name}[1]",
            "be for every text a class that `labels` has: "
            f"{columns.quoted(classes)}",
            f"{gone} missing" if gone else came if values else "no text",
        )
    return tokenizing.encode(tokenizer, strings), _class_ids(values, classes)


# Labels.


def _label_values(labels, strings, argument, missing) -> list:
    """One label for each text: text, an integer, a boolean, or None."""
    if isinstance(labels, (str, bytes)) or not hasattr(labels, "__iter__"):
        raise ArgumentError(argument, "be a list of labels", repr(labels))
    values = labels_of.with_gaps(labels, missing or ())
    if len(values) != len(strings):
        raise ArgumentError(
            argument,
            "have a label for each text, missing (None) where it is not known",
            f"{len(values)} labels for {len(strings)} texts",
        )
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) > 1 or not kinds <= {str, int, bool}:
        listed = " and ".join(sorted(kind.__name__ for kind in kinds))
        raise ArgumentError(
            argument, "be text, whole numbers or booleans", listed
        )
    return values


def _classes(values, class_names, missing) -> tuple[tuple, tuple[str, ...]]:
    """The labels that stand for a class, and names of the classes."""
    present = sorted({value for value in values if value is not None})
    if len(present) < 2:
        raise ArgumentError(
            "labels",
            "hold at least two classes, missing (None) in unlabeled texts only",
            f"classes {columns.quoted(present)}",
        )
    found = signs.doubtful_classes(present) if missing is None else []
    if found:
        raise ArgumentError(
            "labels",
            "be classes, missing (None, NaN) where the class is not known; a "
            "label that looks like a missing one needs a word: "
            f"missing={tuple(found)!r} says that it is missing, missing=() "
            "that it is a class",
            columns.quoted(found),
        )
    alike = signs.alike_classes(present) if class_names is None else []
    if alike:
        raise ArgumentError(
            "labels",
            "differ in more than case and blanks; make them one first, as by "
            "`label.strip().lower()`, or name them all by `class_names`",
            columns.quoted(alike),
        )
    if class_names is None:
        return tuple(present), tuple(str(value) for value in present)
    names = tuple(str(name) for name in class_names)
    if isinstance(present[0], str):
        if sorted(names) != present:
            raise ArgumentError(
                "class_names",
                f"be the labels, in any order: {columns.quoted(present)}",
                columns.quoted(names),
            )
        return names, names
    if isinstance(present[0], int) and present[0] >= 0:
        # Names count from 0, also where a class has no label.
        present = list(range(max(len(names), present[-1] + 1)))
    return tuple(present), names


def _class_ids(values, classes) -> np.ndarray:
    """Class numbers, -1 where the label is missing."""
    place = {value: number for number, value in enumerate(classes)}
    return np.array([place.get(value, -1) for value in values], np.int32)
