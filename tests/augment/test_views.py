"""Views: values, independence, and the same result in every mode."""

import numpy as np
import pytest
import tensorflow as tf

from mpl_keras import augment
from mpl_keras.augment import operations

SEED = tf.constant([3, 5])
IMAGES = np.random.RandomState(0).uniform(size=(6, 8, 8, 1)).astype("float32")

PIECES = {
    "affine": augment.RandomAffine(1.0, 15.0, 0.1, 0.1),
    "contrast": augment.RandomContrast(0.5, 1.5),
    "noise": augment.GaussianNoise(0.3),
    "cutout": augment.Cutout(3),
    "digits_weak": augment.digits_views().weak,
    "digits_strong": augment.digits_views().strong,
    "flip": augment.RandomFlip(),
    "padded_crop": augment.RandomPaddedCrop(2, flip=0.5),
}
each_piece = pytest.mark.parametrize("piece", PIECES.values(), ids=PIECES)


def moved(x, shift=(0.0, 0.0), rotation=0.0, zoom=1.0, shear=0.0):
    n = len(x)
    return augment.affine(
        x, [shift] * n, [rotation] * n, [zoom] * n, [shear] * n
    ).numpy()


def test_affine_without_change_is_the_identity():
    np.testing.assert_allclose(moved(IMAGES), IMAGES, atol=1e-6)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_affine_turns_counter_clockwise(turns):
    want = np.rot90(IMAGES, turns, axes=(1, 2))
    np.testing.assert_allclose(
        moved(IMAGES, rotation=90.0 * turns), want, atol=1e-5
    )


def test_affine_shifts_down_and_right_and_fills_with_zero():
    want = np.zeros_like(IMAGES)
    want[:, 2:, 1:] = IMAGES[:, :-2, :-1]
    np.testing.assert_allclose(moved(IMAGES, shift=(2.0, 1.0)), want, atol=1e-6)


def test_affine_shifts_by_half_a_pixel_bilinearly():
    want = (IMAGES[:, :, 1:] + IMAGES[:, :, :-1]) / 2
    got = moved(IMAGES, shift=(0.0, 0.5))
    np.testing.assert_allclose(got[:, :, 1:], want, atol=1e-6)


def test_affine_zooms_about_the_centre():
    x = np.zeros((1, 5, 5, 1), "float32")
    x[0, 2, 3] = 1.0
    got = moved(x, zoom=2.0)[0, :, :, 0]
    assert np.unravel_index(got.argmax(), got.shape) == (2, 4)
    np.testing.assert_allclose(got[2], [0, 0, 0, 0.5, 1.0], atol=1e-6)


def test_affine_shears_lower_rows_to_the_right():
    x = np.zeros((1, 5, 5, 1), "float32")
    x[0, :, 2] = 1.0
    got = moved(x, shear=1.0)[0, :, :, 0]
    np.testing.assert_allclose(got, np.eye(5), atol=1e-6)


def test_affine_shifts_after_it_rotates():
    want = np.zeros_like(IMAGES)
    want[:, 1:] = np.rot90(IMAGES, 1, axes=(1, 2))[:, :-1]
    got = moved(IMAGES, shift=(1.0, 0.0), rotation=90.0)
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_affine_on_images_that_are_not_square():
    x = np.random.RandomState(1).uniform(size=(2, 4, 7, 3)).astype("float32")
    got = moved(x, rotation=180.0)
    np.testing.assert_allclose(got, x[:, ::-1, ::-1], atol=1e-5)


def test_random_affine_stays_in_its_range_and_fills_it():
    x = np.zeros((400, 9, 9, 1), "float32")
    x[:, 4, 4] = 1.0
    got = augment.RandomAffine(shift=1.5)(x, SEED).numpy()[..., 0]
    place = np.arange(9) - 4
    total = got.sum(axis=(1, 2))
    down = (got.sum(axis=2) @ place) / total
    right = (got.sum(axis=1) @ place) / total
    for value in (down, right):
        assert np.abs(value).max() <= 1.5 + 1e-4
        assert value.min() < -1.4 and value.max() > 1.4
        assert abs(value.mean()) < 4 * 1.5 / np.sqrt(3 * 400)
    assert abs(np.corrcoef(down, right)[0, 1]) < 0.2


