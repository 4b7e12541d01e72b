"""What predictions are worth, in numbers; of arrays alone."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf


def calibration(
    probabilities: Any, labels: Any, bins: int = 10
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How often predictions are right that are so confident.

    Interval m of the confidence, the highest probability, is (m / bins, (m +
    1) / bins].

    Args:
        probabilities: Rows of class probabilities, [N, C].
        labels: True classes, integers [N].
        bins: Number of intervals.

    Returns:
        Mean confidence, accuracy (both NaN where no example is), and the number
        of examples, [bins] each.

    Raises:
        ValueError: If they do not belong together.

    Reference:
        Guo et al., "On Calibration of Modern Neural Networks", 2017
        (arXiv:1706.04599), section 2.

    Example:
    >>> confidence, accuracy, count = calibration([[0.9, 0.1], [0.4, 0.6]],
    ...                                           [0, 0], bins=2)
    >>> float(confidence[1]), float(accuracy[1]), count.tolist()
    (0.75, 0.5, [0, 2])
    """
    probabilities = np.asarray(probabilities, float)
    labels = np.asarray(labels)
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1]:
        raise ValueError(
            "`probabilities` must be rows, one for each of `labels`. "
            f"Received: probabilities of shape {probabilities.shape}, labels "
            f"of shape {labels.shape}"
        )
    highest = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    place = np.clip(np.ceil(highest * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    empty = np.where(count > 0, 1.0, np.nan)
    mean = np.bincount(place, highest, bins) / np.maximum(count, 1) * empty
    accuracy = np.bincount(place, right, bins) / np.maximum(count, 1) * empty
    return mean, accuracy, count


def expected_calibration_error(
    probabilities: Any, labels: Any, bins: int = 10
) -> float:
    """Mean gap between confidence and accuracy, weighted by examples.

    Args:
        probabilities: Rows of class probabilities, [N, C].
        labels: True classes, integers [N].
        bins: Number of intervals of confidence.

    Returns:
        In [0, 1]; NaN without examples.

    Reference:
        Naeini et al., 2015; Guo et al., 2017 (arXiv:1706.04599), equation 3.

    Example:
    >>> expected_calibration_error([[0.75, 0.25], [0.25, 0.75]], [0, 0])
    0.25
    """
    mean, accuracy, count = calibration(probabilities, labels, bins)
    if not count.sum():
        return float("nan")
    return float(np.nansum(count * np.abs(accuracy - mean)) / count.sum())


def wilson_interval(
    correct: int, total: int, z: float = 1.959964
) -> tuple[float, float]:
    """Interval of an accuracy that was counted.

    Unlike the mean plus and minus errors it stays in [0, 1], and says
    something where all or none are right.

    Args:
        correct: How many were right.
        total: Of how many, at least 1.
        z: Quantile of the normal distribution; 1.959964 is for 95 %.

    Returns:
        Lower and upper bound.

    Raises:
        ValueError: If not 0 <= correct <= total, or total is 0.

    Reference:
        Wilson, "Probable Inference, the Law of Succession, and Statistical
        Inference", 1927, JASA 22(158), pages 209 to 212.

    Example:
    >>> [round(bound, 4) for bound in wilson_interval(8, 10)]
    [0.4902, 0.9433]
    """
    if not 0 <= correct <= total or total < 1:
        raise ValueError(
            "`correct` must be in [0, total], and `total` at least 1. "
            f"Received: correct={correct}, total={total}"
        )
    share, square = correct / total, z**2 / total
    middle = (share + square / 2) / (1 + square)
    half = z * np.sqrt(share * (1 - share) / total + square / (4 * total))
    half /= 1 + square
    return float(max(middle - half, 0.0)), float(min(middle + half, 1.0))


def paired_gain(
    right: np.ndarray, before: np.ndarray, z: float = 1.959964
) -> tuple[float, float, float]:
    """How many more of the same examples one network gets right.

    Args:
        right: Whether it is right about each, booleans [N].
        before: The same of the network that it is compared with.
        z: Quantile of the normal distribution; 1.959964 is for 95 %.

    Returns:
        The difference of the two accuracies, and the lower and the upper end
        of its interval. Only examples that one of the two gets right count, so
        that it is narrower than that of two independent samples.

    Reference:
        Agresti, "Categorical Data Analysis", 2002, equation 10.2, on
        differences of dependent proportions.

    Example:
    >>> right, before = np.arange(100) < 80, np.arange(100) < 70
    >>> [round(value, 3) for value in paired_gain(right, before)]
    [0.1, 0.041, 0.159]
    """
    differences = np.asarray(right, float) - np.asarray(before, float)
    mean = float(differences.mean())
    half = z * float(differences.std()) / len(differences) ** 0.5
    return mean, mean - half, mean + half


def mean_interval(
    values: Sequence[float], confidence: float = 0.95
) -> tuple[float, float, float]:
    """Mean of a few values, and the interval in which the true mean lies.

    Student's t: for values that are independent and about normal, such as
    differences of accuracies that are paired by seed.

    Args:
        values: At least one. Of a single one the interval is not known: NaN.
        confidence: In (0, 1).

    Returns:
        The mean, and the lower and the upper end.

    Example:
    >>> [round(value, 3) for value in mean_interval([1.0, 2.0, 3.0, 4.0])]
    [2.5, 0.446, 4.554]
    """
    values = np.asarray(values, float)
    mean, freedom = float(values.mean()), len(values) - 1
    if freedom < 1:
        return mean, float("nan"), float("nan")
    error = values.std(ddof=1) / len(values) ** 0.5
    half = _student_quantile(confidence, freedom) * float(error)
    return mean, mean - half, mean + half


def _student_quantile(confidence, freedom):
    """The t that |T| exceeds in a share `1 - confidence` of all cases."""
    low, high = 0.0, 1e4
    for _ in range(100):
        middle = (low + high) / 2
        outside = tf.math.betainc(
            tf.constant(freedom / 2, tf.float64),
            tf.constant(0.5, tf.float64),
            tf.constant(freedom / (freedom + middle**2), tf.float64),
        )
        if float(outside) > 1 - confidence:
            low = middle
        else:
            high = middle
    return (low + high) / 2
