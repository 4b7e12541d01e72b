"""The settings of a training: what is asked for, and what is kept of it."""

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from mpl_keras import augment, networks, recipes
from mpl_keras.checks import arguments
from mpl_keras.checks.arguments import (
    ArgumentError,
    FileInTheWayError,
    MissingFileError,
)
from mpl_keras.datasets import folder_files
from mpl_keras.distribute import STRATEGIES
from mpl_keras.distribute.strategy import Strategy
from mpl_keras.recipes.building import Method
from mpl_keras.runs.folder import kind_of

FILE = "settings.json"
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
UNREADABLE = ("error", "leave_out")
# What may differ where a training goes on: how it is done, not what.
HOW = (
    *("data_dir", "download", "unreadable", "max_pixels", "labels"),
    *("backup_every", "strategy"),
    *("virtual_devices", "steps_per_execution", "jit_compile"),
    *("deterministic", "tensorboard", "report", "baseline"),
)
# Fields of a recipe that came later, and what trainings had before: left out
# where they are that, so that a training of before can go on.
_LATER = {
    "average_of": "student",
    "label_spreading": False,
    "masking": "fixed",
    "masking_momentum": None,
    "hard_targets": False,
    "feedback_measured": "after",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """All that a training is told.

    Args:
        dataset: A folder of pictures, a name of TensorFlow Datasets, or
            "digits"; None is the recipe's.
        recipe: Name of the recipe where settings begin; None is the default
            for pictures of that size on this machine, `recipes.default`.
        method: One of `recipes.METHODS`.
        changes: Fields of the recipe that are different, by name.
        seed: Of split, networks, order and views.
        validation_fraction: Share of the training pictures that is set aside
            to choose settings on.
        labeled_in_unlabeled: Whether labeled pictures are unlabeled too.
        weights: File of pretrained weights, "imagenet" or None, see
            `networks.make`.
        finetune: Whether to train on the labels at the end.
        baseline: Whether to train the same network on the labels alone, too,
            to say what the unlabeled pictures brought.
        evaluate_every: Steps between evaluations; None is about a twentieth of
            all, but at least 100.
        precision: In which networks compute.
        unreadable: What to do about files that cannot be read: "error" or
            "leave_out".
        max_pixels: How many a picture in a folder may have, or None for the
            default of `datasets.from_folder`.
        labels: CSV file of file and class for a folder of pictures, or None.
        data_dir: Folder of TensorFlow Datasets, or None for its own default.
        download: Whether to download and prepare the data set if need be.
        backup_every: Steps between backups; None is those between evaluations.
        strategy: Devices to train on, see `distribute.make_strategy`.
        virtual_devices: Into so many devices the CPU is split, or None.
        steps_per_execution: Steps between which nothing looks at the device.
        jit_compile: Whether to compile with XLA; None is as Keras decides.
        deterministic: Whether a GPU gives the same bits each time.
        tensorboard: Whether to write what TensorBoard shows.
        report: Whether to write report.html; None is where what draws it is
            installed.

    Raises:
        ArgumentError: A setting is not what it must be.

    Example:
    >>> Settings(dataset="digits", changes={"steps": 60}).seed
    0
    """

    dataset: str | None = None
    recipe: str | None = None
    method: Method = "mpl"
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    seed: int = 0
    validation_fraction: float = 0.0
    labeled_in_unlabeled: bool = True
    weights: str | None = None
    finetune: bool = False
    baseline: bool = False
    evaluate_every: int | None = None
    precision: str = "float32"
    unreadable: Literal["error", "leave_out"] = "error"
    max_pixels: int | None = None
    labels: str | None = None
    data_dir: str | None = None
    download: bool = False
    backup_every: int | None = None
    strategy: Strategy = "auto"
    virtual_devices: int | None = None
    steps_per_execution: int = 1
    jit_compile: bool | None = None
    deterministic: bool = False
    tensorboard: bool = True
    report: bool | None = None

    def __post_init__(self):
        """Raises for what can be seen before any file is read."""
        for field in dataclasses.fields(self):
            plain = _plain(getattr(self, field.name))
            object.__setattr__(self, field.name, plain)
        arguments.choice("method", self.method, tuple(recipes.METHODS))
        if self.baseline and self.method == "supervised":
            raise ArgumentError(
                "baseline",
                "be False for {method}, which is the baseline",
                "True",
                others={"method": "supervised"},
            )
        arguments.choice("precision", self.precision, PRECISIONS)
        arguments.choice("unreadable", self.unreadable, UNREADABLE)
        arguments.choice("strategy", self.strategy, STRATEGIES)
        arguments.integer("seed", self.seed, 0)
        arguments.number(
            "validation_fraction", self.validation_fraction, 0, below=1
        )
        counts = ("evaluate_every", "backup_every", "virtual_devices")
        for name in (*counts, "max_pixels"):
            if getattr(self, name) is not None:
                arguments.integer(name, getattr(self, name), 1)
        arguments.integer("steps_per_execution", self.steps_per_execution, 1)
        with arguments.passing({"name": "recipe"}):
            recipe = recipes.get(self.recipe or "digits")
        # What is wrong is found before many files are read.
        recipes.adapt(recipe, **self.changes)
        if self.changes.get("views") is not None:
            with arguments.passing({"name": "views"}):
                augment.named_views(self.changes["views"], 32, 32)
        if self.changes.get("backbone") is not None:
            with arguments.passing({"name": "backbone"}):
                networks.check_name(self.changes["backbone"])

    @property
    def named(self) -> recipes.Recipe | None:
        """The recipe that was asked for by its name, or None."""
        return None if self.recipe is None else recipes.get(self.recipe)

    def given(self, name: str) -> Any:
        """What changes say of a field, or else the named recipe, or None."""
        if self.changes.get(name) is not None:
            return self.changes[name]
        return self.named and getattr(self.named, name)

    def data_name(self) -> str:
        """The data set: what was asked for, or the recipe's.

        Raises:
            ArgumentError: Neither names one.
        """
        if self.dataset is None and self.named is None:
            raise ArgumentError(
                "dataset",
                "be given, unless {recipe} is",
                "None",
                others={"recipe": "None"},
            )
        return self.dataset or self.named.dataset

    def data_options(self) -> dict[str, Any]:
        """What decides which pictures there are, and in which form."""
        folder = os.path.isdir(self.data_name())
        num_labeled = self.changes.get("num_labeled")
        if not folder:  # of a folder by default all that are sorted
            num_labeled = self.given("num_labeled")
        options = {
            "num_labeled": num_labeled,
            "image_size": self.given("image_size"),
            "seed": self.seed,
            "validation_fraction": self.validation_fraction,
            "labeled_in_unlabeled": self.labeled_in_unlabeled,
        }
        if self.max_pixels is not None:
            options["max_pixels"] = self.max_pixels
        if self.labels is not None:
            options["labels"] = self.labels
        return options

    def record(self, recipe: recipes.Recipe, data: Any) -> dict[str, Any]:
        """All that a run which goes on must have in common with this one.

        Args:
            recipe: What is trained by.
            data: What is trained on.

        Returns:
            What JSON can hold. "num_labeled", "num_classes" and "image_size"
            are those of the data.
        """
        known = recipe_fields(recipe)
        for name, default in _LATER.items():
            if known[name] == default:
                del known[name]
        own = dataclasses.asdict(self)
        for name in ("dataset", "recipe", "changes", *HOW):
            del own[name]
        height, width, _ = data.preprocessing.input_shape
        return (
            known
            | own
            | {
                "dataset": self.data_name(),
                "data_options": self.data_options(),
                "class_names": data.class_names,
                "num_classes": data.num_classes,
                "num_labeled": len(data.labeled[1]),
                "image_size": height if height == width else [height, width],
                "labeled_images": len(data.labeled[1]),
                "unlabeled_images": len(data.unlabeled),
            }
        )

    def check_outside(self, output_dir: str) -> None:
        """Raises where results would lie among the pictures of a folder.

        They would be read as pictures by whoever reads the folder again: a
        training that goes on, or an export.

        Args:
            output_dir: The folder of results.
        """
        name = self.data_name()
        if not os.path.isdir(name):
            return
        places = [name]
        if self.labels is None:
            places = [os.path.join(name, part) for part in folder_files.PARTS]
        for place in map(os.path.realpath, places):
            inside = os.path.relpath(os.path.realpath(output_dir), place)
            names = [] if inside == os.curdir else inside.split(os.sep)
            # Hidden folders are passed over.
            if not any(part.startswith(".") for part in names):
                raise ArgumentError(
                    "output_dir",
                    "be outside of the folder of pictures, or hidden, as .run "
                    "is: all files in it are taken for pictures",
                    output_dir,
                    note=f", in {place}",
                )

    def request(self) -> dict[str, Any]:
        """The settings themselves, as JSON holds them; see `load`."""
        return dataclasses.asdict(self)


def recipe_fields(recipe: recipes.Recipe) -> dict[str, Any]:
    """What a recipe says of a training, without where it is from.

    Args:
        recipe: What is trained by.

    Example:
    >>> recipe_fields(recipes.get("digits"))["steps"]
    1500
    """
    known = dataclasses.asdict(recipe)
    for name in ("source", "departures", "published"):
        del known[name]
    return known


def _plain(value):
    """A value as JSON has it: no number of numpy's, and no path."""
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_plain, value))
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value.item() if isinstance(value, np.generic) else value


