"""What a step of Meta Pseudo Labels costs, beside PyTorch and its own floor.

    pip install torch && python benchmarks/step.py --parts=pytorch
    python benchmarks/step.py --parts=feedbacks,growth,fit
    pip install xprof && python benchmarks/step.py --parts=profile

A step of WRN-28-2, 32x32 images, B labeled and 7 B unlabeled ones, by the
recipe `cifar10_4000` (the teacher labels the strong view), without views. Every
candidate is a process of its own, and they take turns, one step each, so that a
noisy machine is noisy to all: quoted are medians, and medians of the ratios.
The PyTorch step is ours, written as people write it (eager, all views in one
pass, the student's labeled images in the pass of its update), and once with
what our step leaves out left out there, too ("cut"). The floor is the number of
images that must pass forward, a backward pass being two of them, times the time
of a forward pass of one. `profile` leaves a picture of where a step's time goes
in --profile_dir, and the profile, which `tensorboard --logdir` shows.
"""

import collections
import dataclasses
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

from absl import app, flags

FLAGS = flags.FLAGS
PARTS = ("pytorch", "feedbacks", "growth", "precision", "fit", "profile")
flags.DEFINE_list("parts", list(PARTS), f"Of {', '.join(PARTS)}.")
flags.DEFINE_list("batch_sizes", ["8", "16"], "Labeled images in a step.")
flags.DEFINE_integer("rounds", 7, "Steps of each candidate.", lower_bound=1)
flags.DEFINE_string("profile_dir", "profile", "Where `profile` writes.")
flags.DEFINE_string("candidate", None, "Used by the script itself.")


