"""Several methods on the same data, paired by seed."""

import csv
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mpl_keras import evaluation, files, recipes
from mpl_keras.checks import arguments, names
from mpl_keras.report import figures, model_card, pages
from mpl_keras.runs import folder
from mpl_keras.runs.settings import Settings
from mpl_keras.runs.training import Training, load_data

METHODS = ("supervised", "uda", "uda_aligned", "no_feedback", "mpl")
PIXELS = "pixels"
_WORDS = {
    PIXELS: "logistic regression on pixels",
    "supervised": "supervised, the labels alone",
    "uda": "UDA",
    "uda_aligned": "UDA, aligned",
    "no_feedback": "MPL without feedback",
    "mpl": "MPL",
}


class Row(NamedTuple):
    """One training of a comparison.

    Attributes:
        method: What was trained.
        seed: Of split, networks, order and views.
        accuracy: Percent right of the averaged network.
        teacher_accuracy: Percent right of its teacher, or NaN.
        seconds: What the training took, or NaN where it was stopped.

    Example:
    >>> Row("uda", 0, 91.5, float("nan"), 12.0).method
    'uda'
    """

    method: str
    seed: int
    accuracy: float
    teacher_accuracy: float
    seconds: float


class Comparison:
    """Trains methods over seeds on one data set, and writes one table.

    A seed is one choice of labels, one initialisation and one order for all
    methods. Every training has a folder of its own; a comparison that was
    stopped goes on where it was.

    Args:
        settings: What all trainings have in common.
        methods: Of `recipes.METHODS`, and "pixels" for logistic regression on
            the raw pixels of the labeled pictures, which needs scikit-learn.
        seeds: At least one.
        output_dir: The folder of the comparison.
        resume: Whether to go on with what is in the folder.
        say: Gets each line that people read.

    Raises:
        ArgumentError: A method or a seed is not what it must be.
        FileExistsError: There is something in the folder, and `resume` is
            False; or it is another comparison.

    Example:
    >>> import os, tempfile
    >>> settings = Settings(dataset="digits", changes={"steps": 3})
    >>> where = os.path.join(tempfile.mkdtemp(), "compared")
    >>> lines = []
    >>> comparison = Comparison(
    ...     settings, ["supervised"], [0], where, say=lines.append
    ... )
    >>> [row.method for row in comparison.run()]
    step 3 of 3, ...
    ['supervised']
    """

    def __init__(
        self,
        settings: Settings,
        methods: Sequence[str],
        seeds: Sequence[int],
        output_dir: Any,
        *,
        resume: bool = False,
        say: Callable[[str], None] = print,
    ):
        known = (PIXELS, *recipes.METHODS)
        for method in methods:
            arguments.choice("methods", method, known)
        self.methods = sorted(set(methods), key=known.index)
        self.seeds = [arguments.integer("seeds", s, 0) for s in seeds]
        if not self.methods or not self.seeds:
            raise arguments.ArgumentError(
                "seeds" if self.methods else "methods", "name at least one", ""
            )
        self.settings = dataclasses.replace(
            settings, tensorboard=False, report=False, seed=self.seeds[0]
        )
        self.say = say
        self._folder = folder.RunFolder(
            output_dir,
            {
                "methods": self.methods,
                "seeds": self.seeds,
                "settings": self.settings.request(),
            },
            resume,
            "output_dir",
            self.settings.request(),
        )
        self.output_dir = self._folder.path

    def run(self) -> list[Row]:
        """Trains what is not trained yet, and writes table, picture and page.

        Returns:
            A row for each method and seed.

        Raises:
            ValueError: The data hold nothing to measure with.
        """
        data, recipe = load_data(self.settings, self.say)
        self.kind = "validation" if data.test is None else "test"
        if data.test is None and data.validation is None:
            raise ValueError(
                "A comparison must have pictures to measure with: a folder "
                "`test` or `validation`, or --validation_fraction above 0."
            )
        count = len(self.methods) * len(self.seeds)
        self.say(
            f"{count} trainings of {recipe.steps:,} steps, "
            f"{len(data.labeled[1]):,} labeled and {len(data.unlabeled):,} "
            f"unlabeled images; results go to {self.output_dir}/"
        )
        self._folder.begin()
        try:
            return self._compare(count, len(data.labeled[1]))
        finally:
            self._folder.end()

    def _compare(self, count, num_labeled):
        rows, curves = [], {}
        for seed in self.seeds:
            for method in self.methods:
                row, metrics = self._train(method, seed)
                rows.append(row)
                if metrics:
                    curves.setdefault(method, []).append(metrics)
                self._tell(row, len(rows), count)
                self._folder.write("results.csv", _writer(rows))
        self._write(rows, curves, num_labeled)
        return rows

    def _train(self, method, seed):
        """The row of a training, and its metrics."""
        settings = dataclasses.replace(self.settings, seed=seed)
        if method == PIXELS:
            return Row(
                PIXELS, seed, pixels_accuracy(settings), np.nan, np.nan
            ), None
        settings = dataclasses.replace(settings, method=method)
        path = self._folder.file(f"{method}-{seed}")
        # What people use is written once: by the last method and seed.
        last = (method, seed) == (self.methods[-1], self.seeds[-1])
        training = Training(
            settings, path, resume=True, say=_silent, light=not last
        )
        found = training.run()
        averaged, *others = found["accuracies"][self.kind].items()
        teacher = dict(others).get("teacher", {}).get("accuracy", np.nan)
        seconds = found["seconds"] or np.nan
        row = Row(method, seed, averaged[1]["accuracy"], teacher, seconds)
        return row, folder.read_metrics(path)

    def _tell(self, row, done, count):
        teacher = (
            ""
            if np.isnan(row.teacher_accuracy)
            else f" (its teacher {row.teacher_accuracy:.2f} %)"
        )
        self.say(
            f"{done} of {count}: {row.method}, seed {row.seed}: "
            f"{row.accuracy:.2f} %{teacher}"
        )

    def _write(self, rows, curves, num_labeled):
        accuracies = {
            method: [row.accuracy for row in rows if row.method == method]
            for method in self.methods
        }
        lines = table(accuracies)
        text = "\n".join(lines) + "\n"
        self._folder.write("table.md", files.text_writer(text))
        title = f"{num_labeled} labels, accuracy on the {self.kind} images, %"
        drawings = {
            "accuracies.png": lambda: figures.points(
                {_WORDS[name]: values for name, values in accuracies.items()},
                title,
            )
        }
        if curves:
            drawings["curves.png"] = lambda: _mean_curves(curves, title)
        for name, draw in drawings.items():
            with figures.style(transparent=False):
                contents = figures.png(draw(), dpi=120)
            self._folder.write(name, files.bytes_writer(contents))
        page = self._page(accuracies, list(drawings.values()), num_labeled)
        self._folder.write("comparison.html", files.text_writer(page))
        names = ", ".join([*drawings, "comparison.html", "results.csv"])
        self.say(f"wrote {names} and table.md to {self.output_dir}\n")
        for line in lines:
            self.say(line)

    def _page(self, accuracies, drawings, num_labeled):
        header, *rows = _cells(accuracies)
        seeds = ", ".join(str(seed) for seed in self.seeds)
        return pages.render(
            "report.html",
            language="en",
            title=f"Comparison on {self.settings.data_name()}",
            lead=[sentence(accuracies)],
            facts=[
                ("Labels", f"{num_labeled:,}"),
                ("Seeds", seeds),
                ("Measured on", f"{self.kind} images, at the last step"),
            ],
            sections=[
                pages.Section(
                    "accuracy",
                    "Accuracy",
                    drawings=[
                        pages.drawing(draw, "Accuracies by method.", "")
                        for draw in drawings
                    ],
                    tables=[
                        pages.Table(
                            "Means over seeds, and paired differences with "
                            "their 95 % intervals",
                            header,
                            rows,
                        )
                    ],
                )
            ],
            written=pages.now(),
            versions=[" ".join(v) for v in model_card.versions().items()],
        )