def load(folder: Any) -> Settings:
    """The settings of the run in a folder, to go on with it.

    Args:
        folder: The folder of a run.

    Raises:
        MissingFileError: There is no run, or one that was begun by a version
            which did not write down what it was told.
        FileInTheWayError: It is the folder of a search.

    Example:
    >>> load("none")
    Traceback (most recent call last):
    ...
    mpl_keras.checks.arguments.MissingFileError: `output_dir` must be the \
folder of a run to go on with. Received: output_dir=none, without settings.json
    """
    folder = arguments.path("output_dir", folder)
    path = os.path.join(folder, FILE)
    if not os.path.exists(path):
        raise MissingFileError(
            "output_dir",
            "be the folder of a run to go on with",
            folder,
            note=f", without {FILE}",
        )
    with open(path, encoding="utf-8") as file:
        known = json.load(file)
    if kind_of(known) == "search":
        raise FileInTheWayError(
            "output_dir",
            "be the folder of a run to go on with",
            folder,
            note=", the folder of a search",
        )
    if "request" not in known:
        raise MissingFileError(
            "output_dir",
            "be a run that knows what it was told, or its flags must be given",
            folder,
            note=f", where {FILE} has no entry 'request'",
        )
    return Settings(**known["request"])


def described(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a training as people read them, each once.

    Args:
        settings: As `Settings.record` gives them: a recipe's fields, of which
            some do not hold for the data set, and "data_options".

    Example:
    >>> described({"name": "digits", "num_labeled": 10, "steps": 5,
    ...            "data_options": {"num_labeled": 20}, "finetune": False,
    ...            "finetune_steps": 300, "class_names": ["0", "1"]})
    {'recipe': 'digits', 'steps': 5, 'finetune': False}
    """
    known = dict(settings)
    single = known.get("method", "mpl") not in recipes.WITH_STUDENT
    # Numbers of images and classes are told beside the settings.
    for name in ("class_names", "data_options", "num_labeled", "num_classes"):
        known.pop(name, None)
    if known.get("feedback") == "none" or single:
        known = {
            name: value
            for name, value in known.items()
            if not name.startswith(("feedback", "pseudo_label", "student"))
        }
    if single:  # there is no other network to average
        known.pop("average_of", None)
    if not known.get("finetune"):
        for name in ("steps", "batch_size", "learning_rate"):
            known.pop(f"finetune_{name}", None)
    options = settings.get("data_options") or {}
    if not options.get("image_size"):  # the data's own
        known.pop("image_size", None)
    if not known.get("why"):
        known.pop("why", None)
    if "name" in known:
        known = {"recipe": known.pop("name"), **known}
    return {name: value for name, value in known.items() if value is not None}
