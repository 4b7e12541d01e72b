"""How good pseudo labels are, measured after each epoch."""

from typing import Any

import keras
import numpy as np

from mpl_keras.checks import arguments, arrays
from mpl_keras.distribute.trainer import DistributedModel
from mpl_keras.evaluation import samples
from mpl_keras.networks import requirements


class PseudoLabelMonitor(keras.callbacks.Callback):
    """Measures the quality of pseudo labels after each epoch.

    Adds to the epoch's logs, and so to `History` and to loggers that come
    after it:

    - `pseudo_label_mean_confidence`: mean of the highest probability;
    - `pseudo_label_coverage`: share of examples above the threshold;
    - `pseudo_label_marginal_gap`: total variation distance, in [0, 1], between
      the class marginals of the pseudo labels and `expected_marginals`;
    - `pseudo_label_accuracy` and `pseudo_label_accuracy_covered`, where the
      truth is known.

    The marginals themselves are in the attribute `marginals`, one row per
    measurement.

    Example:
    >>> x = np.zeros((8, 2), "float32")
    >>> net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    >>> monitor = PseudoLabelMonitor(x, y=[0] * 8, network=net, threshold=0.9)
    >>> monitor.measure()["pseudo_label_coverage"]
    0.0

    Args:
        x: Unlabeled examples, as the network takes them.
        y: Their true labels, where they are known, indices or one-hot. Only
            measured with.
        network: The network that labels; by default the teacher, the
            network of a `UDA` model, or any other model itself. It outputs
            logits.
        threshold: Confidence above which an example counts as covered, in
            `[0, 1]`.
        expected_marginals: Class probabilities; uniform by default.
        batch_size: Of the network's passes.
        every: Measures after every so many epochs.

    Raises:
        ValueError: If an argument is not what it must be.
    """

    def __init__(
        self,
        x: Any,
        y: Any = None,
        *,
        network: keras.Model | None = None,
        threshold: float = 0.95,
        expected_marginals: Any = None,
        batch_size: int = 256,
        every: int = 1,
    ):
        super().__init__()
        arguments.number("threshold", threshold, least=0, most=1)
        if network is not None and not isinstance(network, keras.Model):
            raise ValueError(
                "`network` must be a `keras.Model` or None. Received: "
                f"network={network!r}"
            )
        self.x = arrays.examples(x, "x")
        self.y = y
        self.network = network
        self.threshold = threshold
        self.expected_marginals = expected_marginals
        self.batch_size = arguments.integer("batch_size", batch_size, least=1)
        self.every = arguments.integer("every", every, least=1)
        self.marginals = []

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Checks the labels and marginals against the network's classes."""
        network = self._labeler()
        num_classes = requirements.output_width(network, "network")
        if self.y is not None:
            arrays.same_length(self.x, self.y, "x", "y")
            arrays.labels(self.y, num_classes)
        expected = self.expected_marginals
        if expected is not None:
            expected = np.asarray(expected, dtype="float64")
            ok = expected.shape == (num_classes,) and (expected >= 0).all()
            if not ok or not abs(expected.sum() - 1) <= 1e-4:
                raise ValueError(
                    f"`expected_marginals` must be {num_classes} "
                    "probabilities that sum to 1. Received: "
                    f"expected_marginals={self.expected_marginals}"
                )

    def _labeler(self):
        """The network that labels."""
        if self.network is not None:
            return self.network
        ours = isinstance(self.model, DistributedModel)
        return self.model.labeler if ours else self.model

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Measures, and adds the values to the logs.

        In the epochs between they are NaN, so that all have the same keys.
        """
        if logs is None:
            return
        if (epoch + 1) % self.every == 0:
            logs.update(self.measure())
        else:
            logs.update(dict.fromkeys(self._names(), np.nan))

    def _names(self):
        """What is measured."""
        names = ["mean_confidence", "coverage", "marginal_gap"]
        if self.y is not None:
            names += ["accuracy", "accuracy_covered"]
        return [f"pseudo_label_{name}" for name in names]

    def measure(self) -> dict[str, float]:
        """The values of now."""
        logits = self._labeler().predict(self.x, self.batch_size, verbose=0)
        probabilities = samples.softmax(np.asarray(logits))
        confidence = probabilities.max(axis=-1)
        labels = probabilities.argmax(axis=-1)
        covered = confidence >= self.threshold
        num_classes = probabilities.shape[-1]
        marginals = np.bincount(labels, minlength=num_classes) / len(labels)
        self.marginals.append(marginals)
        expected = self.expected_marginals
        expected = 1 / num_classes if expected is None else expected
        values = [
            confidence.mean(),
            covered.mean(),
            np.abs(marginals - expected).sum() / 2,
        ]
        if self.y is not None:
            truth = arrays.class_ids(arrays.labels(self.y, num_classes))
            right = labels == truth
            values += [
                right.mean(),
                right[covered].mean() if covered.any() else np.nan,
            ]
        return dict(zip(self._names(), map(float, values), strict=True))
