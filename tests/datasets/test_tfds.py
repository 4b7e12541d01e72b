"""Data sets in TensorFlow Datasets' own format, prepared on this machine."""

import io
import types

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from prepared import prepare

from mpl_keras import augment, datasets, pipeline
from mpl_keras.datasets import records, tfds
from mpl_keras.images.reading import MAX_PIXELS

VIEWS = augment.image_views(32, 32)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    cifar = prepare(
        folder, "cifar10", {"train": 60, "test": 20}, version="3.0.2"
    )
    svhn = prepare(
        folder,
        "svhn_cropped",
        {"train": 30, "extra": 50, "test": 10},
        version="3.1.0",
    )
    return types.SimpleNamespace(folder=str(folder), cifar=cifar, svhn=svhn)


def load(prepared, name="cifar10", **arguments):
    return datasets.from_tfds(
        name, data_dir=prepared.folder, views=VIEWS, **arguments
    )


def rows(images):
    return [image.tobytes() for image in images]


def test_images_and_labels_are_those_written(prepared):
    found = load(prepared, num_labeled=20)
    images, labels = prepared.cifar["train"]
    np.testing.assert_array_equal(found.unlabeled[:], images)
    np.testing.assert_array_equal(found.unlabeled_labels, labels)
    x, y = found.labeled
    np.testing.assert_array_equal(np.bincount(y), [2] * 10)
    where = [rows(images).index(row) for row in rows(x[:])]
    np.testing.assert_array_equal(labels[where], y)
    ((x, y),) = found.test.as_numpy_iterator()
    np.testing.assert_array_equal(x, prepared.cifar["test"][0])
    np.testing.assert_array_equal(y, prepared.cifar["test"][1])
    assert found.class_names[3] == "class 3" and found.validation is None


def test_the_order_is_that_of_tfds(prepared):
    import tensorflow_datasets

    stored = tensorflow_datasets.load(
        "cifar10", split="train", data_dir=prepared.folder, download=False
    )
    want = [example["image"] for example in stored.as_numpy_iterator()]
    np.testing.assert_array_equal(load(prepared).unlabeled[:], want)


def test_splits_are_apart(prepared):
    found = load(
        prepared,
        num_labeled=20,
        seed=4,
        validation_fraction=0.25,
        labeled_in_unlabeled=False,
    )
    ((aside, _),) = found.validation.as_numpy_iterator()
    parts = [rows(found.labeled[0][:]), rows(found.unlabeled[:]), rows(aside)]
    assert [len(part) for part in parts] == [20, 25, 15]
    assert len(set().union(*parts)) == 60
    assert not set().union(*parts) & set(rows(prepared.cifar["test"][0]))


def test_extra_images_are_unlabeled(prepared):
    found = load(prepared, "svhn_cropped", num_labeled=10)
    want = prepared.svhn["train"][0] + prepared.svhn["extra"][0]
    np.testing.assert_array_equal(found.unlabeled[:], want)
    assert found.unlabeled_labels is None
    without = load(prepared, "svhn_cropped", extra_split=None)
    assert len(without.unlabeled) == 30
    flipped = datasets.from_tfds("cifar10", data_dir=prepared.folder)
    assert flipped.views == augment.cifar_views(32)
    unflipped = datasets.from_tfds("svhn_cropped", data_dir=prepared.folder)
    assert unflipped.views == augment.svhn_views(32)


def test_parts_of_splits(prepared):
    found = load(
        prepared,
        labeled_split="train[10:30]",
        extra_split="train[50%:]",
        test_split="test[:5]",
    )
    images = prepared.cifar["train"][0]
    np.testing.assert_array_equal(found.labeled[0][:], images[10:30])
    np.testing.assert_array_equal(
        found.unlabeled[:], images[10:30] + images[30:]
    )
    assert next(iter(found.test))[0].shape == (5, 32, 32, 3)


