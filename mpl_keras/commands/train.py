"""`mpl-keras train`: a classifier from a few labels and many pictures."""

import dataclasses
import functools
import signal
import sys
import typing
from collections.abc import Collection
from typing import Any

from mpl_keras import recipes, runs
from mpl_keras.commands.command import Command, say
from mpl_keras.distribute import STRATEGIES, WorkerLost
from mpl_keras.images.reading import MAX_PIXELS
from mpl_keras.runs import settings as settings_module

COMMAND = Command(
    "train",
    """\
Trains an image classifier with few labels and many unlabeled images. On a
folder of pictures, a few of them sorted by class:

    pictures/labeled/cat/*.jpg    pictures/unlabeled/**    pictures/test/cat/*
    mpl-keras train --dataset=pictures --output_dir=run

or on a data set of TensorFlow Datasets, by a published recipe:

    mpl-keras train --recipe=cifar10_4000 --output_dir=run

A recipe is where settings begin, and flags override it. Without --recipe it is
the default for images of that size on this machine. Warm-up, the student's wait
and the ramp of the consistency grow with --steps, and learning rates grow with
--labeled_batch_size.

A run that was stopped goes on with

    mpl-keras train --resume --output_dir=run

On several GPUs, on a TPU (--strategy=tpu), or on several machines it is the
same command: where TF_CONFIG or Slurm names several workers, each of them runs
it, with the same flags, and sees the same --output_dir. It exits with code 75
where it is to be started again with --resume: after a SIGTERM, and when another
worker is gone.

The figures at the end are those of the last step. The test images choose
nothing: choose on a folder `validation`, or with --validation_fraction.""",
)
FLAGS = COMMAND.flags
# What `--weights` is, here and in `compare`.
WEIGHTS = (
    "File of pretrained weights; or 'imagenet', which Keras downloads for a "
    "--backbone of keras.applications"
)


def define_data_flags(
    command: Command,
    dataset: str = "the recipe's",
    digits: int = 10,
    validation: float | None = 0.0,
) -> None:
    """Which pictures, and which of them keep their labels.

    Args:
        command: Whose flags they are.
        dataset: In words, what is taken without --dataset.
        digits: How many labels digits keep without --num_labeled.
        validation: Share that is set aside without --validation_fraction;
            None is a fifth where there are no validation images.
    """
    data = command.group("Data")
    data.string(
        "dataset",
        None,
        "A folder of pictures, a name of TensorFlow Datasets, or digits",
        dataset,
    )
    data.string(
        "labels",
        None,
        "CSV file with the columns file and class, and perhaps part (labeled, "
        "unlabeled, test or validation), for a folder without folders of "
        "classes",
        "none",
    )
    data.integer(
        "num_labeled",
        None,
        "Keep the labels of so many images",
        least=None,
        shown=f"all that are sorted in a folder, {digits} of digits, the "
        "recipe's",
    )
    data.float(
        "validation_fraction",
        validation,
        "Share of the labels that is set aside, to choose settings on",
        shown="0.2 without validation images" if validation is None else None,
    )
    data.bool(
        "labeled_in_unlabeled",
        True,
        "Use the labeled images as unlabeled ones too",
    )
    data.choice(
        "unreadable",
        "error",
        settings_module.UNREADABLE,
        "What to do about files of a folder that cannot be read",
    )
    data.integer(
        "max_pixels",
        None,
        "Pixels that a picture of a folder may have; a larger one is not read",
        least=1,
        shown=f"{MAX_PIXELS:,}",
    )
    data.string(
        "data_dir",
        None,
        "Folder of TensorFlow Datasets",
        "~/tensorflow_datasets",
    )
    data.bool("download", False, "Download and prepare the data set if need be")


define_data_flags(COMMAND)
_run = COMMAND.group("Run")
_run.string("output_dir", None, "Where results go. It must be given")
_run.bool("resume", False, "Go on with the run in --output_dir")
_run.integer("seed", 0, "Seed of the split, networks, order and views", least=0)
_run.integer(
    "evaluate_every",
    None,
    "Steps between evaluations",
    least=1,
    shown="about a twentieth of all, but at least 100",
)
_run.integer(
    "backup_every",
    None,
    "Steps between backups, from which --resume goes on",
    least=1,
    shown="those between evaluations",
)
_run.bool("tensorboard", True, "Write what `tensorboard --logdir` shows")
_run.bool(
    "report",
    None,
    "Write report.html, which needs Jinja2 and matplotlib; by default where "
    "they are installed",
)

