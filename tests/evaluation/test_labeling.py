"""Which unlabeled examples are named to be labeled next."""

import keras
import numpy as np
import tensorflow as tf

from mpl_keras import augment, datasets, evaluation

NET = keras.Sequential([keras.Input((3,)), keras.layers.Identity()])


def make_data(logits):
    x = np.asarray(logits, "float32")
    return datasets.from_arrays(
        np.eye(3, dtype="float32"), np.arange(3), x, num_classes=3
    )


def test_the_smallest_margins_come_first():
    data = make_data([[9, 0, 0], [1, 0.9, -5], [2, 1, -5], [5, 0, -5]])
    found = evaluation.worth_labeling(NET, data)
    assert [one.index for one in found] == [1, 2, 3, 0]
    assert found[0].classes == (0, 1) and found[0].file == ""
    expected = tf.nn.softmax(data.unlabeled[1]).numpy()[:2]
    np.testing.assert_allclose(found[0].shares, expected, rtol=1e-6)


def test_pairs_of_classes_take_turns():
    near = [[1, 1 - 0.01 * k, -5] for k in range(10)]
    data = make_data([*near, [-5, 1, 0], [-5, 0, 1.5], [0, -5, 2]])
    found = evaluation.worth_labeling(NET, data, most=5)
    assert [one.index for one in found] == [0, 10, 12, 1, 11]


def test_what_the_network_is_sure_of_comes_last():
    near = [[1, 1 - 0.01 * k, -5] for k in range(4)]
    data = make_data([*near, [-5, 9, 0], [-5, 0, 7], [-5, 1, 0]])
    found = evaluation.worth_labeling(NET, data)
    assert [one.index for one in found] == [0, 6, 1, 2, 3, 5, 4]


def test_the_same_examples_whatever_number_is_asked_for():
    logits = np.random.default_rng(0).normal(size=(500, 3))
    data = make_data(logits)
    all_of_them = evaluation.worth_labeling(NET, data, most=500)
    assert evaluation.worth_labeling(NET, data, most=7) == all_of_them[:7]
    assert sorted(one.index for one in all_of_them) == list(range(500))
    few = evaluation.worth_labeling(NET, data, most=500, looked_at=20)
    assert len(few) == 19  # the last one is labeled


def test_files_are_named(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("labeled/a/0", "labeled/b/0", "unlabeled/x", "unlabeled/y"):
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (8, 8, 1), "uint8")
        tf.io.write_file(str(path), tf.io.encode_png(pixels))
    data = datasets.from_folder(tmp_path, image_size=8, verbose=False)
    net = keras.Sequential(
        [
            keras.Input(data.preprocessing.input_shape),
            keras.layers.Flatten(),
            keras.layers.Dense(2),
        ]
    )
    found = evaluation.worth_labeling(net, data)
    paths = data.unlabeled.files(np.array([one.index for one in found]))
    assert [one.file for one in found] == paths
    unlabeled = {str(tmp_path / f"unlabeled/{name}.png") for name in "xy"}
    # The labeled pictures are among the unlabeled, but have their label.
    assert set(paths) == unlabeled and len(data.unlabeled) == 4


def test_a_gain_is_paired():
    # McNemar's counts: 30 and 10 of 200 are right about one alone.
    right = np.repeat([True, True, False, False], [100, 30, 10, 60])
    before = np.repeat([True, False, True, False], [100, 30, 10, 60])
    gain, low, high = evaluation.paired_gain(right, before)
    half = 1.959964 * np.sqrt(40 - 20**2 / 200) / 200
    np.testing.assert_allclose([gain, low, high], [0.1, 0.1 - half, 0.1 + half])
    assert evaluation.paired_gain(right, right) == (0.0, 0.0, 0.0)


def test_nothing_is_named_where_all_is_labeled():
    x = np.eye(3, dtype="float32")
    data = datasets.from_arrays(x, np.arange(3), x)
    assert evaluation.worth_labeling(NET, data) == []


def test_views_do_not_matter():
    data = datasets.digits(20)
    assert isinstance(data.views, augment.Views)
    net = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)]
    )
    first, again = (evaluation.worth_labeling(net, data) for _ in range(2))
    assert first == again
