"""What every test starts from: quiet logs, one seed, float32."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras  # noqa: E402  (the log level is read at import)
import pytest  # noqa: E402


@pytest.fixture(autouse=True)
def fresh_start():
    """The same random numbers for each test, and Keras's default dtypes."""
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")


# The modules that take longest, in this order. `make test` gives a worker one
# module after another: with the long ones first, all are busy until the end.
LONG = (
    "test_train",
    "test_training",
    "test_backup",
    "test_examples",
    "test_backbones",
    "test_replicas",
    "test_saving",
    "test_gradients",
    "test_strategy",
    "test_model",
    "test_tables",
    "test_safeguard",
)


# What the gate need not show on every change, because another case of the same
# test, or a script in `benchmarks/`, does: `make test-all` runs them.
SLOW = (
    "test_it_goes_on_and_is_repeated_bit_for_bit",
    "test_published_recipes_train",
    "test_strategy.py::test_two_workers_are_one",
    "test_train.py::test_workers_go_on_after_one_was_killed",
    "test_two_replicas_are_one[cosine]",
    "test_interrupted_and_whole_are_the_same[10-stops2]",
    "test_sigterm_makes_a_last_backup[test_batch_end]",
    "test_examples.py::test_tune",
    *(
        f"test_images_are_preprocessed_as_the_family_expects[{family}]"
        for family in ("ResNet50", "EfficientNetB0")
    ),
    "test_statistics_of_efficientnets_files[variance1-scale1]",
    "test_a_saved_model_goes_on_bit_for_bit[per example]",
    "test_a_saved_model_goes_on_bit_for_bit[cosine]",
    "test_xla_and_eager_agree_with_the_graph[CosineFeedback]",
    "test_xla_and_eager_agree_with_the_graph[PerExampleFeedback]",
    "test_a_damaged_backup_is_passed_over[empty]",
    "test_a_damaged_backup_is_passed_over[truncated]",
    "test_monte_carlo_of_the_models_own_samples[None]",
    "exact_gradient[convolution, BatchNorm, dropout-1]",
    "exact_gradient[convolution, BatchNorm, dropout-2]",
    "test_weights_from_a_file[with top]",
    "test_weights_from_a_file[without top, legacy]",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Long modules first; the tests of a module stay in order."""
    for item in items:
        if item.nodeid.endswith(SLOW):
            item.add_marker("slow")
    order = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.stem, len(LONG)))
