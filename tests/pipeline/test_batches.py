"""Training batches: a pure function of (seed, step), each pass complete."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_keras import augment, datasets, pipeline
from mpl_keras.pipeline import ordering

# Examples that tell their own number; the labeled ones are numbers from 100.
NUMBERS = np.arange(10, dtype="float32")[:, None] * np.ones(3, "float32")
LABELED = NUMBERS[:4] + 100
Y = np.array([0, 1, 2, 0])
# Views that keep the number in column 0 and tell their seed in the others.
TELL = augment.Views(
    weak=lambda x, seed: told(x, seed, 0.25),
    strong=lambda x, seed: told(x, seed, 0.5),
)


def told(x, seed, mark):
    noise = tf.random.stateless_uniform([tf.shape(x)[0], 1], seed)
    return tf.concat([x[:, :1], noise, tf.fill(tf.shape(noise), mark)], axis=1)


def make(**changes):
    data = dict(
        labeled=(LABELED, Y), unlabeled=NUMBERS, num_classes=3, views=TELL
    )
    return types.SimpleNamespace(**(data | changes))


def batches(count, data=None, sizes=(3, 4), **arguments):
    train = pipeline.training_dataset(data or make(), *sizes, **arguments)
    return list(train.take(count).as_numpy_iterator())


def same(first, second):
    return all(
        np.array_equal(a, b)
        for a, b in zip(
            keras.tree.flatten(first), keras.tree.flatten(second), strict=True
        )
    )


def ids(batches, key):
    return np.concatenate([x[key][:, 0] for x, _ in batches])


def test_same_seed_same_batches_bit_for_bit():
    data = datasets.digits(20)
    first, again, other = (
        batches(6, data, (32, 64), seed=seed) for seed in (1, 1, 2)
    )
    assert same(first, again)
    for one, another in zip(first, other, strict=True):
        for key in ("labeled", "weak", "strong"):
            assert not np.array_equal(one[0][key], another[0][key])


@pytest.mark.parametrize("start", [1, 7])
def test_start_step_is_the_same_as_skipping(start):
    train = pipeline.training_dataset(make(), 3, 4, seed=5)
    skipped = list(train.skip(start).take(9).as_numpy_iterator())
    assert same(skipped, batches(9, seed=5, start_step=start))


@pytest.mark.parametrize("sizes", [(4, 10), (3, 4), (1, 7), (9, 23)])
def test_every_pass_holds_each_example_once(sizes):
    seen = batches(40, sizes=sizes)
    for key, size, first in (("labeled", 4, 100), ("weak", 10, 0)):
        order = ids(seen, key)
        order = order[: len(order) // size * size].reshape(-1, size)
        whole = np.tile(np.arange(first, first + size), (len(order), 1))
        np.testing.assert_array_equal(np.sort(order), whole)
        assert len(np.unique(order, axis=0)) > 1


def test_large_sets_pass_exactly_too():
    count = ordering.SMALL_SET + 476
    numbers = np.arange(count, dtype="float32")[:, None] * np.ones(3, "f4")
    seen = batches(30, make(unlabeled=numbers), (3, 100))
    order = ids(seen, "weak").reshape(2, count)
    np.testing.assert_array_equal(np.sort(order), [np.arange(count)] * 2)
    assert np.mean(order[0] == order[1]) < 0.01
    assert abs(np.corrcoef(order[0], np.arange(count))[0, 1]) < 0.1


@pytest.mark.parametrize("size", [5, 1500])
def test_passes_do_not_repeat_each_other(size):
    # With pass numbers as its seeds, TensorFlow's index shuffle would know
    # 256 orders only.
    key = ordering.key_of(0, "order")
    passes = ordering.ShuffledBatches(np.arange(size), size * 600, key)
    order = passes(tf.constant(0, tf.int64)).numpy().reshape(600, size)
    distinct = len(np.unique(order, axis=0))
    assert distinct == 600 if size > 5 else distinct > 115  # of 5! = 120


def test_first_places_are_uniform():
    passes = ordering.ShuffledBatches(np.arange(6), 6 * 6000, 1)
    order = passes(tf.constant(3, tf.int64)).numpy().reshape(-1, 6)
    counts = np.array([np.bincount(c, minlength=6) for c in order.T])
    # 25 degrees of freedom: 52.6 is exceeded once in a thousand.
    assert ((counts - 1000) ** 2 / 1000).sum() < 52.6


def test_orders_are_independent():
    seen = batches(20, make(unlabeled=LABELED), (4, 4))
    labeled, unlabeled = ids(seen, "labeled"), ids(seen, "weak")
    assert 0.05 < np.mean(labeled == unlabeled) < 0.5


def test_weak_and_strong_show_the_same_examples():
    for x, _ in batches(5):
        np.testing.assert_array_equal(x["weak"][:, 0], x["strong"][:, 0])
        assert not np.intersect1d(x["weak"][:, 1], x["strong"][:, 1]).size
        assert (x["weak"][:, 2] == 0.25).all()
        assert (x["strong"][:, 2] == 0.5).all()
        assert (x["labeled"][:, 2] == 0.25).all()


def test_labels_stay_with_their_images():
    for x, y in batches(10):
        np.testing.assert_array_equal(
            y, Y[x["labeled"][:, 0].astype(int) - 100]
        )


def test_a_larger_labeled_batch_repeats_with_views_of_its_own():
    x, y = batches(1, sizes=(11, 4))[0]
    counts = np.unique(x["labeled"][:, 0], return_counts=True)[1]
    assert sorted(counts.tolist()) == [2, 3, 3, 3] and y.shape == (11,)
    assert len(np.unique(x["labeled"][:, 1])) == 11


def test_views_change_with_every_step():
    seen = np.concatenate([x["weak"][:, 1] for x, _ in batches(50)])
    assert len(np.unique(seen)) == len(seen)


def test_static_shapes_and_endless():
    def forgets(x, seed):
        return tf.reshape(x, tf.concat([[-1], tf.shape(x)[1:]], axis=0))

    views = augment.Views(forgets, forgets)
    train = pipeline.training_dataset(make(), 3, 4, views=views)
    x, y = train.element_spec
    assert x["labeled"].shape == (3, 3) and y.shape == (3,)
    assert x["weak"].shape == x["strong"].shape == (4, 3)
    assert train.cardinality() == tf.data.INFINITE_CARDINALITY
    policy = train.options().experimental_distribute.auto_shard_policy
    assert policy == tf.data.experimental.AutoShardPolicy.DATA


def test_steps_per_epoch():
    assert pipeline.training_dataset(make(), 3, 4).stream.steps_per_epoch == 3
    assert pipeline.training_dataset(make(), 3, 5).stream.steps_per_epoch == 2
    train = pipeline.training_dataset(make(), 3, 5, steps_per_epoch=50)
    assert train.stream.steps_per_epoch == 50


def test_labels_keep_their_form():
    (_, y), *_ = batches(1, make(labeled=(LABELED, Y[:, None])))
    assert y.shape == (3,) and y.dtype == Y.dtype
    rows = np.eye(3, dtype="float32")[Y]
    (x, y), *_ = batches(1, make(labeled=(LABELED, rows)))
    assert y.dtype == np.float32
    np.testing.assert_array_equal(
        y.argmax(axis=1), Y[x["labeled"][:, 0].astype(int) - 100]
    )


def test_structures():
    def tree(x):
        return {"a": x, "b": [x[:, :2], (x[:, 0] * 2).astype("int32")]}

    def weak(x, seed):
        return x

    data = make(labeled=(tree(LABELED), Y), unlabeled=tree(NUMBERS))
    data.views = augment.Views(weak, weak)
    for x, _ in batches(5, data):
        for key in ("labeled", "weak", "strong"):
            a, (b, c) = x[key]["a"], x[key]["b"]
            np.testing.assert_array_equal(a[:, :2], b)
            np.testing.assert_array_equal(a[:, 0] * 2, c)


def test_meta_strong_is_a_strong_view_of_the_labeled_batch():
    for (x, y), (plain, y_plain) in zip(
        batches(4, meta="strong"), batches(4), strict=True
    ):
        np.testing.assert_array_equal(x["meta"][:, 0], x["labeled"][:, 0])
        assert (x["meta"][:, 2] == 0.5).all()
        assert not np.intersect1d(x["meta"][:, 1], x["strong"][:, 1]).size
        np.testing.assert_array_equal(y, y_plain)
        np.testing.assert_array_equal(x["weak"], plain["weak"])


def test_meta_labeled_is_the_labeled_batch_itself():
    for (x, y), (other, labels) in zip(
        batches(2, meta="labeled"), batches(2), strict=True
    ):
        assert set(x) == {"labeled", "weak", "strong"}
        np.testing.assert_array_equal(x["labeled"], other["labeled"])
        np.testing.assert_array_equal(y, labels)


def test_meta_pair_is_a_batch_of_its_own():
    meta = (NUMBERS[:5] + 200, np.array([[1], [2], [0], [1], [2]]))
    seen = batches(10, meta=meta)
    for x, y in seen:
        number = x["meta"][:, 0].astype(int) - 200
        np.testing.assert_array_equal(y["meta"], meta[1][number, 0])
        assert (x["meta"][:, 2] == 0.25).all() and len(number) == 3
        assert y["labeled"].shape == (3,)
    order = np.sort(ids(seen, "meta").reshape(6, 5))
    np.testing.assert_array_equal(order, [np.arange(200, 205)] * 6)


@pytest.mark.parametrize("kept_in", [True, False])
def test_nothing_leaks_into_training(kept_in):
    data = datasets.digits(
        20, validation_fraction=0.3, labeled_in_unlabeled=kept_in
    )

    def keep(x, seed):
        return x

    def rows(x):
        return {row.tobytes() for row in x}

    views = augment.Views(keep, keep)
    train = pipeline.training_dataset(data, 32, 64, views=views)
    steps = train.stream.steps_per_epoch
    seen = list(train.take(steps).as_numpy_iterator())
    unlabeled = set().union(*(rows(x["weak"]) for x, _ in seen))
    labeled = set().union(*(rows(x["labeled"]) for x, _ in seen))
    held = [x for x, _ in data.test.as_numpy_iterator()]
    held += [x for x, _ in data.validation.as_numpy_iterator()]
    assert not (labeled | unlabeled) & rows(np.concatenate(held))
    assert labeled == rows(data.labeled[0]) and len(labeled) == 20
    assert unlabeled == rows(data.unlabeled)
    assert len(labeled & unlabeled) == (20 if kept_in else 0)


def test_plain_keras_model_trains_on_it():
    model = keras.Sequential([keras.layers.Dense(3)])
    model.compile(
        "sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    train = pipeline.training_dataset(make(), 3, 4)
    history = model.fit(
        train.map(lambda x, y: (x["labeled"], y)),
        steps_per_epoch=train.stream.steps_per_epoch,
        epochs=2,
        verbose=0,
    )
    assert len(history.history["loss"]) == 2


BAD = NUMBERS * np.array([1, np.nan, 1], "float32")
CROP = augment.Views(lambda x, seed: x, lambda x, seed: x[:, :2])
CAST = augment.Views(lambda x, seed: tf.cast(x, "float64"), lambda x, seed: x)
IMAGES = np.zeros((9, 4, 5), "float32")
GREY = dict(views=None, unlabeled=IMAGES, labeled=(IMAGES[:4], Y))
DROP = augment.Views(lambda x, seed: x, lambda x, seed: x[:1])


@pytest.mark.parametrize(
    ("data", "changes", "message"),
    [
        (dict(labeled=(LABELED, [0, 1, 2, 3])), {}, r"`data.labeled\[1\]`.* 3"),
        (dict(labeled=(LABELED, Y * 1.0)), {}, "must be integers.*float64"),
        (dict(labeled=(LABELED, np.eye(4))), {}, "rows of 3 .*4, 4"),
        (dict(labeled=(LABELED, Y[:3])), {}, "3 labels for 4 examples"),
        (dict(labeled=(BAD[:4], Y)), {}, r"`data.labeled\[0\]` .* finite"),
        (dict(unlabeled=BAD), {}, r"`data.unlabeled` .* finite.* 10 NaN"),
        (dict(unlabeled=NUMBERS[:0]), {}, "`data.unlabeled` .* at least one"),
        (dict(unlabeled=NUMBERS[:, :2]), {}, r"`data.unlabeled` .* shapes"),
        (dict(views=None), {}, "`views` must be given.*None"),
        (dict(GREY), {}, r"images of 4 x 5 pixels.*`x\[..., None\]`"),
        ({}, dict(views=len), "`views` must be given.*len"),
        ({}, dict(views=CROP), r"`views.strong\(x\)` .*\(3,\).*\(2,\)"),
        ({}, dict(views=CAST), r"`views.weak\(x\)` .*float32.*float64"),
        (
            {},
            dict(views=DROP),
            "`views.strong` must keep the number.* 1 for 16",
        ),
        ({}, dict(labeled_batch_size=0), "`labeled_batch_size` .*=0"),
        ({}, dict(unlabeled_batch_size=2.0), "`unlabeled_batch_size` .*=2.0"),
        ({}, dict(unlabeled_batch_size=True), "`unlabeled_batch_size` .*=True"),
        ({}, dict(seed="a"), "`seed` must be an integer.*'a'"),
        ({}, dict(seed=-1), "`seed` must be an integer.*=-1"),
        ({}, dict(start_step=-1), "`start_step` must be .*=-1"),
        ({}, dict(steps_per_epoch=0), "`steps_per_epoch` must be .*=0"),
        ({}, dict(meta="weak"), "`meta` must be None, .*'weak'"),
        ({}, dict(meta=3), "`meta` must be None, .*=3"),
        ({}, dict(meta=(LABELED[:, :1], Y)), r"`meta\[0\]` must have"),
        ({}, dict(meta=(LABELED, Y + 1)), r"`meta\[1\]` must be .* value 3"),
    ],
)
def test_errors(data, changes, message):
    arguments = dict(labeled_batch_size=3, unlabeled_batch_size=4) | changes
    with pytest.raises(ValueError, match=message):
        pipeline.training_dataset(make(**data), **arguments)


def test_labeled_batches_go_on_and_follow_the_seed():
    def take(count, **arguments):
        d = pipeline.labeled_dataset(make(), 3, view=TELL.weak, **arguments)
        return list(d.take(count).as_numpy_iterator())

    whole = take(9, seed=5)
    assert same(whole[4:], take(5, seed=5, start_step=4))
    other = take(9, seed=6)
    assert not np.array_equal(
        [x[:, 0] for x, _ in whole], [x[:, 0] for x, _ in other]
    )


def test_labeled_and_weak_views_are_independent():
    for x, _ in batches(5):
        assert not np.intersect1d(x["labeled"][:, 1], x["weak"][:, 1]).size


def test_shards_are_parts_of_the_same_batches():
    data = datasets.two_moons()

    def batches(**options):
        return pipeline.training_dataset(data, 8, 32, seed=3, **options)

    def rows(x):
        return np.concatenate([x["labeled"], x["weak"], x["strong"]])

    whole = list(batches(shards=4).take(3))
    # Two workers with one replica each, and one with two: in turns.
    first, second = (
        list(batches(shards=4).stream.of_replicas([index], 2).take(3))
        for index in (0, 1)
    )
    turns = list(batches(shards=4).stream.of_replicas(range(2), 2).take(6))
    for step, (x, y) in enumerate(whole):
        halves = first[step], second[step]
        for other in (halves, turns[2 * step : 2 * step + 2]):
            np.testing.assert_array_equal(
                y, np.concatenate([half[1] for half in other])
            )
            for name in ("labeled", "weak", "strong"):
                np.testing.assert_array_equal(
                    x[name], np.concatenate([half[0][name] for half in other])
                )
    # A run that goes on, and other views than those of whole batches.
    later = next(
        iter(batches(shards=4).stream.from_step(2).stream.of_replicas([1], 2))
    )
    np.testing.assert_array_equal(rows(later[0]), rows(second[2][0]))
    x, y = next(iter(batches(shards=1)))
    np.testing.assert_array_equal(y, whole[0][1])
    assert not np.array_equal(rows(x), rows(whole[0][0]))


def test_shards_do_not_depend_on_the_workers():
    data = datasets.two_moons()
    for sizes, shards in (
        ((8, 64), 1),
        ((32, 224), 2),
        ((128, 896), 8),
        ((6, 1024), 2),
        ((7, 1024), 1),
    ):
        assert pipeline.training_dataset(data, *sizes).stream.shards == shards
    with pytest.raises(ValueError, match="`shards` must divide both.*=3"):
        pipeline.training_dataset(data, 8, 32, shards=3)
    with pytest.raises(ValueError, match="`shards` must be an integer >= 1"):
        pipeline.training_dataset(data, 8, 32, shards=0)


@pytest.mark.parametrize("data", [(NUMBERS, Y), NUMBERS, None], ids=type)
def test_plain_arrays_are_no_data(data):
    with pytest.raises(ValueError, match="`data` must be labeled.*Received"):
        pipeline.training_dataset(data, 2, 4)
