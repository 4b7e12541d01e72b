"""A folder of files through a classifier: every file gets its row."""

import os
import pathlib

import numpy as np
import pytest

from mpl_keras.datasets import image_files
from mpl_keras.export import loading, prediction
from mpl_keras.images import reading


@pytest.mark.parametrize("batch_size", [1, 7, 256])
def test_every_file_gets_a_prediction(
    batch_size, classifier_file, picture_folder, bad_pictures
):
    classifier = loading.load(classifier_file)
    paths = sorted(str(p) for p in picture_folder.rglob("[!.]*") if p.is_file())
    paths.append(str(picture_folder / "gone.png"))
    found = list(prediction.predict_files(classifier, paths, batch_size))
    assert [p.path for p in found] == paths
    for path, probabilities, error in found:
        name = os.path.basename(path)
        if name in bad_pictures or name == "gone.png":
            assert probabilities is None
            assert bad_pictures.get(name, "cannot be opened") in error
        else:
            # As training and evaluation see the file.
            header = reading.inspect(pathlib.Path(path).read_bytes())
            source = image_files.ImageFiles(
                [path], [header.special], (12, 12, 3)
            )
            expected = classifier(source[:1])[0]
            np.testing.assert_allclose(probabilities, expected, atol=1e-6)
            assert error == ""
