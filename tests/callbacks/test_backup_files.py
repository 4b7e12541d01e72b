"""What counts as damaged, as changed, and as ours in a folder of backups."""

import functools
import io
import json
import os
import re
import warnings
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import mpl_keras
from mpl_keras import augment, datasets, pipeline
from mpl_keras.callbacks import backup, backup_files
from mpl_keras.checks import settings

X = np.random.RandomState(0).normal(size=(60, 6)).astype("float32")
Y = np.arange(40) % 3


class Noise:
    """A view as users write one."""

    def __init__(self, stddev):
        self.stddev = stddev

    def __call__(self, x, seed):
        return x + self.stddev * tf.random.stateless_normal(tf.shape(x), seed)


class AtLeast(keras.metrics.SparseCategoricalAccuracy):
    """A metric whose configuration does not tell all."""

    def __init__(self, least=0.5):
        super().__init__(name="at_least")
        self.least = least


def make_data(x=X, y=Y, weak=None, strong=None):
    weak = weak or augment.GaussianNoise(0.1)
    views = augment.Views(weak, strong or augment.GaussianNoise(0.2))
    data = datasets.from_arrays(x[: len(y)], y, x, num_classes=3)
    return pipeline.training_dataset(data, 6, 12, views=views)


def make_model(metrics=("accuracy",), rate=0.1):
    net = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    model = mpl_keras.UDA(net)
    model.compile(keras.optimizers.SGD(rate), metrics=list(metrics))
    model._prepare_metrics(Y)
    return model


@pytest.fixture(scope="module")
def model():
    return make_model()


# Damaged.


def written(step=7, count=3):
    file = io.BytesIO()
    arrays = [np.arange(20.0) + i for i in range(count)]
    facts = json.dumps({"fingerprint": {}, "epoch": 0, "batch": 1})
    backup_files.write(file, arrays, facts, step)
    return file.getvalue()


