"""What people write in tables where a value is missing, and for other things.

"?" and "unknown" become a class like any other, and one "?" in a column of
numbers makes text of them all: what reads so is not taken without a word.
"""

import collections
import math
import re
import unicodedata
import warnings
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np

from mpl_keras.checks import names
from mpl_keras.checks.arguments import ArgumentError
from mpl_keras.datasets import labels

_SIGNS = {
    *("", "?", "??", "???", "-", "--", "---", ".", "..", "*", "_", "n/a", "na"),
    *("#n/a", "n.a.", "nan", "<na>", "none", "null", "nil", "(null)", "nat"),
    *("missing", "unknown", "unk", "unkn", "undefined", "undetermined", "tbd"),
    *("not available", "not known", "not specified", "unspecified", "no label"),
    *("unlabeled", "unlabelled", "no data", "?unknown?", "xxx", "todo"),
}
# Of these many rows on, values that hardly ever repeat are keys.
_ROWS, _SHARE = 20, 0.9
_DATE = re.compile(
    r"(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d{2}))"
    r"([ T]\d{1,2}:\d{2}.*)?"
)
_NUMBER = re.compile(
    r"[-+]?[$€£]?\s?(\d{1,3}([,' ]\d{3})+(\.\d*)?|\d{1,3}(\.\d{3})+(,\d*)?"
    r"|\d+[.,]?\d*|[.,]\d+)"
    r"(e[-+]?\d+)?\s?%?",
    re.IGNORECASE,
)


def check_signs(missing: Any) -> tuple | None:
    """The signs as a tuple, or None where nothing was said.

    They are numbers and texts of Python, as files can hold them; what is
    missing anyway, None, NaN and NA, is left out.

    Raises:
        ArgumentError: It is not a list of values.
    """
    if missing is None:
        return None
    if isinstance(missing, str) or not isinstance(missing, Iterable):
        raise ArgumentError(
            "missing", 'be a list of signs, such as ("?",)', repr(missing)
        )
    missing = tuple(s for s in labels.with_gaps(missing) if s is not None)
    if not all(isinstance(sign, Hashable) for sign in missing):
        raise ArgumentError("missing", "hold texts or numbers", repr(missing))
    return missing


def is_sign(value: Any, among: Iterable = ()) -> bool:
    """Whether a text is what people write where a value is missing.

    Args:
        value: A value of a column.
        among: All values of the column: beside "+", "-" is a value.

    Example:
    >>> is_sign("?"), is_sign(" N/A "), is_sign("no"), is_sign("-", "+-")
    (True, True, False, False)
    """
    if not isinstance(value, str):
        return False
    text = _form(value).strip()
    return text in _SIGNS and not (text == "-" and "+" in among)


def _form(text):
    """A text as it is read: one form of accents, widths, and of no width."""
    text = unicodedata.normalize("NFKC", text)
    text = "".join(c for c in text if unicodedata.category(c) != "Cf")
    # Folding can compose anew.
    return unicodedata.normalize("NFKC", text.casefold())


def as_number(text: Any) -> float | None:
    """The number that a text is, or None.

    Example:
    >>> as_number(" 12.5"), as_number("12,345"), as_number("nan")
    (12.5, None, None)
    """
    try:
        number = float(text)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and "_" not in str(text) else None


def are(values: np.ndarray, signs: Sequence) -> np.ndarray:
    """Which values are one of some signs.

    Args:
        values: Numbers or objects of any form.
        signs: Texts and numbers.

    Example:
    >>> are(np.array(["a", "?"], object), ("?",)).tolist()
    [False, True]
    """
    if values.dtype != object:
        known = [s for s in signs if not isinstance(s, (str, bool))]
        return np.isin(values, np.array(known, np.float64))
    known = set(signs)
    flat = (
        isinstance(value, Hashable)
        and not isinstance(value, (bool, np.bool_))
        and value in known
        for value in values.ravel().tolist()
    )
    found = np.fromiter(flat, bool, values.size)
    return found.reshape(values.shape)


def check_classes(
    values: Sequence, column: Hashable, signs: tuple | None, declared: bool
) -> None:
    """Raises where a class looks like a missing one, or twice the same.

    Args:
        values: Those of the target, once each or more often.
        column: The target's name.
        signs: What the caller has named as missing, or None.
        declared: Whether the column's dtype declares the classes.
    """
    values = collections.Counter(values)
    if signs is None:
        found = doubtful_classes(values)
        if found:
            counts = ", ".join(f"{v!r} {values[v]:,} times" for v in found)
            raise ArgumentError(
                "target",
                "name a column of classes, missing (None, NaN) where the class "
                "is not known; a class that looks like a missing one needs a "
                f"word: missing={tuple(found)!r} says that it is missing, "
                "missing=() that it is a class",
                repr(column),
                note=f", which holds {counts}",
            )
    alike = [] if declared else alike_classes(values)
    if alike:
        raise ArgumentError(
            "target",
            "name a column of classes that differ in more than case and "
            "blanks, or the form of accents; make them one first, as by "
            f"`frame[{column!r}].str.normalize('NFKC').str.strip()"
            ".str.lower()`, or declare them, by "
            '`.astype("category")`',
            repr(column),
            note=f", which holds {_listed(alike)}",
        )


