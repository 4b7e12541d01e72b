"""Several methods on the same data, paired by seed."""

import csv
import dataclasses
import json
import os
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mpl_keras import datasets, files, recipes, report
from mpl_keras.checks import arguments, names
from mpl_keras.checks.arguments import ArgumentError
from mpl_keras.report import comparison as comparison_report
from mpl_keras.report import figures, html_page, vocabulary
from mpl_keras.runs import folder, outlook
from mpl_keras.runs import settings as settings_module
from mpl_keras.runs.settings import Settings
from mpl_keras.runs.training import Training, load_data, notes_on

PIXELS = "pixels"
METHODS = (PIXELS, *recipes.METHODS)
DEFAULT_METHODS = ("supervised", "uda", "uda_aligned", "mpl")
DEFAULT_SEEDS = (0, 1, 2)


class Row(NamedTuple):
    """One training of a comparison.

    Attributes:
        method: What was trained.
        seed: Of split, networks, order and views.
        accuracy: Percent of the images that the averaged network classifies
            correctly.
        teacher_accuracy: The same of its teacher, or NaN where there is none
            or where it is the averaged network.
        seconds: What the training took, or NaN where it was interrupted.

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

    A seed is one choice of labels, one initialisation and one data order for
    all methods. Every training has a folder of its own, and the last one leaves
    its network as a SavedModel. A comparison that was interrupted goes on where
    it was.

    Args:
        settings: What all trainings have in common.
        methods: Of `recipes.METHODS`, and "pixels" for logistic regression on
            the raw pixels of the labeled images, which needs scikit-learn. By
            default those of the comparison that goes on, or else "supervised",
            "uda", "uda_aligned" and "mpl".
        seeds: At least one, all different. By default those of the comparison
            that goes on, or else 0, 1 and 2.
        output_dir: The folder of the comparison.
        resume: Whether to go on with what is in the folder.
        say: Gets each line that people read.

    Raises:
        ArgumentError: A method or a seed is not what it must be.
        FileExistsError: There is something in the folder, and `resume` is
            False.
        ImportError: Something that the comparison needs is not installed.

    Example:
    >>> import tempfile
    >>> settings = Settings(dataset="digits", changes={"steps": 3})
    >>> path = os.path.join(tempfile.mkdtemp(), "compared")
    >>> comparison = Comparison(
    ...     settings, ["supervised"], [0], path, say=lambda line: None
    ... )
    >>> [row.method for row in comparison.run()]
    ['supervised']
    """

    def __init__(
        self,
        settings: Settings,
        methods: Sequence[str] | None,
        seeds: Sequence[int] | None,
        output_dir: Any,
        *,
        resume: bool = False,
        say: Callable[[str], None] = print,
    ):
        self.output_dir = files.check_folder(
            output_dir, resume, "output_dir", "resume"
        )
        settings.check_outside(self.output_dir)
        earlier = _read_settings(self.output_dir)
        if methods is None:
            methods = earlier.get("methods", DEFAULT_METHODS)
        if seeds is None:
            seeds = earlier.get("seeds", DEFAULT_SEEDS)
        self.methods = _check_methods(methods)
        self.seeds = _check_seeds(seeds)
        self.settings = dataclasses.replace(
            settings, tensorboard=False, report=False, seed=self.seeds[0]
        )
        report.check_installed()
        self.say = say
        self._resume = resume
        self._folder = self._outlook = None
        self._notes = []

    def run(self) -> list[Row]:
        """Trains what is not trained yet, and writes table, pictures and page.

        Returns:
            A row for each seed and method.

        Raises:
            FileExistsError: The folder holds another comparison.
            ArgumentError: There are neither test nor validation images.
        """
        data, recipe = load_data(self.settings, self.say)
        if data.test is None and data.validation is None:
            raise ArgumentError(
                "validation_fraction",
                "be above 0 where there are no images to measure with, neither "
                "for test nor for validation",
                str(self.settings.validation_fraction),
            )
        # Accuracies are of the test images. Curves are, as in `Training`, of
        # the validation images where there are some.
        self._kind = "validation" if data.test is None else "test"
        self._curves_kind = "test" if data.validation is None else "validation"
        self._num_labeled = len(data.labeled[1])
        among = vocabulary.labeled_among(
            self._num_labeled, dataclasses.asdict(self.settings)
        )
        self._folder = self._make_folder(recipe, data)
        self._folder.begin()
        try:
            self.say(
                f"{len(self.methods) * len(self.seeds)} trainings of "
                f"{recipe.steps:,} steps, {self._num_labeled:,} labeled and "
                f"{len(data.unlabeled):,} unlabeled images{among}; results go "
                f"to {self.output_dir}"
            )
            self._notes = self._notes_on(recipe, data)
            for note in self._notes:
                self.say(f"note: {note}")
            self._outlook = outlook.Outlook(
                [
                    (method, seed)
                    for seed in self.seeds
                    for method in self.methods
                ],
                quick=[PIXELS],
            )
            rows, metrics = self._train_all()
            self._write(rows, metrics)
        finally:
            self._folder.end()
        return rows

    def _notes_on(self, recipe, data):
        """What will happen in the trainings that is not expected."""
        trained = [method for method in self.methods if method != PIXELS]
        if not trained:
            return []
        # What is told of a student is more than what is told of one network.
        method = max(
            trained,
            key=lambda m: (m in recipes.WITH_STUDENT, m != "supervised"),
        )
        settings = dataclasses.replace(self.settings, method=method)
        return [
            *_on_spreading(recipe, trained),
            *notes_on(settings, recipe, data),
        ]

    def _make_folder(self, recipe, data):
        """The folder; one of another comparison is refused."""
        record = self.settings.record(recipe, data)
        del record["method"], record["seed"]
        return folder.RunFolder(
            self.output_dir,
            {"methods": self.methods, "seeds": self.seeds, **record},
            self._resume,
            "output_dir",
            self.settings.request(),
        )

    def _train_all(self):
        """A row of each training, and the metrics of each method's trainings.

        What was trained before is read.
        """
        rows, metrics = [], {}
        for seed in self.seeds:
            for method in self.methods:
                self._outlook.begin()
                if method == PIXELS:
                    settings = dataclasses.replace(self.settings, seed=seed)
                    accuracy = pixels_accuracy(settings)
                    rows.append(Row(PIXELS, seed, accuracy, np.nan, np.nan))
                else:
                    row, history = self._train(method, seed)
                    rows.append(row)
                    metrics.setdefault(method, []).append(history)
                    self._outlook.end(row.seconds)
                self._tell(rows)
                self._folder.write("results.csv", _csv_writer(rows))
        return rows, metrics

    def _train(self, method, seed):
        """The row of a training, and its metrics by epoch."""
        path = self._folder.file(f"{method}-{seed}")
        # What people use is written once: by the last training.
        last = (method, seed) == (self.methods[-1], self.seeds[-1])
        results = Training(
            dataclasses.replace(self.settings, method=method, seed=seed),
            path,
            resume=True,
            say=_say_nothing,
            light=not last,
            quiet=True,
            describe=self._outlook.line,
        ).run()
        accuracies = {
            label: value["accuracy"]
            for label, value in results["accuracies"][self._kind].items()
        }
        averaged = next(iter(accuracies.values()))
        teacher = accuracies.get("teacher", np.nan)
        seconds = results["seconds"] or np.nan
        row = Row(method, seed, averaged, teacher, seconds)
        return row, folder.read_metrics(path)

    def _tell(self, rows):
        """Says how the newest training ended."""
        row = rows[-1]
        text = (
            f"{len(rows)} of {len(self.methods) * len(self.seeds)}: "
            f"{row.method}, seed {row.seed}: {row.accuracy:.2f} %"
        )
        if not np.isnan(row.teacher_accuracy):
            text += f" (its teacher {row.teacher_accuracy:.2f} %)"
        self.say(text)

    def _write(self, rows, metrics):
        """Writes table, pictures and page, and says the table."""
        accuracies = {
            method: [row.accuracy for row in rows if row.method == method]
            for method in self.methods
        }
        lines = comparison_report.table(accuracies)
        text = "\n".join(lines) + "\n"
        self._folder.write("table.md", files.text_writer(text))
        plots = self._plots(accuracies, metrics)
        for name, (plot, *_) in plots.items():
            with figures.style(transparent=False):
                contents = figures.png(plot())
            self._folder.write(f"{name}.png", files.bytes_writer(contents))
        page = self._page(accuracies, plots)
        self._folder.write("comparison.html", files.text_writer(page))
        pictures = ", ".join(f"{name}.png" for name in plots)
        self.say(
            f"wrote comparison.html, table.md, results.csv, {pictures} to "
            f"{self.output_dir}"
        )
        if self.methods[-1] != PIXELS:
            last = f"{self.methods[-1]}-{self.seeds[-1]}"
            self.say(
                "the network of the last training, for mpl-keras predict, is "
                f"in {self._folder.file(last)}"
            )
        said = comparison_report.sentences(accuracies, self._kind)
        said = [line for text in said for line in textwrap.wrap(text, 79)]
        for line in ("", *said, "", *lines):
            self.say(line)

    def _plots(self, accuracies, metrics):
        """Functions that draw, what they draw, and captions, by file."""
        labels = f"{self._num_labeled:,} labels"
        plots = {
            "accuracies": (
                lambda: comparison_report.plot_accuracies(
                    accuracies, f"{labels}, last step", self._kind
                ),
                "Accuracy of each training, and the mean of each method.",
                "",
            )
        }
        if metrics:
            plots["curves"] = (
                lambda: comparison_report.plot_curves(
                    accuracies,
                    metrics,
                    f"{labels}, mean over seeds",
                    self._curves_kind,
                ),
                "Accuracy of each method through training.",
                comparison_report.curves_caption(metrics),
            )
        return plots

    def _page(self, accuracies, plots):
        """The page, as HTML."""
        drawings = [
            html_page.drawing(plot, *told) for plot, *told in plots.values()
        ]
        facts = [
            ("Labels", f"{self._num_labeled:,}"),
            ("Seeds", ", ".join(map(str, self.seeds))),
            ("Measured on", f"{self._kind} images, after the last step"),
        ]
        return comparison_report.page(
            self.settings.data_name(),
            accuracies,
            drawings,
            facts,
            self._kind,
            self._notes,
        )


