"""Schedules: values, edges, graphs, configs, and inside an optimizer."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_keras import schedules


def values(schedule, steps):
    return [float(schedule(step)) for step in steps]


def cosine():
    return keras.optimizers.schedules.CosineDecay(
        0.0, decay_steps=20, warmup_target=0.3, warmup_steps=5, alpha=0.1
    )


ALL = [
    schedules.Delayed(0.1, steps=3, name="wait"),
    schedules.Delayed(cosine(), steps=7),
    schedules.LinearRamp(8.0, steps=4, name="ramp"),
    schedules.LinearRamp(8.0, steps=0),
    schedules.SignalAnnealing(10, 4, "linear"),
    schedules.SignalAnnealing(10, 4, "log", name="log"),
    schedules.SignalAnnealing(10, 4, "exp"),
]


def test_delayed_number():
    delayed = schedules.Delayed(0.5, steps=3)
    assert values(delayed, (0, 2, 3, 100)) == [0.0, 0.0, 0.5, 0.5]
    assert values(schedules.Delayed(0.5, steps=0), (0, 1)) == [0.5, 0.5]


def test_delayed_shifts_a_cosine_with_warmup_exactly():
    inner, delayed = cosine(), schedules.Delayed(cosine(), steps=7)
    assert values(delayed, range(7)) == [0.0] * 7
    assert values(delayed, range(7, 40)) == values(inner, range(33))
    assert max(values(inner, range(33))) == pytest.approx(0.3)


def test_delayed_is_zero_even_where_the_inner_schedule_is_not():
    # The inner schedule's first value must not leak into the wait.
    decay = keras.optimizers.schedules.ExponentialDecay(1.0, 1, 0.5)
    delayed = schedules.Delayed(decay, steps=2)
    assert values(delayed, range(4)) == [0.0, 0.0, 1.0, 0.5]


def test_linear_ramp():
    ramp = schedules.LinearRamp(8.0, steps=4)
    assert values(ramp, (0, 1, 2, 3, 4, 5, 10**6)) == [0, 2, 4, 6, 8, 8, 8]
    assert values(schedules.LinearRamp(8.0, steps=0), (0, 9)) == [8, 8]
    assert values(schedules.LinearRamp(-2.0, steps=2), (0, 1, 2)) == [0, -1, -2]


@pytest.mark.parametrize(
    ("shape", "share"),
    [
        ("linear", lambda t: t),
        ("log", lambda t: 1 - np.exp(-5 * t)),
        ("exp", lambda t: np.exp(5 * (t - 1))),
    ],
)
def test_signal_annealing(shape, share):
    schedule = schedules.SignalAnnealing(10, 4, shape)
    time = np.arange(10) / 10
    np.testing.assert_allclose(
        values(schedule, range(10)), share(time) * 0.75 + 0.25, rtol=1e-5
    )
    # From the end on, everything is kept.
    assert values(schedule, (10, 11, 10**6)) == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("schedule", ALL, ids=lambda s: s.name)
def test_inside_a_graph_with_an_int64_step(schedule):
    compiled = tf.function(schedule)
    step = tf.Variable(0, dtype=tf.int64)
    for now in (0, 2, 3, 4, 8, 50):
        step.assign(now)
        result = compiled(step)
        assert result.dtype == tf.float32
        assert result.shape == ()
        np.testing.assert_allclose(result, schedule(now), rtol=1e-6)
    variable = keras.Variable(3, dtype="int64")
    np.testing.assert_allclose(schedule(variable), schedule(3), rtol=1e-6)


@pytest.mark.parametrize("schedule", ALL, ids=lambda s: s.name)
def test_every_schedule_is_serializable(schedule):
    config = schedule.get_config()
    arguments = set(inspect.signature(type(schedule).__init__).parameters)
    assert arguments - {"self"} <= set(config)
    again = type(schedule).from_config(config)
    loaded = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(schedule)
    )
    for other in (again, loaded):
        assert type(other) is type(schedule)
        assert other.get_config() == config
        assert values(other, range(20)) == values(schedule, range(20))


def test_learning_rate_goes_on_after_loading(tmp_path):
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    delayed = schedules.Delayed(cosine(), steps=4)
    network.compile(keras.optimizers.SGD(delayed), "mse")
    x = np.ones((10, 2), "float32")
    weights = network.get_weights()
    network.fit(x[:4], x[:4], batch_size=1, verbose=0)
    for before, after in zip(weights, network.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    network.fit(x[:6], x[:6], batch_size=1, verbose=0)
    assert not np.array_equal(weights[0], network.get_weights()[0])

    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    assert int(loaded.optimizer.iterations) == 10
    for optimizer in (network.optimizer, loaded.optimizer):
        assert float(optimizer.learning_rate) == float(cosine()(6))
    loaded.fit(x[:1], x[:1], batch_size=1, verbose=0)
    assert float(loaded.optimizer.learning_rate) == float(cosine()(7))


def test_value_at_takes_schedules_and_numbers():
    for schedule, expected in ((2, 2.0), (schedules.LinearRamp(8.0, 4), 6.0)):
        value = schedules.value_at(schedule, 3)
        assert value.dtype == tf.float32
        assert float(value) == expected


@pytest.mark.parametrize(
    "schedule", [0.5, None, ALL[1]], ids=["number", "none", "schedule"]
)
def test_serialize_and_back(schedule):
    again = schedules.deserialize(schedules.serialize(schedule))
    if isinstance(schedule, schedules.Delayed):
        assert again.get_config() == schedule.get_config()
    else:
        assert again == schedule
