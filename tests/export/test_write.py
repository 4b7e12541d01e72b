"""Exported classifiers: the same answers, from raw images, without us."""

import io
import json
import os
import subprocess
import sys
import textwrap

import keras
import numpy as np
import PIL.Image
import pytest
import seeds
import tensorflow as tf

import mpl_keras
from mpl_keras import datasets
from mpl_keras.datasets.semi_supervised_data import SemiSupervisedData
from mpl_keras.export import formats, loading, runtimes, write

PATHS = {
    "tf_saved_model": "student",
    "keras": "student.keras",
    "litert": "student.tflite",
    "litert_int8": "int8.tflite",
    "onnx": "student.onnx",
}


def make_net(shape=(8, 8, 1), classes=10, scale=255):
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(shape),
            layers.Rescaling(1 / scale),
            layers.Conv2D(16, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(classes),
        ]
    )


@pytest.fixture(scope="module")
def data():
    return datasets.digits(100, dtype="uint8")


@pytest.fixture(scope="module")
def trained(data):
    seeds.set_random_seed(0)
    net = make_net()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile(keras.optimizers.Adam(0.01), loss)
    net.fit(*data.labeled, epochs=30, batch_size=50, verbose=0)
    return net


@pytest.fixture(scope="module")
def exported(trained, data, tmp_path_factory):
    """The folder with all formats, images, and what the network says."""
    folder = tmp_path_factory.mktemp("exported")
    for format, name in PATHS.items():
        write.write_classifier(trained, folder / name, data, format=format)
    images = np.concatenate([x for x, _ in data.test])
    logits = trained.predict(images.astype("float32"), verbose=0)
    files = [tf.io.encode_png(image).numpy() for image in images]
    np.savez(
        folder / "expected.npz",
        images=images,
        probabilities=tf.nn.softmax(logits).numpy(),
        files=np.array(files, object),
    )
    return folder


