"""The files of a folder of pictures: which there are, and what is in them."""

import collections
import concurrent.futures
import csv
import difflib
import hashlib
import os
import sys
import unicodedata
import warnings
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from mpl_keras.checks import names as naming
from mpl_keras.checks.arguments import ArgumentError, MissingFileError
from mpl_keras.checks.names import printable
from mpl_keras.datasets import signs
from mpl_keras.images import reading

# What systems leave behind in folders, beside names that begin with a dot.
_LITTER = ("thumbs.db", "desktop.ini")
PARTS = ("labeled", "unlabeled", "test", "validation")
# What other tools call them.
_OTHER_NAMES = {"train": "labeled", "val": "validation"}
_LEAVES = "is a link that leaves the folder: put a copy there instead"
_SHOWN = 10  # files or classes in an error
_LEAVE_OUT = "be 'leave_out' where files cannot be used"


class UnreadableFilesError(ArgumentError):
    """Files cannot be used; its `note` lists them.

    Example:
    >>> error = UnreadableFilesError("unreadable", "be so", note="a.png: empty")
    >>> print(error.renamed({"unreadable": "--unreadable"}))
    a.png: empty
    Remove or repair what is listed, or have it left out with \
--unreadable=leave_out.
    """

    def _text(self):
        leave_out = f'{self.argument}="leave_out"'
        if self.argument in self.called:
            leave_out = f"{self.called[self.argument]}=leave_out"
        return (
            f"{self.note}\nRemove or repair what is listed, or have it left "
            f"out with {leave_out}."
        )


class File(NamedTuple):
    """A picture: where it is, what for, and, once it is read, what is in it.

    The digest is of its pixels.
    """

    path: str
    part: str
    label: int
    digest: bytes = b""
    header: reading.Header | None = None


def find(path):
    """All files by sorted name, the links that are none, and the classes."""
    if not os.path.isdir(path):
        raise MissingFileError("path", "be a folder", path)
    if not os.path.isdir(os.path.join(path, "labeled")):
        raise MissingFileError(
            "path",
            "hold the folders `labeled`, with a folder for each class, and "
            "`unlabeled`",
            path,
            note=f", which holds {sorted(os.listdir(path))[:_SHOWN]}"
            + (_hint_above(path) or renaming(path)),
        )
    classes = _folders(os.path.join(path, "labeled"))
    if len(classes) < 2:
        raise ArgumentError(
            "path",
            "hold a folder for each of at least two classes in "
            f"{printable(path)}/labeled",
            note=str(classes),
        )
    _check_apart(classes, path)
    _note_unknown(path)
    entries, problems = [], {}
    for part in PARTS:
        folder = os.path.join(path, part)
        if not os.path.isdir(folder):
            continue
        if part == "unlabeled":
            for file in walk(folder, path, problems):
                entries.append(File(file, part, -1))
            continue
        names = _folders(folder)
        _check_known(names, classes, folder)
        absent = [name for name in classes if name not in names]
        if absent:
            warnings.warn(
                f"{folder} has no folder for {absent[:_SHOWN]}: what is "
                "measured there says nothing about these classes.",
                stacklevel=3,
            )
        for name in names:
            for file in walk(os.path.join(folder, name), path, problems):
                entries.append(File(file, part, classes.index(name)))
    return entries, problems, classes


def renaming(path: str) -> str:
    """Which folders seem to be parts of the data under another name, or "".

    Example:
    >>> import tempfile
    >>> path = tempfile.mkdtemp()
    >>> os.mkdir(os.path.join(path, "Unlabelled"))
    >>> renaming(path)
    ". Rename 'Unlabelled' to 'unlabeled' if it is meant as that"
    """
    there = sorted(
        name
        for name in os.listdir(path)
        if os.path.isdir(os.path.join(path, name))
    )
    found = []
    for name in there:
        part = _part_like(name)
        if part and part not in there and name not in PARTS:
            found.append(f"{name!r} to {part!r}")
    if not found:
        return ""
    it = "it is meant as that" if len(found) == 1 else "they are meant so"
    return f". Rename {' and '.join(found)} if {it}"


def _part_like(name):
    """The part of the data that a name is close to, or None."""
    name = name.lower()
    if name in _OTHER_NAMES:
        return _OTHER_NAMES[name]
    return next(iter(difflib.get_close_matches(name, PARTS, n=1)), None)


