"""Texts with few labels: logistic regression, supervised, UDA, MPL.

    python benchmarks/text.py --csv=texts.csv --output=text_results/runs.csv
    python benchmarks/ablation_tables.py text_results/runs.csv \
        --comparisons=uda-supervised,mpl-supervised,uda-logistic,mpl-logistic

The CSV has the columns "section" and "text": descriptions of Debian's packages
and the section of the archive that they are in. 2,000 texts, the same for all
seeds, are set aside to test with. A seed is one choice of labels, one
initialisation and one order for all methods. All other texts are unlabeled.

Settings are chosen with --validation, on other seeds: it measures on 2,000
texts of the training set, and leaves the test texts alone. --changes=NAME=VALUE
changes one of SETTINGS.

It goes on where it was stopped: what is in OUTPUT is not made again. A run has
one thread, and repeats bit for bit.
"""

import csv
import functools
import json
import os
import pathlib
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # faster on all CPUs
os.environ.setdefault("OMP_NUM_THREADS", "1")  # of scikit-learn

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags
from sklearn import feature_extraction, linear_model

import mpl_keras
from mpl_keras import (
    augment,
    datasets,
    evaluation,
    feedback,
    losses,
    networks,
    pipeline,
    schedules,
)

FLAGS = flags.FLAGS
flags.DEFINE_string("csv", None, "The texts.", required=True)
flags.DEFINE_list("labels", ["10", "20"], "Labels of each class.")
flags.DEFINE_list(
    "methods",
    ["logistic", "supervised", "uda", "mpl"],
    "Of these, or no_feedback.",
)
flags.DEFINE_string("seeds", "0:5", "From:to, the second not included.")
flags.DEFINE_bool("validation", False, "Measure on texts set aside.")
flags.DEFINE_list("changes", [], "Of SETTINGS, NAME=VALUE.")
flags.DEFINE_string("output", "text_runs.csv", "Table of the runs.")
COLUMNS = (
    *("setting", "method", "seed", "accuracy", "teacher", "changes"),
    *("validation", "steps", "seconds"),
)
_ASIDE = 2000
SETTINGS = {
    "vocabulary_size": 5000,
    "max_length": 64,
    "width": 128,
    "weak": 0.1,  # words left out
    "strong": 0.4,
    "replaced": 0.6,
    "labeled_batch_size": 52,
    "unlabeled_batch_size": 64,
    "steps": 800,
    "supervised_steps": 400,
    "learning_rate": 0.03,
    "student_learning_rate": 0.3,
    "student_wait": 150,
    "temperature": 0.7,
    "threshold": 0.6,
    "alignment": "labeled",
    "consistency_weight": 3.0,
    "ramp": 300,
    "momentum": 0.99,  # of the average
    "feedback_weight": 0.1,
}


def aside(y, random):
    """Places of 2,000 texts, stratified; and of all others."""
    share = np.bincount(y) * _ASIDE / len(y)
    quota = np.floor(share).astype(int)
    # Largest remainders get what rounding down has left.
    order = np.argsort(quota - share, kind="stable")
    quota[order[: _ASIDE - quota.sum()]] += 1
    chosen = [
        random.permutation(np.flatnonzero(y == k))[:count]
        for k, count in enumerate(quota)
    ]
    chosen = np.sort(np.concatenate(chosen))
    return chosen, np.setdiff1d(np.arange(len(y)), chosen)


