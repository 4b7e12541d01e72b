"""A search of settings on validation examples, with KerasTuner."""

from collections.abc import Callable
from typing import Any

from mpl_keras import callbacks, datasets, export, files, pipeline, recipes
from mpl_keras.checks import arguments, names
from mpl_keras.checks.arguments import ArgumentError
from mpl_keras.datasets import sources
from mpl_keras.models import SemiSupervisedModel
from mpl_keras.runs.folder import RunFolder
from mpl_keras.runs.settings import recipe_fields

# The least and the most of what is searched, and whether by factors.
_RANGES = {
    "feedback_weight": (0.01, 1.0, True),
    "consistency_weight": (0.3, 10.0, False),
    "temperature": (0.4, 1.0, False),
}
SEARCHED = tuple(_RANGES)
# What a recipe says of a data set, which may be another.
_OF_DATA = ("dataset", "num_labeled", "num_classes", "image_size")


def tune(
    data: datasets.SemiSupervisedData,
    recipe: recipes.Recipe,
    folder: Any,
    *,
    trials: int = 10,
    seed: int = 0,
    resume: bool = False,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Searches three settings of Meta Pseudo Labels; trains with the best.

    `consistency_weight`, `temperature` and, where there is feedback,
    `feedback_weight` are searched. The first trial has those of the recipe. The
    test examples choose nothing: only the network of the best settings is
    measured on them. `folder` gets the trials; best.json, which is what this
    returns; the classifier, `student` or `teacher`, whichever is averaged; and
    settings.json, by which a search that goes on is known.

    Args:
        data: Images with validation examples.
        recipe: Where settings begin; each trial trains for its steps, and with
            label spreading if the recipe has it.
        folder: Where results go.
        trials: How many settings are tried, those before a `resume` included.
        seed: Of networks, order and search.
        resume: Whether to go on with the search in `folder`, after the last
            trial that was finished.
        say: Gets what people read.

    Returns:
        "settings" by name, "val_accuracy", "recipe_val_accuracy", which is of
        the first trial, "network", which names the classifier, and
        "test_accuracy" where there are test examples. Accuracies are from 0 to
        1.

    Raises:
        ImportError: KerasTuner is not installed.
        FileInTheWayError: The folder holds something, and `resume` is False;
            or the search of another recipe, seed or other data.
        FolderInUseError: Another search runs there.
        ArgumentError: There are no validation examples.

    Example:
    >>> tune(datasets.digits(20), recipes.get("digits"), "tuned")
    Traceback (most recent call last):
    ...
    mpl_keras.checks.arguments.ArgumentError: `data` must hold validation \
examples. Received: data=SemiSupervisedData(labeled=20, unlabeled=1257, \
classes=10)
    """
    names.require("keras_tuner", "`runs.tune`", "keras-tuner")
    arguments.integer("trials", trials, 1)
    if data.validation is None:
        raise ArgumentError("data", "hold validation examples", repr(data))
    asked = {"recipe": recipe.name, "steps": recipe.steps, "seed": seed}
    known = _settings(data, recipe, seed)
    run = RunFolder(folder, known, resume, "folder", asked)
    run.begin()
    try:
        return _search(data, recipe, run, trials, seed, say)
    finally:
        run.end()


def _settings(data, recipe, seed):
    """All that trials must have in common, to be compared with each other."""
    sets = {"labeled": data.labeled[0], "unlabeled": data.unlabeled}
    sizes = {f"{name}_images": len(x) for name, x in sets.items()}
    known = recipe_fields(recipe)
    for name in _OF_DATA:
        del known[name]
    return {
        **known,
        "searched": _searched(recipe),
        "seed": seed,
        "class_names": data.class_names,
        **sizes,
        "checksum of the labeled images": sources.checksum(sets["labeled"]),
    }


def _searched(recipe):
    """What of `SEARCHED` changes a training by the recipe."""
    without = recipe.feedback == "none" or not recipe.feedback_weight
    return [
        name for name in SEARCHED if not (without and name == "feedback_weight")
    ]


def _search(data, recipe, run, trials, seed, say):
    """The search itself, in a folder of its own."""
    if recipe.label_spreading:
        spread = datasets.spread_labels(data, seed=seed)
        say(f"spreading  {spread}")
        data = spread.data
    trial = _Trial(data, recipe, seed)
    tuner = _tuner(trial, run.path, trials, seed)
    tuner.search()
    say("training   once more with the best settings, to keep its network")
    found = tuner.oracle.get_best_trials()[0]
    model = trial.build(found.hyperparameters)
    trial.fit(found.hyperparameters, model)
    first, *_ = sorted(tuner.oracle.trials)
    *_, averaged = model.trained
    result = {
        "settings": found.hyperparameters.values,
        "val_accuracy": found.score,
        "recipe_val_accuracy": tuner.oracle.trials[first].score,
        "network": averaged,
    }
    if data.test is not None:
        measured = model.evaluate(data.test, verbose=0, return_dict=True)
        result["test_accuracy"] = measured["accuracy"]
    run.write("best.json", files.json_writer(result))
    classifier = run.file(averaged)
    export.write_classifier(model, classifier, data, overwrite=True)
    return result


class _Trial:
    """What is built and trained with the settings of a trial."""

    def __init__(self, data, recipe, seed):
        self._data = data
        self._recipe = recipe
        self._seed = seed

    @property
    def recipes_own(self) -> dict[str, float]:
        """What the recipe says of the settings that are searched."""
        names = _searched(self._recipe)
        return {name: float(getattr(self._recipe, name)) for name in names}

    def build(self, trial: Any) -> SemiSupervisedModel:
        """A compiled model; the trial is KerasTuner's."""
        return recipes.make_model(
            self._adapted(trial),
            tuple(self._data.preprocessing.input_shape),
            self._data.num_classes,
            seed=self._seed,
        )

    def fit(self, trial: Any, model: SemiSupervisedModel, **options: Any):
        """Trains it; KerasTuner reads `val_accuracy` from the history."""
        recipe = self._adapted(trial)
        batches = pipeline.training_dataset(
            self._data,
            recipe.labeled_batch_size,
            recipe.unlabeled_batch_size,
            steps_per_epoch=recipe.steps,
            meta=recipe.meta,
            seed=self._seed,
        )
        given = options.pop("callbacks", [])
        return model.fit(
            batches,
            validation_data=self._data.validation,
            callbacks=[*given, callbacks.Progress(recipe.steps)],
            verbose=0,
            **options,
        )

    def _adapted(self, trial):
        """The recipe with the settings that are searched."""
        found = {}
        for name, own in self.recipes_own.items():
            least, most, by_factors = _RANGES[name]
            found[name] = trial.Float(
                name,
                min(least, own),
                max(most, own),
                sampling="log" if by_factors else "linear",
                default=own,
            )
        return recipes.adapt(self._recipe, **found)


def _tuner(trial, folder, trials, seed):
    """KerasTuner's search, which keeps its state in the folder."""
    import keras_tuner

    class HyperModel(keras_tuner.HyperModel):
        def build(self, hp):
            return trial.build(hp)

        def fit(self, hp, model, *args, **kwargs):
            return trial.fit(hp, model, *args, **kwargs)

    class Oracle(keras_tuner.oracles.RandomSearchOracle):
        def populate_space(self, trial_id):
            if not self.trials:
                return {"status": "RUNNING", "values": trial.recipes_own}
            return super().populate_space(trial_id)

    return keras_tuner.Tuner(
        Oracle(
            objective=keras_tuner.Objective("val_accuracy", "max"),
            max_trials=trials,
            seed=seed,
        ),
        HyperModel(),
        directory=folder,
        project_name="trials",
        overwrite=False,
    )
