"""`mpl-keras tune`: a search of settings on validation pictures."""

import json
import os
import shlex

from mpl_keras import files, recipes, runs
from mpl_keras.checks import arguments, names
from mpl_keras.checks.arguments import ArgumentError
from mpl_keras.commands import train
from mpl_keras.commands.command import Command, say
from mpl_keras.datasets import folder_files
from mpl_keras.runs.training import notes_on
from mpl_keras.runs.tuning import SEARCHED

COMMAND = Command(
    "tune",
    """\
Searches settings of Meta Pseudo Labels on validation images, with KerasTuner.

    mpl-keras tune --dataset=pictures --trials=10 --output_dir=tuned

feedback_weight, consistency_weight and temperature are searched, and the first
trial has those of the recipe. All else is as in `mpl-keras train` with the same
flags. A share of the sorted images is set aside to choose on, unless there are
validation images. The test images choose nothing: only the network of the best
settings is measured on them, and it is exported. Started again with --resume
and the same flags, the search goes on after the last finished trial; --trials
may grow.

Choose on few validation labels where you train with few: a search on many more
labels finds settings that you could not have found with your own.""",
)
FLAGS = COMMAND.flags
_DIGITS = 20  # labels, of which a part is set aside
_ASIDE = 0.2
_OWN = ("output_dir", "resume", "trials", "validation_fraction")
_group = COMMAND.group("Search")
_group.string("output_dir", None, "Where results go. It must be given")
_group.bool("resume", False, "Go on with the search in --output_dir")
_group.integer("trials", 10, "Settings to try, the recipe's first", 1)
_group.integer("seed", 0, "Seed of the split, networks, order and search", 0)
_group.string(
    "recipe",
    None,
    f"Where settings begin: {', '.join(recipes.names())}",
    "the one for images of that size",
)
train.define_data_flags(COMMAND, "digits", _DIGITS, None)
_FINETUNE = ("finetune_steps", "finetune_learning_rate", "finetune_batch_size")
train.define_recipe_flags(COMMAND, [*SEARCHED, *_FINETUNE])


@COMMAND.main
def tune() -> None:
    """Checks, searches, and measures the best on the test images."""
    if FLAGS.output_dir is None:
        COMMAND.stop("--output_dir must be given, the folder of results.", 2)
    names.require("keras_tuner", "The search", '"mpl_keras[tune]"')
    files.check_folder(FLAGS.output_dir, FLAGS.resume, "output_dir", "resume")
    settings = _settings()
    settings.check_outside(FLAGS.output_dir)
    data, recipe = runs.load_data(settings, say)
    if data.validation is None:  # what lies there is hidden, or left out
        raise _nothing_to_choose_on(settings.validation_fraction)
    _describe(data, recipe)
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
            say=say,
        )
    count = data.validation.stream.num_examples
    print(json.dumps(result, indent=1))
    print(
        f"best       {100 * result['val_accuracy']:.1f} % of {count:,} "
        "validation images, the recipe's own settings "
        f"{100 * result['recipe_val_accuracy']:.1f} %"
    )
    print(
        f"wrote      best.json and {result['network']}/ to {FLAGS.output_dir}"
    )
    print(f"to train   {_command(result['settings'])}")


def _settings():
    """What the flags say; without --dataset and --recipe it is of digits."""
    told, changes = train.told_of(FLAGS), train.changes_of(FLAGS)
    if told["dataset"] is None and told["recipe"] is None:
        told["dataset"] = "digits"
    if told["dataset"] == "digits":
        changes.setdefault("num_labeled", _DIGITS)
    name = told["dataset"] or ""
    known = os.path.isdir(name) and folder_files.holds_validation(
        name, told["labels"]
    )
    if told["validation_fraction"] is None:
        told["validation_fraction"] = 0.0 if known else _ASIDE
    if not (known or told["validation_fraction"]):
        raise _nothing_to_choose_on(told["validation_fraction"])
    return runs.Settings(changes=changes, **told)


def _nothing_to_choose_on(fraction):
    return ArgumentError(
        "validation_fraction",
        "be above 0 where there are no validation images",
        str(fraction),
    )


def _describe(data, recipe):
    """Says what will be done."""
    say(
        f"images     {len(data.labeled[1]):,} labeled, {len(data.unlabeled):,} "
        f"unlabeled, {data.validation.stream.num_examples:,} to choose on"
    )
    say(
        f"trials     {FLAGS.trials}, each {recipe.steps:,} steps of mpl after "
        f"recipe {recipe.name}; the first with its own settings"
    )


def _command(settings):
    """What trains with the settings that were found, and all other flags."""
    given = [name for name in FLAGS if COMMAND.given(name)]
    told = [FLAGS[name].serialize() for name in given if name not in _OWN]
    if not {"dataset", "recipe"} & set(given):
        told.append("--dataset=digits")
    if FLAGS.num_labeled is None and "--dataset=digits" in told:
        told.append(f"--num_labeled={_DIGITS}")
    told += [f"--{name}={value:.3g}" for name, value in settings.items()]
    return shlex.join(["mpl-keras", "train", *told, "--output_dir=run"])
