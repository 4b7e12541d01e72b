"""Exports a network of a finished run for servers, phones and browsers.

    python examples/export.py run --formats=tf_saved_model,litert,onnx \
        --output_dir=exported

RUN is the folder that `train_images.py` has written. Every file takes images,
knows its class names, is compared with the network on real images before it is
put there, and has a model card beside it. The data set of the run is read
again, for these images and for the accuracy in the card.
"""

import json
import os
import sys
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
from absl import app, flags, logging

from mpl_keras import datasets, export, files, runs
from mpl_keras.checks import arguments

NAME = os.path.basename(__file__)
# Files of a run by what they hold, the first that is there.
NETWORKS = {
    "averaged": ("student", "network"),
    "as_trained": ("student_as_trained", "network_as_trained"),
    "teacher": ("teacher",),
    "finetuned": ("finetuned",),
}

LABELS = {"student": "averaged student", "network": "averaged network"}

FLAGS = flags.FLAGS
flags.DEFINE_list(
    "formats", ["tf_saved_model"], f"Of {', '.join(export.FORMATS)}."
)
flags.DEFINE_enum(
    "network",
    "averaged",
    list(NETWORKS),
    "Which: the average of the student, or what was averaged, the teacher, or "
    "what --finetune made.",
)
flags.DEFINE_string("output_dir", None, "Where to.", required=True)
flags.DEFINE_bool("overwrite", False, "Replace what is in --output_dir.")
flags.DEFINE_string(
    "dataset", None, "The run's data set, if it is elsewhere now."
)
flags.DEFINE_string("data_dir", None, "Folder of TensorFlow Datasets.")


def read_json(run, name):
    """A file of the run; raises if it is not there."""
    path = os.path.join(run, name)
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"RUN must be the folder of a finished run of train_images.py. "
            f"Received: {run}, without {name}"
        )
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def find_network(run):
    """Name, without ending, and path of the network to export."""
    for stem in NETWORKS[FLAGS.network]:
        path = os.path.join(run, f"{stem}.keras")
        if os.path.exists(path):
            return stem, path
    raise FileNotFoundError(
        f"RUN must hold the network --network={FLAGS.network}. Received: "
        f"{run}, without {NETWORKS[FLAGS.network][0]}.keras"
    )


def targets(stem):
    """Path to write for each format; raises if one is taken or unknown."""
    paths = {}
    for format in dict.fromkeys(FLAGS.formats):
        if format not in export.FORMATS:
            raise ValueError(
                f"--formats must be of {', '.join(export.FORMATS)}. "
                f"Received: {format}"
            )
        name = f"{stem}_int8" if format == "litert_int8" else stem
        path = os.path.join(FLAGS.output_dir, name + export.suffix(format))
        export.check_format(format, path)
        files.check_free(path, FLAGS.overwrite)
        paths[format] = path
    return paths


def main(argv):
    """Checks, reads the run and its data, and writes every format."""
    logging.set_verbosity(logging.ERROR)
    warnings.showwarning = lambda text, *_, **__: print(f"note: {text}")
    if len(argv) != 2:
        sys.exit(f"{NAME}: usage: {NAME} RUN --output_dir=FOLDER")
    run = argv[1]
    try:
        settings = read_json(run, "settings.json")
        steps = read_json(run, "results.json")["step"]
        stem, path = find_network(run)
        paths = targets(stem)
        where = "the data set of the run (--dataset says where it is now)"
        with arguments.calling({"name": where, "path": where}):
            data = datasets.images(
                FLAGS.dataset or settings["dataset"],
                unreadable="leave_out",
                data_dir=FLAGS.data_dir,
                verbose=True,
                **settings["data_options"],
            )
        if list(data.class_names) != settings["class_names"]:
            raise ValueError(
                "--dataset must have the classes of the run, "
                f"{settings['class_names']}. Received: "
                f"{list(data.class_names)}"
            )
        network = keras.saving.load_model(path, compile=False)
        facts = {
            "network": LABELS.get(stem, stem).replace("_", " "),
            "trained_steps": steps,
            "settings": runs.described(settings),
        }
        failed = []
        for format, target in paths.items():
            try:
                check = export.write_classifier(
                    network,
                    target,
                    data,
                    format=format,
                    overwrite=FLAGS.overwrite,
                    facts=facts,
                )
            except ValueError as error:
                failed.append(f"{target} ({error})")
                continue
            print(f"wrote {target} and {target}.md: {format}, {check}")
    except (OSError, ValueError, ImportError) as error:
        names = {"filepath": "--output_dir", "overwrite=True": "--overwrite"}
        sys.exit(f"{NAME}: {arguments.renamed(str(error), names)}")
    if failed:
        sys.exit(f"{NAME}: not written: {'; '.join(failed)}")


if __name__ == "__main__":
    app.run(main)
