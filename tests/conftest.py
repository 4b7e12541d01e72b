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
