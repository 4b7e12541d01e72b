"""What is said and written at the end of a training."""

import types

import pytest

from mpl_keras.runs import results


@pytest.mark.parametrize(
    ("draws", "page", "test", "file"),
    [
        (True, True, [], "confusion_matrix.png"),
        (True, False, [], "confusion_matrix.png"),
        (True, True, None, "report.html"),
        (True, False, None, ""),
        (False, False, [], ""),
    ],
)
def test_only_a_matrix_that_is_written_is_pointed_to(draws, page, test, file):
    training = types.SimpleNamespace(
        draws=draws, writes_page=page, data=types.SimpleNamespace(test=test)
    )
    assert results._drawn_matrix(training) == file
