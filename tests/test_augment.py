"""Views: values, independence, and the same result in every mode."""

import numpy as np
import pytest
import tensorflow as tf

from mpl_keras import augment

SEED = tf.constant([3, 5])
IMAGES = np.random.RandomState(0).uniform(size=(6, 8, 8, 1)).astype("float32")

PIECES = {
    "affine": augment.RandomAffine(1.0, 15.0, 0.1, 0.1),
    "contrast": augment.RandomContrast(0.5, 1.5),
    "noise": augment.GaussianNoise(0.3),
    "cutout": augment.Cutout(3),
    "digits_weak": augment.digits_views().weak,
    "digits_strong": augment.digits_views().strong,
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
        ValueError, match=r"must be images .* shape=\(6, 8, 8\)"
    ):
        piece(IMAGES[..., 0], SEED)
