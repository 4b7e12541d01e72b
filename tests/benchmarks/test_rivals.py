"""The script that trains rivals on the same splits: its own arithmetic.

No rival, and no PyTorch, needs to be there.
"""

import csv
import importlib.util
import pathlib
import sys

import numpy as np
import pytest
import scripts

BENCHMARKS = pathlib.Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def rivals():
    path = BENCHMARKS / "rivals.py"
    spec = importlib.util.spec_from_file_location("rivals", path)
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(BENCHMARKS))  # of `real_data`
    sys.modules["rivals"] = module  # its data classes look for it
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(BENCHMARKS))
        del sys.modules["rivals"]


@pytest.fixture(scope="module")
def pictures(rivals):
    return rivals.settings.SETTINGS["fashion_100"]


def test_published_numbers_are_the_papers(rivals, pictures):
    recipe = rivals.recipe_of(pictures, "fixmatch", "published", 2000)
    assert (recipe.threshold, recipe.teacher_learning_rate) == (0.95, 0.03)
    assert recipe.clip_norm is None and recipe.steps == 2000
    # kekmodel's, of 300,000 steps: a wait of 3,000 and a warm-up of 5,000.
    recipe = rivals.recipe_of(pictures, "mpl", "published", 3000)
    assert (recipe.student_wait, recipe.warmup_steps) == (30, 50)
    assert recipe.student_learning_rate == 0.05
    assert recipe.backbone == "compact_cnn"
    ours = rivals.recipe_of(pictures, "fixmatch", "ours")
    assert (ours.threshold, ours.teacher_learning_rate) == (0.6, 0.1)


def test_numbers_that_semilearn_is_told(rivals, pictures):
    class Found:
        num_classes = 10

    told = {
        (method, numbers): rivals.semilearn_config(
            rivals.Task(
                method,
                pictures,
                rivals.recipe_of(pictures, method, numbers),
                Found,
                0,
            )
        )
        for method in ("fixmatch", "freematch", "softmatch", "uda")
        for numbers in rivals.NUMBERS
    }
    assert told["freematch", "published"]["ema_p"] == 0.999
    # As ours: a twentieth of the steps.
    assert told["softmatch", "ours"]["ema_p"] == pytest.approx(0.99)
    assert told["uda", "published"]["p_cutoff"] == 0.8
    assert told["uda", "published"]["clip_grad"] == 0
    assert told["uda", "ours"]["clip_grad"] == 1.0
    for config in told.values():
        assert (config["batch_size"], config["uratio"]) == (32, 2)


def test_equal_time_is_reckoned_without_the_first_step(rivals):
    row = {
        "first_step_cpu_seconds": "10",
        "cpu_seconds": "110.0",
        "steps": "2001",
    }
    # 50 ms a step.
    assert rivals.steps_in(row, 60) == 1000
    assert rivals.steps_in(row, 5) == 10


def test_numbers_that_a_rival_does_not_have_are_left_out(rivals):
    both = ["published", "ours"]
    assert rivals.numbers_of("semilearn:uda", both) == both
    assert rivals.numbers_of("sklearn:logistic", both) == ["published"]
    assert rivals.numbers_of("mpl_keras:uda_aligned", both) == ["ours"]
    assert rivals.numbers_of("mpl_keras:softmatch", both) == both


def test_batches_are_read_in_turns(rivals):
    labeled, unlabeled = rivals.two_loaders(
        (f"x{i}", f"y{i}", f"weak{i}", f"strong{i}") for i in range(2)
    )
    for i in range(2):
        assert next(labeled) == (f"x{i}", f"y{i}")
        assert next(unlabeled) == ((f"weak{i}", f"strong{i}"), None)
    assert next(labeled, None) is None


