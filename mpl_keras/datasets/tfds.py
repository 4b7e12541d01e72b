"""Image data of TensorFlow Datasets, read by number as it was prepared."""

import difflib
import socket

import numpy as np
import tensorflow as tf

from mpl_keras import augment
from mpl_keras.checks import arguments, settings
from mpl_keras.checks.arguments import ArgumentError
from mpl_keras.datasets import (
    image_files,
    records,
    semi_supervised_data,
    sources,
    splits,
)
from mpl_keras.images import decoding, reading
from mpl_keras.images.reading import MAX_PIXELS

# What is unlabeled beside the training images.
_EXTRA_SPLITS = {"svhn_cropped": "extra", "stl10": "unlabelled"}
_UNLABELED = {"imagenet2012_subset": "imagenet2012"}
# Small images of which a flip is known to do no harm.
_FLIPPED = ("cifar10", "cifar100", "cifar10_corrupted", "cifar10_1")
_DEFAULT_SIZE = 224
_CHUNK = 1024  # records that are parsed at once
# Records that are compared by a backup, and how many of more.
_COMPARED, _SAMPLE = 2**17, 1024


class UnknownDatasetError(ArgumentError):
    """TensorFlow Datasets has no data set of that name.

    Example:
    >>> print(UnknownDatasetError("name", "be a data set", "cifar"))
    `name` must be a data set. Received: name=cifar
    """


def from_tfds(
    name: str,
    *,
    num_labeled: int | None = None,
    data_dir: str | None = None,
    download: bool = False,
    labeled_split: str = "train",
    extra_split: str | None = "default",
    unlabeled_name: str | None = "default",
    test_split: str | None = "default",
    image_size: int | tuple[int, int] | None = None,
    seed: int = 0,
    validation_fraction: float = 0.0,
    labeled_in_unlabeled: bool = True,
    balanced: bool = True,
    views: augment.Views | None = None,
    max_pixels: int = MAX_PIXELS,
) -> semi_supervised_data.SemiSupervisedData:
    """Images of TensorFlow Datasets, which are read when they are needed.

    The order is that of the prepared files: a split is the same on every
    machine.

    Args:
        name: As of `tfds.load`, such as "cifar10", "svhn_cropped", "stl10",
            "cifar100", or "imagenet2012_subset/10pct".
        num_labeled: How many of `labeled_split` keep their labels; see
            `splits.split_labeled`. By default all.
        data_dir: Where it is prepared; by default TFDS's own folder.
        download: Whether to download and prepare it if it is not there.
        labeled_split: The split whose labels may be used.
        extra_split: Its images are unlabeled ones too; None for none. By
            default "extra" of svhn_cropped, "unlabelled" of stl10.
        unlabeled_name: Another data set, whose `labeled_split` is the
            unlabeled set; None for none. By default "imagenet2012" for
            "imagenet2012_subset".
        test_split: By default "test", or "validation" where there is none.
        image_size: Pixels of the square, or (height, width), that networks
            take. By default as they are if all have one size, else 224.
        seed: Of the choice of labeled and validation images.
        validation_fraction: Share of `labeled_split` to set aside for choosing
            settings; in [0, 1).
        labeled_in_unlabeled: False removes the labeled images from the
            unlabeled ones.
        balanced: See `splits.split_labeled`.
        views: By default `augment.default_views`, but `augment.cifar_views` of
            CIFAR.
        max_pixels: How many a picture may have; one that has more ends the
            training, and is not decoded.

    Returns:
        Data whose images are uint8 in [0, 255], [N, height, width, channels];
        images above 64 pixels are 8/7 of `image_size` unless all have that
        size, and views and evaluation take their crops.

    Raises:
        UnknownDatasetError: There is no data set of that name.
        ArgumentError: The data have no images or classes, or a split is none.
        FileNotFoundError: It is not prepared, and is not to be downloaded.
        ConnectionError: It is to be, and there is no network.

    Example:
    >>> from_tfds("cifar", data_dir="nowhere")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    mpl_keras.datasets.tfds.UnknownDatasetError: `name` must be a data set \
of TensorFlow Datasets, such as ...
    """
    arguments.integer("max_pixels", max_pixels, 1)
    if data_dir is not None:
        data_dir = arguments.path("data_dir", data_dir)
    builder = _prepared(name, data_dir, download)
    key, classes = _keys(builder)
    if unlabeled_name == "default":
        unlabeled_name = _UNLABELED.get(builder.name)
    if extra_split == "default":
        extra_split = _EXTRA_SPLITS.get(builder.name)
    labeled_files = _instructions(builder, "labeled_split", labeled_split)
    y = _labels(records.Records(labeled_files), classes)
    split = splits.split(
        y,
        num_labeled,
        seed,
        classes.num_classes,
        validation_fraction=validation_fraction,
        labeled_in_unlabeled=labeled_in_unlabeled,
        balanced=balanced,
        class_names=classes.names,
    )
    feature = builder.info.features[key]
    form = _form(feature, image_size)

    def source(files):
        files = records.Records(files)
        size = _native(feature)
        return _RecordImages(files, key, *form, size, max_pixels)

    truth = y[split.unlabeled]
    if unlabeled_name is not None:
        _check_contained(
            unlabeled_name, labeled_in_unlabeled, validation_fraction
        )
        other = _prepared(unlabeled_name, data_dir, download)
        unlabeled = source(_instructions(other, "labeled_split", labeled_split))
        everything, truth = source(labeled_files), None
    else:
        extra = []
        if extra_split is not None:
            extra = _instructions(builder, "extra_split", extra_split)
            truth = None
        everything = source(labeled_files + extra)
        others = np.arange(len(y), len(everything))
        chosen = np.concatenate([split.unlabeled, others])
        if not len(chosen):
            raise ArgumentError(
                "num_labeled",
                f"be below {len(y)}, or `extra_split` name more: there are no "
                "unlabeled images",
                str(num_labeled),
            )
        unlabeled = everything.subset(chosen)
    validation = None
    if len(split.validation):
        validation = semi_supervised_data.evaluation_batches(
            everything.subset(split.validation), y[split.validation]
        )
    return semi_supervised_data.SemiSupervisedData(
        labeled=(everything.subset(split.labeled), y[split.labeled]),
        unlabeled=unlabeled,
        validation=validation,
        test=_test(builder, test_split, source, classes),
        num_classes=classes.num_classes,
        class_names=tuple(classes.names),
        unlabeled_labels=truth,
        views=views or _default_views(builder.name, unlabeled),
    )


