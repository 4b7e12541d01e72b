"""What is done to a network outside of training, after its model was made.

Weights are loaded, layers adapted: the average follows. Layers are added,
quantized or given LoRA: the average cannot follow, and that is said.
"""

import contextlib
import zlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from mpl_keras.checks import names
from mpl_keras.checks.arguments import ArgumentError
from mpl_keras.distribute import state
from mpl_keras.networks import assigning, batch_norm, carrying


class Structure:
    """The layers and weights of a network, as they were at a time.

    Args:
        network: A built network.
        argument: What the user calls it.

    Example:
    >>> layers = [keras.Input((2,)), keras.layers.Dense(3)]
    >>> net = keras.Sequential(layers, name="net")
    >>> structure = Structure(net, "student")
    >>> structure.check()
    >>> net.add(keras.layers.ReLU(name="late"))
    >>> structure.check()
    Traceback (most recent call last):
    ...
    mpl_keras.checks.arguments.ArgumentError: `student` must be as it was when \
the model was made: make the model anew, after the change. Received: \
student='net', which has a layer more, 'late' of class ReLU
    """

    def __init__(self, network: keras.Model, argument: str):
        self._network = network
        self._argument = argument
        self._layers = state.layers_of(network)
        self._weights = network.weights
        self._forms = [(tuple(v.shape), v.dtype) for v in self._weights]
        self._settings = [_settings(layer) for layer in self._layers]

    def check(self) -> None:
        """Raises if a layer or a weight came, went or has another form.

        Raises:
            ArgumentError: It says which.
        """
        change = self._change()
        if change is not None:
            raise ArgumentError(
                self._argument,
                "be as it was when the model was made: make the model anew, "
                "after the change",
                f"{self._network.name!r}, which has {change}",
            )

    def _change(self):
        layers = state.layers_of(self._network)
        weights = self._network.weights
        for what, old, new in (
            ("layer", self._layers, layers),
            ("weight", self._weights, weights),
        ):
            if list(map(id, old)) == list(map(id, new)):
                continue
            for word, there, before in (("more", new, old), ("less", old, new)):
                known = {id(part) for part in before}
                for part in there:
                    if id(part) not in known:
                        return f"a {what} {word}, {_described(part)}"
            return f"its {what}s in another order"
        for variable, (shape, dtype) in zip(weights, self._forms, strict=True):
            if (tuple(variable.shape), variable.dtype) != (shape, dtype):
                return (
                    f"the weight {variable.path!r} of {variable.dtype} and "
                    f"shape {tuple(variable.shape)}, no more of {dtype} and "
                    f"{shape}"
                )
        for layer, before in zip(layers, self._settings, strict=True):
            for name, value in _settings(layer).items():
                if value is not before.get(name):
                    return f"another `{name}` in {_described(layer)}"
        return None


def _settings(layer):
    """What a layer is made with, and does not look at again, or too late."""
    known = vars(layer)
    named = {
        name: known[name]
        for name in known
        if name.endswith(("_regularizer", "_constraint"))
    }
    return {"dtype_policy": known.get("_dtype_policy"), **named}


def _described(part):
    if isinstance(part, keras.Variable):
        return f"{part.path!r} of shape {tuple(part.shape)}"
    return f"{part.name!r} of class {type(part).__name__}"