def test_contrast_scales_about_its_center():
    x = tf.random.stateless_uniform([300, 4], [1, 2], 0.5, 1.0)
    got = augment.RandomContrast(0.6, 1.2, center=0.25)(x, SEED)
    factor = ((got - 0.25) / (x - 0.25)).numpy()
    np.testing.assert_allclose(factor, factor[:, :1] * np.ones(4), rtol=1e-5)
    assert 0.6 <= factor.min() < 0.62 and 1.18 < factor.max() <= 1.2001


def test_noise_has_its_deviation_for_each_feature():
    got = augment.GaussianNoise([0.0, 0.5, 2.0])(tf.ones([4000, 3]), SEED)
    deviation = got.numpy().std(axis=0)
    assert deviation[0] == 0
    np.testing.assert_allclose(deviation[1:], [0.5, 2.0], rtol=0.06)
    np.testing.assert_allclose(got.numpy().mean(axis=0), 1.0, atol=0.15)


def test_cutout_fills_one_square_in_its_share_of_the_images():
    x = np.zeros((1000, 8, 8, 2), "float32")
    got = augment.Cutout(3, probability=0.5, fill=7.0)(x, SEED).numpy()
    cut = got == 7.0
    assert (got[~cut] == 0).all()
    np.testing.assert_array_equal(cut[..., 0], cut[..., 1])
    area = cut[..., 0].sum(axis=(1, 2))
    # 9 inside, 6 at a side, 4 in a corner: centres are uniform over pixels.
    assert set(area) == {0, 4, 6, 9}
    assert abs((area > 0).mean() - 0.5) < 4 * np.sqrt(0.25 / 1000)
    hit = area > 0
    share = (area[hit] == 9).mean()
    assert abs(share - 36 / 64) < 4 * np.sqrt(0.25 / hit.sum())
    rows = cut[hit].any(axis=(2, 3)).sum(axis=1)
    columns = cut[hit].any(axis=(1, 3)).sum(axis=1)
    np.testing.assert_array_equal(rows * columns, area[hit])


def test_cutout_of_even_size_covers_that_many_pixels():
    got = augment.Cutout(4)(tf.ones([500, 9, 9, 1]), SEED).numpy()
    assert (got == 0).sum(axis=(1, 2, 3)).max() == 16


@each_piece
def test_each_example_gets_values_of_its_own(piece):
    same = np.repeat(IMAGES[:1], 5, axis=0)
    got = piece(same, SEED).numpy()
    assert len(np.unique(got.reshape(5, -1), axis=0)) > 1
    assert piece(same, SEED).dtype == tf.float32


@each_piece
def test_seed_decides(piece):
    first, again = piece(IMAGES, SEED), piece(IMAGES, SEED)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, piece(IMAGES, [3, 6]))
    assert not np.array_equal(first, piece(IMAGES, [4, 5]))


@each_piece
def test_eager_graph_and_tf_data_agree(piece):
    eager = piece(IMAGES, SEED).numpy()
    spec = tf.TensorSpec([None, 8, 8, 1])
    graph = tf.function(
        piece, input_signature=[spec, tf.TensorSpec([2], "int32")]
    )
    np.testing.assert_allclose(graph(IMAGES, SEED), eager, atol=1e-6)
    data = tf.data.Dataset.from_tensors(IMAGES).map(lambda x: piece(x, SEED))
    np.testing.assert_allclose(data.get_single_element(), eager, atol=1e-6)


@each_piece
def test_unknown_sizes(piece):
    def seen(shape):
        graph = tf.function(piece).get_concrete_function(
            tf.TensorSpec(shape), tf.TensorSpec([2], tf.int64)
        )
        assert graph.output_shapes.as_list() == shape
        return graph(tf.constant(IMAGES), tf.cast(SEED, tf.int64)).numpy()

    known = seen([6, 8, 8, 1])
    np.testing.assert_allclose(seen([None, 8, 8, 1]), known, atol=1e-6)
    np.testing.assert_allclose(seen([None, None, None, 1]), known, atol=1e-6)


