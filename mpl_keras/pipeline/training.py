"""From arrays and views to an endless stream of training batches.

Batch number t is a pure function of (seed, t): which examples it holds, in
which order, and every random value of their views. So a run that stopped after
t steps goes on exactly with `start_step=t`.
"""

import collections.abc
import functools
import math
from typing import Any, Literal

import keras
import tensorflow as tf

from mpl_keras import augment
from mpl_keras.checks import arguments, arrays, settings
from mpl_keras.datasets import sources
from mpl_keras.pipeline import ordering, view_checks
from mpl_keras.pipeline.stream import Stream

# Unlabeled examples in a part of a batch, at least: views of fewer at a time
# are slower for each of them.
_SHARD = 64


def training_dataset(
    data: Any,
    labeled_batch_size: int,
    unlabeled_batch_size: int,
    *,
    views: augment.Views | None = None,
    steps_per_epoch: int | None = None,
    seed: int = 0,
    meta: Literal["labeled", "strong"] | tuple[Any, Any] | None = None,
    start_step: int = 0,
    shards: int | None = None,
) -> tf.data.Dataset:
    """Batches `({"labeled": x_l, "weak": x_w, "strong": x_s}, y_l)`, endless.

    "weak" and "strong" are views of the same unlabeled examples, "labeled" is
    a weak view. Each set is passed through again and again, in a new order each
    time; a labeled batch larger than the set repeats it, each repeat with views
    of its own.

    Args:
        data: Anything with `labeled`, a pair (x, y); `unlabeled`, x;
            `num_classes`; and, unless `views` is given, `views`. Each x is an
            array or a nested structure of arrays. Where it has an
            `unlabeled_prior`, a row of probabilities for each unlabeled
            example, the key "prior" holds those of a batch.
        labeled_batch_size: Labeled examples in a batch.
        unlabeled_batch_size: Unlabeled examples in a batch.
        views: The weak and the strong view, stateless callables
            `(x, seed) -> x` on a batch, which keep shapes and dtypes.
        steps_per_epoch: Kept in the dataset's `stream`, by default one pass
            over the unlabeled set. Models of this library read it in `fit`;
            pass it to `fit` of other Keras models, because the dataset is
            endless.
        seed: Of order and views, in [0, 2**32).
        meta: The batch from which feedback is measured. None or "labeled":
            the labeled batch. "strong": the key "meta" holds a strong view of
            the same labeled examples. A pair (x, y) of arrays: "meta" holds
            weak views of `labeled_batch_size` of these, and the second part of
            a batch is `{"labeled": y_l, "meta": y_m}`.
        start_step: Number of the first batch, to go on where a run stopped.
        shards: Parts in which a batch is made, each with a seed of its own
            for its views; both batch sizes are multiples of it. Of several
            workers each makes its own parts alone, if `shards` is a multiple
            of the number of replicas; otherwise each makes all parts. By
            default the largest power of 2 that leaves 64 unlabeled examples
            to each part, or 1. It belongs to the batches as the seed does, so
            that these are the same for any number of workers.

    Returns:
        A dataset, whose attribute `stream` is a `Stream`: its steps per epoch,
        the same from another batch on, and by what a backup knows it again.

    Raises:
        ValueError: An argument is not what it must be; before any batch.

    Example:
    >>> from mpl_keras import datasets
    >>> train = training_dataset(datasets.two_moons(), 6, 128, seed=1)
    >>> x, y = next(iter(train))
    >>> x["labeled"].shape, x["strong"].shape, train.stream.steps_per_epoch
    (TensorShape([6, 2]), TensorShape([128, 2]), 16)
    """
    sizes = (
        arguments.integer("labeled_batch_size", labeled_batch_size, 1),
        arguments.integer("unlabeled_batch_size", unlabeled_batch_size, 1),
    )
    seed = arguments.integer("seed", seed, 0, 2**32 - 1)
    start_step = arguments.integer("start_step", start_step, 0)
    shards = _checked_shards(shards, sizes)
    meta = None if isinstance(meta, str) and meta == "labeled" else meta
    sets = _checked_sets(data, meta)
    if steps_per_epoch is None:
        steps_per_epoch = -(-arrays.num_examples(sets["unlabeled"]) // sizes[1])
    steps_per_epoch = arguments.integer("steps_per_epoch", steps_per_epoch, 1)
    views = views or getattr(data, "views", None)
    views = view_checks.checked(views, sets["unlabeled"])
    prior = getattr(data, "unlabeled_prior", None)
    if prior is not None:
        prior = _checked_prior(prior, sets["unlabeled"], data.num_classes)
    part = _part_function(
        sets, prior, sizes, views, seed, isinstance(meta, str), shards
    )
    known = {
        "labeled_batch_size": sizes[0],
        "unlabeled_batch_size": sizes[1],
        "seed of the data": seed,
        "start_step": start_step,
        "shards": shards,
        "views": {
            "weak": settings.described(views.weak),
            "strong": settings.described(views.strong),
        },
        "meta": meta if isinstance(meta, str) else meta is not None,
    }
    if prior is not None:
        # What neighbours say may differ in the last bits on another machine.
        known["prior"] = True

    def batches(step, replicas, count):
        own = len(replicas)
        each = shards // count
        return _endless(
            lambda number: _joined(
                part,
                number // own,
                each * (replicas[0] + number % own),
                each,
            ),
            step * own,
        )

    return Stream(
        batches=batches,
        start_step=start_step,
        steps_per_epoch=steps_per_epoch,
        num_classes=data.num_classes,
        shards=shards,
        fingerprint=_Fingerprint(known, sets),
    ).dataset()


def _checked_shards(shards, sizes):
    """The number of parts of a batch, both of whose sizes it must divide."""
    common = math.gcd(*sizes)
    if shards is None:
        shards = 1
        while common % (2 * shards) == 0 and sizes[1] >= 2 * shards * _SHARD:
            shards *= 2
    arguments.integer("shards", shards, 1)
    if common % shards:
        raise ValueError(
            "`shards` must divide both batch sizes. Received: shards="
            f"{shards}, labeled_batch_size={sizes[0]}, "
            f"unlabeled_batch_size={sizes[1]}"
        )
    return shards


def _joined(part, step, first, count):
    """Some parts of the batch of a step, one after the other."""
    parts = [part(step, first + number) for number in range(count)]
    if count == 1:
        return parts[0]
    return keras.tree.map_structure(
        lambda *leaves: tf.concat(leaves, axis=0), *parts
    )


class _Fingerprint(collections.abc.Mapping):
    """By what a backup knows the data again.

    All examples are read for it, when somebody asks.
    """

    def __init__(self, known, sets):
        self._known = known
        self._sets = sets

    @functools.cached_property
    def _all(self):
        known = dict(self._known)
        for name, x in self._sets.items():
            known[f"{name} examples"] = arrays.num_examples(x)
            if name != "unlabeled":
                x, y = x
                known[f"checksum of labels of {name} examples"] = (
                    sources.checksum(y)
                )
            known[f"checksum of {name} examples"] = sources.checksum(x)
        return known

    def __getitem__(self, name):
        return self._all[name]

    def __iter__(self):
        return iter(self._all)

    def __len__(self):
        return len(self._all)


def _endless(batch, start_step):
    """The dataset of `batch(step)` for every step."""
    dataset = tf.data.Dataset.counter(start_step).map(
        batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.DATA
    )
    return dataset.with_options(options).prefetch(tf.data.AUTOTUNE)


def _see(view, x, number, key, shapes):
    """A view of examples, by a seed for this number and purpose."""
    seen = view(x, tf.bitcast(ordering.mix(key, number), tf.int32))
    # A view may lose the static shape, which networks build from.
    return keras.tree.map_structure(
        lambda new, old, shape: tf.ensure_shape(new, (old.shape[0], *shape)),
        seen,
        x,
        shapes,
    )


def _view_shapes(x):
    """Shape of one example as a view shows it."""
    return keras.tree.map_structure(
        lambda leaf: tf.TensorShape(
            getattr(leaf, "view_shape", leaf.shape[1:])
        ),
        x,
    )


def _part_function(sets, prior, sizes, views, seed, strong_meta, shards):
    """The function from a step and the number of a part to that part."""
    labeled_size, unlabeled_size = (size // shards for size in sizes)

    def passes(name, size, examples):
        return ordering.ShuffledBatches(
            examples, size, ordering.key_of(seed, f"{name} order")
        )

    labeled = passes("labeled", labeled_size, sets["labeled"])
    with_prior = prior is not None
    both = sets["unlabeled"], prior if with_prior else ()
    unlabeled = passes("unlabeled", unlabeled_size, both)
    meta = None
    if "meta" in sets:
        meta = passes("meta", labeled_size, sets["meta"])
    shapes = _view_shapes(sets["unlabeled"])

    def part(step, index):
        # The parts of all batches, counted through.
        number = step * shards + index

        def see(view, x, purpose):
            return _see(view, x, number, ordering.key_of(seed, purpose), shapes)

        x, y = labeled(number)
        x_u, known = unlabeled(number)
        seen = {
            "labeled": see(views.weak, x, "labeled"),
            "weak": see(views.weak, x_u, "weak"),
            "strong": see(views.strong, x_u, "strong"),
        }
        if with_prior:
            seen["prior"] = known
        if strong_meta:
            seen["meta"] = see(views.strong, x, "meta")
        if meta is not None:
            x_m, y_m = meta(number)
            seen["meta"] = see(views.weak, x_m, "meta")
            y = {"labeled": y, "meta": y_m}
        return seen, y

    return part


def labeled_dataset(
    data: Any,
    batch_size: int,
    *,
    view: augment.View | None = None,
    seed: int = 0,
    start_step: int = 0,
    steps_per_epoch: int | None = None,
) -> tf.data.Dataset:
    """Batches (x, y) of the labeled examples, endless, for plain `fit`.

    Args:
        data: As of `training_dataset`.
        batch_size: Examples in a batch; a batch larger than the set repeats it.
        view: Callable `(x, seed) -> x`, stateless, or None for the examples as
            they are.
        seed: Of order and view, in [0, 2**32).
        start_step: Number of the first batch.
        steps_per_epoch: Kept in the dataset's `stream`, by default one pass.

    Example:
    >>> from mpl_keras import datasets
    >>> batches = labeled_dataset(datasets.two_moons(6), 4)
    >>> x, y = next(iter(batches))
    >>> x.shape, y.shape, batches.stream.steps_per_epoch
    (TensorShape([4, 2]), TensorShape([4]), 2)
    """
    arguments.integer("batch_size", batch_size, 1)
    seed = arguments.integer("seed", seed, 0, 2**32 - 1)
    start_step = arguments.integer("start_step", start_step, 0)
    labeled = _checked_pair(data.labeled, data.num_classes, "data.labeled")
    if steps_per_epoch is None:
        steps_per_epoch = -(-arrays.num_examples(labeled) // batch_size)
    arguments.integer("steps_per_epoch", steps_per_epoch, 1)
    shapes = _view_shapes(labeled[0])
    if view is None:
        labeled = (sources.centered(labeled[0]), labeled[1])
    else:
        view_checks.check_view(view, labeled[0], "view")
    passes = ordering.ShuffledBatches(
        labeled, batch_size, ordering.key_of(seed, "labeled order")
    )

    def batch(step):
        x, y = passes(step)
        if view is not None:
            x = _see(view, x, step, ordering.key_of(seed, "labeled"), shapes)
        return x, y

    return Stream(
        batches=lambda step, replicas, count: _endless(batch, step),
        start_step=start_step,
        steps_per_epoch=steps_per_epoch,
        num_classes=data.num_classes,
    ).dataset()


def _checked_sets(data: Any, meta: Any) -> dict[str, Any]:
    """The arrays of each set by name, or an error that says what is wrong."""
    if not hasattr(data, "unlabeled"):
        raise arguments.ArgumentError(
            "data",
            "be labeled and unlabeled examples, as "
            "`datasets.from_arrays(x_labeled, y_labeled, x_unlabeled)` makes "
            "them",
            type(data).__name__,
        )
    labeled = _checked_pair(data.labeled, data.num_classes, "data.labeled")
    unlabeled = arrays.examples(data.unlabeled, "data.unlabeled")
    arrays.same_form(unlabeled, labeled[0], "data.unlabeled", "data.labeled[0]")
    sets = {"labeled": labeled, "unlabeled": unlabeled}
    if isinstance(meta, (tuple, list)) and len(meta) == 2:
        sets["meta"] = _checked_pair(meta, data.num_classes, "meta")
        arrays.same_form(
            sets["meta"][0], labeled[0], "meta[0]", "data.labeled[0]"
        )
    elif meta is not None and not (isinstance(meta, str) and meta == "strong"):
        raise ValueError(
            '`meta` must be None, "labeled", "strong" or a pair (x, y) of '
            f"arrays. Received: meta={meta!r}"
        )
    return sets


def _checked_prior(prior: Any, unlabeled: Any, num_classes: int) -> Any:
    """Rows of probabilities, one for each unlabeled example."""
    name = "data.unlabeled_prior"
    rows = arrays.labels(prior, num_classes, name)
    arrays.same_length(unlabeled, rows, "data.unlabeled", name)
    if rows.ndim != 2 or not (rows > 0).all():
        raise arguments.ArgumentError(
            name,
            f"be rows of {num_classes} probabilities above 0: a class of "
            "probability 0 could never be learned",
            "integers" if rows.ndim != 2 else f"{(rows <= 0).sum()} zeros",
        )
    return rows.astype("float32")


def _checked_pair(pair: Any, num_classes: int, name: str) -> tuple[Any, Any]:
    return arrays.pair(*pair, num_classes, f"{name}[0]", f"{name}[1]")
