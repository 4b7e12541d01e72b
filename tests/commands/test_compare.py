"""Methods over seeds, compared: what is written, refused, and gone on with."""

import csv
import json
import os
import pathlib
import re
import signal
import time

import numpy as np
import pytest
import scripts
import tensorflow as tf
from PIL import Image

from mpl_keras.commands.compare import COMMAND
from mpl_keras.runs import Comparison, Settings
from mpl_keras.runs import comparison as runs_comparison

PNG = b"\x89PNG\r\n\x1a\n"
FLAGS = [
    *("--dataset=digits", "--recipe=digits", "--num_labeled=20"),
    *("--steps=20", "--methods=mpl,supervised", "--seeds=0,1"),
]


def read_rows(folder):
    """Rows of results.csv without the time that trainings took."""
    with open(folder / "results.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        del row["seconds"]
    return rows


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """The folder of a comparison that is finished."""
    folder = tmp_path_factory.mktemp("comparison") / "out"
    COMMAND.run([*FLAGS, f"--output_dir={folder}"])
    return folder


def test_what_is_written(compared):
    assert set(os.listdir(compared)) == {
        *("accuracies.png", "curves.png", "comparison.html", "results.csv"),
        *("table.md", "settings.json"),
        *("supervised-0", "supervised-1", "mpl-0", "mpl-1"),
    }
    for name in ("accuracies.png", "curves.png"):
        assert (compared / name).read_bytes().startswith(PNG)
    settings = json.loads((compared / "settings.json").read_text())
    assert settings["methods"] == ["supervised", "mpl"]
    assert settings["seeds"] == [0, 1]
    assert settings["steps"] == 20
    # The last training alone leaves all that people use.
    student = tf.saved_model.load(str(compared / "mpl-1" / "student"))
    given = student.serve(np.zeros((7, 30, 20, 1), "uint8"))
    assert given["probabilities"].shape == (7, 10)
    assert not (compared / "mpl-0" / "student").exists()


def test_rows_are_those_of_the_trainings(compared):
    rows = read_rows(compared)
    assert [(row["method"], row["seed"]) for row in rows] == [
        *(("supervised", "0"), ("mpl", "0")),
        *(("supervised", "1"), ("mpl", "1")),
    ]
    for row in rows:
        folder = compared / f"{row['method']}-{row['seed']}"
        results = json.loads((folder / "results.json").read_text())
        accuracies = results["test_accuracy"]
        averaged = next(iter(accuracies.values()))
        assert float(row["accuracy"]) == averaged
        teacher = float(row["teacher_accuracy"])
        if row["method"] == "mpl":
            assert teacher == accuracies["teacher"]
        else:
            assert np.isnan(teacher)


def test_the_table_is_of_the_rows(compared):
    rows = read_rows(compared)
    values = {
        method: [float(r["accuracy"]) for r in rows if r["method"] == method]
        for method in ("supervised", "mpl")
    }
    text = (compared / "table.md").read_text(encoding="utf-8")
    header, _, supervised, mpl = text.splitlines()
    assert header.split("|")[4].strip() == "MPL minus this method"
    cells = [cell.strip() for cell in supervised.split("|")[1:-1]]
    assert cells[:2] == [
        *(
            "labels alone",
            f"{np.mean(values['supervised']):.2f}",
        )
    ]
    differences = np.subtract(values["mpl"], values["supervised"])
    assert cells[3].startswith(f"{differences.mean():+.2f} (")
    mean, error = mpl.split("|")[2:4]
    assert float(mean) == pytest.approx(np.mean(values["mpl"]), abs=0.006)
    spread = abs(np.subtract(*values["mpl"])) / 2  # of two, the error
    assert float(error) == pytest.approx(spread, abs=0.006)


def test_the_page(compared):
    page = (compared / "comparison.html").read_text(encoding="utf-8")
    assert "<h1>Comparison on digits</h1>" in page
    rows = read_rows(compared)
    means = {
        method: np.mean(
            [float(row["accuracy"]) for row in rows if row["method"] == method]
        )
        for method in ("supervised", "mpl")
    }
    best = f"{max(means.values()):.2f}\u00a0% of the test images"
    first = page.split('<p class="lead">')[1]
    assert best in first and "abels alone" in first and "interval" in page
    assert "MPL minus this method" in page
    assert "20 steps are few for the recipe digits, which is made" in page
    assert "There was one evaluation alone" in page  # points, no curves
    assert page.count("data:image/svg+xml") == 4  # two, in light and dark
    assert "<script" not in page
    assert not re.search(r"(src|href)=\"http", page)


def test_it_says_which_training_and_how_long_the_rest_takes(
    tmp_path, monkeypatch
):
    class Trained:
        def __init__(self, settings, path, **options):
            lines.append(options["describe"](10, 8.0))

        def run(self):
            measured = {"test": {"network": {"accuracy": 50.0}}}
            return {"accuracies": measured, "seconds": 1000.0}

    lines = []
    monkeypatch.setattr(runs_comparison, "Training", Trained)
    monkeypatch.setattr(runs_comparison.folder, "read_metrics", lambda path: {})
    monkeypatch.setattr(Comparison, "_write", lambda self, *results: None)
    settings = Settings(dataset="digits", changes={"steps": 20})
    methods = ["mpl", "uda", "pixels"]
    Comparison(
        *(settings, methods, [0, 1], tmp_path / "out"), say=lambda line: None
    ).run()
    assert lines == [
        "training 2 of 6, about 30 s left in all: uda, seed 0, step 10",
        "training 3 of 6, about 17 min left in all: mpl, seed 0, step 10",
        "training 5 of 6, about 17 min left in all: uda, seed 1, step 10",
        "training 6 of 6, about 10 s left in all: mpl, seed 1, step 10",
    ]


@pytest.mark.parametrize("spreads", [False, True])
def test_it_says_which_methods_spread_labels(spreads, tmp_path, monkeypatch):
    def stop(*_, **__):
        raise StopIteration

    said = []
    monkeypatch.setattr(runs_comparison, "Training", stop)
    changes = {"steps": 20, "label_spreading": spreads}
    methods = ["supervised", "uda", "uda_aligned", "mpl"]
    comparison = Comparison(
        Settings(dataset="digits", changes=changes),
        *(methods, [0], tmp_path / "out"),
        say=said.append,
    )
    with pytest.raises(StopIteration):
        comparison.run()
    told = [line for line in said if "label spreading" in line]
    note = "note: with label spreading: uda_aligned, mpl; --nolabel_spreading"
    assert told == ([f"{note} switches it off."] if spreads else [])


def test_a_finished_comparison_is_shown_again(compared, capsys):
    before = read_rows(compared)
    COMMAND.run(["--resume", f"--output_dir={compared}"])
    text = capsys.readouterr().out
    assert "4 of 4: mpl, seed 1" in text
    assert text.count("note: 20 steps are few for the recipe digits") == 1
    said = " ".join(text.split())  # above the table, as on the page
    assert "of the test images" in said and "abels alone" in said
    assert text.endswith((compared / "table.md").read_text(encoding="utf-8"))
    assert read_rows(compared) == before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--methods=supervised"], "methods was"),
        (["--seeds=0,1,2"], "seeds was"),
        (["--steps=30"], "where --steps was 20. Received: "),
    ],
)
def test_other_settings_are_refused(flags, message, compared, capsys):
    before = sorted(os.listdir(compared))
    told = [*FLAGS, *flags, "--resume", f"--output_dir={compared}"]
    error = stopped(told, capsys)
    assert "--output_dir must be the folder of a run with the same" in error
    assert message in error
    assert "wait" not in error and "warmup" not in error  # they follow
    assert sorted(os.listdir(compared)) == before


