"""What of a model is written to files: a `.keras` file, or an export."""

import os

import keras

from mpl_keras import arguments, export, serving
from mpl_keras.distributed_model import DistributedModel


class SavableModel(DistributedModel):
    """Base class: saves all that a training needs to go on, and exports.

    Attributes:
        averaged: The network that people use, made by a subclass.
        step: How many steps it was trained, likewise.
    """

    def export(
        self,
        filepath,
        format: str = "tf_saved_model",
        *,
        data=None,
        network: str = "averaged",
        overwrite: bool = False,
        **kwargs,
    ):
        """Writes a network as people deploy it; it needs no mpl_keras then.

        With `data`, images of any size (a SavedModel: also files) go in, and
        probabilities and class names come out; a model card is written beside.
        See `serving.write_classifier`. Without, it is the bare network, from
        its inputs to logits, as `keras.Model.export` writes it.

        Args:
            filepath: Folder (SavedModel) or file to write. It appears when it
                is complete.
            format: "tf_saved_model", "litert", "litert_int8", "onnx" or
                "keras"; without `data`, what `keras.Model.export` knows.
            data: What it was trained on, a `SemiSupervisedData` of images.
            network: "averaged", or the name of a network that was trained.
            overwrite: Whether to replace what is there.
            **kwargs: `keras.Model.export`'s, without `data`.

        Raises:
            FileExistsError: If there is something at `filepath`, and it is not
                to be overwritten.
            ImportError: What the format needs is not installed.
            ValueError: No such network or format, or what is written would
                not give what the network gives.
        """
        trained = self._trained_networks()
        arguments.choice("network", network, ("averaged", *trained))
        chosen = getattr(self, network)
        if data is None:
            export.write_network(
                chosen, filepath, format, overwrite=overwrite, **kwargs
            )
            return
        if kwargs:
            raise TypeError(
                f"`export` with `data` takes no {', '.join(kwargs)}."
            )
        serving.write_classifier(
            chosen,
            filepath,
            data,
            format=format,
            overwrite=overwrite,
            facts={
                "network": self._describe(network),
                "trained_steps": int(self.step.numpy()),
            },
        )

    def _trained_networks(self):
        """The networks that are trained, by the names of their attributes."""
        names = "teacher", "student", "model"
        return {
            name: getattr(self, name) for name in names if hasattr(self, name)
        }

    def _describe(self, network):
        """A network in words."""
        if network == "averaged":
            of = "student" if hasattr(self, "student") else "network"
            return f"averaged {of}, ema_momentum {self.ema_momentum:g}"
        return {"model": "network", "student": "student as trained"}.get(
            network, network
        )

    def save(self, filepath, *args, **kwargs):
        """As `keras.Model.save`, to a `.keras` file alone.

        Raises:
            ValueError: If it is to be another kind of file, which could not
                hold two networks and their optimizers.
        """
        if not os.fspath(filepath).endswith(".keras"):
            raise ValueError(
                "`filepath` must end in '.keras' (for a SavedModel call "
                f"`export`). Received: filepath={filepath}"
            )
        super().save(filepath, *args, **kwargs)

    # Keras saves no seeds of random layers; without them a resumed training
    # would see other dropout masks.

    def save_own_variables(self, store):
        """Saves the model's own state and the seeds of all layers."""
        super().save_own_variables(store)
        for index, seed in enumerate(self._seeds()):
            store[f"seed_{index}"] = seed.numpy()

    def load_own_variables(self, store):
        """The inverse of `save_own_variables`."""
        seeds = self._seeds()
        for index, seed in enumerate(seeds):
            seed.assign(store[f"seed_{index}"])
        super().load_own_variables(
            {
                name: store[name]
                for name in store.keys()
                if not name.startswith("seed_")
            }
        )

    def _seeds(self):
        """States of all seed generators, in the order of the layers."""
        weights = {id(variable) for variable in self.weights}
        return [
            variable
            for variable in self.variables
            if id(variable) not in weights
            and variable.name == "seed_generator_state"
        ]

    def _serialized_compile(self, **optimizers):
        """Keras's own record of `compile`'s arguments, with our optimizers."""
        if not self.compiled:
            return None
        config = super().get_compile_config()
        names = "metrics", "weighted_metrics", "run_eagerly"
        names += "jit_compile", "steps_per_execution"
        config = {name: config[name] for name in names if name in config}
        for name, optimizer in optimizers.items():
            config[name] = keras.saving.serialize_keras_object(optimizer)
        return config

    def compile_from_config(self, config):
        """Compiles a loaded model; the optimizers are ready to be loaded."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The inverse of `get_config`."""
        return cls(
            **{
                name: keras.saving.deserialize_keras_object(
                    value, custom_objects=custom_objects
                )
                if isinstance(value, dict)
                else value
                for name, value in config.items()
            }
        )
