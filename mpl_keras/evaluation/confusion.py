"""What trained networks get right and wrong, in numbers."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from mpl_keras.checks import arrays
from mpl_keras.evaluation import samples

# Times the share that guessing gets right: up to here nothing is learned.
NEAR_CHANCE = 1.2


def predictions(
    network: keras.Model, batches: tf.data.Dataset
) -> tuple[np.ndarray, np.ndarray]:
    """Logits of a network, and the true classes.

    Args:
        network: From inputs to logits, [batch, num_classes].
        batches: Of (x, y); y integers or rows of probabilities.

    Returns:
        float32 [N, num_classes], and integers [N].

    Example:
    >>> net = keras.Sequential([keras.Input((2,)), keras.layers.Identity()])
    >>> batches = tf.data.Dataset.from_tensors(([[1.0, 0.0]], [1]))
    >>> predictions(net, batches)[1]
    array([1], dtype=int32)
    """
    logits, truth = [], []
    for x, y in batches:
        logits.append(np.asarray(network.predict_on_batch(x), "float32"))
        truth.append(arrays.class_ids(y.numpy()))
    return np.concatenate(logits), np.concatenate(truth)


def count(truth: np.ndarray, predicted: np.ndarray, num_classes: int):
    """Counts examples by true class (row) and predicted class (column).

    Example:
    >>> count([0, 1, 0], [0, 1, 1], 2)
    array([[1, 1],
           [0, 1]])
    """
    counts = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(counts, (truth, predicted), 1)
    return counts


def confusion_matrix(
    network: keras.Model, batches: tf.data.Dataset, num_classes: int
) -> np.ndarray:
    """Counts examples by true class (row) and predicted class (column).

    Args:
        network: From inputs to logits, [batch, num_classes].
        batches: Of (x, y); y integers or rows of probabilities.
        num_classes: Number of classes.

    Returns:
        int64, [num_classes, num_classes].

    Example:
    >>> net = keras.Sequential([keras.Input((2,)), keras.layers.Identity()])
    >>> x, y = [[1.0, 0.0], [0.0, 1.0], [0.0, 2.0]], [0, 1, 0]
    >>> batches = tf.data.Dataset.from_tensors((x, y))
    >>> confusion_matrix(net, batches, 2)
    array([[1, 1],
           [0, 1]])
    """
    logits, truth = predictions(network, batches)
    return count(truth, logits.argmax(axis=-1), num_classes)


def accuracy_of(counts: np.ndarray) -> float:
    """Share of the examples on the diagonal of a confusion matrix.

    Example:
    >>> accuracy_of(np.array([[3, 1], [0, 4]]))
    0.875
    """
    return float(np.trace(counts) / counts.sum())


def sole_answer(counts: np.ndarray) -> int | None:
    """The one class that all examples are taken for; None if they are not.

    A network that gives examples of several classes one answer has learned
    nothing, whatever share of them that gets right.

    Args:
        counts: What `confusion_matrix` returns.

    Example:
    >>> sole_answer(np.array([[0, 3], [0, 4]]))
    1
    """
    given = np.flatnonzero(counts.sum(axis=0))
    several = np.count_nonzero(counts.sum(axis=1)) > 1
    return int(given[0]) if several and len(given) == 1 else None


def at_chance(counts: np.ndarray) -> bool:
    """Whether a network is no better than one that guesses.

    It is, where it recognises hardly more of a class, on the mean of all
    classes, than one answer to all examples does.

    Args:
        counts: What `confusion_matrix` returns.

    Example:
    >>> at_chance(np.array([[1, 9], [1, 9]])), at_chance(np.eye(2))
    (True, False)
    """
    counts = np.asarray(counts)
    total = counts.sum(axis=1)
    there = total > 0
    if np.count_nonzero(there) < 2:
        return False
    recall = np.diag(counts)[there] / total[there]
    return bool(recall.mean() <= NEAR_CHANCE / len(recall))


def first_learned(counts: Mapping[str, np.ndarray]) -> str | None:
    """The first of some networks, or else the best one, that has learned.

    Args:
        counts: A confusion matrix for each network, by name.

    Returns:
        The name of the first, unless it is at chance; else of the one that is
        right most often and not at chance; None where all are.

    Example:
    >>> lost = np.array([[4, 0], [4, 0]])
    >>> first_learned({"student": lost, "teacher": np.eye(2)})
    'teacher'
    """
    learned = [name for name, its in counts.items() if not at_chance(its)]
    if not learned or learned[0] == next(iter(counts)):
        return learned[0] if learned else None
    return max(learned, key=lambda name: accuracy_of(counts[name]))


class Measured(NamedTuple):
    """What networks made of the examples that were held out.

    Attributes:
        kind: "test" or "validation".
        counts: A confusion matrix for each network, by name.
        logits: Of the first network, [N, C].
        truth: Its examples' classes, [N].

    Example:
    >>> logits = np.eye(2, dtype="float32")
    >>> measured = Measured("test", {"network": np.eye(2)}, logits, [0, 1])
    >>> measured.kind
    'test'
    """

    kind: str
    counts: Mapping[str, np.ndarray]
    logits: np.ndarray
    truth: np.ndarray


def measure(networks: Mapping[str, keras.Model], data: Any) -> Measured | None:
    """Measures networks on the test examples, or else on the validation ones.

    Args:
        networks: By name; the first is the one that matters.
        data: A `SemiSupervisedData`.

    Returns:
        None where the data holds neither.

    Example:
    >>> from mpl_keras import datasets
    >>> net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    >>> measured = measure({"network": net}, datasets.two_moons())
    >>> measured.kind, len(measured.truth)
    ('test', 1000)
    """
    kind = "validation" if data.test is None else "test"
    batches = getattr(data, kind)
    if batches is None:
        return None
    counts, first = {}, None
    for name, network in networks.items():
        logits, truth = predictions(network, batches)
        first = first or (logits, truth)
        counts[name] = count(truth, logits.argmax(axis=-1), data.num_classes)
    return Measured(kind, counts, *first)


class Scores(NamedTuple):
    """How well one class is told from the others.

    Attributes:
        name: Of the class.
        count: Number of its examples.
        recall: Share of them that were recognised; NaN without any.
        precision: Share of what was called so that is; NaN where nothing was.

    Example:
    >>> Scores("cat", 10, 0.9, 1.0).recall
    0.9
    """

    name: str
    count: int
    recall: float
    precision: float


def scores(counts: np.ndarray, class_names: Iterable[str]) -> list[Scores]:
    """Recall and precision of each class.

    Args:
        counts: What `confusion_matrix` returns.
        class_names: Of the classes.

    Example:
    >>> scores(np.array([[3, 1], [0, 4]]), ["cat", "dog"])[1]
    Scores(name='dog', count=4, recall=1.0, precision=0.8)
    """
    right, true, called = np.diag(counts), counts.sum(1), counts.sum(0)
    with np.errstate(invalid="ignore"):
        recall, precision = right / true, right / called
    return [
        Scores(name, int(true[k]), float(recall[k]), float(precision[k]))
        for k, name in enumerate(class_names)
    ]


def confusions(counts: np.ndarray, most: int) -> list[tuple[int, int, int]]:
    """What is most often taken for what: (true, predicted, how often).

    Args:
        counts: What `confusion_matrix` returns.
        most: Number of pairs.

    Example:
    >>> confusions(np.array([[3, 1], [2, 4]]), 3)
    [(1, 0, 2), (0, 1, 1)]
    """
    wrong = counts - np.diag(np.diag(counts))
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    return [
        (int(k // len(wrong)), int(k % len(wrong)), int(wrong.flat[k]))
        for k in order
        if wrong.flat[k] > 0
    ]


class Mistake(NamedTuple):
    """An example that was taken for something else.

    Attributes:
        index: Its number among the examples.
        true: Its class.
        predicted: What it was taken for.
        confidence: How confidently, in [0, 1].

    Example:
    >>> Mistake(7, 0, 1, 0.99).confidence
    0.99
    """

    index: int
    true: int
    predicted: int
    confidence: float


def mistakes(logits: np.ndarray, truth: np.ndarray, most: int) -> list[Mistake]:
    """The most confident wrong predictions, the worst first.

    Args:
        logits: [N, C].
        truth: True classes, [N].
        most: How many.

    Example:
    >>> logits = np.array([[0.0, 5.0], [0.0, 9.0], [9.0, 0.0]])
    >>> [wrong.index for wrong in mistakes(logits, np.array([0, 0, 0]), 9)]
    [1, 0]
    """
    predicted = logits.argmax(axis=-1)
    confidence = samples.softmax(logits).max(axis=-1)
    wrong = np.flatnonzero(predicted != truth)
    order = np.argsort(-confidence[wrong], kind="stable")[:most]
    return [
        Mistake(int(k), int(truth[k]), int(predicted[k]), float(confidence[k]))
        for k in wrong[order]
    ]


def read(batches: tf.data.Dataset, index: list[int]) -> tuple[Any, list[str]]:
    """Examples of a data set by their numbers, and their files' names.

    Args:
        batches: Of (x, y), as `datasets.evaluation_batches` makes them or any.
        index: Numbers of the examples, at least one.

    Returns:
        Examples in this order; and paths, or "" for what is from no file.

    Example:
    >>> x = np.arange(8.0).reshape(4, 2)
    >>> batches = tf.data.Dataset.from_tensor_slices((x, [0] * 4)).batch(3)
    >>> read(batches, [3, 0])[0]
    array([[6., 7.],
           [0., 1.]])
    """
    stream = getattr(batches, "stream", None)
    paths = stream and getattr(stream.examples, "paths", None)
    names = [paths[k] if paths else "" for k in index]
    if stream is not None:
        x = stream.read(tf.constant(index, tf.int64))[0]
        return keras.tree.map_structure(np.asarray, x), names
    found = {}
    rows = batches.unbatch().enumerate()
    for number, (x, _) in rows.take(max(index) + 1):
        if int(number) in index:
            found[int(number)] = keras.tree.map_structure(np.asarray, x)
    return keras.tree.map_structure(
        lambda *leaves: np.stack(leaves), *(found[k] for k in index)
    ), names
