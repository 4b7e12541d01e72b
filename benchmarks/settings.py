"""What is trained on in `ablation.py` and `rivals.py`: data, networks, numbers.

Settings fashion_* and *_5 of LetterRecognition and Satellite need the data that
real_data.py names, in the folders that the environment's FASHION and MLBENCH
name; those of published recipes need what TensorFlow Datasets has prepared.
"""

import dataclasses
import functools
import os

import keras
import numpy as np
import real_data
from sklearn import datasets as sklearn_datasets

import mpl_keras
from mpl_keras import augment, datasets, networks, recipes

_ASIDE = 0.2  # share of the training examples


def digits(num_labeled, change, seed, aside):
    """scikit-learn's digits, as they are or harder."""
    found = mpl_keras.datasets.digits(
        num_labeled, seed, validation_fraction=aside
    )
    random = np.random.RandomState(seed)
    x, truth = found.unlabeled, found.unlabeled_labels
    labels = found.labeled
    if change == "rotated":  # half of the unlabeled images
        x = x.copy()
        half = random.permutation(len(x))[: len(x) // 2]
        x[half] = np.rot90(x[half], axes=(1, 2))
    elif change == "imbalanced":  # 10 to 1, in an order of the seed's
        share = 10.0 ** -(random.permutation(10) / 9)
        kept = random.uniform(size=len(x)) < share[truth]
        x, truth = x[kept], truth[kept]
    elif change == "wrong":  # a fifth of the labels
        y = labels[1].copy()
        few = random.permutation(len(y))[: len(y) // 5]
        y[few] = (y[few] + random.randint(1, 10, len(few))) % 10
        labels = labels[0], y
    return dataclasses.replace(
        found, labeled=labels, unlabeled=x, unlabeled_labels=truth
    )


def table(load, per_class, seed, aside):
    """A table of scikit-learn's; the test rows are the same for all seeds."""
    x, y = load(return_X_y=True)
    test = np.random.RandomState(0).permutation(len(y)) < 0.3 * len(y)
    x = (x - x[~test].mean(axis=0)) / x[~test].std(axis=0)
    x, y = x.astype("float32"), y.astype("int32")
    random = np.random.RandomState(seed)
    train = random.permutation(np.flatnonzero(~test))
    train, held = np.split(train, [round((1 - aside) * len(train))])
    labeled = real_data.first_of_each(y, train, range(y.max() + 1), per_class)
    return datasets.from_arrays(
        x[labeled],
        y[labeled],
        x[train],
        test=(x[test], y[test]),
        validation=(x[held], y[held]) if aside else None,
        num_classes=int(y.max()) + 1,
        views=augment.jitter_views(weak=0.1, strong=1.0),
        labeled_in_unlabeled=False,
    )


def fashion(num_labeled, change, seed, aside):
    """Fashion-MNIST; 4,000 training images are set aside."""
    return real_data.fashion(
        os.environ.get("FASHION", real_data.FASHION),
        num_labeled,
        seed,
        aside=4000 if aside else 0,
        change=change,
    )


def mlbench(name, seed, aside):
    """Five labeled rows of each class of a table."""
    folder = os.environ.get("MLBENCH", real_data.MLBENCH)
    return real_data.table(folder, name, 5, seed, aside)


def published(recipe, seed, aside):
    """Images of TensorFlow Datasets, found as TFDS_DATA_DIR says."""
    found = mpl_keras.datasets.images(
        recipe.dataset,
        num_labeled=recipe.num_labeled,
        image_size=recipe.image_size,
        seed=seed,
        validation_fraction=aside,
    )
    views = augment.named_views(recipe.views, *found.unlabeled.shape[1:3])
    return dataclasses.replace(found, views=views)


@dataclasses.dataclass(frozen=True)
class Setting:
    """Data, networks, and what all methods have in common.

    Attributes:
        what: In words.
        load: From a seed, and the share to set aside, to the data.
        recipe: Numbers of the training.
        layers: "convolutions" or "dense"; None for the recipe's backbone.
        scale: Factor of the feedback's weight.
    """

    what: str
    load: object
    recipe: recipes.Recipe
    layers: str | None = "convolutions"
    scale: float = 1.0

    def split(self, seed, validation):
        """The split of a seed; what is measured on is `test`.

        Args:
            seed: Of the labels.
            validation: Whether that is a part of the training examples, set
                aside, in place of the test examples.
        """
        found = self.load(seed, _ASIDE if validation else 0.0)
        if found.validation is None:
            return found
        return dataclasses.replace(found, test=found.validation)


DIGITS = recipes.get("digits")
_SLOWER = dataclasses.replace(  # what is no image
    DIGITS,
    teacher_learning_rate=0.1,
    student_learning_rate=0.1,
    student_warmup_steps=None,
)
_TABLE = dataclasses.replace(
    _SLOWER, steps=600, student_wait=100, ema_momentum=0.99
)
_MOONS = dataclasses.replace(
    _SLOWER,
    unlabeled_batch_size=128,
    threshold=0.8,  # of two classes
)
SETTINGS = {
    f"digits_{count}{change and '_'}{change}": Setting(
        f"{count} labels{what}",
        functools.partial(digits, count, change),
        DIGITS,
    )
    for change, what in (
        ("", ""),
        ("rotated", ", half of the unlabeled images rotated by 90 degrees"),
        ("imbalanced", ", classes of the unlabeled images 10 to 1"),
        ("wrong", ", a fifth of them wrong"),
    )
    for count in (10, 20, 40, 100)
}
SETTINGS |= {
    f"{name}_{count}": Setting(
        f"a table, {count} labels for each class",
        functools.partial(table, load, count),
        dataclasses.replace(_TABLE, threshold=threshold),
        "dense",
        scale=0.1,
    )
    for count in (2, 5)
    for name, load, threshold in (
        ("breast_cancer", sklearn_datasets.load_breast_cancer, 0.8),
        ("wine", sklearn_datasets.load_wine, 0.6),
    )
}
SETTINGS |= {
    f"moons_{count}": Setting(
        f"two moons, {count} labels",
        # Every seed has points of its own: there is nothing to set aside.
        lambda seed, _, count=count: mpl_keras.datasets.two_moons(count, seed),
        dataclasses.replace(_MOONS, labeled_batch_size=count),
        "dense",
        scale=0.1,
    )
    for count in (6, 12)
}
HERE = tuple(SETTINGS)  # data that come with scikit-learn
_FASHION = recipes.get("fashion_mnist")
SETTINGS |= {
    f"fashion_{count}{change and '_'}{change}": Setting(
        f"Fashion-MNIST, {count} labels{what}",
        functools.partial(fashion, count, change),
        _FASHION,
        layers=None,
    )
    for count, change, what in (
        (40, "", ""),
        (100, "", ""),
        (250, "", ""),
        (60, "unknown", " of six classes, unlabeled images of ten"),
        (100, "imbalanced", ", unlabeled classes 10 to 1"),
    )
}
SETTINGS |= {
    f"{name.lower()}_5": Setting(
        f"{name}, a table, 5 labels for each class",
        functools.partial(mlbench, name),
        dataclasses.replace(_TABLE, steps=2000, student_wait=200),
        "dense",
        scale=0.1,
    )
    for name in ("LetterRecognition", "Satellite")
}
# By the published numbers; TensorFlow Datasets has prepared the data.
SETTINGS |= {
    recipe.name: Setting(
        f"published recipe; {recipe.dataset} of TensorFlow Datasets",
        functools.partial(published, recipe),
        recipe,
        layers=None,
        scale=1 / 3,
    )
    for recipe in map(recipes.get, recipes.names())
    if recipe not in (DIGITS, _FASHION)
}


def make_net(setting, found, role):
    """A network from examples to logits."""
    recipe, shape = setting.recipe, found.unlabeled.shape[1:]
    if setting.layers is None:
        return networks.make(
            recipe.backbone,
            shape,
            found.num_classes,
            dropout=getattr(recipe, f"{role}_dropout"),
            weight_decay=recipe.weight_decay,
        )
    decay = networks.regularizer(recipe.weight_decay)
    hidden = {
        "activation": "relu",
        "kernel_initializer": "he_normal",
        "kernel_regularizer": decay,
    }
    layers = [keras.Input(shape)]
    if setting.layers == "dense":
        layers += [keras.layers.Dense(64, **hidden) for _ in range(2)]
    else:
        for filters in (12, 24):
            layers += [
                keras.layers.Conv2D(filters, 3, padding="same", **hidden),
                keras.layers.AveragePooling2D(2),
            ]
        layers.append(keras.layers.Flatten())
    layers.append(
        keras.layers.Dense(found.num_classes, kernel_regularizer=decay)
    )
    return keras.Sequential(layers)