def memory():
    """Largest memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# Candidates: each is a function that makes a step, and a forward pass.


def keras_candidate(batch_size, unlabeled, feedback, precision="float32"):
    """Our step, as `fit` runs it."""
    import keras
    import numpy as np
    import tensorflow as tf

    from mpl_keras import networks, recipes

    before = memory()
    keras.config.set_dtype_policy(precision)
    recipe = recipes.adapt(
        recipes.get("cifar10_4000"),
        labeled_batch_size=batch_size,
        unlabeled_batch_size=unlabeled,
        teacher_dropout=0.0,
        student_dropout=0.0,
        teacher_learning_rate=0.05,
        student_learning_rate=0.05,
        feedback=feedback,
    )
    # No schedules: the student moves from the first step on.
    recipe = dataclasses.replace(recipe, warmup_steps=0, student_wait=0)
    begin = time.perf_counter()
    model = recipes.make_model(recipe, (32, 32, 3), 10, jit_compile=False)
    random = np.random.RandomState(0)

    def images(count):
        pixels = random.randint(0, 256, (count, 32, 32, 3))
        return tf.constant(pixels, tf.float32)

    x = {
        "labeled": images(batch_size),
        "weak": images(unlabeled),
        "strong": images(unlabeled),
    }
    y = tf.constant(random.randint(0, 10, batch_size), tf.int32)
    batches = tf.data.Dataset.from_tensors((x, y)).repeat()
    model.fit(batches, steps_per_epoch=1, verbose=0)
    first = time.perf_counter() - begin
    batches = iter(batches)

    def step():
        return float(model.train_function(batches)["loss"])

    together = tf.concat(list(x.values()), axis=0)

    @tf.function
    def forward():
        with networks.fused_batch_norm(model.teacher):
            return model.teacher(together, training=True)

    forward()
    return step, lambda: forward().numpy(), before, first


def torch_candidate(batch_size, unlabeled, layout, cut):
    """The same step in PyTorch, eager."""
    import torch
    from torch import nn
    from torch.nn import functional as F  # noqa: N812

    before = memory()
    torch.set_num_threads(os.cpu_count())

    class Block(nn.Module):
        def __init__(self, before, after, stride):
            super().__init__()
            self.norms = nn.ModuleList(
                nn.BatchNorm2d(n, 1e-3, 0.01) for n in (before, after)
            )
            self.convs = nn.ModuleList(
                nn.Conv2d(*n, 3, s, 1, bias=False)
                for n, s in (((before, after), stride), ((after, after), 1))
            )
            self.shortcut = None
            if before != after or stride != 1:
                self.shortcut = nn.Conv2d(before, after, 1, stride, bias=False)

        def forward(self, x):
            active = F.leaky_relu(self.norms[0](x), 0.2)
            if self.shortcut is not None:
                x = self.shortcut(active)
            y = self.convs[0](active)
            return x + self.convs[1](F.leaky_relu(self.norms[1](y), 0.2))

    def network():
        layers, width = [nn.Conv2d(3, 32, 3, 1, 1, bias=False)], 32
        for filters, stride in ((32, 1), (64, 2), (128, 2)):
            for number in range(4):
                layers.append(Block(width, filters, 1 if number else stride))
                width = filters
        layers += [nn.BatchNorm2d(width, 1e-3, 0.01), nn.LeakyReLU(0.2)]
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10)]
        return nn.Sequential(*layers).to(memory_format=order)

    order = torch.contiguous_format
    if layout == "channels_last":
        order = torch.channels_last
    begin = time.perf_counter()
    teacher, student, average = network(), network(), network()
    average.load_state_dict(student.state_dict())
    optimizers = [
        torch.optim.SGD(
            net.parameters(), 0.05, 0.9, weight_decay=5e-4, nesterov=True
        )
        for net in (teacher, student)
    ]

    def images(count):
        return torch.randn(count, 3, 32, 32).to(memory_format=order)

    x_labeled, x_weak, x_strong = map(
        images, (batch_size, unlabeled, unlabeled)
    )
    y = torch.randint(0, 10, (batch_size,))

    def update(optimizer, loss):
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def student_loss(labels):
        """Labeled loss before, and the loss to learn from."""
        if cut:
            with torch.no_grad():
                old = F.cross_entropy(student(x_labeled), y)
            logits = student(x_strong)
        else:
            both = student(torch.cat([x_labeled, x_strong]))
            labeled, logits = both.split([batch_size, unlabeled])
            old = F.cross_entropy(labeled.detach(), y)
        return old, F.cross_entropy(logits, labels, label_smoothing=0.15)

    def step():
        if cut:
            with torch.no_grad():
                weak = teacher(x_weak)
            both = teacher(torch.cat([x_labeled, x_strong]))
            labeled, strong = both.split([batch_size, unlabeled])
        else:
            every = teacher(torch.cat([x_labeled, x_weak, x_strong]))
            labeled, weak, strong = every.split(
                [batch_size, unlabeled, unlabeled]
            )
        targets = torch.softmax(weak.detach() / 0.7, -1)
        mask = (targets.max(-1).values > 0.6).float()
        consistency = F.cross_entropy(strong, targets, reduction="none")
        own = F.cross_entropy(labeled, y, label_smoothing=0.15)
        own = own + 8 * (consistency * mask).mean()
        labels = torch.multinomial(torch.softmax(strong.detach(), -1), 1)[:, 0]
        old, loss = student_loss(labels)
        update(optimizers[1], loss)
        with torch.no_grad():
            new = F.cross_entropy(student(x_labeled), y)
        feedback = (old - new) * F.cross_entropy(strong, labels)
        update(optimizers[0], own + feedback)
        with torch.no_grad():
            for mean, now in zip(
                average.state_dict().values(),
                student.state_dict().values(),
                strict=True,
            ):
                if mean.is_floating_point():
                    mean.lerp_(now, 0.005)
        return float(new)

    def forward():
        with torch.no_grad():
            teacher(torch.cat([x_labeled, x_weak, x_strong]))

    step()
    return step, forward, before, time.perf_counter() - begin


def be_candidate(words):
    """What a process of its own does: a step for each line that comes."""
    kind, batch_size, unlabeled, *rest = words.split(":")
    sizes = int(batch_size), int(unlabeled)
    if kind == "keras":
        made = keras_candidate(*sizes, *rest)
    else:
        made = torch_candidate(*sizes, rest[0], rest[1:] == ["cut"])
    step, forward, before, first = made
    step()
    print(f"ready {first} {memory() - before}", flush=True)
    for line in sys.stdin:
        begin = time.perf_counter()
        (forward if line.strip() == "forward" else step)()
        print(time.perf_counter() - begin, flush=True)


class Candidate:
    """The other end of `be_candidate`."""

    def __init__(self, words):
        self.process = subprocess.Popen(
            [sys.executable, __file__, f"--candidate={words}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        line = self._line()
        while not line.startswith("ready"):
            line = self._line()
        self.first, self.memory = map(float, line.split()[1:])
        self.times, self.forwards = [], []

    def _line(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.process.args[-1]} failed; is torch installed?")
        return line

    def ask(self, what):
        """Runs a step or a forward pass, and notes the seconds."""
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()
        known = self.times if what == "step" else self.forwards
        known.append(float(self._line()))

    @property
    def median(self):
        """Seconds of a step."""
        return statistics.median(self.times)

    def end(self):
        """Ends the process."""
        self.process.stdin.close()
        self.process.wait()


def compare(candidates, rounds, forward=False):
    """Starts candidates by name, and lets them take turns."""
    made = {name: Candidate(words) for name, words in candidates.items()}
    for _ in range(rounds):
        for candidate in made.values():
            candidate.ask("step")
            if forward:
                candidate.ask("forward")
    for candidate in made.values():
        candidate.end()
    return made


def ratio(one, other):
    """Median of the ratios of steps that were made one after the other."""
    return statistics.median(
        a / b for a, b in zip(one.times, other.times, strict=True)
    )


# Parts.


def pytorch(batch_size):
    """Our step beside PyTorch's, the floor, and memory."""
    sizes = f"{batch_size}:{7 * batch_size}"
    made = compare(
        {
            "mpl_keras": f"keras:{sizes}:loss_difference",
            "PyTorch, channels last": f"torch:{sizes}:channels_last",
            "PyTorch, channels first": f"torch:{sizes}:channels_first",
            "PyTorch, channels last, cut": f"torch:{sizes}:channels_last:cut",
        },
        FLAGS.rounds,
        forward=True,
    )
    ours = made.pop("mpl_keras")
    print(f"B = {batch_size}: | s per step | ours over it | MB above import |")
    print(f"mpl_keras | {ours.median:.2f} | | {ours.memory:,.0f} |")
    for name, other in made.items():
        print(
            f"{name} | {other.median:.2f} | {ratio(ours, other):.2f} | "
            f"{other.memory:,.0f} ({ours.memory / other.memory:.2f}) |"
        )
    # Teacher: 8 B there and back, 7 B there. Student: 7 B there and back, and
    # B before and after.
    images = (8 * 3 + 7 + 7 * 3 + 1 + 1) * batch_size
    one = statistics.median(ours.forwards) / (15 * batch_size)
    print(
        f"floor: {images} forward passes of {1e3 * one:.2f} ms, "
        f"{images * one:.2f} s; ours is {ours.median / (images * one):.2f} of "
        f"it; first step after {ours.first:.0f} s"
    )


