"""`mpl-keras compare`: did the unlabeled pictures help?"""

from mpl_keras import recipes, runs
from mpl_keras.commands import train
from mpl_keras.commands.command import Command

COMMAND = Command(
    "compare",
    """\
Trains several methods on the same data, over seeds, and writes one table with
paired differences, one picture and one page:

    mpl-keras compare --dataset=pictures --output_dir=compared

A seed is one choice of labels, one initialisation and one order for all
methods. Each training has a folder of its own in --output_dir; the last method
of the last seed leaves its student there as a SavedModel. A comparison that was
stopped goes on with --resume.

"pixels" among --methods is logistic regression on the raw pixels of the labeled
images, the floor for all others; it needs scikit-learn.""",
)
FLAGS = COMMAND.flags

_run = COMMAND.group("Comparison")
_run.string("output_dir", None, "Where results go. It must be given")
_run.list(
    "methods",
    ["supervised", "uda", "uda_aligned", "mpl"],
    f"Of pixels, {', '.join(recipes.METHODS)}",
)
_run.list("seeds", ["0", "1", "2"], "One paired training of each method")
_run.bool("resume", False, "Go on with the comparison in --output_dir")
train.define_data_flags(COMMAND)
train.define_recipe_flags(COMMAND)


@COMMAND.main
def main() -> None:
    """Trains and compares."""
    if FLAGS.output_dir is None:
        COMMAND.stop("--output_dir must be given, the folder of results.", 2)
    if not all(seed.strip().isdecimal() for seed in FLAGS.seeds):
        COMMAND.stop(
            "--seeds must be whole numbers with commas between them. "
            f"Received: --seeds={','.join(FLAGS.seeds)}",
            2,
        )
    comparison = runs.Comparison(
        train.settings_of(COMMAND),
        FLAGS.methods,
        [int(seed) for seed in FLAGS.seeds],
        FLAGS.output_dir,
        resume=FLAGS.resume,
        say=lambda line: print(line, flush=True),
    )
    try:
        comparison.run()
    except KeyboardInterrupt:
        COMMAND.stop("stopped. --resume goes on with it.", 130)