def doubtful_classes(values: Iterable) -> list:
    """The classes that look as if they said that the class is missing.

    Args:
        values: All classes, once each or more often.

    Example:
    >>> doubtful_classes(["cat", "?"]), doubtful_classes([-1, 0, 1])
    (['?'], [-1])
    """
    values = dict.fromkeys(values)
    numbers = [v for v in values if not isinstance(v, (str, bool))]
    if len(numbers) == len(values) and _looks_unlabeled(numbers):
        return [-1]
    found = [value for value in values if is_sign(value, values)]
    if "-1" in values and set(values) - {"-1"} not in ({"1"}, {"+1"}):
        found += ["-1"]
    return found


def _looks_unlabeled(values):
    """Whether -1 stands beside numbers that count; -1 and 1 are classes."""
    others = sorted(set(values) - {-1})
    if -1 not in values or others == [1]:
        return False
    return others in [list(range(k, k + len(others))) for k in (0, 1)]


def alike_classes(values: Iterable) -> list:
    """Values that are the same but for case, blanks and forms of accents.

    Example:
    >>> alike_classes(["cat", "Cat ", "dog"])
    ['cat', 'Cat ']
    """
    groups = collections.defaultdict(list)
    for value in values:
        if isinstance(value, str):
            groups["".join(_form(value).split())].append(value)
    return [v for same in groups.values() if len(same) > 1 for v in same]


def check_texts(
    values: Sequence, column: Hashable, signs: tuple | None
) -> None:
    """Raises where a feature of text is none of categories.

    Numbers, dates and keys would become a feature for each of their values.

    Args:
        values: Texts, of all rows where there is one.
        column: Its name.
        signs: What the caller has named as missing, or None.

    Raises:
        ArgumentError: Nearly all values read as numbers or dates, or nearly
            all are different.
    """
    found = collections.Counter(values)
    odd = {v for v in found if is_sign(v, found)}
    plain = [value for value in found if value not in odd]
    unlike = [v for v in plain if not _reads_as_number(v)]
    besides = sorted(odd | set(unlike)) if len(unlike) < len(plain) else []
    keep = 'or by `.astype("category")`, if they are categories'
    if plain and len(unlike) <= (1 - _SHARE) * len(plain):
        raise _no_categories(
            column,
            found,
            f"numbers as numbers, not as text, as `pandas.to_numeric` or "
            f"`pandas.read_csv(..., na_values=..., thousands=...)` makes them, "
            f"{keep}",
            f"text that reads as numbers, such as {_first_number(plain)!r}"
            + (f", beside {_listed(besides)}" if besides else ""),
        )
    if plain and sum(map(_is_date, plain)) >= _SHARE * len(plain):
        raise _no_categories(
            column,
            found,
            "dates as numbers, such as days since the first one, or left out "
            f"through `features`, {keep}",
            f"text that reads as dates, such as {plain[0]!r}",
        )
    if len(values) >= _ROWS and len(found) > _SHARE * len(values):
        raise _no_categories(
            column,
            found,
            f"no names or keys: leave them out through `features`, {keep}",
            f"{len(found):,} different texts in {len(values):,} rows, such as "
            f"{plain[0] if plain else ''!r}",
        )
    if signs is None:
        _warn(odd, found, column)


def check_declared(
    values: Sequence, column: Hashable, signs: tuple | None
) -> None:
    """Warns where a declared category looks like a missing value.

    Args:
        values: Those of all rows where there is one.
        column: Its name.
        signs: What the caller has named as missing, or None.
    """
    if signs is None:
        found = collections.Counter(values)
        _warn_of_signs({v for v in found if is_sign(v, found)}, found, column)


def beside_numbers(values: Sequence) -> str:
    """What to say of signs in a column of numbers, or nothing.

    Example:
    >>> beside_numbers([1.0, "?"])
    ", which holds '?' 1 times; missing=('?',) says that it is missing"
    >>> beside_numbers([1.0, "red"])
    ''
    """
    texts = collections.Counter(v for v in values if isinstance(v, str))
    if not all(is_sign(text) for text in texts):
        return ""
    counts = ", ".join(f"{v!r} {texts[v]:,} times" for v in sorted(texts))
    return (
        f", which holds {counts}; missing={tuple(sorted(texts))!r} says that "
        "it is missing"
    )


def _reads_as_number(text):
    return bool(_NUMBER.fullmatch(text.strip()))


def _first_number(texts):
    return next(text for text in texts if _reads_as_number(text))


def _is_date(text):
    return bool(_DATE.fullmatch(text.strip()))


def _no_categories(column, found, must, came):
    return ArgumentError(
        "features",
        f"name columns of categories, and {must}",
        f"[..., {column!r}, ...]",
        note=f", which holds {came}",
    )


def _warn(odd, found, column):
    """Says what is taken as a category, and may be none."""
    _warn_of_signs(odd, found, column)
    alike = alike_classes(found)
    if alike:
        warnings.warn(
            f"The column {column!r} holds {_listed(alike)}, which differ in "
            "case, blanks and the form of accents alone, and are taken as "
            "several categories.",
            stacklevel=8,
        )


def _warn_of_signs(odd, found, column):
    if odd:
        counts = ", ".join(f"{v!r} {found[v]:,} times" for v in sorted(odd))
        warnings.warn(
            f"The column {column!r} holds {counts}, which is taken as a "
            "category. If it says that a value is missing, pass "
            f"missing={tuple(sorted(odd))!r}; missing=() says that it is one.",
            stacklevel=9,
        )


def _listed(values, most=4):
    more = f", ... ({len(values)} in all)" if len(values) > most else ""
    return names.quoted(values[:most])[1:-1] + more
