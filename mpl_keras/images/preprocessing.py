"""From pictures as people have them to what an image network takes."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from mpl_keras.checks import arguments
from mpl_keras.images import decoding, reading


@dataclasses.dataclass(frozen=True)
class ImagePreprocessing:
    """Brings images to the form in which the networks were evaluated.

    They are scaled to cover the canvas, whose centre is cropped: with the same
    functions as in training.

    Args:
        image_size: (height, width) that networks take, in pixels.
        channels: 1 (grey) or 3.
        canvas_size: (height, width) to which images are scaled before the
            centre is cropped; by default `image_size`.
        scale: What 8-bit values are multiplied with: 1 where networks take
            [0, 255], 1/255 for [0, 1].
        max_pixels: Of a picture in a file; what has more is not decoded.

    Example:
    >>> prepare = ImagePreprocessing((8, 8), channels=1, scale=1 / 255)
    >>> prepare(tf.zeros([5, 30, 20, 1], tf.uint8)).shape
    TensorShape([5, 8, 8, 1])
    """

    image_size: tuple[int, int]
    channels: int
    canvas_size: tuple[int, int] | None = None
    scale: float = 1.0
    max_pixels: int = reading.MAX_PIXELS

    def __post_init__(self):
        """Raises for sizes that no image has."""
        for name in ("image_size", "canvas_size"):
            pair = getattr(self, name) or self.image_size
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                raise ValueError(
                    f"`{name}` must be (height, width). Received: {name}={pair}"
                )
            pair = tuple(arguments.integer(name, size, 1) for size in pair)
            object.__setattr__(self, name, pair)
        if any(
            large < small
            for large, small in zip(
                self.canvas_size, self.image_size, strict=True
            )
        ):
            raise ValueError(
                "`canvas_size` must not be smaller than `image_size`. "
                f"Received: {self.canvas_size} and {self.image_size}"
            )
        arguments.choice("channels", self.channels, (1, 3))
        arguments.number("scale", self.scale, above=0)
        arguments.integer("max_pixels", self.max_pixels, 1)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) that networks take."""
        return (*self.image_size, self.channels)

    def __call__(self, batch: tf.Tensor) -> tf.Tensor:
        """Prepares a batch of images of one size.

        Args:
            batch: uint8, [N, any height, any width, channels].

        Returns:
            float32, [N, *input_shape].
        """
        return tf.cast(self.crop(self.fit(batch)), tf.float32) * self.scale

    def fit(self, batch: tf.Tensor) -> tf.Tensor:
        """Scales images, uint8, until they cover the canvas."""
        return reading.cover(batch, *self.canvas_size)

    def crop(self, batch: Any) -> Any:
        """The centres of images that have the canvas's size."""
        pairs = zip(self.canvas_size, self.image_size, strict=True)
        top, left = ((large - small) // 2 for large, small in pairs)
        height, width = self.image_size
        return batch[:, top : top + height, left : left + width]

    def decode(self, files: tf.Tensor) -> tf.Tensor:
        """Decodes PNG, JPEG and WEBP files, and brings them to the canvas.

        Args:
            files: Contents of the files, strings [N]. What has more than
                `max_pixels` raises, when it runs.

        Returns:
            uint8, [N, *canvas_size, channels].
        """

        def load(contents):
            image = decoding.decode(contents, self.channels, self.max_pixels)
            return reading.cover(image, *self.canvas_size)

        shape = (*self.canvas_size, self.channels)
        return tf.map_fn(
            load, files, fn_output_signature=tf.TensorSpec(shape, tf.uint8)
        )

    def get_config(self) -> dict[str, Any]:
        """What JSON can hold; the inverse of `from_config`."""
        return dataclasses.asdict(self)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "ImagePreprocessing":
        """The inverse of `get_config`.

        Example:
        >>> config = ImagePreprocessing((32, 32), channels=3).get_config()
        >>> ImagePreprocessing.from_config(config).input_shape
        (32, 32, 3)
        """
        return cls(
            **{
                name: tuple(value) if isinstance(value, list) else value
                for name, value in config.items()
            }
        )
