"""Meta Pseudo Labels on scikit-learn's digits, ten of them labeled.

    python examples/digits.py --num_labeled=20

Trains by the recipe `digits`, and beside it the same network on the labels
alone. One seed says little: to compare methods over seeds there is

    mpl-keras compare --dataset=digits --recipe=digits --output_dir=compared
"""

import os

from absl import app, flags

from mpl_keras import (
    callbacks,
    datasets,
    evaluation,
    export,
    pipeline,
    recipes,
    report,
)

FLAGS = flags.FLAGS
flags.DEFINE_integer("num_labeled", 10, "Labeled images, equal per class.")
flags.DEFINE_integer("steps", 1500, "Training steps.", lower_bound=1)
flags.DEFINE_integer("seed", 0, "Of labels, networks, order and views.")
flags.DEFINE_string("output_dir", "digits_results", "A new folder.")
flags.register_validator(
    "output_dir", lambda path: not os.path.exists(path), "must be a new folder"
)


def train(method, recipe, data):
    """A trained model, and its test accuracy in percent."""
    shape = data.preprocessing.input_shape
    model = recipes.make_model(
        recipe, shape, data.num_classes, method=method, seed=FLAGS.seed
    )
    batches = pipeline.training_dataset(
        data,
        recipe.labeled_batch_size,
        recipe.unlabeled_batch_size,
        steps_per_epoch=recipe.steps,
        meta=recipe.meta,
        seed=FLAGS.seed,
    )
    progress = callbacks.Progress(recipe.steps)
    model.fit(batches, callbacks=[progress], verbose=0)
    results = model.evaluate(data.test, return_dict=True, verbose=0)
    return model, 100 * results["accuracy"]


def main(argv):
    """Trains with and without the unlabeled images, and writes the student."""
    if argv[1:]:
        raise app.UsageError(f"Unknown arguments: {argv[1:]}")
    data = datasets.digits(FLAGS.num_labeled, FLAGS.seed, dtype="uint8")
    recipe = recipes.adapt(recipes.get("digits"), steps=FLAGS.steps)
    _, supervised = train("supervised", recipe, data)
    model, accuracy = train("mpl", recipe, data)

    folder = FLAGS.output_dir
    export.write_classifier(model, os.path.join(folder, "student"), data)
    report.plot_confusion(
        evaluation.confusion_matrix(model, data.test, data.num_classes),
        data.class_names,
        f"student: {accuracy:.2f} %",
        os.path.join(folder, "confusion_matrix.png"),
    )
    print(f"wrote student/ and confusion_matrix.png to {folder}")
    print(f"labels alone         {supervised:.2f} %")
    print(f"Meta Pseudo Labels   {accuracy:.2f} %")


if __name__ == "__main__":
    app.run(main)
