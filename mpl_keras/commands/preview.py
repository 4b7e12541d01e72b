"""`mpl-keras preview`: weak and strong views of pictures, to look at."""

import os
from typing import Any

import numpy as np

from mpl_keras import augment, datasets, files, report, runs
from mpl_keras.checks import arguments, names
from mpl_keras.checks.arguments import ArgumentError, MissingFileError
from mpl_keras.commands import train
from mpl_keras.commands.command import Command
from mpl_keras.datasets import pictures
from mpl_keras.report import preview as sheet

COMMAND = Command(
    "preview",
    """\
Draws a sheet of pictures: originals, and weak and strong views of each.

    mpl-keras preview --dataset=pictures
    mpl-keras preview --dataset=pictures --views=cifar
    mpl-keras preview --views=imagenet --folder=my_pictures

With --dataset the views are those that `mpl-keras train` with the same flags
takes, and the pictures are its unlabeled ones, of the same size.

Look at it before you train: the class must still be seen in every strong
view.""",
)
_group = COMMAND.group("Pictures")
_group.string(
    "folder",
    None,
    "Folder of image files",
    "pieces of two photographs that come with scikit-learn, and its digits for "
    "--views=digits",
)
_group.integer("rows", 6, "Images to show", 1, 64)
train.define_data_flags(COMMAND, "none")
_group = COMMAND.group("Views")
_group.choice(
    "views",
    None,
    ["cifar", "svhn", "imagenet", "small_shifts", "digits"],
    "Which views",
    "those of the training with --dataset, and cifar without",
)
_group.integer(
    "size",
    None,
    "Side of the views in pixels",
    least=8,
    shown="224 for imagenet, 8 for digits, and 32 for the others",
)
_group.integer("columns", 4, "Views of each kind", 1, 16)
_group.integer("seed", 0, "Seed of images and views", 0)
_group = COMMAND.group("The sheet")
_group.string("output", "preview.png", "The file to write")
_group.bool("overwrite", False, "Replace --output if it exists")


@COMMAND.main
def preview() -> None:
    """Checks, loads, draws and writes."""
    flags = COMMAND.flags
    check_output(flags.output, flags.overwrite)
    names.require("matplotlib", "A sheet of views", '"mpl_keras[report]"')
    if flags.dataset is not None:
        images, views, title = load_dataset(flags)
    else:
        _check_alone()
        images, views, title = load(flags)
    files.write_whole(
        flags.output,
        lambda path: report.plot_views(
            images,
            views,
            path,
            columns=flags.columns,
            seed=flags.seed,
            title=title,
        ),
    )
    print(f"Wrote {flags.output}: {len(images)} images.")


def check_output(output: str, overwrite: bool) -> None:
    """Raises unless the file can be written."""
    with arguments.passing({"path": "output"}):
        sheet.check_path(output)
    folder = os.path.dirname(output) or "."
    if not os.path.isdir(folder):
        raise MissingFileError(
            "output",
            "be in a folder that exists",
            output,
            note=f", and there is no folder {folder}",
        )
    files.check_free(output, overwrite, "output")


def _check_alone():
    """Raises for what says something of a data set, where there is none."""
    for name in ("num_labeled", *train.told_of(COMMAND.flags)):
        if name not in ("dataset", "seed") and COMMAND.given(name):
            raise ArgumentError(
                name,
                "be given with {dataset} alone",
                str(COMMAND.flags[name].value),
                others={"dataset": "none"},
            )


def load_dataset(flags: Any) -> tuple[np.ndarray, augment.Views, str]:
    """Unlabeled images of a data set, the views of a training, and a title."""
    for name in ("folder", "size"):
        if getattr(flags, name) is not None:
            raise ArgumentError(
                name,
                "not be given with {dataset}: its unlabeled images are shown, "
                "of the size that they are trained with",
                getattr(flags, name),
                others={"dataset": flags.dataset},
            )
    changes = train.changes_of(flags)
    settings = runs.Settings(changes=changes, **train.told_of(flags))
    data, recipe = runs.load_data(settings)
    count = len(data.unlabeled)
    order = np.random.default_rng(flags.seed).permutation(count)
    images = np.asarray(data.unlabeled[np.sort(order[: flags.rows])])
    name = names.printable(os.path.basename(os.path.normpath(flags.dataset)))
    return images, data.views, f"{name}, --views={recipe.views}"


def load(flags: Any) -> tuple[np.ndarray, augment.Views, str]:
    """Images, the views to show of them, and a title."""
    chosen = flags.views or "cifar"
    title = f"--views={chosen}"
    if chosen == "digits":
        if flags.folder is not None or flags.size not in (None, 8):
            raise ArgumentError(
                "views",
                "be without {folder} and {size} where it is digits: these are "
                "scikit-learn's, 8x8",
                chosen,
                others={"folder": flags.folder, "size": flags.size},
            )
        names.require("sklearn", "--views=digits", _SKLEARN)
        data = datasets.digits(20, seed=flags.seed)
        return data.unlabeled[: flags.rows], data.views, title
    size = flags.size or (224 if chosen == "imagenet" else 32)
    # Views of imagenet are crops of a larger image, as usual of 256 for 224.
    own = round(size * 256 / 224) if chosen == "imagenet" else size
    views = augment.named_views(chosen, size, size)
    shown = flags.rows, own, flags.seed
    if flags.folder is not None:
        return pictures.load_folder(flags.folder, *shown), views, title
    names.require("sklearn", "A sheet without --folder", _SKLEARN)
    return pictures.load_photographs(*shown), views, title


_SKLEARN = "scikit-learn"