@each_piece
@pytest.mark.parametrize("dtype", ["uint8", "float16", "float64"])
def test_dtypes_are_kept(piece, dtype):
    x = tf.cast(IMAGES * 200, dtype)
    got = piece(x, SEED)
    assert got.dtype == dtype and got.shape == x.shape
    want = piece(tf.cast(x, tf.float32), SEED).numpy()
    # Integers are rounded after each piece, of which the strong view has four.
    tolerance = {"uint8": 2.0, "float16": 0.5, "float64": 1e-3}[dtype]
    want = np.clip(want, 0, 255) if dtype == "uint8" else want
    np.testing.assert_allclose(got.numpy(), want, atol=tolerance)


def test_integer_images_saturate():
    view = augment.RandomContrast(2.0, 2.0)
    got = view(tf.constant([[100, 200]], tf.uint8), SEED)
    assert got.numpy().tolist() == [[200, 255]]


# Flips and crops.


def test_random_flip_mirrors_its_share():
    x = np.random.RandomState(2).randint(0, 256, (1000, 3, 4, 3), "uint8")
    got = augment.RandomFlip(0.3)(x, SEED).numpy()
    flipped = (got == x[:, :, ::-1]).all(axis=(1, 2, 3))
    assert ((got == x).all(axis=(1, 2, 3)) ^ flipped).all()
    assert abs(flipped.mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 1000)


def test_padded_crop_shows_every_place_equally_often():
    x = np.random.RandomState(3).randint(0, 100, (1, 5, 6, 3), "uint8")
    padded = np.pad(
        x[0], [[2, 2], [2, 2], [0, 0]], mode="constant", constant_values=128
    )
    views = {
        padded[top : top + 5, left : left + 6].tobytes(): 0
        for top in range(5)
        for left in range(5)
    }
    got = augment.RandomPaddedCrop(2, 128)(np.repeat(x, 2500, 0), SEED)
    for image in got.numpy():
        views[image.tobytes()] += 1
    # 100 of each on average.
    assert len(views) == 25
    assert 60 < min(views.values()) <= max(views.values()) < 150


def test_padded_crop_mirrors_its_share():
    x = np.random.RandomState(3).randint(0, 100, (1000, 5, 6, 3), "uint8")
    got = augment.RandomPaddedCrop(0, flip=0.3)(x, SEED).numpy()
    mirrored = (got == x[:, :, ::-1]).all(axis=(1, 2, 3))
    assert ((got == x).all(axis=(1, 2, 3)) ^ mirrored).all()
    assert abs(mirrored.mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 1000)


def test_boxes_of_resized_crops_are_in_range():
    view = augment.RandomResizedCrop(8, (0.2, 0.9), (0.5, 2.0))
    boxes = view.boxes(2000, 300, 200, SEED).numpy()
    top, left, height, width = boxes.T
    assert min(top.min(), left.min()) >= 0
    assert (top + height).max() <= 300 and (left + width).max() <= 200
    area = height * width / 60000
    aspect = width / height
    assert 0.195 < area.min() < 0.23 and 0.8 < area.max() < 0.905
    assert 0.49 < aspect.min() < 0.55 and 1.8 < aspect.max() < 2.02
    # Places are uniform over those where the box fits.
    for first, space in ((top, 300 - height), (left, 200 - width)):
        place = (first + 0.5) / (space + 1)
        assert abs(place.mean() - 0.5) < 4 / np.sqrt(12 * 2000)
        assert abs(place.std() - np.sqrt(1 / 12)) < 0.02


def test_areas_and_aspects_of_resized_crops_are_uniform():
    # Small ones, which fit wherever they are drawn.
    view = augment.RandomResizedCrop(8, (0.1, 0.3), (0.5, 2.0))
    *_, height, width = view.boxes(4000, 1000, 1000, SEED).numpy().T
    area = height * width / 1e6
    logarithm = np.log2(width / height)
    for value, low, high in ((area, 0.1, 0.3), (logarithm, -1.0, 1.0)):
        spread = (high - low) / np.sqrt(12)
        assert abs(value.mean() - (low + high) / 2) < 4 * spread / 63
        assert abs(value.std() - spread) < 0.03 * spread
    assert abs(np.corrcoef(area, logarithm)[0, 1]) < 0.07


