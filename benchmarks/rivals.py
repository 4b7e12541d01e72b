"""Rivals on the same splits as ours: the same network, views and batches.

    pip install torch torchvision torchaudio scikit-learn "transformers<5" \
        timm progress ruamel.yaml scikit-image
    pip install --no-deps semilearn LAMDA-SSL
    git clone https://github.com/kekmodel/MPL-pytorch
    python benchmarks/rivals.py --settings=fashion_100 --seeds=901:902 --test \
        --kekmodel=MPL-pytorch --output=runs.csv

The packages of these lines are needed here alone, and those that are not there
are named and left out. Settings and splits are those of `ablation.py`, pictures
and tables, whose data real_data.py names. Without --test, a part of the
training examples is set aside and measured on.

What learns by PyTorch has our network in PyTorch, with the same first weights
as ours has by that seed, and the very batches, weak and strong views that our
pipeline makes; so the rivals' own augmentation, which is for photographs, is
not used. Their losses, masks, optimizers, schedules and averages are their own
code. --numbers are the rival's published ones ("published"), or the same
as ours where the rival has such a number ("ours").

Each run appends a row to OUTPUT: the accuracy in % of what the rival evaluates
(its average where it has one), that of the last weights, steps, seconds. A run
that has its row is not made again. With --seconds each rival has that much
CPU time instead of equal steps; how many steps these are is reckoned from a row
of equal steps on any split, which is made first where there is none. A rival
that fails has its error in `note`, and the accuracy is then of the same method
in our code, where `package` says so.
"""

import contextlib
import copy
import csv
import dataclasses
import functools
import importlib
import importlib.metadata
import io
import logging
import os
import pathlib
import re
import subprocess
import sys
import time
import types

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import keras
import numpy as np
import real_data
import settings
import tensorflow as tf
from absl import app, flags

import mpl_keras
from mpl_keras import datasets, evaluation, pipeline, recipes

_USB = "fixmatch", "freematch", "softmatch", "uda"
_OURS = "mpl_keras:"
RIVALS = (
    *(f"semilearn:{method}" for method in _USB),
    "kekmodel:mpl",
    "LAMDA-SSL:fixmatch",
    *("sklearn:self_training", "sklearn:logistic"),
)
NUMBERS = "published", "ours"
METHODS = *RIVALS, *(f"{_OURS}{method}" for method in recipes.METHODS)
COLUMNS = (
    *("rival", "numbers", "setting", "seed", "test", "budget"),
    *("package", "accuracy", "last", "steps", "seconds", "cpu_seconds"),
    *("first_step_cpu_seconds", "note"),
)
KEY = COLUMNS[:6]
# Of the recipe's network on pictures, or of dense layers on a table.
SETTINGS = [
    name
    for name, setting in settings.SETTINGS.items()
    if name.startswith("fashion_") or setting.layers == "dense"
]
# As in semilearn's own code, of each method.
_SEMILEARN = {
    "teacher_learning_rate": 0.03,
    "warmup_steps": 0,
    "clip_norm": None,
    "ema_momentum": 0.999,
    "consistency_weight": 1.0,
    "consistency_ramp_steps": 0,
    "masking_momentum": 0.999,
}
PUBLISHED = {
    "fixmatch": _SEMILEARN | {"threshold": 0.95},
    "freematch": _SEMILEARN,
    "softmatch": _SEMILEARN,
    "uda": _SEMILEARN | {"threshold": 0.8, "temperature": 0.4},
}
# Of the paper's CIFAR-10, which are kekmodel's; the steps are stretched.
_OF_CIFAR10 = (
    *("teacher_learning_rate", "student_learning_rate", "warmup_steps"),
    *("student_wait", "student_warmup_steps", "student_final_fraction"),
    *("clip_norm", "teacher_dropout", "student_dropout", "label_smoothing"),
    *("ema_momentum", "consistency_weight", "consistency_ramp_steps"),
    *("temperature", "threshold", "mask_on", "distribution_alignment"),
    *("feedback", "feedback_weight", "feedback_normalization", "meta"),
    *("feedback_baseline", "pseudo_labels", "pseudo_label_view"),
)

