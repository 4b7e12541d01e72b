"""Values and gradients of every formula, against numbers computed by hand."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_keras import callbacks, losses, schedules

# Two classes with logits (log p, log q) have the probabilities (p, q).
LOG = np.log


def softmax(logits, axis=-1):
    logits = np.asarray(logits, "float64")
    exp = np.exp(logits - logits.max(axis=axis, keepdims=True))
    return exp / exp.sum(axis=axis, keepdims=True)


def value_and_gradient(function, x):
    x = tf.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = function(x)
    gradient = tape.gradient(value, x, unconnected_gradients="zero")
    return value.numpy(), gradient.numpy()


def random_logits(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape) * 2


# Building blocks.


def test_as_float_keeps_float64_and_makes_float32_of_the_rest():
    assert losses.as_float(np.zeros(2)).dtype == tf.float64
    for dtype in ("float16", "bfloat16", "float32", "int32"):
        assert losses.as_float(tf.zeros(2, dtype)).dtype == tf.float32


@pytest.mark.parametrize(
    "labels",
    [
        [2, 0],
        [[2], [0]],
        [[0, 0, 1], [1, 0, 0]],
        [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]],
        np.array([2.0, 0.0], "float32"),  # as `keras.losses.Loss` casts them
        np.array([2, 0], "uint8"),
    ],
)
def test_all_label_forms_agree(labels):
    expected = [[0, 0, 1], [1, 0, 0]]
    np.testing.assert_array_equal(losses.dense_labels(labels, 3), expected)
    logits = random_logits(2, 3)
    by_hand = -LOG(softmax(logits))[[0, 1], [2, 0]]
    np.testing.assert_allclose(losses.crossentropy(labels, logits), by_hand)
    loss = losses.AnnealedCategoricalCrossentropy(reduction=None)
    np.testing.assert_allclose(loss(labels, logits), by_hand, rtol=1e-6)
    np.testing.assert_allclose(
        losses.meta_pseudo_labels(labels, logits, 2.0), 2 * by_hand
    )


def test_soft_labels_are_left_as_they_are():
    rows = [[0.2, 0.3, 0.5]]
    np.testing.assert_allclose(losses.dense_labels(rows, 3), rows)


def test_label_smoothing_by_hand():
    smooth = losses.smooth_labels(tf.constant([[1.0, 0.0, 0.0, 0.0]]), 0.2)
    np.testing.assert_allclose(smooth, [[0.85, 0.05, 0.05, 0.05]], rtol=1e-6)
    # p = (0.5, 0.25, 0.25): -(0.9 log 0.5 + 0.05 log 0.25 + 0.05 log 0.25)
    logits = LOG([[0.5, 0.25, 0.25]])
    np.testing.assert_allclose(
        losses.crossentropy([0], logits, 0.15),
        [(0.9 * 1 + 0.1 * 2) * LOG(2)],
    )


def test_crossentropy_value_and_gradient():
    logits = LOG([[0.2, 0.3, 0.5], [0.7, 0.2, 0.1]])
    value, gradient = value_and_gradient(
        lambda z: losses.crossentropy([1, 0], z), logits
    )
    np.testing.assert_allclose(value, [-LOG(0.3), -LOG(0.7)])
    np.testing.assert_allclose(
        gradient, [[0.2, -0.7, 0.5], [-0.3, 0.2, 0.1]], atol=1e-12
    )


def test_crossentropy_agrees_with_keras():
    logits = random_logits(5, 4).astype("float32")
    labels = [0, 3, 1, 1, 2]
    np.testing.assert_allclose(
        losses.crossentropy(labels, logits, 0.1),
        keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=0.1, reduction=None
        )(np.eye(4)[labels], logits),
        rtol=1e-5,
    )


def test_crossentropy_has_a_gradient_to_its_labels():
    # The hypergradient is taken through it.
    logits = LOG([[0.2, 0.8]])
    _, gradient = value_and_gradient(
        lambda y: losses.crossentropy(y, logits), np.array([[0.5, 0.5]])
    )
    np.testing.assert_allclose(gradient, [[-LOG(0.2), -LOG(0.8)]])


# Consistency.


def test_consistency_by_hand_with_temperature():
    # Sharpened at 0.5, (0.6, 0.4) becomes (0.36, 0.16) / 0.52.
    weak, strong = LOG([[0.6, 0.4]]), LOG([[0.5, 0.5]])
    target = np.array([0.36, 0.16]) / 0.52
    for divergence, entropy in (
        ("crossentropy", 0.0),
        ("kl_divergence", -(target * LOG(target)).sum()),
    ):
        value, gradient = value_and_gradient(
            lambda z, kind=divergence: losses.consistency(
                weak, z, temperature=0.5, divergence=kind
            ),
            strong,
        )
        np.testing.assert_allclose(value, [LOG(2) - entropy], rtol=1e-12)
        np.testing.assert_allclose(gradient, [0.5 - target], rtol=1e-12)


def test_crossentropy_and_kl_have_the_same_gradient():
    weak, strong = random_logits(6, 4), random_logits(6, 4, seed=1)
    gradients = [
        value_and_gradient(
            lambda z, kind=divergence: losses.consistency(
                weak, z, 0.7, 0.5, divergence=kind
            ),
            strong,
        )[1]
        for divergence in ("crossentropy", "kl_divergence")
    ]
    assert np.abs(gradients[0]).max() > 0.01
    np.testing.assert_allclose(*gradients, atol=1e-12)


def test_kl_of_equal_distributions_is_zero():
    logits = random_logits(6, 4)
    np.testing.assert_allclose(
        losses.consistency(logits, logits, divergence="kl_divergence"),
        np.zeros(6),
        atol=1e-12,
    )


@pytest.mark.parametrize("divergence", ["crossentropy", "kl_divergence"])
def test_targets_carry_no_gradient(divergence):
    strong = random_logits(3, 4, seed=1)
    _, gradient = value_and_gradient(
        lambda z: losses.consistency(z, strong, 0.5, divergence=divergence),
        random_logits(3, 4),
    )
    np.testing.assert_array_equal(gradient, np.zeros((3, 4)))
    loss = losses.ConsistencyLoss(0.5, divergence=divergence)
    _, gradient = value_and_gradient(
        lambda z: loss(z, strong), random_logits(3, 4)
    )
    np.testing.assert_array_equal(gradient, np.zeros((3, 4)))
    # Not even where both views are one tensor.
    _, both = value_and_gradient(
        lambda z: losses.consistency(z, z, divergence=divergence),
        random_logits(3, 4),
    )
    np.testing.assert_allclose(both, np.zeros((3, 4)), atol=1e-12)


def test_masked_examples_count_in_the_mean():
    # Confidences 0.9 and 0.6: the second is masked, and divides all the same.
    weak, strong = LOG([[0.9, 0.1], [0.6, 0.4]]), LOG([[0.5, 0.5]] * 2)
    loss = losses.ConsistencyLoss(threshold=0.8)
    np.testing.assert_allclose(loss(weak, strong), LOG(2) / 2, rtol=1e-6)
    np.testing.assert_array_equal(loss.mask(weak), [1.0, 0.0])
    _, gradient = value_and_gradient(lambda z: loss(weak, z), strong)
    np.testing.assert_allclose(gradient, [[-0.2, 0.2], [0.0, 0.0]], atol=1e-6)


def test_raw_and_sharpened_mask_differ():
    # 0.6 becomes 0.69 at temperature 0.5: over the threshold only then.
    weak, strong = LOG([[0.6, 0.4]]), LOG([[0.5, 0.5]])
    values = {
        mask_on: float(
            losses.ConsistencyLoss(0.5, threshold=0.65, mask_on=mask_on)(
                weak, strong
            )
        )
        for mask_on in ("raw", "sharpened")
    }
    assert values["raw"] == 0.0
    np.testing.assert_allclose(values["sharpened"], LOG(2), rtol=1e-6)


def test_a_confidence_at_the_threshold_counts():
    weak = np.zeros((1, 2))
    np.testing.assert_array_equal(losses.confidence_mask(weak, 1.0, 0.5), [1])
    np.testing.assert_array_equal(losses.confidence_mask(weak, 1.0, 0.51), [0])


@pytest.mark.parametrize(
    ("reduction", "expected"),
    [
        (None, [LOG(2), 0.0]),
        ("sum", LOG(2)),
        ("sum_over_batch_size", LOG(2) / 2),
    ],
)
def test_reductions_are_keras_own(reduction, expected):
    weak, strong = LOG([[0.9, 0.1], [0.6, 0.4]]), LOG([[0.5, 0.5]] * 2)
    loss = losses.ConsistencyLoss(threshold=0.8, reduction=reduction)
    np.testing.assert_allclose(loss(weak, strong), expected, rtol=1e-6)


def test_align_logits_multiplies_and_renormalises():
    logits = random_logits(7, 3)
    prior, marginal = np.array([0.2, 0.3, 0.5]), np.array([0.6, 0.3, 0.1])
    by_hand = softmax(logits) * prior / marginal
    by_hand /= by_hand.sum(axis=-1, keepdims=True)
    aligned = losses.align_logits(logits, prior, marginal)
    np.testing.assert_allclose(tf.nn.softmax(aligned), by_hand, atol=1e-5)
    assert np.abs(by_hand - softmax(logits)).max() > 0.2


def test_align_logits_is_finite_for_a_class_without_mass():
    aligned = losses.align_logits(
        np.zeros((1, 2), "float32"), [0.0, 1.0], [0.0, 1.0]
    )
    assert np.isfinite(aligned).all()


# Training signal annealing.


def test_annealing_drops_what_is_known_and_divides_by_the_kept():
    probability = np.array([0.9, 0.5, 0.2])
    logits = LOG(np.stack([probability, 1 - probability], axis=1))
    np.testing.assert_array_equal(
        losses.annealing_mask([0, 0, 0], logits, 0.6), [0, 1, 1]
    )
    value, gradient = value_and_gradient(
        lambda z: tf.reduce_mean(
            losses.annealed_crossentropy([0, 0, 0], z, 0.6)
        ),
        logits,
    )
    np.testing.assert_allclose(value, -(LOG(0.5) + LOG(0.2)) / 2)
    np.testing.assert_allclose(
        gradient,
        [[0.0, 0.0], [-0.25, 0.25], [-0.4, 0.4]],
        atol=1e-12,
    )
    for loss in (
        losses.AnnealedCategoricalCrossentropy(0.6),
        losses.AnnealedSparseCategoricalCrossentropy(0.6),
    ):
        np.testing.assert_allclose(
            loss([0, 0, 0], logits), -(LOG(0.5) + LOG(0.2)) / 2, rtol=1e-6
        )


def test_annealing_looks_at_the_correct_class():
    # Very sure of the wrong class: it stays.
    logits = LOG([[0.05, 0.95]])
    np.testing.assert_array_equal(losses.annealing_mask([0], logits, 0.6), [1])
    np.testing.assert_array_equal(losses.annealing_mask([1], logits, 0.6), [0])


def test_annealing_keeps_an_example_at_the_threshold():
    logits = np.zeros((1, 2))
    np.testing.assert_array_equal(losses.annealing_mask([0], logits, 0.5), [1])


def test_annealing_without_a_kept_example_costs_nothing():
    logits = np.array([[9.0, 0.0], [9.0, 0.0]], "float32")
    value, gradient = value_and_gradient(
        lambda z: losses.AnnealedSparseCategoricalCrossentropy(0.6)([0, 0], z),
        logits,
    )
    assert value == 0.0
    np.testing.assert_array_equal(gradient, np.zeros((2, 2)))


def test_annealing_at_one_is_plain_crossentropy():
    logits = random_logits(5, 3)
    logits[0] = [1e4, 0, 0]  # probability exactly 1
    np.testing.assert_allclose(
        losses.annealed_crossentropy([0, 1, 2, 0, 1], logits, 1.0, 0.1),
        losses.crossentropy([0, 1, 2, 0, 1], logits, 0.1),
    )


def test_annealing_honours_sample_weights_and_smoothing():
    logits = LOG([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]])
    loss = losses.AnnealedSparseCategoricalCrossentropy(
        0.6, label_smoothing=0.2
    )
    by_hand = [
        0.0,
        LOG(2),
        -(0.9 * LOG(0.2) + 0.1 * LOG(0.8)),
    ]
    weights = [5.0, 2.0, 0.5]
    np.testing.assert_allclose(
        loss([0, 0, 0], logits, sample_weight=weights),
        np.dot(by_hand, weights) / 2,
        rtol=1e-6,
    )


def test_the_threshold_can_be_set_inside_a_compiled_function():
    loss = losses.AnnealedSparseCategoricalCrossentropy()
    logits = tf.constant(LOG([[0.9, 0.1]]), tf.float32)
    compiled = tf.function(lambda z: loss([0], z))
    np.testing.assert_allclose(compiled(logits), -LOG(0.9), rtol=1e-5)
    loss.threshold.assign(0.6)
    assert float(compiled(logits)) == 0.0


# Feedback term.


def test_scalar_feedback_by_hand():
    logits = LOG([[0.2, 0.8], [0.6, 0.4]])
    loss = losses.MetaPseudoLabelsLoss()
    value, gradient = value_and_gradient(
        lambda z: loss([0, 1], z, sample_weight=3.0), logits
    )
    np.testing.assert_allclose(value, -3 * (LOG(0.2) + LOG(0.4)) / 2, rtol=1e-6)
    np.testing.assert_allclose(
        gradient, 1.5 * np.array([[-0.8, 0.8], [0.6, -0.6]]), rtol=1e-6
    )
    # Without feedback it is the crossentropy.
    np.testing.assert_allclose(
        loss([0, 1], logits), -(LOG(0.2) + LOG(0.4)) / 2, rtol=1e-6
    )


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_feedback_per_example_by_hand(shape):
    logits = LOG([[0.2, 0.8], [0.6, 0.4]])
    h = np.reshape([2.0, -1.0], shape)
    loss = losses.MetaPseudoLabelsLoss()
    value, gradient = value_and_gradient(
        lambda z: loss([0, 1], z, sample_weight=h), logits
    )
    np.testing.assert_allclose(value, (-2 * LOG(0.2) + LOG(0.4)) / 2, rtol=1e-6)
    np.testing.assert_allclose(gradient, [[-0.8, 0.8], [-0.3, 0.3]], rtol=1e-6)


@pytest.mark.parametrize("classes", [2, 3])
def test_soft_feedback_value_and_gradient(classes):
    # The batch has as many examples as the square case has classes.
    logits = random_logits(2, classes)
    j = random_logits(2, classes, seed=1)
    teacher = softmax(logits)
    value, gradient = value_and_gradient(
        lambda z: losses.meta_pseudo_labels(teacher, z, j), logits
    )
    np.testing.assert_allclose(value, (teacher * j).sum(axis=-1))
    # d/dz_k sum_c T_c J_c = T_k (J_k - sum_c T_c J_c)
    centred = j - (teacher * j).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(gradient, teacher * centred, atol=1e-12)
    loss = losses.MetaPseudoLabelsLoss()
    value, gradient = value_and_gradient(
        lambda z: loss(teacher, z, sample_weight=j), logits
    )
    np.testing.assert_allclose(value, (teacher * j).sum() / 2, rtol=1e-6)
    np.testing.assert_allclose(gradient, teacher * centred / 2, atol=1e-6)


def test_soft_feedback_is_the_gradient_of_the_probabilities():
    logits = random_logits(4, 3)
    j = tf.constant(random_logits(4, 3, seed=1))
    _, gradient = value_and_gradient(
        lambda z: losses.meta_pseudo_labels(tf.nn.softmax(z), z, j), logits
    )
    _, expected = value_and_gradient(lambda z: tf.nn.softmax(z) * j, logits)
    np.testing.assert_allclose(gradient, expected, atol=1e-12)


def test_soft_self_labels_with_a_scalar_give_no_gradient():
    # The released TF1 code feeds a scalar back through soft labels made from
    # the same logits: its gradient is p - p. This is why soft labels need J.
    logits = random_logits(8, 5)
    for self_labels in (lambda z: tf.nn.softmax(z), lambda z: softmax(logits)):
        _, gradient = value_and_gradient(
            lambda z, labels=self_labels: losses.meta_pseudo_labels(
                labels(z), z, 0.7
            ),
            logits,
        )
        assert np.abs(gradient).max() < 1e-15
    _, soft = value_and_gradient(
        lambda z: losses.meta_pseudo_labels(
            tf.nn.softmax(z), z, random_logits(8, 5, seed=1)
        ),
        logits,
    )
    assert np.abs(soft).max() > 0.01


@pytest.mark.parametrize("h", [1.0, -1.0])
def test_positive_feedback_makes_the_label_more_probable(h):
    logits = random_logits(4, 3)
    labels = np.array([0, 2, 1, 1])
    _, gradient = value_and_gradient(
        lambda z: losses.meta_pseudo_labels(labels, z, h), logits
    )
    rows = np.arange(4)
    before = softmax(logits)[rows, labels]
    after = softmax(logits - 0.1 * gradient)[rows, labels]
    assert (np.sign(after - before) == np.sign(h)).all()


def test_positive_slope_makes_the_class_less_probable():
    # J is the change of the loss: where it rises, the teacher should go down.
    j = np.array([[1.0, 0.0, 0.0]])
    logits = np.zeros((1, 3))
    _, gradient = value_and_gradient(
        lambda z: losses.meta_pseudo_labels(softmax(logits), z, j), logits
    )
    assert softmax(logits - 0.1 * gradient)[0, 0] < 1 / 3


@pytest.mark.parametrize("shape", [(), (2,), (2, 2)])
def test_no_gradient_flows_into_the_feedback(shape):
    logits = random_logits(2, 2)
    loss = losses.MetaPseudoLabelsLoss()
    h = tf.Variable(tf.ones(shape))
    z = tf.Variable(logits)
    with tf.GradientTape() as tape:
        # The feedback depends on the logits, as it does in a training step.
        value = loss([0, 1], z, sample_weight=h * tf.cast(z[0, 0], "float32"))
    into_h, into_z = tape.gradient(value, [h, z])
    assert into_h is None
    _, expected = value_and_gradient(
        lambda x: loss([0, 1], x, sample_weight=np.full(shape, logits[0, 0])),
        logits,
    )
    np.testing.assert_allclose(into_z, expected, rtol=1e-5, atol=1e-7)


def test_no_gradient_flows_into_the_pseudo_labels():
    logits = random_logits(2, 3)
    _, gradient = value_and_gradient(
        lambda y: losses.meta_pseudo_labels(y, logits, 2.0),
        softmax(random_logits(2, 3, seed=1)),
    )
    np.testing.assert_array_equal(gradient, np.zeros((2, 3)))


# Numbers and dtypes.


def all_values(logits):
    """Every formula on logits of two classes."""
    weak = logits
    return {
        "crossentropy": losses.crossentropy([1], logits),
        "consistency": losses.consistency(weak, logits, 0.5),
        "kl": losses.consistency(
            weak, -logits, 0.5, divergence="kl_divergence"
        ),
        "annealed": losses.annealed_crossentropy([1], logits, 0.9),
        "hard": losses.meta_pseudo_labels([1], logits, 2.0),
        "soft": losses.meta_pseudo_labels([1], logits, [[1.0, -1.0]]),
    }


def test_extreme_logits_are_finite():
    for scale in (1e4, -1e4):
        logits = np.array([[scale, 0.0]], "float32")
        for name in all_values(logits):
            value, gradient = value_and_gradient(
                lambda z, name=name: all_values(z)[name], logits
            )
            assert np.isfinite(value).all(), name
            assert np.isfinite(gradient).all(), name
    value = losses.crossentropy([1], np.array([[1e4, 0.0]], "float32"))
    np.testing.assert_allclose(value, [1e4])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_logits_are_computed_in_float32(dtype):
    # In float16 exp(12) is infinite, and a sum over 256 examples of 300 is.
    logits = tf.cast([[300.0, 0.0]] * 256, dtype)
    for name, value in all_values(logits[:1]).items():
        assert value.dtype == tf.float32, name
    labels = np.ones(256, "int32")
    for loss in (
        losses.AnnealedSparseCategoricalCrossentropy(),
        losses.MetaPseudoLabelsLoss(),
    ):
        value = loss(labels, logits)
        assert value.dtype == tf.float32
        np.testing.assert_allclose(value, 300.0)
    value = losses.ConsistencyLoss()(logits, -logits)
    np.testing.assert_allclose(value, 300.0)
    # 1 + 1/512 has no half precision: a loss in float16 would be off by 1e-3.
    logits = tf.cast([[0.5, 0.25]], dtype)
    np.testing.assert_allclose(
        losses.crossentropy([0], logits),
        [LOG(1 + np.exp(-0.25))],
        rtol=1e-6,
    )


def test_half_precision_logits_under_a_mixed_policy():
    keras.config.set_dtype_policy("mixed_float16")
    logits = tf.cast([[300.0, 0.0]] * 256, "float16")
    loss = losses.UDALoss(weight=2.0)
    value = loss(
        np.ones(256), {"labeled": logits, "weak": logits, "strong": -logits}
    )
    assert value.dtype == tf.float32
    np.testing.assert_allclose(value, 900.0)


def test_float64_logits_stay_float64():
    logits = tf.constant([[0.3, -0.7]], tf.float64)
    for name, value in all_values(logits).items():
        assert value.dtype == tf.float64, name
    assert losses.confidence_mask(logits).dtype == tf.float64
    assert losses.align_logits(logits, [0.5] * 2, [0.5] * 2).dtype == tf.float64


# UDA.


def test_uda_loss_by_hand():
    logits = {
        "labeled": LOG([[0.5, 0.5], [0.2, 0.8], [0.9, 0.1]]),
        "weak": LOG([[0.9, 0.1], [0.6, 0.4]]),
        "strong": LOG([[0.5, 0.5]] * 2),
    }
    loss = losses.UDALoss(
        losses.ConsistencyLoss(threshold=0.8),
        weight=3.0,
        threshold=0.7,
        label_smoothing=0.2,
    )
    smoothed = [LOG(2), -(0.9 * LOG(0.2) + 0.1 * LOG(0.8))]
    expected = np.mean(smoothed) + 3.0 * LOG(2) / 2
    np.testing.assert_allclose(loss([0, 0, 0], logits), expected, rtol=1e-6)
    np.testing.assert_allclose(
        loss(np.eye(2)[[0, 0, 0]], logits), expected, rtol=1e-6
    )
    np.testing.assert_allclose(
        loss.call([0, 0, 0], logits), expected, rtol=1e-6
    )
    # Weights of examples touch the supervised part alone.
    np.testing.assert_allclose(
        loss([0, 0, 0], logits, sample_weight=[2.0, 0.0, 1.0]),
        LOG(2) + 3.0 * LOG(2) / 2,
        rtol=1e-6,
    )


@pytest.mark.parametrize(
    "outputs", [np.zeros((2, 2)), {"labeled": 0, "weak": 0}, [1, 2, 3]]
)
def test_uda_loss_names_missing_outputs(outputs):
    with pytest.raises(ValueError, match="y_pred.*labeled.*strong.*weak"):
        losses.UDALoss()([0], outputs)


class ViewsModel(keras.Model):
    """A user's own model: three views in, a dict of logits out."""

    def __init__(self, network, **kwargs):
        super().__init__(**kwargs)
        self.network = network
        self.seen = []

    def call(self, inputs, training=None):
        return {
            name: self.network(x, training=training)
            for name, x in inputs.items()
        }

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        return self.uda(y, y_pred, sample_weight)