_method = COMMAND.group("Method")
_method.choice("method", "mpl", recipes.METHODS, "What to train with")
_method.string(
    "recipe",
    None,
    f"Where settings begin: {', '.join(recipes.names())}",
    "the one for images of that size",
)
_method.string("weights", None, WEIGHTS, "none")
_method.bool(
    "finetune", False, "Train on the labels alone at the end, as the paper does"
)
_method.bool(
    "baseline",
    False,
    "Train the same network on the labels alone, too, and say what the "
    "unlabeled images brought",
)

# What a recipe says, and these flags override.
RECIPE = {
    "Network": {
        "backbone": "The network: small_cnn, compact_cnn, wide_resnet_28_2, "
        "or one of keras.applications",
        "image_size": "Side in pixels of the square images to train on",
        "views": "Weak and strong views: cifar, svhn, imagenet, digits, ...",
        "teacher_dropout": "Dropout before the teacher's last layer, and "
        "before that of a method with one network",
        "student_dropout": "Dropout before the student's last layer",
        "ema_momentum": "Momentum of the moving average of the weights",
        "average_of": "Whose moving average is evaluated and exported: "
        "student or teacher",
    },
    "Steps and batches": {
        "steps": "Training steps; schedules are stretched with them",
        "labeled_batch_size": "Labeled images in a step",
        "unlabeled_batch_size": "Unlabeled images in a step; grows with "
        "--labeled_batch_size",
        "warmup_steps": "Steps in which the learning rate grows to its peak",
        "student_wait": "Steps that the student waits before it starts",
        "student_warmup_steps": "Steps after that, in which the student's "
        "learning rate grows to its peak",
    },
    "Optimizers": {
        "teacher_learning_rate": "Peak of the teacher's learning rate; grows "
        "with --labeled_batch_size",
        "student_learning_rate": "Peak of the student's learning rate; grows "
        "with --labeled_batch_size",
        "student_final_fraction": "Share of its peak to which the student's "
        "learning rate falls",
        "clip_norm": "Largest norm of a gradient",
        "weight_decay": "Weight decay, added to the gradients",
        "label_smoothing": "Label smoothing of the supervised loss and of the "
        "student's",
    },
    "UDA's consistency": {
        "consistency_weight": "Weight of the consistency loss",
        "consistency_ramp_steps": "Steps in which this weight grows",
        "temperature": "Temperature that sharpens its targets",
        "threshold": "Confidence from which an unlabeled image counts",
        "masking": "How confidence decides: fixed (by --threshold), "
        "flexmatch, freematch or softmatch",
        "masking_momentum": "Momentum of the averages of these three; none: "
        "by --steps",
        "hard_targets": "Targets are the likeliest class, as in FixMatch",
        "distribution_alignment": "Class shares to which its targets are "
        "aligned: uniform, labeled, labeled_predictions, learned or none",
        "label_spreading": "Targets are multiplied by what the nearest "
        "neighbours of an image say of its class",
    },
    "Feedback": {
        "feedback": f"Form of the feedback: {', '.join(recipes.FEEDBACKS)} "
        "or none",
        "feedback_weight": "Its weight in the teacher's loss",
        "feedback_measured": "Whether the labeled gradient is taken before or "
        "after the student's update",
        "pseudo_label_view": "View that the teacher labels: weak or strong",
        "meta": "View of the labeled images that the student is measured on: "
        "labeled (the batch itself, a weak view) or strong",
    },
    "Finetuning": {
        "finetune_steps": "Steps of --finetune",
        "finetune_batch_size": "Labeled images in a step of --finetune",
        "finetune_learning_rate": "Learning rate of --finetune",
    },
}


@functools.cache
def _defaults() -> dict[str, recipes.Recipe]:
    """The recipes by words for the sizes of pictures that they are for."""
    sizes = {
        "up to 15 pixels": 8,
        "up to 31 pixels": 28,
        "up to 64 pixels": 64,
        "above": 224,
    }
    return {text: recipes.default(size, 10) for text, size in sizes.items()}


def _shown(name: str) -> str:
    """The default of a field, for each size where sizes differ."""
    values = {
        text: getattr(recipe, name) for text, recipe in _defaults().items()
    }
    if name == "image_size":
        return "the images' own, at most 224"
    words = {
        text: {None: "none", False: "off", True: "on"}[value]
        if value is None or isinstance(value, bool)
        else str(value)
        for text, value in values.items()
    }
    if len(set(words.values())) == 1:
        word = next(iter(words.values()))
        few = getattr(recipes.default(28, 4), name)
        if few != next(iter(values.values())):
            return f"{word}; {few} for fewer than five classes"
        return word
    ranges = []
    for text, value in words.items():
        if ranges and ranges[-1].startswith(f"{value} "):
            ranges.pop()
        ranges.append(f"{value} {text}")
    return "; ".join(ranges)


