"""A search of settings on validation examples, with KerasTuner."""

from typing import Any

from mpl_keras import callbacks, datasets, export, files, pipeline, recipes
from mpl_keras.checks import arguments, names
from mpl_keras.checks.arguments import ArgumentError
from mpl_keras.datasets import sources
from mpl_keras.models import SemiSupervisedModel
from mpl_keras.runs.folder import RunFolder
from mpl_keras.runs.settings import recipe_fields

SEARCHED = ("feedback_weight", "consistency_weight", "temperature")


def tune(
    data: datasets.SemiSupervisedData,
    recipe: recipes.Recipe,
    folder: Any,
    *,
    trials: int = 10,
    seed: int = 0,
    resume: bool = False,
) -> dict[str, Any]:
    """Searches three settings, and trains the network of the best.

    `feedback_weight`, `consistency_weight` and `temperature` are searched. The
    test examples choose nothing: only the network of the best settings is
    measured on them. `folder` gets the trials; best.json, which is what this
    returns; the classifier, `student` or `teacher`, whichever is averaged; and
    settings.json, by which a search that goes on is known.

    Args:
        data: Images with validation examples.
        recipe: Where settings begin; each trial trains for its steps.
        folder: Where results go.
        trials: How many settings are tried, those before a `resume` included.
        seed: Of networks, order and search.
        resume: Whether to go on with the search in `folder`, after the last
            trial that was finished.

    Returns:
        "settings" by name, "val_accuracy", "network", which names the
        classifier, and "test_accuracy" where there are test examples.

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
    run = RunFolder(folder, _settings(data, recipe, seed), resume, "folder")
    run.begin()
    try:
        return _search(data, recipe, run, trials, seed)
    finally:
        run.end()


def _settings(data, recipe, seed):
    """All that trials must have in common, to be compared with each other."""
    sets = {"labeled": data.labeled[0], "unlabeled": data.unlabeled}
    known = {f"{name}_images": len(x) for name, x in sets.items()}
    return {
        **recipe_fields(recipe),
        "searched": list(SEARCHED),
        "seed": seed,
        "class_names": data.class_names,
        **known,
        "checksum of the labeled images": sources.checksum(sets["labeled"]),
    }


def _search(data, recipe, run, trials, seed):
    """The search itself, in a folder of its own."""
    trial = _Trial(data, recipe, seed)
    tuner = _tuner(trial, run.path, trials, seed)
    tuner.search()
    best = tuner.get_best_hyperparameters()[0]
    model = trial.build(best)
    trial.fit(best, model)
    *_, averaged = model.trained
    result = {
        "settings": best.values,
        "network": averaged,
        "val_accuracy": tuner.oracle.get_best_trials()[0].score,
    }
    if data.test is not None:
        measured = model.evaluate(data.test, verbose=0, return_dict=True)
        result["test_accuracy"] = measured["accuracy"]
    run.write("best.json", files.json_writer(result))
    classifier = run.file(result["network"])
    export.write_classifier(model, classifier, data, overwrite=True)
    return result


class _Trial:
    """What is built and trained with the settings of a trial."""

    def __init__(self, data, recipe, seed):
        if recipe.label_spreading:
            data = datasets.spread_labels(data, seed=seed).data
        self._data = data
        self._recipe = recipe
        self._seed = seed

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
        """The recipe with the three settings that are searched."""
        return recipes.adapt(
            self._recipe,
            feedback_weight=trial.Float(
                "feedback_weight", 0.01, 1.0, sampling="log"
            ),
            consistency_weight=trial.Float("consistency_weight", 0.3, 10.0),
            temperature=trial.Float("temperature", 0.4, 1.0),
        )


def _tuner(trial, folder, trials, seed):
    """KerasTuner's search, which keeps its state in the folder."""
    import keras_tuner

    class HyperModel(keras_tuner.HyperModel):
        def build(self, hp):
            return trial.build(hp)

        def fit(self, hp, model, *args, **kwargs):
            return trial.fit(hp, model, *args, **kwargs)

    return keras_tuner.RandomSearch(
        HyperModel(),
        objective=keras_tuner.Objective("val_accuracy", "max"),
        max_trials=trials,
        seed=seed,
        directory=folder,
        project_name="trials",
        overwrite=False,
    )
