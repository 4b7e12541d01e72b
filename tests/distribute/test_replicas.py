"""Two replicas with half the batch each are one with the whole batch."""

import keras
import pytest
import scripts
import tensorflow as tf

# Logical devices can only be made before TensorFlow starts.
SETUP = """
import contextlib
import sys
import tensorflow as tf
from mpl_keras import distribute
strategy = distribute.make_strategy("auto", virtual_devices=2)
import keras
import numpy as np
import mpl_keras
from mpl_keras import datasets, feedback, pipeline
from mpl_keras.losses import ConsistencyLoss

layers = keras.layers
y = np.arange(221) % 3
x = np.random.default_rng(0).normal(size=(221, 6)) + 2 * np.eye(3, 6)[y]
x = x.astype("float32")
# 101 to test with: the last batch of 1 leaves a replica without examples.
data = datasets.from_arrays(
    x[:30], y[:30], x[30:120], test=(x[120:], y[120:]), num_classes=3
)
evaluation = datasets.evaluation_batches(x[120:], y[120:], 20)

def make_net(synchronized=True, **options):
    # No ReLU: one whose input is 0 to within rounding parts two trainings.
    return keras.Sequential([
        keras.Input((6,)),
        layers.Dense(16),
        layers.BatchNormalization(synchronized=synchronized, **options),
        layers.Activation("silu"),
        layers.Dense(3, kernel_regularizer="l2"),
    ])

def make_optimizer():
    # Clips: per replica before the sum it would be another gradient.
    return keras.optimizers.SGD(
        0.1, momentum=0.9, nesterov=True, global_clipnorm=0.5
    )

def make_model(form, **options):
    keras.utils.set_random_seed(0)
    model = mpl_keras.MetaPseudoLabels(
        make_net(),
        make_net(),
        feedback=form,
        # Sampled labels would be drawn anew on each replica.
        pseudo_labels="soft" if "soft" in form.kinds else "argmax",
        consistency=ConsistencyLoss(0.7, 0.3, distribution_alignment="labeled"),
        supervised_threshold=0.9,
    )
    model.compile(
        make_optimizer(), make_optimizer(), metrics=["accuracy"], **options
    )
    return model

def make_data(labeled=8, unlabeled=16):
    return pipeline.training_dataset(
        data, labeled, unlabeled, steps_per_epoch=25, seed=0
    )
"""

SAME = """
forms = {"hypergradient": lambda: feedback.HypergradientFeedback(0.5)}

def train(form, scope, **options):
    with scope:
        model = make_model(form(), **options)
    history = model.fit(
        make_data(), epochs=2, verbose=0, validation_data=evaluation
    ).history
    return [w.numpy() for w in model.weights], history

for name, form in forms.items():
    whole, one = train(form, contextlib.nullcontext())
    halves, two = train(form, strategy.scope(), steps_per_execution=5)
    difference = max(np.abs(a - b).max() for a, b in zip(whole, halves))
    print(name, "differs by", difference, flush=True)
    if difference > 1e-5:
        sys.exit("weights differ by %g" % difference)
    if sorted(one) != sorted(two):
        sys.exit("%s and %s" % (sorted(one), sorted(two)))
    for name in one:
        if not np.allclose(one[name], two[name], rtol=1e-3, atol=1e-5):
            sys.exit("%s differs: %s and %s" % (name, one[name], two[name]))
"""

