"""Data that Debian's packages bring, for benchmarks alone.

    apt-get install dataset-fashion-mnist r-cran-mlbench
    pip install pyreadr

Fashion-MNIST lies in gzipped idx files, the tables LetterRecognition and
Satellite in .rda files.
"""

import gzip
import pathlib

import numpy as np

from mpl_keras import augment, datasets

FASHION = "/usr/share/datasets/fashion-mnist"
MLBENCH = "/usr/lib/R/site-library/mlbench/data"
CLASSES = 10
_KNOWN = 6  # classes that have labels in `unknown`
_TEST = 0.3  # share of a table's rows


def read_idx(path):
    """Images or labels of a gzipped idx file of bytes."""
    data = gzip.decompress(path.read_bytes())
    shape = np.frombuffer(data, ">i4", data[3], 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)


def read_images(folder, part):
    """Images [N, 28, 28, 1] and labels of "train" or "t10k"."""
    folder = pathlib.Path(folder)
    images = read_idx(folder / f"{part}-images-idx3-ubyte.gz")[..., None]
    labels = read_idx(folder / f"{part}-labels-idx1-ubyte.gz")
    return images, labels.astype("int32")


def first_of_each(y, order, classes, count):
    """Positions of the first examples of each class, class by class.

    Args:
        y: Labels.
        order: Positions that there are to choose from, in their order.
        classes: Which ones.
        count: How many of each.
    """
    return np.concatenate([order[y[order] == k][:count] for k in classes])


def fashion(
    folder, num_labeled, seed, *, unlabeled=8000, aside=0, change="", test=None
):
    """Fashion-MNIST, of which a few images are labeled and some are not.

    Args:
        folder: Of the idx files.
        num_labeled: Labeled images, equally many of each class.
        seed: Which ones.
        unlabeled: How many others.
        aside: How many training images are set aside, the last ones; then they
            are what is measured on.
        change: "unknown": only six classes have labels, and are tested, while
            the unlabeled images are of all ten. "imbalanced": the unlabeled
            classes are 10 to 1, in an order of the seed's.
        test: How many test images, by default all.
    """
    x, y = read_images(folder, "train")
    tested = read_images(folder, "t10k")
    if aside:
        tested = x[-aside:], y[-aside:]
        x, y = x[:-aside], y[:-aside]
    tested = tuple(part[:test] for part in tested)
    random = np.random.RandomState(seed)
    order = random.permutation(len(y))
    classes = np.arange(CLASSES)
    if change == "unknown":
        classes = np.sort(random.permutation(CLASSES)[:_KNOWN])
    labeled = first_of_each(y, order, classes, num_labeled // len(classes))
    rest = order[~np.isin(order, labeled)]
    if change == "imbalanced":
        share = 10.0 ** -(random.permutation(CLASSES) / (CLASSES - 1))
        rest = rest[random.uniform(size=len(rest)) < share[y[rest]]]
    rest = rest[:unlabeled]
    known = np.isin(tested[1], classes)
    number = np.zeros(CLASSES, "int32")
    number[classes] = np.arange(len(classes))
    return datasets.from_arrays(
        x[labeled],
        number[y[labeled]],
        x[rest],
        test=(tested[0][known], number[tested[1][known]]),
        num_classes=len(classes),
    )


def table(folder, name, per_class, seed, aside=0.0):
    """A table of mlbench's; the test rows are the same for all seeds.

    Args:
        folder: Of the .rda files.
        name: "LetterRecognition" or "Satellite".
        per_class: Labeled rows of each class.
        seed: Which ones.
        aside: Share of the training rows to set aside, and to measure on.
    """
    import pyreadr  # noqa: PLC0415 - of this part alone

    frame = pyreadr.read_r(pathlib.Path(folder) / f"{name}.rda")[name]
    target = {"LetterRecognition": "lettr", "Satellite": "classes"}[name]
    y = frame.pop(target).astype("category").cat.codes.to_numpy("int32")
    x = frame.to_numpy("float32")
    test = np.random.RandomState(0).permutation(len(y)) < _TEST * len(y)
    x = (x - x[~test].mean(axis=0)) / x[~test].std(axis=0)
    train = np.random.RandomState(seed).permutation(np.flatnonzero(~test))
    tested = np.flatnonzero(test)
    if aside:
        train, tested = np.split(train, [round((1 - aside) * len(train))])
    labeled = first_of_each(y, train, range(y.max() + 1), per_class)
    return datasets.from_arrays(
        x[labeled],
        y[labeled],
        x[train],
        test=(x[tested], y[tested]),
        num_classes=int(y.max()) + 1,
        views=augment.jitter_views(weak=0.1, strong=0.5),  # the estimators'
        labeled_in_unlabeled=False,
    )
