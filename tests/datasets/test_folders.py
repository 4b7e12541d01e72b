"""Folders of pictures: what is found, what is refused, what never leaks."""

import os
import warnings

import keras
import numpy as np
import pytest
from PIL import Image

from mpl_keras import augment, datasets, pipeline
from mpl_keras.datasets import folders, semi_supervised_data

VIEWS = augment.image_views(8, 8)
RANDOM = np.random.RandomState(0)
PIXELS = RANDOM.randint(0, 256, (40, 8, 8, 3)).astype("uint8")


def write(path, pixels, form="PNG"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, form)


@pytest.fixture
def root(tmp_path):
    """Two classes of three, six unlabeled ones, two to test with."""
    numbers = iter(range(40))
    for name in ("cat", "dög ß"):
        for k in range(3):
            write(
                tmp_path / "labeled" / name / f"{k}.png", PIXELS[next(numbers)]
            )
    for k in range(6):
        folder = tmp_path / "unlabeled" / ("deep er/still" if k % 2 else "")
        write(folder / f"{k} ü.png", PIXELS[next(numbers)])
    for name in ("cat", "dög ß"):
        write(tmp_path / "test" / name / "t.png", PIXELS[next(numbers)])
    return tmp_path


def load(path, **arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return folders.from_folder(path, views=VIEWS, **arguments)


def rows(images):
    return {image.tobytes() for image in images[:]}


def test_what_is_in_it(root):
    found = load(root)
    assert found.class_names == ("cat", "dög ß") and found.num_classes == 2
    x, y = found.labeled
    np.testing.assert_array_equal(x[:], PIXELS[:6])
    np.testing.assert_array_equal(y, [0, 0, 0, 1, 1, 1])
    # By sorted names, the labeled ones last.
    order = [6, 8, 10, 7, 9, 11, 0, 1, 2, 3, 4, 5]
    np.testing.assert_array_equal(found.unlabeled[:], PIXELS[order])
    ((x, y),) = found.test.as_numpy_iterator()
    np.testing.assert_array_equal(x, PIXELS[12:14])
    np.testing.assert_array_equal(y, [0, 1])
    assert found.validation is None


def test_batches_are_those_of_the_arrays(root):
    """Pixels in files are trained on as the same pixels in memory."""
    found = load(root)
    order = [6, 8, 10, 7, 9, 11]
    arrays = semi_supervised_data.from_arrays(
        PIXELS[:6], [0, 0, 0, 1, 1, 1], PIXELS[order], views=VIEWS
    )
    for first, second in zip(
        pipeline.training_dataset(arrays, 4, 8, seed=3).take(5),
        pipeline.training_dataset(found, 4, 8, seed=3).take(5),
        strict=True,
    ):
        for one, other in zip(
            keras.tree.flatten(first), keras.tree.flatten(second), strict=True
        ):
            np.testing.assert_array_equal(one, other)


def test_hidden_files_are_ignored(root):
    for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
        (root / "labeled/cat" / name).write_bytes(b"x")
        (root / "labeled" / name).write_bytes(b"x")
    (root / "unlabeled/.git").mkdir()
    (root / "unlabeled/.git/config").write_bytes(b"x")
    assert load(root).labeled[0].shape == (6, 8, 8, 3)


def test_kept_out_means_disjoint(root):
    write(root / "unlabeled/copy of a labeled one.bmp", PIXELS[0], "BMP")
    (root / "unlabeled/twin.png").write_bytes(
        (root / "labeled/cat/1.png").read_bytes()
    )
    inside = load(root)
    outside = load(root, labeled_in_unlabeled=False)
    assert len(inside.unlabeled) == 6 + 6
    assert len(outside.unlabeled) == 6
    assert not rows(outside.unlabeled) & rows(outside.labeled[0])


def test_some_labels_become_unlabeled(root):
    found = load(root, num_labeled=2, seed=1)
    other = load(root, num_labeled=2, seed=1, labeled_in_unlabeled=False)
    assert len(found.labeled[1]) == 2
    assert len(found.unlabeled) == 12 and len(other.unlabeled) == 10
    assert rows(found.labeled[0]) <= rows(found.unlabeled)
    assert not rows(other.labeled[0]) & rows(other.unlabeled)
    again = load(root, num_labeled=2, seed=1)
    assert again.labeled[0].paths == found.labeled[0].paths


@pytest.mark.parametrize("num_labeled", [2, None])
def test_validation_is_apart(root, num_labeled):
    found = load(root, num_labeled=num_labeled, validation_fraction=0.34)
    ((aside, _),) = found.validation.as_numpy_iterator()
    assert len(aside) == 2
    assert not rows(aside) & rows(found.unlabeled)
    assert not rows(aside) & rows(found.labeled[0])


def test_a_validation_folder(root):
    write(root / "validation/cat/v.png", PIXELS[20])
    with pytest.warns(UserWarning, match="validation has no folder for .'dög"):
        found = folders.from_folder(root, views=VIEWS)
    ((x, y),) = found.validation.as_numpy_iterator()
    np.testing.assert_array_equal(x, PIXELS[20:21])
    write(root / "validation/dög ß/v.png", PIXELS[21])
    with pytest.raises(ValueError, match="`validation_fraction` must be 0"):
        load(root, validation_fraction=0.3)


# What is the same picture.


def saved_again(path, target, form="PNG", mode=None, **options):
    """The same pixels in other bytes."""
    image = Image.open(path)
    image = image.convert(mode) if mode else image
    target.parent.mkdir(parents=True, exist_ok=True)
    image.save(target, form, **options)


SAME = {
    "bytes": {},
    "level": {"compress_level": 0},
    "bmp": {"form": "BMP"},
    "alpha": {"mode": "RGBA"},
    "text": {"dpi": (300, 300)},
}


@pytest.mark.filterwarnings("ignore:.*transparent")
@pytest.mark.parametrize("change", SAME)
def test_test_pictures_are_left_out_of_training(root, change):
    source, twin = root / "test/cat/t.png", root / "unlabeled/other name.png"
    if change == "bytes":
        twin.write_bytes(source.read_bytes())
    else:
        saved_again(source, twin, **SAME[change])
        assert twin.read_bytes() != source.read_bytes()
    with pytest.warns(UserWarning, match="other name.png.* left out"):
        found = folders.from_folder(root, views=VIEWS)
    assert PIXELS[12].tobytes() not in rows(found.unlabeled)
    assert len(found.unlabeled) == 12


def test_a_palette_and_grey_levels_are_the_same_picture(root):
    grey = np.arange(64, dtype="uint8").reshape(8, 8)
    write(root / "test/cat/grey.png", grey)
    saved_again(root / "test/cat/grey.png", root / "unlabeled/g.gif", "GIF")
    saved_again(
        root / "test/cat/grey.png", root / "unlabeled/c.png", mode="RGB"
    )
    with pytest.warns(UserWarning, match="2 files of the unlabeled"):
        folders.from_folder(root, views=VIEWS)


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("test/cat/t.png", "labeled/cat/t.png", "`labeled` and `test`.* same"),
        ("labeled/cat/1.png", "labeled/dög ß/9.png", "in one class.* same"),
        ("test/cat/t.png", "test/dög ß/9.png", "in one class.* same"),
    ],
)
def test_contradictions(root, source, target, message, again):
    if again:
        saved_again(root / source, root / target, compress_level=0)
    else:
        (root / target).write_bytes((root / source).read_bytes())
    with pytest.raises(ValueError, match=message):
        load(root)