FLAGS = flags.FLAGS
if __name__ == "__main__":
    flags.DEFINE_string("fashion", real_data.FASHION, "Its folder.")
    flags.DEFINE_string("mlbench", real_data.MLBENCH, "Folder of .rda tables.")
    flags.DEFINE_list("methods", list(RIVALS), f"Of {', '.join(METHODS)}.")
    flags.DEFINE_list("settings", ["fashion_100"], f"Of {', '.join(SETTINGS)}.")
    flags.DEFINE_list("numbers", list(NUMBERS), "Of the methods.")
    flags.DEFINE_string("seeds", "3000:3001", "FROM:TO, TO not included.")
    flags.DEFINE_integer(
        "steps", None, "By default the setting's.", lower_bound=10
    )
    flags.DEFINE_integer("seconds", None, "Of CPU time, for each.")
    flags.DEFINE_bool("test", False, "Measure on the test examples.")
    flags.DEFINE_string("kekmodel", None, "Folder of a clone of MPL-pytorch.")
    flags.DEFINE_string("output", "rivals.csv", "Table of the runs.")
    flags.DEFINE_integer("threads", 1, "Of a run.", lower_bound=1)


class MissingError(Exception):
    """A rival that is not installed."""


class FinishedError(Exception):
    """Ends a rival's loop where its training is over."""


class Clock:
    """Time of a training, of the wall and of the CPU."""

    def __init__(self):
        self.begin = time.monotonic(), time.process_time()
        self.first = None

    def step(self):
        """Called after each step; the first one is remembered."""
        if self.first is None:
            self.first = time.process_time() - self.begin[1]

    def stop(self):
        """The columns of a row."""
        return {
            "seconds": round(time.monotonic() - self.begin[0], 1),
            "cpu_seconds": round(time.process_time() - self.begin[1], 1),
            "first_step_cpu_seconds": round(self.first or 0.0, 1),
        }


@dataclasses.dataclass
class Task:
    """What a run is of."""

    method: str  # without the package
    setting: settings.Setting
    recipe: recipes.Recipe
    found: object
    seed: int

    def network(self, role="teacher"):
        """Ours, untrained; a teacher has the weights of `make_model`'s."""
        keras.utils.set_random_seed(self.seed + (role == "student"))
        setting = dataclasses.replace(self.setting, recipe=self.recipe)
        return settings.make_net(setting, self.found, role)

    def batches(self, **options):
        """Of our pipeline."""
        return pipeline.training_dataset(
            self.found,
            self.recipe.labeled_batch_size,
            self.recipe.unlabeled_batch_size,
            seed=self.seed,
            **options,
        )

    def tensors(self, clock):
        """Its batches for PyTorch: labeled, their labels, weak, strong."""
        import torch

        torch.manual_seed(self.seed)
        batches = self.batches().take(self.recipe.steps)
        for number, (x, y) in enumerate(batches.as_numpy_iterator()):
            if number:
                clock.step()
            yield (
                to_torch(x["labeled"]),
                torch.from_numpy(y).long(),
                to_torch(x["weak"]),
                to_torch(x["strong"]),
            )


def recipe_of(setting, method, numbers, steps=None):
    """The numbers of a run."""
    recipe = setting.recipe
    steps = steps or recipe.steps
    recipe = recipes.adapt(recipe, steps=steps)
    if numbers == "ours":
        return recipe
    changes = PUBLISHED.get(method, {})
    if method == "mpl":
        published = recipes.adapt(recipes.get("cifar10_4000"), steps=steps)
        changes = {name: getattr(published, name) for name in _OF_CIFAR10}
        # Smaller batches, but the same learning rates.
    return dataclasses.replace(recipe, **changes)


