"""Folders of pictures, a few of them sorted by class."""

import collections
import os
import warnings
from typing import Any, Literal, NamedTuple

import numpy as np

from mpl_keras import augment
from mpl_keras.checks import arguments, names
from mpl_keras.checks.arguments import ArgumentError
from mpl_keras.datasets import (
    folder_files,
    image_files,
    semi_supervised_data,
    splits,
)
from mpl_keras.images.reading import MAX_PIXELS

_LARGEST_DEFAULT = 224


def from_folder(
    path: Any,
    *,
    labels: Any = None,
    image_size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    num_labeled: int | None = None,
    seed: int = 0,
    validation_fraction: float = 0.0,
    labeled_in_unlabeled: bool = True,
    balanced: bool = True,
    unreadable: Literal["error", "leave_out"] = "error",
    max_pixels: int = MAX_PIXELS,
    views: augment.Views | None = None,
    verbose: bool = False,
) -> semi_supervised_data.SemiSupervisedData:
    """Pictures in a folder, which are read when they are needed.

    | in `path` | what is there |
    |---|---|
    | `labeled/CLASS/**` | the few that are sorted |
    | `unlabeled/**` | the many others |
    | `test/CLASS/**` | optional |
    | `validation/CLASS/**` | optional |

    Where there are no such folders, `labels` names a table instead. PNG, JPEG,
    BMP, GIF and WEBP of any size, known by their contents and not by
    their names; hidden files are ignored. Every file is read once, to see
    whether it can be. The order is that of the sorted names: a split is the
    same on every machine.

    A picture that is also among the test or validation pictures, under
    whatever name, is left out of the unlabeled ones, with a warning. The same
    picture is one of the same pixels: saved again as PNG, BMP or GIF it is.

    Args:
        path: The folder.
        labels: A CSV file for a folder without folders of classes. Its column
            "file" holds paths in `path`, "class" a class or nothing, and
            "part", which may be left out, "labeled", "unlabeled", "test" or
            "validation". Pictures that it does not name are unlabeled. It is
            sought in `path` too.
        image_size: Pixels of the square, or (height, width), that networks
            take. By default that of the pictures if all agree, else the median
            of their shorter sides, but at most 224. Pictures are scaled to
            cover it, and cropped.
        channels: 1 (grey) or 3; by default 1 if all pictures are grey.
        num_labeled: Keep the labels of so many; the others become unlabeled.
            By default all.
        seed: Of the choice of labeled and validation pictures.
        validation_fraction: Share of the sorted pictures to set aside.
        labeled_in_unlabeled: Whether the labeled pictures are among the
            unlabeled ones, once; False removes them, and copies of them.
        balanced: See `splits.split_labeled`.
        unreadable: What to do about files that are no picture or damaged, and
            links that leave the folder: "error" lists them and raises,
            "leave_out" lists them and warns.
        max_pixels: How many a picture may have; one that has more counts as
            unreadable, and is not decoded. What is exported has the same
            limit.
        views: By default `augment.default_views`.
        verbose: Whether to show how far the check of the files is.

    Returns:
        Data whose pictures are uint8 in [0, 255], shape [N, height, width,
        channels]. If they are above 64 pixels and not all of one size, they
        are 8/7 of `image_size`, of which views and evaluation take crops.

    Raises:
        MissingFileError: `path`, its folder `labeled`, or `labels` is missing.
        ArgumentError: A file cannot be read, a class is empty or unknown, there
            are fewer than two classes, a labeled picture is a test picture, or
            there are no unlabeled pictures.

    Example:
    >>> from_folder("/pictures")
    Traceback (most recent call last):
    ...
    mpl_keras.checks.arguments.MissingFileError: `path` must be a folder. \
Received: path=/pictures
    """
    arguments.choice("unreadable", unreadable, ("error", "leave_out"))
    if channels is not None:
        arguments.choice("channels", channels, (1, 3))
    arguments.integer("max_pixels", max_pixels, 1)
    path = os.path.abspath(arguments.path("path", path))
    if labels is None:
        entries, problems, classes = folder_files.find(path)
        place = f"{path}/labeled"
    else:
        place = arguments.path("labels", labels)
        if not os.path.exists(place):
            place = os.path.join(path, place)
        entries, problems, classes = folder_files.find_listed(path, place)
    if not problems:  # before all files are read, which takes long
        _check_filled(entries, classes, place)
    files = folder_files.read(
        entries, problems, unreadable, path, verbose, max_pixels
    )
    sets = collections.defaultdict(list)
    for file in files:
        sets[file.part].append(file)
    _check_filled(files, classes, place)
    _check_contradictions(sets)
    parts = _split(
        sets,
        classes,
        num_labeled,
        seed,
        validation_fraction,
        balanced,
    )
    _keep_apart(parts, labeled_in_unlabeled, path)
    form = _form(files, image_size, channels, max_pixels)
    unlabeled = form.source(parts["unlabeled"])
    evaluation = {
        name: semi_supervised_data.evaluation_batches(
            form.source(part), _labels(part)
        )
        for name, part in parts.items()
        if name in ("validation", "test") and part
    }
    return semi_supervised_data.SemiSupervisedData(
        labeled=(form.source(parts["labeled"]), _labels(parts["labeled"])),
        unlabeled=unlabeled,
        validation=evaluation.get("validation"),
        test=evaluation.get("test"),
        num_classes=len(classes),
        class_names=tuple(classes),
        views=views or augment.default_views(unlabeled),
    )