def test_resized_crop_where_no_box_fits():
    """The middle, as wide as the range of aspects allows."""
    view = augment.RandomResizedCrop(8, (0.99, 1.0), (1.0, 2.0))
    boxes = view.boxes(3, 10, 100, SEED).numpy()
    assert boxes.tolist() == [[0, 40, 10, 20]] * 3
    boxes = view.boxes(3, 100, 10, SEED).numpy()
    assert boxes.tolist() == [[45, 0, 10, 10]] * 3


def test_resized_crop_mirrors_its_share():
    x = np.random.RandomState(4).randint(0, 256, (400, 3, 4, 3)).astype("uint8")
    view = augment.RandomResizedCrop((3, 4), (1, 1), (4 / 3, 4 / 3), 0.3)
    got = view(x, SEED).numpy()
    mirrored = (got == x[:, :, ::-1]).all(axis=(1, 2, 3))
    assert ((got == x).all(axis=(1, 2, 3)) ^ mirrored).all()
    assert abs(mirrored.mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 400)


def test_resized_crop_of_all_is_a_resize():
    view = augment.RandomResizedCrop((7, 5), (1.0, 1.0), (1.0, 1.0))
    x = np.random.RandomState(4).randint(0, 256, (2, 9, 9, 3)).astype("uint8")
    want = np.round(tf.image.resize(x, (7, 5)))
    np.testing.assert_array_equal(view(x, SEED), want)


# RandAugment.

PHOTO = np.random.RandomState(5).randint(20, 200, (16, 16, 3)).astype("uint8")
PHOTO[:8] //= 2


def results(name, magnitude, translate_const=4, cutout_const=4):
    """What one operation makes of PHOTO, without and with a sign."""
    level = magnitude / 10
    signed = {
        "Rotate": (operations.rotate, 30 * level),
        "ShearX": (operations.shear_x, 0.3 * level),
        "ShearY": (operations.shear_y, 0.3 * level),
        "TranslateX": (operations.translate_x, translate_const * level),
        "TranslateY": (operations.translate_y, translate_const * level),
    }
    plain = {
        "AutoContrast": (operations.autocontrast,),
        "Equalize": (operations.equalize,),
        "Invert": (operations.invert,),
        "Posterize": (operations.posterize, 6),
        "Solarize": (operations.solarize, {16: 153, 17: 179}[magnitude]),
        "Color": (operations.color, {16: 2.98, 17: 3.16}[magnitude]),
        "Contrast": (operations.contrast, {16: 2.98, 17: 3.16}[magnitude]),
        "Brightness": (operations.brightness, {16: 2.98, 17: 3.16}[magnitude]),
        "Sharpness": (operations.sharpness, {16: 2.98, 17: 3.16}[magnitude]),
    }
    if name in signed:
        function, value = signed[name]
        return [
            function(PHOTO[np.newaxis], sign * value)[0].numpy()
            for sign in (-1, 1)
        ]
    if name in plain:
        function, *value = plain[name]
        return [function(PHOTO[np.newaxis], *value)[0].numpy()]
    side = 2 * int(cutout_const * level)
    places = np.indices((16, 16)).reshape(2, -1)
    many = np.repeat(PHOTO[np.newaxis], 256, axis=0)
    return list(operations.cutout(many, *places, side).numpy())


def tally(images, candidates):
    """How many images are each candidate; all are one of them."""
    counts = dict.fromkeys((each.tobytes() for each in candidates), 0)
    for image in images.numpy():
        counts[image.tobytes()] += 1
    return np.array([counts[each.tobytes()] for each in candidates])


@pytest.mark.parametrize("magnitude", [16, 17])
@pytest.mark.parametrize("name", augment.POOL)
def test_values_of_the_operations(name, magnitude):
    """METHOD: those of the official code; signs are even."""
    view = augment.RandAugment(1, magnitude, 4, 4, pool=(name,))
    wanted = results(name, magnitude)
    got = view(np.repeat(PHOTO[np.newaxis], 800, axis=0), SEED)
    counts = tally(got, [PHOTO, *wanted])
    # Applied with probability 0.5 on average.
    assert abs(counts[0] - 400) < 4 * np.sqrt(800 / 4)
    if len(wanted) == 2:
        assert abs(counts[1] - counts[2]) < 4 * np.sqrt(800 / 2)
    if name == "Cutout":
        cut = (got.numpy() == 128).all(axis=3)
        assert cut.sum(axis=(1, 2)).max() == 12**2


