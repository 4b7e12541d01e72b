"""Searches settings on validation images, with KerasTuner.

    python examples/tune.py --num_labeled=20 --trials=10 --output_dir=tuned

The test images choose nothing: a share of the training images is set aside to
choose on, and only the network of the best settings is measured on the test
images, and exported. Started again with --resume it goes on after the last
finished trial.

With few labels, few validation labels are honest too: a search on many more
labels than one trains with finds settings that one could not have found.
"""

import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from absl import app, flags, logging

from mpl_keras import callbacks, datasets, files, pipeline, recipes
from mpl_keras.checks import arguments

try:
    import keras_tuner
except ImportError:
    sys.exit("tune.py needs KerasTuner: pip install keras-tuner")

NAME = os.path.basename(__file__)
FLAGS = flags.FLAGS
flags.DEFINE_string(
    "dataset", "digits", "A folder of pictures, a name of TFDS, or digits."
)
flags.DEFINE_integer("num_labeled", 20, "Labels to train with.", 1)
flags.DEFINE_float("validation_fraction", 0.2, "Share to choose on.", 0, 0.9)
flags.DEFINE_string("recipe", "digits", "Where settings begin.")
flags.DEFINE_integer("steps", 600, "Of each training.", 20)
flags.DEFINE_integer("trials", 10, "Settings to try.", 1)
flags.DEFINE_integer("seed", 0, "Of split, networks, order and search.", 0)
flags.DEFINE_string("output_dir", None, "Where results go.", required=True)
flags.DEFINE_bool("resume", False, "Go on with the search in --output_dir.")


def settings_of(trial):
    """The three settings that are searched, from KerasTuner's trial."""
    return {
        "feedback_weight": trial.Float(
            "feedback_weight", 0.01, 1.0, sampling="log"
        ),
        "consistency_weight": trial.Float("consistency_weight", 0.3, 10.0),
        "temperature": trial.Float("temperature", 0.4, 1.0),
    }


class Search(keras_tuner.HyperModel):
    """What a trial builds and fits."""

    def __init__(self, data):
        super().__init__()
        self.data = data

    def recipe(self, trial):
        """The recipe with the trial's settings."""
        return recipes.adapt(
            recipes.get(FLAGS.recipe), steps=FLAGS.steps, **settings_of(trial)
        )

    def build(self, hp):
        """A compiled `MetaPseudoLabels` model."""
        return recipes.make_model(
            self.recipe(hp),
            tuple(self.data.preprocessing.input_shape),
            self.data.num_classes,
            seed=FLAGS.seed,
        )

    def fit(self, hp, model, *args, **kwargs):
        """Trains it; KerasTuner reads `val_accuracy` from the history."""
        recipe = self.recipe(hp)
        kwargs["callbacks"] = [
            *kwargs.get("callbacks", []),
            callbacks.Progress(recipe.steps),
        ]
        batches = pipeline.training_dataset(
            self.data,
            recipe.labeled_batch_size,
            recipe.unlabeled_batch_size,
            steps_per_epoch=recipe.steps,
            meta=recipe.meta,
            seed=FLAGS.seed,
        )
        return model.fit(
            batches,
            validation_data=self.data.validation,
            verbose=0,
            **kwargs,
        )


def main(argv):
    """Checks, searches, and measures the best on the test images."""
    logging.set_verbosity(logging.ERROR)
    if argv[1:]:
        sys.exit(f"{NAME}: unknown arguments {argv[1:]}")
    try:
        files.check_folder(FLAGS.output_dir, FLAGS.resume, "--output_dir")
        with arguments.calling({"name": "--recipe"}):
            recipes.get(FLAGS.recipe)
        names = {"name": "--dataset", "path": "--dataset"}
        for flag in ("num_labeled", "validation_fraction"):
            names[flag] = f"--{flag}"
        with arguments.calling(names):
            data = datasets.images(
                FLAGS.dataset,
                num_labeled=FLAGS.num_labeled,
                validation_fraction=FLAGS.validation_fraction,
                seed=FLAGS.seed,
            )
        if data.validation is None:
            raise ValueError(
                "--validation_fraction must be above 0. Received: "
                f"{FLAGS.validation_fraction}"
            )
    except (ValueError, OSError, ImportError) as error:
        text = str(error).replace(
            "unless overwriting is asked for", "unless with --resume"
        )
        sys.exit(f"{NAME}: {text}")
    search = Search(data)
    tuner = keras_tuner.RandomSearch(
        search,
        objective=keras_tuner.Objective("val_accuracy", "max"),
        max_trials=FLAGS.trials,
        seed=FLAGS.seed,
        directory=FLAGS.output_dir,
        project_name="trials",
        overwrite=False,
    )
    tuner.search()
    best = tuner.get_best_hyperparameters()[0]
    model = search.build(best)
    search.fit(best, model)
    result = {
        "settings": best.values,
        "val_accuracy": tuner.oracle.get_best_trials()[0].score,
    }
    if data.test is not None:
        measured = model.evaluate(data.test, verbose=0, return_dict=True)
        result["test_accuracy"] = measured["accuracy"]
    files.write_whole(
        os.path.join(FLAGS.output_dir, "best.json"), files.json_writer(result)
    )
    model.export(
        os.path.join(FLAGS.output_dir, "student"), data=data, overwrite=True
    )
    print(json.dumps(result, indent=1))
    print(f"wrote best.json and student/ to {FLAGS.output_dir}")


if __name__ == "__main__":
    app.run(main)
