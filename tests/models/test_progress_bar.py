"""The progress bar fits one line, whatever it shows."""

import re

import keras
import numpy as np
import pytest

import mpl_keras as mk
from mpl_keras.models.progress_bar import ProgressBar

ANSI = re.compile(r"\x1b\[[0-9;]*m")
HIDDEN = ["teacher_loss", "student_loss", "feedback_share", "h", "mask_rate"]


def lines_of(text):
    """What a terminal shows, one after another."""
    return [
        line.rstrip()
        for line in re.split(r"[\r\n\b]+", ANSI.sub("", text))
        if line.strip()
    ]


def draw(steps, logs, validation, capsys):
    bar = ProgressBar(HIDDEN, bool(validation))
    bar.set_params({"verbose": "auto", "epochs": 2, "steps": steps})
    bar.on_train_begin()
    bar.on_epoch_begin(0)
    for batch in range(3):
        bar.progbar._last_update = 0  # draw it each time
        bar.on_train_batch_end(batch, logs)
    bar.on_epoch_end(0, {**logs, **validation})
    return lines_of(capsys.readouterr().out)


@pytest.mark.parametrize("steps", [5, 100, 1500, 300000, None])
@pytest.mark.parametrize("value", [0.9, 12.3456, 0.0, float("nan"), 1e-5])
@pytest.mark.parametrize("metrics", [[], ["accuracy"], ["accuracy", "auc"]])
@pytest.mark.parametrize("has_validation", [False, True])
def test_it_fits(steps, value, metrics, has_validation, capsys):
    logs = dict.fromkeys([*HIDDEN, *metrics, "loss"], value)
    validation = {f"val_{name}": value for name in [*metrics, "loss"]}
    lines = draw(steps, logs, validation if has_validation else {}, capsys)
    first = metrics[0] if metrics else "loss"
    # A metric of 0 is written in ten characters, which validation did not
    # announce; the last lines then are as long as they are.
    assert max(map(len, lines[:-1])) <= 80
    assert len(lines[-1]) <= (80 if value == 0.9 else 88), lines[-1]
    assert f" {first}: " in lines[-1]
    assert (f" val_{first}: " in lines[-1]) == has_validation
    assert "teacher_loss" not in "".join(lines)


def test_bad_steps_are_shown():
    bar = ProgressBar(HIDDEN, False)
    logs = {"loss": 0.1, "h": 1.0, "accuracy": 0.5, "bad_steps": 2}
    assert list(bar.fitting(logs, 10)) == ["accuracy", "loss", "bad_steps"]
    assert "bad_steps" not in bar.fitting({**logs, "bad_steps": 0}, 10)


def test_of_fit(capsys):
    x = np.random.RandomState(0).normal(size=(12, 2)).astype("float32")
    data = mk.datasets.from_arrays(x[:4], [0, 1, 0, 1], x, test=(x, [0, 1] * 6))
    train = mk.pipeline.training_dataset(data, 4, 4, steps_per_epoch=3)
    model = mk.UDA(keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]))
    model.compile("sgd", metrics=["accuracy"])
    history = model.fit(train, validation_data=data.test).history
    assert {"supervised_loss", "mask_rate", "bad_steps"} <= set(history)
    last = lines_of(capsys.readouterr().out)[-1]
    assert re.search(r" - accuracy: [\d.e+]+ - val_accuracy: [\d.e+]+$", last)
    assert "supervised_loss" not in last and len(last) <= 80
    model.fit(train, callbacks=[keras.callbacks.ProgbarLogger()])
    assert "supervised_loss" in capsys.readouterr().out
    model.fit(train, verbose=2)
    assert "supervised_loss" in capsys.readouterr().out
    model.fit(train, verbose=0)
    assert capsys.readouterr().out == ""