def run_alone(code, folder):
    """Runs code in a process of its own, in a folder; returns what it says."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": ""},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_a_saved_model_needs_neither_keras_nor_us(exported):
    answer = run_alone(
        """
        import json, sys
        import numpy as np
        import tensorflow as tf

        known = np.load("expected.npz", allow_pickle=True)
        model = tf.saved_model.load("student")
        serve = model.signatures["serving_default"]
        files = model.signatures["serve_files"]
        expected = known["probabilities"]
        answer = {"mpl_keras": "mpl_keras" in sys.modules}
        images = tf.constant(known["images"])
        for name, given in (
            ("images", serve(images=images)),
            ("files", files(image_bytes=tf.constant(list(known["files"])))),
        ):
            p = given["probabilities"].numpy()
            answer[name] = [
                float(np.abs(p - expected).max()),
                int((p.argmax(-1) == expected.argmax(-1)).sum()),
            ]
            answer[name + " classes"] = [
                c.decode() for c in given["classes"].numpy()[:3]
            ]
        for size in (1, 7, 64):
            for side in (8, 32, 100):
                batch = np.zeros((size, side, side + 3, 1), "uint8")
                given = serve(images=tf.constant(batch))["probabilities"]
                assert given.shape == (size, 10)
        names = model.signatures["metadata"]()["class_names"].numpy()
        answer["names"] = [name.decode() for name in names]
        print(json.dumps(answer))
        """,
        exported,
    )
    assert not answer["mpl_keras"]
    known = np.load(exported / "expected.npz", allow_pickle=True)
    best = [str(k) for k in known["probabilities"].argmax(-1)[:3]]
    for name in ("images", "files"):
        difference, same = answer[name]
        assert difference <= 1e-5 and same == 540
        assert answer[f"{name} classes"] == best
    assert answer["names"] == list("0123456789")


@pytest.mark.slow
def test_litert_and_onnx_need_no_tensorflow(exported):
    answer = run_alone(
        """
        import json, sys, zipfile
        import numpy as np
        import onnxruntime
        from ai_edge_litert.interpreter import Interpreter

        known = np.load("expected.npz", allow_pickle=True)
        images, expected = known["images"], known["probabilities"]

        def litert(path):
            interpreter = Interpreter(path)
            signature = interpreter.get_signature_runner("serving_default")
            (name,) = signature.get_input_details()
            rows = [
                signature(**{name: images[i : i + 1]})["probabilities"]
                for i in range(len(images))
            ]
            return np.concatenate(rows)

        session = onnxruntime.InferenceSession("student.onnx")
        answer = {}
        for name, given in (
            ("litert", litert("student.tflite")),
            ("int8", litert("int8.tflite")),
            ("onnx", session.run(["probabilities"], {"images": images})[0]),
        ):
            answer[name] = [
                float(np.abs(given - expected).max()),
                float((given.argmax(-1) == expected.argmax(-1)).mean()),
            ]
        meta = session.get_modelmeta().custom_metadata_map
        for name, text in (
            ("onnx", meta["classifier.json"]),
            ("litert", zipfile.ZipFile("student.tflite").read(
                "classifier.json")),
        ):
            answer[name].append(json.loads(text)["class_names"])
        answer["modules"] = sorted(
            {"tensorflow", "keras", "mpl_keras"} & set(sys.modules)
        )
        print(json.dumps(answer))
        """,
        exported,
    )
    assert answer["modules"] == []
    for name in ("litert", "onnx"):
        difference, same, names = answer[name]
        assert difference <= 1e-5 and same == 1.0
        assert names == list("0123456789")
    assert answer["int8"][1] >= 0.98


def test_int8_is_smaller(exported):
    sizes = {
        name: os.path.getsize(exported / name)
        for name in ("student.tflite", "int8.tflite")
    }
    assert sizes["int8.tflite"] < 0.5 * sizes["student.tflite"]


@pytest.mark.parametrize("format", PATHS)
def test_every_format_is_loaded_in_one_way(format, exported):
    classifier = loading.load(exported / PATHS[format])
    known = np.load(exported / "expected.npz", allow_pickle=True)
    # Batches of other sizes after each other.
    given = np.concatenate(
        [classifier(known["images"][i:j]) for i, j in ((0, 7), (7, 8), (8, 40))]
    )
    assert given.dtype == np.float32
    near = 0.02 if format == "litert_int8" else 1e-5
    np.testing.assert_allclose(given, known["probabilities"][:40], atol=near)
    assert classifier.class_names == tuple("0123456789")


def test_a_keras_user_loads_the_file_as_it_is(exported, trained, data):
    path = exported / "student.keras"
    network = keras.saving.load_model(path, compile=False)
    x = data.labeled[0][:5].astype("float32")
    np.testing.assert_allclose(
        network.predict(x, verbose=0), trained.predict(x, verbose=0), atol=1e-6
    )


def test_preprocessing_is_the_trainings(tmp_path):
    """Of files of any size, what evaluation sees of them."""
    folder = tmp_path / "pictures"
    rng = np.random.default_rng(0)
    sizes = [(90, 120), (150, 80), (99, 99)]
    for part in ("labeled/a", "labeled/b", "test/a", "unlabeled"):
        os.makedirs(folder / part)
        for i, (height, width) in enumerate(sizes):
            noise = rng.integers(0, 256, (6, 8, 3), np.uint8)
            image = PIL.Image.fromarray(noise).resize((width, height), 3)
            image.save(folder / part / f"{i}.png")
    data = datasets.from_folder(folder, image_size=70)
    assert data.preprocessing.image_size == (70, 70)
    assert data.preprocessing.canvas_size == (80, 80)
    seeds.set_random_seed(1)
    net = make_net((70, 70, 3), 2)
    path = tmp_path / "model"
    write.write_classifier(net, path, data)
    ((x, _),) = data.test
    expected = tf.nn.softmax(net.predict(x, verbose=0)).numpy()
    files = [
        (folder / "test" / "a" / f"{i}.png").read_bytes() for i in range(3)
    ]
    model = tf.saved_model.load(path)
    given = model.signatures["serve_files"](image_bytes=tf.constant(files))
    np.testing.assert_allclose(given["probabilities"], expected, atol=1e-6)
    for file, row in zip(files, expected, strict=True):
        pixels = np.asarray(PIL.Image.open(io.BytesIO(file)))
        given = model.signatures["serving_default"](
            images=tf.constant(pixels[np.newaxis])
        )
        np.testing.assert_allclose(given["probabilities"][0], row, atol=1e-6)


def test_mixed_precision_is_written_in_float32(data, tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    net = make_net()
    keras.config.set_dtype_policy("float32")
    check = write.write_classifier(
        net, tmp_path / "a.onnx", data, format="onnx"
    )
    assert check.difference <= 1e-5


@pytest.fixture
def model(data):
    net = make_net
    return mpl_keras.MetaPseudoLabels(net(), net(), feedback=None)


def test_the_network_is_a_choice(model, data, tmp_path):
    x = data.labeled[0][:4]
    for name in ("averaged", "student", "teacher"):
        path = tmp_path / f"{name}.keras"
        write.write_classifier(model, path, data, format="keras", network=name)
        expected = getattr(model, name)(x.astype("float32"))
        given = loading.load(path)(x)
        np.testing.assert_allclose(given, tf.nn.softmax(expected), atol=1e-6)
    with pytest.raises(ValueError, match="`network` must be one of"):
        write.write_classifier(
            model, tmp_path / "b.keras", data, format="keras", network="best"
        )


def test_the_card_says_what_is_known(model, data, tmp_path):
    write.write_classifier(model, tmp_path / "a.keras", data, format="keras")
    card = (tmp_path / "a.keras.md").read_text()
    assert "Warning: this network was never trained" in card
    assert "averaged student, ema\\_momentum" in card
    assert "of 540 test examples (95 % interval: " in card
    assert "| Labeled examples | 100 |" in card
    assert f"Keras {keras.__version__}" in card
    model.step.assign(7)
    write.write_classifier(model, tmp_path / "b.keras", data, format="keras")
    card = (tmp_path / "b.keras.md").read_text()
    assert "never trained" not in card and "| Steps | 7 |" in card
    assert "calls all of them" not in card and " of 1 classes" not in card


def test_a_network_of_one_answer_is_called_so(data, tmp_path, capsys):
    net = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(10, kernel_initializer="zeros"),
        ]
    )
    net.layers[-1].bias.assign(keras.ops.one_hot(3, 10))
    path = tmp_path / "a.keras"
    check = write.write_classifier(net, path, data, format="keras")
    assert check.classes == 1 and "all of one class to the network" in str(
        check
    )
    card = (tmp_path / "a.keras.md").read_text()
    assert "**Warning: it calls all of them 3**" in card
    assert str(check) in card


def no_image_data():
    return datasets.two_moons()


def renamed(data):
    return SemiSupervisedData(**{**data.__dict__, "class_names": tuple("abc")})


@pytest.mark.parametrize(
    "name, format, change, message",
    [
        ("a.onnx", "litert", None, "'.tflite' .*or `format` be 'onnx'"),
        ("a.keras", "tf_saved_model", None, "must be a folder .*be 'keras'"),
        ("a.tflite", "keras", None, "`format` be 'litert' or 'litert_int8'"),
        ("a.txt", "keras", None, "for format='keras'. Received"),
        ("a", "pickle", None, "`format` must be one of"),
        ("a", "tf_saved_model", lambda d: no_image_data(), "`data` must be"),
        ("a", "tf_saved_model", renamed, "one for each of the network's 10"),
        ("taken", "tf_saved_model", None, "must be free"),
    ],
)
def test_mistakes_are_found_before_anything_is_written(
    name, format, change, message, trained, data, tmp_path
):
    (tmp_path / "taken").write_text("mine")
    with pytest.raises((ValueError, FileExistsError), match=message):
        write.write_classifier(
            trained,
            tmp_path / name,
            change(data) if change else data,
            format=format,
        )
    assert os.listdir(tmp_path) == ["taken"]
    assert (tmp_path / "taken").read_text() == "mine"


def test_images_of_another_form(trained, tmp_path):
    x = np.zeros((20, 9, 9, 1), "uint8")
    other = datasets.from_arrays(x, np.arange(20) % 10, x)
    with pytest.raises(ValueError, match=r"\(8, 8, 1\)"):
        write.write_classifier(trained, tmp_path / "a", other)


def test_a_missing_package_is_named(trained, data, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match="pip install .*onnxruntime"):
        write.write_classifier(
            trained, tmp_path / "a.onnx", data, format="onnx"
        )
    assert os.listdir(tmp_path) == []


@keras.saving.register_keras_serializable("test_serving")
class Erfc(keras.layers.Layer):
    """Of an operation that LiteRT and ONNX do not have."""

    def call(self, inputs):
        return tf.math.betainc(1.0, 2.0, tf.sigmoid(inputs))


@pytest.mark.parametrize("format", ["litert", "onnx"])
def test_a_layer_that_cannot_be_carried_is_named(format, data, tmp_path):
    inner = keras.Sequential(
        [keras.Input((64,)), keras.layers.Dense(4), Erfc(name="odd")]
    )
    net = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            inner,
            keras.layers.Dense(10),
        ]
    )
    path = tmp_path / PATHS[format]
    with pytest.raises(ValueError, match="'odd' of class Erfc"):
        write.write_classifier(net, path, data, format=format)
    assert os.listdir(tmp_path) == []


def test_images_of_all_classes_are_compared(trained, data, tmp_path):
    """Also where files are sorted by class."""
    x, y = (np.concatenate(part) for part in zip(*data.test, strict=True))
    order = np.argsort(y, kind="stable")
    images = datasets.from_arrays(
        *data.labeled, data.unlabeled, test=(x[order], y[order])
    )
    path = tmp_path / "a.keras"
    found = write.write_classifier(trained, path, images, format="keras")
    assert (found.images, found.classes) == (256, 10)


@pytest.mark.parametrize("factor", [1 + 2e-5, 1.01])
def test_what_differs_by_more_than_rounding_is_not_kept(
    factor, trained, data, tmp_path, monkeypatch
):
    def write_other(network, path, preprocessing, metadata):
        copy = keras.models.clone_model(network)
        copy.set_weights([w * factor for w in network.get_weights()])
        formats.write_keras(copy, path, preprocessing, metadata)

    monkeypatch.setitem(formats.WRITERS, "keras", write_other)
    path = tmp_path / "a.keras"
    if factor < 1.001:
        found = write.write_classifier(trained, path, data, format="keras")
        assert 1e-5 < found.difference < 1e-4
        return
    with pytest.raises(ValueError, match="differs from the network.*0.0001"):
        write.write_classifier(trained, path, data, format="keras")
    assert os.listdir(tmp_path) == []


def test_what_cannot_be_run_is_not_kept(trained, data, tmp_path, monkeypatch):
    def fail(self, images):
        raise RuntimeError("failed to prepare")

    monkeypatch.setattr(loading.Classifier, "__call__", fail)
    with pytest.raises(ValueError, match="cannot be run.*failed to prepare"):
        write.write_classifier(
            trained, tmp_path / "a.keras", data, format="keras"
        )
    assert os.listdir(tmp_path) == []


def make_zeros():
    """Of 8 bits that LiteRT cannot prepare: a sum that is always 0."""
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(4, 3, padding="same")(inputs)
    inverse = keras.layers.Conv2D(4, 1, use_bias=False)
    x = keras.layers.Add()([x, inverse(x)])
    inverse.set_weights([-np.eye(4)[np.newaxis, np.newaxis]])
    x = keras.layers.Flatten()(x)
    return keras.Model(inputs, keras.layers.Dense(10)(x))


def test_what_ends_its_process_does_not_end_ours(data, tmp_path):
    with pytest.raises(
        ValueError, match="litert_int8 cannot be run.*process.*SIGABRT"
    ):
        write.write_classifier(
            make_zeros(), tmp_path / "a.tflite", data, format="litert_int8"
        )
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("format", ["litert", "litert_int8", "onnx"])
def test_what_is_no_file_of_the_format_is_named(
    format, trained, data, tmp_path, monkeypatch
):
    def write_text(network, path, *_, **__):
        with open(path, "w") as file:
            file.write("no network")

    monkeypatch.setitem(formats.WRITERS, format, write_text)
    with pytest.raises(ValueError, match=f"as {format} cannot be run"):
        write.write_classifier(
            trained, tmp_path / PATHS[format], data, format=format
        )
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("os.abort()", "by SIGABRT"),
        ("os.kill(os.getpid(), 9)", "by SIGKILL"),
        ("import ctypes; ctypes.string_at(0)", "by SIGSEGV"),
        ("raise MemoryError('too large')", "MemoryError: too large"),
        ("sys.exit(3)", "exit 3"),
    ],
)
def test_how_a_process_ended(code, message, tmp_path, monkeypatch):
    script = tmp_path / "script.py"
    script.write_text(f"import os, sys\n{code}\n")
    monkeypatch.setattr(runtimes, "__file__", str(script))
    images = np.zeros((1, 8, 8, 1), "uint8")
    with pytest.raises(RuntimeError, match=message):
        runtimes.run_apart("litert", "a.tflite", images)


def test_files_as_a_server_gets_them(exported):
    """CMYK in grey; too many pixels; neither PNG nor JPEG."""
    model = tf.saved_model.load(exported / "student")
    serve = model.signatures["serve_files"]
    file = io.BytesIO()
    ramp = np.arange(0, 256, 4, np.uint8).reshape(8, 8)
    image = PIL.Image.fromarray(ramp).convert("RGB").convert("CMYK")
    image.save(file, "JPEG", quality=100)
    given = serve(image_bytes=tf.constant([file.getvalue()]))
    given = given["probabilities"]
    grey = PIL.Image.open(file).convert("RGB").convert("L")
    pixels = np.asarray(grey)[np.newaxis, ..., np.newaxis]
    expected = model.signatures["serving_default"](images=tf.constant(pixels))
    np.testing.assert_allclose(given, expected["probabilities"], atol=1e-3)
    huge = bytearray(tf.io.encode_png(pixels[0]).numpy())
    huge[16:24] = (20000).to_bytes(4, "big") * 2
    with pytest.raises(tf.errors.InvalidArgumentError, match="Too many pixels"):
        serve(image_bytes=tf.constant([bytes(huge)]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="neither PNG nor"):
        serve(image_bytes=tf.constant([b"GIF89a" + bytes(50)]))


def test_what_is_no_classifier(trained, tmp_path):
    trained.save(tmp_path / "plain.keras")
    with pytest.raises(ValueError, match="as `export.write_classifier` writes"):
        loading.load(tmp_path / "plain.keras")
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(ValueError, match="could not be read"):
        loading.load(tmp_path / "text.onnx")
    with pytest.raises(ValueError, match="without saved_model.pb"):
        loading.load(tmp_path)
    with pytest.raises(ValueError, match="end in one of"):
        loading.load(__file__)


def test_a_network_that_ends_in_a_softmax_is_warned_of(data, tmp_path):
    """Else its probabilities would be those of two softmaxes, unsaid."""
    (tmp_path / "file").touch()  # so that nothing is written
    flat = keras.layers.Flatten()
    end = keras.layers.Dense(10, activation="softmax")
    net = keras.Sequential([keras.Input((8, 8, 1)), flat, end])
    cure = "logits.*`Dense\\(10\\)` in place of.*Received: model="
    with pytest.warns(UserWarning, match=cure) as warned:
        with pytest.raises(FileExistsError):
            write.write_classifier(net, tmp_path, data)
    assert warned[0].filename == __file__
