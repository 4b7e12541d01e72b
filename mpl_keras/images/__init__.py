"""Image files, exactly: their headers, their pixels, the form networks take."""

from mpl_keras.images.preprocessing import (
    ImagePreprocessing,
)

__all__ = [
    "ImagePreprocessing",
]
