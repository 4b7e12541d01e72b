"""The formulas of UDA and Meta Pseudo Labels.

Each is a pure function that gives one value per example, then a thin
`keras.losses.Loss` around it. All of them take logits, and compute in float32
or, where the logits are float64, in float64.
"""

import keras
import numpy as np
import tensorflow as tf

from mpl_keras import arguments

_PACKAGE = "mpl_keras"
_EPSILON = 1e-12


def as_float(x) -> tf.Tensor:
    """Casts to float32, or leaves float64 as it is."""
    x = tf.convert_to_tensor(x)
    return x if x.dtype == tf.float64 else tf.cast(x, tf.float32)


def dense_labels(labels, num_classes: int, dtype=tf.float32) -> tf.Tensor:
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
    labels = tf.cast(labels, tf.int32)
    rows = tf.one_hot(labels, num_classes, dtype=dtype)
    known = tf.logical_and(labels >= 0, labels < num_classes)
    return tf.where(known[:, None], rows, tf.constant(np.nan, dtype))


def smooth_labels(labels: tf.Tensor, smoothing: float) -> tf.Tensor:
    """Mixes rows of class probabilities with the uniform distribution."""
    if not smoothing:
        return labels
    return labels * (1.0 - smoothing) + smoothing / labels.shape[-1]


def crossentropy(labels, logits, label_smoothing: float = 0.0) -> tf.Tensor:
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
    weak_logits,
    temperature: float = 1.0,
    threshold: float = 0.0,
    mask_on: str = "raw",
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


def align_logits(logits, prior, marginal) -> tf.Tensor:
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