def flipped(contents, bit):
    changed = bytearray(contents)
    changed[bit // 8] ^= 1 << bit % 8
    return changed


def headers(contents):
    """Bytes that are no values: headers of a zip's members, and the end."""
    with zipfile.ZipFile(io.BytesIO(contents)) as archive:
        for member in archive.infolist():
            start = member.header_offset
            name, extra = contents[start + 26], contents[start + 28]
            yield from range(start, start + 30 + name + extra)
        yield from range(archive.start_dir, len(contents))


def damaged(path, contents):
    path.write_bytes(contents)
    try:
        backup_files.read(path)
    except backup_files.DamagedBackupError:
        return True
    return False


def test_a_backup_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(written())
    arrays, facts = backup_files.read(path)
    assert facts["batch"] == 1
    np.testing.assert_array_equal(arrays[2], np.arange(20.0) + 2)
    with np.load(path) as file:  # as anyone can read it
        np.testing.assert_array_equal(file["v000002"], arrays[2])


@pytest.mark.parametrize("every", [29, pytest.param(1, marks=pytest.mark.slow)])
def test_every_flipped_bit_is_damage(every, tmp_path):
    contents = written()
    bits = [8 * byte + bit for byte in headers(contents) for bit in range(8)]
    rest = np.random.RandomState(0).randint(0, 8 * len(contents), 1000)
    for bit in [*bits, *rest][::every]:
        changed = flipped(contents, bit)
        assert damaged(tmp_path / "a", changed), (bit // 8, bit % 8)


def test_no_flipped_bit_changes_what_is_listed(tmp_path):
    contents, older = written(7), tmp_path / backup_files.file_name(4)
    older.write_bytes(written(4))
    path = tmp_path / backup_files.file_name(7)
    saver = backup.Backup(tmp_path)
    end = range(len(contents) - 160, len(contents))
    with open(path, "wb") as file:
        for bit in [8 * byte + bit for byte in end for bit in range(8)]:
            file.seek(0)
            file.write(flipped(contents, bit))
            file.flush()
            assert saver.backups() == [(4, str(older)), (7, str(path))], bit


@pytest.mark.parametrize("length", [0, 1, 100, 500, -1])
def test_what_is_cut_off_is_damaged(length, tmp_path):
    assert damaged(tmp_path / "a", written()[:length])


def test_the_backup_before_is_taken(tmp_path):
    """Also where the headers alone say of encryption or other methods."""
    saver = backup.Backup(tmp_path)
    saver._fingerprint = {}
    (tmp_path / backup_files.file_name(7)).write_bytes(written(7))
    contents = written(9)
    (tmp_path / "last").write_bytes(contents)
    start = zipfile.ZipFile(tmp_path / "last").start_dir
    for byte, bit in ((6, 0), (start + 8, 0), (start + 10, 3), (start + 20, 1)):
        newest = tmp_path / backup_files.file_name(9)
        newest.write_bytes(flipped(contents, 8 * byte + bit))
        with pytest.warns(UserWarning, match="000009.npz is damaged.*SHA-256"):
            assert saver._newest()[0] == 7


def test_a_file_that_may_not_be_read_is_not_damaged(tmp_path, monkeypatch):
    path = tmp_path / backup_files.file_name(7)
    path.write_bytes(written())

    def forbidden(*arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(backup_files, "_check_whole", forbidden)
    with pytest.raises(PermissionError, match="`folder` must.*Permission"):
        backup.Backup(tmp_path)._newest()


# Ours.


USERS = (
    *("backup-old.npz", "backup-.npz", "backup-12.npz", "backup-1e3.npz"),
    *("backup-000000000002 (copy).npz", "backup-000000000002.npz.bak"),
    *("backup-000000000002.NPZ", "backup-000000000002.npz~", "notes.txt"),
    *("Copy of backup-000000000002.npz", "backup--00000000002.npz"),
    *("backup-0000000000002.npz", "backup-٠٠٠٠٠٠٠٠٠٠٠٢.npz", ".backup-probe"),
    *("backup-000000000002.npz\n", ".backup-old.npz", ".backup-notes"),
    *(".backup-000000000002.npz", ".backup-000000000002.npz.x1y2"),
    *("._backup-000000000002.npz", ".backup-.npz.half", "backup-0.npz"),
    *("backup-best.npz", "backup", "model.keras", "backup-00000000000x.npz"),
    *(".DS_Store", "probe", "backup-000000000002.npz.half", "Backup-1.npz"),
)


def fit(folder, keep=1, every=2, steps=3):
    saver = backup.Backup(folder, every=every, keep=keep)
    model = make_model()
    saver.set_model(model)
    saver.on_fit(model, make_data(), 9)
    for number in range(1, steps + 1):
        model.step.assign(number * every)
        saver._position = 0, number
        saver._save()
    saver.on_fit_end()
    return saver


def test_files_of_users_are_not_touched(tmp_path):
    for name in USERS:
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "backup-000000000004.npz").mkdir()
    (tmp_path / ".backup-000000000002.npz.half").write_bytes(b"of a kill")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the folder of a backup's name
        saver = fit(tmp_path)
    assert [step for step, _ in saver.backups()] == [6]
    for name in USERS:
        assert (tmp_path / name).read_bytes() == name.encode()
    ours = {"backup-000000000006.npz", "backup-000000000004.npz"}
    assert set(os.listdir(tmp_path)) == {*USERS, *ours}


def test_a_file_of_a_users_with_a_backups_name_stays(tmp_path):
    path = tmp_path / backup_files.file_name(1)
    path.write_bytes(b"mine")
    (tmp_path / backup_files.file_name(0)).write_bytes(written(0))
    with pytest.warns(UserWarning, match="000001.npz is damaged"):
        saver = backup.Backup(tmp_path)
        saver._fingerprint = {}
        assert saver._newest()[0] == 0
    saver._write(2, [], "{}")
    saver._write(3, [], "{}")
    saver._write(4, [], "{}")
    assert path.read_bytes() == b"mine"
    assert [step for step, _ in saver.backups()] == [1, 3, 4]


def test_the_newest_is_that_of_the_most_steps(tmp_path):
    for name, step in ((2, 20), (12, 12), (10**12, 4)):
        (tmp_path / backup_files.file_name(name)).write_bytes(written(step))
    saver = backup.Backup(tmp_path)
    assert [step for step, _ in saver.backups()] == [4, 12, 20]
    saver._fingerprint = {}
    assert saver._newest()[0] == 20
    for step in (10**12 - 1, 10**12):
        saver._write(step, [], "{}")
    assert [s for s, _ in saver.backups()][-2:] == [10**12 - 1, 10**12]


def test_what_was_passed_over_does_not_crowd_out_the_good_one(tmp_path):
    (tmp_path / backup_files.file_name(7)).write_bytes(written(7))
    bad = flipped(written(9), 400)
    (tmp_path / backup_files.file_name(9)).write_bytes(bad)
    saver = backup.Backup(tmp_path, keep=1)
    saver._fingerprint = {}
    with pytest.warns(UserWarning):
        saver._newest()
    saver._write(8, [], "{}")
    assert [step for step, _ in saver.backups()] == [8, 9]
    saver._write(9, [], "{}")
    assert [step for step, _ in saver.backups()] == [9]
    assert backup_files.read(tmp_path / backup_files.file_name(9))


# Changed.


def changed_at(array, index, value):
    array = array.copy()
    array[index] = value
    return array


def scaled(factor):
    return lambda x, seed: x * factor


@pytest.fixture(scope="module")
def mark(model):
    return backup_files.fingerprint(model, make_data(), 5)


@pytest.mark.parametrize(
    ("now", "message"),
    [
        (dict(y=changed_at(Y, 17, 0)), "checksum of labels of labeled exa"),
        (dict(x=changed_at(X, (11, 2), 9)), "checksum of labeled examples"),
        (dict(x=changed_at(X, (51, 2), 9)), "checksum of unlabeled examp"),
        (
            dict(weak=Noise(0.1)),
            "views was other: weak.class was GaussianNoise, is Noise",
        ),
    ],
)
def test_other_data_are_named(now, message, mark, model):
    other = backup_files.fingerprint(model, make_data(**now), 5)
    with pytest.raises(ValueError, match=f"a.npz must be .*\n  {message}"):
        backup_files.check_same(mark, other, "a.npz")


def test_the_same_data_are_the_same(mark, model):
    assert json.loads(json.dumps(mark)) == mark
    again = backup_files.fingerprint(model, make_data(), 5)
    backup_files.check_same(mark, again, "a.npz")


@pytest.mark.parametrize(
    ("make", "values", "message"),
    [
        (Noise, (0.1, 0.2), "stddev was 0.1, is 0.2"),
        (scaled, (0.5, 0.25), "around.factor was 0.5, is 0.25"),
        (
            lambda k: (lambda x: x * 3.0) if k else (lambda x: x * 4.0),
            (1, 0),
            r"constants\[0\] was 3.0, is 4.0",
        ),
        (
            lambda k: functools.partial(max, k=k),
            (1.0, 2.0),
            "keywords.k was 1.0, is 2.0",
        ),
        (
            lambda k: augment.Compose([Noise(0.1), Noise(k)]),
            (0.1, 0.3),
            r"pieces\[1\].stddev was 0.1, is 0.3",
        ),
        (
            lambda k: Noise(np.full(3, k)).__call__,
            (0.0, 1.0),
            r"of.stddev\[0\] was 0.0, is 1.0",
        ),
        (
            keras.layers.RandomRotation,
            (0.1, 0.3),
            r"factor\[0\] was -0.1, is -0.3",
        ),
        (
            lambda k: lambda x: scaled(k)(x, 0),
            (1.0, 2.0),
            "around.k was 1.0, is 2.0",
        ),
    ],
)
def test_settings_of_views_are_told(make, values, message):
    was, same, now = (settings.described(make(k)) for k in (values[0], *values))
    assert was == same == json.loads(json.dumps(was))
    (line,) = settings.differences(was, now, "views")
    assert re.fullmatch(f"views was other: {message}", line), line


def class_of(code):
    """A view's class, from its source."""
    names = {"tf": tf, "__name__": "views"}
    exec(code, names)
    return names["View"]


BODY = """
class Base:
    def move(self, x):
        return x + 0.1
class View(Base):
    def __call__(self, x, seed):
        return self.move(x)
"""


@pytest.mark.parametrize(
    "make",
    [
        lambda k: (
            (lambda x: (lambda: x + 0.1)())
            if k
            else (lambda x: (lambda: x - 0.1)())
        ),
        lambda k: (lambda x: x + 0.1) if k else (lambda x: x - 0.1),
        lambda k: (lambda x: tf.sin(x)) if k else (lambda x: tf.cos(x)),
        lambda k: (
            (lambda x: x if x > 0.1 else 0)
            if k
            else (lambda x: x if x < 0.1 else 0)
        ),
        lambda k: tf.function(
            (lambda x: x + 0.1) if k else (lambda x: x - 0.1)
        ),
        lambda k: functools.partial(
            (lambda x: x + 0.1) if k else (lambda x: x - 0.1)
        ),
        lambda k: class_of(BODY if k else BODY.replace("+", "-"))(),
        lambda k: class_of(BODY if k else BODY.replace("+", "-"))().__call__,
        lambda k: class_of(
            BODY.replace("Base:", "Base(tf.keras.layers.Layer):").replace(
                "+" if k else "-", "-"
            )
        )(),
        lambda k: augment.Compose(
            [(lambda x: x + 0.1) if k else (lambda x: x - 0.1)]
        ),
    ],
    ids=[
        "nested",
        *("sign", "names", "comparison", "tf.function", "partial", "base"),
        *("method", "layer", "composed"),
    ],
)
def test_changed_code_of_a_view_is_seen(make):
    was, same, now = (settings.described(make(k)) for k in (1, 1, 0))
    assert was == same == json.loads(json.dumps(was))
    (line,) = settings.differences(was, now, "views")
    assert "checksum of the code" in line, line
    assert not settings.differences(was, same, "views")


def test_code_of_another_python_cannot_be_compared():
    was, now = (settings.described(lambda x: x + 0.1) for _ in "ab")
    was["checksum of the code"] = ["3.99", "0" * 8]
    assert not settings.differences(was, now, "views")
    # Nor is a library's own, which changes with its version.
    assert "checksum of the code" not in settings.described(keras.ops.add)
    assert "checksum of the code" not in settings.described(
        augment.GaussianNoise(0.1)
    )


TOP = keras.metrics.SparseTopKCategoricalAccuracy


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ([], "metrics was"),
        (["accuracy", lambda: AtLeast(0.5)], "metrics was"),
        (
            [lambda: AtLeast(0.25)],
            r"metrics was other: \[1\].least was 0.5, is 0.25",
        ),
        (
            [lambda: AtLeast()],
            None,
        ),
        (
            [lambda: TOP(k=2)],
            r"metrics was other: \[1\].* was ",
        ),
    ],
)
def test_other_metrics_are_named(metrics, message):
    def mark(metrics):
        made = [m() if callable(m) else m for m in metrics]
        return backup_files.fingerprint(make_model(made), data, 5)

    data = make_data()
    was, now = mark([AtLeast]), mark(metrics)
    if message is None:
        return backup_files.check_same(was, now, "a.npz")
    with pytest.raises(ValueError, match=message):
        backup_files.check_same(was, now, "a.npz")


