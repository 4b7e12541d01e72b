"""What `MetaPseudoLabels` and `UDA` share.

The teacher's own loss (supervised + consistency), a counted step, and the
averaged network that people evaluate and deploy.
"""

from typing import Any, Literal

import keras
import tensorflow as tf

from mpl_keras import files, losses, schedules
from mpl_keras.checks import arguments, batches
from mpl_keras.checks.arguments import ArgumentError
from mpl_keras.models.alignment import DistributionAlignment
from mpl_keras.models.fitting import FittedModel
from mpl_keras.models.masking import AdaptiveMasking
from mpl_keras.models.objective import UDAObjective
from mpl_keras.models.scheduled import Scheduled
from mpl_keras.networks import averaging, requirements
from mpl_keras.networks import inputs as network_inputs

# What a model is made with: its parts and a traced step have their own copies.
_MADE_WITH = (
    *("consistency", "consistency_weight", "supervised_threshold"),
    *("label_smoothing", "ema_momentum", "average_of"),
    *("feedback", "pseudo_labels", "pseudo_label_view", "seed"),
)

# Keras's formats that are a file; a SavedModel is a folder.
_FILES = "onnx", "openvino", "litert", "torch"


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
        average_of: Which network is averaged, by its argument's name.
        averaged: The moving average of the network: what is called, evaluated
            and exported.
        alignment: The distribution alignment of the consistency's targets.
        masking: What weighs unlabeled examples where the consistency's
            threshold adapts itself, or None.
        objective: The loss that both models have.
    """

    def __init__(
        self,
        average_of: keras.Model,
        argument: str,
        *,
        consistency: losses.ConsistencyLoss | Literal["default"] | None,
        consistency_weight: schedules.Schedule,
        supervised_threshold: schedules.Schedule | None,
        label_smoothing: float,
        ema_momentum: float,
        name: str | None,
    ):
        super().__init__(
            requirements.output_width(average_of, argument),
            name=name,
            # The average casts its inputs itself, each layer by its policy.
            dtype="float32",
            autocast=False,
        )
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
        self.average_of = argument
        self.averaged = averaging.clone(average_of, argument)
        self.outside_changes.watch(average_of, argument, self.averaged)
        self.alignment = DistributionAlignment(
            consistency and consistency.distribution_alignment,
            consistency and consistency.alignment_momentum,
            self.num_classes,
            self.make_state,
        )
        self.masking = None
        if consistency is not None and consistency.adaptive is not None:
            self.masking = AdaptiveMasking(
                consistency, self.num_classes, self.make_state
            )
        self.objective = UDAObjective(
            consistency,
            consistency_weight,
            supervised_threshold,
            label_smoothing,
            self.alignment,
            self.masking,
        )
        self.built = True

    def __setattr__(self, name: str, value: Any) -> None:
        """As Keras's; raises for what a training would not follow."""
        if name in _MADE_WITH and name in self.__dict__:
            raise AttributeError(
                f"`{name}` must stay as it was when the model was made: its "
                "training would not follow. Make a new model; for a number "
                "that changes while it trains give a schedule. Received: "
                f"{name}={value!r}"
            )
        super().__setattr__(name, value)

    def call(self, inputs: Any, training: Any = None) -> tf.Tensor:
        """Logits of the averaged network, in inference mode.

        Args:
            inputs: What the network takes.
            training: Not used: the average is never trained.

        Returns:
            Logits, shape `(batch, num_classes)`.
        """
        del training
        try:
            batches.refuse_views(inputs, "inputs")
            network_inputs.check(self.averaged, inputs, "inputs")
        except ArgumentError as error:  # Keras cannot add to it where it was
            raise ValueError(str(error)) from error
        self.follow_early_changes()
        return self.averaged(inputs, training=False)

    @property
    def scheduled(self) -> list[Scheduled]:
        """What follows a schedule, and the values that it may have."""
        found = super().scheduled
        for argument, most in (
            ("consistency_weight", None),
            ("supervised_threshold", 1.0),
        ):
            schedule = getattr(self, argument)
            if callable(schedule):
                found.append(Scheduled(argument, "", schedule, self.step, most))
        return found

    def export(
        self,
        filepath: Any,
        format: str = "tf_saved_model",
        *,
        overwrite: bool = False,
        **options: Any,
    ) -> None:
        """Exports the averaged network, from its inputs to logits.

        As `keras.Model.export`, but what is at `filepath` is there whole or as
        it was. `export.write_classifier` writes a classifier: pictures in,
        probabilities and names out.

        Args:
            filepath: Folder or file to write.
            format: As of `keras.Model.export`.
            overwrite: Whether to replace what is there: a file, or a
                SavedModel, but no folder of other things.
            **options: Of `keras.Model.export`.

        Raises:
            FileExistsError: If there is something at `filepath`, and it is not
                to be overwritten.
        """
        mark = None if format in _FILES else files.SAVED_MODEL
        files.check_free(filepath, overwrite, folder_with=mark)
        self.follow_changes()
        network = averaging.as_evaluated(self.averaged)
        files.write_whole(
            filepath,
            lambda path: network.export(path, format, **options),
        )

    def describe(self, network: str = "averaged") -> str:
        """A network in words.

        Args:
            network: "averaged", or a name in `trained`.
        """
        if network == "averaged":
            of = {"model": "network"}.get(self.average_of, self.average_of)
            return f"averaged {of}, ema_momentum {self.ema_momentum:g}"
        if network == "model":
            return "network"
        as_trained = " as trained" if network == self.average_of else ""
        return network + as_trained

    def get_config(self) -> dict[str, Any]:
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
