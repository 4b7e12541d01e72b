"""Names that are not known, packages that are missing, names from outside.

A file may be called anything: with line breaks, with codes that a terminal
obeys, in bytes that are no UTF-8, or so that it looks like another one.
"""

import difflib
import importlib.util
import unicodedata
from collections.abc import Iterable
from typing import Any

# They join letters of some scripts, and are not seen.
_JOINERS = "\u200c\u200d"


def printable(text: Any, keep: str = "") -> str:
    r"""A text from outside as a terminal may show it: one line, no codes.

    What is no character that prints is written as Python writes it, and bytes
    that are no UTF-8 as well: `\n`, `\x1b`, `\xff`.

    Args:
        text: A name, a path, or a sentence with such.
        keep: Characters that stay, such as line breaks of an own text.

    Example:
    >>> print(printable("two\nlines \x1b[31m"))
    two\nlines \x1b[31m
    """
    return "".join(
        char
        if char.isprintable() or char in keep or char in _JOINERS
        else _escaped(char)
        for char in str(text)
    )


def _escaped(char):
    if "\udc80" <= char <= "\udcff":  # a byte, as `os.fsdecode` gives it
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape").decode("ascii")


def told_apart(*texts: str) -> list[str]:
    r"""Names as `printable` gives them; those that look alike, in ASCII.

    A letter and its accent may be one character or two, and print alike.

    Example:
    >>> told_apart("caf\xe9", "cafe\u0301", "tea")
    ['caf\\xe9', 'cafe\\u0301', 'tea']
    """
    same = alike(texts)
    return [
        printable(text).encode("ascii", "backslashreplace").decode()
        if text in same
        else printable(text)
        for text in texts
    ]


def quoted(names: Iterable[str], beside: Iterable[str] = ()) -> str:
    r"""A list of names for an error; those that look alike, in ASCII.

    Args:
        names: The list.
        beside: Other names in the same error.

    Example:
    >>> print(quoted(["a\nb", "caf\xe9"], ["cafe\u0301"]))
    ['a\nb', 'caf\xe9']
    """
    names = list(names)
    same = alike([*names, *beside])
    parts = [ascii(name) if name in same else repr(name) for name in names]
    return f"[{', '.join(parts)}]"


def alike(texts: Iterable[str]) -> set[str]:
    r"""Those of which another one looks the same.

    Example:
    >>> sorted(alike(["\uff21", "A", "tea"])) == ["A", "\uff21"]
    True
    """
    forms = {}
    for text in set(texts):
        form = unicodedata.normalize("NFKC", text)
        for joiner in _JOINERS:
            form = form.replace(joiner, "")
        forms.setdefault(form, []).append(text)
    return {text for same in forms.values() if len(same) > 1 for text in same}


def did_you_mean(name: Any, known: Iterable[Any]) -> str:
    """A hint at names that are like the one that came, or nothing.

    Example:
    >>> did_you_mean("digts", ["digits", "cifar10"])
    " (did you mean 'digits'?)"
    """
    texts = {text.lower(): text for text in known if isinstance(text, str)}
    near = difflib.get_close_matches(str(name).lower(), texts, n=2, cutoff=0.6)
    if not near or name in texts.values():
        return ""
    shown = [quoted([texts[text]], [str(name)])[1:-1] for text in near]
    return f" (did you mean {' or '.join(shown)}?)"


def require(package: str, purpose: str, install: str | None = None) -> None:
    """Raises unless a package is installed.

    Args:
        package: As it is imported.
        purpose: What needs it, the subject of the error.
        install: What `pip install` is given; by default the package.

    Raises:
        ImportError: It says how to install what is missing.

    Example:
    >>> require("nothing_of_this_name", "The report")
    Traceback (most recent call last):
    ...
    ImportError: The report needs nothing_of_this_name: pip install \
nothing_of_this_name
    """
    if importlib.util.find_spec(package) is None:
        raise ImportError(
            f"{purpose} needs {package}: pip install {install or package}"
        )
