"""The formulas of UDA and Meta Pseudo Labels.

Each is a pure function that gives one value per example; `losses` has them,
and a `keras.losses.Loss` around each. All of them take logits, and compute in
float32 or, where the logits are float64, in float64.
"""

from typing import Any, Literal

import numpy as np
import tensorflow as tf

MaskOn = Literal["raw", "sharpened"]
Divergence = Literal["crossentropy", "kl_divergence"]
# Keras's.
Reduction = Literal[
    "sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none"
]
_EPSILON = 1e-12


def as_float(x: Any) -> tf.Tensor:
    """Casts to float32, or leaves float64 as it is."""
    x = tf.convert_to_tensor(x)
    return x if x.dtype == tf.float64 else tf.cast(x, tf.float32)


def dense_labels(
    labels: Any, num_classes: int, dtype: Any = tf.float32
) -> tf.Tensor:
    """Gives labels as rows of class probabilities.

    Example:
    >>> dense_labels([[2], [0]], num_classes=3).numpy().tolist()
    [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]

    Args:
        labels: Class indices, shape `(batch,)` or `(batch, 1)`, or rows of
            class probabilities, shape `(batch, num_classes)`.
        num_classes: Number of classes.
        dtype: Dtype of the result.

    Returns:
        Tensor of shape `(batch, num_classes)`. Indices out of range give rows
        of NaN, so that a loss on them cannot pass for one.
    """
    labels = tf.convert_to_tensor(labels)
    if labels.shape.rank == 2 and labels.shape[-1] == num_classes:
        return tf.cast(labels, dtype)
    if labels.shape.rank == 2:
        labels = tf.squeeze(labels, axis=-1)
    if labels.dtype != tf.int32:
        labels = tf.cast(labels, tf.int64)  # int32 would wrap 2**32 to 0
    rows = tf.one_hot(labels, num_classes, dtype=dtype)
    known = tf.logical_and(labels >= 0, labels < num_classes)
    return tf.where(known[:, None], rows, tf.constant(np.nan, dtype))


def smooth_labels(labels: tf.Tensor, smoothing: float) -> tf.Tensor:
    """Mixes rows of class probabilities with the uniform distribution."""
    if not smoothing:
        return labels
    return labels * (1.0 - smoothing) + smoothing / labels.shape[-1]


def crossentropy(
    labels: Any, logits: Any, label_smoothing: float = 0.0
) -> tf.Tensor:
    """Crossentropy of logits against class indices or probabilities.

    Unlike `keras.ops.categorical_crossentropy` it is differentiable twice
    with respect to both arguments, and takes labels in every form.

    Example:
    >>> round(float(crossentropy([0], [[0.0, 0.0]])[0]), 4)
    0.6931

    Args:
        labels: Class indices or probabilities, see `dense_labels`.
        logits: Shape `(batch, num_classes)`.
        label_smoothing: Share of the uniform distribution in the labels, in
            `[0, 1)`.

    Returns:
        Tensor of shape `(batch,)`.
    """
    logits = as_float(logits)
    labels = dense_labels(labels, logits.shape[-1], logits.dtype)
    labels = smooth_labels(labels, label_smoothing)
    return -tf.reduce_sum(labels * tf.nn.log_softmax(logits), axis=-1)


def confidence_mask(
    weak_logits: Any,
    temperature: float = 1.0,
    threshold: float = 0.0,
    mask_on: MaskOn = "raw",
) -> tf.Tensor:
    """1.0 where the teacher is confident enough to be followed, else 0.0.

    Args:
        weak_logits: Shape `(batch, num_classes)`.
        temperature: Of the sharpened targets; used if `mask_on="sharpened"`.
        threshold: Least confidence that counts, in `[0, 1]`.
        mask_on: `"raw"` compares the probability before sharpening (the UDA
            paper), `"sharpened"` the one after (the released MPL code).

    Returns:
        Tensor of shape `(batch,)`.
    """
    weak_logits = as_float(weak_logits)
    if mask_on == "sharpened":
        weak_logits = weak_logits / temperature
    confidence = tf.reduce_max(tf.nn.softmax(weak_logits), axis=-1)
    return tf.cast(confidence >= threshold, weak_logits.dtype)