def define_recipe_flags(
    command: Command, without: Collection[str] = ()
) -> None:
    """What a recipe says, and these flags override.

    Args:
        command: Whose flags they are.
        without: Names of fields that get no flag.
    """
    types = {
        name: typing.get_args(kind) or (kind,)
        for name, kind in typing.get_type_hints(recipes.Recipe).items()
    }
    for title, fields in RECIPE.items():
        group = command.group(title)
        for name, text in fields.items():
            if name in without:
                continue
            if bool in types[name]:
                # None is the recipe's, which the flag's own text cannot show.
                group.bool(name, None, f"{text} (default: {_shown(name)})")
                continue
            define = group.string
            if float in types[name]:
                define = group.float
            elif int in types[name]:
                define = group.integer
            define(name, None, text, shown=_shown(name))


define_recipe_flags(COMMAND)

_device = COMMAND.group("Devices")
_device.choice(
    "strategy",
    "auto",
    STRATEGIES,
    "Devices to train on; auto: all workers that TF_CONFIG or Slurm names, or "
    "all GPUs",
)
_device.integer(
    "virtual_devices",
    None,
    "Split the CPU into so many devices, to try several replicas",
    least=1,
    shown="1",
)
_device.choice(
    "precision",
    "float32",
    settings_module.PRECISIONS,
    "Numbers in which networks compute; losses and feedback are in float32",
)
_device.integer(
    "steps_per_execution",
    1,
    "Steps that the device runs at once; must divide --evaluate_every",
    least=1,
)
_device.bool("jit_compile", None, "Compile with XLA; by default as Keras does")
_device.bool(
    "deterministic", False, "Get the same bits on a GPU too, which is slower"
)


def changes_of(flags: Any) -> dict[str, Any]:
    """What flags change of a recipe, by the names of its fields."""
    changes = {
        name: flags[name].value
        for group in RECIPE.values()
        for name in group
        if name in flags and flags[name].value is not None
    }
    if flags.num_labeled is not None:
        changes["num_labeled"] = flags.num_labeled
    return changes


def told_of(flags: Any) -> dict[str, Any]:
    """What flags say of `runs.Settings`, besides the changes of a recipe."""
    fields = {field.name for field in dataclasses.fields(runs.Settings)}
    return {name: flags[name].value for name in flags if name in fields}


def settings_of(command: Command) -> runs.Settings:
    """The settings that flags give; of a run that goes on, its own.

    Args:
        command: Whose flags are read.

    Raises:
        ArgumentError: A setting is not what it must be.
    """
    flags = command.flags
    changes, told = changes_of(flags), told_of(flags)
    if not flags.resume or command.given("dataset") or command.given("recipe"):
        return runs.Settings(changes=changes, **told)
    before = runs.load(flags.output_dir)
    again = {name: value for name, value in told.items() if command.given(name)}
    return dataclasses.replace(
        before, changes={**before.changes, **changes}, **again
    )


@COMMAND.main
def main() -> None:
    """Trains, and writes the results."""
    if FLAGS.output_dir is None:
        COMMAND.stop("--output_dir must be given, the folder of the run.", 2)
    training = runs.Training(
        settings_of(COMMAND),
        FLAGS.output_dir,
        resume=FLAGS.resume,
        say=say,
    )
    run(COMMAND, training)


def run(command: Command, training: runs.Training) -> None:
    """Runs a training; says how to go on where it ends too early.

    Args:
        command: Whose name messages begin with.
        training: What to run.

    Raises:
        SystemExit: With code 75 where it is to be started again.
    """
    try:
        training.run()
    except WorkerLost as error:
        command.stop(f"{error}\n{_resume_hint(training)}", error.exit_code)
    except runs.ResultsError as error:
        command.stop(f"{error} When that is cured: {_resume_hint(training)}")
    except KeyboardInterrupt:
        print(f"\nStopped. {_resume_hint(training)}", flush=True)
        sys.exit(128 + signal.SIGINT)


def _resume_hint(training):
    """From which step --resume would go on."""
    known = training.backups()
    if not known:
        return "There is no backup yet: --resume starts from the beginning."
    return f"--resume goes on after step {known[-1][0]:,}."