@functools.lru_cache(maxsize=1)
def load(per_class, seed, max_length, vocabulary_size):
    """Data of a seed, and the texts as they are: for training, and to test."""
    with open(FLAGS.csv, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = np.array([row["section"] for row in rows])
    texts = np.array([row["text"] for row in rows], object)
    y = np.unique(names, return_inverse=True)[1]
    test, rest = aside(y, np.random.RandomState(0))
    if FLAGS.validation:
        part, others = aside(y[rest], np.random.RandomState(seed))
        test, rest = rest[part], rest[others]
    given = texts[test].tolist(), names[test].tolist()
    data = datasets.from_text(
        texts[rest].tolist(),
        names[rest].tolist(),
        num_labeled=per_class * (y.max() + 1),
        seed=seed,
        test=given,
        max_length=max_length,
        vocabulary_size=vocabulary_size,
    )
    chosen = datasets.split_labeled(
        y[rest], per_class * (y.max() + 1), seed, y.max() + 1
    )
    return data, texts[rest], chosen, given


def logistic(data, texts, chosen, given):
    """Accuracy of logistic regression on TF-IDF, in %."""
    vectors = feature_extraction.text.TfidfVectorizer(
        sublinear_tf=True, stop_words="english"
    )
    x = vectors.fit_transform(texts)[chosen]
    model = linear_model.LogisticRegression(C=10, max_iter=1000)
    model.fit(x, np.array(data.class_names)[data.labeled[1]])
    return 100 * model.score(vectors.transform(given[0]), given[1])


def make_network(data, settings):
    """A weighted sum of embeddings, which begin with what all texts tell."""
    weights = data.statistics.word_weights
    return networks.word_average(
        data.max_length,
        data.vocabulary_size,
        data.num_classes,
        word_weights=weights,
        word_vectors=datasets.word_vectors(
            data.unlabeled, weights, settings["width"]
        ),
    )


def make_model(method, data, settings, steps, seed):
    """A compiled model."""
    keras.utils.set_random_seed(seed)
    consistency = losses.ConsistencyLoss(
        temperature=settings["temperature"],
        threshold=settings["threshold"],
        distribution_alignment=settings["alignment"],
    )
    common = {
        "consistency": None if method == "supervised" else consistency,
        "consistency_weight": schedules.LinearRamp(
            settings["consistency_weight"], steps=settings["ramp"]
        ),
        "ema_momentum": settings["momentum"],
    }

    def optimizer(name, wait=0):
        rate = keras.optimizers.schedules.CosineDecay(
            settings[name], steps - wait, alpha=0.1
        )
        rate = schedules.Delayed(rate, wait) if wait else rate
        return keras.optimizers.SGD(rate, momentum=0.9, nesterov=True)

    options = {"metrics": ["accuracy"], "steps_per_execution": 10}
    if method in ("supervised", "uda"):
        model = mpl_keras.UDA(make_network(data, settings), **common)
        model.compile(optimizer("learning_rate"), **options)
        return model
    weight = settings["feedback_weight"]
    model = mpl_keras.MetaPseudoLabels(
        make_network(data, settings),
        make_network(data, settings),
        feedback=feedback.HypergradientFeedback(weight)
        if method == "mpl"
        else None,
        seed=seed,
        **common,
    )
    model.compile(
        teacher_optimizer=optimizer("learning_rate"),
        student_optimizer=optimizer(
            "student_learning_rate", settings["student_wait"]
        ),
        **options,
    )
    return model


def train(method, data, settings, seed):
    """Accuracies in % of the averaged network and of the teacher; steps."""
    steps = settings["supervised_steps" if method == "supervised" else "steps"]
    model = make_model(method, data, settings, steps, seed)
    batches = pipeline.training_dataset(
        data,
        settings["labeled_batch_size"],
        settings["unlabeled_batch_size"],
        views=augment.text_views(
            data.statistics,
            weak=settings["weak"],
            strong=settings["strong"],
            replaced=settings["replaced"],
        ),
        steps_per_epoch=steps,
        meta="strong" if method == "mpl" else None,
        seed=seed,
    )
    model.fit(batches, verbose=0)

    def accuracy(network):
        counts = evaluation.confusion_matrix(
            network, data.test, data.num_classes
        )
        return 100 * evaluation.accuracy_of(counts)

    two = method in ("mpl", "no_feedback")
    return (
        accuracy(model.averaged),
        accuracy(model.teacher) if two else "",
        steps,
    )


def run(method, per_class, seed, settings):
    """One row but for its key."""
    begin = time.monotonic()
    data, texts, chosen, given = load(
        per_class, seed, settings["max_length"], settings["vocabulary_size"]
    )
    if method == "logistic":
        found = logistic(data, texts, chosen, given), "", ""
    else:
        found = train(method, data, settings, seed)
        keras.backend.clear_session()
    accuracy, teacher, steps = found
    return {
        "accuracy": round(accuracy, 3),
        "teacher": teacher and round(teacher, 3),
        "steps": steps,
        "seconds": round(time.monotonic() - begin),
    }


def changed():
    """SETTINGS with the changes of the flags."""
    settings = dict(SETTINGS)
    for text in FLAGS.changes:
        name, _, value = text.partition("=")
        if name not in settings:
            sys.exit(f"--changes: no setting {name!r}")
        try:
            settings[name] = json.loads(value)
        except json.JSONDecodeError:
            settings[name] = value
    return settings


def main(_):
    """Makes the runs that are missing."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    settings, path = changed(), pathlib.Path(FLAGS.output)
    path.parent.mkdir(parents=True, exist_ok=True)
    first, last = map(int, FLAGS.seeds.split(":"))
    todo = [
        (method, int(per_class), seed)
        for per_class in FLAGS.labels
        for seed in range(first, last)
        for method in FLAGS.methods
    ]
    for method, per_class, seed in todo:
        key = {
            "setting": f"{per_class} labels",
            "method": method,
            "seed": str(seed),
            "changes": " ".join(sorted(FLAGS.changes)),
            "validation": str(FLAGS.validation),
        }
        made = []
        if path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                made = list(csv.DictReader(file))
        if any(key.items() <= row.items() for row in made):
            continue
        row = key | run(method, per_class, seed, settings)
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            if not file.tell():
                writer.writeheader()
            writer.writerow(row)
        print({name: row[name] for name in COLUMNS}, flush=True)


if __name__ == "__main__":
    app.run(main)
