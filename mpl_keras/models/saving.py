"""What a `.keras` file holds of a model, seeds of random layers included."""

from typing import Any, Self

import keras

from mpl_keras.checks import arguments
from mpl_keras.distribute import state
from mpl_keras.distribute.trainer import DistributedModel
from mpl_keras.networks import requirements


class SavableModel(DistributedModel):
    """Base class: a `.keras` file holds all that a training needs to go on."""

    def save(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """As `keras.Model.save`, to a `.keras` file alone.

        Raises:
            ValueError: If it is to be another kind of file, which could not
                hold two networks and their optimizers.
        """
        filepath = arguments.path("filepath", filepath)
        if not filepath.endswith(".keras"):
            raise ValueError(
                "`filepath` must end in '.keras' (for a SavedModel call "
                f"`export`). Received: filepath={filepath}"
            )
        super().save(filepath, *args, **kwargs)

    # Keras saves no seeds of random layers; without them a resumed training
    # would see other dropout masks.

    def save_own_variables(self, store: Any) -> None:
        """Saves the model's own state and the seeds of all layers."""
        super().save_own_variables(store)
        for index, seed in enumerate(self._seeds()):
            store[f"seed_{index}"] = seed.numpy()

    def load_own_variables(self, store: Any) -> None:
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
        without_decay = {
            name: state.without_decay(requirements.inner_optimizer(optimizer))
            for name, optimizer in self.optimizers.items()
        }
        if any(without_decay.values()):
            config["without_weight_decay"] = without_decay
        return config

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles a loaded model; the optimizers are ready to be loaded."""
        config = keras.saving.deserialize_keras_object(config)
        without_decay = config.pop("without_weight_decay", {})
        with requirements.loading():
            self.compile(**config)
        for name, numbers in without_decay.items():
            optimizer = requirements.inner_optimizer(self.optimizers[name])
            state.leave_out_of_decay(optimizer, numbers)

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None
    ) -> Self:
        """The inverse of `get_config`."""
        values = {
            name: keras.saving.deserialize_keras_object(
                value, custom_objects=custom_objects
            )
            if isinstance(value, dict)
            else value
            for name, value in config.items()
        }
        with requirements.loading():
            return cls(**values)