def views_model(uda, learning_rate=0.0, **compile_kwargs):
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    model = ViewsModel(network)
    model.uda = uda
    model.compile(
        optimizer=keras.optimizers.SGD(learning_rate), **compile_kwargs
    )
    return model


def views_of(size=8, seed=0):
    random = np.random.default_rng(seed)
    x = random.normal(size=(3, size, 2)).astype("float32")
    y = random.integers(0, 3, size)
    return dict(zip(("labeled", "weak", "strong"), x, strict=True)), y


def test_uda_loss_in_a_model_of_ones_own():
    x, y = views_of()
    model = views_model(losses.UDALoss(weight=2.0))
    history = model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    logits = {name: model.network(view) for name, view in x.items()}
    expected = float(
        tf.reduce_mean(losses.crossentropy(y, logits["labeled"]))
        + 2.0
        * tf.reduce_mean(losses.consistency(logits["weak"], logits["strong"]))
    )
    np.testing.assert_allclose(history.history["loss"], [expected], rtol=1e-5)


def test_uda_loss_learns_in_a_model_of_ones_own():
    x, y = views_of()
    y = (x["labeled"][:, 0] > 0).astype(int)
    model = views_model(losses.UDALoss(weight=0.5), learning_rate=0.5)
    history = model.fit(x, y, batch_size=8, epochs=8, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0] - 0.1


