"""The data of a training, and the recipe that tells of it."""

import importlib.util
import json
import os
import pathlib

import numpy as np
import pytest
from PIL import Image

from mpl_keras import augment, datasets, files, recipes, runs
from mpl_keras.checks import ArgumentError
from mpl_keras.runs import settings as settings_module
from mpl_keras.runs import training, tuning


@pytest.fixture(scope="module")
def small_pictures(tmp_path_factory):
    """Twelve pictures of 12 x 12 pixels, four of them labeled."""
    folder = tmp_path_factory.mktemp("small")
    random = np.random.default_rng(0)
    for part in ("labeled/a", "labeled/b", "unlabeled"):
        (folder / part).mkdir(parents=True)
        for i in range(2 if part != "unlabeled" else 8):
            pixels = random.integers(0, 256, (12, 12), np.uint8)
            Image.fromarray(pixels).save(folder / part / f"{i}.png")
    return folder


def loaded(**settings):
    return training.load_data(runs.Settings(**settings), verbose=False)


@pytest.mark.parametrize(
    ("options", "name"),
    [({}, "small_shifts"), ({"changes": {"views": "svhn"}}, "svhn")],
)
def test_the_recipe_names_the_views_of_pictures(small_pictures, options, name):
    """Settings that say other views than are taken would mislead."""
    data, recipe = loaded(dataset=str(small_pictures), **options)
    assert recipe.views == name
    assert data.views == augment.named_views(name, 12, 12)


def test_the_recipe_names_the_views_of_a_data_set_that_has_its_own():
    data, recipe = loaded(dataset="digits")
    assert recipe.views == "digits"
    assert data.views == augment.digits_views(scale=255)


def test_settings_may_be_numpys_and_paths(tmp_path):
    """They are written as JSON, after all files have been read."""
    told = runs.Settings(
        dataset=pathlib.Path("digits"),
        seed=np.int64(3),
        validation_fraction=np.float32(0.5),
        changes={"steps": np.int64(7), "threshold": np.float32(0.5)},
    )
    again = runs.Settings(
        dataset="digits",
        seed=3,
        validation_fraction=0.5,
        changes={"steps": 7, "threshold": 0.5},
    )
    assert told == again
    assert json.loads(json.dumps(told.request()))["seed"] == 3
    assert len(datasets.images(pathlib.Path("digits")).unlabeled) == 1257
    with pytest.raises(ArgumentError, match="`name` must be a folder that ex"):
        datasets.images(tmp_path / "none")


def test_names_that_are_no_utf8_come_back(tmp_path):
    known = {"dataset": os.fsdecode(b"pict\xe9"), "class": "caf\xe9"}
    path = tmp_path / "a.json"
    files.write_whole(path, files.json_writer(known))
    assert json.loads(path.read_text(encoding="utf-8")) == known


@pytest.mark.parametrize(
    ("place", "labels", "inside"),
    [
        ("", "table.csv", True),
        ("run", "table.csv", True),
        ("a/.b/run", "table.csv", False),
        ("../run", "table.csv", False),
        ("run", None, False),
        ("unlabeled/run", None, True),
        ("labeled", None, True),
        (".run", "table.csv", False),
    ],
)
def test_results_among_the_pictures_are_refused(
    place, labels, inside, tmp_path
):
    """They would be read as pictures when the training goes on."""
    (tmp_path / "data").mkdir()
    settings = runs.Settings(dataset=str(tmp_path / "data"), labels=labels)
    output_dir = str(tmp_path / "data" / place)
    if not inside:
        settings.check_outside(output_dir)
        return
    said = "`output_dir` must be outside of the folder of pictures"
    with pytest.raises(ArgumentError, match=said):
        settings.check_outside(output_dir)
    for begin in (
        lambda: runs.Training(settings, output_dir).run(),
        lambda: runs.Comparison(settings, ["uda"], [0], output_dir),
    ):
        with pytest.raises(ArgumentError, match=said):
            begin()
    assert [path.name for path in tmp_path.rglob("*")] == ["data"]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("views", "nonsense", "be one of ('cifar', "),
        ("backbone", "resnet", "(did you mean 'ResNet"),
        ("step", 3, "(did you mean 'steps'?)"),
    ],
)
def test_names_that_nobody_knows_are_refused_before_files_are_read(
    name, value, said
):
    with pytest.raises(ValueError) as error:
        runs.Settings(dataset="pictures", changes={name: value})
    assert said in str(error.value) and name in str(error.value)


@pytest.mark.parametrize("method", ["uda", "mpl"])
def test_one_network_alone_has_no_other_one_to_average(method):
    told = settings_module.described(
        {"method": method, "average_of": "teacher"}
    )
    assert ("average_of" in told) == (method == "mpl")


def test_a_search_goes_on_with_its_own_settings_alone(tmp_path, monkeypatch):
    """Trials of other data or steps would be compared with each other."""
    if importlib.util.find_spec("keras_tuner") is None:
        pytest.skip("KerasTuner is not installed")
    monkeypatch.setattr(tuning, "_search", lambda *rest: {"trials": rest[3]})
    recipe = recipes.get("digits")

    def tune(num_labeled=20, trials=2, seed=0, resume=True, **changes):
        data = datasets.digits(
            num_labeled, seed=seed, validation_fraction=0.2, dtype="uint8"
        )
        return runs.tune(
            data,
            recipes.adapt(recipe, **changes),
            tmp_path / "tuned",
            trials=trials,
            resume=resume,
        )

    assert tune(resume=False) == {"trials": 2}
    assert tune(trials=3) == {"trials": 3}
    with pytest.raises(FileExistsError, match="unless `resume`"):
        tune(resume=False)
    for changes, said in (
        ({"num_labeled": 30}, "labeled_images was 20, is 30"),
        ({"steps": 60}, "where `steps` was 1500.*Received: .*steps=60"),
        ({"seed": 1}, "checksum of the labeled images was"),
    ):
        with pytest.raises(FileExistsError, match=said):
            tune(**changes)
    with pytest.raises(FileExistsError, match="the folder of a search"):
        runs.load(tmp_path / "tuned")
    (tmp_path / "training").mkdir()
    known = json.dumps({"seed": 0})
    (tmp_path / "training" / "settings.json").write_text(known)
    with pytest.raises(FileExistsError, match="of a search .* of a training"):
        runs.tune(
            datasets.digits(20, validation_fraction=0.2),
            recipe,
            tmp_path / "training",
            resume=True,
        )
    lock = files.FolderLock(tmp_path / "tuned")
    lock.acquire()
    with pytest.raises(BlockingIOError, match="`folder` must be .*one job"):
        tune()
    lock.release()
