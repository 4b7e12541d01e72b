"""How the student's reaction becomes the teacher's gradient.

In every step the student takes one step on the pseudo labels. What this did to
its loss on labeled images (the meta-batch) is fed back to the teacher as
coefficients of `losses.meta_pseudo_labels`: one number for all examples, one
per example, or one per example and class.

The forms that look at single examples need the derivative of the student's
labeled loss with respect to each pseudo label. With `g(y)` the gradient of the
student's loss on pseudo labels `y`, and `v` the gradient of its labeled loss
after the step, that is `-lr * d<g(y), v>/dy` under SGD: the vector-Jacobian
product of a vector-Jacobian product. Under other optimizers the transposed
Jacobian of the update stands before `v` (`models.update_jacobian`). It shares
the student's own forward and backward pass, dropout masks and batch statistics
included, and costs one more linear pass. `benchmarks/jvp.py` compares it with
forward mode, which is slower, and wrong under synchronised BatchNorm, and with
a finite difference, which loses four digits.
"""

import dataclasses
from typing import Any, Literal, Self

import keras
import tensorflow as tf

from mpl_keras import schedules
from mpl_keras.checks import arguments
from mpl_keras.distribute import replicas

_PACKAGE = "mpl_keras"


@dataclasses.dataclass
class Reaction:
    """What the student did with one batch of pseudo labels.

    Attributes:
        pseudo_labels: Rows of probabilities, shape `(batch, num_classes)`.
        probabilities: The teacher's, from which they were made, same shape.
        learning_rate: The student's in this step, a scalar.
        active: Whether the student moved at all; a boolean scalar.
        loss_before: Labeled loss before the step; None if not asked for.
        loss_after: Labeled loss after the step; before it, where the feedback
            is `measured` before.
        gradients: The student's update, `g`; None if not asked for.
        labeled_gradients: Of that labeled loss, `v`; None if not asked for.
        label_gradient: `-J`, the derivative of `<g, v>` with respect to each
            pseudo label, times the batch size; shape `(batch, num_classes)`.
            None if not asked for.
    """

    pseudo_labels: tf.Tensor
    probabilities: tf.Tensor
    learning_rate: tf.Tensor
    active: tf.Tensor
    loss_before: tf.Tensor | None = None
    loss_after: tf.Tensor | None = None
    gradients: list | None = None
    labeled_gradients: list | None = None
    label_gradient: tf.Tensor | None = None