def test_turned_pixels_are_another_picture(root):
    for name, pixels in (("cat", PIXELS[20]), ("dög ß", PIXELS[20][::-1])):
        write(root / f"labeled/{name}/turned.png", pixels)
    line = PIXELS[21].reshape(1, 64, 3)
    write(root / "labeled/cat/line.png", line)
    write(root / "labeled/dög ß/line.png", line.reshape(64, 1, 3))
    assert len(load(root).labeled[1]) == 10


def test_sizes_and_channels(tmp_path):
    for part in ("labeled/a", "labeled/b", "unlabeled"):
        for k, size in enumerate([(90, 120), (100, 300), (200, 70)]):
            pixels = RANDOM.randint(0, 256, size).astype("uint8")
            write(tmp_path / part / f"{k}.png", pixels)
    found = load(tmp_path)
    assert found.labeled[0].view_shape == (90, 90, 1)
    assert found.labeled[0].shape == (6, 103, 103, 1)
    small = load(tmp_path, image_size=(16, 24), channels=3)
    assert small.unlabeled.shape == (9, 16, 24, 3)
    views = augment.Views(
        augment.RandomResizedCrop(90), augment.RandomResizedCrop(90)
    )
    batches = pipeline.training_dataset(found, 2, 4, views=views)
    assert batches.element_spec[0]["weak"].shape == (4, 90, 90, 1)
    x, _ = next(iter(pipeline.labeled_dataset(found, 2)))
    assert x.shape == (2, 90, 90, 1)
    ((x, _),) = datasets.evaluation_batches(found.labeled[0], found.labeled[1])
    np.testing.assert_array_equal(x, found.labeled[0][:][:, 6:96, 6:96])


