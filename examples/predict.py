"""Classifies the image files in a folder, into a table.

    python examples/predict.py run/student new_pictures --output=predictions.csv

The model is what `train_images.py` or `export.py` has written: a SavedModel, a
.keras, .tflite or .onnx file, or the folder of a run, whose averaged student is
taken. The table has a row for each file, with the most probable class; a file
that cannot be read, or is no image, has its error there instead.
"""

import csv
import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from absl import app, flags, logging

from mpl_keras import export, files
from mpl_keras.checks import arguments
from mpl_keras.datasets import folder_files

NAME = os.path.basename(__file__)
FLAGS = flags.FLAGS
flags.DEFINE_string("output", "predictions.csv", "The table to write.")
flags.DEFINE_bool("overwrite", False, "Replace --output if it exists.")
flags.DEFINE_bool("all_probabilities", False, "A column for each class.")
flags.DEFINE_integer(
    "batch_size", 64, "Images classified at once.", lower_bound=1
)


class Counts:
    """How many files were classified, of which class, and how many not."""

    def __init__(self, total):
        self.total = total
        self.classes = {}
        self.errors = 0
        self.begin = self._shown = time.time()
        self._done = 0

    def add(self, label, error):
        """Counts one file, and now and then shows how far it is."""
        self._done += 1
        if error:
            self.errors += 1
        else:
            self.classes[label] = self.classes.get(label, 0) + 1
        if self._done % 64 and self._done < self.total:
            return
        terminal = sys.stdout.isatty()
        if time.time() - self._shown > (0.3 if terminal else 30):
            self._shown = time.time()
            rate = self._done / (self._shown - self.begin)
            left = (self.total - self._done) / rate
            line = f"{self._done:,} of {self.total:,} files, {left:.0f} s left"
            end = "" if terminal else "\n"
            print(f"\r{line:60}" if terminal else line, end=end, flush=True)


def write_table(path, classifier, folder, paths):
    """Writes the rows while they come; returns the counts."""
    counts = Counts(len(paths))
    root = folder if os.path.isdir(folder) else os.path.dirname(folder) or "."
    names = classifier.class_names
    head = ["file", "class", "probability", "error"]
    if FLAGS.all_probabilities:
        head += [f"p({name})" for name in names]
    # Names of files need not be UTF-8.
    with open(
        path, "w", newline="", encoding="utf-8", errors="surrogateescape"
    ) as file:
        writer = csv.writer(file)
        writer.writerow(head)
        for path, probabilities, error in export.predict_files(
            classifier, paths, FLAGS.batch_size
        ):
            label, row = "", ["", ""]
            if not error:
                best = int(probabilities.argmax())
                label = names[best]
                row = [label, f"{probabilities[best]:.6f}"]
            row = [os.path.relpath(path, root), *row, error]
            if FLAGS.all_probabilities:
                row += [""] * len(names)
                if not error:
                    row[4:] = [f"{value:.6f}" for value in probabilities]
            writer.writerow(row)
            counts.add(label, error)
    return counts


def find_model(path):
    """The model itself, where the path is the folder of a whole run."""
    if not os.path.exists(path):
        raise FileNotFoundError(
            f"MODEL must be an exported classifier. Received: {path}, which "
            "does not exist"
        )
    for name in ("student", "network"):
        inside = os.path.join(path, name)
        if os.path.exists(os.path.join(inside, "saved_model.pb")):
            print(f"model      {inside}")
            return inside
    if os.path.isdir(path) and not os.path.exists(f"{path}/saved_model.pb"):
        names = sorted(os.listdir(path))
        ends = ".keras", ".tflite", ".onnx"
        found = ", ".join(name for name in names if name.endswith(ends))
        raise ValueError(
            "MODEL must be a SavedModel, a file, or the folder of a finished "
            f"run. Received: {path}, which holds {found or 'none of these'}"
        )
    return path


def files_in(folder):
    """All files; raises if there is none."""
    if os.path.isfile(folder):
        return [folder]
    problems = {}
    paths = folder_files.walk(folder, folder, problems)
    for path, why in problems.items():
        print(f"note: {path} {why}")
    if not paths:
        raise ValueError(f"FOLDER must hold image files. Received: {folder}")
    return paths


def main(argv):
    """Checks, classifies, and writes the table."""
    logging.set_verbosity(logging.ERROR)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if len(argv) != 3:
        sys.exit(f"{NAME}: usage: {NAME} MODEL FOLDER [--output=FILE]")
    model, folder = argv[1:]
    try:
        model = find_model(model)
        if not os.path.exists(folder):
            raise FileNotFoundError(
                f"FOLDER must be a folder or an image. Received: {folder}"
            )
        files.check_free(FLAGS.output, FLAGS.overwrite)
        classifier = export.load(model)
        paths = files_in(folder)
        found = []
        files.write_whole(
            FLAGS.output,
            lambda path: found.append(
                write_table(path, classifier, folder, paths)
            ),
        )
    except (OSError, ValueError, ImportError) as error:
        names = {"filepath": "--output", "path": "MODEL"}
        names["overwrite=True"] = "--overwrite"
        sys.exit(f"{NAME}: {arguments.renamed(str(error), names)}")
    (counts,) = found
    seconds = time.time() - counts.begin
    print(
        ("\r" if sys.stdout.isatty() else "")
        + f"{len(paths):,} files in {seconds:.1f} s "
        f"({len(paths) / seconds:,.0f} per second), {counts.errors:,} with "
        f"errors; wrote {FLAGS.output}"
    )
    for label, count in sorted(counts.classes.items(), key=lambda c: -c[1])[
        :20
    ]:
        print(f"{count:8,}  {label}")


if __name__ == "__main__":
    app.run(main)