class _RecordImages(sources.Source):
    """Images out of records of TensorFlow Datasets."""

    one_by_one = True

    def __init__(self, reader, key, shape, view_shape, size, max_pixels):
        super().__init__((len(reader), *shape), tf.uint8, view_shape)
        self._records = reader
        self._key = key
        self._max_pixels = max_pixels
        # How a PNG of the declared size begins: up to its width and height.
        self._declared = None
        if size is not None and size[0] * size[1] <= max_pixels:
            head = b"\0\0\0\rIHDR"
            sides = (side.to_bytes(4, "big") for side in size[::-1])
            self._declared = b"".join([reading.PNG, head, *sides])

    def checksum(self, numbers=None):
        """Of the records as they are; of some of very many."""
        if numbers is None:
            numbers = np.arange(len(self))
        total = settings.checksum(np.array([len(numbers), *self.shape[1:]]))
        most = _COMPARED if self._records.is_local else 0
        numbers = sources.spread(numbers, len(numbers), most, _SAMPLE)
        for start in range(0, len(numbers), _CHUNK):
            found = self._records.read(numbers[start : start + _CHUNK])
            total = settings.checksum(np.array(found, object), total)
        return total

    def read(self, index):
        height, width, channels = self.shape[1:]
        parsed = tf.io.parse_example(
            self._records(index),
            {self._key: tf.io.FixedLenFeature([], tf.string)},
        )

        def load(contents):
            image = reading.decode(contents, False, channels)
            return reading.cover(image, height, width)

        def load_small(contents):
            check = decoding.check_size(contents, self._max_pixels)
            with tf.control_dependencies([] if check is None else [check]):
                return load(contents)

        files, each = parsed[self._key], load_small
        checked = []
        if self._declared is not None:
            heads = tf.strings.substr(files, 0, len(self._declared))
            checked.append(
                tf.cond(
                    tf.reduce_all(heads == self._declared),
                    lambda: True,
                    lambda: tf.py_function(self._check_sizes, [files], tf.bool),
                )
            )
            each = load
        spec = tf.TensorSpec((height, width, channels), tf.uint8)
        with tf.control_dependencies(checked):
            return tf.map_fn(each, files, fn_output_signature=spec)

    def _check_sizes(self, files):
        """Raises if one has too many pixels; a short way for most."""
        for contents in files.numpy():
            size = None
            if contents.startswith((reading.PNG, reading.JPEG)):
                size = reading.stated_size(contents)
            if size is None or size[0] * size[1] > self._max_pixels:
                try:
                    decoding.check_size(contents, self._max_pixels)
                except tf.errors.InvalidArgumentError as error:
                    raise ValueError(error.message) from error
        return True


def _prepared(name, data_dir, download):
    """The builder of a data set whose files are there."""
    # Late: it is slow to import, and not everyone's data are from there.
    import tensorflow_datasets

    try:
        builder = tensorflow_datasets.builder(name, data_dir=data_dir)
    except (
        tensorflow_datasets.core.registered.DatasetNotFoundError,
        AssertionError,
        AttributeError,
        TypeError,
        ValueError,
    ) as error:
        near = _nearest(name, tensorflow_datasets.list_builders())
        raise UnknownDatasetError(
            "name",
            f"be a data set of TensorFlow Datasets{near}",
            str(name),
            note=f" ({str(error).splitlines()[0][:100]})",
        ) from error
    if builder.is_prepared():
        return builder
    if not download:
        raise FileNotFoundError(
            f"The data set {name} is not prepared in {builder.data_path}. "
            "With a network, prepare it with `download=True` (`mpl-keras "
            f"train --download`), or with `tfds build {name}`; without one, do "
            "that elsewhere and copy the folder "
            f"{builder.name} to {builder.data_dir_root}."
        )
    _check_network()
    builder.download_and_prepare()
    return builder