def test_default_views(root):
    for size, views in (
        (8, augment.image_views(8, 8)),
        (40, augment.svhn_views(40)),
        (70, augment.imagenet_views((70, 70))),
    ):
        found = folders.from_folder(root, image_size=size)
        assert found.views == views
        arrays = np.zeros((2, size, size, 3), "uint8")
        assert augment.default_views(arrays) == views


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("labeled", "labelled"),
        ("labeled", "label"),
        ("labeled", "Labels"),
        ("labeled", "train"),
        ("unlabeled", "Unlabeled"),
        ("unlabeled", "unlabelled"),
    ],
)
def test_a_part_under_another_name_is_recognised(root, part, name):
    os.rename(root / part, root / name)
    with pytest.raises(ValueError, match=f"Rename '{name}' to '{part}' if it"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            folders.from_folder(root)


@pytest.mark.parametrize("name", ["val", "Validation", "valid"])
def test_a_part_that_may_be_left_out_is_recognised(root, name):
    os.rename(root / "test", root / name)
    with pytest.warns(UserWarning, match=f"'{name}' to 'validation' if it"):
        folders.from_folder(root)


def test_no_renaming_of_what_is_there(root):
    os.mkdir(root / "tests")
    with pytest.warns(UserWarning, match="are not read[.]$"):
        folders.from_folder(root)


def test_a_class_in_other_letters_is_recognised(root):
    os.rename(root / "test/cat", root / "test/Cat")
    with pytest.raises(ValueError, match="did you mean 'cat' by 'Cat'"):
        load(root)


def test_folders_of_other_names_are_said(root):
    (root / "unlabelled").mkdir()
    with pytest.warns(UserWarning, match="'unlabelled'.*, which are none of"):
        folders.from_folder(root, views=VIEWS)


def test_a_picture_that_lies_on_its_side_is_turned(root):
    pixels = np.zeros((16, 32, 3), "uint8")
    pixels[:8, :24] = 255
    image = Image.fromarray(pixels)
    exif = image.getexif()
    exif[0x112] = 6  # as phones write that are held upright
    image.save(root / "unlabeled/phone.jpg", exif=exif, quality=95)
    with pytest.warns(UserWarning, match="phone.jpg: lying on its side"):
        found = folders.from_folder(root, views=VIEWS, image_size=(32, 16))
    number = [os.path.basename(p) for p in found.unlabeled.paths].index(
        "phone.jpg"
    )
    want = np.rot90(pixels, -1)
    assert np.abs(found.unlabeled[number] - want.astype(int)).max() < 30


# What cannot be used.


@pytest.fixture
def damaged(root):
    whole = (root / "labeled/cat/0.png").read_bytes()
    (root / "unlabeled/empty.png").write_bytes(b"")
    (root / "unlabeled/words.jpg").write_bytes(b"no picture")
    (root / "unlabeled/truncated.png").write_bytes(whole[: len(whole) - 60])
    broken = bytearray(whole)
    broken[60:90] = bytes(30)
    (root / "unlabeled/corrupt.png").write_bytes(broken)
    (root / "unlabeled/page.tif").write_bytes(b"")
    write(root / "unlabeled/page.tif", PIXELS[30], "TIFF")
    return root


def test_unreadable_files_are_listed(damaged):
    with pytest.raises(ValueError) as error:
        load(damaged)
    text = str(error.value)
    assert text.startswith("5 files in ") and '"leave_out"' in text
    for line in (
        "empty.png is empty (zero bytes)",
        "words.jpg is not an image, or is damaged",
        "truncated.png is damaged or truncated",
        "corrupt.png is damaged or truncated",
        "page.tif is TIFF, not one of PNG, JPEG, BMP, GIF, WEBP",
    ):
        assert line in text, text


def test_too_many_pixels(root):
    write(root / "unlabeled/large.png", np.zeros((9, 8, 3), "uint8"))
    with pytest.raises(
        ValueError, match="large.png has too many pixels, 8 x 9"
    ):
        load(root, max_pixels=71)
    with pytest.warns(UserWarning, match="too many pixels"):
        found = folders.from_folder(
            root, views=VIEWS, max_pixels=71, unreadable="leave_out"
        )
    assert len(found.unlabeled) == 12
    # What is exported takes no more.
    assert found.preprocessing.max_pixels == 71
    assert len(datasets.images(str(root), max_pixels=72).unlabeled) == 13
    with pytest.raises(ValueError, match="`max_pixels` must be .*=0"):
        load(root, max_pixels=0)


def test_unreadable_files_are_left_out_if_asked(damaged):
    with pytest.warns(UserWarning, match="(?s)5 files in .*left out"):
        found = folders.from_folder(
            damaged, views=VIEWS, unreadable="leave_out"
        )
    assert len(found.unlabeled) == 12
    assert found.unlabeled[:].shape == (12, 8, 8, 3)


def test_long_lists_are_cut(root):
    for k in range(25):
        (root / f"unlabeled/{k:02d}.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match="and 15 more"):
        load(root)


def test_links_that_leave_the_folder(root, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    write(outside / "secret.png", PIXELS[33])
    os.symlink(outside / "secret.png", root / "unlabeled/link.png")
    os.symlink(outside, root / "unlabeled/folder")
    os.symlink(root / "nothing", root / "unlabeled/dangling.png")
    write(outside / "owl/o.png", PIXELS[35])
    os.symlink(outside / "owl", root / "labeled/owl")
    write(root / "test/owl/t.png", PIXELS[36])
    with pytest.raises(ValueError) as error:
        load(root)
    text = str(error.value)
    assert "link.png is a link that leaves the folder" in text
    assert "unlabeled/folder is a link to a folder" in text
    assert "labeled/owl is a link that leaves the folder" in text
    assert "dangling.png cannot be opened" in text


def test_a_link_inside_is_a_file(root):
    os.symlink(root / "unlabeled/0 ü.png", root / "unlabeled/9.png")
    assert len(load(root).unlabeled) == 13


def test_unusual_pictures_are_said(root):
    Image.fromarray(PIXELS[34]).convert("CMYK").save(
        root / "unlabeled/print.jpg"
    )
    with pytest.warns(UserWarning, match="1 file, such as .*print.jpg: CMYK"):
        folders.from_folder(root, views=VIEWS)


def emptied(folder):
    for file in folder.rglob("*.png"):
        file.unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda r: emptied(r / "labeled/cat"), "each class .*none of .'cat'"),
        (lambda r: (r / "test/cow").mkdir(), "classes of `labeled`.*'cow'"),
        (lambda r: (r / "labeled/cat").rename(r / "x"), "at least two classes"),
        (lambda r: emptied(r / "unlabeled"), "must hold unlabeled .*none"),
        (
            lambda r: (r / "labeled/names.txt").write_text("cat"),
            "folders alone .*names.txt",
        ),
    ],
)
def test_errors_of_the_layout(root, spoil, message):
    spoil(root)
    with pytest.raises(ValueError, match=message):
        load(root)