def test_objects_of_two_processes_are_the_same():
    texts = [np.array([f"text {n}" for n in range(9)], object) for _ in "ab"]
    assert settings.checksum(texts[0]) == settings.checksum(texts[1])
    texts[1][4] = "other"
    assert settings.checksum(texts[0]) != settings.checksum(texts[1])

    class Holder:
        pass

    loop = Holder()
    loop.self, loop.number = loop, np.float32("nan")
    loop.set, loop.kind, loop.layer = {"b", "a"}, tf.float32, make_model
    loop.variable, loop.lock = tf.Variable(0.0), tf.random.Generator
    told = settings.described(loop)
    loop.variable = tf.Variable(1.0)  # nothing else would tell
    (line,) = settings.differences(told, settings.described(loop), "view")
    assert line == "view was other: variable[0] was 0.0, is 1.0"
    assert "0x" not in json.dumps(told)
    assert (told["self"], told["set"]) == ("...", ["a", "b"])


def test_a_setting_deep_in_a_network_is_seen():
    deep = [{"config": {"rate": rate}} for rate in (0.1, 0.2)]
    for _ in range(20):
        deep = [{"layers": [other]} for other in deep]
    was, now = map(settings.described, deep)
    (line,) = settings.differences(was, now, "model")
    assert line.endswith("config.rate was 0.1, is 0.2")


