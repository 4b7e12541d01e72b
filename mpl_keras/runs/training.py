"""A training in a folder, from its settings to its results."""

import contextlib
import dataclasses
import importlib.util
import json
import os
import textwrap
import time
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from mpl_keras import (
    augment,
    callbacks,
    datasets,
    distribute,
    evaluation,
    files,
    pipeline,
    recipes,
    report,
)
from mpl_keras.checks import arguments
from mpl_keras.checks.arguments import ArgumentError, FileInTheWayError
from mpl_keras.checks.names import printable
from mpl_keras.report import vocabulary
from mpl_keras.runs import results
from mpl_keras.runs import settings as settings_module
from mpl_keras.runs.folder import RunFolder
from mpl_keras.runs.metrics import SaveMetrics
from mpl_keras.runs.settings import Settings

_MEASURED = 1000  # unlabeled pictures, after each epoch
_SPREADING = "label_spreading.json"  # strength, and accuracy on labels held out
_FEW, _FEW_OF_CLASS = 50, 5  # test or validation pictures
# What a run may be told to leave besides, by the name of the setting.
_LEFT = {"baseline": results.BASELINE, "report": "report.html"}


class Training:
    """Trains by settings, and leaves everything in one folder.

    `run` checks, says what it will do, trains, measures and writes. A training
    that was stopped goes on after its last backup, to the same result.

    Args:
        settings: What to train.
        output_dir: The folder of the run.
        resume: Whether to go on with what is in the folder.
        say: Gets each line that people read.
        light: Whether to leave only the averaged network and the figures.
        quiet: Whether to print no line for each epoch.
        describe: Makes the line of progress, see `callbacks.Progress`.

    Attributes:
        settings: As given, as the rest.
        recipe: The settings of the training in numbers; after `prepare`.
        data: What it is trained on; after `prepare`.
        notes: What will happen that the user may not expect, in sentences;
            after `prepare`.
        spreading: The `datasets.LabelSpreading` whose probabilities it is
            trained with, or None; after `prepare`.
        draws: Whether pictures are drawn, and `writes_page` whether the report
            is written; after `prepare`.

    Raises:
        FileExistsError: There is something in the folder, and `resume` is
            False; or it is another run's.
        ValueError: A setting, or the data, are not what they must be.

    Example:
    >>> import tempfile
    >>> small = Settings(
    ...     dataset="digits",
    ...     method="supervised",
    ...     changes={"steps": 3},
    ...     tensorboard=False,
    ...     report=False,
    ... )
    >>> folder = os.path.join(tempfile.mkdtemp(), "run")
    >>> lines = []
    >>> options = {"light": True, "quiet": True, "say": lines.append}
    >>> found = Training(small, folder, **options).run()
    >>> found["step"], found["method"]
    (3, 'supervised')
    """

    def __init__(
        self,
        settings: Settings,
        output_dir: Any,
        *,
        resume: bool = False,
        say: Callable[[str], None] = print,
        light: bool = False,
        quiet: bool = False,
        describe: Callable[[int, float | None], str] | None = None,
    ):
        self.settings = settings
        self.output_dir = arguments.path("output_dir", output_dir)
        self.resume = resume
        self.say = say
        self.light = light
        self.quiet = quiet
        self.describe = describe
        self.recipe = self.data = self.model = self.batches = None
        self.notes = []
        self.spreading = None
        self.folder = None
        self.draws = self.writes_page = False
        self._chief = True

    def run(self) -> dict[str, Any]:
        """Trains, or goes on, and writes all results.

        Returns:
            What results.json holds; of several workers, in the first one.

        Raises:
            WorkerLost: Another worker is gone; start all of them again.
        """
        strategy = distribute.make_strategy(
            self.settings.strategy, self.settings.virtual_devices
        )
        self._chief = distribute.is_chief(strategy)
        with _precision(self.settings):
            self._together(strategy, lambda: self.prepare(strategy))
            record = self.settings.record(self.recipe, self.data)
            if not distribute.same_everywhere(strategy, record):
                raise ValueError(
                    "All workers must have the same flags and data."
                )
            finished = self._chief and self.model is None
            if distribute.sum_over_workers(strategy, [int(finished)])[0]:
                self._say_finished()
                return results.read(self.output_dir) if self._chief else {}
            self._together(strategy, self._begin)
            try:
                return self._train_and_measure()
            finally:
                if self._chief:
                    self.folder.end()

    def prepare(self, strategy: tf.distribute.Strategy) -> None:
        """Checks, and makes all that is needed; nothing is written.

        Args:
            strategy: Under which it is trained.
        """
        settings = self.settings
        # What is quickly checked comes first.
        if self._chief:
            files.check_folder(
                self.output_dir, self.resume, "output_dir", "resume"
            )
            settings.check_outside(self.output_dir)
            self._check_report()
        self.data, self.recipe = load_data(
            settings, self.say, self._chief and not self.quiet
        )
        self.notes = notes_on(settings, self.recipe, self.data)
        if self._chief:
            self.folder = RunFolder(
                self.output_dir,
                settings.record(self.recipe, self.data),
                self.resume,
                "output_dir",
                settings.request(),
            )
            if os.path.exists(self.folder.file(results.FILE)):
                self._check_finished()
                return
        with strategy.scope():
            self.model = self._make_model()
        self.batches = self._make_batches()
        self.model.check_execution(
            self.batches, self.batches.stream.steps_per_epoch
        )

    def _check_finished(self):
        """Raises for what is asked of a finished run, and it does not have."""
        if self.light:  # nobody asked for it by itself
            return
        asked = self.folder.asked_otherwise()
        for name, file in _LEFT.items():
            wanted = name in asked and asked[name][1]
            if wanted and not os.path.exists(self.folder.file(file)):
                raise FileInTheWayError(
                    name,
                    "be given before a run is finished, and the one in "
                    "{output_dir} is finished without it. For another run, "
                    "with it, choose a new {output_dir}",
                    str(asked[name][1]),
                    others={"output_dir": self.output_dir},
                )

    def _say_finished(self):
        """Says that there is nothing to do, whatever is given now."""
        text = f"The run in {self.output_dir} is finished."
        asked = self.folder.asked_otherwise() if self._chief else {}
        idle = [f"--{name}" for name in settings_module.HOW if name in asked]
        if idle and not self.light:
            text += f" {', '.join(idle)}, given otherwise now, changes nothing."
        self.say(text)

    def _check_report(self):
        """Finds out what can be drawn; raises for what was asked for."""
        if self.settings.report:
            report.check_installed()
        # Without the extra "report" a training has no pictures.
        self.draws = not report.missing(page=False)
        self.writes_page = self.settings.report is not False
        self.writes_page = self.writes_page and not report.missing()
        lacking = report.missing(page=self.settings.report is None)
        if lacking and not self.light:
            self.say(f"note: {lacking}")

    def backups(self) -> list[tuple[int, str]]:
        """Steps and files of the backups so far."""
        return callbacks.Backup(self._backup_folder()).backups()

    def _backup_folder(self):
        """Where all workers find the backups."""
        return os.path.join(self.output_dir, "backup")

    def _together(self, strategy, function):
        """Calls it in all workers; raises in all if one has a problem."""
        problem = None
        try:
            function()
        except (ValueError, OSError, ImportError) as error:
            problem = error
        bad = distribute.sum_over_workers(strategy, [int(problem is not None)])
        if problem is not None:
            raise problem
        if bad[0]:
            raise ValueError("Another worker could not begin.")

    def _begin(self):
        if self._chief:
            self.folder.begin()
            if self.spreading is not None:
                told = results.neighbors(self.spreading)
                self.folder.write(_SPREADING, files.json_writer(told))
            self._describe()

    def _make_model(self):
        """The compiled model, on the devices of the strategy in use."""
        settings = self.settings
        with arguments.passing({"name": "backbone"}):
            return recipes.make_model(
                self.recipe,
                tuple(self.data.preprocessing.input_shape),
                self.data.num_classes,
                method=settings.method,
                weights=settings.weights,
                seed=settings.seed,
                steps_per_execution=settings.steps_per_execution,
                jit_compile="auto"
                if settings.jit_compile is None
                else settings.jit_compile,
            )

    def _make_batches(self):
        """What is trained on; views are tried."""
        self._spread_labels()
        return pipeline.training_dataset(
            self.data,
            self.recipe.labeled_batch_size,
            self.recipe.unlabeled_batch_size,
            steps_per_epoch=epoch_length(
                self.recipe.steps, self.settings.evaluate_every
            ),
            meta=self.recipe.meta if self._two() else None,
            seed=self.settings.seed,
        )

    def _spread_labels(self):
        """Adds what neighbours tell of the unlabeled pictures."""
        recipe = recipes.for_method(self.recipe, self.settings.method)
        if not recipe.label_spreading:
            return
        if self._chief and not self.quiet:
            self.say("asking the neighbours of the unlabeled pictures")
        self.spreading = datasets.spread_labels(
            self.data,
            strength=self._known_strength(),
            seed=self.settings.seed,
        )
        self.data = self.spreading.data

    def _known_strength(self):
        """That of a run that goes on: rounding may decide between two."""
        path = os.path.join(self.output_dir, _SPREADING)
        if not os.path.exists(path):
            return None
        with open(path, encoding="utf-8") as file:
            return json.load(file)["strength"]

    def _two(self):
        """Whether there are a teacher and a student."""
        return self.settings.method in recipes.WITH_STUDENT

    def _train_and_measure(self):
        begin, anew = time.monotonic(), not self.backups()
        if self._chief and not self.quiet:
            if self.resume and anew:
                self.say("no backup yet: the training begins at its first step")
            self.say("building the step: the first one takes a while")
        self.model.fit(
            self.batches,
            epochs=self.recipe.steps // self.batches.stream.steps_per_epoch,
            validation_data=self.data.validation or self.data.test,
            callbacks=self._callbacks(),
            verbose=0,
        )
        # Of a training that went on, what came before is not known.
        seconds = time.monotonic() - begin if anew else None
        self._train_baseline()
        if not self._chief:
            return {}
        return results.write(self, self._on_one_device(), seconds)

    def _train_baseline(self):
        """Trains the same network on the labels alone, if it is asked for."""
        if not self.settings.baseline:
            return
        self.say("baseline   the same network, on the labels alone")
        Training(
            dataclasses.replace(
                self.settings, method="supervised", baseline=False
            ),
            os.path.join(self.output_dir, results.BASELINE),
            resume=True,
            say=lambda line: None,
            light=True,
            quiet=True,
        ).run()

    def _on_one_device(self):
        """The model, as this process alone can measure and write it."""
        if self.model.distribute_strategy is tf.distribute.get_strategy():
            return self.model
        alone = self._make_model()
        alone.set_weights(self.model.get_weights())
        return alone

    def _callbacks(self):
        saver = callbacks.Backup(
            self._backup_folder(), self.settings.backup_every, minutes=10
        )
        if not self._chief:
            return [saver]
        return [
            callbacks.Progress(
                self.recipe.steps,
                epochs=not self.quiet,
                student_wait=self.recipe.student_wait if self._two() else 0,
                teacher_data=self._teacher_data(),
                describe=self.describe,
            ),
            *([] if self.light else self._monitors()),
            SaveMetrics(self.folder),
            *self._tensorboard(),
            saver,
        ]

    def _teacher_data(self):
        """What the teacher is measured on while the student waits."""
        workers = distribute.num_workers(self.model.distribute_strategy)
        averaged = self.recipe.average_of if self._two() else "teacher"
        if self.quiet or workers > 1 or averaged == "teacher":
            return None
        return self.data.validation or self.data.test

    def _monitors(self):
        """What measures pseudo labels, of pictures that stay the same."""
        workers = distribute.num_workers(self.model.distribute_strategy)
        if self.model.method == "supervised" or workers > 1:
            return []
        few = evaluation.probe(self.data, _MEASURED)
        return [
            callbacks.PseudoLabelMonitor(
                few.x,
                few.y,
                network=self.model.labeler,
                threshold=self.recipe.threshold,
                expected_marginals=few.marginals,
            )
        ]

    def _tensorboard(self):
        """What shows the training in TensorBoard, if it is to be."""
        if not self.settings.tensorboard:
            return []
        # Without it there is nothing to show them with; the rest is written.
        known = importlib.util.find_spec("tensorboard") is not None
        return [
            callbacks.TensorBoard(
                os.path.join(self.output_dir, "tensorboard"),
                data=self.data if self.draws else None,
                hyperparameters=self.described() if known else None,
            )
        ]

    def described(self) -> dict[str, Any]:
        """The settings, as people read them."""
        told = settings_module.described(
            self.settings.record(self.recipe, self.data)
        )
        if self.spreading is not None:
            told["label_spreading"] = str(self.spreading)
        return told

    def _describe(self):
        """Says what will be done."""
        data, recipe, model = self.data, self.recipe, self.model
        sets = {"validation": data.validation, "test": data.test}
        tests = [
            f"{batches.stream.num_examples:,} for {name}"
            for name, batches in sets.items()
            if batches is not None
        ]
        shape = " x ".join(str(n) for n in data.preprocessing.input_shape)
        names = ", ".join(map(printable, data.class_names[:8]))
        told = f", feedback {recipe.feedback}" if model.method == "mpl" else ""
        among = vocabulary.labeled_among(
            len(data.labeled[1]), dataclasses.asdict(self.settings)
        )
        lines = {
            "images": f"{len(data.labeled[1]):,} labeled, "
            f"{len(data.unlabeled):,} unlabeled{among}, "
            f"{', '.join(tests) or 'none to test with'}; {shape}",
            "classes": f"{data.num_classes}: {names}"
            + (", ..." if data.num_classes > 8 else ""),
            "method": f"{self.settings.method}{told}, after recipe "
            f"{recipe.name}, seed {self.settings.seed}",
            "why": textwrap.fill(recipe.why, 69).replace("\n", f"\n{' ' * 11}"),
            "networks": f"{len(model.trained)} x {recipe.backbone}, "
            f"{model.averaged.count_params():,} parameters each",
            "training": f"{recipe.steps:,} steps of "
            f"{recipe.labeled_batch_size} labeled and "
            f"{recipe.unlabeled_batch_size} unlabeled images",
            "spreading": str(self.spreading or ""),
            "devices": self._devices(),
            "results": self.output_dir,
        }
        for name, text in lines.items():
            if text:
                self.say(f"{name:10} {text}")
        for line in self._shown():
            self.say(line)
        for note in self.notes:
            self.say(f"note: {note}")

    def _shown(self):
        """What the numbers in the lines of the training are, in words."""
        data, told = self.data, []
        kind = "test" if data.validation is None else "validation"
        shown = ["loss", "val_accuracy", "mask_rate", "feedback_share"]
        if data.validation is None and data.test is None:
            shown.remove("val_accuracy")
        if self.model.method != "mpl" or self.model.feedback is None:
            shown.remove("feedback_share")
        if "mask_rate" not in self.model.objective.shown:
            shown.remove("mask_rate")
        for key in shown:
            text = vocabulary.metric_name(
                key,
                has_student=self._two(),
                evaluated=vocabulary.averaged_name(self.model),
                held_out=f"{kind} images",
            )
            if key == "val_accuracy" and kind == "test":
                text += ": choose nothing by it"
            told.append(f"{'' if told else 'shown':10} {key:14} {text}")
        return told

    def _devices(self):
        """What trains, in words."""
        strategy = self.model.distribute_strategy
        count = strategy.num_replicas_in_sync
        workers = distribute.num_workers(strategy)
        text = f"{count} replica{'s' * (count > 1)}, {self.settings.precision}"
        if workers > 1:
            text += f", in {workers} workers"
            if self.batches.stream.shards % count:
                text += ", each of which reads and augments all images"
        return text