class Feedback(keras.layers.Layer):
    """Base class of all forms of feedback.

    A subclass says what it needs and writes `coefficients`.

    Attributes:
        kinds: The kinds of pseudo labels it works with, its own choice first.
        uses_loss_difference: Whether it reads the losses before and after.
        uses_gradients: Whether it reads both gradients.
        uses_label_gradient: Whether it reads `label_gradient`.
        measured: Whether the labeled loss and its gradient are those "before"
            or "after" the student's update.

    Args:
        weight: Factor of the feedback, a number or a schedule of the model's
            step. Negative values turn the sign of the feedback around, which
            only an ablation wants.
        name: Optional name.
    """

    kinds: tuple[str, ...] = ()
    uses_loss_difference = False
    uses_gradients = False
    uses_label_gradient = False
    measured = "after"

    def __init__(
        self,
        weight: schedules.Schedule = 1.0,
        name: str | None = None,
        **kwargs: Any,
    ):
        kwargs.setdefault("dtype", "float32")
        super().__init__(name=name, trainable=False, **kwargs)
        self.weight = schedules.check_schedule("weight", weight)
        self.built = True

    def __call__(
        self, reaction: Reaction, step: Any
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Coefficients for `losses.meta_pseudo_labels`, and h.

        Args:
            reaction: What the student did.
            step: The model's step, for a scheduled weight.

        Returns:
            The weighted coefficients, 0 while the student does not move, and
            a scalar for people to watch: to first order the decrease of the
            labeled loss that the pseudo labels caused (the cosine, for
            `CosineFeedback`). It is positive where more of the same labels
            would still help. With the gradient after the update it is negative
            where the step was too long, although the loss may have fallen.
        """
        coefficients, h = self.coefficients(reaction)
        weight = schedules.value_at(self.weight, step)
        coefficients *= tf.cast(weight, coefficients.dtype)
        # Not a product with 0, which would keep a NaN.
        return (
            tf.where(
                reaction.active, coefficients, tf.zeros_like(coefficients)
            ),
            tf.where(reaction.active, h, tf.zeros_like(h)),
        )

    def coefficients(self, reaction: Reaction) -> tuple[tf.Tensor, tf.Tensor]:
        """Unweighted coefficients, and h."""
        raise NotImplementedError

    def compute_output_shape(
        self, *args: Any, **kwargs: Any
    ) -> tuple[int, ...]:
        """Scalar; a feedback is no layer of a network."""
        return ()

    def get_config(self) -> dict[str, Any]:
        """Arguments of `__init__`."""
        return {"name": self.name, "weight": schedules.serialize(self.weight)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The inverse of `get_config`."""
        weight = schedules.deserialize(config["weight"])
        return cls(**{**config, "weight": weight})


@keras.saving.register_keras_serializable(_PACKAGE)
class LossDifferenceFeedback(Feedback):
    """Labeled loss before minus after: the paper's practical form.

    One number for the whole batch; positive where the pseudo labels helped.
    It shrinks with the student's learning rate, so that without normalization
    it soon weighs little beside the teacher's own gradient.

    Example:
    >>> feedback = LossDifferenceFeedback(normalization="std", weight=2.0)
    >>> feedback.kinds
    ('sampled', 'argmax')

    Args:
        weight: Factor, a number or a schedule.
        baseline_momentum: Momentum of the moving average that is subtracted,
            in `[0, 1)`; None for no baseline. With momentum in its optimizer
            the student moves even without a reason, so the difference is not
            0 on average.
        normalization: `"std"` divides by the running standard deviation (about
            0 where there is no baseline); None leaves the size as it is.
        clip: Bound of the normalized feedback's absolute value, above 0.
        name: Optional name.

    Raises:
        ValueError: If an argument is not what it must be.

    Reference:
        Pham et al., 2021 (arXiv:2003.10580), section 2, equation 12 of
        its appendix; baseline and its momentum: the released code.
    """

    kinds = ("sampled", "argmax")
    uses_loss_difference = True

    def __init__(
        self,
        weight: schedules.Schedule = 1.0,
        baseline_momentum: float | None = 0.99,
        normalization: Literal["std"] | None = None,
        clip: float = 3.0,
        name: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(weight, name, **kwargs)
        if baseline_momentum is not None:
            arguments.number("baseline_momentum", baseline_momentum, 0, below=1)
        arguments.choice("normalization", normalization, ("std", None))
        arguments.number("clip", clip, above=0)
        self.baseline_momentum = baseline_momentum
        self.normalization = normalization
        self.clip = clip
        self.baseline = self._state("baseline")
        self.variance = self._state("variance")
        self.count = self._state("count")

    def _state(self, name):
        return self.add_weight(
            name=name,
            initializer="zeros",
            trainable=False,
            aggregation="only_first_replica",
        )

    def coefficients(self, reaction: Reaction) -> tuple[tf.Tensor, tf.Tensor]:
        """`h`, a scalar: centred and normalized as asked for."""
        difference = reaction.loss_before - reaction.loss_after
        h = difference
        if self.baseline_momentum is not None:
            h = h - tf.cast(self.baseline, h.dtype)
        variance = self._remember(difference, h, reaction.active)
        if self.normalization == "std":
            h = tf.math.divide_no_nan(h, tf.sqrt(tf.cast(variance, h.dtype)))
            h = tf.clip_by_value(h, -self.clip, self.clip)
        return h, difference

    def _remember(self, difference, centred, active):
        """Moves the running statistics, unless the student stood still."""
        # One value that is not finite would stay in them forever.
        active = tf.logical_and(active, tf.math.is_finite(difference))
        momentum = self.baseline_momentum
        momentum = 0.99 if momentum is None else momentum
        # The first values count fully, as in a plain mean.
        count = tf.convert_to_tensor(self.count)
        momentum = tf.minimum(momentum, count / (count + 1.0))

        def moved(old, new):
            old = tf.convert_to_tensor(old)
            new = momentum * old + (1.0 - momentum) * tf.cast(new, old.dtype)
            return tf.where(active, new, old)

        variance = moved(self.variance, centred**2)
        replicas.assign(
            [self.baseline, self.variance, self.count],
            [
                moved(self.baseline, difference),
                variance,
                tf.where(active, count + 1.0, count),
            ],
        )
        return variance

    def get_config(self) -> dict[str, Any]:
        """Arguments of `__init__`."""
        return {
            **super().get_config(),
            "baseline_momentum": self.baseline_momentum,
            "normalization": self.normalization,
            "clip": self.clip,
        }


@keras.saving.register_keras_serializable(_PACKAGE)
class CosineFeedback(Feedback):
    """Cosine between the student's two gradients.

    On the pseudo labels before the step, and on the labels after it: one
    number in [-1, 1] for the whole batch, of the same size throughout the
    training.

    Example:
    >>> CosineFeedback(weight=0.5).kinds
    ('sampled', 'argmax')

    Args:
        weight: Factor, a number or a schedule.
        name: Optional name.

    Reference:
        Pham et al., 2021 (arXiv:2003.10580): h as a dot product of gradients;
        its normalisation to a cosine is the predecessor paper's.
    """

    kinds = ("sampled", "argmax")
    uses_gradients = True

    def coefficients(self, reaction: Reaction) -> tuple[tf.Tensor, tf.Tensor]:
        """`h`, a scalar."""
        g, v = reaction.gradients, reaction.labeled_gradients
        norms = tf.linalg.global_norm(g) * tf.linalg.global_norm(v)
        h = tf.math.divide_no_nan(inner_product(g, v), norms)
        return h, h


class _LabelFeedback(Feedback):
    """Feedback from the derivative with respect to each pseudo label."""

    uses_gradients = True
    uses_label_gradient = True

    def __init__(
        self,
        weight: schedules.Schedule = 1.0,
        normalization: Literal["rms"] | None = "rms",
        measured: Literal["before", "after"] = "after",
        name: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(weight, name, **kwargs)
        arguments.choice("normalization", normalization, ("rms", None))
        arguments.choice("measured", measured, ("before", "after"))
        self.normalization = normalization
        self.measured = measured

    def _centred(self, reaction):
        """J per example and class, centred, and h."""
        # The student descends, and its mean over the batch is taken out.
        slope = reaction.label_gradient
        slope = -tf.cast(reaction.learning_rate, slope.dtype) * slope
        # Of the gradient before it is clipped: an update of a fixed length
        # would not grow with it, and h would be 0.
        h = inner_product(reaction.gradients, reaction.labeled_gradients)
        h *= tf.cast(reaction.learning_rate, h.dtype)
        probabilities = reaction.probabilities
        # Any number added to all classes of an example changes no gradient on
        # average; this one makes the sampled form least noisy.
        slope -= tf.reduce_sum(probabilities * slope, axis=-1, keepdims=True)
        square = tf.reduce_sum(probabilities * slope**2, axis=-1)
        square = replicas.mean(tf.reduce_mean(square))
        if self.normalization == "rms":
            slope = tf.math.divide_no_nan(slope, tf.sqrt(square))
        return slope, h

    def get_config(self) -> dict[str, Any]:
        """Arguments of `__init__`."""
        return {
            **super().get_config(),
            "normalization": self.normalization,
            "measured": self.measured,
        }


@keras.saving.register_keras_serializable(_PACKAGE)
class HypergradientFeedback(_LabelFeedback):
    """The exact gradient of the labeled loss after the step, for soft labels.

    `J`, the change of the student's labeled loss per unit of probability of
    each class of each example; no sampling, no second-order backpropagation
    through the teacher. With `normalization=None` and `weight=1`, the teacher's
    gradient from it is the derivative of the labeled loss after the student's
    update with respect to the teacher's weights. That is exact where the
    student's optimizer is SGD, with any momentum, Adam or AdamW, with any
    clipping. Other optimizers are taken as SGD of the same learning rate: the
    direction is then that of the gradient, not of the update.

    Example:
    >>> HypergradientFeedback(weight=0.3).kinds
    ('soft',)

    Args:
        weight: Factor, a number or a schedule. 0.1 is cautious; 0.3 was best
            on clean data with one label a class.
        normalization: `"rms"` divides by the root mean square over batch and
            classes, weighted by the teacher's probabilities, so that the
            feedback keeps its size as the student's learning rate decays;
            None leaves it as it is.
        measured: Whether the gradient of the labeled loss is taken "after" the
            student's update, as in the paper, or "before" it. Where a large
            step overshoots, the gradient after it points back.
        name: Optional name.

    Raises:
        ValueError: If an argument is not what it must be.

    Reference:
        Pham et al., 2021 (arXiv:2003.10580), section 2: soft pseudo labels.
    """

    kinds = ("soft",)

    def coefficients(self, reaction: Reaction) -> tuple[tf.Tensor, tf.Tensor]:
        """`J`, shape `(batch, num_classes)`."""
        return self._centred(reaction)


@keras.saving.register_keras_serializable(_PACKAGE)
class PerExampleFeedback(_LabelFeedback):
    """The hypergradient read at the sampled class: one number per example.

    `h_i = -J_i[label_i]`: credits each hard label by itself, where
    `LossDifferenceFeedback` gives all of a batch the same credit. It is far
    less noisy, and to first order in the student's learning rate has the same
    expectation: what is of second order, such as how labels of one batch act
    together, `LossDifferenceFeedback` sees alone.

    Example:
    >>> PerExampleFeedback(weight=0.3).kinds
    ('sampled', 'argmax')

    Args:
        weight: Factor, a number or a schedule.
        normalization: `"rms"` or None, as in `HypergradientFeedback`.
        measured: "after" or "before", as in `HypergradientFeedback`.
        name: Optional name.

    Raises:
        ValueError: If an argument is not what it must be.

    Reference:
        Pham et al., 2021 (arXiv:2003.10580), section 2, applied to each
        example.
    """

    kinds = ("sampled", "argmax")

    def coefficients(self, reaction: Reaction) -> tuple[tf.Tensor, tf.Tensor]:
        """`h`, shape `(batch,)`."""
        slope, h = self._centred(reaction)
        return -tf.reduce_sum(reaction.pseudo_labels * slope, axis=-1), h


def inner_product(left: list, right: list) -> tf.Tensor:
    """The sum of the products of all elements of two lists of tensors."""
    return tf.add_n(
        [tf.reduce_sum(x * y) for x, y in zip(left, right, strict=True)]
    )
