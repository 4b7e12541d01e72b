"""Meta Pseudo Labels on your own pictures, a few of them sorted by class.

    pictures/labeled/cat/*.jpg    pictures/unlabeled/**    pictures/test/cat/*
    pictures/labeled/dog/*.jpg                             pictures/test/dog/*

    python examples/train_images.py --folder=pictures --output_dir=run

`mpl-keras train` does this and more without a line of code. This script shows
the parts of the library one by one: copy it where you want networks, views,
losses or optimizers of your own.

A training that was interrupted goes on when the script is started again with
the same flags. `tensorboard --logdir=run` shows it.
"""

import itertools
import os
import pathlib

import keras
from absl import app, flags

from mpl_keras import (
    MetaPseudoLabels,
    callbacks,
    datasets,
    export,
    feedback,
    networks,
    pipeline,
    recipes,
)

FLAGS = flags.FLAGS
flags.DEFINE_string("folder", None, "Folder of the pictures.", required=True)
flags.DEFINE_string("output_dir", "run", "Where results go.")
flags.DEFINE_integer(
    "steps", None, "Training steps; by default those of the recipe."
)
flags.DEFINE_integer("seed", 0, "Of networks, order and views.")

EPOCHS = 10  # after each of which the model is evaluated and backed up
flags.register_validator(
    "steps",
    lambda steps: steps is None or (steps > 0 and steps % EPOCHS == 0),
    f"must be a multiple of {EPOCHS}",
)


def make_network(recipe, data, role):
    """A network from images in [0, 255] to logits; any Keras model will do."""
    return networks.make(
        recipe.backbone,
        data.preprocessing.input_shape,
        data.num_classes,
        dropout=getattr(recipe, f"{role}_dropout"),
        weight_decay=recipe.weight_decay,
    )


def make_model(recipe, data):
    """A compiled model of a teacher and a student."""
    keras.utils.set_random_seed(FLAGS.seed)
    model = MetaPseudoLabels(
        teacher=make_network(recipe, data, "teacher"),
        student=make_network(recipe, data, "student"),
        feedback=feedback.HypergradientFeedback(recipe.feedback_weight),
        seed=FLAGS.seed,
        # The consistency, its ramp, label smoothing and the moving average.
        **recipes.loss_arguments(recipe),
    )
    model.compile(
        teacher_optimizer=recipes.make_optimizer(recipe, "teacher"),
        student_optimizer=recipes.make_optimizer(recipe, "student"),
        metrics=["accuracy"],
    )
    return model


def main(argv):
    """Trains, evaluates, exports, and classifies a few pictures."""
    if argv[1:]:
        raise app.UsageError(f"Unknown arguments: {argv[1:]}")
    # Pictures are read when they are needed. The views are those for their
    # size; `views=augment.Views(weak, strong)` sets your own.
    data = datasets.from_folder(FLAGS.folder, seed=FLAGS.seed, verbose=True)
    print(data)
    size = min(data.preprocessing.image_size)
    recipe = recipes.default(size, data.num_classes)
    # With the steps, warm-up and ramps grow or shrink.
    recipe = recipes.adapt(recipe, steps=FLAGS.steps)
    model = make_model(recipe, data)

    # What is at the place of the results is refused before time is spent.
    student = os.path.join(FLAGS.output_dir, "student")
    export.check_classifier(model.averaged_student, student, data)

    train = pipeline.training_dataset(
        data,
        recipe.labeled_batch_size,
        recipe.unlabeled_batch_size,
        steps_per_epoch=recipe.steps // EPOCHS,
        meta=recipe.meta,
        seed=FLAGS.seed,
    )
    model.fit(
        train,
        epochs=EPOCHS,
        validation_data=data.validation or data.test,
        callbacks=[
            callbacks.Progress(recipe.steps),
            callbacks.TensorBoard(f"{FLAGS.output_dir}/logs", data=data),
            callbacks.Backup(f"{FLAGS.output_dir}/backups"),
        ],
        verbose=0,
    )

    # The average of the student is what is evaluated and exported.
    if data.test is not None:
        results = model.evaluate(data.test, return_dict=True, verbose=0)
        print(f"test accuracy: {100 * results['accuracy']:.2f} %")
    export.write_classifier(model, student, data)

    # It takes files of any size, and needs neither Keras nor this library.
    classifier = export.load(student)
    files = pathlib.Path(FLAGS.folder, "unlabeled").rglob("*.*")
    few = [str(file) for file in itertools.islice(sorted(files), 5)]
    for path, probabilities, error in export.predict_files(classifier, few):
        if error:
            print(f"{path} {error}")
            continue
        best = probabilities.argmax()
        name = classifier.class_names[best]
        print(f"{path}: {name}, {100 * probabilities[best]:.0f} %")


if __name__ == "__main__":
    app.run(main)
