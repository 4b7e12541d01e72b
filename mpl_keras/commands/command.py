"""What all programs share: flags in groups, their help, errors and notes."""

import os
import shutil
import sys
import textwrap
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
from absl import flags, logging

from mpl_keras.checks.arguments import ArgumentError
from mpl_keras.checks.names import did_you_mean, printable


def say(text: str, file: Any = None) -> None:
    r"""Prints a text; nothing in it moves a terminal's cursor or colours it.

    Args:
        text: It may hold line breaks, and names from outside.
        file: Where to; by default stdout.

    Example:
    >>> say("a name \x1b[31m")
    a name \x1b[31m
    """
    print(printable(text, keep="\n"), file=file, flush=True)


class Command:
    """A program with absl flags of its own.

    Args:
        name: As in `mpl-keras NAME`.
        about: What it does, a few sentences.
        arguments: Names of the arguments before the flags.

    Attributes:
        flags: Values of the flags, by attribute.
        name: As it calls itself in messages.

    Example:
    >>> command = Command("add", "Adds one.", ["NUMBER"])
    >>> command.group("Output").bool("loud", False, "With an exclamation mark.")
    >>> @command.main
    ... def add(number):
    ...     print(int(number) + 1, "!" if command.flags.loud else "")
    >>> command.run(["2", "--loud"])
    3 !
    """

    def __init__(self, name: str, about: str, arguments: Sequence[str] = ()):
        self.name = f"mpl-keras {name}"
        self.flags = flags.FlagValues()
        self._about = about
        self._arguments = tuple(arguments)
        self._groups = []
        self._main = None

    def group(self, title: str) -> "Group":
        """Flags that stand together in the help."""
        self._groups.append(Group(title, self.flags))
        return self._groups[-1]

    def main(self, function: Callable[..., None]) -> Callable[..., None]:
        """Decorates what is called with the arguments before the flags."""
        self._main = function
        return function

    def given(self, name: str) -> bool:
        """Whether a flag was given."""
        return self.flags[name].present > 0

    def run(self, arguments: Sequence[str]) -> None:
        """Reads the flags and runs; errors become a line and an exit code.

        Args:
            arguments: Without the name of the program.

        Raises:
            SystemExit: With code 2 for arguments that are wrong, 1 for what
                went wrong later.
        """
        if {"--help", "-h", "-help", "--helpfull"} & set(arguments):
            print(self.help())
            return
        self._prepare()
        for name in self.flags:  # of a run before
            self.flags[name].unparse()
        try:
            values = self.flags([self.name, *arguments])[1:]
        except (flags.Error, _FlagError) as error:
            self.stop(f"{error} ({self.name} --help lists all flags)", 2)
        if len(values) != len(self._arguments):
            text = f"usage: {self._usage()}. Received: {values}"
            self.stop(text + self._meant(values), 2)
        with self.errors():
            self._main(*values)

    def stop(self, text: str, code: int = 1) -> None:
        """Ends the program with a line of text."""
        say(f"{self.name}: {text}", sys.stderr)
        sys.exit(code)

    def errors(self) -> "_Errors":
        """Within it, errors of the library end the program with a line."""
        return _Errors(self)

    def text(self, error: Exception) -> str:
        """An error in words, arguments by the names of their flags."""
        if isinstance(error, ArgumentError):
            error = error.renamed({name: f"--{name}" for name in self.flags})
        return str(error)

    def help(self) -> str:
        """What `--help` prints."""
        width = min(shutil.get_terminal_size().columns, 80)
        lines = [f"usage: {self._usage()}", "", self._about.strip()]
        for group in self._groups:
            lines += ["", group.title]
            for name, kind, text in group.lines:
                lines.append(f"  --{name}{kind}")
                lines += textwrap.wrap(
                    text,
                    width,
                    initial_indent="      ",
                    subsequent_indent="      ",
                )
        return "\n".join(lines)

    def _usage(self):
        return " ".join([self.name, *self._arguments, "[flags]"])

    def _meant(self, values):
        """The flag that words without one may be for, or nothing."""
        if self._arguments or "dataset" not in self.flags:
            return ""
        for value in values:
            name = "dataset"
            if "folder" in self.flags and not os.path.isdir(
                os.path.join(value, "labeled")
            ):
                name = "folder"
            if os.path.isdir(value):
                return f" (did you mean --{name}={value}?)"
        return ""

    def _prepare(self):
        """Quiet logs, notes for warnings, names that need not be UTF-8."""
        logging.set_verbosity(logging.ERROR)
        tf.get_logger().setLevel("ERROR")
        warnings.showwarning = lambda text, *_, **__: say(f"note: {text}")
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")


