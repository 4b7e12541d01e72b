"""The average follows what is done to a network outside of training.

Weights are loaded into a network, a layer is adapted: whatever trains,
evaluates, saves or exports lets the average follow before.
"""

import warnings
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpl_keras.models.saving import SavableModel
from mpl_keras.networks import requirements
from mpl_keras.networks.outside_changes import OutsideChanges


class FollowingModel(SavableModel):
    """Base class: a model whose average is that of the networks as they are.

    Args:
        num_classes: Number of classes.
        **options: Of `keras.Model`.

    Attributes:
        outside_changes: What is done to the networks outside of training.

    Example:
    >>> FollowingModel(3).outside_changes.trained
    False
    """

    def __init__(self, num_classes: int, **options: Any):
        super().__init__(num_classes, **options)
        self.outside_changes = OutsideChanges()

    def follow_changes(self) -> None:
        """Lets the average follow what was done outside of training.

        Weights that were loaded into a network, and vocabularies and
        statistics that its layers learned, are the average's, too. Weights
        that were assigned after a single step are not; a warning says so.

        Raises:
            ArgumentError: A network has other layers or weights than when the
                model was made.
        """
        self._follow(self.outside_changes.carry)
        self._warn()

    def _warn(self, whole=False):
        """Warns of weights that the average did not follow."""
        said = self.outside_changes.not_followed(whole)
        if said and tf.executing_eagerly():
            warnings.warn(said, stacklevel=5)

    def follow_early_changes(self) -> None:
        """The same, before the first training: later it would take time."""
        if not self.outside_changes.trained and tf.executing_eagerly():
            self.follow_changes()

    def check_before_compile(self) -> None:
        """Raises if the networks changed, or the strategy is another one.

        Raises:
            ArgumentError: A network has other layers or weights than when the
                model was made, or the strategy's scope was left; or the one
                that learns last is frozen.
        """
        self.check_scope()
        self.follow_changes()
        self._check_learner()

    def _check_learner(self):
        """Raises if UDA's network or the student is frozen.

        A teacher may rest.
        """
        *_, (name, network) = self.trained.items()
        requirements.check_trainable(network, name)

    def _follow(self, carry):
        with self.distribute_strategy.scope():
            changed = carry()
        if changed:  # what was traced holds tables and values of before
            self.train_function = None
            self.test_function = None
            self.predict_function = None

    def check_networks(self) -> None:
        """Raises unless the networks can be trained as they were compiled.

        Raises:
            ArgumentError: A network has other layers or weights than when the
                model was made, or compiled; the one that learns last, UDA's or
                the student, is frozen; or a lookup has no vocabulary.
        """
        self.follow_changes()
        for name, network in self.trained.items():
            requirements.check_compiled(network, self.optimizers[name], name)
        self._check_learner()

    def fit(self, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """As `keras.Model.fit`."""
        with self.outside_changes.training():
            return super().fit(*args, **kwargs)

    def check_before_step(self) -> None:
        """As `check_networks`; after the first step it is quick."""
        if self.train_function is None:
            self.check_networks()
        else:
            self._follow(self.outside_changes.carry_before_step)
            self._warn(whole=True)

    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.train_on_batch`."""
        logs = super().train_on_batch(*args, **kwargs)
        self.outside_changes.after_step()
        return logs

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.evaluate`."""
        self.follow_changes()
        return super().evaluate(*args, **kwargs)

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.predict`."""
        self.follow_changes()
        return super().predict(*args, **kwargs)

    def test_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.test_on_batch`."""
        self.follow_early_changes()
        self._warn()
        return super().test_on_batch(*args, **kwargs)

    def predict_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.predict_on_batch`."""
        self.follow_early_changes()
        self._warn()
        return super().predict_on_batch(*args, **kwargs)

    # A file says which weights it was written with, so that those that are
    # loaded into a network later are known from them.

    def save_own_variables(self, store: Any) -> None:
        """Saves the model's own state, and digests of its networks."""
        self.follow_changes()
        super().save_own_variables(store)
        store["digests"] = self.outside_changes.digests()

    def load_own_variables(self, store: Any) -> None:
        """The inverse of `save_own_variables`."""
        names = set(store.keys())
        digests = np.array(store["digests"]) if "digests" in names else None
        self.outside_changes.loaded(digests)
        super().load_own_variables(
            {name: store[name] for name in names - {"digests"}}
        )
