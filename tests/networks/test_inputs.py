"""What a network cannot take is said in the words of who gave it."""

import keras
import numpy as np
import pandas
import pytest
import tensorflow as tf

from mpl_keras import UDA, MetaPseudoLabels
from mpl_keras.checks import ArgumentError
from mpl_keras.networks import inputs

X = np.random.default_rng(0).normal(size=(12, 6)).astype("float32")
Y = np.arange(12) % 3
VIEWS = ("labeled", "weak", "strong")


def make_net(*shapes, dtype="float32", by_name=False):
    given = [
        keras.Input(shape, dtype=dtype, name=f"in{i}")
        for i, shape in enumerate(shapes or [(6,)])
    ]
    parts = [keras.layers.Rescaling(1.0)(x) for x in given]
    x = keras.layers.Concatenate()(parts) if len(parts) > 1 else parts[0]
    x = keras.layers.Dense(3)(keras.layers.Flatten()(x))
    named = {x.name: x for x in given}
    return keras.Model(
        named if by_name else given if len(given) > 1 else given[0], x
    )


NET = make_net()
TWO = make_net((6,), (2,))
NAMED = make_net((6,), (2,), by_name=True)
WHOLE = make_net(dtype="int32")
TEXT = keras.Sequential(
    [
        keras.Input((1,), dtype="string"),
        keras.layers.StringLookup(vocabulary=["a"]),
        keras.layers.CategoryEncoding(3),
    ]
)
SMALL = make_net((8, 8, 1))


@pytest.mark.parametrize(
    ("net", "x", "said"),
    [
        (NET, X[:, :5], r"`x` must hold examples of shape \(6,\).* \(5,\)"),
        (NET, X[0], r"of shape \(6,\).*of shape \(\)"),
        (NET, np.float32(1), "of shape.*a plain number"),
        (NET, X.astype(str), "`x` must hold numbers.*string"),
        (NET, X.astype(object), "astype.*objects"),
        (NET, X.astype(complex), "real.*complex128"),
        (NET, np.ma.masked_less(X, 0), "masked"),
        (NET, X.tolist(), r"be an array or a tensor \(call np.asarray\)"),
        (NET, [X, X], "be one array.*2 arrays"),
        (NET, {"a": X}, r"by their names, \['in0'\].*dict of \['a'\]"),
        (NET, pandas.DataFrame(X[:, 1:]), r"of shape \(5,\)"),
        (NET, tf.TensorSpec([None, 7]), r"of shape \(7,\)"),
        (TWO, X, "hold 2 arrays.*one array"),
        (TWO, [X, X], r"`x\[1\]` must hold examples of shape \(2,\)"),
        (NAMED, {"in0": X}, "by their names.*in1"),
        (NAMED, {"in0": X, "in1": X}, r"`x\['in1'\]` must hold"),
        (WHOLE, X, "whole numbers.*int32.*float32"),
        (TEXT, X[:, :1], "`x` must hold text.*float32"),
        (SMALL, np.zeros((2, 8, 8, 3)), r"\(8, 8, 1\).*\(8, 8, 3\)"),
    ],
)
def test_what_a_network_does_not_take(net, x, said):
    with pytest.raises(ArgumentError, match=said):
        inputs.check(net, x, "x")


@pytest.mark.parametrize(
    ("net", "x"),
    [
        (NET, X),
        (NET, (X,)),
        (NET, X.astype("float16")),
        (NET, X.astype("int64")),
        (NET, {"in0": X, "besides": Y}),
        (NET, pandas.DataFrame(X)),
        (NET, tf.TensorSpec(None)),
        (TWO, [X, X[:, :2]]),
        (TWO, {"in0": X, "in1": X[:, :2]}),
        (NAMED, {"in1": X[:, :2], "in0": X}),
        (WHOLE, Y.repeat(6).reshape(-1, 6)),
        (TEXT, np.array([["a"]])),
        (TEXT, tf.constant([["a"]])),
        (SMALL, np.zeros((2, 8, 8))),
    ],
)
def test_what_a_network_takes(net, x):
    inputs.check(net, x, "x")
    if not isinstance(x, tf.TensorSpec):
        net(x.to_numpy() if hasattr(x, "to_numpy") else x)


def test_every_way_to_ask_a_model():
    model = UDA(make_net())
    model.compile("sgd", run_eagerly=True)
    narrow = X[:, :5]
    for use in (
        lambda x: model.predict(x, verbose=0),
        lambda x: model.predict(tf.data.Dataset.from_tensors(x), verbose=0),
        lambda x: model.predict_on_batch(x),
        lambda x: model.evaluate(x, Y, verbose=0),
        lambda x: model.evaluate(tf.data.Dataset.from_tensors((x, Y))),
        lambda x: model.test_on_batch(x, Y),
    ):
        with pytest.raises(ArgumentError, match="`x` must hold examples of"):
            use(narrow)
        with pytest.raises(ArgumentError, match="`x` must hold numbers"):
            use(X.astype(str))
    with pytest.raises(ValueError, match="`inputs` must hold examples of"):
        model(narrow)
    views = dict.fromkeys(VIEWS, X)
    with pytest.raises(ArgumentError, match=r"`validation_data\[0\]` must"):
        model.fit(views, Y, validation_data=(narrow, Y))
    assert int(model.step) == 0


@pytest.mark.parametrize(
    ("student", "said"),
    [
        (WHOLE, "whole numbers.*`student`"),
        (NAMED, r"hold 2 arrays.*`student`"),
    ],
    ids=["int32", "dict"],
)
def test_a_student_that_takes_other_examples(student, said):
    model = MetaPseudoLabels(make_net(), student)
    model.compile("sgd", "sgd")
    views = dict.fromkeys(VIEWS, X)
    for train in (model.fit, model.train_on_batch):
        with pytest.raises(ArgumentError, match=rf"`x\['labeled'\]` .*{said}"):
            train(views, Y)
    assert int(model.step) == 0