def _nearest(name, known):
    near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.75)
    return f", such as {', '.join(near)}" if near else ""


def _check_network():
    """Raises at once where downloading would try for minutes."""
    try:
        socket.create_connection(("storage.googleapis.com", 443), 5).close()
    except OSError as error:
        raise ConnectionError(
            "`download=True` needs a network, and storage.googleapis.com "
            f"cannot be reached: {error}"
        ) from error


def _keys(builder):
    """Name of the image feature, and (name, feature) of the label's."""
    import tensorflow_datasets

    features = builder.info.features
    found = []
    for kind in (
        tensorflow_datasets.features.Image,
        tensorflow_datasets.features.ClassLabel,
    ):
        names = [n for n, f in features.items() if isinstance(f, kind)]
        if len(names) != 1:
            raise ArgumentError(
                "name",
                "be a data set with one image and one class for each example",
                builder.name,
                note=f", with {len(names)} features of kind {kind.__name__} "
                f"among {sorted(features)}",
            )
        found += names
    form = builder.info.file_format.value
    if form not in ("tfrecord", "array_record"):
        raise ValueError(
            f"{builder.name} must be prepared as tfrecord or array_record. "
            f"Received: {form}"
        )
    return found[0], _Classes(found[1], features[found[1]])


class _Classes:
    """The feature that holds the class."""

    def __init__(self, key, feature):
        self.key = key
        self.num_classes = feature.num_classes
        self.names = feature.names


def _instructions(builder, argument, split):
    """Which files hold a split, and which of their records."""
    try:
        found = list(builder.info.splits[split].file_instructions)
    except (KeyError, ValueError, AttributeError, TypeError) as error:
        raise ArgumentError(
            argument,
            f"be a split of {builder.name}, of {sorted(builder.info.splits)}",
            str(split),
        ) from error
    if not found:
        raise ArgumentError(argument, "hold records", str(split))
    return found


def _parse_labels(contents, key):
    parsed = tf.io.parse_example(
        contents, {key: tf.io.FixedLenFeature([], tf.int64)}
    )
    return tf.cast(parsed[key], tf.int32)


def _labels(reader, classes):
    """Classes of all records, int32."""
    parts = []
    for start in range(0, len(reader), _CHUNK):
        numbers = range(start, min(start + _CHUNK, len(reader)))
        parts.append(_parse_labels(reader.read(numbers), classes.key).numpy())
    return np.concatenate(parts)


class _RecordLabels(sources.Source):
    """Classes out of records, for sets that are passed through in order."""

    def __init__(self, reader, key):
        super().__init__((len(reader),), tf.int32)
        self._records = reader
        self._key = key

    def read(self, index):
        return _parse_labels(self._records(index), self._key)


def _test(builder, split, source, classes):
    """Batches of the test split, or None where there is none."""
    if split == "default":
        # Some "test" splits, as ImageNet's, come without labels.
        known = [
            name
            for name in ("test", "validation")
            if name in builder.info.splits
            and _is_labeled(builder, name, classes)
        ]
        split = known[0] if known else None
    if split is None:
        return None
    files = _instructions(builder, "test_split", split)
    labels = _RecordLabels(records.Records(files), classes.key)
    return semi_supervised_data.evaluation_batches(source(files), labels)


def _is_labeled(builder, split, classes):
    """Whether the first records of a split have classes."""
    reader = records.Records(_instructions(builder, "test_split", split))
    contents = reader.read(range(min(len(reader), _CHUNK)))
    labels = _parse_labels(contents, classes.key).numpy()
    return bool(((labels >= 0) & (labels < classes.num_classes)).all())


def _form(feature, image_size):
    """Shape to which images are brought, and that of views of them."""
    channels, native = feature.shape[-1], _native(feature)
    size = image_size or native or _DEFAULT_SIZE
    return image_files.forms(size, native, channels or 3)


def _native(feature):
    """The one size of all images, or None."""
    size = tuple(feature.shape[:2])
    return None if None in size else size


def _default_views(name, unlabeled):
    if name in _FLIPPED and min(unlabeled.view_shape[:2]) <= augment.SMALL:
        return augment.named_views("cifar", *unlabeled.view_shape[:2])
    return augment.default_views(unlabeled)


def _check_contained(name, labeled_in_unlabeled, validation_fraction):
    if not labeled_in_unlabeled or validation_fraction:
        raise ArgumentError(
            "labeled_in_unlabeled",
            "be True and {validation_fraction} 0 with {unlabeled_name}",
            str(labeled_in_unlabeled),
            others={
                "validation_fraction": f"{validation_fraction}",
                "unlabeled_name": name,
            },
            note=f": labeled or validation images cannot be found in {name}, "
            "to remove them",
        )
