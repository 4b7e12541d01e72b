"""Does the feedback help? The same networks with it and without, paired.

    make ablation

makes what is reported, and its tables. Much more can be asked for: see --list,
and choose with --settings and --methods.

One seed is one choice of labels, one initialisation and one order of the data
for all methods of a setting. The accuracies are those of the last step, on test
examples that no training sees; they are the same for all seeds. It goes on
where it was stopped: what is in OUTPUT_DIR/runs.csv is not trained again. Every
run is in one process of one thread, so that it can be repeated bit for bit.

A method's number can be changed to tune it, on seeds that are not reported and
without the test examples: --validation measures on a fifth of the training
examples, set aside, and writes OUTPUT_DIR/validation.csv.

    python benchmarks/ablation.py --settings=digits_10 --seeds=1000:1005 \
        --methods=mpl@0.1,mpl@0.3,mpl@1.0 --validation --output_dir=tuning

Settings fashion_* and *_5 of LetterRecognition and Satellite need the data that
real_data.py names, in the folders of --fashion and --mlbench. Methods recipe_*
are trained by the recipe as `mpl-keras train` does it, its networks, rates and
alignment included.

CIFAR-10, SVHN and ImageNet are trained by the published recipes, where
TensorFlow Datasets has them prepared; that takes a GPU:

    python benchmarks/ablation.py --settings=cifar10_4000 --processes=1
"""

import csv
import dataclasses
import hashlib
import multiprocessing
import os
import re
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # faster on all CPUs

import keras
import numpy as np
import real_data
import settings
import tensorflow as tf
from absl import app, flags

import mpl_keras
from mpl_keras import datasets, feedback, recipes

FLAGS = flags.FLAGS
flags.DEFINE_list(
    "settings", None, "By default all that need no other data; see --list."
)
flags.DEFINE_list("methods", None, "By default all; NAME or NAME@NUMBER.")
flags.DEFINE_string("seeds", "0:20", "From:to, the second not included.")
flags.DEFINE_string("output_dir", "ablation", "Where results go.")
flags.DEFINE_integer("processes", 2, "Runs at the same time.", lower_bound=1)
flags.DEFINE_integer(
    "steps", None, "Of every run, to try the script.", lower_bound=50
)
flags.DEFINE_bool(
    "validation", False, "Measure on training examples that are set aside."
)
flags.DEFINE_string("fashion", real_data.FASHION, "Folder of Fashion-MNIST.")
flags.DEFINE_string("mlbench", real_data.MLBENCH, "Folder of .rda tables.")
flags.DEFINE_bool("list", False, "Print settings and methods, and end.")
COLUMNS = (
    *("setting", "method", "seed", "accuracy", "as_trained", "teacher"),
    *("steps", "seconds", "digest"),
)


@dataclasses.dataclass(frozen=True)
class Method:
    """What is trained, and the one number that is tuned.

    Attributes:
        what: In words.
        kind: "supervised", "uda" or "mpl"; or "recipe", as the recipe says.
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
        recipe: Of `recipes.METHODS`, where the kind is "recipe".
        spreading: Whether the labels are spread, `datasets.spread_labels`; None
            is as the recipe says, and not at all without one.
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
    recipe: str | None = None
    spreading: bool | None = None


_HYPER = feedback.HypergradientFeedback
METHODS = {
    "supervised": Method("labels alone", "supervised"),
    "uda": Method("UDA", "uda"),
    "uda_time": Method("UDA in MPL's time", "uda", longer=2.0),
    "uda_aligned": Method("aligned UDA", "uda", aligned=True),
    "uda_aligned_time": Method(
        "aligned UDA, in MPL's time", "uda", aligned=True, longer=2.0
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
        (
            "class_biases",
            "and class biases that the reaction moves",
            {"control": "class_biases"},
        ),
    )
}


METHODS |= {
    f"recipe_{name}": Method(
        f"{name}, all by the recipe",
        "recipe",
        meta="recipe" if name in recipes.WITH_STUDENT else None,
        recipe=name,
    )
    for name in recipes.METHODS
}
METHODS |= {
    f"{name}_{end}": dataclasses.replace(
        METHODS[name],
        what=f"{METHODS[name].what}, {word} label spreading",
        spreading=word == "with",
    )
    for end, word, names in (
        (
            *("alone", "without"),
            ("recipe_uda_aligned", "recipe_no_feedback", "recipe_mpl"),
        ),
        ("spread", "with", ("uda", "no_feedback", "mpl")),
    )
    for name in names
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


class ClassBiases(feedback.HypergradientFeedback):
    """The hypergradient, which moves one bias for each class as well.

    The bias is added to the logits of pseudo labels and of the consistency's
    targets. It descends the derivative of the student's labeled loss, divided
    by its running root mean square.
    """

    def __init__(self, weight, num_classes, rate=0.03, momentum=0.99):
        super().__init__(weight)
        self.rate, self.momentum = rate, momentum
        self.bias = self.add_weight((num_classes,), "zeros", trainable=False)
        self.square = self.add_weight((), "zeros", trainable=False)
        self.moves = self.add_weight((), "zeros", trainable=False)

    def coefficients(self, reaction):
        """As the base class's, by the labels that the biases changed."""
        labels, plain = reaction.pseudo_labels, reaction.probabilities
        reaction = dataclasses.replace(reaction, probabilities=labels)
        slope, h = super().coefficients(reaction)
        wanted = tf.reduce_mean(labels * slope, axis=0)
        active = tf.cast(reaction.active, wanted.dtype)
        self.moves.assign_add(active)
        share = active * (1.0 - self.momentum)
        self.square.assign_add(
            share * (tf.reduce_mean(wanted**2) - self.square)
        )
        seen = 1.0 - self.momentum**self.moves
        size = tf.sqrt(tf.math.divide_no_nan(self.square.value, seen))
        step = tf.math.divide_no_nan(wanted, size)
        self.bias.assign_sub(active * self.rate * step)
        # The loss takes the teacher's own probabilities; its gradient is that
        # of the changed ones.
        return slope * labels / plain, h