def _hint_above(path):
    """What to give where a part of the data was given, or nothing."""
    above, name = os.path.split(os.path.abspath(path))
    if name in PARTS and os.path.isdir(os.path.join(above, "labeled")):
        return f". Give the folder above it, {printable(above)}"
    tables = [n for n in sorted(os.listdir(path)) if n.lower().endswith(".csv")]
    if tables:
        table = printable(os.path.join(path, tables[0]))
        return (
            f". If {table} says which picture is of which class, give it as "
            "`labels` (--labels)"
        )
    return ""


def find_listed(path, labels):
    """As `find`, in a folder without an order: a table names the classes.

    Args:
        path: The folder, all of whose pictures are looked at.
        labels: A CSV file with the columns "file" and "class", and perhaps
            "part".

    Returns:
        Entries, problems and classes. What has no class is unlabeled.
    """
    if not os.path.isdir(path):
        raise MissingFileError("path", "be a folder", path)
    rows, classes = _read_labels(path, labels)
    problems, entries = {}, []
    for file in walk(path, path, problems):
        if os.path.realpath(file) == os.path.realpath(labels):
            continue
        name, part = rows.pop(os.path.realpath(file), ("", "unlabeled"))
        number = classes.index(name) if name else -1
        entries.append(File(file, part, number))
    for file in rows:
        problems.setdefault(file, "is in the table, and not in the folder")
    return entries, problems, classes


def holds_validation(path: str, labels: str | None = None) -> bool:
    """Whether there are validation pictures; nothing of them is read.

    Args:
        path: The folder of pictures.
        labels: The table that names classes and parts, or None.
    """
    if labels is not None:
        rows, _ = _read_labels(path, labels)
        return any(part == "validation" for _, part in rows.values())
    return any(files for *_, files in os.walk(os.path.join(path, "validation")))


def _read_labels(path, labels):
    """Class and part by real path, and the classes, sorted."""
    if not os.path.isfile(labels):
        raise MissingFileError("labels", "be a CSV file", labels)
    try:
        rows = _rows_by_file(path, labels)
    except UnicodeDecodeError as error:
        note = f", which is no UTF-8 ({error.reason})"
        raise _no_labels(labels, note) from error
    except csv.Error as error:
        raise _no_labels(labels, f", with {error}") from error
    counts = collections.Counter(name for name, _ in rows.values() if name)
    classes = sorted(counts)
    if len(classes) < 2:
        raise ArgumentError(
            "labels",
            "name at least two classes",
            labels,
            note=f", with {naming.quoted(classes)}",
        )
    twins = _twins(classes)
    if twins:
        raise ArgumentError(
            "labels",
            "name classes that differ in more than the form of Unicode",
            labels,
            note=f", with {naming.quoted(twins)}",
        )
    _warn_of_classes(counts)
    return rows, classes


def _no_labels(labels, note):
    return ArgumentError(
        "labels",
        "be a CSV file, UTF-8, with commas between its columns",
        labels,
        note=note,
    )


def _warn_of_classes(counts):
    """Says which classes of a table may be none, or one and the same."""
    odd = signs.doubtful_classes(counts)
    if odd:
        shown = ", ".join(f"{name!r} {counts[name]:,} times" for name in odd)
        warnings.warn(
            f"`labels` holds {shown}, which is taken for a class. If it says "
            "that the class is not known, leave the cell empty.",
            stacklevel=5,
        )
    alike = signs.alike_classes(counts)
    if alike:
        warnings.warn(
            f"`labels` holds {naming.quoted(alike[:_SHOWN])}, which differ in "
            "case, blanks and the form of letters alone, and are taken for "
            "several classes.",
            stacklevel=5,
        )