def test_a_class_without_a_picture_is_found_before_files_are_read(
    root, monkeypatch
):
    monkeypatch.setattr(folders.folder_files, "read", None)
    for part in ("labeled", "test"):
        (root / part / "sandal").mkdir()
    with pytest.raises(ValueError, match="none of .'sandal'.. Put pictures "):
        load(root)


def test_a_folder_of_another_kind(root):
    with pytest.raises(FileNotFoundError, match="`path` must be a folder"):
        load(root / "missing")
    with pytest.raises(
        FileNotFoundError, match="folders `labeled`.*'cat'"
    ) as error:
        load(root / "labeled")
    assert str(error.value).endswith(f"Give the folder above it, {root}")
    table = root / "labeled" / "cat" / "labels.csv"
    table.touch()
    with pytest.raises(FileNotFoundError, match="give it as `labels`") as error:
        load(table.parent)
    assert f"If {table} says which picture" in str(error.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pictues", "There is no folder of that name (did you mean 'my pict"),
        ("./my pictues", "(did you mean './my pictures'?)"),
        ("data/my picture", "Received: name=data/my picture"),
        ("cifra10", "Received: name=cifra10. (It must be a data set of Te"),
    ],
)
def test_a_folder_that_is_not_there(name, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my pictures").mkdir()
    with pytest.raises(ValueError, match="must be a folder that ex") as error:
        datasets.images(name)
    assert said in str(error.value)
    assert "such as" not in str(error.value) or name == "cifra10"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(unreadable="skip"), "`unreadable` must be one of"),
        (dict(channels=4), "`channels` must be one of"),
        (dict(image_size=-3), "`image_size` must be .*=-3"),
        (dict(num_labeled=3), "`num_labeled` must be a multiple of 2"),
        (dict(num_labeled=1), "at least 2, one for each of 2 classes. Rec"),
        (dict(num_labeled=8), "at most 6: there are 6 labeled examples. Rec"),
        (dict(validation_fraction=0.01), "at least one example"),
    ],
)
def test_errors_of_arguments(root, arguments, message):
    with pytest.raises(ValueError, match=message):
        load(root, **arguments)