@pytest.mark.slow
def test_imagenet_of_which_a_tenth_is_labeled(tmp_path):
    """Labels of one data set, unlabeled images of another; JPEG, any size."""
    arguments = dict(shape=(None, None, 3), labels=4, encoding_format="jpeg")
    part = {"train": 8, "validation": 6}
    prepare(
        tmp_path,
        "imagenet2012_subset/10pct",
        part,
        version="5.0.0",
        **arguments,
    )
    whole = {"train": 24, "validation": 6}
    prepare(tmp_path, "imagenet2012", whole, version="5.1.0", **arguments)
    found = datasets.from_tfds(
        "imagenet2012_subset/10pct", data_dir=str(tmp_path), image_size=70
    )
    assert found.labeled[0].shape == (8, 80, 80, 3)
    assert len(found.unlabeled) == 24
    np.testing.assert_array_equal(found.labeled[1], np.arange(8) % 4)
    assert next(iter(found.test))[0].shape == (6, 70, 70, 3)
    x, y = next(iter(pipeline.training_dataset(found, 2, 3)))
    assert x["strong"].shape == (3, 70, 70, 3) and y.shape == (2,)
    with pytest.raises(ValueError, match="cannot be found in imagenet2012"):
        datasets.from_tfds(
            "imagenet2012_subset/10pct",
            data_dir=str(tmp_path),
            labeled_in_unlabeled=False,
        )


def test_array_records(tmp_path, prepared):
    sizes = {"train": 60, "test": 20}
    prepare(
        tmp_path,
        "cifar10",
        sizes,
        version="3.0.2",
        file_format="array_record",
    )
    folder = types.SimpleNamespace(folder=str(tmp_path))
    one = load(folder, num_labeled=20, validation_fraction=0.1)
    other = load(prepared, num_labeled=20, validation_fraction=0.1)
    np.testing.assert_array_equal(one.unlabeled[:], other.unlabeled[:])
    np.testing.assert_array_equal(one.labeled[1], other.labeled[1])


def test_batches_go_on_where_they_stopped(prepared):
    found = load(prepared, num_labeled=10)
    whole = pipeline.training_dataset(found, 4, 8, seed=2).take(9)
    rest = pipeline.training_dataset(found, 4, 8, seed=2, start_step=6).take(3)
    for (one, _), (other, _) in zip(whole.skip(6), rest, strict=True):
        for view in one:
            np.testing.assert_array_equal(one[view], other[view])


@pytest.mark.slow
def test_one_seed_gives_the_same_views_and_another_others(prepared):
    def views(seed):
        found = datasets.from_tfds(
            "cifar10", data_dir=prepared.folder, num_labeled=10, seed=seed
        )
        batches = pipeline.training_dataset(found, 4, 8, seed=seed).take(20)
        return [x for x, _ in batches.as_numpy_iterator()]

    for one, again, other in zip(views(1), views(1), views(2), strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], again[name])
            assert not np.array_equal(one[name], other[name])


@pytest.mark.parametrize(
    ("name", "arguments", "error", "message"),
    [
        ("cifar11", {}, ValueError, "such as .*cifar10.*=cifar11"),
        ("mnist", {}, FileNotFoundError, "mnist is not prepared.*tfds build"),
        ("cifar10", dict(num_labeled=15), ValueError, "multiple of 10"),
        ("cifar10", dict(labeled_split="dev"), ValueError, "'test', 'train'"),
        ("cifar10", dict(extra_split="extra"), ValueError, "`extra_split`"),
        (
            "cifar10",
            dict(labeled_in_unlabeled=False),
            ValueError,
            "no unlabeled images",
        ),
    ],
)
def test_errors(prepared, name, arguments, error, message):
    with pytest.raises(error, match=message):
        load(prepared, name, **arguments)


def test_downloading_without_a_network_fails_at_once(tmp_path, monkeypatch):
    def refuse(address, timeout):
        raise OSError("no route to host")

    monkeypatch.setattr(tfds.socket, "create_connection", refuse)
    with pytest.raises(ConnectionError, match="needs a network.*no route"):
        datasets.from_tfds("mnist", data_dir=str(tmp_path), download=True)


