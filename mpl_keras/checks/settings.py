"""What an object was made with, as JSON, and where two of them differ.

A backup compares the settings of a training with those of the one that goes on.
Objects of users have no common form: what they hold is looked at.
"""

import dataclasses
import functools
import inspect
import math
import re
import sys
import types
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np

# Names of layers and the like count up in a process.
_BYTECODE = "checksum of the code"
_LIBRARIES = ("builtins", "keras", "mpl_keras", "tensorflow")
_COUNTED = re.compile(r"_\d+$")
_UNSETTLED = (
    "name",
    "inbound_nodes",
    "input_layers",
    "output_layers",
    "build_config",
    "shared_object_id",
)
# What these hold is no setting, and changes.
_OPAQUE = ("_thread", "absl", "keras", "tensorflow", "threading", "weakref")
_PLAIN = (bool, int, float, str, bytes, type(None), np.generic)
_DEEPEST = 8
_CONTAINERS = dict, list, tuple
_PART = 2**24  # bytes
_FEW = 16  # values of an array that are shown


def checksum(array: np.ndarray, start: int = 0) -> int:
    """Of all values of an array, texts included.

    Args:
        array: Of any form.
        start: The checksum of what came before.

    Example:
    >>> checksum(np.arange(3)) == checksum(np.array([0, 1, 3]))
    False
    """
    array = np.asarray(array)
    start = zlib.crc32(f"{array.shape}{array.dtype}".encode(), start)
    if array.dtype != object:
        array = np.atleast_1d(array)
        # In parts, because a part may have to be copied.
        rows = max(1, _PART * len(array) // max(1, array.nbytes))
        for first in range(0, len(array), rows):
            flat = np.ascontiguousarray(array[first : first + rows]).ravel()
            start = zlib.crc32(flat.view(np.uint8), start)
        return start
    for value in array.flat:  # whose bytes would be addresses
        text = value if isinstance(value, bytes) else str(value).encode()
        start = zlib.crc32(b"%d:" % len(text) + text, start)
    return start


def nameless(value: Any) -> Any:
    """A configuration without names, which count up in a process.

    Example:
    >>> nameless({"name": "dense_3", "units": 8})
    {'units': 8}
    """
    if isinstance(value, Mapping):
        return {
            key: nameless(part)
            for key, part in value.items()
            if key not in _UNSETTLED
        }
    if isinstance(value, (list, tuple)):
        return [nameless(part) for part in value]
    return value


def described(value: Any) -> Any:
    """What an object was made with, as JSON, the same in every process.

    Of functions: their constants, defaults, what they take from around them,
    and a checksum of what they do; the same of the methods of users' classes.
    Variables by their values: where one is found, nothing else keeps it.

    Args:
        value: Anything: a view, a metric, a schedule.

    Example:
    >>> class Noise:
    ...     def __init__(self, stddev):
    ...         self.stddev = stddev
    >>> described(Noise(0.5))
    {'class': 'Noise', 'stddev': 0.5}
    """
    return _described(value, ())


def _described(value, within):
    if isinstance(value, _PLAIN):
        return _plain(value)
    # Configurations are as deep as networks; objects of users have no end.
    objects = sum(not isinstance(v, _CONTAINERS) for v in within)
    if objects > _DEEPEST or any(value is other for other in within):
        return "..."
    within = (*within, value)
    for kinds, describe in _KINDS:
        if isinstance(value, kinds):
            return describe(value, within)
    if hasattr(value, "get_config"):
        return _configured(value, within)
    if type(value).__module__.split(".")[0] in _OPAQUE:
        return _tensor(value, within)
    return _object(value, within)


def _plain(value):
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # NaN is not equal to itself
    if isinstance(value, (bytes, complex)) or not isinstance(value, _PLAIN):
        return repr(value)
    return value


def _array(value, within):
    if value.size <= _FEW and value.dtype != object:
        return [_plain(part) for part in value.ravel()]
    form = f"{value.dtype}{list(value.shape)}"
    return {"array": form, "checksum": checksum(value)}


def _tensor(value, within):
    """What TensorFlow holds: values, where there are some, else its form."""
    known = {"class": type(value).__name__}
    if hasattr(value, "shape"):
        known["shape"] = str(value.shape)
    if hasattr(value, "python_function"):  # `tf.function` around another
        return _described(value.python_function, within)
    if hasattr(value, "numpy"):
        try:
            return _array(np.asarray(value.numpy()), within)
        except Exception:  # in a graph, or a strategy's
            return known
    if known["class"] == "DType":
        return value.name
    return known


def _mapping(value, within):
    return {str(k): _described(part, within) for k, part in value.items()}


def _sequence(value, within):
    return [_described(part, within) for part in value]


def _set(value, within):
    return sorted((_described(part, within) for part in value), key=repr)


def _partial(value, within):
    known = _described(value.func, within), value.args, value.keywords
    return {
        "function": known[0],
        "arguments": _described(known[1], within),
        "keywords": _described(known[2], within),
    }


def _method(value, within):
    return {
        "method": value.__name__,
        "of": _described(value.__self__, within),
    }


def _function(value, within):
    """Its name, and all numbers and texts that it computes with."""
    code = value.__code__
    cells = (_of_cell(cell) for cell in value.__closure__ or ())
    around = dict(zip(code.co_freevars, cells, strict=True))
    for name in sorted(_names(code)):
        other = value.__globals__.get(name)
        if inspect.isfunction(other):
            same = other.__module__ == value.__module__
            if not same and not _is_users(other.__code__, other.__module__):
                continue
        if other is not None and not isinstance(other, _BY_NAME):
            around[name] = other
    return {
        "function": value.__name__,
        "constants": _constants(code, value.__doc__),
        "defaults": _described(
            [value.__defaults__, value.__kwdefaults__], within
        ),
        "around": _described(around, within),
        **_bytecode([code], value.__module__),
    }


def _bytecode(codes, module):
    """A checksum of what functions do, by the version of Python.

    Of users' own: those of libraries change with these, and tell nothing.
    """
    if not all(_is_users(code, module) for code in codes):
        return {}
    done = [
        (part.co_code, part.co_names) for code in codes for part in _codes(code)
    ]
    python = ".".join(map(str, sys.version_info[:2]))
    return {_BYTECODE: [python, f"{zlib.crc32(repr(done).encode()):08x}"]}


def _is_users(code, module):
    """Whether code is of no library."""
    folders = set(re.split(r"[\\/]", code.co_filename))
    top = str(module).split(".")[0]
    installed = {"site-packages", "dist-packages"} & folders
    return not (
        installed or top in _LIBRARIES or top in sys.stdlib_module_names
    )


def _of_class(kind):
    """A checksum of the methods of a user's class, and of its bases."""
    known = []
    for one in kind.__mro__:
        methods = [
            getattr(method, "__func__", method)
            for name, method in vars(one).items()
            if name in ("__call__", "__init__") or not name.startswith("__")
        ]
        codes = [m.__code__ for m in methods if inspect.isfunction(m)]
        if codes:
            known += _bytecode(codes, one.__module__).values()
    return {_BYTECODE: known} if known else {}


def _of_cell(cell):
    try:
        return cell.cell_contents
    except ValueError:  # not yet set
        return None


def _codes(code):
    """Code of a function, and of those inside of it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _names(code):
    return {name for part in _codes(code) for name in part.co_names}


def _constants(code, doc):
    return [
        _described(constant, ())
        for part in _codes(code)
        for constant in part.co_consts
        if not isinstance(constant, types.CodeType)
        and constant is not None
        and not (isinstance(constant, str) and constant in (doc, part.co_name))
        and not (isinstance(constant, str) and "<locals>" in constant)
    ]


def _by_name(value, within):
    return getattr(value, "__qualname__", None) or value.__name__


_BY_NAME = type, types.BuiltinFunctionType, types.ModuleType
_KINDS = (
    (np.ndarray, _array),
    (Mapping, _mapping),
    ((list, tuple), _sequence),
    ((set, frozenset), _set),
    (functools.partial, _partial),
    (types.MethodType, _method),
    (types.FunctionType, _function),
    (_BY_NAME, _by_name),
)


def _configured(value, within):
    """An object of Keras's kind; of a user's own, what it holds besides."""
    known = {"class": type(value).__name__}
    try:
        config = nameless(value.get_config())
    except Exception:  # a user's own code, or none: then by what it holds
        config = {}
    known |= _described(config, within)
    if isinstance(value, keras.metrics.Metric):
        known["name"] = _COUNTED.sub("", str(value.name))
        function = getattr(value, "_fn", None)
        module = str(getattr(function, "__module__", ""))
        if function is not None and not module.startswith("keras."):
            known["function"] = _described(function, within)
    if not type(value).__module__.startswith(("keras", "tensorflow")):
        known |= {
            name: part
            for name, part in _plain_attributes(value).items()
            if name not in _of_keras()
        }
    return known | _of_class(type(value))


def _plain_attributes(value):
    """What an object holds that is a number, a text, or a list of such."""
    return {
        name: _described(part, ())
        for name, part in _attributes(value)
        if isinstance(part, _PLAIN)
        or (
            isinstance(part, (list, tuple))
            and all(isinstance(x, _PLAIN) for x in part)
        )
    }


@functools.cache
def _of_keras():
    """Names of what Keras itself keeps in objects."""
    made = (
        keras.layers.Layer(),
        keras.metrics.Mean(),
        keras.losses.MeanSquaredError(),
        keras.optimizers.SGD(),
    )
    return {"_called", *(name for one in made for name in vars(one))}


def _object(value, within):
    known = {"class": type(value).__name__}
    for name, part in _attributes(value):
        known[name] = _described(part, within)
    return known | _of_class(type(value))


def _attributes(value) -> Iterable[tuple[str, Any]]:
    """Names and values of what an object holds."""
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield field.name, getattr(value, field.name, None)
        return
    for kind in type(value).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__"):
                yield name, getattr(value, name, None)
    yield from getattr(value, "__dict__", {}).items()


def differences(was: Any, now: Any, place: str = "") -> list[str]:
    """Where two descriptions differ, as text.

    Args:
        was: What `described` has returned.
        now: The same, of the other.
        place: What is compared.

    Example:
    >>> differences({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}}, "views")
    ['views was other: a.b[1] was 2, is 3']
    """
    found = next(_leaves(was, now, ""), None)
    if was == now or found is None:
        return []
    where, one, other = found
    if where:
        place += f" was other: {where}"
    return [f"{place} was {_short(one)}, is {_short(other)}".strip()]


def _leaves(was, now, place):
    """The innermost values that differ, and where they are."""
    if isinstance(was, dict) and isinstance(now, dict):
        for name in was | now:
            pair = was.get(name), now.get(name)
            if name == _BYTECODE and _of_other_python(*pair):
                continue
            if pair[0] != pair[1]:
                yield from _leaves(*pair, f"{place}.{name}".lstrip("."))
        return
    if isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        for number, pair in enumerate(zip(was, now, strict=True)):
            if pair[0] != pair[1]:
                yield from _leaves(*pair, f"{place}[{number}]")
        return
    yield place, was, now


def _of_other_python(was, now):
    """Whether two checksums of code are of two versions of Python."""
    versions = [
        {text for text in keras.tree.flatten(one) if "." in str(text)}
        for one in (was, now)
    ]
    return all(versions) and versions[0] != versions[1]


def _short(value):
    text = "nothing" if value is None else str(value)
    return text if len(text) < 100 else text[:97] + "..."
