"""The script that people run on their own folders, run as they run it."""

import contextlib
import csv
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import sys
import time

import keras
import numpy as np
import prepared
import pytest
import scripts
import tensorflow as tf
from PIL import Image

from mpl_keras import (
    MetaPseudoLabels,
    augment,
    datasets,
    evaluation,
    pipeline,
    recipes,
    report,
    runs,
)
from mpl_keras.commands import train

ROOT = pathlib.Path(__file__).parents[2]
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Digits as PNG files: 20 labeled, the rest unlabeled, 540 to test."""
    root = tmp_path_factory.mktemp("my pictures ü")
    found = datasets.digits(20, dtype="uint8", labeled_in_unlabeled=False)

    def write(x, folder, name):
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(x[..., 0]).save(folder / f"{name}.png")

    for part, (x, y) in (
        ("labeled", found.labeled),
        (
            "test",
            tuple(np.concatenate(p) for p in zip(*found.test, strict=True)),
        ),
    ):
        for number, (image, label) in enumerate(zip(x, y, strict=True)):
            write(image, root / part / f"{label} ß", f"{number:03}")
    for number, image in enumerate(found.unlabeled):
        write(image, root / "unlabeled", f"{number:04}")
    return root


def arrays_of(found):
    """The same pixels in memory, in the order of the files."""
    x, y = found.labeled
    unlabeled = found.unlabeled[: len(found.unlabeled) - len(y)]
    test = [np.concatenate(p) for p in zip(*found.test, strict=True)]
    return datasets.from_arrays(x[:], y, unlabeled, test=test, num_classes=10)


@pytest.fixture(scope="module")
def trained(pictures, tmp_path_factory):
    """A run on a folder: what it wrote, and what it said."""
    folder = tmp_path_factory.mktemp("trained")
    result = scripts.command(
        "train",
        f"--dataset={pictures}",
        "--steps=60",
        "--evaluate_every=20",
        "--finetune",
        "--finetune_steps=5",
        "--seed=3",
        "--output_dir=out",
        cwd=folder,
        true=True,
    )
    assert result.returncode == 0, result.stderr
    return folder / "out", result.stdout


def test_a_folder_is_trained_on(trained):
    out, said = trained
    for text in (
        "20 labeled, 1,257 unlabeled (the 20 labeled among them), 540 for test",
        "10: 0 ß, 1 ß",
        "2 x small_cnn, 3,706 parameters each",
        "60 steps of 32 labeled and 64 unlabeled",
        "results    out",
        "finetuned",
    ):
        assert text in said, said
    assert re.search(r"step 40 of 60, 0:00:\d\d left", said)
    assert set(os.listdir(out)) == {
        "backup",
        "confusion_matrix.png",
        "curves.png",
        "finetuned",
        "finetuned.keras",
        "finetuned.md",
        "metrics.csv",
        "label_next.csv",
        "report.html",
        "results.json",
        "settings.json",
        "student",
        "student.keras",
        "student.md",
        "student_as_trained.keras",
        "teacher.keras",
        "tensorboard",
    }
    page = (out / "report.html").read_text(encoding="utf-8")
    for text in (
        "<h1>Meta Pseudo Labels on my pictures ü",
        "0 ß",
        "finetuned",
        "Worst mistakes",
        ".png</bdi>",
    ):
        assert text in page
    for name in ("curves.png", "confusion_matrix.png"):
        assert (out / name).read_bytes().startswith(PNG)
    settings = json.loads((out / "settings.json").read_text())
    assert settings["steps"] == 60 and settings["seed"] == 3
    with open(out / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["20", "40", "60"]
    # Of the last step, at which a cosine is 0 and next to 0 before.
    rates = [float(row["teacher_learning_rate"]) for row in rows]
    assert rates[0] > rates[1] > rates[2] >= 0
    assert float(rows[0]["student_learning_rate"]) > 0
    card = (out / "student.md").read_text()
    assert "| recipe | digits |" in card and "num_labeled" not in card
    assert re.search(r"\| finetune.steps \| 5 \|", card.replace("\\", ""))


@pytest.mark.slow
def test_a_folder_trains_as_the_arrays_do(trained, pictures):
    """The same pixels as arrays, the same seed: the same network."""
    out, _ = trained
    found = datasets.from_folder(pictures)
    arrays = arrays_of(found)
    assert arrays.views == found.views
    recipe = recipes.adapt(recipes.get("digits"), steps=60, feedback_weight=0.1)
    model = recipes.make_model(recipe, (8, 8, 1), 10, seed=3)
    model.fit(
        pipeline.training_dataset(arrays, 32, 64, meta="strong", seed=3),
        steps_per_epoch=60,
        verbose=0,
    )
    student = keras.saving.load_model(out / "student.keras")
    for a, b in zip(model.averaged.weights, student.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    accuracies = json.loads((out / "results.json").read_text())["test_accuracy"]
    counts = evaluation.confusion_matrix(student, arrays.test, 10)
    assert accuracies["averaged student"] == 100 * evaluation.accuracy_of(
        counts
    )
    served = tf.saved_model.load(str(out / "student"))
    few = found.unlabeled[:5]
    expected = tf.nn.softmax(student(few.astype("float32")))
    given = served.serve(tf.constant(few))
    np.testing.assert_allclose(given["probabilities"], expected, atol=1e-5)
    assert given["classes"][0] == found.class_names[np.argmax(expected[0])]


@pytest.mark.slow
def test_a_second_start_overwrites_nothing_and_says_so(trained, pictures):
    out, _ = trained
    before = (out / "results.json").stat().st_mtime_ns
    again = scripts.command(
        "train", f"--dataset={pictures}", "--output_dir=out", cwd=out.parent
    )
    assert again.returncode == 1 and "--output_dir" in again.stderr
    assert (out / "results.json").stat().st_mtime_ns == before


@pytest.mark.slow
def test_a_killed_run_goes_on(pictures, tmp_path):
    arguments = [f"--dataset={pictures}", "--steps=120"]
    # What neighbours say is found anew.
    arguments += ["--method=uda_aligned", "--label_spreading"]
    arguments += ["--evaluate_every=20", "--backup_every=7", "--noreport"]
    process = scripts.start_command(
        "train", *arguments, "--output_dir=killed", cwd=tmp_path
    )
    folder = tmp_path / "killed/backup"
    while not list(folder.glob("backup-*")) and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it finished before it was killed"
    for name in ("killed", "whole"):
        result = scripts.command(
            "train",
            *arguments,
            f"--output_dir={name}",
            "--resume",
            cwd=tmp_path,
        )
        assert result.returncode == 0, result.stderr
    networks = [
        keras.saving.load_model(tmp_path / name / "network.keras")
        for name in ("killed", "whole")
    ]
    for a, b in zip(*(net.weights for net in networks), strict=True):
        np.testing.assert_array_equal(a, b)
    metrics = [
        (tmp_path / name / "metrics.csv").read_text()
        for name in ("killed", "whole")
    ]
    assert metrics[0] == metrics[1]
    done = scripts.command(
        "train", *arguments, "--output_dir=killed", "--resume", cwd=tmp_path
    )
    assert done.returncode == 0 and "is finished" in done.stdout


# In this process, because starting another takes seconds.


class Stopped(Exception):
    """A program ended early; its text is what it said."""


@pytest.fixture
def start(tmp_path, capsys):
    def start(*arguments):
        # They take seconds to draw.
        flags = [f"--output_dir={tmp_path / 'out'}"]
        flags += ["--notensorboard", "--noreport"]
        try:
            train.COMMAND.run([*flags, *arguments])
        except SystemExit as error:
            said = capsys.readouterr().err
            raise Stopped(f"{said} code {error.code}") from error

    return start


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--dataset must be given, unless --recipe"),
        (["--dataset=cifra10"], "folder that exists, digits.* cifar10"),
        (["--dataset=mnist", "--data_dir=DIR"], "not prepared.*tfds build"),
        (["--recipe=cifar_4000"], "--recipe must be one of .*cifar10_4000"),
        (
            ["--dataset=digits", "--backbone=resnet5"],
            "--backbone must be.*ResN",
        ),
        (["--dataset=digits", "--feedback=loss"], "--feedback must be"),
        (["--dataset=digits", "--views=cifa"], "--views must be.*'cifar'"),
        (["--dataset=digits", "--num_labeled=15"], "multiple of 10"),
        (["--dataset=digits", "--weights=none.h5"], "none.h5"),
        (["--dataset=digits", "surplus"], "surplus"),
        (["--dataset=DIR"], "--dataset must hold the folders"),
        (["--dataset=DIR/none"], "folder that exists"),
        (["--dataset=digits", "--output_dir=DIR/file/out"], "cannot"),
        (["--dataset=digits", "--validation_fraction=2"], "< 1.*=2"),
        (
            [
                "--dataset=digits",
                "--views=svhn",
                "--recipe=cifar10_4000",
                "--dataset=DIR/none",
            ],
            "folder that exists",
        ),
        (["--dataset=digits", "--student_learning_rate=nan"], "rate must be"),
        (["--dataset=digits", "--num_labeled=0"], "--num_labeled must be"),
        (["--dataset=digits", "--finetune_batch_size=-1"], "batch_size must"),
        (["--dataset=digits", "--warmup_steps=-1"], "--warmup_steps must"),
        (["--dataset=digits", "--evaluate_every=7"], "must divide --steps"),
        (["--dataset=digits", "--student_wait=9", "--steps=9"], "never starts"),
        (["--dataset=digits", "--meta=weak"], "--meta must be one of"),
        (["--dataset=digits", "--masking=soft"], "--masking must be one of"),
        (["--dataset=DIR/none", "--steps=0"], "--steps must be an integer"),
        (["--dataset=picturs"], "--dataset must be a folder that exists, dig"),
    ],
)
def test_wrong_flags_are_refused_before_it_writes(
    start, arguments, message, tmp_path
):
    (tmp_path / "file").write_text("")
    arguments = [a.replace("DIR", str(tmp_path)) for a in arguments]
    with pytest.raises(Stopped, match=f"(?s)mpl-keras train: .*{message}"):
        start(*arguments)
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("arguments", [["--steps=0"], ["--steps=many"]])
def test_flags_of_a_wrong_kind(start, arguments):
    with pytest.raises(Stopped, match="code [12]"):
        start("--dataset=digits", *arguments)


@pytest.mark.slow
def test_what_cannot_be_written_is_named(start, monkeypatch, tmp_path, capsys):
    """As on a disk that is full at the end."""
    real = report.plot_confusion

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(report, "plot_confusion", full)
    arguments = ["--dataset=digits", "--steps=3", "--method=supervised"]
    with pytest.raises(
        Stopped, match="confusion_matrix.png .*No space.*--re.*step 3"
    ):
        start(*arguments)
    assert sorted(os.listdir(tmp_path / "out")) == [
        "backup",
        "curves.png",
        "metrics.csv",
        "network",
        "network.keras",
        "network.md",
        "network_as_trained.keras",
        "settings.json",
    ]
    monkeypatch.setattr(report, "plot_confusion", real)
    start(*arguments, "--resume")
    assert "confusion_matrix.png" in os.listdir(tmp_path / "out")


def test_what_is_missing_is_named_at_first(start, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    arguments = ["--dataset=digits", "--steps=1", "--method=supervised"]
    with pytest.raises(
        Stopped, match=r"Jinja2: pip install .mpl_keras\[report\]"
    ):
        start(*arguments, "--report")
    assert os.listdir(tmp_path) == []
    start(*arguments)
    assert "report.html" not in os.listdir(tmp_path / "out")


@pytest.mark.slow
def test_without_pictures_to_test_with(start, pictures, tmp_path, capsys):
    root = tmp_path / "pictures"
    root.mkdir()
    for part in ("labeled", "unlabeled"):
        shutil.copytree(pictures / part, root / part)
    flags = ["--steps=2", "--method=supervised", "--validation_fraction=0.5"]
    start(f"--dataset={root}", *flags)
    text = capsys.readouterr().out
    assert "10 labeled, 1,247 unlabeled (the 10 labeled among them)" in text
    assert "among them), 10 for validation;" in text
    assert "confusion_matrix.png" not in os.listdir(tmp_path / "out")


@pytest.mark.slow
def test_what_is_left_out_is_noted(start, pictures, tmp_path, capsys):
    root = tmp_path / "pictures"
    root.mkdir()
    for part in ("labeled", "test"):
        shutil.copytree(pictures / part, root / part)
    (root / "unlabeled").mkdir()
    (root / "unlabeled/broken.png").write_bytes(b"?")
    twin = next((pictures / "test/3 ß").iterdir()).read_bytes()
    (root / "unlabeled/twin.png").write_bytes(twin)
    Image.fromarray(np.eye(8, dtype="uint8") * 255).convert("P").save(
        root / "unlabeled/palette.png"
    )
    flags = ["--steps=1", "--unreadable=leave_out", "--method=supervised"]
    start(f"--dataset={root}", *flags)
    text = capsys.readouterr().out
    for note in ("broken.png is not", "twin.png, show", "palette: converted"):
        assert re.search(f"note: (?s:.*){note}", text), text
    assert "20 labeled, 21 unlabeled (the 20 labeled among" in text


@pytest.mark.parametrize("name", recipes.names())
def test_recipes_name_what_there_is(name):
    """A recipe's networks and views fit images of its size."""
    recipe = recipes.get(name)
    side, classes = recipe.image_size, min(recipe.num_classes, 10)
    shape = (side, side, 1 if name == "digits" else 3)
    views = augment.named_views(recipe.views, side, side)
    pixels = tf.zeros((2, *shape), tf.uint8)
    assert views.strong(pixels, [0, 1]).shape == (2, *shape)
    if side <= 32:
        model = recipes.make_model(recipe, shape, classes, method="uda")
        assert model(pixels).shape == (2, classes)