def consistency(
    weak_logits,
    strong_logits,
    temperature: float = 1.0,
    threshold: float = 0.0,
    mask_on: str = "raw",
    divergence: str = "crossentropy",
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

    Returns:
        Tensor of shape `(batch,)`.
    """
    weak_logits = tf.stop_gradient(as_float(weak_logits))
    strong_logits = as_float(strong_logits)
    log_targets = tf.nn.log_softmax(weak_logits / temperature)
    targets = tf.exp(log_targets)
    values = crossentropy(targets, strong_logits)
    if divergence == "kl_divergence":
        values += tf.reduce_sum(targets * log_targets, axis=-1)
    return values * confidence_mask(
        weak_logits, temperature, threshold, mask_on
    )


def annealing_mask(labels, logits, threshold) -> tf.Tensor:
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
    labels, logits, threshold=1.0, label_smoothing: float = 0.0
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


def meta_pseudo_labels(pseudo_labels, logits, feedback=1.0) -> tf.Tensor:
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


def _settable(value: float, name: str) -> keras.Variable:
    """A number that a callback may change while a compiled step uses it."""
    return keras.Variable(
        float(value), dtype="float32", trainable=False, name=name
    )


@keras.saving.register_keras_serializable(_PACKAGE)
class ConsistencyLoss(keras.losses.Loss):
    """UDA's unsupervised loss: strong views should be classified as weak ones.

    Example:
    >>> loss = ConsistencyLoss(temperature=0.7, threshold=0.6)
    >>> weak, strong = [[4.0, 0.0], [0.1, 0.0]], [[0.0, 0.0], [9.0, 0.0]]
    >>> round(float(loss(weak, strong)), 4)  # the second is masked
    0.3466

    Args:
        temperature: Divides the weak logits; below 1 the targets are sharper.
            Greater than 0.
        threshold: Examples whose target is less confident count as 0. In
            `[0, 1]`.
        mask_on: Which confidence the threshold is held against: `"raw"`,
            before sharpening, or `"sharpened"`.
        divergence: `"crossentropy"` or `"kl_divergence"`.
        distribution_alignment: None, or the class marginals that predictions
            on unlabeled data should have: `"uniform"`, `"labeled"` (the
            running marginals of the labels) or a list of probabilities. The
            running marginals are state of `MetaPseudoLabels` and `UDA`, which
            align the weak logits before they call this loss; used by itself,
            it expects logits that went through `align_logits`.
        alignment_momentum: Of the running marginals, in `[0, 1)`.
        reduction: Keras's; the mean is over all examples, masked ones too.
        name: Optional name.
        dtype: Keras's; float32 by default.

    Call arguments:
        y_true: Logits of the weak views, shape `(batch, num_classes)`.
        y_pred: Logits of the strong views, the same shape.

    Raises:
        ValueError: If an argument is out of its range.

    Reference:
        Xie et al., "Unsupervised Data Augmentation for Consistency Training",
        2019 (arXiv:1904.12848), equation 1 and section 3.3.
    """

    def __init__(
        self,
        temperature: float = 1.0,
        threshold: float = 0.0,
        mask_on: str = "raw",
        divergence: str = "crossentropy",
        distribution_alignment=None,
        alignment_momentum: float = 0.99,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype=None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        arguments.number("temperature", temperature, above=0)
        arguments.number("threshold", threshold, least=0, most=1)
        arguments.choice("mask_on", mask_on, ("raw", "sharpened"))
        arguments.choice(
            "divergence", divergence, ("crossentropy", "kl_divergence")
        )
        arguments.number("alignment_momentum", alignment_momentum, 0, below=1)
        self.temperature = temperature
        self.threshold = threshold
        self.mask_on = mask_on
        self.divergence = divergence
        self.distribution_alignment = _check_prior(distribution_alignment)
        self.alignment_momentum = alignment_momentum

    def call(self, y_true, y_pred):
        """Values of shape `(batch,)`."""
        return consistency(
            y_true,
            y_pred,
            self.temperature,
            self.threshold,
            self.mask_on,
            self.divergence,
        )

    def mask(self, weak_logits):
        """1.0 where the weak view is confident enough, else 0.0."""
        return confidence_mask(
            weak_logits, self.temperature, self.threshold, self.mask_on
        )

    def get_config(self):
        """Arguments of `__init__`."""
        return {
            **super().get_config(),
            "temperature": self.temperature,
            "threshold": self.threshold,
            "mask_on": self.mask_on,
            "divergence": self.divergence,
            "distribution_alignment": self.distribution_alignment,
            "alignment_momentum": self.alignment_momentum,
        }


def _check_prior(prior):
    if prior is None or isinstance(prior, str):
        arguments.choice(
            "distribution_alignment", prior, (None, "uniform", "labeled")
        )
        return prior
    try:
        values = np.asarray(prior, dtype="float64")
    except (TypeError, ValueError):
        values = np.array([])
    # Written so that NaN is refused as well.
    ok = values.ndim == 1 and len(values) > 1 and (values >= 0).all()
    if not ok or not abs(values.sum() - 1) <= 1e-4:
        raise ValueError(
            "`distribution_alignment` must be class probabilities that sum to "
            f"1. Received: distribution_alignment={prior!r}"
        )
    return values.tolist()


@keras.saving.register_keras_serializable(_PACKAGE)
class AnnealedCategoricalCrossentropy(keras.losses.Loss):
    """Crossentropy with training signal annealing (TSA), for one-hot labels.

    Labeled examples whose correct class already has a probability above the
    threshold are left out, so that few labels are not overfitted while the
    unlabeled data are still being learned. `schedules.SignalAnnealing` gives
    the paper's thresholds; `callbacks.SignalAnnealing` sets them in a model of
    your own.

    Example:
    >>> loss = AnnealedCategoricalCrossentropy(threshold=0.6)
    >>> logits = [[0.0, 0.0], [5.0, 0.0]]  # the second is known too well
    >>> round(float(loss([[1, 0], [1, 0]], logits)), 4)
    0.6931

    Args:
        threshold: In `[0, 1]`; 1 keeps every example. The attribute is a
            `keras.Variable`, to which a new value can be assigned.
        label_smoothing: Share of the uniform distribution in the labels, in
            `[0, 1)`.
        reduction: Keras's; the mean is over the examples that are kept.
        name: Optional name.
        dtype: Keras's; float32 by default.

    Call arguments:
        y_true: Shape `(batch, num_classes)`.
        y_pred: Logits, the same shape.

    Raises:
        ValueError: If an argument is out of its range.

    Reference:
        Xie et al., 2019 (arXiv:1904.12848).
    """

    def __init__(
        self,
        threshold: float = 1.0,
        label_smoothing: float = 0.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype=None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        arguments.number("threshold", threshold, least=0, most=1)
        arguments.number("label_smoothing", label_smoothing, least=0, below=1)
        self.threshold = _settable(threshold, "threshold")
        self.label_smoothing = label_smoothing

    def call(self, y_true, y_pred):
        """Values of shape `(batch,)`, 0 for examples that are left out."""
        return annealed_crossentropy(
            y_true, y_pred, self.threshold, self.label_smoothing
        )

    def get_config(self):
        """Arguments of `__init__`, with the threshold of now."""
        return {
            **super().get_config(),
            "threshold": float(self.threshold),
            "label_smoothing": self.label_smoothing,
        }


@keras.saving.register_keras_serializable(_PACKAGE)
class AnnealedSparseCategoricalCrossentropy(AnnealedCategoricalCrossentropy):
    """`AnnealedCategoricalCrossentropy` for labels that are class indices.

    Example:
    >>> loss = AnnealedSparseCategoricalCrossentropy(threshold=0.6)
    >>> round(float(loss([0, 0], [[0.0, 0.0], [5.0, 0.0]])), 4)
    0.6931

    Call arguments:
        y_true: Integers, shape `(batch,)` or `(batch, 1)`.
        y_pred: Logits, shape `(batch, num_classes)`.
    """


@keras.saving.register_keras_serializable(_PACKAGE)
class MetaPseudoLabelsLoss(keras.losses.Loss):
    """The feedback term of the teacher's loss.

    Example:
    >>> loss = MetaPseudoLabelsLoss()
    >>> h = [1.0, -1.0]  # the first label helped the student, the second hurt
    >>> logits = [[0.0, 0.0], [0.0, 0.0]]
    >>> float(loss([0, 1], logits, sample_weight=h))
    0.0

    Args:
        reduction: Keras's; the mean over the batch by default.
        name: Optional name.
        dtype: Keras's; float32 by default.

    Call arguments:
        pseudo_labels: What the student was trained on: class indices of shape
            `(batch,)`, or probabilities of shape `(batch, num_classes)`.
        logits: The teacher's, from which the pseudo labels were made, shape
            `(batch, num_classes)`.
        sample_weight: The feedback: `h`, a scalar or of shape `(batch,)`, old
            minus new labeled loss for hard labels; or `J`, of shape `(batch,
            num_classes)`, for soft ones. See `meta_pseudo_labels`.

    Reference:
        Pham et al., "Meta Pseudo Labels", CVPR 2021 (arXiv:2003.10580),
        section 2.
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype=None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def __call__(self, pseudo_labels, logits, sample_weight=None):
        """Reduces `meta_pseudo_labels` over the batch."""
        # Keras would multiply values of shape (batch,) by the weight; J has
        # one more dimension, so the weight goes in with the labels.
        feedback = 1.0 if sample_weight is None else sample_weight
        return super().__call__((pseudo_labels, feedback), logits)

    def call(self, y_true, y_pred):
        """Values of shape `(batch,)`."""
        pseudo_labels, feedback = y_true
        return meta_pseudo_labels(pseudo_labels, y_pred, feedback)


def _check_consistency(consistency):
    if not isinstance(consistency, ConsistencyLoss):
        raise ValueError(
            "`consistency` must be a `ConsistencyLoss` or None. Received: "
            f"consistency={consistency!r}"
        )
    if consistency.distribution_alignment is not None:
        raise ValueError(
            "`consistency` must be without distribution alignment, whose "
            "running marginals only `MetaPseudoLabels` and `UDA` keep. "
            "Received: distribution_alignment="
            f"{consistency.distribution_alignment!r}"
        )


@keras.saving.register_keras_serializable(_PACKAGE)
class UDALoss(keras.losses.Loss):
    """UDA's whole loss: supervised + weight * consistency.

    For a model of your own whose output is `{"labeled", "weak", "strong"}`
    logits: call it from `compute_loss`. Ramp the weight with
    `callbacks.ConsistencyWeightRamp`.

    Example:
    >>> loss = UDALoss(ConsistencyLoss(), weight=2.0)
    >>> zero = [[0.0, 0.0]]
    >>> logits = {"labeled": zero, "weak": zero, "strong": zero}
    >>> round(float(loss([1], logits)), 4)  # 3 * log(2)
    2.0794

    Args:
        consistency: A `ConsistencyLoss`; its default if None.
        weight: Of the consistency, at least 0. The attribute is a
            `keras.Variable`, to which a new value can be assigned.
        threshold: Of training signal annealing, in `[0, 1]`; 1 is without. A
            `keras.Variable` too.
        label_smoothing: Of the supervised part, in `[0, 1)`.
        reduction: Keras's, for the supervised part; the consistency has its
            own.
        name: Optional name.
        dtype: Keras's; float32 by default.

    Call arguments:
        y_true: Labels of the labeled examples, indices or one-hot.
        y_pred: Dict of logits; "labeled" may have another batch size than
            "weak" and "strong".
        sample_weight: Of the labeled examples, shape `(batch,)`.

    Reference:
        Xie et al., 2019 (arXiv:1904.12848), equation 1.
    """

    def __init__(
        self,
        consistency: ConsistencyLoss | None = None,
        weight: float = 1.0,
        threshold: float = 1.0,
        label_smoothing: float = 0.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype=None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        arguments.number("weight", weight, least=0)
        if consistency is None:
            consistency = ConsistencyLoss(dtype=dtype)
        _check_consistency(consistency)
        self.consistency = consistency
        self.weight = _settable(weight, "weight")
        self.supervised = AnnealedCategoricalCrossentropy(
            threshold, label_smoothing, reduction=reduction, dtype=dtype
        )

    @property
    def threshold(self) -> keras.Variable:
        """Of training signal annealing."""
        return self.supervised.threshold

    def __call__(self, y_true, y_pred, sample_weight=None):
        """The loss, reduced."""
        views = {"labeled", "weak", "strong"}
        if not isinstance(y_pred, dict) or not views <= set(y_pred):
            raise ValueError(
                "`y_pred` must be a dict of logits with the keys "
                f"{sorted(views)}. Received: "
                f"{sorted(y_pred) if isinstance(y_pred, dict) else y_pred!r}"
            )
        supervised = self.supervised(y_true, y_pred["labeled"], sample_weight)
        consistency = self.consistency(y_pred["weak"], y_pred["strong"])
        weight = tf.cast(self.weight, consistency.dtype)
        return supervised + weight * consistency

    def call(self, y_true, y_pred):
        """The same as calling the loss without weights of examples."""
        return self(y_true, y_pred)

    def get_config(self):
        """Arguments of `__init__`, with the weight and threshold of now."""
        return {
            **super().get_config(),
            "consistency": keras.saving.serialize_keras_object(
                self.consistency
            ),
            "weight": float(self.weight),
            "threshold": float(self.threshold),
            "label_smoothing": self.supervised.label_smoothing,
        }

    @classmethod
    def from_config(cls, config):
        """The inverse of `get_config`."""
        config = dict(config)
        config["consistency"] = keras.saving.deserialize_keras_object(
            config["consistency"]
        )
        return cls(**config)