def stopped(flags, capsys, code=1):
    """What is said where the program ends with an error."""
    with pytest.raises(SystemExit) as stop:
        COMMAND.run(flags)
    assert stop.value.code == code
    error = capsys.readouterr().err
    assert error.startswith("mpl-keras compare: ")
    assert error.count("\n") == 1
    return error


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 130)]
)
def test_killed_and_resumed_is_the_same(
    compared, number, code, tmp_path, capsys
):
    script = scripts.start_command(
        "compare", *FLAGS, "--output_dir=out", cwd=tmp_path
    )
    while "1 of 4: " not in script.output()[0]:
        assert script.poll() is None, script.output()[1]
        time.sleep(0.05)
    script.send_signal(number)
    assert script.wait() == code
    if code > 0:
        assert "stopped. --resume goes on with it." in script.output()[1]
    out = tmp_path / "out"
    assert len(read_rows(out)) == 1
    assert not (out / "table.md").exists()
    COMMAND.run(["--resume", f"--output_dir={out}"])
    assert "1 of 4: supervised, seed 0" in capsys.readouterr().out
    assert read_rows(out) == read_rows(compared)
    assert set(os.listdir(out)) == set(os.listdir(compared))


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["--methods=mlp"], 1, "--methods must be one of"),
        (["--methods=mlp"], 1, "did you mean 'mpl'?"),
        (["--methods="], 1, "--methods must name at least one"),
        (["--seeds=a"], 2, "--seeds must be whole numbers"),
        (["--seeds=1,1"], 1, "--seeds must be at least one, all different"),
        (["--seeds="], 1, "--seeds must be at least one"),
        (["--recipe=digts"], 1, "--recipe must be one of"),
        (["--num_labeled=15"], 1, "--num_labeled must be a multiple of 10"),
        (["--dataset=/nowhere"], 1, "--dataset must be a folder that exists"),
        (["--output_dir=file"], 1, "--output_dir must be a folder"),
        (["--output_dir=."], 1, "unless --resume is set"),
        (["--steps=0"], 1, "--steps must be"),
    ],
)
def test_wrong_flags(flags, code, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    told = ["--dataset=digits", "--output_dir=out", *flags]
    assert message in stopped(told, capsys, code)
    assert os.listdir(tmp_path) == ["file"]


def test_a_folder_must_be_given(capsys):
    error = stopped(["--dataset=digits"], capsys, code=2)
    assert "--output_dir must be given" in error


def write_pictures(folder):
    """Twelve pictures of two classes, and twelve unlabeled ones."""
    random = np.random.default_rng(0)
    for part in ("labeled/dark", "labeled/light", "unlabeled"):
        (folder / part).mkdir(parents=True)
        low = 128 if part.endswith("light") else 0
        for number in range(6):
            pixels = random.integers(low, low + 128, (8, 8), np.uint8)
            Image.fromarray(pixels).save(folder / part / f"{number}.png")


def test_there_must_be_pictures_to_measure_with(tmp_path, capsys):
    write_pictures(tmp_path / "pictures")
    flags = [f"--dataset={tmp_path}/pictures", f"--output_dir={tmp_path}/out"]
    error = stopped(flags, capsys)
    assert "--validation_fraction must be above 0 where there are no" in error
    assert os.listdir(tmp_path) == ["pictures"]


def test_pixels_of_the_users_pictures(tmp_path, capsys):
    """Measured on validation pictures; nothing is trained, so no curves."""
    write_pictures(tmp_path / "pictures")
    out = pathlib.Path(tmp_path, "out")
    COMMAND.run(
        [
            f"--dataset={tmp_path}/pictures",
            f"--output_dir={out}",
            "--validation_fraction=0.5",
            "--methods=pixels",
            "--seeds=0",
        ]
    )
    assert "1 of 1: pixels, seed 0: 100.00 %" in capsys.readouterr().out
    assert set(os.listdir(out)) == {
        *("accuracies.png", "comparison.html", "results.csv", "table.md"),
        "settings.json",
    }
    page = (out / "comparison.html").read_text(encoding="utf-8")
    assert "100.00\u00a0% of the validation images correctly" in page


def test_help(capsys):
    COMMAND.run(["--help"])
    text = capsys.readouterr().out
    assert text.startswith("usage: mpl-keras compare [flags]")
    for flag in ("--output_dir", "--seeds", "--methods", "--recipe"):
        assert flag in text