class OutsideChanges:
    """Carries to an average what was changed outside of training.

    A weight that changed while nothing of the average did is carried; so are
    vocabularies and other values that layers keep beside their weights. Where
    the average was changed too, as by loading the whole model, it stays.

    Attributes:
        trained: Whether there was training since the network is watched.

    Example:
    >>> network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    >>> average = keras.models.clone_model(network)
    >>> average.set_weights(network.get_weights())
    >>> changes = OutsideChanges()
    >>> changes.watch(network, "student", average)
    >>> network.set_weights([w + 1 for w in network.get_weights()])
    >>> changes.carry(), changes.carry()
    (True, False)
    >>> np.array_equal(average.get_weights()[0], network.get_weights()[0])
    True
    """

    def __init__(self):
        self.trained = False
        self._structures = []
        self._lookups, self._tables = [], {}  # tables of trained lookups
        self._network = self._average = None
        self._argument = ""
        self._seen = None
        self._in_training = False
        self._assigned = {}  # variables since the last step, by identity

    @property
    def average(self) -> keras.Model | None:
        """The average of one of the networks."""
        return self._average

    def watch(
        self,
        network: keras.Model,
        argument: str,
        average: keras.Model | None = None,
    ) -> None:
        """Remembers a network as it is.

        Args:
            network: A built network.
            argument: What the user calls it.
            average: Its average, of one network alone; or None.
        """
        self._structures.append(Structure(network, argument))
        self._lookups += [
            (layer, argument)
            for layer in state.layers_of(network)
            if isinstance(layer, carrying.LOOKUPS)
        ]
        if average is not None:
            self._network, self._average = network, average
            self._argument = argument
            self._seen = self.digests()
            moved_by_passes = {id(v) for v in batch_norm.statistics(network)}
            for pair in zip(network.weights, average.weights, strict=True):
                if id(pair[0]) not in moved_by_passes:
                    for variable in pair:
                        assigning.listen(variable, self)

    def carry(self) -> bool:
        """Lets the average follow what was changed.

        Returns:
            Whether it did: what was traced before must be traced again.

        Raises:
            ArgumentError: A network has other layers or weights than before.
        """
        if self._in_training:
            return False
        self.check()
        seen, now = self._seen, self.digests()
        changed = False
        if seen is not None and np.array_equal(seen[1], now[1]):
            weights = self._average.weights, self._network.weights
            moved = seen[0] != now[0]
            for old, new, differs in zip(*weights, moved, strict=True):
                if differs:
                    old.assign(new)
                    changed = True
        if changed:
            self._assigned.clear()
        changed |= carrying.carry(self._network, self._average)
        self._seen = self.digests() if changed else now
        return changed

    def assigned(self, variable: keras.Variable, value: Any = None) -> None:
        """A value was assigned to a weight, not by the graph of a step."""
        del value
        if self.trained:
            self._assigned[id(variable)] = variable

    def forget_assigned(self) -> None:
        """What was assigned until now is a step's doing."""
        self._assigned.clear()

    def not_followed(self, whole: bool = False) -> str | None:
        """What the average did not follow, as a warning; or None.

        After a single step there is no telling by values what was training
        and what was not: taking digests would cost more than many a step. So
        weights say when they are assigned. The average cannot follow then: a
        loop that clips weights after each step would lose it.

        Args:
            whole: Whether only all weights together count, as they are loaded.
        """
        if not self._assigned:
            return None
        if any(id(v) in self._assigned for v in self._average.weights):
            return None  # It was set, too, as by loading the whole model.
        given = [v.path for v in self._network.weights if self._is_new(v)]
        if whole and len(given) < len(self._network.trainable_weights):
            return None
        name, more = self._argument, len(given) - 3
        shown = names.quoted(given[:3]) + (f" and {more} more" * (more > 0))
        return (
            f"Weights of `{name}` were assigned after a step of training, "
            f"{shown}. Its moving average, which is evaluated, saved and "
            "exported, keeps its own values. To give it those of the network: "
            f"`model.averaged_{name}.set_weights(model.{name}.get_weights())`."
        )

    def _is_new(self, variable):
        return id(variable) in self._assigned

    def check(self) -> None:
        """Raises if a network has other layers or weights than before.

        Raises:
            ArgumentError: It says what came, went or has another form.
        """
        for structure in self._structures:
            structure.check()
        if not self.trained:
            return
        for layer, argument in self._lookups:
            table = self._tables.setdefault(id(layer), layer.lookup_table)
            if table is not layer.lookup_table:
                raise ArgumentError(
                    argument,
                    "keep the vocabulary that it was trained with: what was "
                    "learned belongs to words by their numbers. Make the model "
                    "anew, with the new vocabulary",
                    f"another vocabulary in {_described(layer)}",
                )

    def carry_before_step(self) -> bool:
        """As `carry`; after other steps it checks alone, which is quick."""
        if self._seen is None:
            self.check()
            return False
        return self.carry()

    @contextlib.contextmanager
    def training(self) -> Iterator[None]:
        """Within it, changes are what training does."""
        self._note_tables()
        self.trained = self._in_training = True
        try:
            yield
        finally:
            self._in_training = False
            self._seen = self.digests()

    def after_step(self) -> None:
        """What changed until now was training, by a single step."""
        self._note_tables()
        self.trained, self._seen = True, None
        self._assigned.clear()

    def _note_tables(self):
        for layer, _ in self._lookups:
            self._tables.setdefault(id(layer), layer.lookup_table)

    def loaded(self, seen: np.ndarray | None) -> None:
        """A file's values come next.

        Args:
            seen: What `digests` returned when the file was written, or None.
        """
        self.trained = True
        self._tables.clear()  # a file's vocabularies come next, too
        fits = seen is not None and seen.shape == self.digests().shape
        self._seen = seen if fits else None
        self._assigned.clear()

    def digests(self) -> np.ndarray:
        """A number for each weight, of the network and of its average."""
        return np.array(
            [
                [_digest(variable) for variable in network.weights]
                for network in (self._network, self._average)
            ],
            np.uint32,
        )


def _digest(variable) -> int:
    value = np.ascontiguousarray(variable.numpy())
    return zlib.crc32(value.reshape(-1).view(np.uint8))
