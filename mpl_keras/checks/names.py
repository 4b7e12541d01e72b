"""Names that are not known, and packages that are not installed."""

import difflib
import importlib.util
from collections.abc import Iterable
from typing import Any


def did_you_mean(name: Any, known: Iterable[Any]) -> str:
    """A hint at names that are like the one that came, or nothing.

    Example:
    >>> did_you_mean("digts", ["digits", "cifar10"])
    " (did you mean 'digits'?)"
    """
    texts = [text for text in known if isinstance(text, str)]
    near = difflib.get_close_matches(str(name), texts, n=2, cutoff=0.6)
    if not near or name in texts:
        return ""
    return f" (did you mean {' or '.join(map(repr, near))}?)"


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
