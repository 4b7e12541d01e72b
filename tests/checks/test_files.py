"""What is written takes the place of nothing else."""

import os

import numpy as np
import pytest

import mpl_keras as mk
from mpl_keras import files
from mpl_keras.checks.arguments import FileInTheWayError

DATA = mk.datasets.from_arrays(np.zeros((4, 2)), [0, 1, 0, 1], np.ones((4, 2)))


@pytest.fixture
def full(tmp_path):
    """A folder of other things."""
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "thesis.txt").write_text("mine")
    yield tmp_path / "results"
    assert (tmp_path / "results" / "thesis.txt").read_text() == "mine"
    assert os.listdir(tmp_path) == ["results"]


@pytest.mark.parametrize(
    "use",
    [
        lambda path: files.write_whole(path, files.text_writer("a")),
        lambda path: files.check_free(path, overwrite=True),
        lambda path: mk.export.write_predictions(
            "a", path, path, overwrite=True
        ),
        lambda path: mk.UDA(mk.networks.make("small_cnn", (8, 8, 1), 3)).export(
            path, format="onnx", overwrite=True
        ),
    ],
)
def test_a_file_replaces_no_folder(use, full):
    with pytest.raises(FileInTheWayError, match="be a file.*is not deleted"):
        use(full)


@pytest.mark.parametrize(
    "use",
    [
        lambda path: files.check_free(path, True, folder_with="saved_model.pb"),
        lambda path: mk.export.write_classifier(0, path, DATA, overwrite=True),
        lambda path: mk.UDA(mk.networks.make("small_cnn", (8, 8, 1), 3)).export(
            path, overwrite=True
        ),
    ],
)
def test_a_saved_model_replaces_no_folder_of_other_things(use, full):
    said = "or one to replace.*holds other things, and no saved_model.pb"
    with pytest.raises(FileInTheWayError, match=said):
        use(full)


def test_a_folder_that_may_be_replaced(tmp_path):
    files.check_free(tmp_path, True, folder_with="saved_model.pb")
    (tmp_path / "saved_model.pb").touch()
    files.check_free(tmp_path, True, folder_with="saved_model.pb")
