"""Paths that no system could have are named before anything is done."""

import numpy as np
import pytest

import mpl_keras as mk
from mpl_keras import files
from mpl_keras.checks import ArgumentError, arguments
from mpl_keras.datasets import pictures
from mpl_keras.runs import settings

BAD = "a\0b"
DATA = mk.datasets.from_arrays(np.zeros((4, 2)), [0, 1, 0, 1], np.ones((4, 2)))


@pytest.mark.parametrize(
    ("argument", "use"),
    [
        ("path", lambda path: mk.datasets.from_folder(path)),
        ("data_dir", lambda path: mk.datasets.from_tfds("a", data_dir=path)),
        ("folder", lambda path: mk.callbacks.Backup(path)),
        ("log_dir", lambda path: mk.callbacks.TensorBoard(path)),
        ("path", lambda path: mk.export.load(path)),
        ("folder", lambda path: mk.export.write_predictions("a", path, "b")),
        ("filepath", lambda path: mk.export.write_predictions("a", "b", path)),
        ("filepath", lambda path: mk.export.write_classifier(0, path, DATA)),
        ("run", lambda path: mk.runs.FinishedRun(path)),
        ("path", lambda path: mk.runs.RunFolder(path, {})),
        ("model", lambda path: mk.runs.find_classifier(path)),
        ("output_dir", lambda path: settings.load(path)),
        ("output_dir", lambda path: mk.runs.Training(None, path)),
        ("folder", lambda path: pictures.load_folder(path, 1, 8)),
        ("path", lambda path: mk.report.plot_confusion(0, "ab", "", path)),
        ("path", lambda path: mk.report.plot_curves({}, "", path)),
        (
            "path",
            lambda path: mk.report.write(path, 0, 0, metrics=0, settings=0),
        ),
        ("path", lambda path: files.check_folder(path)),
        ("filepath", lambda path: files.check_free(path)),
        ("filepath", lambda path: files.write_whole(path, None)),
    ],
)
def test_a_null_in_a_path(argument, use):
    said = f"`{argument}` must be a path, in which no character is a null"
    for path in (BAD, BAD.encode()):
        with pytest.raises(ArgumentError, match=said) as error:
            use(path)
        assert "\0" not in str(error.value)


def test_a_null_in_the_path_of_a_model():
    net = mk.networks.make("small_cnn", (8, 8, 1), 3)
    model = mk.UDA(net)
    with pytest.raises(ArgumentError, match="`weights` must be a path"):
        mk.networks.make("small_cnn", (8, 8, 1), 3, weights=BAD)
    for use in (lambda: model.save("a\0.keras"), lambda: model.export(BAD)):
        with pytest.raises(ArgumentError, match="`filepath` must be a path"):
            use()


@pytest.mark.parametrize("path", [None, 3, ["a"], 1.5])
def test_what_is_no_path(path):
    with pytest.raises(ArgumentError, match="`folder` must be a path. Rec"):
        arguments.path("folder", path)