def test_a_changed_file_is_seen(tmp_path):
    for number in range(50):
        pixels = np.full((8, 8, 3), number, np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number:02}.bmp")
    paths = sorted(str(path) for path in tmp_path.iterdir())
    shape = (8, 8, 3)
    source = datasets.image_files.ImageFiles(paths, [False] * 50, shape)
    parts = [source.subset(np.arange(25)), source.subset(np.arange(25, 50))]
    before = [part.checksum() for part in parts]
    contents = bytearray(open(paths[33], "rb").read())
    contents[100] ^= 1
    open(paths[33], "wb").write(contents)
    after = [part.checksum() for part in parts]
    assert before[0] == after[0] and before[1] != after[1]


def test_a_source_of_a_users_is_compared_as_a_whole():
    class Numbers(datasets.Source):
        def __init__(self, values):
            super().__init__(values.shape, tf.float32)
            self.values = tf.constant(values)

        def read(self, index):
            return tf.gather(self.values, index)

    one, other = Numbers(X), Numbers(changed_at(X, (31, 1), 5))
    assert one.checksum() == Numbers(X).checksum() != other.checksum()
    part, same = one.subset([1, 2, 31]), other.subset([1, 2, 30])
    assert part.checksum() != other.subset([1, 2, 31]).checksum()
    assert same.checksum() == one.subset([1, 2, 30]).checksum()


