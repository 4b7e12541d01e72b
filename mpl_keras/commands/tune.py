"""`mpl-keras tune`: a search of settings on validation pictures."""

import json
import os

from mpl_keras import files, recipes, runs
from mpl_keras.checks import arguments, names
from mpl_keras.checks.arguments import ArgumentError
from mpl_keras.commands import train
from mpl_keras.commands.command import Command, say
from mpl_keras.runs.training import notes_on
from mpl_keras.runs.tuning import SEARCHED

COMMAND = Command(
    "tune",
    """\
Searches settings on validation images, with KerasTuner.

    mpl-keras tune --dataset=pictures --trials=10 --output_dir=tuned

feedback_weight, consistency_weight and temperature are searched; all else is as
in `mpl-keras train` with the same flags. A share of the sorted images is set
aside to choose on, unless there are validation images. The test images choose
nothing: only the network of the best settings is measured on them, and it is
exported. Started again with --resume and the same flags, the search goes on
after the last finished trial; --trials may grow.

Choose on few validation labels where you train with few: a search on many more
labels finds settings that you could not have found with your own.""",
)
FLAGS = COMMAND.flags
_DIGITS = 20  # labels, of which a part is set aside
_ASIDE = 0.2
_group = COMMAND.group("Search")
_group.string("output_dir", None, "Where results go. It must be given")
_group.bool("resume", False, "Go on with the search in --output_dir")
_group.integer("trials", 10, "Settings to try", 1)
_group.integer("seed", 0, "Seed of the split, networks, order and search", 0)
_group.string(
    "recipe",
    None,
    f"Where settings begin: {', '.join(recipes.names())}",
    "the one for images of that size",
)
train.define_data_flags(COMMAND, "digits", _DIGITS, _ASIDE)
train.define_recipe_flags(COMMAND)


@COMMAND.main
def tune() -> None:
    """Checks, searches, and measures the best on the test images."""
    if FLAGS.output_dir is None:
        COMMAND.stop("--output_dir must be given, the folder of results.", 2)
    names.require("keras_tuner", "The search", '"mpl_keras[tune]"')
    files.check_folder(FLAGS.output_dir, FLAGS.resume, "output_dir", "resume")
    for name in SEARCHED:
        if COMMAND.given(name):
            raise ArgumentError(
                name, "be left out: it is searched", str(FLAGS[name].value)
            )
    settings = _settings()
    settings.check_outside(FLAGS.output_dir)
    data, recipe = runs.load_data(settings, say)
    if data.validation is None:
        raise ArgumentError(
            "validation_fraction", "be above 0", str(FLAGS.validation_fraction)
        )
    for note in notes_on(settings, recipe, data):
        say(f"note: {note}")
    with arguments.passing({"folder": "output_dir"}):
        result = runs.tune(
            data,
            recipe,
            FLAGS.output_dir,
            trials=FLAGS.trials,
            seed=FLAGS.seed,
            resume=FLAGS.resume,
        )
    print(json.dumps(result, indent=1))
    print(f"wrote best.json and {result['network']}/ to {FLAGS.output_dir}")
    found = result["settings"].items()
    flags = " ".join(f"--{name}={value:.3g}" for name, value in found)
    print(f"`mpl-keras train` takes what was found as {flags}")


def _settings():
    """What the flags say; without --dataset and --recipe it is of digits."""
    told, changes = train.told_of(FLAGS), train.changes_of(FLAGS)
    if told["dataset"] is None and told["recipe"] is None:
        told["dataset"] = "digits"
    if told["dataset"] == "digits":
        changes.setdefault("num_labeled", _DIGITS)
    own = os.path.join(told["dataset"] or "", "validation")
    if not COMMAND.given("validation_fraction") and os.path.isdir(own):
        told["validation_fraction"] = 0.0
    return runs.Settings(changes=changes, **told)
