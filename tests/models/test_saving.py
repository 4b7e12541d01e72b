"""Saving, loading and exporting: nothing of a training is lost."""

import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import seeds
import tensorflow as tf

from mpl_keras import UDA, MetaPseudoLabels, schedules
from mpl_keras.feedback import (
    CosineFeedback,
    HypergradientFeedback,
    LossDifferenceFeedback,
    PerExampleFeedback,
)
from mpl_keras.losses import ConsistencyLoss


def make_net(dropout=0.3):
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(8),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Dropout(dropout),
            layers.Dense(3),
        ]
    )


def make_batch(seed):
    rng = np.random.default_rng(seed)

    def images(size):
        return rng.normal(size=(size, 4)).astype("float32")

    views = {"labeled": images(6), "weak": images(8), "strong": images(8)}
    return views, rng.integers(0, 3, 6)


def make_optimizer(wait=0):
    cosine = keras.optimizers.schedules.CosineDecay(0.2, 50)
    return keras.optimizers.SGD(
        schedules.Delayed(cosine, wait),
        momentum=0.9,
        nesterov=True,
        global_clipnorm=1.0,
    )


def make_model(form=LossDifferenceFeedback, **options):
    seeds.set_random_seed(2)
    model = MetaPseudoLabels(
        make_net(),
        make_net(),
        consistency=ConsistencyLoss(0.7, 0.3, distribution_alignment="labeled"),
        consistency_weight=schedules.LinearRamp(3.0, steps=20),
        supervised_threshold=schedules.SignalAnnealing(100, 3),
        feedback=form(weight=schedules.LinearRamp(1.0, steps=10)),
        label_smoothing=0.1,
        seed=4,
        **options,
    )
    model.compile(
        teacher_optimizer=make_optimizer(),
        student_optimizer=make_optimizer(wait=2),
        metrics=["accuracy"],
    )
    return model


def make_uda():
    seeds.set_random_seed(2)
    model = UDA(make_net(), consistency_weight=schedules.LinearRamp(2.0, 9))
    model.compile(make_optimizer(), metrics=["accuracy"])
    return model


def train(model, first, last):
    for seed in range(first, last):
        model.train_on_batch(*make_batch(seed))


def state(model):
    """Everything: networks, average, optimizers, statistics, seeds."""
    variables = list(model.variables) + list(model.optimizer.variables)
    if isinstance(model, MetaPseudoLabels):
        variables += model.teacher_optimizer.variables
    metrics = {id(v) for metric in model.metrics for v in metric.variables}
    return [v.numpy() for v in variables if id(v) not in metrics]


def assert_same(left, right):
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        np.testing.assert_array_equal(one, other)


MAKERS = {
    "loss difference": lambda: make_model(LossDifferenceFeedback),
    "cosine": lambda: make_model(CosineFeedback),
    "hypergradient": lambda: make_model(HypergradientFeedback),
    "per example": lambda: make_model(PerExampleFeedback),
    "UDA": make_uda,
}


@pytest.mark.slow_cases(
    "per example",
    "cosine",
    "loss difference",
)
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_saved_model_goes_on_bit_for_bit(make, tmp_path):
    # Traps: the second optimizer, baselines, counters of ramps, and the seeds
    # of dropout, which Keras does not save.
    straight = make()
    train(straight, 0, 8)

    model = make()
    train(model, 0, 5)
    model.save(tmp_path / "model.keras")
    before = state(model)
    seeds.set_random_seed(99)
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_same(state(loaded), before)
    train(loaded, 5, 8)

    assert int(loaded.step) == 8
    assert_same(state(loaded), state(straight))


@pytest.mark.parametrize("make", [MAKERS["loss difference"], make_uda])
def test_weights_go_into_a_fresh_model(make, tmp_path):
    model = make()
    train(model, 0, 3)
    model.save_weights(tmp_path / "model.weights.h5")
    fresh = make()
    train(fresh, 5, 6)
    fresh.load_weights(tmp_path / "model.weights.h5")
    assert_same(
        [v.numpy() for v in fresh.weights], [v.numpy() for v in model.weights]
    )


def test_config_round_trip():
    model = make_model(
        PerExampleFeedback,
        pseudo_label_view="strong",
        pseudo_labels="argmax",
        ema_momentum=0.5,
    )
    copy = MetaPseudoLabels.from_config(model.get_config())
    config, original = copy.get_config(), model.get_config()
    for name in original:
        if name not in ("teacher", "student"):
            assert config[name] == original[name], name
    assert copy.feedback.weight.steps == 10
    assert copy.consistency.distribution_alignment == "labeled"


