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
    "test_train_images",
    "test_training",
    "test_backup",
    "test_examples",
    "test_backbones",
    "test_distribution",
    "test_saving",
    "test_gradients",
    "test_cluster",
    "test_model",
    "test_tables",
    "test_safeguard",
)


def pytest_collection_modifyitems(items):
    """Long modules first; the tests of a module stay in order."""
    order = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.stem, len(LONG)))