def test_translation_and_cutout_at_the_size_of_imagenet():
    x = np.full((60, 224, 224, 1), 7, "uint8")
    empty = augment.RandAugment(1, 17, pool=("TranslateX",))(x, SEED).numpy()
    assert set((empty[:, 0, :, 0] == 128).sum(axis=1)) == {0, 170}
    cut = augment.RandAugment(1, 17, pool=("Cutout",))(x, SEED).numpy() == 128
    assert cut.any(axis=(2, 3)).sum(axis=1).max() == 136
    assert cut.any(axis=(1, 3)).sum(axis=1).max() == 136


def test_operations_are_equally_frequent():
    number = 6000
    wanted = [results(name, 16) for name in augment.POOL]
    many = np.repeat(PHOTO[np.newaxis], number, axis=0)
    got = augment.RandAugment(1, 16, 4, 4)(many, SEED)
    counts = tally(got, [PHOTO, *sum(wanted, [])])
    first = np.cumsum([0, 1] + [len(each) for each in wanted])[:-1]
    sums = np.add.reduceat(counts, first)
    assert sums.sum() == number
    share = np.array([1 / 2] + [1 / 30] * 15)
    bound = 4 * np.sqrt(number * share * (1 - share))
    assert (np.abs(sums - number * share) < bound).all(), sums


def test_an_image_has_one_probability_for_all_its_operations():
    x = np.full((20000, 1, 1, 1), 200, "uint8")
    # Brightness at magnitude 2.5 is a factor of 0.55.
    got = augment.RandAugment(2, 2.5, pool=("Brightness",))(x, SEED).numpy()
    times = np.select([got == 200, got == 110, got == 60], [0, 1, 2], 9)
    shares = np.bincount(times.ravel(), minlength=3) / len(x)
    # With p from U(0.2, 0.8): E[p²] = 0.28, where one p for each operation
    # would make it 0.25; and E[2 p (1 - p)] = 0.44.
    np.testing.assert_allclose(shares, [0.28, 0.44, 0.28], atol=0.013)


def test_rand_augment_repeats_operations_in_sequence():
    view = augment.RandAugment(3, 16, 4, 4, pool=("Invert",))
    got = view(np.repeat(PHOTO[np.newaxis], 200, axis=0), SEED)
    assert tally(got, [PHOTO, 255 - PHOTO]).min() > 50


POLICIES = {
    "cifar": augment.cifar_views(16),
    "svhn": augment.svhn_views(16),
    "imagenet": augment.imagenet_views((12, 10)),
}
BYTES = {
    "cifar_weak": POLICIES["cifar"].weak,
    "cifar_strong": POLICIES["cifar"].strong,
    "imagenet_weak": POLICIES["imagenet"].weak,
    "imagenet_strong": POLICIES["imagenet"].strong,
}
PHOTOS = np.random.RandomState(6).randint(0, 256, (40, 16, 20, 3), "uint8")


@pytest.mark.parametrize("view", BYTES.values(), ids=BYTES)
def test_views_of_bytes_agree_in_every_mode(view):
    eager = view(PHOTOS, SEED).numpy()
    assert eager.dtype == "uint8"
    assert not np.array_equal(eager, view(PHOTOS, [3, 6]))
    assert not np.array_equal(eager, view(PHOTOS, [4, 5]))
    signature = [
        tf.TensorSpec([None, None, None, 3], tf.uint8),
        tf.TensorSpec([2], tf.int32),
    ]
    graph = tf.function(view, input_signature=signature)
    np.testing.assert_array_equal(graph(PHOTOS, SEED), eager)
    data = tf.data.Dataset.from_tensors(PHOTOS).map(lambda x: view(x, SEED))
    assert data.element_spec.shape == eager.shape
    np.testing.assert_array_equal(data.get_single_element(), eager)


