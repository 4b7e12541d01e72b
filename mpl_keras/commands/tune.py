"""`mpl-keras tune`: a search of settings on validation pictures."""

import json

from mpl_keras import datasets, files, recipes, runs
from mpl_keras.checks import arguments, names
from mpl_keras.checks.arguments import ArgumentError
from mpl_keras.commands.command import Command, say
from mpl_keras.runs.training import few_measured

COMMAND = Command(
    "tune",
    """\
Searches settings on validation images, with KerasTuner.

    mpl-keras tune --num_labeled=20 --trials=10 --output_dir=tuned

A share of the training images is set aside to choose on. The test images choose
nothing: only the network of the best settings is measured on them, and it is
exported. Started again with --resume and the same flags, the search goes on
after the last finished trial; --trials may grow.

Choose on few validation labels where you train with few: a search on many more
labels finds settings that you could not have found with your own.""",
)
_group = COMMAND.group("Data")
_group.string(
    "dataset",
    "digits",
    "A folder of pictures, a name of TensorFlow Datasets, or digits",
)
_group.integer("num_labeled", 20, "Labels to train with", 1)
_group.float(
    "validation_fraction",
    0.2,
    "Share of the training images to choose on",
    0,
    0.9,
)
_group = COMMAND.group("Search")
_group.string("recipe", "digits", "Where settings begin")
_group.integer("steps", 600, "Steps of each training", 20)
_group.integer("trials", 10, "Settings to try", 1)
_group.integer("seed", 0, "Seed of the split, networks, order and search", 0)
_group = COMMAND.group("Where")
_group.string("output_dir", None, "Where results go. It must be given")
_group.bool("resume", False, "Go on with the search in --output_dir")


@COMMAND.main
def tune() -> None:
    """Checks, searches, and measures the best on the test images."""
    flags = COMMAND.flags
    if flags.output_dir is None:
        COMMAND.stop("--output_dir must be given, the folder of results.", 2)
    names.require("keras_tuner", "The search", '"mpl_keras[tune]"')
    files.check_folder(flags.output_dir, flags.resume, "output_dir", "resume")
    with arguments.passing({"name": "recipe"}):
        original = recipes.get(flags.recipe)
        recipe = recipes.adapt(original, steps=flags.steps)
    with arguments.passing({"name": "dataset", "path": "dataset"}):
        data = datasets.images(
            flags.dataset,
            num_labeled=flags.num_labeled,
            validation_fraction=flags.validation_fraction,
            seed=flags.seed,
        )
    if data.validation is None:
        raise ArgumentError(
            "validation_fraction", "be above 0", str(flags.validation_fraction)
        )
    note = recipes.short_training(recipe, original)
    if note:
        say(f"note: {note}")
    for note in few_measured(data):
        say(f"note: {note}")
    with arguments.passing({"folder": "output_dir"}):
        result = runs.tune(
            data,
            recipe,
            flags.output_dir,
            trials=flags.trials,
            seed=flags.seed,
            resume=flags.resume,
        )
    print(json.dumps(result, indent=1))
    print(f"wrote best.json and student/ to {flags.output_dir}")
