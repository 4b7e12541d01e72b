"""What `fit` of this library's models asks of a callback."""

import keras
import tensorflow as tf


class FitCallback(keras.callbacks.Callback):
    """A callback that `fit` calls before the first step and at the very end.

    Keras's own methods come between the two. `fit` of `MetaPseudoLabels` and
    `UDA` alone calls them.

    Attributes:
        resumes: Whether `on_fit` may say that some batches are done. Then the
            data must be what `pipeline.training_dataset` returned.

    Example:
    >>> class Announce(FitCallback):
    ...     def on_fit(self, model, dataset, steps_per_epoch):
    ...         print(f"{steps_per_epoch} steps an epoch")
    ...         return 0, 0
    >>> from mpl_keras import UDA, datasets, pipeline
    >>> net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    >>> model = UDA(net)
    >>> model.compile("sgd")
    >>> train = pipeline.training_dataset(
    ...     datasets.two_moons(), 6, 64, steps_per_epoch=5
    ... )
    >>> history = model.fit(train, callbacks=[Announce()], verbose=0)
    5 steps an epoch
    """

    resumes = False

    def on_fit(
        self,
        model: keras.Model,
        dataset: tf.data.Dataset,
        steps_per_epoch: int | None,
    ) -> tuple[int, int]:
        """Before the first step.

        Args:
            model: The model, compiled.
            dataset: What is trained on.
            steps_per_epoch: Of this call of `fit`, or None.

        Returns:
            The epoch to begin with, and how many of its batches are done.
        """
        return 0, 0

    def on_fit_end(self) -> None:
        """At last, also when training was interrupted or failed."""