def numbers_of(rival, wanted):
    """Which numbers a rival has."""
    package, method = rival.split(":")
    has = NUMBERS
    if package == "sklearn":
        has = ("published",)
    elif package == "mpl_keras" and method not in (*PUBLISHED, "mpl"):
        has = ("ours",)
    return [numbers for numbers in wanted if numbers in has]


def to_torch(images):
    """Images [N, channels, height, width] of our [N, height, width, channels].

    Args:
        images: As numpy's. Rows of a table are as they are.
    """
    import torch

    examples = torch.from_numpy(images)
    if examples.ndim == 4:
        examples = examples.permute(0, 3, 1, 2)
    return examples.float()


def torch_network(model, named=False):
    """A Keras network of plain layers in PyTorch, with the same weights.

    Args:
        model: A sequential one: of `networks.plain`, or of dense layers.
        named: Whether it gives a dictionary of logits and features.
    """
    from torch import nn

    class Network(nn.Module):
        def __init__(self, layers):
            super().__init__()
            for name, layer in layers:
                self.add_module(name, layer)
            self.last = layers[-1][0]

        def forward(self, x):
            for name, layer in self.named_children():
                if name == self.last:
                    features = x
                x = layer(x)
            return {"logits": x, "feat": features} if named else x

    layers = []
    for layer in model.layers:
        layers += torch_layers(layer, len(layers))
    return Network(layers)


def torch_layers(layer, number):
    """Pairs of name and PyTorch layer that do what a Keras layer does."""
    import torch
    from torch import nn

    weights = [torch.from_numpy(np.array(w)) for w in layer.get_weights()]
    kind = type(layer).__name__
    if kind == "Rescaling":
        found = [rescaling(layer.scale, layer.offset)]
    elif kind == "Conv2D":
        pad, convolution = same_convolution(layer)
        convolution.weight.data = weights[0].permute(3, 2, 0, 1).contiguous()
        found = [pad, convolution]
    elif kind == "BatchNormalization":
        norm = nn.BatchNorm2d(
            len(weights[0]), eps=layer.epsilon, momentum=1 - layer.momentum
        )
        # gamma, beta, mean, variance
        norm.weight.data, norm.bias.data = weights[:2]
        norm.running_mean, norm.running_var = weights[2:]
        return [(f"bn{number}", norm)]
    elif kind == "LeakyReLU":
        found = [nn.LeakyReLU(layer.negative_slope)]
    elif kind == "AveragePooling2D":
        found = [nn.AvgPool2d(layer.pool_size)]
    elif kind == "Flatten":
        found = [nn.Flatten()]
    elif kind == "Dropout":
        found = [nn.Dropout(layer.rate)]
    elif kind == "Dense":
        found = [dense(layer, *weights)]
    else:
        raise ValueError(f"No such layer in PyTorch here: {kind}")
    activation = getattr(layer, "activation", keras.activations.linear)
    if activation is keras.activations.relu:
        found.append(nn.ReLU())
    elif activation is not keras.activations.linear and kind != "LeakyReLU":
        raise ValueError(f"No such activation in PyTorch here: {activation}")
    return [(f"layer{number}_{i}", part) for i, part in enumerate(found)]


def rescaling(scale, offset):
    """A layer x -> scale x + offset."""
    from torch import nn

    class Rescaling(nn.Module):
        def forward(self, x):
            return x * scale + offset

    return Rescaling()