def test_a_class_of_few_is_called_by_its_name(root):
    os.remove(root / "labeled/cat/0.png")
    with pytest.raises(ValueError, match="only 2 of class 'cat' .unless") as e:
        load(root, num_labeled=6)
    told = str(e.value.renamed({"num_labeled": "--num_labeled"}))
    assert "--num_labeled must be at most 4" in told
    assert "balanced" not in told


@pytest.mark.slow
def test_digits_as_files_train_as_the_array_does(tmp_path):
    """The same pixels, seed and networks: the same accuracy."""
    arrays = datasets.digits(20, dtype="uint8")
    x, y = arrays.labeled
    images = [(f"labeled/{k}/{i}", x[i]) for i, k in enumerate(y)]
    images += [(f"unlabeled/{i:04}", u) for i, u in enumerate(arrays.unlabeled)]
    for name, pixels in images:
        write(tmp_path / f"{name}.png", pixels[..., 0])
    found = load(tmp_path)
    assert found.labeled[0].shape == (20, 8, 8, 1)
    assert found.unlabeled.dtype == "uint8"
    assert rows(found.unlabeled) == rows(arrays.unlabeled)


def test_names_need_not_be_utf8(root):
    name = os.path.join(os.fsencode(root), b"unlabeled/\xff\xfe.png")
    os.rename(os.fsencode(root / "unlabeled/0 ü.png"), name)
    found = load(root)
    assert PIXELS[6].tobytes() in rows(found.unlabeled)
    assert os.fsdecode(name) in found.unlabeled.paths


CODES = "\x1b[31m\nfake: line"


def test_codes_in_names_reach_nobody(root):
    name = f"{CODES}.jpg"
    Image.fromarray(PIXELS[34]).convert("CMYK").save(root / "unlabeled" / name)
    with pytest.warns(UserWarning) as caught:
        folders.from_folder(root, views=VIEWS)
    (root / "unlabeled" / name).write_bytes(b"")
    (root / f"odd {CODES}").mkdir()
    with pytest.warns(UserWarning) as more, pytest.raises(ValueError) as error:
        folders.from_folder(root, views=VIEWS)
    said = [str(warning.message) for warning in [*caught, *more]]
    assert len(said) == 2
    for text in (*said, str(error.value)):
        assert r"\x1b[31m\nfake" in text
        assert "\x1b" not in text and "\nfake" not in text