def _on_spreading(recipe, methods):
    """Which methods have label spreading, where some do, in a sentence."""
    found = [
        method
        for method in methods
        if recipes.for_method(recipe, method).label_spreading
    ]
    if not found:
        return []
    return [
        f"with label spreading: {', '.join(found)}; --nolabel_spreading "
        "switches it off."
    ]


def pixels_accuracy(settings: Settings) -> float:
    """Accuracy in percent of logistic regression on the labeled images' pixels.

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

    def read(batches):
        """Rows of pixels, and labels."""
        x, y = (np.concatenate(part) for part in zip(*batches, strict=True))
        return x.reshape(len(x), -1) / 255, y

    data, _ = load_data(settings, verbose=False)
    x, y = read(datasets.evaluation_batches(*data.labeled))
    model = LogisticRegression(max_iter=1000).fit(x, y)
    x, y = read(data.test or data.validation)
    return 100 * float(model.score(x, y))


def _check_methods(methods: Sequence[str]) -> list[str]:
    """The methods in the order in which they are trained, each once."""
    for method in methods:
        arguments.choice("methods", method, METHODS)
    if not methods:
        raise ArgumentError("methods", "name at least one method", "")
    if PIXELS in methods:
        names.require("sklearn", f"The method {PIXELS}", "scikit-learn")
    return sorted(set(methods), key=METHODS.index)


def _check_seeds(seeds: Sequence[int]) -> list[int]:
    """The seeds, as integers."""
    checked = [arguments.integer("seeds", s, 0, 2**31 - 1) for s in seeds]
    if not checked or len(set(checked)) < len(checked):
        shown = ",".join(map(str, checked))
        raise ArgumentError("seeds", "be at least one, all different", shown)
    return checked


def _read_settings(path: str) -> Mapping[str, Any]:
    """What a comparison that goes on was told, or nothing."""
    path = os.path.join(path, settings_module.FILE)
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def _say_nothing(line):
    """Trainings of a comparison say nothing by themselves."""


def _csv_writer(rows: Sequence[Row]) -> Callable[[str], None]:
    """What writes the rows to a path."""

    def write(path):
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(Row._fields)
            writer.writerows(rows)

    return write