def load_data(
    settings: Settings,
    say: Callable[[str], None] = print,
    verbose: bool = True,
) -> tuple[datasets.SemiSupervisedData, recipes.Recipe]:
    """The data that settings name, with their views, and the recipe for them.

    Args:
        settings: What to train.
        say: Gets what people read.
        verbose: Whether to say what is unusual about files.

    Raises:
        ValueError: There is no such data set, or views do not fit it.

    Example:
    >>> data, recipe = load_data(Settings(dataset="digits"))
    >>> data.num_classes, recipe.backbone
    (10, 'small_cnn')
    """
    with arguments.passing({"name": "dataset", "path": "dataset"}):
        data = datasets.images(
            settings.data_name(),
            unreadable=settings.unreadable,
            data_dir=settings.data_dir,
            download=settings.download,
            verbose=verbose,
            **settings.data_options(),
        )
    shape = data.preprocessing.input_shape
    recipe = recipes.adapt(_original(settings, data), **settings.changes)
    if settings.recipe is not None or settings.changes.get("views"):
        with arguments.passing({"name": "views"}):
            views = augment.named_views(recipe.views, *shape[:2])
        return dataclasses.replace(data, views=views), recipe
    # Data sets come with views of their own: the recipe tells of these.
    name = augment.name_of_views(data.views, *shape[:2])
    return data, recipes.adapt(recipe, views=name)


