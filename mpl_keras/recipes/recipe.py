"""All settings of a training, in one object that checks itself."""

import dataclasses
from typing import Any, Literal

from mpl_keras.checks import arguments
from mpl_keras.checks.arguments import ArgumentError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that a training needs to know, in numbers and names.

    `dataclasses.asdict` gives what can be written as JSON,
    `dataclasses.replace` a recipe in which one thing is different, and
    `recipes.adapt` one in which what depends on it follows.

    Example:
    >>> from mpl_keras import recipes
    >>> recipe = recipes.get("digits")
    >>> longer = dataclasses.replace(recipe, steps=3000)
    >>> longer.steps, longer.student_wait
    (3000, 200)

    Args:
        name: As `get` knows it.
        dataset: Its name.
        num_labeled: Labeled examples, equally many of each class; None for all
            that the data set's training split has.
        num_classes: How many.
        backbone: Name for `networks.make`, for teacher and student.
        image_size: Height and width in pixels.
        views: Name of the policy of weak and strong views.
        labeled_batch_size: Labeled examples of a step.
        unlabeled_batch_size: Unlabeled examples of a step.
        steps: Number of training steps.
        teacher_learning_rate: At its peak; that of single networks, too.
        student_learning_rate: At its peak.
        warmup_steps: Over which a learning rate grows linearly from 0;
            afterwards it falls by a cosine until the last step, to 0 or, the
            student's, to its final fraction.
        student_wait: First steps in which the student's is 0.
        student_warmup_steps: Over which the student's grows after them; None is
            `warmup_steps`. A student that starts slowly bears a higher peak.
        student_final_fraction: What the student's falls to, as a fraction of
            its peak. Above 0 the student still follows its teacher when that
            is at its best, in the last steps; its average is less noisy.
        momentum: Of SGD.
        nesterov: Whether it is Nesterov's.
        clip_norm: Largest norm of a network's gradient, or None.
        weight_decay: Factor of the weights that is added to the gradient.
        teacher_dropout: Rate before the teacher's last layer.
        student_dropout: The same of the student's.
        label_smoothing: Of the supervised and of the student's loss.
        ema_momentum: Of the average that is evaluated.
        average_of: Whose average that is: the "student"'s or the "teacher"'s.
        consistency_weight: Of UDA's loss, at the end of its ramp.
        consistency_ramp_steps: Over which it grows linearly from 0.
        temperature: Of UDA's targets.
        threshold: Confidence below which UDA leaves an example out.
        mask_on: Which confidence: "raw" or "sharpened".
        distribution_alignment: Prior that UDA's targets are aligned with:
            "uniform", "labeled", "labeled_predictions", "learned", or None for
            no alignment; see `losses.ConsistencyLoss`.
        label_spreading: Whether each target is multiplied by what the nearest
            neighbours of its example say, `datasets.spread_labels`.
        masking: How confidence decides which examples count: "fixed", by the
            threshold; "flexmatch", by one for each class, at most it;
            "freematch", by thresholds that adapt themselves; "softmatch", more
            or less, by a Gaussian, and then only confidences are aligned. See
            `losses.FlexMatchThreshold` and its kin.
        masking_momentum: Of the running means that these have. None is 0.99
            for "flexmatch"; for the others it spans a twentieth of the steps,
            at most 1,000 of them, which is the papers' 0.999.
        hard_targets: Whether UDA's targets are the likeliest class.
        feedback: "loss_difference", "cosine", "hypergradient" or
            "per_example".
        feedback_weight: Its weight in the teacher's loss.
        feedback_normalization: Its `normalization`, or None.
        feedback_baseline: Momentum of the baseline of "loss_difference", or
            None.
        feedback_measured: Whether "hypergradient" and "per_example" take the
            gradient of the labeled loss "before" or "after" the student's
            update.
        pseudo_labels: "soft", "sampled" or "argmax".
        pseudo_label_view: The view that the teacher labels.
        meta: What the student is measured on, as of
            `pipeline.training_dataset`: "labeled" or "strong".
        finetune_steps: Steps of the last stage, on the labels; 0 is without.
        finetune_batch_size: Labeled examples of such a step.
        finetune_learning_rate: Of these, constant.
        source: Where the numbers are from.
        why: What it was chosen by, where `default` chose it.
        departures: Where a training by it differs from what was published.
        published: Accuracies in %, by method: mean, what stands behind its ±
            (or None), and the source.
    """

    name: str
    dataset: str
    num_labeled: int | None
    num_classes: int
    backbone: str
    image_size: int
    views: str
    labeled_batch_size: int
    unlabeled_batch_size: int
    steps: int
    teacher_learning_rate: float
    student_learning_rate: float
    warmup_steps: int
    student_wait: int
    student_warmup_steps: int | None = None
    student_final_fraction: float = 0.0
    momentum: float = 0.9
    nesterov: bool = True
    clip_norm: float | None
    weight_decay: float
    teacher_dropout: float
    student_dropout: float
    label_smoothing: float
    ema_momentum: float
    average_of: Literal["student", "teacher"] = "student"
    consistency_weight: float
    consistency_ramp_steps: int
    temperature: float
    threshold: float
    mask_on: Literal["raw", "sharpened"]
    distribution_alignment: (
        Literal["uniform", "labeled", "labeled_predictions", "learned"] | None
    ) = None
    label_spreading: bool = False
    masking: Literal["fixed", "flexmatch", "freematch", "softmatch"] = "fixed"
    masking_momentum: float | None = None
    hard_targets: bool = False
    feedback: Literal[
        "loss_difference", "cosine", "hypergradient", "per_example", "none"
    ]
    feedback_weight: float
    feedback_normalization: str | None
    feedback_baseline: float | None
    feedback_measured: Literal["before", "after"] = "after"
    pseudo_labels: Literal["soft", "sampled", "argmax"]
    pseudo_label_view: Literal["weak", "strong"]
    meta: Literal["labeled", "strong"]
    finetune_steps: int
    finetune_batch_size: int
    finetune_learning_rate: float
    source: str
    departures: str
    why: str = ""
    published: dict[str, list[Any]]

    def __post_init__(self):
        """Raises for what no training could be done with."""
        for name in _AT_LEAST_ONE:
            self._check(arguments.integer, name, 1)
        for name in (*STRETCHED, "finetune_steps"):
            self._check(arguments.integer, name, 0)
        for name in _SHARES:
            self._check(arguments.number, name, 0, below=1)
        for name in _FRACTIONS:
            self._check(arguments.number, name, 0, 1)
        for name in _NUMBERS:
            self._check(arguments.number, name, 0)
        self._check(arguments.number, "clip_norm", above=0)
        # Negative ones are for ablations.
        self._check(arguments.number, "feedback_weight")
        for name, choices in CHOICES.items():
            arguments.choice(name, getattr(self, name), choices)

    def check_wait(self) -> None:
        """Raises if the student would never start."""
        if self.student_wait >= self.steps:
            raise ArgumentError(
                "student_wait",
                "be less than {steps}, or the student never starts",
                str(self.student_wait),
                others={"steps": str(self.steps)},
            )

    def _check(self, check, name, *bounds, **more):
        value = getattr(self, name)
        if value is not None or name not in _OPTIONAL:
            check(name, value, *bounds, **more)


# Which values a field may have, and which numbers grow with the steps.
CHOICES = {
    "average_of": ("student", "teacher"),
    "mask_on": ("raw", "sharpened"),
    "feedback": (
        "loss_difference",
        "cosine",
        "hypergradient",
        "per_example",
        "none",
    ),
    "distribution_alignment": (
        None,
        "uniform",
        "labeled",
        "labeled_predictions",
        "learned",
    ),
    "label_spreading": (False, True),
    "masking": ("fixed", "flexmatch", "freematch", "softmatch"),
    "hard_targets": (False, True),
    "feedback_measured": ("before", "after"),
    "pseudo_labels": ("soft", "sampled", "argmax"),
    "pseudo_label_view": ("weak", "strong"),
    "meta": ("labeled", "strong"),
}
STRETCHED = (
    "warmup_steps",
    "student_wait",
    "student_warmup_steps",
    "consistency_ramp_steps",
)
_OPTIONAL = (
    "num_labeled",
    "student_warmup_steps",
    "clip_norm",
    "masking_momentum",
)
_AT_LEAST_ONE = (
    "num_labeled",
    "num_classes",
    "image_size",
    "labeled_batch_size",
    "unlabeled_batch_size",
    "steps",
    "finetune_batch_size",
)
_SHARES = (
    "momentum",
    "teacher_dropout",
    "student_dropout",
    "label_smoothing",
    "ema_momentum",
    "masking_momentum",
)
_FRACTIONS = ("student_final_fraction", "threshold")
_NUMBERS = (
    "teacher_learning_rate",
    "student_learning_rate",
    "weight_decay",
    "consistency_weight",
    "temperature",
    "finetune_learning_rate",
)