def test_compile_config_round_trip(tmp_path):
    model = make_model()
    model.compile(
        teacher_optimizer=keras.optimizers.Adam(0.01),
        student_optimizer=keras.optimizers.SGD(0.02),
        metrics=["accuracy"],
        weighted_metrics=["accuracy"],
        jit_compile=False,
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.teacher_optimizer, keras.optimizers.Adam)
    assert isinstance(loaded.optimizer, keras.optimizers.SGD)
    assert loaded.compiled
    train(loaded, 0, 1)
    assert loaded.evaluate(
        *_test_data(), verbose=0, return_dict=True
    ).keys() == {
        "loss",
        "accuracy",
        "weighted_accuracy",
    }


def _test_data():
    views, y = make_batch(77)
    return views["labeled"], y


def test_loaded_model_predicts_the_same(tmp_path):
    model = make_model()
    train(model, 0, 4)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    x, _ = _test_data()
    np.testing.assert_array_equal(
        loaded.predict(x, verbose=0), model.predict(x, verbose=0)
    )


@pytest.mark.parametrize("kind", ["uda", "mpl"])
def test_what_was_frozen_after_its_training_loads(tmp_path, kind):
    if kind == "uda":
        model = UDA(make_net())
        model.compile(make_optimizer())
    else:
        model = make_model()
    *_, (name, network) = model.trained.items()
    network.trainable = False
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    x, _ = _test_data()
    np.testing.assert_array_equal(
        loaded.predict(x, verbose=0), model.predict(x, verbose=0)
    )
    with pytest.raises(ValueError, match=f"`{name}` must have trainable"):
        loaded.fit(*make_batch(0), verbose=0)


@pytest.mark.slow
def test_export_needs_no_mpl_keras(tmp_path):
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    np.save(tmp_path / "x.npy", x)
    expected = {}
    for name, make in (("MPL", MAKERS["loss difference"]), ("UDA", make_uda)):
        model = make()
        train(model, 0, 4)
        model.export(tmp_path / name, verbose=False)
        expected[name] = np.concatenate(
            [model.predict(x[:size], verbose=0) for size in (1, 7, 64)]
        )
    script = f"""
        import sys
        import numpy as np
        import tensorflow as tf
        x = np.load(r"{tmp_path / "x.npy"}")
        for name in ("MPL", "UDA"):
            loaded = tf.saved_model.load(rf"{tmp_path}/{{name}}")
            logits = [loaded.serve(x[:size]) for size in (1, 7, 64)]
            np.save(rf"{tmp_path}/{{name}}.npy", np.concatenate(logits))
        assert "mpl_keras" not in sys.modules
    """
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        check=True,
        cwd=tmp_path,
    )
    for name, logits in expected.items():
        np.testing.assert_allclose(
            np.load(tmp_path / f"{name}.npy"), logits, atol=1e-6
        )


def test_export_overwrites_only_when_asked(tmp_path):
    model = make_uda()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="`overwrite` is set.*mine"):
        model.export(tmp_path / "mine", verbose=False)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]
    model.export(tmp_path / "student", verbose=False)
    model.export(tmp_path / "student", verbose=False, overwrite=True)
    assert tf.saved_model.contains_saved_model(str(tmp_path / "student"))


def test_a_failed_export_leaves_nothing(tmp_path, monkeypatch):
    model = make_uda()

    def half(self, path, *args, **kwargs):
        with open(path, "w") as file:
            file.write("half")
        raise OSError("No space left on device")

    monkeypatch.setattr(keras.Sequential, "export", half)
    with pytest.raises(OSError, match="No space"):
        model.export(tmp_path / "student")
    assert list(tmp_path.iterdir()) == []


def adamw(rate, **excluded):
    optimizer = keras.optimizers.AdamW(rate, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(**excluded)
    return optimizer


def decayed(optimizer):
    return [
        optimizer._use_weight_decay(v) for v in optimizer._trainable_variables
    ]


def test_weights_that_are_not_to_decay(tmp_path):
    # Keras forgets them in a file.
    teacher, student = make_net(), make_net()
    model = MetaPseudoLabels(teacher, student)
    model.compile(
        adamw(0.1, var_names=["bias", "beta"]),
        adamw(0.1, var_list=[student.layers[0].kernel]),
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for name, optimizer in model.optimizers.items():
        assert not all(decayed(optimizer))
        assert decayed(loaded.optimizers[name]) == decayed(optimizer)
    assert sum(decayed(loaded.student_optimizer)) == 5


def test_weights_that_decay_alike_are_not_written(tmp_path):
    model = UDA(make_net())
    model.compile(keras.optimizers.AdamW(0.1))
    assert "without_weight_decay" not in model.get_compile_config()
    half = keras.optimizers.LossScaleOptimizer(adamw(0.1, var_names=["bias"]))
    model.compile(half)
    config = model.get_compile_config()
    assert config["without_weight_decay"] == {"model": [1, 5]}
    model.compile_from_config(config)
    assert decayed(model.optimizer.inner_optimizer).count(False) == 2