def feedbacks(batch_size):
    """What each form of feedback costs."""
    names = ("loss_difference", "none", "cosine", "per_example")
    made = compare(
        {
            name: f"keras:{batch_size}:{7 * batch_size}:{name}"
            for name in (*names, "hypergradient")
        },
        FLAGS.rounds,
    )
    for name, one in made.items():
        print(
            f"{name} | {one.median:.2f} s | "
            f"{ratio(one, made['loss_difference']):.2f} of loss_difference | "
            f"{one.memory:,.0f} MB"
        )


def growth(batch_size):
    """Time per image, as the batch and as the unlabeled ratio grow."""
    sizes = [(b, 7 * b) for b in (4, 8, 16, 32)]
    sizes += [(batch_size, batch_size * ratio) for ratio in (1, 3, 15)]
    made = compare(
        {size: f"keras:{size[0]}:{size[1]}:loss_difference" for size in sizes},
        min(FLAGS.rounds, 5),
    )
    for (labeled, unlabeled), one in made.items():
        print(
            f"{labeled} labeled, {unlabeled} unlabeled | {one.median:.2f} s | "
            f"{1e3 * one.median / (labeled + unlabeled):.2f} ms per image"
        )


def precision(batch_size):
    """Float32 beside bfloat16."""
    made = compare(
        {
            name: f"keras:{batch_size}:{7 * batch_size}:loss_difference:{name}"
            for name in ("float32", "mixed_bfloat16")
        },
        min(FLAGS.rounds, 5),
    )
    for name, one in made.items():
        print(
            f"{name} | {one.median:.2f} s | "
            f"{ratio(one, made['float32']):.2f} of float32 | "
            f"{one.memory:,.0f} MB"
        )