def align_logits(logits: Any, prior: Any, marginal: Any) -> tf.Tensor:
    """Moves predictions towards the class marginals that are expected.

    Distribution alignment (ReMixMatch, Berthelot et al., 2019, section 3.1)
    multiplies the probabilities by `prior / marginal` and normalises them;
    on logits this is an addition.

    Args:
        logits: Shape `(batch, num_classes)`.
        prior: The class marginals that are expected, shape `(num_classes,)`.
        marginal: The class marginals that are predicted, the same shape.

    Returns:
        Logits of the same shape.
    """
    logits = as_float(logits)
    prior = tf.cast(prior, logits.dtype)
    marginal = tf.cast(marginal, logits.dtype)
    return logits + tf.math.log(prior + 1e-6) - tf.math.log(marginal + 1e-6)


def view_divergence(
    weak_logits: Any,
    strong_logits: Any,
    temperature: float = 1.0,
    divergence: Divergence = "crossentropy",
    hard_targets: bool = False,
) -> tf.Tensor:
    """How far strong views are from the targets that weak ones make.

    `consistency` without its mask.

    Example:
    >>> weak, strong = [[2.0, 0.0]], [[0.0, 0.0]]
    >>> view_divergence(weak, strong, hard_targets=True).numpy().round(4)
    array([0.6931], dtype=float32)

    Args:
        weak_logits: Logits of the weak views, shape `(batch, num_classes)`.
            No gradient flows into them.
        strong_logits: Logits of the strong views, the same shape.
        temperature: Targets are sharper below 1.
        divergence: `"crossentropy"` or `"kl_divergence"`; they differ by the
            entropy of the targets, which has no gradient.
        hard_targets: Whether targets are the likeliest class, as in FixMatch
            (Sohn et al., 2020, equation 4), for which neither the temperature
            nor the divergence makes a difference.

    Returns:
        Tensor of shape `(batch,)`.
    """
    weak_logits = tf.stop_gradient(as_float(weak_logits))
    strong_logits = as_float(strong_logits)
    if hard_targets:
        return crossentropy(tf.argmax(weak_logits, axis=-1), strong_logits)
    log_targets = tf.nn.log_softmax(weak_logits / temperature)
    targets = tf.exp(log_targets)
    values = crossentropy(targets, strong_logits)
    if divergence == "kl_divergence":
        values += tf.reduce_sum(targets * log_targets, axis=-1)
    return values


def consistency(
    weak_logits: Any,
    strong_logits: Any,
    temperature: float = 1.0,
    threshold: float = 0.0,
    mask_on: MaskOn = "raw",
    divergence: Divergence = "crossentropy",
    hard_targets: bool = False,
) -> tf.Tensor:
    """UDA's unsupervised term (Xie et al., 2019, equation 1 and section 3.3).

    The targets, `softmax(weak_logits / temperature)`, carry no gradient.
    Examples below the threshold count as 0, so that the mean over the batch is
    taken over all examples.

    Example:
    >>> consistency([[2.0, 0.0]], [[2.0, 0.0]],
    ...             divergence="kl_divergence").numpy().tolist()
    [0.0]

    Args:
        weak_logits: Logits of the weak views, shape `(batch, num_classes)`.
        strong_logits: Logits of the strong views, the same shape.
        temperature: Targets are sharper below 1.
        threshold: Least confidence of a target that counts.
        mask_on: See `confidence_mask`.
        divergence: `"crossentropy"` or `"kl_divergence"`; they differ by the
            entropy of the targets, which has no gradient.
        hard_targets: See `view_divergence`.

    Returns:
        Tensor of shape `(batch,)`.
    """
    values = view_divergence(
        weak_logits, strong_logits, temperature, divergence, hard_targets
    )
    return values * confidence_mask(
        weak_logits, temperature, threshold, mask_on
    )


