"""What numbers and choices must be, and the error that says what is wrong.

An `ArgumentError` names the argument, what it must be, and what came. It keeps
the three apart, so that a command can show it with the name of its own flag.
"""

import contextlib
import math
import numbers
import os
from collections.abc import Iterator, Mapping
from typing import Any

from mpl_keras.checks import names


class ArgumentError(ValueError):
    """An argument is not what it must be.

    Args:
        argument: Its name, or None for a rule that is about the others.
        must: What it must be, after the word "must". The names of others may
            stand in it in braces, as in "be less than {steps}".
        received: What came, as text.
        note: More about what came, after it.
        others: Other arguments that the rule is about, and what came.
        called: What arguments are called instead, by their names; a command
            calls them by its flags.

    Attributes:
        argument: As given, as the rest.
        must: The same.
        received: The same.

    Example:
    >>> error = ArgumentError("steps", "be an integer >= 1", "0")
    >>> print(error)
    `steps` must be an integer >= 1. Received: steps=0
    >>> print(error.renamed({"steps": "--steps"}))
    --steps must be an integer >= 1. Received: --steps=0
    """

    def __init__(
        self,
        argument: str,
        must: str,
        received: str | None = None,
        *,
        note: str = "",
        others: Mapping[str, str] | None = None,
        called: Mapping[str, str] | None = None,
    ):
        self.argument = argument
        self.must = must
        self.received = received
        self.note = note
        self.others = dict(others or {})
        self.called = dict(called or {})
        super().__init__(self._text())

    def _text(self):
        def quoted(name):
            return self.called.get(name, f"`{name}`")

        must = self._rule()
        for name in self.others:
            must = must.replace(f"{{{name}}}", quoted(name))
        values = dict(self.others)
        if self.received is not None:
            values = {self.argument: self.received, **values}
        came = ", ".join(
            f"{self.called.get(name, name)}={names.printable(value)}"
            for name, value in values.items()
        )
        text = f"{quoted(self.argument)} must {must}. Received: {came}"
        return names.printable(text + self.note, keep="\n")

    def _rule(self):
        """What stands after the word "must"."""
        return self.must

    def __str__(self):
        """The whole sentence; an OSError would show its number."""
        return self._text()

    def renamed(self, called: Mapping[str, str]) -> "ArgumentError":
        """The same error, in which arguments have other names."""
        return type(self)(
            self.argument,
            self.must,
            self.received,
            note=self.note,
            others=self.others,
            called={**called, **self.called},
        )

    def passed_as(self, names: Mapping[str, str]) -> "ArgumentError":
        """The same error, about the arguments of who called the function.

        Args:
            names: The caller's name of an argument, by the name under which it
                was passed on.

        Example:
        >>> error = ArgumentError("name", "be known", "'digts'")
        >>> print(error.passed_as({"name": "dataset"}))
        `dataset` must be known. Received: dataset='digts'
        """
        must = self.must
        for name in self.others:
            must = must.replace(f"{{{name}}}", f"{{{names.get(name, name)}}}")
        return type(self)(
            names.get(self.argument, self.argument),
            must,
            self.received,
            note=self.note,
            others={names.get(k, k): v for k, v in self.others.items()},
            called=self.called,
        )


class MissingFileError(ArgumentError, FileNotFoundError):
    """A path that must exist does not."""


class FileInTheWayError(ArgumentError, FileExistsError):
    """A path that must be free is not."""


class NotWritableError(ArgumentError, PermissionError):
    """A path that must be writable is not."""


class FolderInUseError(ArgumentError, BlockingIOError):
    """A folder that must be of one job alone is another's."""


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
    choices = tuple(choices)  # of a dictionary, too: a list has no hash
    if value not in choices:
        near = names.did_you_mean(value, choices)
        raise ArgumentError(name, f"be one of {choices}{near}", repr(value))


def path(name: str, value: Any) -> str:
    """Returns a path as text, or raises if no system could have such a one.

    Args:
        name: The argument.
        value: Text, bytes, or a `pathlib.Path`.

    Example:
    >>> path("folder", "results")
    'results'
    """
    try:
        text = os.fsdecode(value)
    except TypeError:
        raise ArgumentError(name, "be a path", repr(value)) from None
    if "\0" in text:
        raise ArgumentError(
            name, "be a path, in which no character is a null", repr(text)
        )
    return text


@contextlib.contextmanager
def calling(called: Mapping[str, str]) -> Iterator[None]:
    """Within it, errors call arguments as the user did.

    Args:
        called: What an argument is called instead, by its name.

    Example:
    >>> with calling({"steps": "--steps"}):
    ...     integer("steps", 0, 1)
    Traceback (most recent call last):
    ...
    mpl_keras.checks.arguments.ArgumentError: --steps must be an integer >= 1. \
Received: --steps=0
    """
    try:
        yield
    except ArgumentError as error:
        raise error.renamed(called) from error


@contextlib.contextmanager
def passing(names: Mapping[str, str]) -> Iterator[None]:
    """Within it, errors are about the arguments of the function around it.

    Unlike with `calling`, a command can still show them as its flags.

    Args:
        names: The function's name of an argument, by the name under which it
            is passed on.

    Example:
    >>> with passing({"steps": "epochs"}):
    ...     integer("steps", 0, 1)
    Traceback (most recent call last):
    ...
    mpl_keras.checks.arguments.ArgumentError: `epochs` must be an integer >= \
1. Received: epochs=0
    """
    try:
        yield
    except ArgumentError as error:
        raise error.passed_as(names) from error


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
    raise ArgumentError(name, f"be {what}", repr(value))