def test_defaults_are_told_for_each_size():
    shown = train._shown("average_of")
    assert shown.startswith("student up to 15 pixels; teacher up to ")
    for size, given in ((15, "student"), (16, "teacher")):
        assert recipes.default(size, 10).average_of == given


def test_the_default_of_the_threshold_is_that_of_the_number_of_classes():
    shown = train._shown("threshold")
    assert shown == "0.6; 0.9 for fewer than five classes"
    few, more = (recipes.default(28, n).threshold for n in (4, 5))
    assert (few, more) == (0.9, 0.6)


def test_flags_that_are_on_or_off_are_the_recipes_where_they_are_not_given():
    for given, expected in (
        ([], {}),
        (["--hard_targets"], {"hard_targets": True}),
        (["--nohard_targets"], {"hard_targets": False}),
    ):
        for name in train.COMMAND.flags:  # as if nothing was run before
            train.COMMAND.flags[name].unparse()
        train.COMMAND.flags(["train", "--dataset=digits", *given])
        assert train.settings_of(train.COMMAND).changes == expected


def data_of(*arguments):
    train.COMMAND.flags(["train", "--output_dir=out", *arguments])
    found = runs.load_data(train.settings_of(train.COMMAND), verbose=False)
    for name in train.COMMAND.flags:
        train.COMMAND.flags[name].unparse()
    return found