def test_names_that_print_alike(root):
    one, other = "caf\xe9", "cafe\u0301"
    (root / "labeled/cat").rename(root / "labeled" / one)
    (root / "test/cat").rename(root / "test" / other)
    with pytest.raises(ValueError, match="form of Unicode") as error:
        load(root)
    assert r"'caf\xe9'" in str(error.value)
    assert r"'cafe\u0301'" in str(error.value)
    (root / "test" / other).rename(root / "test" / one)
    (root / f"labeled/{one}/0.png").rename(root / f"labeled/{one}/{one}.png")
    # In one class, of the test's and of the labeled ones: the same picture.
    saved_again(
        root / f"labeled/{one}/{one}.png", root / f"test/{one}/{other}.png"
    )
    with pytest.raises(ValueError, match="labeled/café/café.png"):
        load(root)
    (root / f"test/{one}/{other}.png").unlink()
    saved_again(
        root / f"labeled/{one}/{one}.png", root / f"labeled/{other}/{one}.png"
    )
    with pytest.raises(ValueError, match="differ in more than") as error:
        load(root)
    assert r"['cafe\u0301', 'caf\xe9']" in str(error.value)


def test_the_order_is_not_that_of_the_file_system(root, monkeypatch):
    want = load(root)
    real = os.listdir
    monkeypatch.setattr(os, "listdir", lambda p: sorted(real(p))[::-1])
    found = load(root)
    assert found.class_names == want.class_names
    np.testing.assert_array_equal(found.labeled[1], want.labeled[1])
    assert found.unlabeled.paths == want.unlabeled.paths


def test_a_link_to_a_neighbour_of_a_like_name(root):
    other = root.parent / (root.name + "2")
    write(other / "secret.png", PIXELS[33])
    os.symlink(other / "secret.png", root / "unlabeled/link.png")
    with pytest.raises(ValueError, match="link.png is a link that leaves"):
        load(root)