def fit(batch_size):
    """What `fit` costs over a loop of the compiled step, and an epoch's end."""
    import keras
    import tensorflow as tf

    import mpl_keras

    del batch_size
    data = mpl_keras.datasets.two_moons(6)

    def net():
        return keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])

    model = mpl_keras.MetaPseudoLabels(net(), net())
    model.compile("sgd", "sgd")
    batch = next(iter(mpl_keras.pipeline.training_dataset(data, 6, 32)))
    batches = tf.data.Dataset.from_tensors(batch).repeat()
    model.fit(batches, steps_per_epoch=10, verbose=0)
    loop, whole, many = [], [], []
    for _ in range(FLAGS.rounds):
        begin = time.perf_counter()
        iterator = iter(batches)
        for _ in range(1000):
            model.train_function(iterator)
        float(model.step.numpy())
        loop.append(time.perf_counter() - begin)
        for times, epochs in ((whole, 1), (many, 20)):
            begin = time.perf_counter()
            model.fit(
                batches,
                steps_per_epoch=1000 // epochs,
                epochs=epochs,
                verbose=0,
            )
            times.append(time.perf_counter() - begin)
    bare, one, twenty = map(statistics.median, (loop, whole, many))
    print(
        f"a loop of 1,000 steps {1e3 * bare:.0f} ms, `fit` {1e3 * one:.0f} "
        f"ms: {one - bare:+.3f} ms a step; in 20 epochs {1e3 * twenty:.0f} "
        f"ms: {1e3 * (twenty - one) / 19:.1f} ms an epoch's end"
    )


def profile(batch_size):
    """Where a step's time goes, by TensorBoard's profiler, as a picture."""
    import matplotlib.pyplot as plt
    import tensorflow as tf

    from mpl_keras import report

    try:
        from xprof.convert import raw_to_tool_data
    except ImportError:
        sys.exit("the profile is read by xprof: pip install xprof")
    step, *_ = keras_candidate(batch_size, 7 * batch_size, "loss_difference")
    step()
    steps, begin = min(FLAGS.rounds, 5), time.perf_counter()
    with tf.profiler.experimental.Profile(FLAGS.profile_dir):
        for _ in range(steps):
            step()
    seconds = (time.perf_counter() - begin) / steps
    found = pathlib.Path(FLAGS.profile_dir).rglob("*.xplane.pb")
    answer, _ = raw_to_tool_data.xspace_to_tool_data(
        [str(max(found, key=os.path.getmtime))], "framework_op_stats", {}
    )
    times = {
        name: seconds / steps
        for name, seconds in operations(json.loads(answer)[0]).items()
    }
    names = list(times)[:12]
    rest = sum(times.values()) - sum(times[name] for name in names)
    names, values = [*names, "all others"], [*map(times.get, names), rest]
    for name, value in zip(names, values, strict=True):
        print(f"{name} | {value:.3f} s | {value / sum(times.values()):.0%}")
    figure, axis = plt.subplots(figsize=(8, 4), layout="constrained")
    bars = axis.barh(names, values, color=report.color("network"))
    axis.bar_label(bars, [f"{v:.2f}" for v in values], padding=3, fontsize=8)
    axis.invert_yaxis()
    axis.margins(x=0.08)
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_xlabel("seconds of CPU time in a step, all threads")
    axis.set_title(
        f"A step of WRN-28-2, {batch_size} labeled and {7 * batch_size} "
        f"unlabeled images: {seconds:.2f} s",
        fontsize=10,
    )
    path = os.path.join(FLAGS.profile_dir, "operations.png")
    figure.savefig(path, dpi=120)
    print(f"{path}; tensorboard --logdir={FLAGS.profile_dir}")


def operations(table):
    """Seconds by kind of operation, the longest first."""
    names = [column["id"] for column in table["cols"]]
    times = collections.Counter()
    for row in table["rows"]:
        cells = dict(zip(names, (c["v"] for c in row["c"]), strict=True))
        times[cells["type"].removeprefix("_MklNative")] += (
            cells["total_self_time"] / 1e6
        )
    times.pop("IDLE", None)
    return dict(times.most_common())


def main(argv):
    """Runs the parts that are asked for."""
    if FLAGS.candidate:
        be_candidate(FLAGS.candidate)
        return
    unknown = set(FLAGS.parts) - set(PARTS)
    if argv[1:] or unknown:
        sys.exit(f"--parts must be of {', '.join(PARTS)}")
    for part in FLAGS.parts:
        print(f"\n{part}", flush=True)
        sizes = [int(size) for size in FLAGS.batch_sizes]
        for size in sizes if part == "pytorch" else sizes[:1]:
            globals()[part](size)


if __name__ == "__main__":
    app.run(main)
