"""The average may be the teacher's: it is evaluated, saved and exported."""

import keras
import numpy as np
import pytest
import seeds
import tensorflow as tf

from mpl_keras import MetaPseudoLabels

X = np.random.default_rng(0).normal(size=(12, 6)).astype("float32")
VIEWS = {"labeled": X, "weak": X, "strong": X}
Y = np.arange(12) % 3


def make_net(seed):
    seeds.set_random_seed(seed)
    return keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])


def make_model(**options):
    model = MetaPseudoLabels(make_net(1), make_net(2), **options)
    model.compile(
        teacher_optimizer=keras.optimizers.SGD(0.1),
        student_optimizer=keras.optimizers.SGD(0.1),
        run_eagerly=True,
    )
    return model


@pytest.mark.parametrize("name", ["teacher", "student"])
def test_the_average_follows_the_network_that_is_named(name, tmp_path):
    model = make_model(average_of=name, ema_momentum=0.0)
    for _ in range(2):
        model.train_on_batch(VIEWS, Y)
    network = model.trained[name]
    expected = network(X).numpy()
    assert list(model.trained)[-1] == name
    assert getattr(model, f"averaged_{name}") is model.averaged
    np.testing.assert_allclose(model.predict(X, verbose=0), expected, 1e-5)
    model.save(tmp_path / "model.keras")
    model.export(tmp_path / "exported", verbose=False)
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.average_of == name
    np.testing.assert_allclose(loaded.averaged(X), expected, 1e-5)
    served = tf.saved_model.load(tmp_path / "exported")
    np.testing.assert_allclose(served.serve(X), expected, 1e-5)


def test_averaging_another_network_changes_no_training():
    ends = []
    for name in ("teacher", "student"):
        model = make_model(average_of=name)
        for _ in range(3):
            model.train_on_batch(VIEWS, Y)
        pair = model.teacher, model.student
        ends.append([w for network in pair for w in network.get_weights()])
    for one, other in zip(*ends, strict=True):
        np.testing.assert_array_equal(one, other)


def test_weights_loaded_into_the_teacher_are_evaluated():
    model = make_model(average_of="teacher")
    model.teacher.set_weights([w + 1 for w in model.teacher.get_weights()])
    expected = model.teacher(X).numpy()
    np.testing.assert_allclose(model.predict(X, verbose=0), expected, 1e-5)


def test_what_is_not_kept_is_said():
    model = make_model(average_of="teacher")
    with pytest.raises(AttributeError, match="no average of the student"):
        model.averaged_student  # noqa: B018
    with pytest.raises(AttributeError, match="no average of the teacher"):
        make_model().averaged_teacher  # noqa: B018
    with pytest.raises(ValueError, match="average_of"):
        make_model(average_of="both")


def test_the_average_is_described():
    model = make_model(average_of="teacher")
    said = {name: model.describe(name) for name in model.trained}
    assert said == {"teacher": "teacher as trained", "student": "student"}
    assert model.describe() == "averaged teacher, ema_momentum 0.995"
