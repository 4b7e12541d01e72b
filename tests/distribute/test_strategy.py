"""What the environment says of workers, and what is wrong with it."""

import json
import pathlib
import subprocess
import sys

import pytest

from mpl_keras.distribute import strategy

ROOT = pathlib.Path(__file__).parents[2]
TWO = {"worker": ["a:1", "b:2"]}
FIRST = {"type": "worker", "index": 0}


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    for name in ("TF_CONFIG", "SLURM_STEP_NUM_TASKS", "TPU_NAME"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{'cluster': {}}", "no JSON"),
        ("[]", "no object"),
        ('{"cluster": {"worker": ["a:1"]}}', "no objects under"),
        (dict(cluster={}, task=FIRST), "no address"),
        (dict(cluster={"worker": "a:1"}, task=FIRST), "no list of addresses"),
        (dict(cluster={"worker": []}, task=FIRST), "no list of addresses"),
        (dict(cluster={"worker": ["a", "b:1"]}, task=FIRST), "address 'a'"),
        (dict(cluster={"worker": [1, 2]}, task=FIRST), "address 1"),
        (dict(cluster={"worker": ["a:1", "a:1"]}, task=FIRST), "one twice"),
        (dict(cluster={**TWO, "ps": ["c:1"]}, task=FIRST), r"\['ps'\]"),
        (dict(cluster=TWO, task={"type": "chief", "index": 0}), "'chief'"),
        (dict(cluster=TWO, task={"type": "worker", "index": 2}), "2 of 2"),
        (dict(cluster=TWO, task={"type": "worker", "index": -1}), "-1 of 2"),
        (dict(cluster=TWO, task={"type": ["worker"], "index": 0}), "worker"),
        (dict(cluster=TWO, task={"type": "worker"}), "None of 2"),
        (dict(cluster=TWO, task={"type": "worker", "index": "x"}), "'x' of"),
        (
            dict(
                cluster={"chief": ["a:1", "b:1"]},
                task={"type": "chief", "index": 0},
            ),
            "more than one chief",
        ),
    ],
)
def test_a_malformed_tf_config(text, problem, monkeypatch):
    text = text if isinstance(text, str) else json.dumps(text)
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(
        ValueError, match=f"TF_CONFIG must be of the form.*{problem}.*TF_CONFIG"
    ):
        strategy.make_strategy()


@pytest.mark.parametrize(
    "config",
    [
        # As Kubeflow writes it, and as Vertex AI does.
        {"cluster": TWO, "task": FIRST, "environment": "cloud"},
        {
            "cluster": {"chief": ["a:2222"], "worker": ["[::1]:2222"]},
            "task": {"type": "chief", "index": "0", "trial": "1"},
            "job": "{}",
        },
    ],
)
def test_what_managers_write_is_understood(config, monkeypatch, capsys):
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    resolver = strategy._workers()
    assert resolver.cluster_spec().as_dict() == config["cluster"]
    assert resolver.task_id == 0
    assert resolver.task_type == config["task"]["type"]
    assert "of 2 workers; waiting for all" in capsys.readouterr().out


def test_slurm(monkeypatch, capsys):
    for name, value in {
        "PROCID": "2",
        "STEP_NUM_TASKS": "4",
        "STEP_NODELIST": "node[1-2]",
        "STEP_TASKS_PER_NODE": "2(x2)",
    }.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    resolver = strategy._workers()
    assert resolver.cluster_spec().as_dict() == {
        "worker": ["node1:8888", "node1:8889", "node2:8888", "node2:8889"]
    }
    assert (resolver.task_type, resolver.task_id) == ("worker", 2)
    assert "This is worker 2 of 4" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", " ", "{}", None, "one"])
def test_a_single_process(text, monkeypatch):
    if text == "one":
        one = {"cluster": {"worker": ["a:1"]}, "task": FIRST}
        text = json.dumps(one)
    if text is not None:
        monkeypatch.setenv("TF_CONFIG", text)
    assert strategy.make_strategy().num_replicas_in_sync == 1
    with pytest.raises(ValueError, match="several workers for 'multi_worker'"):
        strategy.make_strategy("multi_worker")


def test_other_strategies(monkeypatch):
    assert strategy.make_strategy("mirrored").num_replicas_in_sync == 1
    with pytest.raises(ValueError, match="must be one of .*'tpu'"):
        strategy.make_strategy("TPUStrategy")
    with pytest.raises(ValueError, match="There must be a TPU .*TPU_NAME=None"):
        strategy.make_strategy("tpu")
    with pytest.raises(ValueError, match="`virtual_devices`"):
        strategy.make_strategy("auto", 0)


@pytest.mark.slow
def test_two_workers_are_one():
    """The same weights on both, and those of one process; real processes."""
    script = ROOT / "benchmarks/workers.py"
    result = subprocess.run(
        [sys.executable, str(script), "--kills=0", "--steps=20"],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "two workers differ by 0, from one process by" in result.stdout


_SEVERAL = """
import keras
import numpy as np

from mpl_keras import MetaPseudoLabels, distribute, feedback

def net():
    return keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])

x = {name: np.ones((4, 6)) for name in ("labeled", "weak", "strong")}
for form in ("Hypergradient", "LossDifference", "Cosine"):
    strategy = distribute.make_strategy("mirrored", virtual_devices=2)
    print(strategy.extended._collective_keys._group_key)
    with strategy.scope():
        form = getattr(feedback, f"{form}Feedback")()
        model = MetaPseudoLabels(net(), net(), feedback=form)
        model.compile("sgd", "sgd", metrics=["accuracy"])
    model.fit(x, np.arange(4) % 3, batch_size=4, verbose=0)
"""


@pytest.mark.slow
def test_several_strategies_train_in_one_process():
    # Failed in `CollectiveReduce`, with keys that began alike.
    subprocess.run([sys.executable, "-c", _SEVERAL], check=True, timeout=600)


def test_strategies_of_one_process_share_no_keys():
    keys = [
        strategy._mirrored(["CPU:0"]).extended._collective_keys._group_key
        for _ in range(2)
    ]
    assert keys[1] - keys[0] >= 1000
