"""What finetuning on the labels does to an averaged student, on digits.

    python benchmarks/finetuning.py

Meta Pseudo Labels by the recipe `digits`, then 300 steps on the labels alone,
without views, at several learning rates. One seed is one choice of labels, one
initialisation and one order. The differences are of the accuracy on the 540
test images before and after, in points, with their standard errors over seeds.
"""

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import keras
import numpy as np
from absl import app, flags

from mpl_keras import (
    MetaPseudoLabels,
    datasets,
    feedback,
    finetune,
    networks,
    pipeline,
    recipes,
)

FLAGS = flags.FLAGS
flags.DEFINE_integer("seeds", 5, "0, 1, ...", lower_bound=2)
flags.DEFINE_list("num_labeled", ["10", "20"], "Multiples of 10.")
flags.DEFINE_list("rates", ["1e-4", "1e-3", "1e-2"], "Of the finetuning.")
flags.DEFINE_integer("steps", None, "Of the training; the recipe's if None.")
NETWORKS = {"plain": False, "with BatchNorm": True}


def make_net(batch_norm, weight_decay):
    """Two convolutions and a dense layer."""
    decay = networks.regularizer(weight_decay)
    layers = [keras.Input((8, 8, 1)), keras.layers.Rescaling(1 / 255)]
    for filters in (12, 24):
        layers.append(
            keras.layers.Conv2D(
                filters,
                3,
                padding="same",
                use_bias=not batch_norm,
                kernel_initializer="he_normal",
                kernel_regularizer=decay,
            )
        )
        if batch_norm:
            layers.append(keras.layers.BatchNormalization(momentum=0.9))
        layers += [keras.layers.ReLU(), keras.layers.AveragePooling2D(2)]
    layers += [keras.layers.Flatten()]
    layers.append(keras.layers.Dense(10, kernel_regularizer=decay))
    return keras.Sequential(layers)


def trained(batch_norm, num_labeled, seed):
    """A trained model, and its data."""
    data = datasets.digits(num_labeled, seed=seed, dtype="uint8")
    recipe = recipes.adapt(recipes.get("digits"), steps=FLAGS.steps)
    keras.utils.set_random_seed(seed)
    model = MetaPseudoLabels(
        make_net(batch_norm, recipe.weight_decay),
        make_net(batch_norm, recipe.weight_decay),
        feedback=feedback.HypergradientFeedback(recipe.feedback_weight),
        seed=seed,
        **recipes.loss_arguments(recipe),
    )
    model.compile(
        teacher_optimizer=recipes.make_optimizer(recipe, "teacher"),
        student_optimizer=recipes.make_optimizer(recipe, "student"),
        metrics=["accuracy"],
        steps_per_execution=50,
    )
    train = pipeline.training_dataset(
        data,
        recipe.labeled_batch_size,
        recipe.unlabeled_batch_size,
        steps_per_epoch=recipe.steps,
        meta=recipe.meta,
        seed=seed,
    )
    model.fit(train, verbose=0)
    return model, data


def accuracy(model, data):
    """On the test images, in %."""
    return (
        100 * model.evaluate(data.test, verbose=0, return_dict=True)["accuracy"]
    )


def summary(values):
    """Mean and standard error."""
    return np.mean(values), np.std(values, ddof=1) / len(values) ** 0.5


def measured(name, num_labeled, rates):
    """A row of the table: accuracy before, and the difference by rate."""
    before, gains = [], {rate: [] for rate in rates}
    for seed in range(FLAGS.seeds):
        begin = time.time()
        model, data = trained(NETWORKS[name], num_labeled, seed)
        before.append(accuracy(model, data))
        for rate in rates:
            finetuned = finetune.finetune(
                model,
                data,
                learning_rate=rate,
                steps=300,
                batch_size=64,
                seed=seed,
            )
            gains[rate].append(accuracy(finetuned, data) - before[-1])
        print(
            f"{name}, {num_labeled} labels, seed {seed}: {before[-1]:.2f} %, "
            f"{time.time() - begin:.0f} s",
            flush=True,
        )
        keras.backend.clear_session()
    return [
        f"{name}, {num_labeled}",
        "{:.2f} ± {:.2f}".format(*summary(before)),
        *("{:+.2f} ± {:.2f}".format(*summary(gains[rate])) for rate in rates),
    ]


def main(argv):
    """Trains, finetunes, and prints a table in Markdown."""
    del argv
    rates = [float(rate) for rate in FLAGS.rates]
    heads = ["network, labels", "before, %", *(f"rate {r:g}" for r in rates)]
    rows = [heads, ["---"] * len(heads)]
    for name in NETWORKS:
        for num_labeled in map(int, FLAGS.num_labeled):
            rows.append(measured(name, num_labeled, rates))
    for row in rows:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    app.run(main)