def _rows_by_file(path, labels):
    """Class and part by real path."""
    rows = {}
    with open(labels, encoding="utf-8-sig", newline="") as file:
        table = csv.DictReader(file, restval="")
        columns = table.fieldnames or []
        if not {"file", "class"} <= set(columns):
            raise ArgumentError(
                "labels",
                "have the columns `file` and `class` in its first row, and "
                "perhaps `part`",
                labels,
                note=f", whose first row is {columns[:_SHOWN]}",
            )
        for row in table:
            where = os.path.realpath(os.path.join(path, row["file"].strip()))
            name = (row["class"] or "").strip()
            part = (row.get("part") or "").strip()
            part = part or ("labeled" if name else "unlabeled")
            if rows.setdefault(where, (name, part)) != (name, part):
                _raise_row(labels, table, "name a file once", row)
            if part not in PARTS or bool(name) != (part != "unlabeled"):
                must = f"say in `part` nothing, or one of {', '.join(PARTS)}; "
                must += "those but `unlabeled` with a class"
                _raise_row(labels, table, must, row)
    return rows


def _raise_row(labels, table, must, row):
    raise ArgumentError(
        "labels", must, labels, note=f", line {table.line_num}: {row}"
    )


def _note_unknown(path):
    """Says which folders are not read, because of their names."""
    unknown = [
        name
        for name in sorted(os.listdir(path))
        if name not in PARTS
        and not _is_litter(name)
        and os.path.isdir(os.path.join(path, name))
    ]
    if unknown:
        warnings.warn(
            f"{printable(path)} holds {unknown[:_SHOWN]}, which are none of "
            f"{', '.join(PARTS)}, and are not read{renaming(path)}.",
            stacklevel=4,
        )


def _folders(folder):
    """Names of the folders in a folder of classes; it must hold no files."""
    names = sorted(n for n in os.listdir(folder) if not _is_litter(n))
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise ArgumentError(
                "path",
                f"hold classes in {printable(folder)} whose names are UTF-8",
                note=repr(name),
            ) from error
    loose = [n for n in names if not os.path.isdir(os.path.join(folder, n))]
    if loose:
        raise ArgumentError(
            "path",
            f"hold folders alone in {printable(folder)}, one for each class",
            note=f"the files {loose[:_SHOWN]}",
        )
    return names


def _check_known(names, classes, folder):
    unknown = [name for name in names if name not in classes][:_SHOWN]
    if unknown:
        alike = _forms(unknown) & _forms(classes)
        raise ArgumentError(
            "path",
            f"hold in {printable(folder)} classes of `labeled` alone, which "
            f"are {naming.quoted(classes[:_SHOWN], unknown)}",
            note=f"also {naming.quoted(unknown, classes)}"
            + (", in another form of Unicode" if alike else "")
            + _classes_meant(unknown, classes),
        )


def _classes_meant(unknown, classes):
    """Classes of almost the names that are unknown, as a question, or ""."""
    lower = {name.casefold(): name for name in classes}
    found = []
    for name in sorted(unknown):
        near = difflib.get_close_matches(name.casefold(), lower, n=1)
        if near and not _forms([name]) & _forms(classes):
            found.append(f"{lower[near[0]]!r} by {name!r}")
    return f" (did you mean {', '.join(found)}?)" if found else ""


def _forms(names):
    """Names in one form of Unicode."""
    return {unicodedata.normalize("NFC", name) for name in names}


def _check_apart(classes, path):
    """Raises for two classes whose names nobody could tell apart."""
    twins = _twins(classes)
    if twins:
        raise ArgumentError(
            "path",
            f"hold classes in {printable(path)}/labeled whose names differ in "
            "more than the form of Unicode",
            note=naming.quoted(twins),
        )


def _twins(classes):
    """Those of which another one is the same in another form of Unicode."""
    counts = collections.Counter(
        unicodedata.normalize("NFC", name) for name in classes
    )
    return [n for n in classes if counts[unicodedata.normalize("NFC", n)] > 1]


def _is_litter(name):
    return name.startswith(".") or name.lower() in _LITTER


def walk(folder, root, problems):
    """Files below a folder, sorted; links that leave the root are problems.

    Args:
        folder: Where to look; hidden files are passed over.
        root: Links must not leave it.
        problems: A dict, to which paths that are no file, and why, are added.
    """
    inside = os.path.realpath(root) + os.sep

    def fail(error):
        problems[error.filename] = f"cannot be opened: {error.strerror}"

    found = []
    if not (os.path.realpath(folder) + os.sep).startswith(inside):
        problems[folder] = _LEAVES
        return found
    for where, folders, names in os.walk(folder, onerror=fail):
        for name in folders:
            full = os.path.join(where, name)
            if os.path.islink(full):
                problems[full] = (
                    "is a link to a folder, which is not followed: put a copy "
                    "there instead"
                )
        folders[:] = [name for name in folders if not _is_litter(name)]
        for name in names:
            full = os.path.join(where, name)
            if _is_litter(name):
                continue
            if not os.path.realpath(full).startswith(inside):
                problems[full] = _LEAVES
            elif os.path.exists(full) and not os.path.isfile(full):
                problems[full] = "is no file"
            else:
                found.append(full)
    return sorted(found)


