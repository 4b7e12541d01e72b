"""Label spreading: what examples that lie near each other say of their classes.

Zhou et al., "Learning with Local and Global Consistency", NeurIPS 2003: each
example passes on what it knows to its nearest neighbours, and the labels stay
where they are. A network and a graph of neighbours make different errors, so
that each can tell the other something.
"""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from mpl_keras.checks import arguments, arrays
from mpl_keras.checks.arguments import ArgumentError
from mpl_keras.datasets.semi_supervised_data import SemiSupervisedData

_FOLDS = 5
# How much of what the neighbours say is believed: exponents to choose from.
_STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
_PASSES = 40  # along the graph
_BESIDES, _ITERATIONS = 10, 8  # of the search for principal components
_BALANCING = 50  # passes until the classes have the labels' shares
_ERRORS = 2.0  # standard errors above a guess, or it may be chance
_BLOCK = 512  # rows whose distances are computed at a time
_SIDE = 32  # pixels; larger images are made smaller
_LEAST = 1e-4  # no class is out of the question


@dataclasses.dataclass(frozen=True, eq=False)
class LabelSpreading:
    """What label spreading found; `str` of it says so in words.

    Attributes:
        data: The data, with the probabilities as its `unlabeled_prior`.
        accuracy: Share of the labels that the graph gives back when they are
            held out; None where there are too few to hold any out.
        strength: The exponent of the probabilities; 0 where the graph knows
            nothing, and all classes are equally probable.

    Example:
    >>> from mpl_keras import datasets
    >>> found = spread_labels(datasets.two_moons(12, seed=1))
    >>> found.accuracy, found.strength > 1
    (1.0, True)
    """

    data: SemiSupervisedData
    accuracy: float | None
    strength: float

    def __str__(self) -> str:
        """What was found, in a sentence."""
        counts = f"these count with strength {self.strength:g}"
        if self.accuracy is None:
            told = "too few labels to check what neighbours say"
            return f"{told}; {counts if self.strength else 'nothing counts'}"
        told = f"{100 * self.accuracy:.0f} % of the labels that were held out"
        told = f"neighbours give back {told}"
        return f"{told}; {counts if self.strength else 'perhaps by chance'}"


def spread_labels(
    data: SemiSupervisedData,
    *,
    strength: float | None = None,
    neighbors: int = 10,
    alpha: float = 0.99,
    components: int = 50,
    most: int = 20_000,
    seed: int = 0,
) -> LabelSpreading:
    """Spreads the labels to the unlabeled examples that lie near them.

    The graph joins each example to its nearest ones, by the Euclidean distance
    of the principal components, whitened or as they are, whichever makes the
    labels more probable that are held out. Its weights are
    `exp(-4 (d / d_k)^2)`, with `d_k` the distance of the farthest neighbour
    (Calder et al., "Poisson Learning", 2020). The scores `F` solve
    `F = alpha S F + (1 - alpha) Y` (Zhou et al., 2003), and are scaled until
    the mean over the examples is the labels' share of each class.

    A part of the labels is held out to see whether neighbours tell anything:
    that gives `strength` and `accuracy`. Where it may be chance, as could be
    expected of the pixels of photographs, the strength is 0.

    Args:
        data: Its examples are one array of numbers, or read by number.
        strength: Exponent of the probabilities, at least 0. By default the one
            by which labels that are held out are most probable.
        neighbors: Of each example.
        alpha: How much comes from the neighbours, in (0, 1).
        components: Principal components, at most.
        most: Unlabeled examples in the graph, at most, drawn at random. Others
            get the mean of their nearest neighbours in it.
        seed: Of what is drawn.

    Returns:
        A `LabelSpreading`.

    Raises:
        ArgumentError: The examples are no array of numbers, or an argument is
            out of range.

    Example:
    >>> from mpl_keras import datasets
    >>> found = spread_labels(datasets.two_moons(6, seed=1))
    >>> prior, truth = found.data.unlabeled_prior, found.data.unlabeled_labels
    >>> bool((prior.argmax(axis=1) == truth).mean() > 0.9)
    True
    """
    if not isinstance(data, SemiSupervisedData):
        raise ArgumentError(
            "data",
            "be a SemiSupervisedData, such as `datasets.from_arrays` gives",
            type(data).__name__,
        )
    if strength is not None:
        strength = arguments.number("strength", strength, 0)
    neighbors = arguments.integer("neighbors", neighbors, 1)
    alpha = arguments.number("alpha", alpha, above=0, below=1)
    components = arguments.integer("components", components, 1)
    most = arguments.integer("most", most, 1)
    random = np.random.RandomState(
        arguments.integer("seed", seed, 0, 2**32 - 1)
    )
    labeled, unlabeled = data.labeled[0], data.unlabeled
    for name, x in (
        ("data.labeled[0]", labeled),
        ("data.unlabeled", unlabeled),
    ):
        _check_numbers(x, name)
    count = arrays.num_examples(unlabeled)
    inside = np.arange(count)
    if count > most:
        inside = np.sort(random.permutation(count)[:most])

    labels = _rows(data.labeled[1], data.num_classes)
    fold = _folds(labels)
    known = _features(labeled, np.arange(len(labels)))
    joined = np.concatenate([known, _features(unlabeled, inside)])
    axes, spread = _principal_axes(joined, components)
    best = None
    for scale in (spread, 1.0):  # whitened, and as they are
        scaled = (axes / scale).astype("float32")
        found = _Spread(joined @ scaled, labels, fold, neighbors, alpha)
        if best is None or found.gain > best[0].gain:
            best = found, scaled
    found, axes = best

    prior = np.zeros((count, data.num_classes), "float32")
    prior[inside] = found.rows[len(labels) :]
    outside = np.setdiff1d(np.arange(count), inside)
    for start in range(0, len(outside), _BLOCK):
        block = outside[start : start + _BLOCK]
        prior[block] = found.rows_near(_features(unlabeled, block) @ axes)
    strength = found.strength if strength is None else strength
    return LabelSpreading(
        dataclasses.replace(data, unlabeled_prior=_raised(prior, strength)),
        found.accuracy,
        float(strength),
    )


