"""What every test starts from: quiet logs, one seed, float32."""

import gc
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# The tests' graphs are small, and two workers share two cores: more threads
# wait for each other.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

import keras  # noqa: E402  (the log level is read at import)
import numpy as np  # noqa: E402
import PIL.Image  # noqa: E402
import pytest  # noqa: E402
import seeds  # noqa: E402
import tensorflow as tf  # noqa: E402


def pytest_addoption(parser):
    parser.addoption(
        "--optimize-graphs",
        action="store_true",
        help="let TensorFlow optimize the graphs of the tests, as it does "
        "for users; they take a quarter longer",
    )


def pytest_configure(config):
    """What makes tests faster that trace many small graphs."""
    keras.utils.set_random_seed(0)
    # `make test-all` optimizes them, and so do the tests of the commands.
    if not config.getoption("--optimize-graphs"):
        tf.config.optimizer.set_experimental_options(
            {"disable_meta_optimizer": True}
        )
    # Tracing makes many objects, and few of them are garbage before a module
    # ends: then what is left is not looked at again.
    gc.freeze()
    gc.set_threshold(50_000, 20, 1000)


@pytest.fixture(scope="module", autouse=True)
def no_garbage():
    """The networks of a module go with it."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def fresh_start():
    """The same random numbers for each test, and Keras's default dtypes."""
    seeds.set_random_seed(0)
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")


@pytest.fixture
def float64(fresh_start):
    """Networks and tensors of 64 bits, for formulas; `fresh_start` ends it."""
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")


# A classifier and files for it, in `export` and in `commands`.


@pytest.fixture(scope="session")
def picture_data():
    """Of three classes with unusual names."""
    from mpl_keras import datasets

    x = np.zeros((6, 12, 12, 3), "uint8")
    return datasets.from_arrays(
        x, np.arange(6) % 3, x, class_names=("cat", "<b>", "a,b")
    )


@pytest.fixture(scope="module")
def classifier_file(tmp_path_factory, picture_data):
    """An exported classifier of 12 x 12 images in colour."""
    from mpl_keras.export import write

    seeds.set_random_seed(0)
    layers = [keras.Input((12, 12, 3)), keras.layers.Flatten()]
    net = keras.Sequential([*layers, keras.layers.Dense(3)])
    path = tmp_path_factory.mktemp("model") / "net.keras"
    write.write_classifier(net, path, picture_data, format="keras")
    return path


@pytest.fixture(scope="module")
def picture_folder(tmp_path_factory):
    """80 files: PNG of the model's size and others, JPEG, BMP, GIF, damaged."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "sub").mkdir()
    rng = np.random.default_rng(0)
    for i in range(70):
        side = 12 if i % 3 else 20
        image = PIL.Image.fromarray(
            rng.integers(0, 256, (side, side, 3), np.uint8)
        )
        ending = ("png", "png", "jpg", "bmp", "gif")[i % 5]
        image.save(folder / "sub" / f"{i:02}.{ending}")
    alpha = rng.integers(0, 256, (12, 12, 4), np.uint8)
    PIL.Image.fromarray(alpha).save(folder / "alpha.png")
    whole = (folder / "sub" / "01.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[:100])
    (folder / "cut.jpg").write_bytes(
        (folder / "sub" / "02.jpg").read_bytes()[:300]
    )
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("no picture")
    tiff = PIL.Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8))
    tiff.save(folder / "a.tiff")
    (folder / ".hidden").write_text("not looked at")
    return folder


@pytest.fixture(scope="session")
def bad_pictures():
    """What is wrong with which files of `picture_folder`."""
    return {
        "a.tiff": "TIFF",
        "cut.jpg": "damaged",
        "cut.png": "damaged or truncated",
        "empty.png": "zero bytes",
        "text.png": "not an image",
    }


# The modules that take longest, in this order. `make test` gives a worker one
# module after another: with the long ones first, all are busy until the end.
LONG = (
    "test_train",
    "test_training",
    "test_backup",
    "test_examples",
    "test_pages",
    "test_compare",
    "test_backbones",
    "test_replicas",
    "test_saving",
    "test_gradients",
    "test_strategy",
    "test_model",
    "test_tables",
    "test_safeguard",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Long modules first; the tests of a module stay in order."""
    for item in items:
        # The gate need not show on every change what another case shows.
        marker = item.get_closest_marker("slow_cases")
        if marker is not None and item.callspec.id in marker.args:
            item.add_marker("slow")
    order = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.stem, len(LONG)))
