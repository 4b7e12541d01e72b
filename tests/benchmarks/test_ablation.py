"""The scripts that compare the feedbacks: statistics, resuming, repeating."""

import csv
import importlib.util
import pathlib

import numpy as np
import pytest
import scripts
from absl import flags
from absl.testing import flagsaver

BENCHMARKS = pathlib.Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def tables():
    path = BENCHMARKS / "ablation_tables.py"
    spec = importlib.util.spec_from_file_location("ablation_tables", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_holm_by_hand(tables):
    # Holm, 1979: 0.01 * 4, 0.02 * 3, 0.03 * 2, 0.04 * 1, never falling.
    factors, corrected = tables.holm([0.04, 0.01, 0.03, 0.02])
    assert factors.tolist() == [1, 4, 2, 3]
    np.testing.assert_allclose(corrected, [0.06, 0.04, 0.06, 0.06])
    assert tables.holm([0.6, 0.7])[1].tolist() == [1.0, 1.0]


def write(folder, rows):
    with open(folder / "runs.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["setting", "method", "seed", "accuracy"])
        writer.writerows(rows)


def test_differences_are_paired(tables, tmp_path, capsys):
    # Differences 1, 2 and 3, and a seed that only one of them has.
    rows = [
        ("digits", method, seed, accuracy)
        for method, accuracies in {
            "one": {0: 51.0, 1: 82.0, 2: 63.0, 3: 99.0},
            "other": {2: 60.0, 0: 50.0, 1: 80.0},
        }.items()
        for seed, accuracy in accuracies.items()
    ]
    rows += [
        ("moons", name, seed, 7.0)
        for name in ("one", "other")
        for seed in (0, 1)
    ]
    write(tmp_path, rows)
    # Scripts that other tests load may ask for flags of their own.
    flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver(comparisons=["one-other"]):
        tables.main(["ablation_tables.py", str(tmp_path)])
    with open(tmp_path / "differences.csv") as file:
        found = {row["setting"]: row for row in csv.DictReader(file)}
    digits = {
        name: float(value)
        for name, value in found["digits"].items()
        if name not in ("family", "setting", "one", "other")
    }
    # A t-distribution of two degrees of freedom: 4.3027, and 6.2053 for 0.975
    # of the half.
    error = 1 / 3**0.5
    assert digits["seeds"] == 3 and digits["difference"] == 2.0
    np.testing.assert_allclose(digits["error"], error)
    np.testing.assert_allclose(digits["low"], 2 - 4.3027 * error, atol=1e-4)
    np.testing.assert_allclose(
        digits["corrected_low"], 2 - 6.2053 * error, atol=1e-4
    )
    np.testing.assert_allclose(digits["p"], 0.0741799, atol=1e-6)
    np.testing.assert_allclose(digits["corrected_p"], 0.1483598, atol=1e-6)
    assert float(found["moons"]["p"]) == 1.0
    assert (tmp_path / "differences.png").stat().st_size > 1000
    assert "| digits | 3 | +2.00 ± 0.58 |" in capsys.readouterr().out


def test_a_method_that_no_run_is_of_is_named(tables, tmp_path):
    write(tmp_path, [("moons", "mpl", seed, 7.0) for seed in range(3)])
    (tmp_path / "table.md").write_text("mine")
    done = scripts.run(
        BENCHMARKS / "ablation_tables.py", tmp_path, "--comparisons=mpl-uad"
    )
    assert done.returncode == 1
    assert "there are runs of mpl, not of uad" in done.stderr
    assert (tmp_path / "table.md").read_text() == "mine"


def test_teachers_are_compared_too(tables, tmp_path):
    (tmp_path / "runs.csv").write_text(
        "setting,method,seed,accuracy,as_trained,teacher\n"
        "wine,mpl,0,50,51,53\nwine,mpl,1,60,61,65\n"
        "wine,uda,0,52,52,\nwine,uda,1,61,61,\n"
    )
    found = tables.read([tmp_path / "runs.csv"], {"mpl:teacher", "uda"}, None)
    assert set(found["wine"]) == {"mpl", "mpl:teacher", "uda"}
    (row,) = tables.paired(found, [("wine", "mpl:teacher", "uda")])
    assert (row["seeds"], row["difference"]) == (2, 2.5)


def test_files_are_taken_together_and_seeds_chosen(tmp_path):
    head = "setting,method,seed,accuracy\n"
    for name, first in (("one", 0), ("another", 20)):
        (tmp_path / f"{name}.csv").write_text(
            head
            + "".join(
                f"wine,mpl,{seed},{seed}\nwine,uda,{seed},{2 * seed}\n"
                for seed in range(first, first + 20)
            )
        )
    done = scripts.run(
        BENCHMARKS / "ablation_tables.py",
        *(tmp_path / "one.csv", tmp_path / "another.csv"),
        *("--seeds=18:24", "--comparisons=mpl-uda"),
        true=True,
    )
    # Seeds 18 to 23: the mean of 0 - seed.
    assert "| wine | 6 | -20.50 ± 0.76 |" in done.stdout
    assert len(list(tmp_path.iterdir())) == 2
    (tmp_path / "one.csv").write_text("setting,seed\nwine,0\n")
    done = scripts.run(BENCHMARKS / "ablation_tables.py", tmp_path / "one.csv")
    assert done.returncode == 1 and "must have columns" in done.stderr


def test_cells_say_how_many_seeds_they_are_of(tables):
    assert tables.mean_of([1.0, 3.0], 2) == "2.0 ± 1.0"
    assert tables.mean_of([1.0, 3.0], 20) == "2.0 ± 1.0 (2)"
    assert tables.mean_of([4.0], 20) == "4.0 (1)"
    assert tables.mean_of([], 20) == ""


@pytest.mark.slow
def test_data_that_are_not_there_are_asked_for_first(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "none"))
    done = ablation(tmp_path / "out", "--settings=cifar10_4000", true=True)
    assert done.returncode == 1
    assert "--settings=cifar10_4000: The data set cifar10 is not" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_forms_of_one_setting_are_compared_together(tables):
    seeds = {0: 1.0, 1: 2.0, 2: 3.0}
    methods = {"mpl": seeds, "flipped": seeds, "no_feedback": seeds}
    found = {"digits": methods, "moons": {"mpl": seeds}}
    known = tables.families(found, [("mpl", "uda")])
    assert known["mpl minus uda"] == [
        ("digits", "mpl", "uda"),
        ("moons", "mpl", "uda"),
    ]
    assert known["digits: minus no_feedback"] == [
        ("digits", "mpl", "no_feedback"),
        ("digits", "flipped", "no_feedback"),
    ]
    assert len(known) == 2


def ablation(folder, *flags, true=False):
    return scripts.run(
        BENCHMARKS / "ablation.py",
        f"--output_dir={folder}",
        "--seeds=5:6",
        "--steps=50",
        "--processes=1",
        *flags,
        true=true,
    )


def read(folder, name="runs.csv"):
    with open(folder / name) as file:
        return {row["method"]: row for row in csv.DictReader(file)}


@pytest.mark.slow
def test_it_goes_on_and_is_repeated_bit_for_bit(tmp_path):
    # What starts processes of its own must be a true process itself.
    flags = "--settings=moons_6", "--methods=mpl,uda@2"
    done = ablation(tmp_path, *flags, true=True)
    assert done.returncode == 0, done.stderr
    first = read(tmp_path)
    assert set(first) == {"mpl", "uda@2"}
    # Killed while it wrote the second line.
    text = (tmp_path / "runs.csv").read_text()
    lines = text.splitlines(keepends=True)
    (tmp_path / "runs.csv").write_text("".join(lines[:2]) + lines[2][:20])
    done = ablation(tmp_path, *flags, true=True)
    assert "2 runs, of which 1 are to be made" in done.stdout, done.stderr
    again = read(tmp_path)
    for method, row in first.items():
        for column in set(row) - {"seconds"}:
            assert again[method][column] == row[column], column
    assert "0 are to be made" in ablation(tmp_path, *flags, true=True).stdout


@pytest.mark.parametrize("seed", [5, 4], ids=["same_seed", "other_seed"])
def test_runs_of_other_lengths_are_not_mixed(seed, tmp_path):
    columns = "setting,method,seed,accuracy,as_trained,teacher,steps,seconds"
    text = f"{columns},digest\nmoons_6,mpl,{seed},50.0,50.0,,1500,9.0,ab\n"
    (tmp_path / "runs.csv").write_text(text)
    done = ablation(tmp_path, "--settings=moons_6", "--methods=mpl")
    assert done.returncode == 1
    assert f"moons_6, mpl, seed {seed} with 1,500 steps, not 50" in done.stderr
    assert (tmp_path / "runs.csv").read_text() == text


@pytest.mark.slow
def test_settings_are_tuned_without_the_test_examples(tmp_path):
    flags = "--settings=wine_5", "--methods=supervised"
    done = ablation(tmp_path, *flags, "--validation", true=True)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["validation.csv"]
    row = read(tmp_path, "validation.csv")["supervised"]
    # A fifth of the 124 rows for training; 54 others are for testing.
    right = float(row["accuracy"]) / 100 * 25
    assert right == pytest.approx(round(right), abs=1e-6)


@pytest.mark.slow
def test_published_recipes_train(tmp_path):
    # Their numbers and views, on images and networks that are small.
    done = scripts.run_code(
        f"""
import dataclasses, sys
sys.path.insert(0, {str(BENCHMARKS)!r})
import numpy as np
import ablation, mpl_keras
pixels = np.random.RandomState(0).randint(0, 256, (40, 32, 32, 3), "uint8")
labels = np.arange(40) % 10
found = mpl_keras.datasets.from_arrays(
    pixels[:20], labels[:20], pixels, test=(pixels, labels))
def images(name, **options):
    print(name, options)
    return found
mpl_keras.datasets.images = images
setting = ablation.SETTINGS["cifar10_4000"]
ablation.SETTINGS["cifar10_4000"] = dataclasses.replace(
    setting, recipe=dataclasses.replace(setting.recipe, backbone="small_cnn",
    labeled_batch_size=4, unlabeled_batch_size=8))
row = ablation.run(("cifar10_4000", "mpl", 3, 50, False))
print(row["steps"], 0 <= row["accuracy"] <= 100)
""",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert (
        "cifar10 {'num_labeled': 4000, 'image_size': 32, 'seed': 3, "
        "'validation_fraction': 0.0}" in done.stdout
    )
    assert "50 True" in done.stdout


@pytest.mark.parametrize(
    "flag, message",
    [
        ("--settings=moons", "--settings must be of digits_10"),
        ("--settings=", "--settings is empty"),
        ("--methods=mlp@1", "--methods must be of supervised"),
        ("--methods=mpl@a", "must be a number, such as mpl@0.3"),
        ("--methods=mpl@", "must be a number, such as mpl@0.3"),
        ("--methods=no_feedback@1", "no_feedback has no number"),
        ("--seeds=3", "--seeds must be FROM:TO"),
        ("--steps=60", "--steps must be a multiple of 50"),
    ],
)
def test_mistakes_are_said_before_anything_is_made(flag, message, tmp_path):
    done = ablation(tmp_path / "out", flag)
    assert done.returncode == 1 and message in done.stderr
    assert not (tmp_path / "out").exists()
