"""Image files as examples that are read by their number."""

import os
import zlib

import numpy as np
import tensorflow as tf

from mpl_keras import augment
from mpl_keras.checks import arguments, settings
from mpl_keras.checks.arguments import ArgumentError
from mpl_keras.datasets import sources
from mpl_keras.images.reading import MAX_PIXELS, cover, decode

# Views of images that are not small are crops of a larger canvas: of 256 pixels
# for 224, as for ImageNet.
_CANVAS = 256 / 224
# Bytes of files that are compared by a backup, and how many files of more.
_COMPARED, _SAMPLE = 2**30, 1024


def forms(
    size: int | tuple[int, int], native: tuple[int, int] | None, channels: int
) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Shape to which images are brought, and the shape of views of them.

    Args:
        size: Pixels of the square, or (height, width), of views.
        native: That of all images, or None if they differ.
        channels: Number of channels.

    Example:
    >>> forms(224, None, 3)
    ((256, 256, 3), (224, 224, 3))
    >>> forms(32, (40, 40), 3)
    ((32, 32, 3), (32, 32, 3))
    """
    pair = size if isinstance(size, (tuple, list)) else (size, size)
    if len(pair) != 2:
        raise ArgumentError(
            "image_size", "be a number of pixels or (height, width)", str(size)
        )
    pair = tuple(arguments.integer("image_size", n, 1) for n in pair)
    canvas = pair
    if min(pair) > augment.SMALL and native != pair:
        canvas = tuple(round(n * _CANVAS) for n in pair)
    return (*canvas, channels), (*pair, channels)


class ImageFiles(sources.Source):
    """Image files, read and decoded when they are needed.

    Args:
        paths: Of the files.
        special: `Header.special` of each.
        shape: (height, width, channels) to which every image is brought.
        view_shape: See `datasets.Source`.
        max_pixels: How many each has at most; it says so to what is exported.

    Example:
    >>> files = ImageFiles(["a.png", "b.png"], [False, False], (32, 32, 3))
    >>> files.shape
    (2, 32, 32, 3)
    """

    one_by_one = True

    def __init__(
        self, paths, special, shape, view_shape=None, max_pixels=MAX_PIXELS
    ):
        super().__init__((len(paths), *shape), tf.uint8, view_shape)
        self.max_pixels = max_pixels
        with tf.device("CPU:0"):
            # As the file system has them: names need not be UTF-8.
            names = [os.fsencode(path) for path in paths]
            self._paths = tf.constant(names, tf.string)
            self._special = tf.constant(special, tf.bool)

    @property
    def paths(self) -> list[str]:
        """Of the files, in order."""
        return [os.fsdecode(path) for path in self._paths.numpy()]

    def files(self, numbers):
        """Paths of the files with these numbers."""
        paths = self.paths
        return [paths[number] for number in numbers]

    def checksum(self, numbers=None):
        """Of the files' names, sizes and bytes; of some of very many bytes."""
        paths = self.paths
        if numbers is not None:
            paths = [paths[number] for number in numbers]
        sizes = [os.path.getsize(path) for path in paths]
        names = [os.fsencode(os.path.basename(path)) for path in paths]
        total = settings.checksum(np.array(names, object))
        total = settings.checksum(np.array([*sizes, *self.shape[1:]]), total)
        few = sources.spread(
            np.arange(len(paths)), sum(sizes), _COMPARED, _SAMPLE
        )
        for number in few:
            with open(paths[number], "rb", buffering=0) as file:
                total = zlib.crc32(file.read(), total)
        return total

    def read(self, index):
        """Images of the files with these numbers."""
        height, width, channels = self.shape[1:]

        def load(number):
            contents = tf.io.read_file(self._paths[number])
            image = decode(contents, self._special[number], channels)
            return cover(image, height, width)

        spec = tf.TensorSpec((height, width, channels), tf.uint8)
        return tf.map_fn(load, index, fn_output_signature=spec)