def same_convolution(layer):
    """Padding as TensorFlow's "same", which is more to the right; Conv2d."""
    from torch import nn

    (kernel, _), (stride, _) = layer.kernel_size, layer.strides
    pads = []
    for size in reversed(layer.input.shape[1:3]):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        pads += [total // 2, total - total // 2]
    channels = layer.input.shape[-1]
    return nn.ZeroPad2d(tuple(pads)), nn.Conv2d(
        channels, layer.filters, kernel, stride, bias=False
    )


def dense(layer, kernel, bias):
    """A linear layer; PyTorch flattens channels first, Keras channels last."""
    from torch import nn

    linear = nn.Linear(*kernel.shape)
    before = layer.input._keras_history.operation
    while type(before).__name__ == "Dropout":
        before = before.input._keras_history.operation
    if type(before).__name__ == "Flatten":
        shape = before.input.shape[1:]
        kernel = kernel.reshape(*shape, -1).permute(2, 0, 1, 3).flatten(0, 2)
    linear.weight.data = kernel.T.contiguous()
    linear.bias.data = bias
    return linear


def torch_accuracy(network, test):
    """Accuracy in % on the test examples, which come in batches."""
    import torch

    network.eval()
    right = number = 0
    with torch.no_grad():
        for x, labels in test.as_numpy_iterator():
            answers = network(to_torch(x))
            if isinstance(answers, dict):
                answers = answers["logits"]
            answers = answers.argmax(dim=1).numpy()
            right += int((answers == labels).sum())
            number += len(labels)
    return 100 * right / number


def run_semilearn(task):
    """A method of USB's package, in its own steps."""
    # Loggers that it imports and that nothing here uses.
    for name in ("aim", "wandb"):
        sys.modules.setdefault(name, types.ModuleType(name))
    needs("semilearn")
    with contextlib.redirect_stdout(io.StringIO()):
        import semilearn

        network = torch_network(task.network(), named=True)
        algorithm = semilearn.get_algorithm(
            semilearn.get_config(semilearn_config(task)),
            lambda **_: copy.deepcopy(network),
            None,
            logging.getLogger("semilearn"),
        )
    algorithm.model.train()
    algorithm.call_hook("before_run", "EMAHook")
    clock = Clock()
    names = "x_lb", "y_lb", "x_ulb_w", "x_ulb_s"
    for batch in task.tensors(clock):
        algorithm.out_dict, algorithm.log_dict = algorithm.train_step(
            **dict(zip(names, batch, strict=True))
        )
        for hook in ("ParamUpdateHook", "EMAHook"):
            algorithm.call_hook("after_train_step", hook)
        algorithm.it += 1
    times = clock.stop()
    return algorithm.ema_model, algorithm.model, times


def semilearn_config(task):
    """The numbers as its `get_config` wants them."""
    recipe = task.recipe
    momentum = recipe.masking_momentum
    if momentum is None:  # as ours are by default
        momentum = 1 - 1 / min(max(recipe.steps / 20, 1), 1000)
    return {
        "algorithm": task.method,
        "dataset": "of_ours",
        "distributed": False,
        "save_name": "rivals",
        "num_classes": task.found.num_classes,
        "num_train_iter": recipe.steps,
        "num_warmup_iter": recipe.warmup_steps,
        "batch_size": recipe.labeled_batch_size,
        "uratio": recipe.unlabeled_batch_size // recipe.labeled_batch_size,
        "lr": recipe.teacher_learning_rate,
        "momentum": recipe.momentum,
        "weight_decay": recipe.weight_decay,
        "clip_grad": recipe.clip_norm or 0,
        "ema_m": recipe.ema_momentum,
        "ulb_loss_ratio": recipe.consistency_weight,
        **semilearn_thresholds(task.method, recipe, momentum),
    }


def semilearn_thresholds(method, recipe, momentum):
    """Those of a method; the others of its numbers are its own defaults."""
    if method == "fixmatch":
        return {"p_cutoff": recipe.threshold, "T": 0.5, "hard_label": True}
    if method == "uda":
        return {
            "p_cutoff": recipe.threshold,
            "T": recipe.temperature,
            "tsa_schedule": "none",
        }
    found = {"T": 0.5, "hard_label": True, "ema_p": momentum}
    if method == "freematch":
        return found | {
            "ent_loss_ratio": 0.01,
            "use_quantile": False,
            "clip_thresh": False,
        }
    return found | {
        "dist_align": True,
        "dist_uniform": True,
        "n_sigma": 2,
        "per_class": False,
    }


def run_kekmodel(task):
    """Meta Pseudo Labels by kekmodel's loop, without its last stage."""
    import torch

    module = kekmodel()
    args = kekmodel_arguments(module, task.recipe)
    teacher = torch_network(task.network("teacher"))
    student = torch_network(task.network("student"))
    average = module.ModelEMA(student, args.ema)
    optimizers, schedules = [], []
    for network, rate, wait in (
        (teacher, args.teacher_lr, 0),
        (student, args.student_lr, args.student_wait_steps),
    ):
        optimizers.append(
            torch.optim.SGD(
                kekmodel_groups(network, args.weight_decay),
                lr=rate,
                momentum=args.momentum,
                nesterov=args.nesterov,
            )
        )
        schedules.append(
            module.get_cosine_schedule_with_warmup(
                optimizers[-1], args.warmup_steps, args.total_steps, wait
            )
        )
    clock = Clock()
    loaders = two_loaders(task.tensors(clock))
    scaler = functools.partial(module.amp.GradScaler, enabled=False)
    with contextlib.suppress(FinishedError):
        module.train_loop(
            *(args, *loaders, None, None, teacher, student, average),
            *(module.create_loss_fn(args), *optimizers, *schedules),
            *(scaler(), scaler()),
        )
    return average, student, clock.stop()


def kekmodel():
    """The module `main` of kekmodel's repository, which is no package."""
    if not FLAGS.kekmodel:
        raise MissingError("--kekmodel names no clone of MPL-pytorch")
    folder = os.path.abspath(FLAGS.kekmodel)
    sys.path.insert(0, folder)
    try:
        module = importlib.import_module("main")
    finally:
        sys.path.remove(folder)

    def finished(*_):
        raise FinishedError

    module.evaluate = finished  # it would be saved and finetuned then
    module.tqdm = functools.partial(module.tqdm, file=io.StringIO())
    return module


def kekmodel_arguments(module, recipe):
    """Its flags, as on its command line, and what its `main` adds."""
    given = {
        "name": "rivals",
        "total-steps": recipe.steps,
        "eval-step": recipe.steps,
        "batch-size": recipe.labeled_batch_size,
        "teacher_lr": recipe.teacher_learning_rate,
        "student_lr": recipe.student_learning_rate,
        "momentum": recipe.momentum,
        "weight-decay": recipe.weight_decay,
        "ema": recipe.ema_momentum,
        "warmup-steps": recipe.warmup_steps,
        "student-wait-steps": recipe.student_wait,
        "grad-clip": recipe.clip_norm or 1e9,
        "label-smoothing": recipe.label_smoothing,
        "threshold": recipe.threshold,
        "temperature": recipe.temperature,
        "lambda-u": recipe.consistency_weight,
        "uda-steps": max(recipe.consistency_ramp_steps, 1),
    }
    line = [f"--{name}={value}" for name, value in given.items()]
    args = module.parser.parse_args([*line, "--nesterov"])
    args.device = "cpu"
    args.world_size = 1
    args.writer = types.SimpleNamespace(add_scalar=lambda *_: None)
    return args


def kekmodel_groups(network, decay):
    """Parameters with weight decay, and those of BatchNorm without."""
    parts = {False: [], True: []}
    for name, parameter in network.named_parameters():
        parts["bn" in name].append(parameter)
    return [
        {"params": parts[False], "weight_decay": decay},
        {"params": parts[True], "weight_decay": 0.0},
    ]


def two_loaders(batches):
    """Loaders of labeled and of unlabeled batches, which are read in turns."""
    views = []

    def labeled():
        for x, y, weak, strong in batches:
            views.append(((weak, strong), None))
            yield x, y

    def unlabeled():
        while True:
            yield views.pop()

    return labeled(), unlabeled()


def run_lamda(task):
    """FixMatch of LAMDA-SSL."""
    needs("LAMDA_SSL")
    from LAMDA_SSL.Algorithm.Classification.FixMatch import FixMatch

    FixMatch(network=torch_network(task.network()))
    raise NotImplementedError("it can be imported again: write its training")


def run_sklearn(task):
    """Logistic regression, and perhaps scikit-learn's self-training."""
    needs("sklearn")
    from sklearn.linear_model import LogisticRegression
    from sklearn.semi_supervised import SelfTrainingClassifier

    def features(examples):
        if examples.ndim == 2:
            return examples
        return examples.reshape(len(examples), -1) / 255

    x, y = task.found.labeled
    classifier = LogisticRegression(max_iter=1000)
    x = features(x)
    if task.method == "self_training":
        classifier = SelfTrainingClassifier(classifier)
        rest = features(task.found.unlabeled)
        x, y = np.concatenate([x, rest]), np.append(y, np.full(len(rest), -1))
    clock = Clock()
    classifier.fit(x, y)
    times = clock.stop()
    test = zip(*task.found.test.as_numpy_iterator(), strict=True)
    x, labels = map(np.concatenate, test)
    accuracy = 100 * classifier.score(features(x), labels)
    return {"accuracy": accuracy, "steps": ""} | times


def run_ours(task):
    """A method of ours."""
    two = task.method in recipes.WITH_STUDENT
    clock = Clock()
    if recipes.for_method(task.recipe, task.method).label_spreading:
        found = datasets.spread_labels(task.found).data
        task = dataclasses.replace(task, found=found)
    model = recipes.make_model(
        task.recipe,
        task.found.unlabeled.shape[1:],
        task.found.num_classes,
        method=task.method,
        seed=task.seed,
        steps_per_execution=10,
    )
    steps = task.recipe.steps
    model.fit(
        task.batches(
            steps_per_epoch=steps, meta=task.recipe.meta if two else None
        ),
        epochs=1,
        verbose=0,
        callbacks=[
            keras.callbacks.LambdaCallback(
                on_train_batch_end=lambda batch, logs: clock.step()
            )
        ],
    )
    times = clock.stop()
    last = getattr(model, task.recipe.average_of) if two else model.model
    found = {"accuracy": model.averaged, "last": last}
    for name, network in found.items():
        counts = evaluation.confusion_matrix(
            network, task.found.test, task.found.num_classes
        )
        found[name] = 100 * evaluation.accuracy_of(counts)
    return found | times


RUN = {
    "semilearn": run_semilearn,
    "kekmodel": run_kekmodel,
    "LAMDA-SSL": run_lamda,
    "sklearn": run_sklearn,
    "mpl_keras": run_ours,
}


def needs(name):
    """Raises unless there is such a package."""
    if importlib.util.find_spec(name) is None:
        raise MissingError(f"{name} is not installed")


def version_of(package):
    """The package with its version."""
    if package == "mpl_keras":
        return f"mpl_keras {mpl_keras.__version__}"
    if package == "kekmodel":
        done = subprocess.run(
            ["git", "-C", FLAGS.kekmodel, "rev-parse", "--short", "HEAD"],
            capture_output=True,
            text=True,
        )
        return f"kekmodel/MPL-pytorch {done.stdout.strip()}"
    name = "scikit-learn" if package == "sklearn" else package
    return f"{name} {importlib.metadata.version(name)}"


def figures(rival, task):
    """The columns of a run that it has found out."""
    package = rival.split(":")[0]
    found = RUN[package](task)
    if isinstance(found, tuple):
        evaluated, last, times = found
        found = times | {
            "accuracy": torch_accuracy(evaluated, task.found.test),
            "last": torch_accuracy(last, task.found.test),
        }
    return {"steps": task.recipe.steps, "package": version_of(package)} | found


def with_stand_in(rival, task):
    """The same; where the rival fails, of its method in our code."""
    try:
        return figures(rival, task)
    except MissingError:
        raise
    except Exception as error:
        if rival.startswith((_OURS, "sklearn")):
            raise
        note = described(error)
        print(f"{rival} does not run: {note}", flush=True)
        theirs = version_of(rival.split(":")[0])
        if task.setting.layers is not None:  # the recipe's network is another
            return {"package": theirs, "accuracy": "", "note": note}
        found = figures(_OURS + task.method, task)
        found["package"] += f", in place of {theirs}"
        return found | {"note": note}


def described(error):
    """An error in a line, without the paths of a machine."""
    text = re.sub(r"\s*\(/[^)]*\)", "", f"{type(error).__name__}: {error}")
    return " ".join(text.split())


def rows_of(path):
    """Rows that are there."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def row_of(path, key):
    """The row of a run, or None."""
    rows = (row for row in rows_of(path) if key.items() <= row.items())
    return next(rows, None)


def steps_in(row, seconds):
    """How many steps a CPU makes in so many seconds, by a row."""
    first = float(row["first_step_cpu_seconds"])
    rest = float(row["cpu_seconds"]) - first
    step = rest / max(int(row["steps"]) - 1, 1)
    return max(10, 10 * round((seconds - first) / step / 10))


def make(path, rival, numbers, name, seed, seconds=None):
    """Makes a run unless it has its row; gives the row, or None."""
    package, method = rival.split(":")
    setting = settings.SETTINGS[name]
    same = {
        "rival": rival,
        "numbers": numbers,
        "setting": name,
        "seed": str(seed),
        "test": str(FLAGS.test),
    }
    steps = FLAGS.steps or setting.recipe.steps
    equal = {"budget": f"{steps:,}"}
    key = same | ({"budget": f"{seconds} s"} if seconds else equal)
    if (row := row_of(path, key)) is not None:
        return row
    if seconds:  # a step takes as long on each split
        of_any = {of: same[of] for of in ("rival", "numbers", "setting")}
        row = row_of(path, of_any | equal)
        if row is None or not row["steps"]:
            row = make(path, rival, numbers, name, seed)
        if row is None or not row["steps"]:
            return row
        steps = steps_in(row, seconds)
    recipe = recipe_of(setting, method, numbers, steps)
    found = setting.split(seed, validation=not FLAGS.test)
    task = Task(method, setting, recipe, found, seed)
    try:
        row = key | with_stand_in(rival, task)
    except MissingError as error:
        print(f"{rival} is left out: {error}", flush=True)
        return None
    keras.backend.clear_session()
    row = {name: tidy(row.get(name, "")) for name in COLUMNS}
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if not file.tell():
            writer.writeheader()
        writer.writerow(row)
    print(row, flush=True)
    return row


def tidy(value):
    """As text."""
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def main(_):
    """Makes the runs that are missing."""
    for name, known in (
        ("methods", METHODS),
        ("settings", SETTINGS),
        ("numbers", NUMBERS),
    ):
        wrong = sorted(set(getattr(FLAGS, name)) - set(known))
        if wrong:
            raise app.UsageError(
                f"--{name} must be of {', '.join(known)}, not {wrong[0]!r}"
            )
    # PyTorch needs none on a CPU; loaded after TensorFlow, it crashes.
    sys.modules.setdefault("triton", None)
    tf.config.threading.set_intra_op_parallelism_threads(FLAGS.threads)
    tf.config.threading.set_inter_op_parallelism_threads(FLAGS.threads)
    tf.config.experimental.enable_op_determinism()
    with contextlib.suppress(ImportError):
        import torch

        torch.set_num_threads(FLAGS.threads)
    os.environ |= {"FASHION": FLAGS.fashion, "MLBENCH": FLAGS.mlbench}
    first, last = map(int, FLAGS.seeds.split(":"))
    path = pathlib.Path(FLAGS.output)
    for seed in range(first, last):
        for name in FLAGS.settings:
            for rival in FLAGS.methods:
                for numbers in numbers_of(rival, FLAGS.numbers):
                    make(path, rival, numbers, name, seed, FLAGS.seconds)


if __name__ == "__main__":
    app.run(main)