class WithClassBiases(mpl_keras.MetaPseudoLabels):
    """Labels with the biases of its feedback, a `ClassBiases`."""

    def __init__(self, *networks_of_it, **options):
        super().__init__(*networks_of_it, **options)
        self.objective._alignment = lambda weak, *_: tf.stop_gradient(
            weak + self.feedback.bias
        )

    def make_pseudo_labels(self, logits):
        """As the base class's, of other logits."""
        return super().make_pseudo_labels(logits + self.feedback.bias)


def make_model(setting, method, found, steps, seed):
    """A compiled model; the same initial weights for the same seed."""
    keras.utils.set_random_seed(seed)
    changes = {"steps": steps}
    # Where the script is tried with few steps.
    for name in ("warmup_steps", "student_wait", "student_warmup_steps"):
        wanted = getattr(setting.recipe, name)
        if wanted is not None:
            changes[name] = min(wanted, steps // 3)
    if method.kind == "recipe":
        return recipes.make_model(
            dataclasses.replace(setting.recipe, **changes),
            found.unlabeled.shape[1:],
            found.num_classes,
            method=method.recipe,
            seed=seed,
            steps_per_execution=50,
        )
    if method.final_fraction is not None:
        changes["student_final_fraction"] = method.final_fraction
    if method.number is not None and method.kind != "mpl":
        supervised = method.kind == "supervised"
        tuned = "teacher_learning_rate" if supervised else "consistency_weight"
        changes[tuned] = method.number
    changes["distribution_alignment"] = "uniform" if method.aligned else None
    recipe = dataclasses.replace(setting.recipe, **changes)
    teacher = settings.make_net(setting, found, "teacher")
    student = settings.make_net(setting, found, "student")
    common = recipes.loss_arguments(
        recipe, supervised=method.kind == "supervised"
    )
    optimizer = recipes.make_optimizer(recipe, "teacher")
    if method.kind != "mpl":
        model = mpl_keras.UDA(teacher, **common)
        model.compile(optimizer, steps_per_execution=50)
        return model
    form, number = method.feedback, (method.number or 0.0) * setting.scale
    kind = mpl_keras.MetaPseudoLabels
    if method.control == "class_biases":
        kind, form = WithClassBiases, ClassBiases(number, found.num_classes)
    elif method.control:
        form = Controlled(number, method.control)
    elif form is feedback.LossDifferenceFeedback:
        form = form(number, normalization="std")
    elif form is not None:
        form = form(number)
    model = kind(
        teacher,
        student,
        feedback=form,
        pseudo_label_view=method.view,
        seed=seed,
        **common,
    )
    model.compile(
        teacher_optimizer=optimizer,
        student_optimizer=recipes.make_optimizer(recipe, "student"),
        steps_per_execution=50,
    )
    return model


def spreads(setting, method):
    """Whether the labels are spread before a training."""
    if method.spreading is not None or method.kind != "recipe":
        return bool(method.spreading)
    return recipes.for_method(setting.recipe, method.recipe).label_spreading


def accuracy_of(network, found):
    """Share of the test examples that a network classifies correctly, in %."""
    right = [
        np.argmax(network(x, training=False), axis=-1) == y
        for x, y in found.test
    ]
    return 100 * float(np.mean(np.concatenate(right)))


def run(task):
    """Trains once; gives a row of the table."""
    name, method_name, seed, _, validation = task
    setting, method = settings.SETTINGS[name], method_of(method_name)
    begin = time.monotonic()
    found = setting.split(seed, validation)
    steps = steps_of(task)
    model = make_model(setting, method, found, steps, seed)
    if spreads(setting, method):
        found = datasets.spread_labels(found).data
    batches = mpl_keras.pipeline.training_dataset(
        found,
        setting.recipe.labeled_batch_size,
        setting.recipe.unlabeled_batch_size,
        steps_per_epoch=steps,
        meta=setting.recipe.meta if method.meta == "recipe" else method.meta,
        seed=seed,
    )
    model.fit(batches, verbose=0)
    digest = hashlib.blake2b(digest_size=8)
    for weight in model.averaged.weights:
        digest.update(weight.numpy().tobytes())
    *_, trained = model.trained.values()
    teacher = model.trained.get("teacher")
    row = {
        "setting": name,
        "method": method_name,
        "seed": seed,
        "accuracy": accuracy_of(model.averaged, found),
        "as_trained": accuracy_of(trained, found),
        "teacher": accuracy_of(teacher, found) if teacher else "",
        "steps": steps,
        "seconds": round(time.monotonic() - begin, 2),
        "digest": digest.hexdigest(),
    }
    # What Keras and TensorFlow keep of a model would pile up.
    keras.backend.clear_session()
    return row


def steps_of(task):
    """Steps of a run, as many as are made at once."""
    name, method, _, steps, _ = task
    steps = steps or settings.SETTINGS[name].recipe.steps
    return round(method_of(method).longer * steps / 50) * 50


def method_of(name):
    """A method by its name, with another number after an @."""
    name, _, number = name.partition("@")
    if number:
        return dataclasses.replace(METHODS[name], number=float(number))
    return METHODS[name]


def prepare():
    """Makes a process one that computes in one thread, and alike."""
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()


def check_method(name):
    """Raises for a method that there is none of, or another number than one."""
    known, at, number = name.partition("@")
    if known not in METHODS:
        sys.exit(
            f"--methods must be of {', '.join(METHODS)}, each with @NUMBER if "
            f"you like. Received: {name}"
        )
    if not at:
        return
    if METHODS[known].number is None and METHODS[known].kind == "mpl":
        sys.exit(f"--methods: {known} has no number. Received: {name}")
    if not re.fullmatch(r"-?(\d+\.?\d*|\.\d+)", number):
        sys.exit(
            f"--methods: what follows the @ must be a number, such as "
            f"{known}@0.3. Received: {name}"
        )


def tasks():
    """All runs that the flags ask for, seed by seed; raises for a mistake."""
    for flag, names in (
        ("settings", FLAGS.settings),
        ("methods", FLAGS.methods),
    ):
        if names is not None and not names:
            sys.exit(f"--{flag} is empty; leave it out for all, or see --list")
    for name in FLAGS.settings or ():
        if name not in settings.SETTINGS:
            sys.exit(
                f"--settings must be of {', '.join(settings.SETTINGS)}. "
                f"Received: {name}"
            )
    for name in FLAGS.methods or ():
        check_method(name)
        for setting in FLAGS.settings or settings.HERE:
            if name.startswith("recipe_") and settings.SETTINGS[setting].layers:
                sys.exit(
                    f"--methods: {name} is for settings with the recipe's "
                    f"network, such as fashion_100. Received: {setting}"
                )
    if (FLAGS.steps or 0) % 50:
        sys.exit(f"--steps must be a multiple of 50. Received: {FLAGS.steps}")
    found = re.fullmatch(r"(\d+):(\d+)", FLAGS.seeds)
    if not found or int(found[1]) >= int(found[2]):
        sys.exit(
            "--seeds must be FROM:TO, such as 0:20 for 0 to 19. Received: "
            f"{FLAGS.seeds}"
        )
    return [
        (setting, method, seed, FLAGS.steps, FLAGS.validation)
        for seed in range(int(found[1]), int(found[2]))
        for setting in FLAGS.settings or settings.HERE
        for method in FLAGS.methods or _methods_for(setting)
    ]


def _methods_for(setting):
    """All methods that there are for a setting."""
    by_recipe = settings.SETTINGS[setting].layers is None
    return [m for m in METHODS if by_recipe or not m.startswith("recipe_")]


def check_lengths(wanted, rows, path):
    """Raises where runs of one setting and method would differ in steps."""
    expected = {task[:2]: steps_of(task) for task in wanted}
    for row in rows:
        steps = int(row["steps"])
        right = expected.get((row["setting"], row["method"]), steps)
        if steps != right:
            sys.exit(
                f"{path} has {row['setting']}, {row['method']}, seed "
                f"{row['seed']} with {steps:,} steps, not {right:,}: give "
                "another --output_dir, or the same --steps"
            )


def check_data(todo):
    """Raises where data of TensorFlow Datasets are not at hand."""
    for name in dict.fromkeys(task[0] for task in todo):
        if name not in settings.HERE:
            try:
                settings.SETTINGS[name].load(0, 0.0)
            except (ValueError, OSError, ImportError) as error:
                sys.exit(f"--settings={name}: {error}")


def describe():
    """Prints settings and methods in words."""
    print("settings:")
    for name, setting in settings.SETTINGS.items():
        print(f"  {name:22} {setting.what}")
    print("methods, and the number that NAME@NUMBER changes:")
    tuned = {
        "supervised": "peak learning rate",
        "uda": "weight of the consistency",
        "mpl": "weight of the feedback",
    }
    own = {
        "supervised": settings.DIGITS.teacher_learning_rate,
        "uda": settings.DIGITS.consistency_weight,
    }
    for name, method in METHODS.items():
        number = method.number or own.get(method.kind)
        note = f"; {tuned[method.kind]}, {number:g}" if number else ""
        print(f"  {name:22} {method.what}{note}")
    print(
        "The feedback's weight is a tenth of it on tables and moons, and a "
        "third in published\nrecipes; learning rates and weights of the "
        "consistency are those of digits here."
    )


def read_runs(path):
    """Runs that were made before; half a line at the end is none."""
    if not os.path.exists(path):
        return []
    with open(path, newline="", encoding="utf-8") as file:
        text = file.read()
    lines = text[: text.rfind("\n") + 1].splitlines()
    rows = list(csv.DictReader(lines))
    if rows and tuple(rows[0]) != COLUMNS:
        sys.exit(f"{path} has other columns: {', '.join(rows[0])}")
    if len(text) != text.rfind("\n") + 1:
        half = f"{path}.half"
        with open(half, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        os.replace(half, path)
    return rows


def show(done, total, begin, made, row):
    """One line for each run, with the time that is left."""
    spent = time.monotonic() - begin
    left = (total - done) * spent / made
    print(
        f"{done:,} of {total:,}: {row['setting']}, {row['method']}, seed "
        f"{row['seed']}: {row['accuracy']:.2f} %; about "
        f"{left / 60:.0f} min left",
        flush=True,
    )


def main(argv):
    """Makes the runs that are missing."""
    if argv[1:]:
        sys.exit(f"unknown arguments {argv[1:]}")
    if FLAGS.list:
        describe()
        return
    wanted = tasks()
    os.environ |= {"FASHION": FLAGS.fashion, "MLBENCH": FLAGS.mlbench}
    path = os.path.join(
        FLAGS.output_dir, "validation.csv" if FLAGS.validation else "runs.csv"
    )
    rows = read_runs(path)
    check_lengths(wanted, rows, path)
    known = {(row["setting"], row["method"], int(row["seed"])) for row in rows}
    todo = [task for task in wanted if task[:3] not in known]
    check_data(todo)
    print(f"{len(wanted):,} runs, of which {len(todo):,} are to be made")
    os.makedirs(FLAGS.output_dir, exist_ok=True)
    begin = time.monotonic()
    # A process that has trained enough gives its memory back.
    workers = multiprocessing.get_context("spawn").Pool(
        FLAGS.processes, prepare, maxtasksperchild=100
    )
    with workers, open(path, "a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if not known and not file.tell():
            writer.writeheader()
        made_now = workers.imap_unordered(run, todo)
        for made, row in enumerate(made_now, 1):
            writer.writerow(row)
            file.flush()
            done = len(wanted) - len(todo) + made
            show(done, len(wanted), begin, made, row)
    print(
        f"{len(todo):,} runs took {(time.monotonic() - begin) / 60:.1f} min; "
        f"they are in {path}"
    )


if __name__ == "__main__":
    app.run(main)