def _silent(line):
    """Trainings of a comparison say nothing by themselves."""


def _writer(rows):
    def write(path):
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(Row._fields)
            writer.writerows(rows)

    return write


def pixels_accuracy(settings: Settings) -> float:
    """Percent right of logistic regression on the labeled pictures' pixels.

    Args:
        settings: Which data, and which split.

    Raises:
        ImportError: scikit-learn is not installed.

    Example:
    >>> pixels_accuracy(Settings(dataset="digits")) > 50
    True
    """
    names.require("sklearn", "Logistic regression on pixels", "scikit-learn")
    from sklearn.linear_model import LogisticRegression

    data, _ = load_data(settings, verbose=False)

    def flat(x):
        x = np.asarray(x[:], float) / 255
        return x.reshape(len(x), -1)

    x, y = data.labeled
    model = LogisticRegression(max_iter=1000).fit(flat(x), y)
    right = total = 0
    for images, labels in data.test or data.validation:
        answers = model.predict(flat(images.numpy()))
        right += int((answers == labels.numpy()).sum())
        total += len(answers)
    return 100 * right / total


def differences(
    accuracies: Mapping[str, Sequence[float]],
) -> dict[str, tuple[float, float, float]]:
    """What the last method is above each other one, paired by seed.

    Args:
        accuracies: By method, in the same order of seeds.

    Returns:
        Mean, and lower and upper end of the 95 % interval, by method.

    Example:
    >>> differences({"uda": [90.0, 92.0], "mpl": [91.0, 94.0]})["uda"][0]
    1.5
    """
    *others, last = accuracies
    return {
        name: evaluation.mean_interval(
            np.subtract(accuracies[last], accuracies[name])
        )
        for name in others
    }


