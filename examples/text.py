"""Meta Pseudo Labels on texts, of which most have no label.

    python examples/text.py --csv=mails.csv --text=body --label=folder

learns from all rows, and writes the labels of those without one to
predictions.csv, and a classifier that `mpl-keras predict` takes. Without --csv
the texts are the first words of docstrings of Keras, numpy and TensorFlow, and
the label is the module that they come from; ten labels of each are kept. 30 %
of the rows with a label are set aside to test with.
"""

import csv
import inspect
import os

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

import mpl_keras
from mpl_keras import (
    augment,
    datasets,
    export,
    feedback,
    losses,
    networks,
    pipeline,
    schedules,
)

MODULES = {
    "keras.layers": keras.layers,
    "keras.ops": keras.ops,
    "numpy": np,
    "tf.raw_ops": tf.raw_ops,
}

FLAGS = flags.FLAGS
flags.DEFINE_string("csv", None, "A table of your own, UTF-8.")
flags.DEFINE_string("text", "text", "The column of --csv with the texts.")
flags.DEFINE_string("label", "label", "The column of --csv with the labels.")
flags.DEFINE_integer(
    "num_labeled", None, "Keep so many labels. Default: 40; of --csv all."
)
flags.DEFINE_integer("steps", 1000, "Training steps.", lower_bound=200)
flags.DEFINE_integer("seed", 0, "Of labels, networks, order and views.")
flags.DEFINE_string("output_dir", "text_results", "A new folder.")
flags.register_validator(
    "output_dir", lambda path: not os.path.exists(path), "must be a new folder"
)


def read_texts():
    """Strings, their labels (None where there is none), how many are kept."""
    if FLAGS.csv is None:
        pairs = [
            (text[:200], name)
            for name, module in MODULES.items()
            for text in docstrings(module)
        ]
        return *zip(*pairs, strict=True), FLAGS.num_labeled or 40
    with open(FLAGS.csv, newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    strings = [row[FLAGS.text] for row in rows]
    labels = [row[FLAGS.label].strip() or None for row in rows]
    return strings, labels, FLAGS.num_labeled


def docstrings(module):
    """The docstrings of what a module holds, each once, at most 400."""
    found = (inspect.getdoc(getattr(module, name)) for name in dir(module))
    return list(dict.fromkeys(text for text in found if text))[:400]


def make_network(data):
    """A weighted sum of embeddings; any Keras model of token ids will do."""
    weights = data.statistics.word_weights
    # All texts tell which words are alike, also those without a label.
    width = min(64, len(data.unlabeled), data.vocabulary_size)
    vectors = datasets.word_vectors(data.unlabeled, weights, width=width)
    return networks.word_average(
        data.max_length,
        data.vocabulary_size,
        data.num_classes,
        word_weights=weights,
        word_vectors=vectors,
    )


def make_model(data):
    """A compiled model of two such networks."""
    keras.utils.set_random_seed(FLAGS.seed)
    model = mpl_keras.MetaPseudoLabels(
        teacher=make_network(data),
        student=make_network(data),
        consistency=losses.ConsistencyLoss(
            temperature=0.7, threshold=0.6, distribution_alignment="labeled"
        ),
        consistency_weight=schedules.LinearRamp(3.0, steps=300),
        feedback=feedback.HypergradientFeedback(0.1),
        ema_momentum=0.99,
        seed=FLAGS.seed,
    )

    def optimizer(peak, wait):
        rate = keras.optimizers.schedules.CosineDecay(
            peak, FLAGS.steps - wait, alpha=0.1
        )
        # Adam would soon leave nothing of the vectors that words begin with.
        return keras.optimizers.SGD(
            schedules.Delayed(rate, wait), momentum=0.9, nesterov=True
        )

    model.compile(
        teacher_optimizer=optimizer(0.03, wait=0),
        student_optimizer=optimizer(0.3, wait=FLAGS.steps // 10),
        metrics=["accuracy"],
    )
    return model


def write_predictions(path, model, data, strings, labels):
    """Writes the labels of the texts that have none."""
    missing = [n for n, label in enumerate(labels) if label is None]
    logits = model.predict(
        data.encode([strings[n] for n in missing]), verbose=0
    )
    probabilities = np.asarray(keras.ops.softmax(logits))
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("row", "predicted", "probability"))
        for row, values in zip(missing, probabilities, strict=True):
            name = data.class_names[values.argmax()]
            writer.writerow((row, name, f"{values.max():.4f}"))
    print(f"wrote {path}")


def main(argv):
    """Trains, evaluates, and predicts the labels that are missing."""
    if argv[1:]:
        raise app.UsageError(f"Unknown arguments: {argv[1:]}")
    strings, labels, num_labeled = read_texts()
    data = datasets.from_text(
        strings,
        labels,
        num_labeled=num_labeled,
        balanced=False,  # but as equal as can be
        test_fraction=0.3,
        seed=FLAGS.seed,
        max_length=64,
        vocabulary_size=5000,
    )
    batches = pipeline.training_dataset(
        data,
        labeled_batch_size=52,
        unlabeled_batch_size=64,
        # Many words that say little are replaced, and a good part left out.
        views=augment.text_views(data.statistics, replaced=0.6, strong=0.4),
        steps_per_epoch=FLAGS.steps,
        meta="strong",
        seed=FLAGS.seed,
    )
    model = make_model(data)
    model.fit(batches, verbose=2)

    os.makedirs(FLAGS.output_dir)
    if None in labels:
        path = os.path.join(FLAGS.output_dir, "predictions.csv")
        write_predictions(path, model, data, strings, labels)
    # Strings in, names out, without this library.
    path = os.path.join(FLAGS.output_dir, "classifier")
    export.write_classifier(model, path, data)
    print(f"wrote {path}")
    results = model.evaluate(data.test, return_dict=True, verbose=0)
    print(f"test accuracy: {100 * results['accuracy']:.2f} %")


if __name__ == "__main__":
    app.run(main)
