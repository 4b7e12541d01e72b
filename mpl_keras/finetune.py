"""The last stage: a trained network learns from the labels alone."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpl_keras import losses, pipeline
from mpl_keras.checks import arguments, arrays
from mpl_keras.models.semi_supervised import SemiSupervisedModel
from mpl_keras.networks import averaging, requirements


def finetune(
    model: keras.Model,
    data: Any,
    *,
    learning_rate: float = 1e-5,
    steps: int = 1000,
    batch_size: int = 512,
    views: str | Callable | None = None,
    label_smoothing: float = 0.0,
    freeze_batch_norm: bool = True,
    optimizer: keras.optimizers.Optimizer | None = None,
    seed: int = 0,
    verbose: int | str = 0,
    callbacks: list | None = None,
) -> keras.Model:
    """Trains a copy of a network on the labeled examples, and returns it.

    The student of Meta Pseudo Labels has never seen a label; the paper ends
    with some steps of SGD on them, at a small and constant learning rate.
    That helps a weak student and can hurt a strong one, so measure both:

        before = model.evaluate(data.test)
        finetuned = finetune.finetune(model, data, learning_rate=1e-3)
        after = finetuned.evaluate(data.test)

    Nothing of `model` changes. The result is compiled, with the crossentropy
    that fits the labels' form and "accuracy". The batch of a step is a
    function of the seed and the number of the step, and so are the masks of
    dropout.

    Example:
    >>> from mpl_keras import UDA, datasets
    >>> keras.utils.set_random_seed(0)
    >>> net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    >>> data = datasets.two_moons(6)
    >>> finetuned = finetune(UDA(net), data, learning_rate=0.1, steps=20)
    >>> accuracy(finetuned, data.labeled) >= accuracy(net, data.labeled)
    True

    Args:
        model: A `MetaPseudoLabels` or `UDA` model, of which the averaged
            network is finetuned; or any built network with logits.
        data: Anything with `labeled`, a pair (x, y), and `num_classes`.
        learning_rate: Of SGD with Nesterov momentum 0.9, at least 0. The
            paper's is 1e-5 to 3e-5, for networks of millions of weights; a
            small network wants more.
        steps: Number of updates, at least 1. The paper's is 1,000 to 2,000.
        batch_size: Examples of an update. Without views at most the whole
            labeled set, once.
        views: What the network sees of the examples: None, as they are;
            "weak", by `data.views.weak`; or a callable `(x, seed) -> x`.
        label_smoothing: In `[0, 1)`.
        freeze_batch_norm: Whether BatchNorm normalises by its moving
            statistics, and keeps these, its scales and offsets as they are:
            they are of all images, those of a batch would be of the few
            labeled ones, repeated. Otherwise it is trained as usual. (On
            digits the choice made no difference beyond the noise.)
        optimizer: Another optimizer, instead of `learning_rate`'s.
        seed: Of order, views and dropout, in [0, 2**32).
        verbose: As `fit`'s, for one epoch of all steps.
        callbacks: As `fit`'s.

    Returns:
        A new network.

    Raises:
        ValueError: If an argument is not what it must be; before a step.

    Reference:
        Pham et al., "Meta Pseudo Labels", CVPR 2021 (arXiv:2003.10580),
        section 3 and appendix C. The momentum is this library's choice.
    """
    arguments.integer("steps", steps, least=1)
    arguments.number("label_smoothing", label_smoothing, 0, below=1)
    batch_size = arguments.integer("batch_size", batch_size, least=1)
    view = _view(views, data)
    if view is None:
        batch_size = min(batch_size, arrays.num_examples(data.labeled[1]))
    batches = pipeline.labeled_dataset(
        data, batch_size, view=view, seed=seed, steps_per_epoch=steps
    ).map(_rows(data.num_classes, label_smoothing))
    network = _copy(model, data.num_classes)
    _set_seeds(network, seed)
    frozen = _freeze_batch_norm(network) if freeze_batch_norm else []
    network.compile(
        _optimizer(optimizer, learning_rate, network),
        keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
    )
    network.fit(
        batches,
        steps_per_epoch=steps,
        shuffle=False,
        verbose=verbose,
        callbacks=callbacks,
    )
    for layer in frozen:
        layer.trainable = True
    _compile_for_evaluation(network, data.labeled[1])
    return network


def accuracy(model: keras.Model, batches: Any) -> float:
    """Share of examples that a model classifies correctly.

    Args:
        model: Any model with logits; of a `MetaPseudoLabels` or `UDA` model
            the averaged network.
        batches: Batches (x, y) such as `data.test`, or one pair (x, y) of
            arrays. Labels are integers or rows of probabilities.

    Returns:
        A number in [0, 1].

    Example:
    >>> net = keras.Sequential([keras.Input((2,)), keras.layers.Softmax()])
    >>> accuracy(net, (np.eye(2), [0, 0]))
    0.5
    """

    @tf.function(reduce_retracing=True)
    def right(x, y):
        logits = model(x, training=False)
        rows = losses.dense_labels(y, logits.shape[-1])
        return tf.argmax(logits, axis=-1) == tf.argmax(rows, axis=-1)

    if isinstance(batches, (tuple, list)):
        batches = [keras.tree.map_structure(tf.convert_to_tensor, batches)]
    found = np.concatenate([right(x, y) for x, y in batches])
    return float(np.mean(found))


def _view(views, data):
    """The view of the labeled examples, or None."""
    if views is None or callable(views):
        return views
    if views != "weak":
        raise ValueError(
            '`views` must be None, "weak" or a callable `(x, seed) -> x`. '
            f"Received: views={views!r}"
        )
    if getattr(data, "views", None) is None:
        raise ValueError(
            "`views` must be None or a callable for data without views. "
            "Received: views='weak'"
        )
    return data.views.weak


def _rows(num_classes, label_smoothing):
    """Smoothed labels for a batch of any kind of labels."""

    def convert(x, y):
        rows = losses.dense_labels(y, num_classes)
        return x, losses.smooth_labels(rows, label_smoothing)

    return convert


def _copy(model, num_classes):
    """A copy of what is to be finetuned, trainable where it was trained."""
    network = trained = model
    if isinstance(model, SemiSupervisedModel):
        model.follow_changes()
        network = model.averaged
        *_, trained = model.trained.values()  # the averaged one is the last
    whole = isinstance(network, keras.Model) and network.weights
    if not (whole and not trained.trainable_variables):
        requirements.check_network(trained, "model", stacklevel=5)
    copy = averaging.clone(network, "model")
    _copy_trainable(trained, copy)
    if not copy.trainable_variables:
        copy.trainable = True  # The average of a network, or a served one.
    width = requirements.output_width(copy, "model")
    if width != num_classes:
        raise ValueError(
            "`model` must have as many outputs as the data has classes, "
            f"{num_classes}. Received: model={model.name!r} with {width}"
        )
    return copy


def _copy_trainable(source, target):
    """Which layers are trained; from above, because a layer tells its own."""
    target.trainable = source.trainable
    parts = (getattr(model, "layers", ()) for model in (source, target))
    for layer, other in zip(*parts, strict=True):
        _copy_trainable(layer, other)


def _set_seeds(network, seed):
    """Gives all random layers seeds of their own."""
    weights = {id(variable) for variable in network.weights}
    states = [v for v in network.variables if id(v) not in weights]
    for index, state in enumerate(states):
        if state.name == "seed_generator_state":
            entropy = np.random.SeedSequence([seed, index])
            state.assign(entropy.generate_state(2))


def _freeze_batch_norm(layer):
    """Freezes BatchNorm in a network; what was frozen by that."""
    if isinstance(layer, keras.layers.BatchNormalization):
        if not layer.trainable:
            return []
        layer.trainable = False
        return [layer]
    return [
        frozen
        for part in getattr(layer, "layers", ())
        for frozen in _freeze_batch_norm(part)
    ]


def _optimizer(optimizer, learning_rate, network):
    """The user's optimizer or ours, built for what is trained."""
    if not network.trainable_variables:
        raise ValueError(
            "`model` must have something to train besides BatchNorm, or "
            "freeze_batch_norm=False. Received: a network without"
        )
    if optimizer is None:
        arguments.number("learning_rate", learning_rate, 0)
        optimizer = keras.optimizers.SGD(
            learning_rate, momentum=0.9, nesterov=True
        )
    return requirements.check_optimizer(optimizer, network, "optimizer")


def _compile_for_evaluation(network, labels):
    """The loss that fits the data's labels, and a fresh optimizer.

    The used one was built without the frozen weights, and could not be loaded
    with the network.
    """
    optimizer = network.optimizer
    rows = np.ndim(labels) == 2 and np.shape(labels)[1] != 1
    loss = (
        keras.losses.CategoricalCrossentropy
        if rows
        else keras.losses.SparseCategoricalCrossentropy
    )
    fresh = type(optimizer).from_config(optimizer.get_config())
    network.compile(
        requirements.check_optimizer(fresh, network, "optimizer"),
        loss(from_logits=True),
        metrics=["accuracy"],
    )
