"""Two replicas with half the batch each are one with the whole batch."""

import subprocess
import sys
import textwrap

import pytest

# Logical devices can only be made before TensorFlow starts.
SCRIPT = """
import contextlib
import sys
import tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
import keras
import numpy as np
import mpl_keras
from mpl_keras import feedback
from mpl_keras.losses import ConsistencyLoss

layers = keras.layers
y = np.arange(200) % 3
x = np.random.default_rng(0).normal(size=(200, 6)) + 2 * np.eye(3, 6)[y]
x = x.astype("float32")
data = mpl_keras.datasets.from_arrays(
    x[:30], y[:30], x[30:120], test=(x[120:], y[120:]), num_classes=3
)

def make_net():
    return keras.Sequential([
        keras.Input((6,)),
        layers.Dense(16),
        layers.BatchNormalization(synchronized=True),
        layers.ReLU(),
        layers.Dense(3, kernel_regularizer="l2"),
    ])

def make_optimizer():
    # Clips: per replica before the sum it would be another gradient.
    return keras.optimizers.SGD(
        0.1, momentum=0.9, nesterov=True, global_clipnorm=0.5
    )

def train(form, scope):
    with scope:
        keras.utils.set_random_seed(0)
        model = mpl_keras.MetaPseudoLabels(
            make_net(),
            make_net(),
            feedback=form,
            # Sampled labels would be drawn anew on each replica.
            pseudo_labels="soft" if "soft" in form.kinds else "argmax",
            consistency=ConsistencyLoss(
                0.7, 0.3, distribution_alignment="labeled"
            ),
            supervised_threshold=0.9,
        )
        model.compile(make_optimizer(), make_optimizer(), metrics=["accuracy"])
    batches = mpl_keras.pipeline.training_dataset(
        data, 8, 16, steps_per_epoch=10, seed=0
    )
    history = model.fit(
        batches, epochs=2, verbose=0, validation_data=data.test
    ).history
    return [w.numpy() for w in model.weights], history

form = {form}
whole, one = train(form, contextlib.nullcontext())
with strategy.scope():
    form = {form}
halves, two = train(form, strategy.scope())
difference = max(np.abs(a - b).max() for a, b in zip(whole, halves))
print("difference", difference)
sys.stdout.flush()
if difference > 1e-5:
    sys.exit("weights differ by %g" % difference)
for name in one:
    if not np.allclose(one[name], two[name], rtol=1e-3, atol=1e-5):
        sys.exit("%s differs: %s and %s" % (name, one[name], two[name]))
"""


@pytest.mark.parametrize(
    "form",
    [
        "feedback.HypergradientFeedback(0.5)",
        "feedback.LossDifferenceFeedback(0.5, normalization='std')",
        "feedback.CosineFeedback(0.5)",
    ],
)
def test_two_replicas_are_one(form, tmp_path):
    script = tmp_path / "train.py"
    script.write_text(textwrap.dedent(SCRIPT.replace("{form}", form)))
    result = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr[-3000:]
