"""Meta Pseudo Labels: a teacher that learns from how its student fares."""

from typing import Any, Literal, get_args

import keras
import numpy as np
import tensorflow as tf

from mpl_keras import feedback as feedback_module
from mpl_keras import losses, schedules
from mpl_keras.checks import arguments, batches
from mpl_keras.checks.batches import VIEWS
from mpl_keras.distribute import replicas
from mpl_keras.models import passes
from mpl_keras.models.scheduled import Scheduled
from mpl_keras.models.semi_supervised import SemiSupervisedModel, refuse_unknown
from mpl_keras.models.step_metrics import measured
from mpl_keras.models.student import StudentUpdate, meta_batch
from mpl_keras.networks import averaging, requirements

Kind = Literal["soft", "sampled", "argmax"]
Role = Literal["student", "teacher"]
UnlabeledView = Literal["weak", "strong"]
_KINDS = get_args(Kind)
_FED_BACK = ("feedback_loss", "feedback_share", "h")


@keras.saving.register_keras_serializable("mpl_keras")
class MetaPseudoLabels(SemiSupervisedModel):
    """Trains a teacher and a student with Meta Pseudo Labels.

    In every step the teacher labels a batch of unlabeled examples, the student
    learns from these pseudo labels alone, and how the student's loss on
    labeled examples changes is fed back to the teacher, which learns from
    that, from the labels, and from the consistency of its answers (UDA).

    Calling, evaluating, predicting and exporting the model uses the moving
    average of the student, or of the teacher where `average_of` says so. In a
    short training the student may still be behind its teacher when it ends.

    BatchNorm normalises by its own batch in every pass of a step. The teacher
    passes once over all views together; where it labels the strong view,
    nothing is learned through the weak one, which then passes by itself, before
    and without a backward pass. The student learns from the strong views; where
    it has BatchNorm, it passes once over the weak ones, too, and these alone
    move its statistics, also while it waits.

    The student's passes over the labeled examples, before and after its
    update, move no statistics: its loss must change by its weights alone.
    The average follows the statistics as it follows the weights, and evaluation
    normalises by the average's alone.

    Example:
    >>> def make_net():
    ...     return keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    >>> model = MetaPseudoLabels(make_net(), make_net(), seed=0)
    >>> model.compile(teacher_optimizer="sgd", student_optimizer="sgd")
    >>> x = keras.random.normal((4, 2), seed=0)
    >>> views = {"labeled": x, "weak": x, "strong": x}
    >>> logs = model.train_on_batch(views, [0, 1, 2, 0], return_dict=True)
    >>> model.predict(x, verbose=0).shape
    (4, 3)

    Args:
        teacher: A built Keras model from inputs to logits `(batch,
            num_classes)`.
        student: Another, from the same inputs to logits of the same width.
        consistency: A `losses.ConsistencyLoss` for the teacher, or None. By
            default temperature 0.7 and threshold 0.6, as for CIFAR-10.
        consistency_weight: Its weight, a number or a schedule of the model's
            step such as `schedules.LinearRamp`. Default 1.
        feedback: One of `mpl_keras.feedback`, or None for a student that the
            teacher does not listen to. By default a
            `HypergradientFeedback(weight=0.1)`.
        pseudo_labels: `"soft"` (the teacher's probabilities), `"sampled"` (one
            class drawn from them) or `"argmax"`. By default what the feedback
            prefers, and soft without feedback.
        pseudo_label_view: The view that the teacher labels, `"weak"` or
            `"strong"`; the student always sees the strong one.
        label_smoothing: Share of the uniform distribution in the labels of the
            supervised and of the student's loss, in `[0, 1)`.
        ema_momentum: Momentum of the average, in `[0, 1)`; at first it is
            lower, see `averaging.momentum_at`.
        average_of: Whose moving average is kept, evaluated and exported:
            `"student"`, as in the paper, or `"teacher"`.
        supervised_threshold: Training signal annealing of the supervised
            loss: a number in `[0, 1]` or a schedule such as
            `schedules.SignalAnnealing`; None is without.
        seed: Of the sampling of pseudo labels, an integer.
        name: Optional name.

    Attributes:
        teacher: The teacher.
        student: The student, as trained.
        averaged: The moving average of one of them.
        averaged_student: The same, where it is the student's.
        averaged_teacher: The same, where it is the teacher's.
        optimizer: The student's optimizer.
        teacher_optimizer: The teacher's.
        step: How many steps were trained, saved with the model.

    Raises:
        ValueError: If an argument is not what it must be.

    Reference:
        Pham et al., "Meta Pseudo Labels", CVPR 2021 (arXiv:2003.10580).
    """

    def __init__(
        self,
        teacher: keras.Model,
        student: keras.Model,
        *,
        consistency: losses.ConsistencyLoss
        | Literal["default"]
        | None = "default",
        consistency_weight: schedules.Schedule = 1.0,
        feedback: feedback_module.Feedback
        | Literal["default"]
        | None = "default",
        pseudo_labels: Kind | None = None,
        pseudo_label_view: UnlabeledView = "weak",
        label_smoothing: float = 0.0,
        ema_momentum: float = 0.995,
        average_of: Role = "student",
        supervised_threshold: schedules.Schedule | None = None,
        seed: int = 0,
        name: str | None = None,
    ):
        requirements.check_pair(teacher, student)
        arguments.choice("average_of", average_of, get_args(Role))
        super().__init__(
            teacher if average_of == "teacher" else student,
            average_of,
            consistency=consistency,
            consistency_weight=consistency_weight,
            supervised_threshold=supervised_threshold,
            label_smoothing=label_smoothing,
            ema_momentum=ema_momentum,
            name=name,
        )
        self.teacher = teacher
        self.student = student
        other = next(name for name in self.trained if name != average_of)
        self.outside_changes.watch(self.trained[other], other)
        if isinstance(feedback, str) and feedback == "default":
            feedback = feedback_module.HypergradientFeedback(weight=0.1)
        self.feedback = feedback
        self.pseudo_labels = _check_kind(pseudo_labels, feedback)
        self.student_update = StudentUpdate(student, feedback, label_smoothing)
        arguments.choice("pseudo_label_view", pseudo_label_view, VIEWS[1:])
        self.pseudo_label_view = pseudo_label_view
        self.seed = arguments.integer("seed", seed, 0, 2**31 - 1)
        self.teacher_optimizer = None
        self.measuring.track("teacher_loss", "supervised_loss")
        self.measuring.track(*self.objective.shown)
        self.measuring.track("student_loss", "pseudo_label_confidence")
        if feedback is not None:
            self.measuring.track(*_FED_BACK)

    @property
    def averaged_student(self) -> keras.Model:
        """The student's moving average: what is evaluated and exported."""
        return self._average("student")

    @property
    def averaged_teacher(self) -> keras.Model:
        """The teacher's moving average, with `average_of="teacher"`."""
        return self._average("teacher")

    def _average(self, name):
        if name != self.average_of:
            raise AttributeError(
                f"There is no average of the {name}: `average_of` is "
                f"{self.average_of!r}. Use `averaged`, or make the model with "
                f"average_of={name!r}."
            )
        self.follow_early_changes()
        return self.averaged

    @property
    def student_optimizer(self) -> keras.optimizers.Optimizer | None:
        """The same as `optimizer`; None before `compile`."""
        return getattr(self, "optimizer", None)

    def compile(
        self,
        teacher_optimizer: keras.optimizers.Optimizer | str | None = None,
        student_optimizer: keras.optimizers.Optimizer | str | None = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        jit_compile: bool | Literal["auto"] = "auto",
        steps_per_execution: int = 1,
        **unknown: Any,
    ) -> None:
        """Sets how the networks are trained.

        Each optimizer has its own learning rate schedule. While the student's
        learning rate is 0 (`schedules.Delayed`), there is no feedback.

        Args:
            teacher_optimizer: A Keras optimizer.
            student_optimizer: Another one.
            metrics: Keras metrics of the student's logits: in training those
                on the labeled batch, in evaluation the average's.
            weighted_metrics: The same, with sample and class weights.
            run_eagerly: As Keras's.
            jit_compile: As Keras's.
            steps_per_execution: As Keras's.
            **unknown: Is refused.

        Raises:
            TypeError: If there are other arguments, such as Keras's
                `optimizer` or `loss`.
            ValueError: If an optimizer is missing, is the same as the other,
                keeps an average, accumulates gradients or has several rates.
        """
        refuse_unknown(unknown, "`teacher_optimizer` and `student_optimizer`")
        self.check_before_compile()
        pair = teacher_optimizer, student_optimizer
        if teacher_optimizer is None or student_optimizer is None:
            one = "teacher" if teacher_optimizer is None else "student"
            raise ValueError(
                f"`{one}_optimizer` must be given: `compile` takes two "
                "optimizers, `teacher_optimizer` and then `student_optimizer`. "
                f"Received: {one}_optimizer=None"
            )
        same, other = (requirements.inner_optimizer(x) for x in pair)
        if same is other and isinstance(same, keras.optimizers.Optimizer):
            raise ValueError(
                "`teacher_optimizer` and `student_optimizer` must be two "
                "objects: each keeps the momenta of its own network. "
                "Received: one object for both"
            )
        self.teacher_optimizer = requirements.check_optimizer(
            teacher_optimizer, self.teacher, "teacher_optimizer"
        )
        super().compile(
            optimizer=requirements.check_optimizer(
                student_optimizer, self.student, "student_optimizer"
            ),
            metrics=metrics,
            weighted_metrics=weighted_metrics,
            run_eagerly=run_eagerly,
            jit_compile=jit_compile,
            steps_per_execution=steps_per_execution,
        )

    def make_pseudo_labels(self, logits: tf.Tensor) -> tf.Tensor:
        """Labels for unlabeled examples, from the teacher's logits.

        Override it to label in another way: what comes back trains the
        student, and is what the teacher answers for.

        Args:
            logits: Shape `(batch, num_classes)`.

        Returns:
            Rows of probabilities, of the same shape and dtype; one-hot for
            hard labels.
        """
        if self.pseudo_labels == "soft":
            return tf.nn.softmax(logits)
        if self.pseudo_labels == "sampled":
            step = tf.convert_to_tensor(self.step)
            seed = tf.stack([tf.constant(self.seed, tf.int64), step])
            # The highest of logits with Gumbel noise is a sample from their
            # softmax; XLA has no sampling operation of its own on the CPU.
            uniform = tf.random.stateless_uniform(
                tf.shape(logits),
                replicas.replica_seed(seed),
                minval=np.finfo("float32").tiny,
                dtype=logits.dtype,
            )
            logits = logits - tf.math.log(-tf.math.log(uniform))
        labels = tf.argmax(logits, axis=-1)
        return tf.one_hot(labels, self.num_classes, dtype=logits.dtype)

    def train_step(self, data: Any) -> dict[str, Any]:
        """One step of Meta Pseudo Labels (Pham et al., 2021, Algorithm 1)."""
        x, y, sample_weight = batches.unpack(data, self.num_classes)
        labels = y["labeled"] if isinstance(y, dict) else y
        meta = meta_batch(x, y, sample_weight)
        self.measuring.prepare(meta.labels)
        before = self.safeguard.keep(self)

        # Teacher: look at all views, and label the unlabeled ones.
        look = passes.forward(self.teacher, x, *self._views())
        taught = look.logits[self.pseudo_label_view]
        pseudo_labels = tf.stop_gradient(self.make_pseudo_labels(taught))

        # Student: learn from the pseudo labels alone, then meet the labels.
        rate = tf.convert_to_tensor(self.student_optimizer.learning_rate)
        weighs = passes.any_weight(meta.weight)
        active = rate > 0 if weighs is None else (rate > 0) & (weighs > 0)
        reaction = feedback_module.Reaction(
            pseudo_labels, tf.nn.softmax(taught), rate, active
        )
        learned = self.student_update(
            self.student_optimizer, x["weak"], x["strong"], meta, reaction
        )

        # Teacher: own gradient plus the feedback's, in one backward pass.
        gradient, shown = self._answer(look, labels, sample_weight, reaction)
        gradients = passes.apply(self.teacher_optimizer, look, gradient)

        led = self.trained[self.average_of]
        averaging.follow(self.averaged, led, self.step, self.ema_momentum)
        replicas.assign([self.step], [self.step + 1])
        shown["teacher_loss"] += look.penalty
        shown["student_loss"] = learned.loss
        shown["pseudo_label_confidence"] = passes.confidence(taught)
        self._show(shown, reaction.loss_after, weighs, sample_weight)
        self.measuring.measure(x, meta.labels, learned.logits, meta.weight)
        quantities = {
            "teacher's logits": list(look.logits.values()),
            "student's loss": learned.loss,
            "student's gradient": learned.gradients,
            "student's labeled loss": reaction.loss_after,
            "teacher's loss": shown["teacher_loss"],
            "teacher's gradient": gradients,
            "student's updated weights": passes.weights_of(self.student),
            "teacher's updated weights": passes.weights_of(self.teacher),
            "statistics": passes.statistics_of(self.student, self.teacher),
            "labels": passes.odd_rows(y, self.num_classes),
            "examples": look.unlearned,
        }
        self.safeguard.finish(before, quantities)
        return self.measuring.result()

    def _show(self, shown, loss, weighs, sample_weight):
        """Updates the means, but for what no label was there to measure."""
        by_labels = dict.fromkeys(_FED_BACK, weighs)
        by_labels["teacher_loss"] = passes.any_weight(sample_weight)
        self.measuring.update(shown, measured(loss, weighs), by_labels)

    def _views(self):
        """Views that the teacher looks at, and those that it learns through.

        Without feedback, too, it learns through the view that it labels, so
        that a comparison is of the feedback alone.
        """
        if self.pseudo_label_view == "weak":
            return VIEWS, VIEWS
        learned = "labeled", "strong"
        return (VIEWS if self.consistency is not None else learned), learned

    def _answer(self, look, labels, sample_weight, reaction):
        """Gradients of the teacher's loss to its logits; what to show."""
        logits, learned = look.logits, look.learned
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(learned)
            own, shown = self.objective(
                logits, labels, sample_weight, self.step, look.prior
            )
            if self.feedback is not None:
                coefficients, h = self.feedback(reaction, self.step)
                feedback = tf.reduce_mean(
                    losses.meta_pseudo_labels(
                        reaction.pseudo_labels,
                        logits[self.pseudo_label_view],
                        coefficients,
                    )
                )
        gradient = passes.gradients_of(tape, own, learned)
        shown["teacher_loss"] = own
        if self.feedback is None:
            return gradient, shown
        reply = passes.gradients_of(tape, feedback, learned)
        shown["teacher_loss"] += feedback
        shown["feedback_loss"] = feedback
        sizes = replicas.mean([_square(reply), _square(gradient)])
        shown["feedback_share"] = tf.sqrt(tf.math.divide_no_nan(*sizes))
        shown["h"] = h
        return [g + r for g, r in zip(gradient, reply, strict=True)], shown

    @property
    def scheduled(self) -> list[Scheduled]:
        """What follows a schedule, and the values that it may have."""
        found = super().scheduled
        weight = getattr(self.feedback, "weight", None)
        if callable(weight):
            found.append(
                Scheduled(
                    *("feedback", "weight", weight, self.step), any_sign=True
                )
            )
        return found

    @property
    def method(self) -> str:
        """How it is trained, in settings and reports: "mpl"."""
        return "mpl"

    @property
    def trained(self) -> dict[str, keras.Model]:
        """Teacher and student by these names; the averaged one is the last."""
        pair = {"teacher": self.teacher, "student": self.student}
        pair[self.average_of] = pair.pop(self.average_of)
        return pair

    @property
    def optimizers(self) -> dict[str, keras.optimizers.Optimizer | None]:
        """The student's and the teacher's optimizer; None before `compile`."""
        return {
            "student": self.student_optimizer,
            "teacher": self.teacher_optimizer,
        }

    @property
    def labeler(self) -> keras.Model:
        """The network that makes pseudo labels: the teacher."""
        return self.teacher

    def get_compile_config(self) -> dict[str, Any]:
        """Arguments of `compile`, serialized."""
        return self._serialized_compile(
            teacher_optimizer=self.teacher_optimizer,
            student_optimizer=self.student_optimizer,
        )

    def get_config(self) -> dict[str, Any]:
        """Arguments of `__init__`, serialized."""
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "teacher": serialize(self.teacher),
            "student": serialize(self.student),
            "feedback": self.feedback and serialize(self.feedback),
            "pseudo_labels": self.pseudo_labels,
            "pseudo_label_view": self.pseudo_label_view,
            "average_of": self.average_of,
            "seed": self.seed,
        }


def _square(tensors):
    return tf.add_n([tf.reduce_sum(tensor**2) for tensor in tensors])


def _check_kind(pseudo_labels, feedback):
    """The kind of pseudo labels, checked against what the feedback needs."""
    known = isinstance(feedback, feedback_module.Feedback) and feedback.kinds
    if feedback is not None and not known:
        raise ValueError(
            "`feedback` must be one of `mpl_keras.feedback` or None. "
            f"Received: feedback={feedback!r}"
        )
    kinds = _KINDS if feedback is None else feedback.kinds
    if pseudo_labels is None:
        return kinds[0]
    arguments.choice("pseudo_labels", pseudo_labels, _KINDS)
    if pseudo_labels not in kinds:
        hint = (
            "; with soft labels its gradient would be exactly zero"
            if pseudo_labels == "soft"
            else ""
        )
        raise ValueError(
            f"`pseudo_labels` must be one of {kinds} for "
            f"{type(feedback).__name__}{hint}. Received: "
            f"pseudo_labels={pseudo_labels!r}"
        )
    return pseudo_labels
