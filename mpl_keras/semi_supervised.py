"""What `MetaPseudoLabels` and `UDA` share.

The teacher's own loss (supervised + consistency), a counted step, and the
averaged network that people evaluate and deploy.
"""

import keras
import tensorflow as tf

from mpl_keras import (
    arguments,
    averaging,
    batches,
    distribution,
    losses,
    networks,
    safeguard,
    schedules,
)
from mpl_keras.fitting import FittedModel
from mpl_keras.passes import weighted_mean


class SemiSupervisedModel(FittedModel):
    """Base class: a network with UDA's loss, and the average of one.

    Args:
        average_of: The network whose moving average is evaluated.
        argument: What the user calls it.
        consistency: A `ConsistencyLoss`, None, or "default".
        consistency_weight: A number or a schedule.
        supervised_threshold: None, or a number or schedule: the threshold of
            training signal annealing.
        label_smoothing: In `[0, 1)`.
        ema_momentum: In `[0, 1)`.
        name: Of the model.

    Attributes:
        bad_steps: How many steps had a loss or gradient that was not finite,
            and were undone.
        bad_steps_limit: After so many in a row training stops.
    """

    bad_steps_limit = 20

    def __init__(
        self,
        average_of: keras.Model,
        argument: str,
        *,
        consistency,
        consistency_weight,
        supervised_threshold,
        label_smoothing: float,
        ema_momentum: float,
        name: str | None,
    ):
        # The average casts its inputs itself, each layer by its own policy.
        super().__init__(name=name, dtype="float32", autocast=False)
        if isinstance(consistency, str) and consistency == "default":
            consistency = losses.ConsistencyLoss(temperature=0.7, threshold=0.6)
        if consistency is not None and not isinstance(
            consistency, losses.ConsistencyLoss
        ):
            raise ValueError(
                "`consistency` must be an `mpl_keras.losses.ConsistencyLoss` "
                f"or None. Received: consistency={consistency!r}"
            )
        self.consistency = consistency
        self.consistency_weight = schedules.check_schedule(
            "consistency_weight", consistency_weight, least=0
        )
        self.supervised_threshold = supervised_threshold
        if supervised_threshold is not None:
            schedules.check_schedule(
                "supervised_threshold", supervised_threshold, 0, 1
            )
        arguments.number("label_smoothing", label_smoothing, 0, below=1)
        arguments.number("ema_momentum", ema_momentum, 0, below=1)
        self.label_smoothing = label_smoothing
        self.ema_momentum = ema_momentum
        self.num_classes = networks.output_width(average_of, argument)
        self.averaged = averaging.clone(average_of, argument)
        self.step = self._state("step", (), "zeros", "int64")
        self.bad_steps = self._state("bad_steps", (), "zeros", "int64")
        self._bad_in_row = self._state("bad_in_row", (), "zeros", "int64")
        self._first_bad = self._state("first_bad", (), "zeros", "int64")
        self._add_alignment()
        self._trackers = {}
        self.built = True

    def _state(self, name, shape, initializer, dtype="float32"):
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=initializer,
            dtype=dtype,
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
        )

    def _add_alignment(self):
        """Running class marginals, for distribution alignment."""
        self.predicted_marginal = self.labeled_marginal = None
        if self._prior is None:
            return
        shape = (self.num_classes,)
        if not isinstance(self._prior, str):
            if len(self._prior) != self.num_classes:
                raise ValueError(
                    "`distribution_alignment` must be one probability per "
                    f"class, {self.num_classes}. Received: {self._prior}"
                )
        uniform = keras.initializers.Constant(1.0 / self.num_classes)
        self.predicted_marginal = self._state("predicted", shape, uniform)
        self.labeled_marginal = self._state("labeled", shape, uniform)

    @property
    def _prior(self):
        return self.consistency and self.consistency.distribution_alignment

    def _track(self, *names):
        for name in names:
            self._trackers[name] = keras.metrics.Mean(name=name)

    def call(self, inputs, training=None):
        """Logits of the averaged network, in inference mode.

        Args:
            inputs: What the network takes.
            training: Not used: the average is never trained.

        Returns:
            Logits, shape `(batch, num_classes)`.
        """
        del training
        return self.averaged(inputs, training=False)

    # The loss of UDA.

    def _unpack(self, data):
        """Views, labels and weights of a batch, checked as far as shapes go."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        batches.check(x, y, sample_weight, self.num_classes)
        return x, y, sample_weight

    def _supervised_loss(self, labels, logits, sample_weight):
        values = losses.crossentropy(labels, logits, self.label_smoothing)
        if self.supervised_threshold is not None:
            threshold = schedules.value_at(self.supervised_threshold, self.step)
            mask = losses.annealing_mask(labels, logits, threshold)
            kept = distribution.mean(tf.reduce_mean(mask))
            values = tf.math.divide_no_nan(values * mask, kept)
        return weighted_mean(values, sample_weight)

    def _own_loss(self, logits, y, sample_weight):
        """Supervised + weight * consistency, and values to watch.

        One number per replica: the mean over its share of the batch.
        """
        supervised = self._supervised_loss(y, logits["labeled"], sample_weight)
        watch = {"supervised_loss": supervised}
        if self.consistency is None:
            return supervised, watch
        weak = self._align(logits["weak"], y)
        consistency = tf.reduce_mean(
            self.consistency.call(weak, logits["strong"])
        )
        weight = schedules.value_at(self.consistency_weight, self.step)
        weight = tf.cast(weight, consistency.dtype)
        watch["consistency_loss"] = consistency
        watch["consistency_weight"] = weight
        watch["mask_rate"] = tf.reduce_mean(self.consistency.mask(weak))
        return supervised + weight * consistency, watch

    def _align(self, weak, y):
        """Distribution alignment of the weak logits, where asked for."""
        weak = tf.stop_gradient(weak)
        if self._prior is None:
            return weak
        momentum = self.consistency.alignment_momentum
        marginals = [
            tf.reduce_mean(tf.nn.softmax(weak), axis=0),
            tf.reduce_mean(losses.dense_labels(y, self.num_classes), axis=0),
        ]
        marginals = distribution.mean(
            [tf.cast(marginal, tf.float32) for marginal in marginals]
        )
        states = [self.predicted_marginal, self.labeled_marginal]
        marginals = [
            momentum * state + (1.0 - momentum) * new
            for state, new in zip(states, marginals, strict=True)
        ]
        distribution.assign(states, marginals)
        predicted, prior = marginals
        if self._prior == "uniform":
            prior = tf.fill([self.num_classes], 1.0 / self.num_classes)
        elif self._prior != "labeled":
            prior = tf.constant(self._prior)
        return losses.align_logits(weak, prior, predicted)

    # A step that is counted, and undone if it goes bad.

    def _begin_step(self, labels):
        """Keeps all that the step may change, but for its own counters."""
        self._build_metrics(labels)
        self._set_label_form(labels)
        ours = (self.step, self.bad_steps, self._bad_in_row, self._first_bad)
        kept = {id(v) for v in ours} | {
            id(v) for v in distribution.loss_scale_variables(self)
        }
        return safeguard.Snapshot(
            v for v in distribution.state_variables(self) if id(v) not in kept
        )

    def _end_step(self, before, quantities):
        """Puts back what was, and counts, if a quantity is not finite.

        A gradient that overflowed under float16's loss scale is not counted:
        the scale is halved, and the next step is tried with that.
        """
        finite = safeguard.finite(quantities)
        before.restore_unless(tf.reduce_all(finite))
        scaled = distribution.loss_scale_variables(self) != []
        counted = [not (scaled and "gradient" in name) for name in quantities]
        bad = tf.logical_not(finite) & tf.constant(counted)
        any_bad = tf.cast(tf.reduce_any(bad), tf.int64)
        in_row = tf.convert_to_tensor(self._bad_in_row)
        first = tf.where(
            (any_bad == 1) & (in_row == 0),
            tf.argmax(bad),
            tf.convert_to_tensor(self._first_bad),
        )
        distribution.assign(
            [self.bad_steps, self._bad_in_row, self._first_bad],
            [self.bad_steps + any_bad, (in_row + 1) * any_bad, first],
        )
        self._quantities = tuple(quantities)
        return self.get_metrics_result()

    @staticmethod
    def _weights_of(network):
        return [v.value for v in network.trainable_variables]

    def check_bad_steps(self) -> None:
        """Raises if too many steps in a row went bad; `fit` calls it.

        Raises:
            FloatingPointError: It names the quantity that went bad first.
        """
        count = int(self._bad_in_row.numpy())
        if count >= self.bad_steps_limit:
            name = self._quantities[int(self._first_bad.numpy())]
            raise FloatingPointError(
                f"{count} steps in a row had values that are not finite: the "
                f"first was the {name}, in step "
                f"{int(self.step.numpy()) - count}. They left no trace: "
                "weights, statistics and backups are those of the last good "
                "step. Look for such values in the data and for labels outside "
                f"of [0, {self.num_classes}), or lower the learning rate."
            )

    def _finish_step(self, network, watch):
        """Averages the network, counts the step, shows the values."""
        momentum = averaging.momentum_at(self.step, self.ema_momentum)
        averaging.update(self.averaged, network, momentum)
        distribution.assign([self.step], [self.step + 1])
        for name, tracker in self._trackers.items():
            tracker.update_state(watch[name])

    def get_config(self):
        """Arguments that both models have."""
        return {
            "name": self.name,
            "consistency": self.consistency
            and keras.saving.serialize_keras_object(self.consistency),
            "consistency_weight": schedules.serialize(self.consistency_weight),
            "supervised_threshold": schedules.serialize(
                self.supervised_threshold
            ),
            "label_smoothing": self.label_smoothing,
            "ema_momentum": self.ema_momentum,
        }


def refuse_unknown(unknown, optimizers) -> None:
    """Raises if `compile` got arguments that it does not have."""
    if unknown:
        raise TypeError(
            f"`compile` takes {optimizers}, metrics, weighted_metrics, "
            "run_eagerly, jit_compile and steps_per_execution; the losses are "
            f"the model's own. Received also: {sorted(unknown)}"
        )