def test_a_folder_that_cannot_be_listed(root, monkeypatch):
    real = os.scandir

    def scandir(path):
        if str(path).endswith("deep er"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(ValueError, match="deep er cannot be opened"):
        load(root)
    with pytest.warns(UserWarning, match="deep er cannot be opened"):
        found = folders.from_folder(root, views=VIEWS, unreadable="leave_out")
    assert len(found.unlabeled) == 9


def test_another_seed_chooses_others(root):
    chosen = {
        tuple(load(root, num_labeled=2, seed=s).labeled[0].paths)
        for s in range(8)
    }
    assert len(chosen) > 1


def test_unbalanced(root):
    found = load(root, num_labeled=3, balanced=False)
    assert sorted(np.bincount(found.labeled[1])) == [1, 2]


def test_validation_pictures_are_left_out_of_training(root):
    write(root / "validation/cat/v.png", PIXELS[20])
    write(root / "validation/dög ß/v.png", PIXELS[21])
    twin = root / "unlabeled/other name.png"
    twin.write_bytes((root / "validation/cat/v.png").read_bytes())
    with pytest.warns(UserWarning, match="other name.png.* left out"):
        found = folders.from_folder(root, views=VIEWS)
    assert PIXELS[20].tobytes() not in rows(found.unlabeled)


def test_a_labeled_picture_to_choose_with(root):
    for name in ("cat", "dög ß"):
        (root / "validation" / name).mkdir(parents=True)
    (root / "validation/cat/v.png").write_bytes(
        (root / "labeled/cat/1.png").read_bytes()
    )
    with pytest.raises(ValueError, match="validation/cat/v.png"):
        load(root)


def test_one_coloured_picture_makes_all_coloured(root):
    for file in root.rglob("*.png"):
        Image.open(file).convert("L").save(file)
    assert load(root).labeled[0].shape[-1] == 1
    write(root / "unlabeled/colour.png", PIXELS[30])
    assert load(root).labeled[0].shape[-1] == 3


def test_large_pictures_become_224(tmp_path):
    for k, part in enumerate(("labeled/a", "labeled/b", "unlabeled")):
        pixels = RANDOM.randint(0, 256, (300 + k, 400)).astype("uint8")
        write(tmp_path / part / "0.png", pixels)
    found = folders.from_folder(tmp_path)
    assert found.labeled[0].shape == (2, 256, 256, 1)
    assert found.labeled[0].view_shape == (224, 224, 1)


def test_sizes_are_those_of_all_pictures(root):
    for k in range(20):
        big = RANDOM.randint(0, 256, (90, 95, 3)).astype("uint8")
        write(root / f"unlabeled/big {k}.png", big)
    found = load(root, image_size=None)
    assert found.labeled[0].view_shape == (90, 90, 3)


def test_one_picture_of_the_size_is_not_all(tmp_path):
    for k, part in enumerate(("labeled/a", "labeled/b", "unlabeled")):
        pixels = RANDOM.randint(0, 256, (80 + k, 80)).astype("uint8")
        write(tmp_path / part / "0.png", pixels)
    found = folders.from_folder(tmp_path, image_size=80)
    assert found.labeled[0].shape == (2, 91, 91, 1)
    assert found.labeled[0].subset([1]).view_shape == (80, 80, 1)


@pytest.mark.parametrize("seed", range(3))
def test_contradictions_do_not_depend_on_the_seed(root, seed):
    (root / "labeled/cat/t.png").write_bytes(
        (root / "test/cat/t.png").read_bytes()
    )
    with pytest.raises(ValueError, match="`labeled` and `test`"):
        load(root, num_labeled=2, validation_fraction=0.4, seed=seed)


def test_a_picture_that_is_twice_in_a_class_counts_once(root):
    (root / "labeled/cat/again.png").write_bytes(
        (root / "labeled/cat/1.png").read_bytes()
    )
    assert len(load(root).labeled[1]) == 6


def test_validation_leaves_a_label_of_each_class(root):
    for k in (1, 2):
        (root / f"labeled/cat/{k}.png").unlink()
    for seed in range(4):
        try:
            found = load(root, validation_fraction=0.5, seed=seed)
        except ValueError as error:
            assert "of each class" in str(error)
        else:
            assert set(found.labeled[1]) == {0, 1}


def test_what_is_no_file(root):
    os.mkfifo(root / "unlabeled/pipe")
    with pytest.raises(ValueError, match="pipe is no file"):
        load(root)


def test_a_log_gets_one_line_of_how_far_the_files_are(root, capsys):
    """Not a bar that moves, whose every state would stand there."""
    datasets.from_folder(root, verbose=True)
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("Looking at ")
    count = first.split()[2]
    assert second.startswith(f"{count}/{count} - ") and len(second) < 80


def test_the_folder_may_be_left(root, monkeypatch):
    monkeypatch.chdir(root.parent)
    found = load(root.name)
    monkeypatch.chdir("/")
    np.testing.assert_array_equal(found.labeled[0][:], PIXELS[:6])


# A table in place of folders.


def listed(folder, rows, head="file,class"):
    """Ten pictures in one folder, and a table of some of them."""
    for k in range(10):
        write(folder / f"{k}.png", PIXELS[k])
    text = "\ufeff" + "\n".join([head, *rows]) + "\n"
    (folder / "table.csv").write_text(text, encoding="utf-8")
    return load(folder, labels="table.csv")


def test_a_table_names_the_classes(tmp_path):
    found = listed(tmp_path, ["3.png,cat", '0.png,"dog, small"', "5.png,"])
    assert found.class_names == ("cat", "dog, small")
    np.testing.assert_array_equal(found.labeled[0][:], PIXELS[[0, 3]])
    np.testing.assert_array_equal(found.labeled[1], [1, 0])
    order = [1, 2, 4, 5, 6, 7, 8, 9, 0, 3]
    np.testing.assert_array_equal(found.unlabeled[:], PIXELS[order])
    assert found.test is None
    again = datasets.images(str(tmp_path), labels=str(tmp_path / "table.csv"))
    np.testing.assert_array_equal(again.labeled[1], [1, 0])


def test_a_table_names_the_parts(tmp_path):
    rows = ["test,cat,1.png", "test,dog,2.png", "validation,dog,3.png"]
    rows += [",cat,4.png", "labeled,dog,5.png", "unlabeled,,6.png"]
    found = listed(tmp_path, rows, "part,class,file")
    ((x, y),) = found.test.as_numpy_iterator()
    np.testing.assert_array_equal(x, PIXELS[[1, 2]])
    np.testing.assert_array_equal(y, [0, 1])
    ((x, y),) = found.validation.as_numpy_iterator()
    np.testing.assert_array_equal(x, PIXELS[[3]])
    assert len(found.labeled[1]) == 2 and len(found.unlabeled) == 7


def test_a_table_of_all_can_be_split(tmp_path):
    for k in range(10):
        write(tmp_path / f"sub/{k}.png", PIXELS[k])
    rows = [f"sub/{k}.png,{'ab'[k % 2]}" for k in range(10)]
    (tmp_path / "t.csv").write_text("\n".join(["file,class", *rows]))
    found = load(
        tmp_path, labels=tmp_path / "t.csv", num_labeled=4, balanced=True
    )
    assert len(found.labeled[1]) == 4 and len(found.unlabeled) == 10


@pytest.mark.parametrize(
    ("rows", "head", "message"),
    [
        (["0.png,a"], "name,label", r"`file` and `class` .*\['name', 'label'"),
        (["0.png,a"], "file,class", "at least two classes.*'a'"),
        (["0.png,a", "0.png,b"], "file,class", "name a file once.*line 3"),
        (["0.png,a,train"], "file,class,part", "`part` nothing.*line 2"),
        (["0.png,,test"], "file,class,part", "`part` nothing.*line 2"),
        (
            ["0.png,a", "x.png,b"],
            "file,class",
            "x.png is in the table, and not",
        ),
        (
            ["0.png,a", "1.png,b,test"],
            "file,class,part",
            "a picture of each class in .*table.csv",
        ),
    ],
)
def test_tables_that_say_too_little(rows, head, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        listed(tmp_path, rows, head)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_table_that_is_no_utf8_is_named(encoding, tmp_path):
    text = "file,class\n0.png,caf\xe9\n1.png,tea\n"
    (tmp_path / "table.csv").write_bytes(text.encode(encoding))
    with pytest.raises(ValueError, match="`labels` must be .*UTF-8.*table.csv"):
        load(tmp_path, labels="table.csv")


def test_a_table_with_an_endless_cell_is_named(tmp_path):
    (tmp_path / "table.csv").write_text(f"file,class\n0.png,{'a' * 140_000}\n")
    with pytest.raises(ValueError, match="`labels` must be .*larger than"):
        load(tmp_path, labels="table.csv")


def test_classes_of_a_table_that_nobody_could_tell_apart(tmp_path):
    rows = ["0.png,caf\xe9", "1.png,cafe\u0301", "2.png,tea"]
    with pytest.raises(ValueError, match="form of Unicode.*cafe.u0301"):
        listed(tmp_path, rows)


def test_classes_of_a_table_that_may_be_none_are_warned_of(tmp_path):
    with pytest.raises(UserWarning, match="holds .'cat', 'Cat'"):
        listed(tmp_path, ["0.png,cat", "1.png,Cat"])
    rows = ["0.png,cat", "1.png,Cat", "2.png,dog", "3.png,?", "4.png,?"]
    (tmp_path / "table.csv").write_text("\n".join(["file,class", *rows]))
    with pytest.warns(UserWarning) as warned:
        found = folders.from_folder(tmp_path, labels="table.csv")
    odd, alike = (str(one.message) for one in warned)
    assert odd.startswith("`labels` holds '?' 2 times, which is taken for a cl")
    assert alike.startswith("`labels` holds ['cat', 'Cat'], which differ in c")
    assert found.class_names == ("?", "Cat", "cat", "dog")


def test_tables_that_are_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="`labels` must be a CSV file"):
        load(tmp_path, labels="none.csv")
    with pytest.raises(ValueError, match="`labels` must be given for a folder"):
        datasets.images("digits", labels="table.csv")


def test_webp_is_trained_on_as_png_is(root):
    pictures = {"plain": {"lossless": True}, "lossy": {"quality": 50}}
    before = load(root)
    for name, options in pictures.items():
        file = root / "unlabeled" / f"{name}.webp"
        Image.fromarray(PIXELS[30]).save(file, "WEBP", **options)
    found = load(root)
    assert len(found.unlabeled) == len(before.unlabeled) + 2
    assert PIXELS[30].tobytes() in rows(found.unlabeled)
    Image.fromarray(PIXELS[12]).save(
        root / "unlabeled/test.webp", "WEBP", lossless=True
    )
    with pytest.warns(UserWarning, match="1 file of the unlabeled ones.*webp"):
        folders.from_folder(root, views=VIEWS)