@pytest.mark.parametrize("view", BYTES.values(), ids=BYTES)
def test_an_image_depends_on_its_position_alone(view):
    """Neither on the other images nor on how many they are."""
    batch = view(PHOTOS, SEED).numpy()
    np.testing.assert_array_equal(view(PHOTOS[:7], SEED), batch[:7])
    other = PHOTOS.copy()
    other[::2] = 255 - other[::2]
    np.testing.assert_array_equal(view(other, SEED)[1::2], batch[1::2])
    assert view(PHOTOS[:0], SEED).shape[0] == 0
    same = view(np.repeat(PHOTOS[:1], 40, axis=0), SEED).numpy()
    assert len(np.unique(same.reshape(40, -1), axis=0)) > 10


@pytest.mark.parametrize("name", ["cifar", "svhn"])
@pytest.mark.parametrize("channels", [1, 3])
def test_policies_keep_shapes(name, channels):
    x = PHOTOS[..., :channels]
    for view in (POLICIES[name].weak, POLICIES[name].strong):
        assert view(x, SEED).shape == x.shape


# Policies.


def test_policies_are_those_of_the_documentation():
    drawn, cut = augment.RandAugment(2, 16, 4, 4), augment.Cutout(16, fill=128)
    for views, share in (
        (augment.cifar_views(), 0.5),
        (augment.svhn_views(), 0.0),
    ):
        crop = augment.RandomPaddedCrop(4, 128, flip=share)
        strong = augment.Compose((crop, drawn, cut, crop))
        assert views == augment.Views(crop, strong)
    crop = augment.RandomResizedCrop(224, (0.08, 1.0), (3 / 4, 4 / 3), 0.5)
    drawn = augment.RandAugment(2, 17, 100, 40)
    assert augment.imagenet_views() == augment.Views(
        crop, augment.Compose((crop, drawn))
    )


def test_named_views():
    for name, views in (
        ("cifar", augment.cifar_views(40)),
        ("svhn", augment.svhn_views(40)),
        ("imagenet", augment.imagenet_views((40, 50))),
        ("small_shifts", augment.image_views(40, 50)),
    ):
        assert augment.named_views(name, 40, 50) == views
        assert augment.name_of_views(views, 40, 50) == name
    own = augment.Views(views.weak, views.weak)
    assert augment.name_of_views(own, 40, 50) is None
    assert augment.name_of_views(None, 40, 50) is None


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("cifar10", "mean 'cifar'"), ("shifts", "'small_shifts'"), (3, "name=3$")],
)
def test_unknown_names_of_views(name, nearest):
    with pytest.raises(ValueError, match=f"one of .'cifar', 'svhn'.*{nearest}"):
        augment.named_views(name, 32, 32)


def test_rand_augment_refuses_other_dtypes():
    message = "`x` of RandAugment must be uint8.*float32.*convert_image_dtype"
    with pytest.raises(ValueError, match=message):
        augment.cifar_views(8).strong(IMAGES, SEED)


def test_compose_applies_in_order_with_different_seeds():
    seeds = []

    def record(x, seed):
        seeds.append(seed.numpy().tolist())
        return x

    view = augment.Compose(
        [record, lambda x, seed: x + 1, record, lambda x, seed: x * 2]
    )
    assert view(tf.constant([1.0]), SEED).numpy().tolist() == [4.0]
    assert seeds[0] != seeds[1]


def test_digits_views_are_those_of_the_documentation():
    views = augment.digits_views()
    assert views.weak == augment.RandomAffine(0.6, 8.0, 0.08)
    assert views.strong == augment.Compose(
        (
            augment.RandomAffine(1.0, 17.0, 0.15, 0.15),
            augment.RandomContrast(0.6, 1.2),
            augment.GaussianNoise(0.06),
            augment.Cutout(3, 0.5),
        )
    )
    strong = views.strong(IMAGES, SEED).numpy()
    assert strong.min() < 0  # noise is not clipped


def test_default_views():
    features = np.array([[0.0, 1.0], [2.0, 1.0]], "float32")
    views = augment.default_views(features)
    assert views == augment.jitter_views([0.05, 0.0], [0.2, 0.0])
    assert augment.default_views(IMAGES) == augment.image_views(8, 8)
    assert augment.default_views((IMAGES * 255).astype("uint8")) is not None
    assert augment.default_views(np.arange(4)) is None
    assert augment.default_views({"a": features}) is None


