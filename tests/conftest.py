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


# The modules whose tests take longest, in this order: the last test to end
# decides how long all take, and two workers are to be busy until then.
LONG = (
    "test_train_images",
    "test_distribution",
    "test_cluster",
    "test_backup",
    "test_training",
    "test_examples",
    "test_safeguard",
    "test_saving",
    "test_backbones",
    "test_gradients",
    "test_model",
)


def pytest_collection_modifyitems(items):
    """Long modules first; the tests of a module stay in order."""
    order = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.stem, len(LONG)))