def test_a_damaged_file_is_said(tmp_path):
    name = str(tmp_path / "train.tfrecord")
    with tf.io.TFRecordWriter(name) as writer:
        for _ in range(3):
            writer.write(b"0123456789")
    contents = open(name, "rb").read()
    part = types.SimpleNamespace(filename=name, skip=0, take=-1)
    assert records.Records([part]).read([2]) == [b"0123456789"]
    for length in (len(contents) - 5, 30, 60):
        with open(name, "wb") as file:
            file.write(contents[:length])
        with pytest.raises(ValueError, match="damaged: at byte"):
            records.Records([part])


def test_labels_of_many_chunks(prepared, monkeypatch):
    monkeypatch.setattr(tfds, "_CHUNK", 7)
    found = load(prepared)
    np.testing.assert_array_equal(found.labeled[1], prepared.cifar["train"][1])


def test_stl10_brings_unlabelled_images(tmp_path):
    sizes = {"train": 10, "test": 10, "unlabelled": 15}
    prepare(tmp_path, "stl10", sizes, shape=(96, 96, 3), version="1.0.0")
    found = datasets.from_tfds("stl10", data_dir=str(tmp_path))
    assert len(found.unlabeled) == 25
    assert found.views == augment.imagenet_views((96, 96))


def test_test_goes_before_validation(tmp_path):
    sizes = {"train": 10, "test": 4, "validation": 6}
    written = prepare(tmp_path, "svhn_cropped", sizes, version="3.1.0")
    found = datasets.from_tfds(
        "svhn_cropped", data_dir=str(tmp_path), extra_split=None
    )
    ((x, _),) = found.test.as_numpy_iterator()
    np.testing.assert_array_equal(x, written["test"][0])


def test_validation_has_its_labels(prepared):
    found = load(prepared, num_labeled=20, validation_fraction=0.25, seed=4)
    images_, labels = prepared.cifar["train"]
    ((x, y),) = found.validation.as_numpy_iterator()
    where = [rows(images_).index(row) for row in rows(x)]
    np.testing.assert_array_equal(labels[where], y)


def test_another_seed_labels_others(prepared):
    one, other = (load(prepared, num_labeled=10, seed=s) for s in (1, 2))
    assert rows(one.labeled[0][:]) != rows(other.labeled[0][:])


def test_unbalanced_choice(prepared):
    y = load(prepared, num_labeled=15, balanced=False).labeled[1]
    assert set(np.bincount(y)) == {1, 2}


def test_many_readers_of_one_file(prepared):
    found = load(prepared)
    numbers = np.random.RandomState(0).randint(0, 60, 2000)
    read = (
        tf.data.Dataset.from_tensor_slices(numbers)
        .batch(1)
        .map(found.labeled[0], num_parallel_calls=16)
    )
    got = np.concatenate(list(read.as_numpy_iterator()))
    np.testing.assert_array_equal(
        got, np.array(prepared.cifar["train"][0])[numbers]
    )


def test_views_of_a_default_size(tmp_path):
    arguments = dict(shape=(None, None, 3), labels=2, encoding_format="jpeg")
    prepare(
        tmp_path, "imagenet2012", {"train": 4}, version="5.1.0", **arguments
    )
    found = datasets.from_tfds("imagenet2012", data_dir=str(tmp_path))
    assert found.labeled[0].view_shape == (224, 224, 3)


def test_validation_cannot_be_kept_out_of_another_set(prepared):
    with pytest.raises(ValueError, match="cannot be found in svhn_cropped"):
        load(
            prepared,
            unlabeled_name="svhn_cropped",
            num_labeled=20,
            validation_fraction=0.1,
        )


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_flipped(name):
    x = types.SimpleNamespace(view_shape=(32, 32, 3))
    assert tfds._default_views(name, x) == augment.cifar_views(32)