def _cells(accuracies):
    """Header and rows of the table, as texts."""
    last = list(accuracies)[-1]
    gains = differences(accuracies)
    rows = [("method", "mean", "standard error", f"{last} minus it")]
    for name, values in accuracies.items():
        error = (
            np.std(values, ddof=1) / len(values) ** 0.5
            if (len(values) > 1)
            else np.nan
        )
        gain = ""
        if name in gains:
            mean, low, high = gains[name]
            gain = f"{mean:+.2f}"
            if np.isfinite(low):
                gain += f" ({low:+.2f} to {high:+.2f})"
        shown = "–" if np.isnan(error) else f"{error:.2f}"
        rows.append((_WORDS[name], f"{np.mean(values):.2f}", shown, gain))
    return rows


def table(accuracies: Mapping[str, Sequence[float]]) -> list[str]:
    r"""Lines of a table in Markdown, of means and paired differences.

    Args:
        accuracies: By method, in the same order of seeds.

    Example:
    >>> print(*table({"uda": [90.0, 92.0], "mpl": [91.0, 94.0]}), sep="\n")
    | method | mean  | standard error | mpl minus it           |
    |--------|-------|----------------|------------------------|
    | UDA    | 91.00 | 1.00           | +1.50 (-4.85 to +7.85) |
    | MPL    | 92.50 | 1.50           |                        |
    """
    rows = _cells(accuracies)
    widths = [
        max(len(cell) for cell in column) for column in zip(*rows, strict=True)
    ]
    lines = [
        "| "
        + " | ".join(
            cell.ljust(width) for cell, width in zip(row, widths, strict=True)
        )
        + " |"
        for row in rows
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return [lines[0], rule, *lines[1:]]


def sentence(accuracies: Mapping[str, Sequence[float]]) -> str:
    """Whether the unlabeled pictures helped, in a sentence.

    Args:
        accuracies: By method; the last one is what is asked about.

    Example:
    >>> sentence({"supervised": [80.0, 81.0], "mpl": [90.0, 91.0]})
    'MPL names 90.50 % right. With supervised, the labels alone, it is 80.50 \
%: the unlabeled pictures brought +10.00 points (+10.00 to +10.00).'
    """
    *_, last = accuracies
    text = f"{_WORDS[last]} names {np.mean(accuracies[last]):.2f} % right."
    if last == "supervised" or "supervised" not in accuracies:
        return text
    mean, low, high = differences(accuracies)["supervised"]
    text += (
        f" With {_WORDS['supervised']}, it is "
        f"{np.mean(accuracies['supervised']):.2f} %: the unlabeled pictures "
        f"brought {mean:+.2f} points"
    )
    if np.isfinite(low):
        text += f" ({low:+.2f} to {high:+.2f})"
    return f"{text}."


def _mean_curves(curves, title):
    """Held-out accuracy through the trainings, the mean over seeds."""
    series = {
        _WORDS[method]: 100 * np.mean([run["val_accuracy"] for run in runs], 0)
        for method, runs in curves.items()
    }
    steps = next(iter(curves.values()))[0]["step"]
    return figures.curves(steps, series, title, "%")