def test_image_views_keep_the_picture():
    views = augment.image_views(8, 8)
    weak = views.weak(IMAGES, SEED).numpy()
    strong = views.strong(IMAGES, SEED).numpy()
    changed = [np.abs(x - IMAGES).mean() for x in (weak, strong)]
    assert 0 < changed[0] < changed[1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: augment.RandomAffine(shift=-1), "`shift` must be .*=-1"),
        (lambda: augment.RandomAffine(rotation=200), "`rotation` .*=200"),
        (lambda: augment.RandomAffine(zoom=1.0), "`zoom` must be .*=1.0"),
        (lambda: augment.RandomAffine(shear="a"), "`shear` must be .*='a'"),
        (lambda: augment.RandomContrast(1.2, 0.6), "`upper` must .*=0.6"),
        (lambda: augment.RandomContrast(-0.1, 1.0), "`lower` must .*=-0.1"),
        (lambda: augment.GaussianNoise(-0.1), "`stddev` must .*=-0.1"),
        (lambda: augment.GaussianNoise([0.1, np.nan]), "`stddev` .*nan"),
        (lambda: augment.GaussianNoise([[0.1]]), "`stddev` must"),
        (lambda: augment.GaussianNoise(None), "`stddev` must .*None"),
        (lambda: augment.Cutout(0), "`size` must be .*=0"),
        (lambda: augment.Cutout(2.5), "`size` must be .*=2.5"),
        (lambda: augment.Cutout(2, 1.5), "`probability` must .*=1.5"),
        (lambda: augment.Cutout(2, fill=np.inf), "`fill` must .*inf"),
        (lambda: augment.RandomFlip(2), "`probability` must .*=2"),
        (lambda: augment.RandomPaddedCrop(-1), "`padding` must .*=-1"),
        (lambda: augment.RandomPaddedCrop(1, np.nan), "`fill` must .*nan"),
        (lambda: augment.RandomPaddedCrop(1, flip=1.5), "`flip` must .*=1.5"),
        (lambda: augment.RandomResizedCrop(0), "`size` must .*=0"),
        (lambda: augment.RandomResizedCrop((1, 2, 3)), "`size` must be two"),
        (
            lambda: augment.RandomResizedCrop(8, 0.5),
            "`area` must be two .*=0.5",
        ),
        (lambda: augment.RandomResizedCrop(8, (0, 1)), r"`area\[0\]` must"),
        (lambda: augment.RandomResizedCrop(8, (0.5, 2)), r"`area\[1\]` .*=2"),
        (
            lambda: augment.RandomResizedCrop(8, aspect=(2, 1)),
            r"`aspect\[1\]` must be a number >= 2.*=1",
        ),
        (lambda: augment.RandomResizedCrop(8, flip=-1), "`flip` must .*=-1"),
        (lambda: augment.RandAugment(0), "`num_operations` must .*=0"),
        (lambda: augment.RandAugment(2, -1), "`magnitude` must .*=-1"),
        (lambda: augment.RandAugment(2, 9, -1), "`translate_const` must .*=-1"),
        (
            lambda: augment.RandAugment(2, 9, 1, "a"),
            "`cutout_const` must .*'a'",
        ),
        (lambda: augment.RandAugment(pool=()), "`pool` must be"),
        (lambda: augment.RandAugment(pool=("Blur",)), r"`pool\[0\]` .*'Blur'"),
        (lambda: augment.cifar_views(1), "`size` must .*=1"),
        (lambda: augment.svhn_views(32.0), "`size` must .*=32.0"),
        (lambda: augment.named_views("cifar", 0, 8), "`height` must .*=0"),
        (lambda: augment.Compose(()), "`pieces` must be"),
        (lambda: augment.Compose((1,)), r"`pieces\[0\]` must be a callable"),
        (lambda: augment.Views(None, len), "`weak` must be a callable"),
        (lambda: augment.Views(len, "x"), "`strong` must be a callable"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("piece", [PIECES["affine"], PIECES["cutout"]])
def test_images_must_have_rank_4(piece):
    with pytest.raises(
        ValueError, match=r"must be images .*None\]`\). .* shape=\(6, 8, 8\)"
    ):
        piece(IMAGES[..., 0], SEED)