def _check_numbers(x, argument):
    problem = _problem(x)
    if problem is not None:
        raise ArgumentError(
            argument,
            "be one array of numbers, such as images or standardized features: "
            "the distance of two examples must mean something",
            problem,
        )


def _problem(x):
    """What keeps distances between examples from having a meaning, or None."""
    leaves = keras.tree.flatten(x)
    if len(leaves) != 1:
        return f"{len(leaves)} arrays"
    shape, dtype = leaves[0].shape, tf.as_dtype(leaves[0].dtype)
    if len(shape) < 2:
        return f"shape {tuple(shape)}"
    if not dtype.is_floating and not (len(shape) == 4 and dtype.is_integer):
        return f"dtype {dtype.name}"
    return None


def _rows(y, num_classes):
    """Labels as rows of probabilities."""
    y = np.asarray(y)
    if y.ndim == 2:
        return y.astype("float32")
    return np.eye(num_classes, dtype="float32")[y]


def _features(x, numbers):
    """Flat features of the examples with these numbers."""
    x = keras.tree.flatten(x)[0]
    found = []
    for start in range(0, len(numbers), _BLOCK):
        part = np.asarray(x[numbers[start : start + _BLOCK]], "float32")
        if part.ndim == 4:
            side = min(part.shape[1:3])
            if side > _SIDE:
                size = [
                    max(1, round(pixels * _SIDE / side))
                    for pixels in part.shape[1:3]
                ]
                part = tf.image.resize(part, size, "area").numpy()
        found.append(part.reshape(len(part), -1))
    return np.concatenate(found)


def _principal_axes(x, components):
    """The axes of the principal components, and the spread along each.

    By subspace iteration: all of thousands of features would take minutes.
    """
    x = x - x.mean(axis=0)
    size = min(components + _BESIDES, x.shape[1])
    axes = np.random.RandomState(0).normal(size=(x.shape[1], size))
    for _ in range(_ITERATIONS):
        axes, _ = np.linalg.qr(x.T @ (x @ axes.astype("float32")))
    seen = (x @ axes.astype("float32")).astype("float64")
    values, turned = np.linalg.eigh(seen.T @ seen / max(len(x) - 1, 1))
    values, turned = values[::-1][:components], turned[:, ::-1][:, :components]
    # Where nothing varies there is nothing to see but rounding.
    kept = values > 1e-6 * max(values[0], 1e-12)
    if not kept.any():
        return np.zeros((x.shape[1], 1)), 1.0
    return axes @ turned[:, kept], np.sqrt(values[kept])


class _Spread:
    """Labels that are spread among examples, the labeled ones first.

    Args:
        x: Components of all examples.
        labels: Rows of the labeled ones.
        fold: The fold of each label.
        neighbors: Of each example.
        alpha: How much comes from the neighbours.

    Attributes:
        rows: Probabilities of all examples.
        accuracy: On labels that were held out; None where there are none.
        strength: The exponent by which those are most probable; 0 unless that
            is more than chance.
        gain: Mean logarithm of these probabilities, above that of a guess.
    """

    def __init__(self, x, labels, fold, neighbors, alpha):
        self._x = x
        self._neighbors = min(neighbors, len(x) - 1)
        edges = _edges(x, self._neighbors)
        scores = _scores(edges, len(x), _all_targets(labels, fold), alpha)
        share = labels.mean(axis=0)
        self.rows, *parts = (
            _balanced(part, len(labels), share) for part in scores
        )
        found, truth = _held_out(parts, labels, fold)
        self.accuracy, self.strength, self.gain = None, 0.0, 0.0
        if not len(truth):
            return
        self.accuracy = float((found.argmax(axis=1) == truth).mean())
        for strength in _STRENGTHS:
            right = _raised(found, strength)[np.arange(len(truth)), truth]
            gain = np.log(right * labels.shape[1])
            # Of few labels some are told rightly by chance.
            chance = _ERRORS * gain.std() / np.sqrt(len(gain))
            if gain.mean() > max(chance, self.gain):
                self.strength, self.gain = strength, float(gain.mean())

    def rows_near(self, x):
        """Means of the rows of the nearest examples."""
        near, _ = _nearest(x, self._x, self._neighbors)
        return self.rows[near].mean(axis=1)


