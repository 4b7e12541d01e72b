"""Many image files through an exported classifier, in a stream."""

import collections
import concurrent.futures
import dataclasses
import threading
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from mpl_keras.checks import arguments
from mpl_keras.export import loading
from mpl_keras.images import preprocessing, reading

_THREADS = 2  # that read; decoding leaves Python, and has its own
_AHEAD = 4  # batches that are read before they are needed
_ENDS, _TAIL = (b"IEND\xaeB`\x82", b"\xff\xd9"), 64
_WITH_ALPHA = (4, 6)  # colour types of PNG


class Prediction(NamedTuple):
    """What a classifier says about a file.

    Attributes:
        path: Of the file.
        probabilities: float32, [number of classes], or None.
        error: What is wrong with the file, or "".

    Example:
    >>> Prediction("a.png", None, "is damaged or truncated").error
    'is damaged or truncated'
    """

    path: str
    # `Any`, and not None, of which who has looked at `error` knows.
    probabilities: np.ndarray | Any
    error: str


def predict_files(
    classifier: loading.Classifier,
    paths: Sequence[str],
    batch_size: int = 64,
    max_pixels: int | None = None,
) -> Iterator[Prediction]:
    """Classifies image files, and goes on after those that cannot be read.

    Files are read and decoded beside the classifier's work; memory does not
    grow with their number. Large pictures are decoded one after another.

    Args:
        classifier: What `classifiers.load` gives.
        paths: Of PNG, JPEG, BMP, GIF or WEBP files.
        batch_size: How many are classified at once.
        max_pixels: Of a picture; what has more is not decoded, and gets an
            error. By default what held in training, which is 89,478,485 unless
            `from_folder` was given another.

    Yields:
        A `Prediction` of each file, in order.

    Example:
    >>> list(predict_files(None, []))
    []
    """
    arguments.integer("batch_size", batch_size, 1)
    if max_pixels is not None:
        arguments.integer("max_pixels", max_pixels, 1)
    if not paths:
        return
    if not isinstance(classifier, loading.Classifier):
        raise arguments.ArgumentError(
            "classifier",
            "be a classifier of images, as `export.load` gives; one of tables "
            "or texts is called on the columns or strings itself",
            type(classifier).__name__,
        )
    reader = _Reader(classifier.preprocessing, max_pixels)
    batches = (
        paths[i : i + batch_size] for i in range(0, len(paths), batch_size)
    )
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        ahead = collections.deque()
        for batch in batches:
            ahead.append((batch, pool.submit(reader.read, batch)))
            if len(ahead) > _AHEAD:
                yield from _classify(classifier, *ahead.popleft())
        while ahead:
            yield from _classify(classifier, *ahead.popleft())


def _classify(classifier, paths, future):
    canvas, errors = future.result()
    good = [i for i in range(len(paths)) if i not in errors]
    rows = dict.fromkeys(range(len(paths)))
    if good:
        part = canvas if not errors else canvas[good]
        rows |= zip(good, classifier(part), strict=True)
    for number, path in enumerate(paths):
        yield Prediction(path, rows[number], errors.get(number, ""))


class _Reader:
    """Reads and decodes batches of files.

    Calls of TensorFlow for every file would cost more than decoding a small
    image: files of one kind are decoded in one call.
    """

    def __init__(
        self,
        prepare: preprocessing.ImagePreprocessing,
        max_pixels: int | None = None,
    ):
        if max_pixels is not None:
            prepare = dataclasses.replace(prepare, max_pixels=max_pixels)
        self._prepare = prepare
        self._shape = (*prepare.canvas_size, prepare.channels)
        self._one_large = threading.Lock()
        files = tf.TensorSpec((None,), tf.string)
        self._decode = tf.function(prepare.decode, input_signature=[files])
        self._decode_same = tf.function(self._same, input_signature=[files])

    def _same(self, files):
        """Files of opaque images that have the size already."""

        def load(contents):
            image = reading.decode(contents, False, self._prepare.channels)
            return tf.ensure_shape(image, self._shape)

        spec = tf.TensorSpec(self._shape, tf.uint8)
        return tf.map_fn(load, files, fn_output_signature=spec)

    def read(self, paths):
        """Images [N, *canvas_size, channels], and by number what is wrong."""
        canvas = np.zeros((len(paths), *self._shape), np.uint8)
        contents, errors = {}, {}
        for number, path in enumerate(paths):
            try:
                # Without a buffer, because each call costs as much as a read.
                with open(path, "rb", buffering=0) as file:
                    whole = {number: file.read()}
                if self._is_large(whole[number]):
                    # Not kept until the others have been read.
                    with self._one_large:
                        self._fill_all(canvas, whole, errors)
                else:
                    contents |= whole
            except OSError as error:
                errors[number] = f"cannot be opened: {error.strerror}"
            except ValueError as error:
                errors[number] = str(error)
        self._fill_all(canvas, contents, errors)
        return canvas, errors

    def _is_large(self, file):
        """Whether it is decoded alone; raises if it has too many pixels."""
        size = reading.stated_size(file)
        if size is None:
            return False
        reading.check_pixels(size, self._prepare.max_pixels)
        return size[0] * size[1] > reading.LARGE

    def _fill_all(self, canvas, contents, errors):
        """Decodes files of several kinds."""
        kinds = collections.defaultdict(list)
        for number, file in contents.items():
            # Those that look cut off would only hold up the others.
            doubtful = not any(end in file[-_TAIL:] for end in _ENDS)
            kinds[self._kind(file), doubtful].append(number)
        for (decode, _), numbers in kinds.items():
            self._fill(canvas, contents, numbers, decode, errors)

    def _fill(self, canvas, contents, numbers, decode, errors):
        """Decodes files of one kind; halves find those that are damaged."""
        try:
            files = tf.constant([contents[n] for n in numbers])
            canvas[numbers] = decode(files).numpy()
        except (tf.errors.OpError, ValueError):
            half = len(numbers) // 2
            if half:
                for part in (numbers[:half], numbers[half:]):
                    self._fill(canvas, contents, part, decode, errors)
                return
            (number,) = numbers
            errors[number] = self._problem(contents[number])

    def _kind(self, file):
        """The function that decodes it."""
        if file[:3] == reading.JPEG:
            return self._decode
        if file[:8] != reading.PNG:
            return self._with_pillow
        same = reading.stated_size(file) == self._shape[:2]
        plain = file[25:26] and file[25] not in _WITH_ALPHA
        if same and plain and b"tRNS" not in file:
            return self._decode_same
        return self._decode

    def _with_pillow(self, files):
        """Formats that TensorFlow does not decode as Pillow does."""
        canvas = []
        for file in files:
            reading.inspect(file.numpy(), self._prepare.max_pixels)
            image = reading.decode(
                file, tf.constant(True), self._prepare.channels
            )
            canvas.append(self._prepare.fit(image))
        return tf.stack(canvas)

    def _problem(self, contents):
        """What is wrong with a file that cannot be decoded."""
        try:
            reading.inspect(contents, self._prepare.max_pixels)
        except ValueError as error:
            return str(error)
        return "is damaged or truncated"
