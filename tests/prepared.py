"""Data sets in TensorFlow Datasets' own format, written for tests."""

import numpy as np
import tensorflow as tf


def prepare(folder, name, sizes, shape=(32, 32, 3), labels=10, **options):
    """Writes a data set as `tfds.load` would; returns its images by split."""
    import tensorflow_datasets

    random = np.random.RandomState(0)
    written = {}
    for split, size in sizes.items():
        pixels = [
            random.randint(0, 256, _size(shape, random)).astype("uint8")
            for _ in range(size)
        ]
        written[split] = pixels, np.arange(size) % labels
        if split == options.get("unlabeled"):
            written[split] = pixels, np.full(size, -1)
    options.pop("unlabeled", None)

    def examples(split):
        for pixels, label in zip(*written[split], strict=True):
            yield {"id": b"some", "image": pixels, "label": label}

    spec = {
        "id": tf.TensorSpec([], tf.string),
        "image": tf.TensorSpec([None, None, shape[-1]], tf.uint8),
        "label": tf.TensorSpec([], tf.int64),
    }
    tensorflow_datasets.dataset_builders.store_as_tfds_dataset(
        name=name.split("/")[0],
        config=name.split("/")[1] if "/" in name else None,
        version=options.pop("version", "3.0.0"),
        file_format=options.pop("file_format", None),
        features=tensorflow_datasets.features.FeaturesDict(
            {
                "id": tensorflow_datasets.features.Text(),
                "image": tensorflow_datasets.features.Image(
                    shape=shape, **options
                ),
                "label": tensorflow_datasets.features.ClassLabel(
                    names=[f"class {k}" for k in range(labels)]
                ),
            }
        ),
        split_datasets={
            split: tf.data.Dataset.from_generator(
                lambda split=split: examples(split), output_signature=spec
            )
            for split in sizes
        },
        data_dir=str(folder),
        disable_shuffling=True,
    )
    return written


def _size(shape, random):
    return [n or random.randint(70, 120) for n in shape[:2]] + [shape[2]]
