"""What numbers and choices must be; raised where they are given.

Every error names the argument, what it must be, and what came.
"""

import contextlib
import math
import numbers
import re
from collections.abc import Iterator, Mapping
from typing import Any


def integer(name: str, value: Any, least=None, most=None) -> int:
    """Returns `value` as an `int`, or raises if it is none in the range.

    Python's and numpy's integers pass; booleans and floats do not.

    Example:
    >>> integer("batch_size", 32, least=1)
    32
    """
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or not _inside(value, least, most, None, None):
        _raise(name, value, "an integer", least, most, None, None)
    return int(value)


def number(
    name: str, value: Any, least=None, most=None, above=None, below=None
) -> float:
    """Returns `value` as a `float`, or raises if it is none in the range.

    Example:
    >>> number("temperature", 1, above=0)
    1.0
    """
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    real = real and math.isfinite(value)
    if not real or not _inside(value, least, most, above, below):
        _raise(name, value, "a number", least, most, above, below)
    return float(value)


def choice(name: str, value: Any, choices) -> None:
    """Raises unless `value` is one of the choices.

    Example:
    >>> choice("mask_on", "raw", ("raw", "sharpened"))
    """
    if value not in choices:
        raise ValueError(
            f"`{name}` must be one of {tuple(choices)}. "
            f"Received: {name}={value!r}"
        )


def renamed(text: str, names: Mapping[str, str]) -> str:
    """An error's text, in which arguments have the names that a user gave.

    Args:
        text: Of an error of this library.
        names: What an argument is called instead, a flag say.

    Example:
    >>> renamed("`path` must exist. Received: path=a", {"path": "--model"})
    '--model must exist. Received: --model=a'
    """
    for old, new in names.items():
        text = text.replace(f"`{old}`", new)
        text = re.sub(rf"(?<![\w-]){re.escape(old)}=", f"{new}=", text)
    return text


@contextlib.contextmanager
def calling(names: Mapping[str, str]) -> Iterator[None]:
    """Within it, errors call arguments as the user did; see `renamed`.

    Args:
        names: What an argument is called instead.

    Example:
    >>> with calling({"steps": "--steps"}):
    ...     integer("steps", 0, 1)
    Traceback (most recent call last):
    ...
    ValueError: --steps must be an integer >= 1. Received: --steps=0
    """
    try:
        yield
    except (ValueError, OSError, ImportError) as error:
        text = renamed(str(error), names)
        kinds = FileNotFoundError, FileExistsError, PermissionError, OSError
        for kind in (*kinds, ImportError):
            if isinstance(error, kind):
                raise kind(text) from error
        raise ValueError(text) from error


def _inside(value, least, most, above, below):
    return (
        (least is None or value >= least)
        and (most is None or value <= most)
        and (above is None or value > above)
        and (below is None or value < below)
    )


def _raise(name, value, what, least, most, above, below):
    bounds = [
        f"{sign} {bound}"
        for sign, bound in zip(
            (">=", "<=", ">", "<"), (least, most, above, below), strict=True
        )
        if bound is not None
    ]
    what = " ".join([what, " and ".join(bounds)]).strip()
    raise ValueError(f"`{name}` must be {what}. Received: {name}={value!r}")