def test_sample_weight_in_a_model_of_ones_own():
    x, y = views_of()
    weights = np.linspace(0.0, 2.0, 8).astype("float32")
    model = views_model(losses.UDALoss(weight=0.0))
    history = model.fit(x, y, batch_size=8, sample_weight=weights, verbose=0)
    values = losses.crossentropy(y, model.network(x["labeled"]))
    np.testing.assert_allclose(
        history.history["loss"], [np.mean(values * weights)], rtol=1e-5
    )
    assert abs(np.mean(values * weights) - np.mean(values)) > 1e-3


def test_ramp_reaches_the_compiled_step():
    # The network stands still (learning rate 0), so the loss of a step shows
    # the weight that this step saw.
    x, y = views_of()
    loss = losses.UDALoss(weight=0.0)
    model = views_model(loss)
    ramp = callbacks.ConsistencyWeightRamp(loss, schedules.LinearRamp(4.0, 4))
    history = model.fit(
        x,
        y,
        batch_size=8,
        shuffle=False,
        epochs=5,
        callbacks=[ramp],
        verbose=0,
    )
    logits = {name: model.network(view) for name, view in x.items()}
    supervised = np.mean(losses.crossentropy(y, logits["labeled"]))
    consistency = np.mean(losses.consistency(logits["weak"], logits["strong"]))
    np.testing.assert_allclose(
        history.history["loss"],
        supervised + np.arange(5.0) * consistency,
        rtol=1e-5,
    )
    np.testing.assert_allclose(history.history["weight"], np.arange(5.0))