def class_fairness(
    probabilities: Any, histogram: Any, marginal: Any, marginal_histogram: Any
) -> tf.Tensor:
    """FreeMatch's fairness term (Wang et al., 2022, equations 9 to 11).

    `sum_c a_c * log(b_c)`, where `b` are the mean probabilities of the strong
    views that count, each divided by how many of these have it as their
    likeliest class, and `a` the running means of the weak views, divided
    likewise; both sum to 1. A class that no example of the batch has counts
    with `b_c = 1e-12`; where no example counts at all, the term is 0.

    Example:
    >>> even, odd = [0.5, 0.5], [0.75, 0.25]
    >>> round(float(class_fairness(odd, even, even, even)), 4)
    -0.837

    Args:
        probabilities: Mean probabilities of strong views that count, shape
            `(num_classes,)`. The gradient flows into them alone.
        histogram: Shares of these views by their likeliest class.
        marginal: Running mean of the weak views' probabilities.
        marginal_histogram: Running shares of weak views by likeliest class.

    Returns:
        A scalar. To lower it spreads the answers over the classes.
    """
    probabilities = as_float(probabilities)

    def normalized(values, counts):
        values = tf.math.divide_no_nan(values, counts)
        return tf.math.divide_no_nan(values, tf.reduce_sum(values))

    histogram, *running = (
        tf.stop_gradient(tf.cast(values, probabilities.dtype))
        for values in (histogram, marginal, marginal_histogram)
    )
    batch = normalized(probabilities, histogram)
    value = tf.reduce_sum(normalized(*running) * tf.math.log(batch + _EPSILON))
    counted = tf.reduce_sum(histogram) > 0
    return value * tf.cast(counted, value.dtype)


def annealing_mask(labels: Any, logits: Any, threshold: Any) -> tf.Tensor:
    """0.0 for labeled examples that the network has learned well enough.

    Training signal annealing (Xie et al., 2019) drops an example
    whose correct class has a probability above the threshold.

    Returns:
        Tensor of shape `(batch,)` without gradient.
    """
    logits = tf.stop_gradient(as_float(logits))
    labels = dense_labels(labels, logits.shape[-1], logits.dtype)
    correct = tf.reduce_sum(labels * tf.nn.softmax(logits), axis=-1)
    return tf.cast(correct <= tf.cast(threshold, logits.dtype), logits.dtype)


def annealed_crossentropy(
    labels: Any, logits: Any, threshold: Any = 1.0, label_smoothing: float = 0.0
) -> tf.Tensor:
    """Crossentropy with training signal annealing, 0 for dropped examples.

    The values are scaled by `batch / number kept`, so that their mean over the
    batch is the mean over the examples kept, as in the paper.

    Args:
        labels: Class indices or probabilities, see `dense_labels`.
        logits: Shape `(batch, num_classes)`.
        threshold: Examples whose correct class is more probable are dropped.
        label_smoothing: Share of the uniform distribution in the labels.

    Returns:
        Tensor of shape `(batch,)`.
    """
    values = crossentropy(labels, logits, label_smoothing)
    mask = annealing_mask(labels, logits, threshold)
    # An empty batch of kept examples costs nothing.
    kept = tf.maximum(tf.reduce_mean(mask), _EPSILON)
    return values * mask / kept


def meta_pseudo_labels(
    pseudo_labels: Any, logits: Any, feedback: Any = 1.0
) -> tf.Tensor:
    """The teacher's feedback term (Pham et al., 2021, section 2).

    Hard labels: `h * crossentropy(pseudo_labels, logits)`; `h > 0` where the
    labels helped the student, so that the teacher gives them more often.

    Soft labels: `sum_c J_c * softmax(logits)_c`, with `J_c` the change of the
    student's labeled loss per unit of probability that class `c` gets. (With
    soft labels made from the same logits the first form has no gradient at
    all: the crossentropy of a distribution to itself is at its minimum.)

    Example:
    >>> round(float(meta_pseudo_labels([1], [[0.0, 0.0]], 2.0)[0]), 4)
    1.3863

    Args:
        pseudo_labels: The labels that the student was trained on, class
            indices or probabilities.
        logits: The teacher's, from which the labels were made, shape
            `(batch, num_classes)`.
        feedback: `h`, a scalar or of shape `(batch,)`, or `J`, of shape
            `(batch, num_classes)`. No gradient flows into it.

    Returns:
        Tensor of shape `(batch,)`.
    """
    logits = as_float(logits)
    feedback = tf.stop_gradient(tf.cast(feedback, logits.dtype))
    if feedback.shape.rank == 2 and feedback.shape[-1] == logits.shape[-1]:
        return tf.reduce_sum(feedback * tf.nn.softmax(logits), axis=-1)
    if feedback.shape.rank == 2:
        feedback = tf.squeeze(feedback, axis=-1)
    labels = tf.stop_gradient(
        dense_labels(pseudo_labels, logits.shape[-1], logits.dtype)
    )
    return feedback * crossentropy(labels, logits)
