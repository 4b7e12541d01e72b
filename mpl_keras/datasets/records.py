"""Records of TFRecord and ArrayRecord files, by their number."""

import functools
import os
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

# Before a record: its length in 8 bytes, a checksum in 4; after it: 4 more.
_HEADER = struct.Struct("<QI")
_FRAME = _HEADER.size + 4
# Files that are kept open; systems allow about a thousand.
_OPEN_FILES = 128


class Records:
    """Any record of a set of files, in any order.

    Kept in memory are 16 bytes for each record, not the records.

    Args:
        parts: The files in order, each with `filename`, `skip` (records at its
            beginning that do not count) and `take` (how many do after these,
            -1 for all), as `info.splits["train"].file_instructions` of a data
            set of TensorFlow Datasets.

    Raises:
        ValueError: A file is not what it must be.

    Example:
    >>> import tempfile, types
    >>> name = os.path.join(tempfile.mkdtemp(), "numbers.tfrecord")
    >>> with tf.io.TFRecordWriter(name) as writer:
    ...     for number in range(5):
    ...         writer.write(b"number %d" % number)
    >>> part = types.SimpleNamespace(filename=name, skip=1, take=-1)
    >>> records = Records([part])
    >>> len(records), records.read([3, 0])
    (4, [b'number 4', b'number 1'])
    """

    def __init__(self, parts: Sequence[Any]):
        names = [os.fspath(part.filename) for part in parts]
        self._names = names
        self._array_records = None
        if any(".array_record" in os.path.basename(name) for name in names):
            self._array_records = _array_records(parts)
            self._size = len(self._array_records)
            return
        spans = []
        for number, part in enumerate(parts):
            starts, lengths = _index(names[number])
            end = None if part.take == -1 else part.skip + part.take
            chosen = slice(part.skip, end)
            files = np.full(len(starts[chosen]), number, np.int32)
            spans.append((files, starts[chosen], lengths[chosen]))
        columns = zip(*spans, strict=True)
        self._files, self._starts, self._lengths = map(np.concatenate, columns)
        self._size = len(self._files)
        self._open = functools.lru_cache(_OPEN_FILES)(_Reader)

    def __len__(self) -> int:
        """Number of records."""
        return self._size

    @property
    def is_local(self) -> bool:
        """Whether they are files here, quickly read."""
        return not any("://" in name for name in self._names)

    def read(self, numbers) -> list[bytes]:
        """The records with these numbers."""
        if self._array_records is not None:
            return self._array_records.__getitems__([int(n) for n in numbers])
        return [
            self._open(self._names[self._files[n]]).read(
                int(self._starts[n]), int(self._lengths[n])
            )
            for n in numbers
        ]

    def __call__(self, index: tf.Tensor) -> tf.Tensor:
        """As `read`, of a tensor to a tensor of strings; in graphs too."""
        contents = tf.numpy_function(
            lambda numbers: np.array(self.read(numbers), object),
            [index],
            tf.string,
            stateful=False,
        )
        return tf.ensure_shape(contents, index.shape)


class _Reader:
    """A file that several threads may read at once."""

    def __init__(self, name):
        self._local = "://" not in name
        if self._local:
            self._file = open(name, "rb", buffering=0)  # noqa: SIM115
        else:
            self._name = name

    def read(self, start, length):
        if self._local:
            return os.pread(self._file.fileno(), length, start)
        with tf.io.gfile.GFile(self._name, "rb") as file:
            file.seek(start)
            return file.read(length)


def _index(name):
    """Where the records of a TFRecord file begin, and their lengths.

    Only the headers are read.
    """
    size = tf.io.gfile.stat(name).length
    reader = _Reader(name)
    starts, lengths, position = [], [], 0
    while position < size:
        header = reader.read(position, _HEADER.size)
        length = _HEADER.unpack(header)[0] if len(header) == 12 else size
        if position + _FRAME + length > size:
            raise ValueError(
                f"The file {name} is no TFRecord file, or is damaged: at byte "
                f"{position} of {size} no whole record begins."
            )
        starts.append(position + _HEADER.size)
        lengths.append(length)
        position += _FRAME + length
    return np.array(starts, np.int64), np.array(lengths, np.int32)


def _array_records(parts):
    # Only TensorFlow Datasets writes such files, and brings the reader.
    from array_record.python import array_record_data_source

    return array_record_data_source.ArrayRecordDataSource(parts)