ERRORS = """
def refused(*parts, batches=None):
    try:
        model.fit(batches or make_data(), verbose=0)
    except ValueError as error:
        for part in parts:
            if part not in str(error):
                sys.exit("%r is not in: %s" % (part, error))
    else:
        sys.exit("%s was not refused" % (parts,))
    if int(model.step.numpy()):
        sys.exit("a step was spent")

form = feedback.HypergradientFeedback()
with strategy.scope():
    model = make_model(form, steps_per_execution=4)
refused("`steps_per_epoch` must be a multiple of", ", 4", "=25")
with strategy.scope():
    model = make_model(form, jit_compile=True)
refused("`jit_compile` must be False or 'auto' under a strategy")
with strategy.scope():
    model = make_model(form)
refused("multiple of 2", "labeled batch size=7", batches=make_data(7))
refused("multiple of 2", "weak batch size=15", batches=make_data(8, 15))
model = make_model(form)
with strategy.scope():
    refused("within `strategy.scope()`", "the model, made outside")
net = make_net()
with strategy.scope():
    model = mpl_keras.UDA(net)
    model.compile("sgd")
refused("within `strategy.scope()`", "model, made outside of it")
with strategy.scope():
    model = mpl_keras.UDA(make_net(synchronized=False, name="alone"))
    model.compile("sgd")
refused("`synchronized=True` under 2 replicas", "model with ['alone']")

# What is made, or compiled, outside of the scope.
outside = feedback.LossDifferenceFeedback()
with strategy.scope():
    model = make_model(outside)
refused("within `strategy.scope()`", outside.name, "made outside of it")
with strategy.scope():
    model = make_model(form)
optimizer = make_optimizer()
metric = keras.metrics.SparseCategoricalAccuracy(name="share")
optimizer.build(model.teacher.trainable_variables)

def compile_refused(part, scope, teacher_optimizer=None, **options):
    try:
        with scope:
            model.compile(
                teacher_optimizer or make_optimizer(),
                make_optimizer(),
                **options,
            )
        model.fit(make_data(), verbose=0)
    except ValueError as error:
        if part not in str(error) or "strategy.scope()" not in str(error):
            sys.exit("%r is not in: %s" % (part, error))
    else:
        sys.exit("%r was not refused" % part)

compile_refused("optimizer`, made outside", strategy.scope(), optimizer)
compile_refused("'share', made outside", strategy.scope(), metrics=[metric])
compile_refused("called outside", contextlib.nullcontext())

# Replicas draw dropout masks of their own, one after the other too.
with strategy.scope():
    net = keras.Sequential([
        keras.Input((1000,)), layers.Dropout(0.5), layers.Dense(2),
    ])
    model = mpl_keras.UDA(net)
    model.compile("sgd")
    model.make_train_function()
call = tf.function(lambda: strategy.run(
    lambda: net.layers[0](tf.ones((1, 1000)), training=True)
))
masks = [
    mask.numpy()
    for _ in range(2)
    for mask in strategy.experimental_local_results(call())
]
for i in range(4):
    for j in range(i):
        if np.mean(masks[i] == masks[j]) > 0.7:
            sys.exit("masks %d and %d are the same" % (i, j))

# A metric whose local values differ comes back as it was.
from mpl_keras.distribute import state
with strategy.scope():
    metric = keras.metrics.Mean()
tf.function(lambda: strategy.run(lambda: metric.update_state(
    tf.cast(tf.distribute.get_replica_context().replica_id_in_sync_group, float)
)))()
kept = [state.local_values(v) for v in metric.variables]
metric.reset_state()
for variable, values in zip(metric.variables, kept):
    state.assign_local_values(variable, values)
again = [state.local_values(v) for v in metric.variables]
if kept != again or kept != [[0.0, 1.0], [1.0, 1.0]]:
    sys.exit("%s and %s" % (kept, again))
"""


