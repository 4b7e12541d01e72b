"""`mpl-keras export`: a network of a finished run, in other formats."""

from mpl_keras import export, runs
from mpl_keras.checks import arguments
from mpl_keras.commands.command import Command
from mpl_keras.runs.finished import NETWORKS

COMMAND = Command(
    "export",
    """\
Exports a network of a finished run for servers, phones and browsers.

    mpl-keras export run --formats=tf_saved_model,litert,onnx \\
        --output_dir=exported

RUN is the folder that `mpl-keras train` has written. Every file takes images
and knows its class names. Before it is put there, it is compared with the
network on real images. A model card lies beside it. The data set of the run is
read again, for these images and for the accuracy in the card.""",
    ["RUN"],
)
_group = COMMAND.group("What is written")
_group.list(
    "formats",
    ["tf_saved_model"],
    f"What to write, of {', '.join(export.FORMATS)}",
)
_group.choice(
    "network",
    "averaged",
    list(NETWORKS),
    "Which network: the averaged one, the same as trained, the student, the "
    "teacher, or the one that --finetune made",
)
_group = COMMAND.group("Where")
_group.string("output_dir", None, "Where the files go. It must be given")
_group.bool("overwrite", False, "Replace what is in --output_dir")
_group = COMMAND.group("Data")
_group.string("dataset", None, "The run's data set, if it is elsewhere now")
_group.string("data_dir", None, "Folder of TensorFlow Datasets")


@COMMAND.main
def export_run(run: str) -> None:
    """Checks, reads the run and its data, and writes every format."""
    flags = COMMAND.flags
    if flags.output_dir is None:
        COMMAND.stop("--output_dir must be given, the folder for the files.", 2)
    options = {
        "formats": flags.formats,
        "network": flags.network,
        "overwrite": flags.overwrite,
    }
    called = {"run": "RUN", "folder": "--output_dir"}
    if flags.dataset is None:
        called["dataset"] = (
            "the data set of the run (--dataset says where it is now)"
        )
    with arguments.calling(called):
        finished = runs.FinishedRun(run)
        finished.check_export(flags.output_dir, **options)
        data = finished.load_data(flags.dataset, flags.data_dir, verbose=True)
        finished.export(flags.output_dir, data, verbose=True, **options)