def test_annealing_reaches_the_compiled_step():
    x, y = views_of()
    loss = losses.UDALoss(weight=0.0)
    model = views_model(loss)
    annealing = callbacks.SignalAnnealing(
        loss, schedules.SignalAnnealing(steps=3, num_classes=3)
    )
    history = model.fit(
        x,
        y,
        batch_size=8,
        shuffle=False,
        epochs=4,
        callbacks=[annealing],
        verbose=0,
    )
    thresholds = 1 / 3 + np.arange(4) / 3 * 2 / 3
    logits = model.network(x["labeled"])
    correct = softmax(logits)[np.arange(8), y]
    expected = [-np.mean(LOG(correct[correct <= t])) for t in thresholds]
    assert expected[0] != pytest.approx(expected[-1], rel=1e-2)
    np.testing.assert_allclose(history.history["loss"], expected, rtol=1e-5)
    np.testing.assert_allclose(
        history.history["threshold"], thresholds, rtol=1e-6
    )


# Serialization.

CONFIGURED = [
    losses.ConsistencyLoss(),
    losses.ConsistencyLoss(
        temperature=0.5,
        threshold=0.8,
        mask_on="sharpened",
        divergence="kl_divergence",
        distribution_alignment="labeled",
        alignment_momentum=0.9,
        reduction="sum",
        name="consistency",
    ),
    losses.ConsistencyLoss(distribution_alignment=[0.25, 0.75]),
    losses.ConsistencyLoss(hard_targets=True, align_targets=False, name="hard"),
    *(
        losses.ConsistencyLoss(threshold=rule, name=type(rule).__name__)
        for rule in (
            losses.FlexMatchThreshold(0.8, 0.7),
            losses.FreeMatchThreshold(0.8, 0.2),
            losses.SoftMatchWeight(0.8, 1.5),
        )
    ),
    losses.AnnealedCategoricalCrossentropy(0.7, 0.1, "sum", name="annealed"),
    losses.AnnealedSparseCategoricalCrossentropy(0.7, 0.1, None, name="tsa"),
    losses.MetaPseudoLabelsLoss(reduction="sum", name="feedback"),
    losses.UDALoss(),
    losses.UDALoss(
        losses.ConsistencyLoss(0.5, 0.8, divergence="kl_divergence"),
        weight=3.0,
        threshold=0.7,
        label_smoothing=0.1,
        reduction="sum",
        name="uda",
    ),
]