def test_a_test_split_without_labels_is_not_measured_on(tmp_path):
    sizes = {"train": 10, "test": 4, "validation": 6}
    written = prepare(
        tmp_path, "svhn_cropped", sizes, version="3.1.0", unlabeled="test"
    )
    found = datasets.from_tfds(
        "svhn_cropped", data_dir=str(tmp_path), extra_split=None
    )
    ((x, _),) = found.test.as_numpy_iterator()
    np.testing.assert_array_equal(x, written["validation"][0])


@pytest.mark.parametrize("name", ["cifar10:9.9.9", "", "cifar 10", None, 3])
def test_names_that_are_none(prepared, name):
    with pytest.raises(ValueError, match="`name` must be a data set"):
        load(prepared, name)


def test_a_split_without_records(prepared):
    with pytest.raises(ValueError, match="`labeled_split` must hold records"):
        load(prepared, labeled_split="train[:0]")


def test_large_images_of_small_ones(prepared):
    found = datasets.from_tfds(
        "cifar10", data_dir=prepared.folder, image_size=70
    )
    x, _ = next(iter(pipeline.training_dataset(found, 2, 2)))
    assert x["strong"].shape == (2, 70, 70, 3)


def test_pictures_of_too_many_pixels_are_not_decoded(tmp_path):
    shape, sizes = (None, None, 3), {"train": 6}
    arguments = dict(shape=shape, labels=2, encoding_format="jpeg")
    prepare(tmp_path, "imagenet2012", sizes, version="5.1.0", **arguments)
    options = {"data_dir": str(tmp_path), "image_size": 32}

    def load(max_pixels):
        return datasets.from_tfds(
            "imagenet2012", **options, max_pixels=max_pixels
        )

    load(120**2).unlabeled.read(tf.range(3))
    found = load(70**2 - 1)
    many = pytest.raises(
        tf.errors.InvalidArgumentError, match="(?s)Too many pixels.*=4899"
    )
    with many:
        found.unlabeled.read(tf.range(3))
    with many:
        next(iter(pipeline.training_dataset(found, 2, 2)))
    with pytest.raises(ValueError, match="`max_pixels` must be an integer"):
        load(0)


class Records:
    """Two records of the same file."""

    def __init__(self, contents):
        image = tf.train.Feature(
            bytes_list=tf.train.BytesList(value=[contents])
        )
        features = tf.train.Features(feature={"image": image})
        self.record = tf.train.Example(features=features).SerializeToString()

    def __len__(self):
        return 2

    def __call__(self, index):
        return tf.fill(tf.shape(index), self.record)


def declared(contents, max_pixels=MAX_PIXELS):
    """Pictures that are declared as 32 x 32, and are others."""
    size = (32, 32)
    shapes = (*size, 3), (*size, 3)
    return tfds._RecordImages(
        Records(contents), "image", *shapes, size, max_pixels
    )


def written(form, width, height):
    file = io.BytesIO()
    PIL.Image.new("L", (width, height)).save(file, form)
    return file.getvalue()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF"])
def test_pictures_larger_than_declared_are_not_decoded(form):
    contents = written(form, 70, 80)
    images = declared(contents, 5600).read(tf.range(2))
    assert images.shape == (2, 32, 32, 3)
    source = declared(contents, 5599)
    many = pytest.raises(
        tf.errors.InvalidArgumentError, match="(?s)Too many pixels.*=5599"
    )
    with many:
        source.read(tf.range(2))
    with many:
        next(iter(tf.data.Dataset.from_tensors([0, 1]).map(source.read)))


def test_pictures_as_declared_have_a_limit():
    contents = written("PNG", 32, 32)
    assert declared(contents, 1024).read(tf.range(2)).shape == (2, 32, 32, 3)
    with pytest.raises(tf.errors.InvalidArgumentError, match="Too many"):
        declared(contents, 1023).read(tf.range(2))


def test_pictures_of_other_formats_are_named():
    source = declared(written("BMP", 32, 32))
    with pytest.raises(tf.errors.InvalidArgumentError, match="neither PNG"):
        source.read(tf.range(2))
