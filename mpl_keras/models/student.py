"""The student's update, and what it did to its loss on the labels."""

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from mpl_keras import feedback as feedback_module
from mpl_keras import losses
from mpl_keras.distribute import replicas
from mpl_keras.models import passes, update_jacobian
from mpl_keras.networks import batch_norm

_FEW = 12  # examples at least, for the moving statistics


class MetaBatch(NamedTuple):
    """The labeled examples on which the student is measured."""

    images: Any
    labels: tf.Tensor
    weight: tf.Tensor | None


class Learned(NamedTuple):
    """What an update of the student was: its loss, gradients, answers.

    `logits` are those of the meta-batch after the update.
    """

    loss: tf.Tensor
    gradients: list[tf.Tensor]
    logits: tf.Tensor


def meta_batch(x, y, sample_weight) -> MetaBatch:
    """The batch's own meta-batch, or its labeled examples."""
    if isinstance(y, dict):
        return MetaBatch(x["meta"], y["meta"], None)
    return MetaBatch(x.get("meta", x["labeled"]), y, sample_weight)


class StudentUpdate:
    """Moves the student, and sees what this did to its labeled loss.

    BatchNorm and dropout are in training mode in every pass. The labeled loss
    leaves no trace in statistics and seeds: before and after the update it is
    taken from one snapshot of them, so that it differs by the weights alone.

    A network with BatchNorm passes once more, over a quarter of the weak views,
    without a backward pass: its moving statistics are of these alone. Those of
    strong views are not those of the images that it will classify, which cost a
    point of accuracy on Fashion-MNIST (benchmarks/RESULTS.md).

    Args:
        network: The student.
        form: The feedback, which says what it needs; or None.
        label_smoothing: Of the student's loss.

    Example:
    >>> net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    >>> sgd = keras.optimizers.SGD(0.1)
    >>> sgd.build(net.trainable_variables)
    >>> x, labels = tf.ones((4, 2)), tf.one_hot([0, 1, 2, 0], 3)
    >>> reaction = feedback_module.Reaction(
    ...     labels, labels, sgd.learning_rate, active=True
    ... )
    >>> update = StudentUpdate(net, None, label_smoothing=0.0)
    >>> update(sgd, x, x, MetaBatch(x, labels, None), reaction).logits.shape
    TensorShape([4, 3])
    """

    def __init__(self, network: keras.Model, form: Any, label_smoothing: float):
        self._network = network
        # The base class needs nothing.
        self._form = form or feedback_module.Feedback
        self._label_smoothing = label_smoothing

    def __call__(
        self,
        optimizer: keras.optimizers.Optimizer,
        weak: Any,
        strong: Any,
        meta: MetaBatch,
        reaction: feedback_module.Reaction,
    ) -> Learned:
        """One update.

        Args:
            optimizer: The student's.
            weak: Weak views of the unlabeled examples.
            strong: Strong views of them, which the student learns from.
            meta: The examples on which the student is measured.
            reaction: Has the pseudo labels; is filled in with what the
                feedback needs.
        """
        network, form = self._network, self._form
        variables = network.trainable_variables
        snapshot = [
            (variable, tf.identity(variable))
            for variable in network.non_trainable_variables
        ]
        if form.uses_loss_difference:
            before, _ = _labeled_loss(network, snapshot, meta)
            reaction.loss_before = replicas.mean(before)

        # Float16's loss scale, read once: applying gradients may change it.
        scale = losses.as_float(optimizer.scale_loss(1.0))
        # Not what is differentiated twice: TensorFlow composes that itself.
        with batch_norm.fused(network, not form.uses_label_gradient):
            label_tape, loss, gradients = self._gradients(
                strong, reaction.pseudo_labels, scale
            )
        self._follow_weak_views(snapshot, weak)
        if form.measured == "before":
            measured = self._measure(snapshot, meta, scale)
        total = replicas.apply_gradients(optimizer, gradients, variables)
        if form.measured == "after":
            measured = self._measure(snapshot, meta, scale)
        loss_of_labels, logits, labeled_gradients = measured
        reaction.loss_after = replicas.mean(loss_of_labels)
        if form.uses_gradients:
            reaction.labeled_gradients = labeled_gradients
            reaction.gradients = _divided(total, scale)
        if form.uses_label_gradient:
            vectors = update_jacobian.pull_back(
                optimizer,
                reaction.gradients,
                reaction.labeled_gradients,
                variables,
            )
            reaction.label_gradient = _label_gradient(
                label_tape, gradients, vectors, reaction.pseudo_labels, scale
            )
        return Learned(loss, gradients, logits)

    def _follow_weak_views(self, snapshot, weak):
        """Moves BatchNorm's statistics by the weak views, not the strong."""
        statistics = batch_norm.statistics(self._network)
        if not statistics:
            return
        # Asked now: layers may have been frozen, or not, since it was made.
        moved = {id(variable) for variable in statistics}
        for variable, value in snapshot:
            if id(variable) in moved:
                variable.assign(value)
        with batch_norm.fused(self._network):
            self._network(_quarter(weak), training=True)

    def _measure(self, snapshot, meta, scale):
        """The labeled loss, its logits, and its gradients if they are used."""
        # Only a tape that is used keeps what a backward pass needs.
        with tf.GradientTape() as tape:
            loss, logits = _labeled_loss(self._network, snapshot, meta)
            scaled = loss * tf.cast(scale, loss.dtype)
        if not self._form.uses_gradients:
            return loss, logits, None
        gradients = passes.gradients_of(
            tape, scaled, self._network.trainable_variables
        )
        return loss, logits, replicas.mean(_divided(gradients, scale))

    def _gradients(self, strong, pseudo_labels, scale):
        """The student's loss and its gradients, recorded for the labels."""
        network = self._network
        with tf.GradientTape(watch_accessed_variables=False) as label_tape:
            label_tape.watch(pseudo_labels)
            with tf.GradientTape() as tape:
                logits = network(strong, training=True)
                loss = tf.reduce_mean(
                    losses.crossentropy(
                        pseudo_labels, logits, self._label_smoothing
                    )
                )
                loss += passes.penalty_of(network, loss.dtype)
                scaled = loss * tf.cast(scale, loss.dtype)
                scaled /= replicas.num_replicas()
            gradients = passes.gradients_of(
                tape, scaled, network.trainable_variables
            )
        return label_tape, loss, gradients