def _nearest(x, others, count, first=None):
    """Numbers and squared distances of the nearest ones among others.

    Args:
        x: Rows whose neighbours are sought.
        others: Among these.
        count: How many.
        first: The number of the first row among the others, which are then not
            their own neighbours; or None.
    """
    squares = tf.reduce_sum(others**2, axis=1)
    distance = (
        tf.reduce_sum(x**2, axis=1)[:, tf.newaxis]
        + squares
        - 2.0 * tf.matmul(x, others, transpose_b=True)
    )
    if first is not None:
        own = first + tf.range(len(x))
        distance += tf.one_hot(own, len(others), on_value=np.inf)
    nearest = tf.math.top_k(-distance, count)
    return nearest.indices.numpy(), np.maximum(-nearest.values.numpy(), 0.0)


def _edges(x, neighbors):
    """Both ends and the weight of each edge, normalised by the degrees."""
    ends, weights = [], []
    for start in range(0, len(x), _BLOCK):
        block = x[start : start + _BLOCK]
        near, square = _nearest(block, x, neighbors, start)
        farthest = np.maximum(square[:, -1:], 1e-12)
        ends.append(near)
        weights.append(np.exp(-4.0 * square / farthest))
    ends, weights = (
        np.concatenate(ends).ravel(),
        np.concatenate(weights).ravel(),
    )
    begins = np.repeat(np.arange(len(x)), neighbors)
    begins, ends = np.r_[begins, ends], np.r_[ends, begins]
    weights = np.r_[weights, weights] / 2
    degree = np.bincount(begins, weights, len(x))
    weights = weights / np.sqrt(degree[begins] * degree[ends])
    order = np.lexsort((ends, begins))
    return begins[order], ends[order], weights[order].astype("float32")


def _folds(labels):
    """The fold of each label, with classes spread over the folds."""
    order = np.argsort(labels.argmax(axis=1), kind="stable")
    fold = np.empty(len(labels), int)
    fold[order] = np.arange(len(labels)) % _FOLDS
    return fold


def _all_targets(labels, fold):
    """Labels, and labels without each of the folds; side by side."""
    parts = [labels]
    for number in range(_FOLDS):
        parts.append(labels * (fold != number)[:, np.newaxis])
    return np.stack(parts)


def _scores(edges, size, targets, alpha):
    """Scores of each part that solve F = alpha S F + (1 - alpha) Y.

    By conjugate gradients, a system for each column.
    """
    begins, ends, weights = edges
    places = np.stack([begins, ends], axis=1)
    graph = tf.SparseTensor(places, weights, [size] * 2)
    count = targets.shape[1]

    def dot(one, other):
        return tf.reduce_sum(one * other, axis=0)

    # One part after another, which takes less memory.
    for part in targets:
        rest = np.zeros((size, part.shape[1]), "float32")
        rest[:count] = part * (1.0 - alpha)
        rest = tf.constant(rest)
        scores, direction, square = tf.zeros_like(rest), rest, dot(rest, rest)
        for _ in range(_PASSES):
            image = tf.sparse.sparse_dense_matmul(graph, direction)
            image = direction - alpha * image
            far = tf.math.divide_no_nan(square, dot(direction, image))
            scores += far * direction
            rest -= far * image
            before, square = square, dot(rest, rest)
            turn = tf.math.divide_no_nan(square, before)
            direction = rest + turn * direction
        yield tf.nn.relu(scores).numpy()


def _balanced(scores, labeled, share):
    """Probabilities whose mean over the unlabeled ones is the labels' share."""
    scores = scores / np.maximum(scores.sum(axis=1, keepdims=True), 1e-30)
    scores = np.maximum(scores, 1e-8)
    for _ in range(_BALANCING):
        mean = scores[labeled:].mean(axis=0)
        scores = scores * (share / mean)
        scores /= scores.sum(axis=1, keepdims=True)
    return scores


def _raised(rows, strength):
    """Probabilities to a power, normalised; none of them is 0."""
    rows = np.maximum(rows, _LEAST) ** strength
    rows = np.maximum(rows / rows.sum(axis=1, keepdims=True), _LEAST)
    rows = rows / rows.sum(axis=1, keepdims=True)
    # Without the last bits, in which one machine differs from another.
    return rows.astype("float16").astype("float32")


def _held_out(parts, labels, fold):
    """Rows of the labeled examples that were held out, and their classes."""
    found, truth = [], []
    for number, rows in enumerate(parts):
        left = labels[fold != number].sum(axis=0) > 0
        # A class of which nothing is left can not be found.
        mine = (fold == number) & left[labels.argmax(axis=1)]
        found.append(rows[: len(labels)][mine])
        truth.append(labels[mine].argmax(axis=1))
    return np.concatenate(found), np.concatenate(truth)
