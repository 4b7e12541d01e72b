"""A step that goes bad leaves no trace, on one replica or on two."""

import pytest
import scripts

SCRIPT = """
import contextlib
import sys
import tensorflow as tf
REPLICAS, POLICY = {replicas}, {policy!r}
scope = contextlib.nullcontext
if REPLICAS > 1:
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * REPLICAS,
    )
    scope = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope
import keras
import numpy as np
import mpl_keras
from mpl_keras import feedback
from mpl_keras.distribute import state as model_state
keras.config.set_dtype_policy(POLICY)
layers = keras.layers

def net(seed):
    return keras.Sequential([
        keras.Input((6,)),
        layers.Dense(16),
        layers.BatchNormalization(synchronized=REPLICAS > 1),
        layers.ReLU(),
        layers.Dropout(0.1, seed=seed),
        layers.Dense(3, dtype="float32"),
    ])

with scope():
    keras.utils.set_random_seed(0)
    model = mpl_keras.MetaPseudoLabels(
        net(1), net(2), feedback=feedback.LossDifferenceFeedback(0.5)
    )
    model.compile(
        keras.optimizers.Adam(0.01),
        keras.optimizers.SGD(0.1, momentum=0.9),
        metrics=["accuracy"],
    )
x = np.random.RandomState(0).normal(size=(64, 6)).astype("float32")
y = np.arange(64) % 3

def fit(steps, bad):
    strong = x.copy()
    if bad:
        strong[50, 2] = np.nan  # of the second replica
    views = dict(labeled=x, weak=x, strong=strong)
    batches = tf.data.Dataset.from_tensors((views, y)).repeat(steps)
    return model.fit(batches, steps_per_epoch=steps, verbose=0).history

def state():
    # Fit begins by emptying the metrics; the scale is to change.
    others = model_state.metric_variables(model)
    others += model_state.loss_scale_variables(model)
    others += [model.step, model.bad_steps, model.safeguard._bad_in_row]
    others = {{id(v) for v in others}}
    return [
        (v.path, np.array(v.numpy()))
        for v in model_state.state_variables(model)
        if id(v) not in others
    ]

fit(5, bad=False)
before = state()
history = fit(1, bad=True)
for (path, old), (_, new) in zip(before, state(), strict=True):
    if not np.array_equal(old, new):
        sys.exit("%s has changed" % path)
if history["bad_steps"] != [1] or int(model.bad_steps.numpy()) != 1:
    sys.exit("counted %s" % history["bad_steps"])
history = fit(3, bad=False)
if not np.isfinite(history["student_loss"][-1]):
    sys.exit("it did not go on: %s" % history)
if all(np.array_equal(a[1], b[1]) for a, b in zip(before, state())):
    sys.exit("it did not go on")
model.safeguard.limit = 3
try:
    fit(12, bad=True)
except FloatingPointError as error:
    print(error)
else:
    sys.exit("it did not stop")
"""


@pytest.mark.parametrize(
    ("replicas", "policy"),
    [(1, "float32"), (2, "float32"), (1, "mixed_float16")],
)
def test_a_bad_step_leaves_no_trace(replicas, policy, tmp_path):
    code = SCRIPT.format(replicas=replicas, policy=policy)
    result = scripts.run_code(code, tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr[-3000:]
    assert "the first was the teacher's logits, in step 9" in result.stdout