def configs_equal(left, right):
    return keras.saving.serialize_keras_object(
        left
    ) == keras.saving.serialize_keras_object(right)


@pytest.mark.parametrize("loss", CONFIGURED, ids=lambda loss: loss.name)
def test_every_loss_is_serializable(loss):
    arguments = set(inspect.signature(type(loss).__init__).parameters)
    # Keras's own losses leave their dtype out; see also the next test.
    arguments -= {"self", "dtype", "hard_targets", "align_targets"}
    assert arguments <= set(loss.get_config())
    again = type(loss).from_config(loss.get_config())
    assert type(again) is type(loss)
    assert configs_equal(again, loss)
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(loss)
    )
    assert type(again) is type(loss)
    assert configs_equal(again, loss)
    assert again.reduction == loss.reduction
    assert again.name == loss.name


def test_options_that_came_later_are_in_the_config_where_they_are_set():
    """Else the backups of earlier trainings would be refused."""
    later = {"hard_targets": True, "align_targets": False}
    assert not set(later) & set(losses.ConsistencyLoss().get_config())
    for name, value in later.items():
        loss = losses.ConsistencyLoss(**{name: value})
        assert loss.get_config()[name] is value
        assert getattr(type(loss).from_config(loss.get_config()), name) is value


def test_a_loaded_loss_computes_the_same():
    logits = {
        name: random_logits(6, 2, seed=s)
        for s, name in enumerate(("labeled", "weak", "strong"))
    }
    loss = CONFIGURED[-1]
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(loss)
    )
    labels = [0, 1, 1, 0, 1, 0]
    assert float(loss(labels, logits)) == float(again(labels, logits))
    assert float(losses.UDALoss()(labels, logits)) != float(
        again(labels, logits)
    )


def test_a_config_holds_the_values_of_now():
    loss = losses.UDALoss()
    loss.weight.assign(5.0)
    loss.threshold.assign(0.25)
    again = losses.UDALoss.from_config(loss.get_config())
    assert (float(again.weight), float(again.threshold)) == (5.0, 0.25)


def test_from_config_leaves_the_config_alone():
    config = losses.UDALoss().get_config()
    losses.UDALoss.from_config(config)
    assert isinstance(config["consistency"], dict)


def test_a_model_compiled_with_an_annealed_loss_is_saved(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    model.compile("sgd", losses.AnnealedSparseCategoricalCrossentropy(0.6))
    x, y = views_of()
    model.fit(x["labeled"], y, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert float(loaded.loss.threshold) == pytest.approx(0.6)
    np.testing.assert_allclose(
        loaded.evaluate(x["labeled"], y, verbose=0),
        model.evaluate(x["labeled"], y, verbose=0),
        rtol=1e-6,
    )
