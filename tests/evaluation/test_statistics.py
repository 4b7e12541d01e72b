"""Measures, against numbers from elsewhere."""

import numpy as np
import pytest

from mpl_keras.evaluation import statistics


def rows(confidences, width=2):
    """Probabilities whose highest are these, of class 0."""
    confidences = np.asarray(confidences)
    rest = np.repeat((1 - confidences) / (width - 1), width - 1)
    return np.column_stack([confidences, rest.reshape(-1, width - 1)])


def test_calibration_by_hand():
    probabilities = rows([0.95, 0.85, 0.81, 0.55])
    mean, accuracy, count = statistics.calibration(probabilities, [0, 1, 0, 0])
    assert count.tolist() == [0] * 5 + [1, 0, 0, 2, 1]
    np.testing.assert_allclose(mean[[5, 8, 9]], [0.55, 0.83, 0.95])
    np.testing.assert_allclose(accuracy[[5, 8, 9]], [1, 0.5, 1])
    assert np.isnan(mean[0]) and np.isnan(accuracy[0])
    # (1 * 0.45 + 2 * 0.33 + 1 * 0.05) / 4
    error = statistics.expected_calibration_error(probabilities, [0, 1, 0, 0])
    assert error == pytest.approx(0.29)


def test_an_interval_holds_its_upper_end():
    # ((m - 1) / M, m / M], as in the paper.
    _, _, count = statistics.calibration(rows([0.5, 0.75, 1.0]), [0, 0, 0], 4)
    assert count.tolist() == [0, 1, 1, 1]


def test_what_is_always_as_right_as_confident_has_no_error():
    probabilities = rows([0.75] * 4, width=3)
    labels = [0, 0, 0, 2]
    assert statistics.expected_calibration_error(probabilities, labels) == 0


def test_no_examples():
    error = statistics.expected_calibration_error(np.zeros((0, 3)), [])
    assert np.isnan(error)


@pytest.mark.parametrize(
    "probabilities, labels", [([0.5, 0.5], [0]), ([[0.5, 0.5]], [0, 1])]
)
def test_bad_calibration(probabilities, labels):
    with pytest.raises(ValueError, match="`probabilities` must be rows"):
        statistics.calibration(probabilities, labels)


@pytest.mark.parametrize(
    "correct, total, low, high",
    [
        # Newcombe, 1998, Statistics in Medicine 17, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
        # The same, seen from the other side.
        (20, 20, 0.8389, 1.0000),
    ],
)
def test_wilson_interval(correct, total, low, high):
    interval = statistics.wilson_interval(correct, total)
    np.testing.assert_allclose(interval, (low, high), atol=5e-5)


@pytest.mark.parametrize("correct, total", [(3, 2), (-1, 2), (0, 0)])
def test_bad_counts(correct, total):
    with pytest.raises(ValueError, match="`correct` must be in"):
        statistics.wilson_interval(correct, total)
