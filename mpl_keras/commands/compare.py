"""`mpl-keras compare`: did the unlabeled pictures help?"""

import signal

from mpl_keras import recipes, runs
from mpl_keras.callbacks import progress
from mpl_keras.commands import train
from mpl_keras.commands.command import Command, say
from mpl_keras.runs.comparison import DEFAULT_METHODS, DEFAULT_SEEDS, METHODS
from mpl_keras.runs.settings import PRECISIONS

COMMAND = Command(
    "compare",
    """\
Trains several methods on the same data, over seeds, and writes one table with
paired differences, pictures and one page:

    mpl-keras compare --dataset=pictures --output_dir=compared

A seed is one choice of labels, one initialisation and one data order for all
methods. Without --num_labeled all sorted pictures of a folder are the labels,
whatever the seed, so that the intervals leave out which pictures were sorted.
Each training has a folder of its own in --output_dir. The last method of the
last seed leaves its network there as a SavedModel.

A comparison that was interrupted goes on with

    mpl-keras compare --resume --output_dir=compared

The method "pixels" is logistic regression on the raw pixels of the labeled
images: any other method should be better. It needs scikit-learn.""",
)
FLAGS = COMMAND.flags

_run = COMMAND.group("Comparison")
_run.string("output_dir", None, "Where results go. It must be given")
_run.list(
    "methods",
    None,
    f"What to compare, of {', '.join(METHODS)}",
    ",".join(DEFAULT_METHODS),
)
_run.list(
    "seeds",
    None,
    "Each method is trained once with each seed",
    ",".join(map(str, DEFAULT_SEEDS)),
)
_run.bool("resume", False, "Go on with the comparison in --output_dir")
_run.integer(
    "evaluate_every",
    None,
    "Steps between evaluations",
    least=1,
    shown="about a twentieth of all, but at least 100",
)
_run.string(
    "recipe",
    None,
    f"Where settings begin: {', '.join(recipes.names())}",
    "the one for images of that size",
)
_run.string("weights", None, train.WEIGHTS, "none")
_run.choice(
    "precision",
    "float32",
    PRECISIONS,
    "Numbers in which networks compute; losses and feedback are in float32",
)
train.define_data_flags(COMMAND)
train.define_recipe_flags(COMMAND)


@COMMAND.main
def main() -> None:
    """Trains and compares."""
    if FLAGS.output_dir is None:
        COMMAND.stop("--output_dir must be given, the folder of results.", 2)
    comparison = runs.Comparison(
        train.settings_of(COMMAND),
        FLAGS.methods,
        _seeds(),
        FLAGS.output_dir,
        resume=FLAGS.resume,
        say=_say,
    )
    # What `kill` and clusters send ends it as Ctrl-C does.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        comparison.run()
    except runs.ResultsError as error:
        COMMAND.stop(f"{error} When that is cured, --resume goes on.")
    except KeyboardInterrupt:
        COMMAND.stop("stopped. --resume goes on with it.", 130)
    finally:
        signal.signal(signal.SIGTERM, before)


def _seeds():
    """The seeds as numbers, or None where the flag is not given."""
    if FLAGS.seeds is None:
        return None
    if not all(seed.strip().isdecimal() for seed in FLAGS.seeds):
        COMMAND.stop(
            "--seeds must be whole numbers with commas between them. "
            f"Received: --seeds={','.join(FLAGS.seeds)}",
            2,
        )
    return [int(seed) for seed in FLAGS.seeds]


def _say(line):
    """Prints a line, over that of a training's progress on a terminal."""
    progress.clear_line()
    say(line)