def test_a_rival_that_fails_has_ours_in_its_place(
    rivals, pictures, monkeypatch, capsys
):
    def broken(task):
        raise RuntimeError("of old\n (/usr/lib/torch.py)")

    monkeypatch.setitem(rivals.RUN, "semilearn", broken)
    monkeypatch.setitem(rivals.RUN, "mpl_keras", lambda task: {"accuracy": 7})
    monkeypatch.setattr(rivals, "version_of", lambda package: f"{package} 1")
    recipe = rivals.recipe_of(pictures, "uda", "ours", 20)
    task = rivals.Task("uda", pictures, recipe, None, 0)
    row = rivals.with_stand_in("semilearn:uda", task)
    assert row["note"] == "RuntimeError: of old"
    assert row["package"] == "mpl_keras 1, in place of semilearn 1"
    assert row["accuracy"] == 7
    assert "semilearn:uda does not run" in capsys.readouterr().out
    # The network of a table is not the recipe's: nothing stands in.
    task.setting = rivals.settings.SETTINGS["wine_5"]
    row = rivals.with_stand_in("semilearn:uda", task)
    assert (row["package"], row["accuracy"]) == ("semilearn 1", "")
    assert row["note"] == "RuntimeError: of old"

    def missing(task):
        raise rivals.MissingError("not installed")

    monkeypatch.setitem(rivals.RUN, "semilearn", missing)
    with pytest.raises(rivals.MissingError):
        rivals.with_stand_in("semilearn:uda", task)


def test_unknown_rivals_are_named(tmp_path):
    done = scripts.run(
        BENCHMARKS / "rivals.py",
        f"--output={tmp_path / 'runs.csv'}",
        "--methods=semilearn:udda",
    )
    assert done.returncode == 1 and "not 'semilearn:udda'" in done.stderr
    done = scripts.run(
        BENCHMARKS / "rivals.py",
        f"--output={tmp_path / 'runs.csv'}",
        "--settings=fashion_41",
    )
    assert done.returncode == 1 and "not 'fashion_41'" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 24, 3)])
def test_the_network_is_the_same_in_pytorch(rivals, shape):
    torch = pytest.importorskip("torch")
    keras = rivals.keras
    keras.utils.set_random_seed(3)
    model = rivals.settings.networks.make("compact_cnn", shape, 10)
    random = np.random.RandomState(0)
    # Statistics and biases are not those of a network that begins.
    model.set_weights(
        [w + 0.05 * random.uniform(size=w.shape) for w in model.get_weights()]
    )
    images = random.randint(0, 256, (5, *shape)).astype("uint8")
    assert_same_in_pytorch(rivals, torch, model, images)


def test_the_network_of_a_table_is_the_same_in_pytorch(rivals):
    torch = pytest.importorskip("torch")
    setting = rivals.settings.SETTINGS["wine_5"]
    found = setting.load(0, 0.0)
    rivals.keras.utils.set_random_seed(3)
    model = rivals.settings.make_net(setting, found, "teacher")
    assert_same_in_pytorch(rivals, torch, model, found.unlabeled)


def assert_same_in_pytorch(rivals, torch, model, x):
    network = rivals.torch_network(model, named=True).eval()
    with torch.no_grad():
        answers = network(rivals.to_torch(x))["logits"].numpy()
    expected = model(x.astype("float32"), training=False).numpy()
    np.testing.assert_allclose(answers, expected, rtol=1e-4, atol=1e-3)


def test_a_classifier_of_scikit_learn_gets_a_row(tmp_path):
    arguments = (
        BENCHMARKS / "rivals.py",
        f"--output={tmp_path / 'runs.csv'}",
        *("--methods=sklearn:self_training", "--settings=wine_5"),
        *("--seeds=0:1", "--test"),
    )
    done = scripts.run(*arguments)
    assert done.returncode == 0, done.stderr
    made = (tmp_path / "runs.csv").read_bytes()
    (row,) = csv.DictReader(made.decode().splitlines())
    assert (row["setting"], row["numbers"]) == ("wine_5", "published")
    assert float(row["accuracy"]) > 85
    scripts.run(*arguments)
    assert (tmp_path / "runs.csv").read_bytes() == made