class _FlagError(Exception):
    """A value that a flag cannot have. Of a ValueError absl makes another."""


class _Parser(flags.ArgumentParser):
    """Reads a flag as another parser does; its errors are the library's."""

    def __init__(self, name: str, parser: flags.ArgumentParser):
        self._name, self._parser = name, parser
        self.syntactic_help = parser.syntactic_help

    def parse(self, argument: Any) -> Any:
        """The value of a text."""
        try:
            return self._parser.parse(argument)
        except (TypeError, ValueError, OverflowError):
            called = {self._name: f"--{self._name}"}
            error = ArgumentError(
                self._name, self._must(argument), argument, called=called
            )
            raise _FlagError(str(error)) from None

    def flag_type(self) -> str:
        """As absl calls it."""
        return self._parser.flag_type()

    def _must(self, argument):
        if isinstance(self._parser, flags.BooleanParser):
            return f"be given as --{self._name} or --no{self._name}"
        if isinstance(self._parser, flags.EnumParser):
            names = self._parser.enum_values
            return f"be one of {', '.join(names)}" + did_you_mean(
                argument, names
            )
        return f"be {self.syntactic_help}"


class Group:
    """Flags that stand together in the help of a `Command`.

    Args:
        title: The heading.
        values: Where flags are defined.

    Example:
    >>> values = flags.FlagValues()
    >>> Group("Data", values).integer("seed", 0, "Of the split.", least=0)
    >>> values(["program", "--seed=3"])
    ['program']
    >>> values.seed
    3
    """

    def __init__(self, title: str, values: flags.FlagValues):
        self.title = title
        self.lines = []
        self._values = values

    def string(self, name, default, text, shown=None) -> None:
        """A flag that is a text; `shown` describes a default that is None."""
        flags.DEFINE_string(name, default, text, flag_values=self._values)
        self._show(name, "=TEXT", default, text, shown)

    def list(self, name, default, text, shown=None) -> None:
        """A flag that is texts with commas between them."""
        flags.DEFINE_list(name, default, text, flag_values=self._values)
        joined = ",".join(default) if default else default
        self._show(name, "=A,B", joined, text, shown)

    def bool(self, name, default, text) -> None:
        """A flag that is on or off: `--name` or `--noname`."""
        flags.DEFINE_bool(name, default, text, flag_values=self._values)
        if default is not None:
            text = f"{text} (default: {'on' if default else 'off'})"
        self._with_own_errors(name)
        self.lines.append((f"[no]{name}", "", text))

    def choice(self, name, default, choices, text, shown=None) -> None:
        """A flag that is one of some names."""
        flags.DEFINE_enum(
            name, default, list(choices), text, flag_values=self._values
        )
        self._show(name, f"={'|'.join(choices)}", default, text, shown)

    def integer(self, name, default, text, least=None, most=None, shown=None):
        """A flag that is a whole number."""
        flags.DEFINE_integer(
            name, default, text, least, most, flag_values=self._values
        )
        self._show(name, "=N", default, text, shown)

    def float(self, name, default, text, least=None, most=None, shown=None):
        """A flag that is a number."""
        flags.DEFINE_float(
            name, default, text, least, most, flag_values=self._values
        )
        self._show(name, "=X", default, text, shown)

    def _show(self, name, kind, default, text, shown):
        self._with_own_errors(name)
        if shown is None and default is not None:
            shown = default
        if shown is not None:
            text = f"{text} (default: {shown})"
        self.lines.append((name, kind, text))

    def _with_own_errors(self, name):
        flag = self._values[name]
        flag.parser = _Parser(name, flag.parser)


_SHOWN = (ValueError, OSError, ImportError, ArithmeticError)


class _Errors:
    """What `Command.errors` returns."""

    def __init__(self, command: Command):
        self._command = command

    def __enter__(self):
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        if isinstance(error, _SHOWN):
            self._command.stop(self._command.text(error))
        return False
