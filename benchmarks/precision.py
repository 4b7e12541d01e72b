"""Compares trainings in half precision with those in float32, on digits.

    python benchmarks/precision.py

Meta Pseudo Labels by the recipe `digits`, 40 labels; one seed is one choice
of labels, one initialisation and one order for all precisions. The accuracy is
that of the averaged student after the last step, on the 540 test images.
"""

import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from absl import app, flags

from mpl_keras import datasets, pipeline, recipes

FLAGS = flags.FLAGS
flags.DEFINE_integer("seeds", 3, "0, 1, ...", lower_bound=1)
flags.DEFINE_integer("num_labeled", 40, "A multiple of 10.")
flags.DEFINE_integer("steps", 1500, "Of each training.")
flags.DEFINE_bool("jit_compile", False, "Compile with XLA.")
POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")


def accuracy(policy, seed):
    """Of one training, in %, and the steps that were undone."""
    keras.config.set_dtype_policy(policy)
    data = datasets.digits(FLAGS.num_labeled, seed=seed, dtype="uint8")
    recipe = recipes.adapt(recipes.get("digits"), steps=FLAGS.steps)
    model = recipes.make_model(
        recipe, (8, 8, 1), 10, seed=seed, jit_compile=FLAGS.jit_compile
    )
    train = pipeline.training_dataset(
        data,
        recipe.labeled_batch_size,
        recipe.unlabeled_batch_size,
        steps_per_epoch=FLAGS.steps,
        meta=recipe.meta,
        seed=seed,
    )
    model.fit(train, verbose=0)
    right = model.evaluate(data.test, verbose=0, return_dict=True)["accuracy"]
    return 100 * right, int(model.bad_steps.numpy())


def main(argv):
    """Trains by all policies and seeds, and compares the means."""
    del argv
    found = {policy: [] for policy in POLICIES}
    for seed in range(FLAGS.seeds):
        for policy in POLICIES:
            begin = time.time()
            right, bad = accuracy(policy, seed)
            found[policy].append(right)
            print(
                f"seed {seed}, {policy}: {right:.2f} %, {bad} bad steps, "
                f"{time.time() - begin:.0f} s",
                flush=True,
            )
    whole = np.mean(found["float32"])
    worst = 0.0
    for policy in POLICIES:
        difference = np.mean(found[policy]) - whole
        worst = max(worst, abs(difference))
        print(
            f"{policy}: {np.mean(found[policy]):.2f} %, {difference:+.2f} "
            "points from float32"
        )
    sys.exit(int(worst > 2))


if __name__ == "__main__":
    app.run(main)