# Errors of folders.


def test_two_sizes_are_told_apart(tmp_path, monkeypatch):
    assert backup._megabytes(2**20, 2**20 - 9000) == ["1.00", "0.99"]
    assert backup._megabytes(2**21, 1000) == ["2", "0"]
    usage = type("", (), {"free": 2**20})
    monkeypatch.setattr(backup.shutil, "disk_usage", lambda path: usage)
    message = f"`folder` must have .* 1.01 MB.*folder={tmp_path}, with 1.00 MB"
    with pytest.raises(OSError, match=message):
        backup.Backup(tmp_path)._check_folder(7000)


@pytest.mark.parametrize("name", ["file", "file/inside", "n" * 300])
def test_errors_of_the_system_name_the_folder(name, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=f"`folder` must .*folder={tmp_path}"):
        backup.Backup(tmp_path / name)._check_folder(1)


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    def failing(path):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(backup_files.os, "listdir", failing)
    with pytest.raises(OSError, match="`folder` must .*Input/output error"):
        backup.Backup(tmp_path).backups()


def test_a_function_as_a_metric_is_compared_by_its_constants():
    def mark(factor):
        def scaled(y, logits):
            return factor * tf.reduce_mean(logits, axis=-1)

        return backup_files.fingerprint(make_model([scaled]), data, 5)

    data = make_data()
    was = mark(1.0)
    backup_files.check_same(was, mark(1.0), "a.npz")
    with pytest.raises(ValueError, match="factor was 1.0, is 2.0"):
        backup_files.check_same(was, mark(2.0), "a.npz")