def test_flags_of_the_data(pictures):
    folder = f"--dataset={pictures}"
    data, _ = data_of(folder, "--num_labeled=10", "--seed=1", "--image_size=12")
    other, _ = data_of(
        folder,
        "--num_labeled=10",
        "--seed=2",
        "--nolabeled_in_unlabeled",
    )
    assert data.labeled[0].shape == (10, 12, 12, 1)
    assert data.labeled[0].paths != other.labeled[0].paths
    assert len(data.unlabeled) == 1257 and len(other.unlabeled) == 1247
    # A recipe's number of labels is its own data set's.
    data, _ = data_of(folder, "--recipe=cifar10_4000")
    assert data.labeled[0].shape == (20, 32, 32, 1)


def test_a_table_of_labels_is_a_flag(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 8), np.uint8)
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    table = tmp_path / "labels.csv"
    table.write_text("file,class\n4.png,a\n2.png,b\n")
    data, _ = data_of(f"--dataset={tmp_path}", "--labels=labels.csv")
    assert [os.path.basename(path) for path in data.labeled[0].paths] == [
        "2.png",
        "4.png",
    ]
    assert len(data.unlabeled) == 6


def test_a_folder_of_data_sets(tmp_path):
    prepared.prepare(tmp_path, "cifar10", {"train": 20}, version="3.0.2")
    data, _ = data_of("--dataset=cifar10", f"--data_dir={tmp_path}")
    assert len(data.unlabeled) == 20