class _Form(NamedTuple):
    """The form to which all pictures are brought."""

    shape: tuple[int, int, int]
    view_shape: tuple[int, int, int]
    max_pixels: int

    def source(self, files: list[folder_files.File]) -> image_files.ImageFiles:
        return image_files.ImageFiles(
            [file.path for file in files],
            [file.header.special for file in files],
            self.shape,
            self.view_shape,
            self.max_pixels,
        )


def _labels(files):
    return np.array([file.label for file in files], np.int32)


def _check_filled(files, classes, folder):
    """Raises if there is a class without a picture."""
    counts = collections.Counter(
        file.label for file in files if file.part == "labeled"
    )
    empty = [name for k, name in enumerate(classes) if not counts[k]]
    if empty:
        raise ArgumentError(
            "path",
            f"hold a picture of each class in {names.printable(folder)}",
            note=f"none of {names.quoted(empty[:10])}. Put pictures of it "
            "there, or remove the class",
        )


# Which file is for what.


def _split(sets, classes, num_labeled, seed, fraction, balanced):
    """The sorted pictures, as asked for, among the parts."""
    parts = {
        name: sets[name]
        for name in ("labeled", "unlabeled", "test", "validation")
    }
    if num_labeled is None and not fraction:
        return parts
    if fraction and parts["validation"]:
        raise ArgumentError(
            "validation_fraction",
            "be 0 where there is a folder `validation`",
            str(fraction),
        )
    files = parts["labeled"]
    split = splits.split(
        _labels(files),
        num_labeled,
        seed,
        len(classes),
        validation_fraction=fraction,
        labeled_in_unlabeled=False,
        balanced=balanced,
        class_names=classes,
    )
    parts["labeled"] = [files[i] for i in split.labeled]
    parts["unlabeled"] = parts["unlabeled"] + [
        files[i] for i in split.unlabeled
    ]
    parts["validation"] = parts["validation"] + [
        files[i] for i in split.validation
    ]
    return parts


def _check_contradictions(sets):
    """Raises for pictures in two places that exclude each other.

    A picture that is twice in one class is taken once.
    """
    seen = {}
    for part in ("labeled", "validation", "test"):
        kept = []
        for file in sets[part]:
            twin = seen.setdefault(file.digest, file)
            if (twin.part, twin.label) != (part, file.label):
                _raise_same(twin, file)
            if twin is file or part != "labeled":
                kept.append(file)
        sets[part] = kept


def _raise_same(first, second):
    """For one picture in two places."""
    must = "hold a picture in one class alone"
    if first.part != second.part:
        parts = f"`{first.part}` and `{second.part}`"
        must = f"hold different pictures in {parts}"
    shown = " and ".join(names.told_apart(first.path, second.path))
    raise ArgumentError(
        "path", must, note=f"{shown}, whose pixels are the same"
    )


def _keep_apart(parts, labeled_in_unlabeled, path):
    """Removes from the unlabeled pictures what must not be there.

    By pixels: the same picture may have several names, and forms.
    """
    digests = {
        name: {file.digest: file for file in files}
        for name, files in parts.items()
    }
    measured = digests["test"].keys() | digests["validation"].keys()
    leaked = [f for f in parts["unlabeled"] if f.digest in measured]
    if leaked:
        first = names.printable(leaked[0].path)
        warnings.warn(
            f"{folder_files.count(leaked)} of the unlabeled ones, such as "
            f"{first}, show pictures that the networks are measured on: they "
            "are left out of training.",
            stacklevel=3,
        )
    apart = measured | digests["labeled"].keys()
    unlabeled = [f for f in parts["unlabeled"] if f.digest not in apart]
    if not unlabeled:
        raise ArgumentError(
            "path",
            f"hold unlabeled pictures below {names.printable(path)}/unlabeled, "
            "other than those in `labeled`",
            note=f"none{folder_files.renaming(path)}",
        )
    if labeled_in_unlabeled:
        unlabeled = unlabeled + parts["labeled"]
    parts["unlabeled"] = unlabeled


def _form(files, image_size, channels, max_pixels):
    """The form of all pictures, from what is asked for and what is there."""
    sizes = np.array([file.header.size for file in files])
    uniform = (sizes == sizes[0]).all()
    if image_size is None and uniform:
        image_size = tuple(int(n) for n in sizes[0])
    elif image_size is None:
        image_size = min(int(np.median(sizes.min(axis=1))), _LARGEST_DEFAULT)
    if channels is None:
        channels = 1 if all(file.header.grey for file in files) else 3
    native = tuple(int(n) for n in sizes[0]) if uniform else None
    return _Form(*image_files.forms(image_size, native, channels), max_pixels)
