"""Which unlabeled examples to label next."""

import hashlib
from typing import Any, NamedTuple

import keras
import numpy as np

from mpl_keras.checks import arrays
from mpl_keras.datasets import sources
from mpl_keras.evaluation import samples

_LOOKED_AT = 2000
_BATCH = 64
_SURE = 0.8  # margin from which a label would teach little


class Candidate(NamedTuple):
    """An unlabeled example between two classes.

    Attributes:
        index: Its number among the unlabeled examples.
        file: The file that it is from, or "".
        classes: The likeliest class and the next one.
        shares: Their probabilities.

    Example:
    >>> Candidate(7, "a.png", (3, 5), (0.4, 0.38)).classes
    (3, 5)
    """

    index: int
    file: str
    classes: tuple[int, int]
    shares: tuple[float, float]


def worth_labeling(
    network: keras.Model,
    data: Any,
    most: int = 100,
    looked_at: int = _LOOKED_AT,
) -> list[Candidate]:
    """The unlabeled examples about which a network is least sure.

    Those with the smallest margin between the two likeliest classes come first.
    Pairs of classes take turns, so that the list is not of one pair alone.
    Where the margin is above 0.8, the example comes after all others.
    Examples that are labeled already are left out.

    Args:
        network: From inputs to logits.
        data: A `SemiSupervisedData`.
        most: How many to name.
        looked_at: How many unlabeled examples the network looks at, evenly
            spread; fewer where memory is short.

    Returns:
        The first are the most worth it.

    Reference:
        Scheffer, Decomain and Wrobel, "Active Hidden Markov Models for
        Information Extraction", 2001, on margins.

    Example:
    >>> from mpl_keras import datasets
    >>> net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    >>> found = worth_labeling(net, datasets.two_moons(), most=3)
    >>> len(found), sorted(found[0].classes)
    (3, [0, 1])
    """
    x = sources.centered(data.unlabeled)
    count = samples.limit_by_memory(x, looked_at)
    index = samples.spread(arrays.num_examples(x), count)
    seen = samples.select(x, index)
    known = _labeled(data)
    new = [row not in known for row in _rows(seen)]
    index = index[new]
    if not len(index):
        return []
    examples = keras.tree.map_structure(lambda a: a[new], seen)
    probabilities = samples.probabilities(network, examples)
    two = np.argsort(-probabilities, axis=-1, kind="stable")[:, :2]
    shares = np.take_along_axis(probabilities, two, axis=-1)
    order = _taking_turns(two, shares[:, 0] - shares[:, 1])[:most]
    first = keras.tree.flatten(data.unlabeled)[0]
    names = [""] * len(order)
    if isinstance(first, sources.Source):
        names = first.files(index[order])
    return [
        Candidate(
            int(index[k]),
            name,
            tuple(map(int, two[k])),
            tuple(map(float, shares[k])),
        )
        for k, name in zip(order, names, strict=True)
    ]


def _labeled(data):
    """What tells the labeled examples from all others."""
    x, found = sources.centered(data.labeled[0]), set()
    count = arrays.num_examples(x)
    for first in range(0, count, _BATCH):
        index = np.arange(first, min(first + _BATCH, count))
        found.update(_rows(samples.select(x, index)))
    return found


def _rows(x):
    """A digest of each example."""
    leaves = keras.tree.flatten(x)
    return [
        hashlib.sha256(b"".join(leaf[k].tobytes() for leaf in leaves)).digest()
        for k in range(len(leaves[0]))
    ]


def _taking_turns(pairs, margins):
    """Order by margin, in rounds: each pair of classes once in a round.

    Those of which the network is sure come last, whatever their pair is.
    """
    rounds, seen = np.zeros(len(margins), int), {}
    by_margin = np.argsort(margins, kind="stable")
    for k in by_margin:
        pair = tuple(sorted(pairs[k]))
        rounds[k] = seen[pair] = seen.get(pair, -1) + 1
    return np.lexsort((margins, rounds, margins > _SURE))