@pytest.mark.slow
def test_validation_chooses_and_the_right_network_is_drawn(
    start, tmp_path, monkeypatch
):
    used, drawn, plot = [], [], report.plot_confusion
    fit = MetaPseudoLabels.fit

    def noted(model, *arguments, validation_data, **options):
        used.append(validation_data)
        return fit(
            model, *arguments, validation_data=validation_data, **options
        )

    monkeypatch.setattr(MetaPseudoLabels, "fit", noted)
    monkeypatch.setattr(
        report,
        "plot_confusion",
        lambda counts, *a: drawn.append(counts) or plot(counts, *a),
    )
    start(
        "--dataset=digits",
        "--steps=2",
        "--validation_fraction=0.1",
        "--finetune",
        "--finetune_steps=30",
    )
    assert [batches.stream.num_examples for batches in used] == [126]
    result = json.loads((tmp_path / "out/results.json").read_text())[
        "test_accuracy"
    ]
    assert 100 * evaluation.accuracy_of(drawn[0]) == result["averaged student"]


@pytest.mark.slow
def test_a_folder_with_other_pictures_is_another_run(start, pictures, tmp_path):
    root = tmp_path / "pictures"
    shutil.copytree(pictures, root)
    arguments = [f"--dataset={root}", "--steps=1", "--method=supervised"]
    start(*arguments)
    next((root / "labeled/3 ß").iterdir()).unlink()
    with pytest.raises(Stopped, match="labeled_images was 20, is 19"):
        start(*arguments, "--resume")
    with pytest.raises(Stopped, match="--seed was 0.*--seed=5"):
        start(*arguments, "--resume", "--seed=5")


