"""UDA: supervised learning plus consistency, for a single network."""

from typing import Any, Literal

import keras
import tensorflow as tf

from mpl_keras import losses, schedules
from mpl_keras.checks import batches
from mpl_keras.checks.batches import VIEWS
from mpl_keras.distribute import replicas
from mpl_keras.models import passes
from mpl_keras.models.semi_supervised import SemiSupervisedModel, refuse_unknown
from mpl_keras.models.step_metrics import Measured, measured
from mpl_keras.networks import averaging, requirements


@keras.saving.register_keras_serializable("mpl_keras")
class UDA(SemiSupervisedModel):
    """Trains one network with UDA: the teacher's loss without a student.

    Calling, evaluating, predicting and exporting the model uses the moving
    average of the network.

    BatchNorm normalises by the batch of all views together (without
    consistency: of the labeled ones) and moves its statistics once in a step;
    evaluation normalises by those of the average.

    Example:
    >>> net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    >>> model = UDA(net)
    >>> model.compile(optimizer="sgd")
    >>> x = keras.random.normal((4, 2), seed=0)
    >>> views = {"labeled": x, "weak": x, "strong": x}
    >>> logs = model.train_on_batch(views, [0, 1, 2, 0], return_dict=True)
    >>> model.predict(x, verbose=0).shape
    (4, 3)

    Args:
        model: A built Keras model from inputs to logits `(batch,
            num_classes)`.
        consistency: A `losses.ConsistencyLoss`, or None for supervised
            training. By default temperature 0.7 and threshold 0.6.
        consistency_weight: A number or a schedule of the model's step.
        label_smoothing: Share of the uniform distribution in the labels of the
            supervised loss, in `[0, 1)`.
        ema_momentum: Momentum of the average, in `[0, 1)`.
        supervised_threshold: Training signal annealing: a number in `[0, 1]`
            or a schedule such as `schedules.SignalAnnealing`; None is without.
        name: Optional name.

    Attributes:
        model: The network, as trained.
        averaged_model: Its moving average.
        step: How many steps were trained, saved with the model.

    Raises:
        ValueError: If an argument is not what it must be.

    Reference:
        Xie et al., "Unsupervised Data Augmentation for Consistency Training",
        2019 (arXiv:1904.12848).
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        consistency: losses.ConsistencyLoss
        | Literal["default"]
        | None = "default",
        consistency_weight: schedules.Schedule = 1.0,
        label_smoothing: float = 0.0,
        ema_momentum: float = 0.995,
        supervised_threshold: schedules.Schedule | None = None,
        name: str | None = None,
    ):
        requirements.check_network(model, "model")
        requirements.check_precision(model, "model")
        super().__init__(
            model,
            "model",
            consistency=consistency,
            consistency_weight=consistency_weight,
            supervised_threshold=supervised_threshold,
            label_smoothing=label_smoothing,
            ema_momentum=ema_momentum,
            name=name,
        )
        self.model = model
        self.measuring.track("supervised_loss", *self.objective.shown)
        if self.consistency is not None:
            self.measuring.track("pseudo_label_confidence")

    @property
    def averaged_model(self) -> keras.Model:
        """The network's moving average: what is evaluated and exported."""
        self.follow_early_changes()
        return self.averaged

    def compile(
        self,
        optimizer: keras.optimizers.Optimizer | str | None = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        jit_compile: bool | Literal["auto"] = "auto",
        steps_per_execution: int = 1,
        **unknown: Any,
    ) -> None:
        """Sets how the network is trained.

        Args:
            optimizer: A Keras optimizer.
            metrics: Keras metrics of the logits: in training those on the
                labeled batch, in evaluation the average's.
            weighted_metrics: The same, with sample and class weights.
            run_eagerly: As Keras's.
            jit_compile: As Keras's.
            steps_per_execution: As Keras's.
            **unknown: Is refused.

        Raises:
            TypeError: If there are other arguments, such as Keras's `loss`.
            ValueError: If the optimizer is missing, keeps an average,
                accumulates gradients or has several rates.
        """
        refuse_unknown(unknown, "`optimizer`")
        self.check_before_compile()
        super().compile(
            optimizer=requirements.check_optimizer(
                optimizer, self.model, "optimizer"
            ),
            metrics=metrics,
            weighted_metrics=weighted_metrics,
            run_eagerly=run_eagerly,
            jit_compile=jit_compile,
            steps_per_execution=steps_per_execution,
        )

    def train_step(self, data: Any) -> dict[str, Any]:
        """One step of UDA (Xie et al., 2019, equation 1)."""
        x, y, sample_weight = batches.unpack(data, self.num_classes)
        self.measuring.prepare(y)
        before = self.safeguard.keep(self)
        views = VIEWS if self.consistency is not None else VIEWS[:1]
        look = passes.forward(self.model, x, views, views)
        with tf.GradientTape() as tape:
            tape.watch(look.learned)
            loss, shown = self.objective(
                look.logits, y, sample_weight, self.step, look.prior
            )
        gradient = passes.gradients_of(tape, loss, look.learned)
        gradients = passes.apply(self.optimizer, look, gradient)

        averaging.follow(
            self.averaged, self.model, self.step, self.ema_momentum
        )
        replicas.assign([self.step], [self.step + 1])
        if self.consistency is not None:
            shown["pseudo_label_confidence"] = passes.confidence(
                look.logits["weak"]
            )
        total = loss + look.penalty
        supervised = shown["supervised_loss"]
        weighs = passes.any_weight(sample_weight)
        if self.consistency is None and isinstance(supervised, Measured):
            weighs = supervised.weight
        # Without labels it is another loss, lower than that of other batches.
        self.measuring.update(shown, measured(total, weighs))
        self.measuring.measure(x, y, look.logits["labeled"], sample_weight)
        quantities = {
            "logits": list(look.logits.values()),
            "loss": loss + look.penalty,
            "gradient": gradients,
            "updated weights": passes.weights_of(self.model),
            "statistics": passes.statistics_of(self.model),
            "labels": passes.odd_rows(y, self.num_classes),
        }
        self.safeguard.finish(before, quantities)
        return self.measuring.result()

    @property
    def method(self) -> str:
        """How it is trained: "uda", or "supervised" without consistency."""
        return "supervised" if self.consistency is None else "uda"

    @property
    def trained(self) -> dict[str, keras.Model]:
        """The network, by the name "model"."""
        return {"model": self.model}

    @property
    def optimizers(self) -> dict[str, keras.optimizers.Optimizer | None]:
        """The network's optimizer; None before `compile`."""
        return {"model": getattr(self, "optimizer", None)}

    @property
    def labeler(self) -> keras.Model:
        """The network that makes the targets of the consistency loss."""
        return self.model

    def get_compile_config(self) -> dict[str, Any]:
        """Arguments of `compile`, serialized."""
        return self._serialized_compile(
            optimizer=getattr(self, "optimizer", None)
        )

    def get_config(self) -> dict[str, Any]:
        """Arguments of `__init__`, serialized."""
        return {
            **super().get_config(),
            "model": keras.saving.serialize_keras_object(self.model),
        }
