"""Operations on pixels: Pillow's results, for a batch and for one image."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from mpl_keras.augment import geometry, operations

SHAPE = (20, 27)


def make_images(channels, height=SHAPE[0], width=SHAPE[1]):
    """Noise, smooth ones, few values, a small range, and one value."""
    rng = np.random.RandomState(channels)
    y, x = np.mgrid[:height, :width] / 10
    smooth = 128 + 60 * np.sin(x + y)[..., None] * rng.rand(channels)
    smooth = smooth + 60 * np.cos(2 * x - y)[..., None] * rng.rand(channels)
    shape = (height, width, channels)
    images = [
        rng.randint(0, 256, shape),
        smooth,
        smooth + rng.normal(0, 8, shape),
        rng.choice([0, 7, 255], shape),
        90 + smooth / 8,
        np.full(shape, 77),
        np.full(shape, 255),
        np.zeros(shape),
    ]
    return np.clip(np.round(images), 0, 255).astype("uint8")


COLOR, GREY = make_images(3), make_images(1)
each_kind = pytest.mark.parametrize(
    "images", [COLOR, GREY], ids=["color", "grey"]
)


def pillow(function, images):
    """What Pillow makes of each image."""
    done = [
        np.asarray(function(Image.fromarray(image)))
        for image in (images[..., 0] if images.shape[3] == 1 else images)
    ]
    return np.reshape(done, images.shape)


def moved(*matrix):
    return lambda image: image.transform(
        image.size, Image.Transform.AFFINE, matrix, fillcolor=gray(image)
    )


def gray(image):
    return 128 if image.mode == "L" else (128, 128, 128)


def enhanced(name, factor):
    return lambda image: getattr(ImageEnhance, name)(image).enhance(factor)


STAY = {
    "autocontrast": [((), ImageOps.autocontrast)],
    "equalize": [((), ImageOps.equalize)],
    "invert": [((), ImageOps.invert)],
    "posterize": [
        ((bits,), lambda image, bits=bits: ImageOps.posterize(image, bits))
        for bits in (1, 2, 6, 8)
    ],
    "solarize": [
        ((at,), lambda image, at=at: ImageOps.solarize(image, at))
        for at in (0, 1, 153, 179, 255, 256)
    ],
    **{
        name: [
            ((factor,), enhanced(name.title(), factor))
            for factor in (0.0, 0.1, 0.7, 1.0, 2.98, 3.16)
        ]
        for name in ("color", "contrast", "brightness", "sharpness")
    },
}

MOVE = {
    "rotate": [
        (
            (angle,),
            lambda image, angle=angle: image.rotate(
                angle, fillcolor=gray(image)
            ),
        )
        for angle in (0, 89, 180, 48, -48, 51, -13.7)
    ],
    "shear_x": [((s,), moved(1, s, 0, 0, 1, 0)) for s in (0.48, -0.48, 0.51)],
    "shear_y": [((s,), moved(1, 0, 0, s, 1, 0)) for s in (0.48, -0.48, 0.51)],
    "translate_x": [((p,), moved(1, 0, p, 0, 1, 0)) for p in (6.4, -6.4, 50)],
    "translate_y": [((p,), moved(1, 0, 0, 0, 1, p)) for p in (6.4, -6.4, 2)],
}


@each_kind
@pytest.mark.parametrize("name", STAY)
def test_values_are_those_of_pillow(name, images):
    for arguments, theirs in STAY[name]:
        got = getattr(operations, name)(images, *arguments)
        assert got.dtype == tf.uint8 and got.shape == images.shape
        want = pillow(theirs, images)
        # The bar is 2 grey levels; only Pillow's own rounding is between us.
        difference = np.abs(got.numpy().astype(int) - want)
        assert difference.max() <= 1, arguments
        assert difference.mean() < 0.01, arguments


@each_kind
@pytest.mark.parametrize("name", MOVE)
def test_places_are_those_of_pillow(name, images):
    for arguments, theirs in MOVE[name]:
        got = getattr(operations, name)(images, *arguments)
        assert got.dtype == tf.uint8 and got.shape == images.shape
        # All pixels, the border too: Pillow counts in 1/65536 of a pixel.
        same = np.all(got.numpy() == pillow(theirs, images), axis=-1)
        assert same.mean() > 0.998, arguments


def test_signs_of_geometric_operations():
    """A test against Pillow alone would not see both turned round."""
    x = np.zeros((1, 9, 9, 1), "uint8")
    x[0, 4, 6] = 255

    def place(images):
        at = images.numpy()[0, ..., 0] == 255
        return [int(index[0]) for index in np.nonzero(at)]

    assert place(operations.rotate(x, 90.0)) == [2, 4]
    assert place(operations.translate_x(x, 2.0)) == [4, 4]
    assert place(operations.translate_y(x, 2.0)) == [2, 6]
    assert place(operations.shear_x(x, 0.5)) == [4, 4]
    assert place(operations.shear_y(x, 0.5)) == [1, 6]


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (5, 2), (2, 2), (3, 3)])
@pytest.mark.parametrize("name", [*STAY, *MOVE])
def test_tiny_images(name, size):
    images = make_images(3, *size)
    arguments, theirs = {**STAY, **MOVE}[name][0]
    got = getattr(operations, name)(images, *arguments).numpy().astype(int)
    assert np.abs(got - pillow(theirs, images)).max() <= 1


ARGUMENTS = {
    "posterize": np.array([1, 2, 3, 4, 5, 6, 7, 8]),
    "solarize": np.array([0, 10, 80, 120, 153, 179, 255, 256]),
    **dict.fromkeys(
        ("color", "contrast", "brightness", "sharpness"),
        np.linspace(0, 3, 8, dtype="float32"),
    ),
    "rotate": np.linspace(-60, 60, 8, dtype="float32"),
    **dict.fromkeys(
        ("shear_x", "shear_y"), np.linspace(-0.6, 0.6, 8, dtype="float32")
    ),
    **dict.fromkeys(
        ("translate_x", "translate_y"), np.linspace(-9, 9, 8, dtype="float32")
    ),
}


@pytest.mark.parametrize("name", [*STAY, *MOVE])
def test_one_image_as_in_a_batch(name):
    """Each with an argument of its own; neighbours make no difference."""
    operation = getattr(operations, name)
    arguments = ARGUMENTS.get(name)
    batch = operation(COLOR, *(() if arguments is None else (arguments,)))
    for index, image in enumerate(COLOR):
        own = () if arguments is None else (arguments[index],)
        single = operation(image[np.newaxis], *own)[0]
        np.testing.assert_array_equal(single, batch[index])


@pytest.mark.parametrize("name", [*STAY, *MOVE])
def test_graphs_of_unknown_size_and_empty_batches(name):
    own = () if name not in ARGUMENTS else (ARGUMENTS[name][1],)
    operation = getattr(operations, name)
    graph = tf.function(
        lambda x: operation(x, *own),
        input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8)],
    )
    np.testing.assert_array_equal(graph(COLOR), operation(COLOR, *own))
    assert graph(COLOR[:0]).shape == (0, *SHAPE, 3)


def test_cutout_against_numpy():
    row, column = np.array([0, 5, 19, 7]), np.array([0, 26, 3, 9])
    size = np.array([4, 3, 12, 0])
    want = COLOR[:4].copy()
    for image, y, x, s in zip(want, row, column, size, strict=True):
        top, left = y - s // 2, x - s // 2
        image[max(top, 0) : top + s, max(left, 0) : left + s] = 99
    got = operations.cutout(COLOR[:4], row, column, size, fill=99)
    np.testing.assert_array_equal(got, want)
    same = operations.cutout(COLOR[1:2], row[1], column[1], size[1], fill=99)
    np.testing.assert_array_equal(same[0], want[1])
    shared = operations.cutout(COLOR, 5, 26, 3, fill=99)
    np.testing.assert_array_equal(shared[1], want[1])


@pytest.mark.parametrize("dtype", ["uint8", "float32", "int32", "float16"])
def test_flip_and_shift_against_numpy(dtype):
    x = COLOR[:4].astype(dtype)
    where = [True, False, True, False]
    got = geometry.flip(x, where)
    assert got.dtype == dtype
    np.testing.assert_array_equal(got[0], x[0, :, ::-1])
    np.testing.assert_array_equal(got[1], x[1])
    down, right = [0, 3, -4, 30], [-27, 2, 1, 0]
    got = geometry.shift(x, down, right, fill=128)
    assert got.dtype == dtype
    pad = 40
    padded = np.pad(
        x, [[0, 0], [pad, pad], [pad, pad], [0, 0]], constant_values=128
    )
    for index, (dy, dx) in enumerate(zip(down, right, strict=True)):
        top, left = pad - dy, pad - dx
        want = padded[index, top : top + SHAPE[0], left : left + SHAPE[1]]
        np.testing.assert_array_equal(got[index], want)


def test_shift_mirrors_before_it_moves():
    want = geometry.shift(COLOR[:2, :, ::-1], [0, 1], [2, -3], fill=5).numpy()
    got = geometry.shift(COLOR[:2], [0, 1], [2, -3], 5, [True, False]).numpy()
    np.testing.assert_array_equal(got[0], want[0])
    plain = geometry.shift(COLOR[:2], [0, 1], [2, -3], fill=5)
    np.testing.assert_array_equal(got[1], plain[1])


def test_resized_crop_against_tensorflow_and_pillow():
    boxes = [[0, 0, 20, 27], [3, 5, 9, 11], [10, 20, 10, 7], [4, 4, 1, 1]]
    images = COLOR[[0, 1, 2, 2]]
    got = geometry.resized_crop(images, boxes, (12, 16))
    assert got.dtype == tf.uint8 and got.shape == (4, 12, 16, 3)
    for image, box, have in zip(images, boxes, got.numpy(), strict=True):
        top, left, height, width = box
        part = image[top : top + height, left : left + width]
        want = np.round(tf.image.resize(part, (12, 16)).numpy())
        np.testing.assert_array_equal(have, want)
        if height < 12 and width < 16:
            # Pillow smooths before it makes smaller, which we leave out.
            theirs = Image.fromarray(part).resize((16, 12), Image.BILINEAR)
            assert np.abs(have.astype(int) - np.asarray(theirs)).max() <= 1


def test_keras_cv_agrees():
    """Where it means the same; it truncates where Pillow does or rounds."""
    from keras_cv import layers

    for name, arguments, layer, tolerance in (
        ("posterize", (6,), layers.Posterization((0, 255), 6), 0),
        ("invert", (), layers.Solarization((0, 255)), 0),
        ("autocontrast", (), layers.AutoContrast((0, 255)), 1),
        ("equalize", (), layers.Equalization((0, 255)), 1),
    ):
        x = COLOR[:3]
        theirs = np.asarray(layer(x.astype("float32")))
        got = getattr(operations, name)(x, *arguments).numpy()
        assert np.abs(got - theirs).max() <= tolerance, name


@pytest.mark.parametrize("name", [*STAY, *MOVE])
def test_float_images_are_refused(name):
    own = () if name not in ARGUMENTS else (ARGUMENTS[name][1],)
    message = f"`x` of {name} must be uint8. Received: dtype=float32. .*convert"
    with pytest.raises(ValueError, match=message):
        getattr(operations, name)(COLOR / np.float32(255), *own)


@pytest.mark.parametrize("name", ["color", "contrast"])
def test_grey_needs_one_or_three_channels(name):
    message = rf"`x` of {name} must have 1 or 3 channels.*\(8, 20, 27, 2\)"
    with pytest.raises(ValueError, match=message):
        getattr(operations, name)(COLOR[..., :2], 2.0)