@pytest.mark.slow
def test_workers_go_on_after_one_was_killed(tmp_path):
    """Two processes by TF_CONFIG, each started again by itself."""
    arguments = [
        "--dataset=digits",
        "--num_labeled=20",
        "--steps=20",
        "--evaluate_every=10",
        "--backup_every=4",
        "--resume",
        "--noreport",
    ]
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]

    def start(index):
        task = {"type": "worker", "index": index}
        config = {"cluster": {"worker": addresses}, "task": task}
        return scripts.start_command(
            "train",
            *arguments,
            "--output_dir=two",
            cwd=tmp_path,
            env={**os.environ, "TF_CONFIG": json.dumps(config)},
        )

    chief, other = start(0), start(1)
    while not list((tmp_path / "two/backup").glob("backup-*")):
        assert chief.poll() is None and other.poll() is None
        time.sleep(0.02)
    other.send_signal(signal.SIGKILL)
    assert other.wait() == -signal.SIGKILL
    other = start(1)  # at once, and before the first one has noticed
    _, text = chief.communicate(timeout=120)
    assert chief.returncode == 75, text
    assert "One of the 2 workers" in text and "--resume goes on after" in text
    codes = set()
    chief = start(0)
    for _ in range(3):
        # It may have met the first one while that was about to end.
        code = other.poll() or 0
        if code or other.wait(timeout=120):
            codes.add(other.returncode)
            other = start(1)
        else:
            break
    text, errors = chief.communicate(timeout=120)
    assert chief.returncode == 0, errors
    assert "Going on after step" in text and "2 replicas" in text
    assert codes <= {75}
    assert "results.json" in os.listdir(tmp_path / "two")