def _quarter(examples):
    """Every fourth example: moving statistics are a mean over many steps.

    Of a small batch every third, every second or each, and the same ones
    whether one device has the batch or several share it.
    """
    size = tf.shape(tf.nest.flatten(examples)[0])[0]
    most = size * replicas.num_replicas() // _FEW
    # A slice of unknown steps would forget the form of an example.
    kept = tf.range(0, size, tf.clip_by_value(most, 1, 4))
    return tf.nest.map_structure(lambda part: tf.gather(part, kept), examples)


def _label_gradient(label_tape, gradients, vectors, labels, scale):
    """Derivative of `<g, v>` to each pseudo label, times the batch size."""
    size = tf.shape(labels)[0] * replicas.num_replicas()
    slope = label_tape.gradient(gradients, labels, output_gradients=vectors)
    return slope * (tf.cast(size, slope.dtype) / tf.cast(scale, slope.dtype))


def _labeled_loss(network, snapshot, meta):
    """The student's loss on the meta-batch, and its logits.

    In training mode, as in its update, but nothing of it stays.
    """
    with (
        keras.StatelessScope(state_mapping=snapshot),
        batch_norm.fused(network),
    ):
        logits = losses.as_float(network(meta.images, training=True))
    values = losses.crossentropy(meta.labels, logits)
    return passes.weighted_mean(values, meta.weight), logits


def _divided(gradients, scale):
    return [g / tf.cast(scale, g.dtype) for g in gradients]