def find_all(folder: str) -> list[str]:
    """All files below a folder, sorted, with a warning about what is no file.

    Args:
        folder: Where to look; hidden files are passed over.

    Example:
    >>> import tempfile
    >>> find_all(tempfile.mkdtemp())
    []
    """
    problems = {}
    paths = walk(folder, folder, problems)
    for path, why in problems.items():
        warnings.warn(f"{printable(path)} {why}", stacklevel=3)
    return paths


def read(entries, problems, unreadable, path, verbose, max_pixels):
    """The files that can be read, with their headers and digests."""
    if verbose:
        print(f"Looking at {count(entries)} in {printable(path)}")
    # In a log a bar that moves would be a line of thousands of columns.
    moves = sys.stdout.isatty() or "ipykernel" in sys.modules
    bar = keras.utils.Progbar(
        len(entries),
        verbose=(1 if moves else 2) if verbose else 0,
        unit_name="file",
    )
    files = []
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for entry, result in zip(
            entries,
            pool.map(lambda entry: _inspect(entry, max_pixels), entries),
            strict=True,
        ):
            if isinstance(result, str):
                problems[entry.path] = result
            else:
                files.append(result)
            bar.add(1)
    digests = _digests(files)
    for number, file in enumerate(files):
        if number not in digests:
            problems[file.path] = "is damaged or truncated"
    if problems:
        _report(problems, unreadable, path)
    files = [files[n]._replace(digest=digests[n]) for n in sorted(digests)]
    remarks = collections.defaultdict(list)
    for file in files:
        if file.header.remark:
            remarks[file.header.remark].append(file.path)
    for remark, paths in remarks.items():
        warnings.warn(
            f"{count(paths)}, such as {printable(paths[0])}: {remark}",
            stacklevel=3,
        )
    return files


def _inspect(entry, max_pixels):
    """The entry with what its header says, or what is wrong."""
    try:
        with open(entry.path, "rb") as file:
            contents = file.read()
        return entry._replace(header=reading.inspect(contents, max_pixels))
    except OSError as error:
        return f"cannot be opened: {error.strerror}"
    except ValueError as error:
        return str(error)


def _digests(files):
    """Of the pixels, by number, of the files that can be decoded whole.

    So a picture that was saved again, in whatever form, is the same one.
    """
    if not files:
        return {}
    paths = [os.fsencode(file.path) for file in files]
    special = [file.header.special for file in files]

    def decode(index, path, special):
        return index, reading.decode(tf.io.read_file(path), special, 3)

    images = (
        tf.data.Dataset.from_tensor_slices(
            (np.arange(len(files)), paths, special)
        )
        .map(decode, num_parallel_calls=tf.data.AUTOTUNE)
        .ignore_errors()
    )
    digests = {}
    for number, image in images.as_numpy_iterator():
        size = repr(image.shape).encode()
        digest = hashlib.blake2b(size, digest_size=16)
        digest.update(np.ascontiguousarray(image))
        digests[int(number)] = digest.digest()
    return digests


def _report(problems, unreadable, path):
    """Raises, or warns, with a list of files that are left out."""
    shown = naming.told_apart(*sorted(problems))
    lines = [
        f"  {name} {problems[path]}"
        for name, path in zip(shown, sorted(problems), strict=True)
    ]
    if len(lines) > _SHOWN:
        lines[_SHOWN:] = [f"  and {len(lines) - _SHOWN} more"]
    head = f"{count(problems)} in {printable(path)} cannot be used:"
    text = "\n".join([head, *lines])
    if unreadable == "error":
        raise UnreadableFilesError("unreadable", _LEAVE_OUT, note=text)
    warnings.warn(f"{text}\nThis is left out.", stacklevel=4)


def count(things) -> str:
    """A number of files in words."""
    return f"{len(things):,} file" + ("s" if len(things) != 1 else "")
