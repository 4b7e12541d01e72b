"""`mpl-keras predict`: pictures, rows or texts, classified into a table."""

import itertools
import sys
import unicodedata

from mpl_keras import export, runs
from mpl_keras.checks import arguments, names
from mpl_keras.commands.command import Command

_SHOWN = 20  # classes
_COLUMNS = 80
COMMAND = Command(
    "predict",
    """\
Classifies the image files in a folder, into a table.

    mpl-keras predict run new_pictures --output=predictions.csv

MODEL is what `mpl-keras train` or `mpl-keras export` has written: a SavedModel,
a .keras, .tflite or .onnx file, or the folder of a run, whose averaged network
is taken. FOLDER may also be one image. The table has a row for each file, with
the most probable class; a file that cannot be read, is no image, or has too
many pixels, has its error there instead.

    mpl-keras predict wine_classifier new.csv

A classifier of tables takes a CSV file with the columns of the training table;
columns besides are ignored, and a row that it cannot take has its error. One of
texts takes a CSV file with a column "text", or a .txt file with a text in each
line.""",
    ["MODEL", "FOLDER"],
)
_group = COMMAND.group("The table")
_group.string("output", "predictions.csv", "The table to write")
_group.bool("overwrite", False, "Replace --output if it exists")
_group.bool("all_probabilities", False, "A column for each class")
_group = COMMAND.group("Speed and memory")
_group.integer("batch_size", 64, "Images classified at once", least=1)
_group.integer(
    "max_pixels",
    None,
    "An image that has more is not decoded",
    least=1,
    shown="as in training, where it is 89,478,485 if nothing else was said",
)


@COMMAND.main
def predict(model: str, folder: str) -> None:
    """Checks, classifies, and writes the table."""
    flags = COMMAND.flags
    called = {"model": "MODEL", "folder": "FOLDER", "filepath": "--output"}
    with arguments.calling(called):
        classifier = runs.find_classifier(model)
        if classifier != model:
            print(f"model      {names.printable(classifier)}")
        counts = export.write_predictions(
            classifier,
            folder,
            flags.output,
            batch_size=flags.batch_size,
            max_pixels=flags.max_pixels,
            all_probabilities=flags.all_probabilities,
            overwrite=flags.overwrite,
            verbose=True,
        )
    print(
        ("\r" if sys.stdout.isatty() else "")
        + f"{counts.files:,} {counts.unit} in {counts.seconds:.1f} s "
        f"({counts.files / counts.seconds:,.0f} per second), "
        f"{counts.errors:,} with errors; wrote "
        f"{names.printable(flags.output)}"
    )
    for line in class_table(counts):
        print(line)
    if counts.errors:
        print("the column `error` of the table says why")
    if counts.errors and counts.errors == counts.files:
        COMMAND.stop(f"none of the {counts.unit} could be classified.")


def class_table(counts: export.Counts) -> list[str]:
    r"""Lines of a table of the classes, the most frequent ones first.

    Args:
        counts: What `export.write_predictions` returns.

    Example:
    >>> counts = export.Counts(files=5, classes={"dog": 1, "cat": 3})
    >>> print(*class_table(counts), sep="\n")
    files  class
        3  cat
        1  dog
    """
    by_number = sorted(counts.classes.items(), key=lambda item: -item[1])
    if not by_number:
        return []
    rows = [(counts.unit, "class")]
    rows += [(f"{n:,}", names.printable(c)) for c, n in by_number[:_SHOWN]]
    rest = [number for _, number in by_number[_SHOWN:]]
    if rest:
        rows.append((f"{sum(rest):,}", f"in {len(rest):,} more classes"))
    width = max(len(number) for number, _ in rows)
    return [
        f"{number:>{width}}  {_cut(name, _COLUMNS - width - 2)}"
        for number, name in rows
    ]


def _cut(text, width):
    """A text of at most so many columns; Chinese letters take two."""
    wide = [1 + (unicodedata.east_asian_width(c) in "WF") for c in text]
    if sum(wide) <= width:
        return text
    kept = sum(end <= width - 3 for end in itertools.accumulate(wide))
    return text[:kept] + "..."
