"""Confusion matrices, and pictures that can be opened."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from matplotlib import image

from mpl_keras import report


def network(width):
    return keras.Sequential([keras.Input((width,)), keras.layers.Identity()])


@pytest.mark.parametrize("one_hot", [False, True])
def test_confusion_matrix_counts(one_hot):
    random = np.random.RandomState(0)
    true, predicted = random.randint(0, 4, (2, 50))
    y = np.eye(4)[true] if one_hot else true
    batches = tf.data.Dataset.from_tensor_slices(
        (np.eye(4)[predicted].astype("float32"), y)
    ).batch(16)
    counts = report.confusion_matrix(network(4), batches, 4)
    for row in range(4):
        for column in range(4):
            want = np.sum((true == row) & (predicted == column))
            assert counts[row, column] == want
    assert report.accuracy_of(counts) == np.mean(true == predicted)


@pytest.mark.parametrize("num_classes", [2, 10, 100])
def test_a_picture_of_a_confusion_matrix(num_classes, tmp_path):
    counts = np.diag(np.arange(num_classes))
    names = [f"class <{k}> with a very long name" for k in range(num_classes)]
    report.plot_confusion(counts, names, "all right", tmp_path / "a.png")
    assert image.imread(tmp_path / "a.png").shape[0] > 400


def test_a_picture_of_curves(tmp_path):
    metrics = {
        "step": [10, 20],
        "loss": [2.0, np.nan],
        "val_accuracy": [0.1, 0.9],
        "something else": [0.0, 0.0],
    }
    report.plot_curves(metrics, "two epochs", tmp_path / "a.png")
    few = image.imread(tmp_path / "a.png").shape
    metrics |= {"mask_rate": [0.1, 0.2], "feedback_share": [0.1, 0.1]}
    report.plot_curves(metrics, "two epochs", tmp_path / "a.png")
    assert image.imread(tmp_path / "a.png").shape[0] > few[0]


def test_rows_are_shares_of_the_true_class(tmp_path, monkeypatch):
    from matplotlib import axes

    seen = []
    real = axes.Axes.imshow
    monkeypatch.setattr(
        axes.Axes,
        "imshow",
        lambda self, x, **k: seen.append(np.array(x)) or real(self, x, **k),
    )
    report.plot_confusion(
        np.array([[3, 1], [0, 2]]), "ab", "t", tmp_path / "a.png"
    )
    np.testing.assert_array_equal(seen[0], [[0.75, 0.25], [0, 1]])
