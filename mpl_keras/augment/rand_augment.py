"""RandAugment: a few operations of a pool, drawn for each image of a batch.

An image costs what its own operations cost: the batch is split by operation,
each operation runs once on its part, and the parts are put together again.
"""

import dataclasses
from collections.abc import Sequence

import tensorflow as tf

from mpl_keras.augment import geometry, operations
from mpl_keras.checks import arguments

# The operations of `RandAugment`, in the order of the official code.
POOL = (
    "AutoContrast",
    "Equalize",
    "Invert",
    "Rotate",
    "Posterize",
    "Solarize",
    "Color",
    "Contrast",
    "Brightness",
    "Sharpness",
    "ShearX",
    "ShearY",
    "TranslateX",
    "TranslateY",
    "Cutout",
)

_MOVING = ("Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY")


@dataclasses.dataclass(frozen=True)
class RandAugment:
    """A few operations of a pool, drawn for each image.

    For each image one probability p is drawn from U(0.2, 0.8); then, as many
    times as `num_operations` says, one operation of the pool, which is applied
    with probability p (Cubuk et al., arXiv 1909.13719, as in the code released
    with Meta Pseudo Labels). With level = magnitude / 10:

    | operation | argument |
    |---|---|
    | AutoContrast, Equalize, Invert | none |
    | Rotate | ±30 · level degrees |
    | ShearX, ShearY | ±0.3 · level |
    | TranslateX, TranslateY | ±translate_const · level pixels |
    | Posterize | int(4 · level) bits, at most 8 |
    | Solarize | threshold int(256 · level) modulo 256: 153 at magnitude 16 |
    | Color, Contrast, Brightness, Sharpness | factor 1.8 · level + 0.1 |
    | Cutout | side 2 · int(cutout_const · level) pixels |

    Signs are random. Empty pixels are 128. `mpl_keras.operations` says what the
    operations do, and where the official code differs. Its values of Posterize
    and Solarize are kept: they do not grow with the magnitude, and at 10 all
    is inverted.

    Args:
        num_operations: Operations drawn for each image.
        magnitude: Strength, 0 or more; the published recipes have 16 and 17.
        translate_const: Pixels of a translation at magnitude 10.
        cutout_const: Half the side of a cutout in pixels at magnitude 10.
        pool: Names of operations, some of `POOL`.

    Example:
    >>> view = RandAugment(magnitude=16, translate_const=4, cutout_const=4)
    >>> view(tf.zeros([2, 32, 32, 3], tf.uint8), [0, 1]).shape
    TensorShape([2, 32, 32, 3])
    """

    num_operations: int = 2
    magnitude: float = 10
    translate_const: float = 100
    cutout_const: float = 40
    pool: Sequence[str] = POOL

    def __post_init__(self):
        """Raises for values out of range."""
        arguments.integer("num_operations", self.num_operations, 1)
        for name in ("magnitude", "translate_const", "cutout_const"):
            arguments.number(name, getattr(self, name), 0)
        if not isinstance(self.pool, (tuple, list)) or not self.pool:
            raise ValueError(
                "`pool` must be a tuple of at least one name of an operation. "
                f"Received: pool={self.pool!r}"
            )
        object.__setattr__(self, "pool", tuple(self.pool))
        for index, name in enumerate(self.pool):
            arguments.choice(f"pool[{index}]", name, POOL)

    def __call__(self, x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Images [N, height, width, 1 or 3], uint8."""
        x = geometry.as_images(x, type(self).__name__, tf.uint8)
        count, layers = tf.shape(x)[0], self.num_operations
        values = tf.random.stateless_uniform([count, 1 + 5 * layers], seed)
        probability = 0.2 + 0.6 * values[:, 0]
        for layer in range(layers):
            which, chance, *rest = tf.unstack(
                values[:, 1 + 5 * layer : 6 + 5 * layer], axis=1
            )
            which = tf.cast(which * len(self.pool), tf.int32)
            which = tf.where(chance < probability, which, len(self.pool))
            x = self._layer(x, which, *rest)
        return x

    def _layer(self, x, which, sign, row, column) -> tf.Tensor:
        """One operation for each image, by its index; the last is none."""
        # A part for all operations that move pixels, which differ in a matrix
        # alone; one for each of the others; one for the images that stay.
        others = [name for name in self.pool if name not in _MOVING]
        parts_of = [
            others.index(name) + 1 if name in others else 0
            for name in self.pool
        ] + [len(others) + 1]
        part = tf.gather(parts_of, which)
        places = tf.range(tf.shape(x)[0])
        places = tf.dynamic_partition(places, part, len(others) + 2)
        parts = tf.dynamic_partition(x, part, len(others) + 2)
        which, sign = (tf.gather(each, places[0]) for each in (which, sign))
        parts[0] = self._move(parts[0], which, sign)
        for index, name in enumerate(others, start=1):
            center = (tf.gather(each, places[index]) for each in (row, column))
            parts[index] = self._change(name, parts[index], *center)
        return tf.ensure_shape(tf.dynamic_stitch(places, parts), x.shape)

    def _move(self, x, which, sign) -> tf.Tensor:
        """Rotates, shears or translates each image, by its operation."""
        level = self.magnitude / 10
        shear, pixels = 0.3 * level, self.translate_const * level
        kinds = [
            _MOVING.index(name) if name in _MOVING else 0 for name in self.pool
        ] + [0]
        # All but one of these five are 0 in an image.
        values = tf.one_hot(tf.gather(kinds, which), len(_MOVING))
        values *= [30 * level, shear, shear, pixels, pixels]
        values *= tf.where(sign < 0.5, -1.0, 1.0)[:, tf.newaxis]
        degrees, shear_x, shear_y, right, down = tf.unstack(values, axis=1)
        size = geometry.size_of(x)
        a, b, c, d, e, f = operations.rotation_matrix(degrees, *size)
        matrix = (a, b + shear_x, c + right, d + shear_y, e, f + down)
        return geometry.transform(x, matrix, fill=128)

    def _change(self, name, x, row, column) -> tf.Tensor:
        """Any other operation, on all of `x`."""
        level = self.magnitude / 10
        # No `match`, which AutoGraph cannot read.
        if name in ("AutoContrast", "Equalize", "Invert"):
            return getattr(operations, name.lower())(x)
        if name == "Posterize":
            return operations.posterize(x, min(int(4 * level), 8))
        if name == "Solarize":
            # The official code casts to uint8, which wraps.
            return operations.solarize(x, int(256 * level) % 256)
        if name == "Cutout":
            height, width = geometry.size_of(x)
            size = 2 * int(self.cutout_const * level)
            return operations.cutout(x, row * height, column * width, size)
        enhance = getattr(operations, name.lower())
        return enhance(x, 1.8 * level + 0.1)
