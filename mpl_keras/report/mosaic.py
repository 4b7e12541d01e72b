"""Many images as one: a sheet is quickly drawn, where many axes are not."""

import numpy as np

# Pixels of an image in a sheet: files stay small, and what is shown, sharp.
_SMALLEST, _LARGEST = 48, 112


def pixels(images: np.ndarray) -> np.ndarray:
    """Images to be shown, of whatever range they are.

    Bytes and [0, 255] are taken for what they are, as is [0, 1], which views
    may leave by a little; everything else is stretched from its lowest to its
    highest value.

    Args:
        images: [..., height, width, 1 or 3].

    Returns:
        float32 in [0, 1], [..., height, width, 3]; small images are enlarged
        and large ones reduced, both by whole numbers.

    Raises:
        ValueError: If it is not a batch of images.

    Example:
    >>> pixels(np.full((1, 48, 48, 1), 255, "uint8")).max()
    np.float32(1.0)
    >>> pixels(np.zeros((2, 8, 8, 3))).shape
    (2, 48, 48, 3)
    """
    images = np.asarray(images)
    if images.ndim < 4 or images.shape[-1] not in (1, 3) or not images.size:
        raise ValueError(
            "`images` must be shaped [N, height, width, 1 or 3]. Received: "
            f"shape={images.shape}"
        )
    whole = images.dtype == np.uint8
    images = np.nan_to_num(images.astype("float32"))
    low, high = images.min(), images.max()
    if whole or (high > 16 and high < 288 and low > -0.2 * high):
        low, high = 0.0, 255.0
    elif low > -0.5 and high < 1.5:
        low, high = 0.0, 1.0
    images = np.clip((images - low) / max(high - low, 1e-12), 0, 1)
    images = _resized(images)
    return np.broadcast_to(images, (*images.shape[:-1], 3))


def _resized(images):
    """Enlarged or reduced by a whole number, if need be."""
    *_, height, width, channels = images.shape
    side = max(height, width)
    if side < _SMALLEST:
        times = -(-_SMALLEST // side)
        return images.repeat(times, axis=-3).repeat(times, axis=-2)
    times = min(-(-side // _LARGEST), height, width)
    if times == 1:
        return images
    height, width = height // times, width // times
    images = images[..., : height * times, : width * times, :]
    blocks = (*images.shape[:-3], height, times, width, times, channels)
    return images.reshape(blocks).mean(axis=(-4, -2))


def side_by_side(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Pairs as one image each, a white line between them.

    Args:
        left: What `pixels` returns, [N, height, width, 3].
        right: The same.

    Example:
    >>> side_by_side(np.zeros((5, 8, 8, 3)), np.zeros((5, 8, 8, 3))).shape
    (5, 8, 17, 3)
    """
    between = np.ones_like(left[:, :, : max(left.shape[2] // 24, 1)])
    return np.concatenate([left, between, right], axis=2)


def sheet(
    tiles: np.ndarray, columns: int, gap: int, below: int
) -> tuple[np.ndarray, list[tuple[float, int]]]:
    """Tiles in rows, on a ground that is seen through.

    Args:
        tiles: What `pixels` returns, [N, height, width, 3].
        columns: Of the sheet.
        gap: Pixels between neighbours.
        below: Pixels under each row, for captions.

    Returns:
        The sheet, [height, width, 4], and for each tile the middle of its
        lower edge, (x, y).

    Example:
    >>> picture, places = sheet(np.zeros((3, 8, 8, 3)), 2, gap=2, below=4)
    >>> picture.shape, places
    ((24, 18, 4), [(4.0, 8), (14.0, 8), (4.0, 20)])
    """
    count, height, width, _ = tiles.shape
    rows = -(-count // columns)
    across = columns * (width + gap) - gap
    picture = np.zeros((rows * (height + below), across, 4), "float32")
    places = []
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        top, left = row * (height + below), column * (width + gap)
        picture[top : top + height, left : left + width, :3] = tile
        picture[top : top + height, left : left + width, 3] = 1
        places.append((left + width / 2, top + height))
    return picture, places