def _original(settings, data):
    """The recipe where settings begin."""
    height, width, _ = data.preprocessing.input_shape
    return settings.named or recipes.default(
        min(height, width), data.num_classes
    )


def notes_on(
    settings: Settings,
    recipe: recipes.Recipe,
    data: datasets.SemiSupervisedData,
) -> list[str]:
    """What will happen in a training that its user may not expect.

    Args:
        settings: What to train.
        recipe: As `load_data` gives it.
        data: The same.

    Example:
    >>> short = Settings(dataset="digits", changes={"steps": 100})
    >>> data, recipe = load_data(short)
    >>> notes_on(short, recipe, data)[0][:42]
    '100 steps are few for the recipe digits, w'
    """
    original = _original(settings, data)
    told = recipes.short_training(recipe, original, settings.method)
    return [*([told] if told else []), *few_measured(data)]


def few_measured(data: datasets.SemiSupervisedData) -> list[str]:
    """What so few test or validation pictures leave open, in sentences.

    Args:
        data: What is trained and measured on.

    Example:
    >>> few_measured(datasets.digits(num_labeled=10))
    []
    """
    notes = []
    few = max(_FEW, _FEW_OF_CLASS * data.num_classes)
    for kind in ("validation", "test"):
        batches = getattr(data, kind)
        count = few if batches is None else batches.stream.num_examples
        if count >= few:
            continue
        right = round(0.8 * count)
        low, high = evaluation.wilson_interval(right, count)
        pictures = "picture" if count == 1 else "pictures"
        notes.append(
            f"an accuracy on {count} {kind} {pictures} says little: where "
            f"{right} of {count} are right, the 95 % interval is "
            f"{100 * low:.0f} to {100 * high:.0f} %."
        )
    return notes


def epoch_length(steps: int, every: int | None = None) -> int:
    """Steps between evaluations: they must divide all steps.

    Args:
        steps: Of the training.
        every: What was asked for; None is about a twentieth of all, but at
            least 100.

    Raises:
        ArgumentError: It does not divide the steps.

    Example:
    >>> epoch_length(1500), epoch_length(1500, 50)
    (100, 50)
    """
    if every is None:
        most = min(max(steps // 20, 100), 1000)
        length = max(n for n in range(1, most + 1) if steps % n == 0)
        return length if 4 * length > most else steps
    if steps % every:
        raise ArgumentError(
            "evaluate_every",
            "divide {steps}",
            str(every),
            others={"steps": str(steps)},
        )
    return every


@contextlib.contextmanager
def _precision(settings: Settings) -> Iterator[None]:
    """Within it, networks are made in the precision that is asked for."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(settings.precision)
    if settings.deterministic:
        tf.config.experimental.enable_op_determinism()
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
