"""What `ablation.py` compares: forms of feedback, controls, and baselines."""

import dataclasses

import tensorflow as tf

from mpl_keras import feedback


@dataclasses.dataclass(frozen=True)
class Method:
    """What is trained, and the one number that is tuned.

    Attributes:
        what: In words.
        kind: "supervised", "uda" or "mpl".
        number: Peak learning rate (supervised), weight of the consistency
            (UDA), by default the recipe's, or weight of the feedback.
        feedback: Class of the feedback; None is without.
        meta: View of the labeled examples that v is of; None is the weak.
        aligned: Whether UDA's targets are aligned with a uniform prior.
        view: The view that the teacher labels.
        longer: How many times as many steps, to take as long as "mpl".
        control: What is done to the feedback's coefficients.
        final_fraction: Of its peak, to which the student's learning rate
            falls; None is the recipe's.
    """

    what: str
    kind: str = "mpl"
    number: float | None = None
    feedback: type | None = None
    meta: str | None = None
    aligned: bool = False
    view: str = "weak"
    longer: float = 1.0
    control: str | None = None
    final_fraction: float | None = None


_HYPER = feedback.HypergradientFeedback
METHODS = {
    "supervised": Method("labels alone", "supervised"),
    "uda": Method("UDA", "uda"),
    "uda_time": Method("UDA in MPL's time", "uda", longer=2.0),
    "uda_aligned": Method("UDA, aligned", "uda", aligned=True),
    "uda_aligned_time": Method(
        "UDA, aligned, in MPL's time", "uda", aligned=True, longer=2.0
    ),
    "no_feedback": Method("MPL without feedback"),
    "no_feedback_fading": Method(
        "without feedback, the student's rate falls to 0", final_fraction=0.0
    ),
    "mpl": Method(
        "hypergradient, v on strong views",
        number=0.3,
        feedback=_HYPER,
        meta="strong",
    ),
}
METHODS |= {
    name: dataclasses.replace(METHODS["mpl"], what=what, **changes)
    for name, what, changes in (
        (
            "loss_difference",
            "loss difference",
            {"number": 2.0, "feedback": feedback.LossDifferenceFeedback},
        ),
        (
            "cosine",
            "cosine",
            {"number": 3.0, "feedback": feedback.CosineFeedback},
        ),
        (
            "per_example",
            "per example",
            {"feedback": feedback.PerExampleFeedback},
        ),
        ("weak_meta", "v on weak views", {"meta": None}),
        ("strong_labels", "strong views are labeled", {"view": "strong"}),
        ("mpl_aligned", "on aligned UDA", {"aligned": True}),
        (
            "mpl_fading",
            "the student's rate falls to 0",
            {"final_fraction": 0.0},
        ),
        ("flipped", "sign flipped", {"number": -0.3}),
        # To see what of the feedback helps.
        ("shuffled", "shuffled between examples", {"control": "shuffled"}),
        ("class_mean", "class mean alone", {"control": "class_mean"}),
        ("no_class_mean", "class mean removed", {"control": "no_class_mean"}),
        ("noise", "noise of its size", {"control": "noise"}),
    )
}


class Controlled(feedback.HypergradientFeedback):
    """The hypergradient, changed so that one can see what of it helps."""

    def __init__(self, weight, control):
        super().__init__(weight)
        self.control = control

    def __call__(self, reaction, step):
        """As the base class's, with other coefficients."""
        slope, h = super().__call__(reaction, step)
        seed = tf.stack([tf.constant(7, tf.int64), tf.cast(step, tf.int64)])
        mean = tf.reduce_mean(slope, axis=0, keepdims=True)
        if self.control == "shuffled":
            order = tf.argsort(
                tf.random.stateless_uniform(tf.shape(slope)[:1], seed)
            )
            return tf.gather(slope, order), h
        if self.control == "no_class_mean":
            return slope - mean, h
        if self.control == "class_mean":
            return tf.zeros_like(slope) + mean, h
        noise = tf.random.stateless_normal(tf.shape(slope), seed)
        size = tf.reduce_sum(reaction.probabilities * noise**2, axis=-1)
        # A normalised hypergradient has the size of its weight.
        size = tf.sqrt(tf.reduce_mean(size))
        weight = tf.cast(self.weight, noise.dtype)
        moves = tf.cast(reaction.active, noise.dtype)
        return moves * weight * noise / size, h


def method_of(name):
    """A method by its name, with another number after an @."""
    name, _, number = name.partition("@")
    if number:
        return dataclasses.replace(METHODS[name], number=float(number))
    return METHODS[name]


def make_feedback(method, scale):
    """A method's feedback, its weight times the scale; None is without."""
    weight, form = (method.number or 0.0) * scale, method.feedback
    if method.control:
        return Controlled(weight, method.control)
    if form is feedback.LossDifferenceFeedback:
        return form(weight, normalization="std")
    return form and form(weight)