def python(code, tmp_path):
    options = tf.config.optimizer.get_experimental_options()
    code = f"""
import tensorflow as tf
tf.config.optimizer.set_experimental_options({options})
{code}"""
    result = scripts.run_code(code, tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr[-3000:]


RULES = """
from mpl_keras.losses import (
    FlexMatchThreshold, FreeMatchThreshold, SoftMatchWeight,
)
rules = {
    "flexmatch": {"threshold": FlexMatchThreshold(0.5, 0.8)},
    "freematch": {
        "threshold": FreeMatchThreshold(0.8, fairness_weight=0.5),
        "distribution_alignment": "learned",
    },
    "softmatch": {
        "threshold": SoftMatchWeight(0.8),
        "distribution_alignment": "labeled_predictions",
        "align_targets": False,
    },
}
"""
# The loss of both models by itself: its state, its value and its gradients.
MASKING = (
    RULES
    + """
from mpl_keras.models.alignment import DistributionAlignment
from mpl_keras.models.masking import AdaptiveMasking
from mpl_keras.models.objective import UDAObjective

rng = np.random.default_rng(0)
steps = [
    {
        name: (2 * rng.normal(size=(size, 3)) + [1, 0, 0]).astype("float32")
        for name, size in (("labeled", 6), ("weak", 16), ("strong", 16))
    }
    for _ in range(6)
]
labels = np.array([0, 1, 2, 0, 1, 0])

def train(options, scope, replicas):
    def make_state(name, shape, initializer):
        variable = keras.Variable(
            initializer, shape=shape, trainable=False, name=name,
            aggregation="only_first_replica",
        )
        state.append(variable)
        return variable

    def part(rows, i):
        size = len(rows) // replicas
        return rows[i * size:(i + 1) * size]

    def of_replica(logits, labels):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss, shown = objective(logits, labels, None, 0)
        gradients = tape.gradient(loss, logits, unconnected_gradients="zero")
        return loss, shown, gradients

    state = []
    with scope:
        loss = ConsistencyLoss(0.7, hard_targets=True, **options)
        objective = UDAObjective(
            loss, 2.0, None, 0.0,
            DistributionAlignment(
                loss.distribution_alignment, 0.8, 3, make_state
            ),
            AdaptiveMasking(loss, 3, make_state),
        )

    def whole(logits, labels):
        if replicas == 1:
            return [of_replica(logits, labels)]
        return strategy.run(of_replica, (logits, labels))

    step = tf.function(whole)
    seen = []
    for logits in steps:
        values = [
            tf.nest.map_structure(
                lambda rows: tf.constant(part(rows, i)), (logits, labels)
            )
            for i in range(replicas)
        ]
        if replicas == 2:
            values = tf.nest.map_structure(
                lambda *parts: (
                    strategy.experimental_distribute_values_from_function(
                        lambda context: parts[
                            context.replica_id_in_sync_group
                        ]
                    )
                ),
                *values,
            )
            results = step(*values)
            local = [
                tf.nest.map_structure(
                    lambda value: strategy.experimental_local_results(value)[i],
                    results,
                )
                for i in range(2)
            ]
        else:
            local = step(*values[0])
        seen.append(np.mean([float(loss) for loss, _, _ in local]))
        seen += [
            np.mean([float(shown[name]) for _, shown, _ in local])
            for name in sorted(local[0][1])
        ]
        for view in sorted(steps[0]):
            rows = [gradients[view].numpy() for _, _, gradients in local]
            seen.append(np.concatenate(rows) / replicas)
    return seen + [v.numpy() for v in state]

for name in names:
    options = rules[name]
    one = train(options, contextlib.nullcontext(), 1)
    two = train(options, strategy.scope(), 2)
    difference = max(np.abs(a - b).max() for a, b in zip(one, two))
    print(name, "differs by", difference, flush=True)
    if len(one) != len(two) or not difference < 1e-5:
        sys.exit("%s differs by %g" % (name, difference))
"""
)
TRAININGS = RULES + SAME.replace(
    "def train(form, scope, **options):",
    """
def train(options, scope, **more):
    with scope:
        keras.utils.set_random_seed(0)
        model = mpl_keras.UDA(
            make_net(), consistency=ConsistencyLoss(0.7, **options)
        )
        model.compile(make_optimizer(), metrics=["accuracy"], **more)
    return fit(model)

def fit(model):""",
).replace(
    """    with scope:
        model = make_model(form(), **options)
""",
    "",
).replace("forms.items", "rules.items")

# The prior of each unlabeled example goes where the example goes.
PRIOR = (
    """
data = datasets.spread_labels(data, strength=1.0).data
if "prior" not in next(iter(make_data()))[0]:
    sys.exit("no prior in a batch")
"""
    + SAME
)
OTHERS = """
forms = {
    "cosine": lambda: feedback.CosineFeedback(0.5),
    "loss difference":
        lambda: feedback.LossDifferenceFeedback(0.5, normalization="std"),
}
"""


@pytest.mark.slow_cases(
    "same",  # "prior" is the same, and more
    "others",
    "flexmatch",
    "trainings",
)
@pytest.mark.parametrize(
    "code",
    [
        SAME,
        PRIOR,
        SAME.replace("\ndef train", f"{OTHERS}\ndef train"),
        ERRORS,
        "names = ['freematch', 'softmatch']" + MASKING,
        "names = ['flexmatch']" + MASKING,  # its state is like the others'
        TRAININGS,
    ],
    ids=[
        "same",
        "prior",
        "others",
        "errors",
        "masking",
        "flexmatch",
        "trainings",
    ],
)
def test_two_replicas_are_one(code, tmp_path):
    python(SETUP + code, tmp_path)


def test_the_hooks_are_those_that_were_checked():
    """A new Keras that renames one of them must not go unnoticed."""
    optimizer = keras.optimizers.SGD()
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dropout(0.5)])
    model.compile("sgd", "mse", metrics=["mse"])
    for owner, names in (
        (optimizer, ["_all_reduce_sum_gradients", "_trainable_variables"]),
        (
            model,
            [
                "_compile_metrics",
                "_distribute_strategy",
                "_flatten_layers",
                "_loss_tracker",
                "_maybe_symbolic_build",
                "make_test_function",
                "make_train_function",
            ],
        ),
        (model.layers[0], ["_seed_generators"]),
    ):
        for name in names:
            assert hasattr(owner, name), f"{owner} has no {name}"
    assert model.layers[0]._seed_generators, "Dropout's seed is not found"


DETERMINISM = """
import keras
import numpy as np
import tensorflow as tf
tf.config.experimental.enable_op_determinism()
from mpl_keras import augment, datasets, pipeline, recipes

x = np.random.default_rng(0).integers(0, 255, (40, 16, 16, 3)).astype("uint8")
images = datasets.from_arrays(
    x, np.arange(40) % 4, x, views=augment.cifar_views(16)
)

def train():
    recipe = recipes.adapt(
        recipes.get("digits"),
        steps=5,
        feedback="loss_difference",
        teacher_dropout=0.2,
        student_dropout=0.2,
    )
    model = recipes.make_model(recipe, (16, 16, 3), 4, seed=3)
    batches = pipeline.training_dataset(images, 8, 16, steps_per_epoch=5)
    model.fit(batches, verbose=0)
    return [w.numpy() for w in model.weights]

for a, b in zip(train(), train()):
    assert np.array_equal(a, b)
"""


@pytest.mark.slow
def test_one_seed_gives_one_result(tmp_path):
    python(DETERMINISM, tmp_path)
