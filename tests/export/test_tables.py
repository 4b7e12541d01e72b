"""Tables as people deploy them: raw rows in, class names out."""

import csv
import json
import os
import re
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pandas as pd
import pytest
import seeds
import tensorflow as tf
from sklearn import datasets as sklearn_datasets

from mpl_keras import datasets, export
from mpl_keras.commands.predict import COMMAND
from mpl_keras.export import table_serving


def wine():
    """The table of wine, with texts, booleans, gaps and odd names."""
    frame = sklearn_datasets.load_wine(as_frame=True).frame
    frame = frame.rename(columns={"malic_acid": "malic acid", "ash": "Asche ü"})
    frame["kind"] = np.where(frame.hue > 1, "pale, very", 'dark "red"')
    frame["strong"] = frame.alcohol > 13
    frame["code"] = pd.Categorical(frame.proline.astype(int) // 500)
    random = np.random.RandomState(0)
    frame.loc[random.choice(178, 20), "malic acid"] = np.nan
    frame.loc[random.choice(178, 20), "kind"] = None
    frame["strong"] = frame.strong.astype(object)
    frame.loc[random.choice(178, 20), "strong"] = None
    names = {0: "Barolo", 1: "Grignolino", 2: "=Barbera"}
    frame["target"] = frame.target.map(names)
    frame.loc[random.choice(178, 90, replace=False), "target"] = None
    return frame


FRAME = wine()
NEW = FRAME.drop(columns="target").iloc[::3][:50]


def make_net(data):
    seeds.set_random_seed(0)
    width = len(data.encoder.feature_names)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((width,)),
            layers.Dense(16, activation="relu"),
            layers.BatchNormalization(),
            layers.Dense(data.num_classes),
        ]
    )


def load(frame=FRAME, target="target", **arguments):
    return datasets.from_dataframe(frame, target, **arguments)


@pytest.fixture(scope="module")
def data():
    return load(fill_missing=True)


@pytest.fixture(scope="module")
def net(data):
    net = make_net(data)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile(keras.optimizers.Adam(0.01), loss)
    net.fit(*data.labeled, epochs=15, verbose=0)
    return net


@pytest.fixture(scope="module")
def path(data, net, tmp_path_factory):
    path = tmp_path_factory.mktemp("tables") / "wine"
    found = export.write_classifier(net, path, data)
    assert found.agreement == 1 and found.classes == 3
    assert str(found).startswith("on 178 rows, which the network calls by 3 ")
    return path


def expected(data, net, frame=NEW):
    logits = net(data.encoder(frame), training=False)
    return tf.nn.softmax(logits).numpy()


ALONE = """
import json, sys
import numpy as np, tensorflow as tf

class Nowhere:
    def find_spec(self, name, *rest):
        if name.split(".")[0] in ("mpl_keras", "pandas"):
            raise ImportError(name)

sys.meta_path.insert(0, Nowhere())
path, rows = sys.argv[1], json.load(open(sys.argv[2]))
known = json.load(open(path + ".json"))
model = tf.saved_model.load(path)
inputs = {}
for column in known["columns"]:
    gap = column["missing"]  # as it says that there is none
    cells = rows[column["name"]]
    kind = str if column["dtype"] == "string" else float
    cells = [kind(gap if cell is None else cell) for cell in cells]
    inputs[column["input"]] = tf.constant(cells, column["dtype"])
answer = model.signatures["serving_default"](**inputs)
answer = {name: value.numpy() for name, value in answer.items()}
answer["classes"] = answer["classes"].astype("S")
np.savez(sys.argv[3], **answer)
"""


def test_it_needs_nothing_of_ours(path, data, net, tmp_path):
    """Bar 6: 50 raw rows, with texts and gaps, the same classes."""
    raw = {
        str(name): [None if pd.isna(v) else v for v in NEW[name].tolist()]
        for name in NEW
    }
    (tmp_path / "rows.json").write_text(json.dumps(raw))
    names = "rows.json", "answer.npz"
    arguments = [str(path), *(str(tmp_path / name) for name in names)]
    code = textwrap.dedent(ALONE)
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    answer = np.load(tmp_path / "answer.npz")
    want = expected(data, net)
    np.testing.assert_allclose(answer["probabilities"], want, atol=1e-6)
    classes = np.array(data.class_names)[want.argmax(-1)]
    assert [name.decode() for name in answer["classes"]] == classes.tolist()
    assert len(set(classes)) == 3 and NEW.isna().any().sum() == 3


def test_what_lies_beside_a_path_with_a_slash(data, net, tmp_path):
    export.write_classifier(net, f"{tmp_path}/wine/", data)
    there = {"wine", "wine.md", "wine.json"}
    assert set(os.listdir(tmp_path)) == there
    assert not {".md", ".json"} & set(os.listdir(tmp_path / "wine"))


def test_the_json_beside_says_what_it_takes(path, data, model):
    known = json.loads((path.parent / "wine.json").read_text())
    assert known["class_names"] == list(data.class_names)
    columns = {column["name"]: column for column in known["columns"]}
    assert list(columns) == [str(name) for name in NEW]
    assert columns["malic acid"]["input"] == "malic_acid"
    assert columns["malic acid"]["fill"] == NEW["malic acid"].dtype.type(
        FRAME["malic acid"].median()
    )
    assert columns["kind"]["categories"] == ['dark "red"', "pale, very"]
    assert columns["code"]["dtype"] == "string"
    described = model.signatures["metadata"]()["json"].numpy()
    assert json.loads(described) == known
    card = (path.parent / "wine.md").read_text()
    assert "A tensor [N] for each column" in card and "picture" not in card


def test_a_data_frame_goes_in(path, data, net):
    classifier = export.load(path)
    assert classifier.columns == tuple(map(str, NEW))
    got = classifier(NEW[NEW.columns[::-1]].assign(besides=1))
    np.testing.assert_allclose(got, expected(data, net), atol=1e-6)
    assert got.dtype == np.float32


def inputs_of(path, frame):
    """Tensors of a frame, as its JSON says."""
    known = json.loads((path.parent / f"{path.name}.json").read_text())
    found = {}
    for column in known["columns"]:
        cells = frame[column["name"]]
        if column["dtype"] == "string":
            cells = ["" if pd.isna(v) else str(v) for v in cells]
        else:
            cells = np.array(cells.tolist(), np.float64)
        found[column["input"]] = tf.constant(list(cells), column["dtype"])
    return found


@pytest.fixture(scope="module")
def model(path):
    return tf.saved_model.load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(kind="pink"), "Column kind must hold cat.*dark.*pink.*rows. .1"),
        (dict(code="9"), "Column code must hold categories.*9"),
        (dict(alcohol=np.inf), "finite.*alcohol"),
        (dict(alcohol=np.nan, hue=np.inf), "finite.*hue"),
        (dict(strong=2.0), "0 or 1.*strong"),
        (dict(alcohol=None), "alcohol"),
    ],
)
def test_errors_without_the_library(change, message, path, model):
    inputs = inputs_of(path, NEW[:2])
    for name, value in change.items():
        first = inputs.pop(name)[:1]
        if value is not None:
            other = tf.constant([value], first.dtype)
            inputs[name] = tf.concat([first, other], axis=0)
    with pytest.raises((tf.errors.InvalidArgumentError, TypeError)) as caught:
        model.signatures["serving_default"](**inputs)
    assert re.search(message, str(caught.value), re.DOTALL)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(kind="pink"), "row 0: 'pink' in column 'kind', which takes 'dar"),
        (dict(kind="pale, verry"), "did you mean 'pale, very'"),
        (dict(alcohol="strong"), "'strong' in column 'alcohol', .*numbers"),
        (dict(alcohol=np.inf), "'inf' in column 'alcohol', .*finite"),
        (dict(strong="perhaps"), "'perhaps' in column 'strong', .*true or fal"),
        (dict(code=77), "'77' in column 'code', which takes '0', '1'"),
    ],
)
def test_errors_name_the_column(change, message, path):
    classifier = export.load(path)
    rows = NEW[:3].astype(object).assign(**change)
    with pytest.raises(ValueError, match=f"`rows` must hold.*{message}"):
        classifier(rows)


def test_a_column_that_is_missing_is_named(path):
    classifier = export.load(path)
    with pytest.raises(ValueError, match="without 'alcohol'.*'alcohool'"):
        classifier(NEW.rename(columns={"alcohol": "alcohool"}))


def test_signs_of_numpy_are_signs_in_the_export(tmp_path):
    frame = FRAME.assign(
        hue=FRAME.hue.where(np.arange(178) % 7 > 0, 0.0), pale=FRAME.hue > 1
    )
    data = load(
        frame,
        features=["hue", "pale"],
        missing=np.array([0]),
        fill_missing=True,
    )
    net, path = make_net(data), tmp_path / "signs"
    export.write_classifier(net, path, data)
    classifier = export.load(path)
    np.testing.assert_allclose(
        classifier(frame), expected(data, net, frame), atol=1e-6
    )
    answers = classifier({"hue": [0, "0"], "pale": [0, "0"]})
    assert (answers[0] == answers[1]).all()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (NEW.iloc[0], "a Series; of one row `pandas.DataFrame"),
        ([dict(NEW.iloc[0])], "a list; of one row"),
        (dict(NEW.iloc[0]), "in column 'alcohol'"),
        (dict(NEW, alcohol=[1.0]), "columns of different lengths"),
    ],
)
def test_what_are_no_rows(rows, message, path):
    with pytest.raises(ValueError, match=f"`rows` must be a data .*{message}"):
        export.load(path)(rows)


def test_gaps_are_refused_where_training_had_none(net, tmp_path):
    frame = FRAME.dropna(subset=["malic acid", "kind"]).drop(columns="strong")
    data = load(frame, features=["malic acid", "kind"], missing=[-1, "?"])
    path = tmp_path / "strict"
    export.write_classifier(make_net(data), path, data)
    classifier = export.load(path)
    rows = {"malic acid": [1.0], "kind": ["pale, very"]}
    assert classifier(rows).shape == (1, 3)
    for name, gap in (
        *(("malic acid", gap) for gap in (None, np.nan, "?", "-1", -1, pd.NA)),
        *(("kind", gap) for gap in (None, "?", "", "NA")),
    ):
        with pytest.raises(ValueError, match=f"no value in column '{name}'"):
            classifier(rows | {name: [gap]})
    serve = tf.saved_model.load(path).signatures["serving_default"]
    one = {
        "malic_acid": tf.constant([1.0], tf.float64),
        "kind": tf.constant(["pale, very"]),
    }
    for name, gap in (("malic_acid", np.nan), ("malic_acid", -1), ("kind", "")):
        gap = tf.constant([gap], one[name].dtype)
        with pytest.raises(tf.errors.InvalidArgumentError, match="a value in"):
            serve(**one | {name: gap})


def test_what_cannot_be_written(data, net, tmp_path):
    for format in ("onnx", "litert", "keras"):
        path = tmp_path / f"net{export.suffix(format)}"
        with pytest.raises((ValueError, ImportError), match="format"):
            export.write_classifier(net, path, data, format=format)
    other = load(FRAME, features=["alcohol"])
    with pytest.raises(ValueError, match="`data` must hold the features"):
        export.write_classifier(net, tmp_path / "a", other)
    pair = FRAME.set_axis([*FRAME.columns[:-2], "1", 1], axis=1)
    twice = load(pair.assign(target=FRAME.target), fill_missing=True)
    with pytest.raises(ValueError, match="`data` .*different names"):
        export.write_classifier(net, tmp_path / "b", twice)
    assert not list(tmp_path.iterdir())


def test_what_differs_is_not_kept(net, tmp_path, monkeypatch):
    plain = table_serving.write_saved_model
    data = load(FRAME, features=["alcohol"])

    def wrong(network, path, encoder, metadata):
        shift = encoder.shift + 0.1
        other = type(encoder)(encoder.columns, shift, encoder.scale)
        plain(network, path, other, metadata)

    monkeypatch.setattr(table_serving, "write_saved_model", wrong)
    with pytest.raises(ValueError, match="differs from the network.*178 rows"):
        export.write_classifier(make_net(data), tmp_path / "wine", data)
    assert not list(tmp_path.iterdir())


# The command.


def predict(*arguments):
    COMMAND.run([str(argument) for argument in arguments])


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow_cases(",")
@pytest.mark.parametrize("sign", [",", ";"])
def test_predict_takes_a_csv(sign, path, data, net, tmp_path, capsys):
    source, output = tmp_path / "new.csv", tmp_path / "predictions.csv"
    bad = NEW.iloc[[0, 1, 2]].astype(object)
    bad.iloc[0, 0], bad.iloc[1, 13] = "many", "pink"
    frame = pd.concat([NEW[:30], bad, NEW[30:]]).assign(besides="x")
    frame.to_csv(source, index=False, sep=sign)
    with open(source, "a") as file:
        file.write("1;2,3\n\n")
    predict(path, source, f"--output={output}", "--all_probabilities")
    said = capsys.readouterr().out
    assert "54 rows in" in said and "3 with errors" in said
    rows = read(output)
    assert [row["row"] for row in rows] == [str(n + 1) for n in range(54)]
    assert rows[30]["error"].startswith("'many' in column 'alcohol'")
    assert rows[31]["error"].startswith("'pink' in column 'kind'")
    assert "cells, where the first line has 17" in rows[53]["error"]
    good = rows[:30] + rows[33:53]
    want = expected(data, net)
    classes = np.array(data.class_names)[want.argmax(-1)]
    assert [row["class"].removeprefix("'") for row in good] == list(classes)
    got = [[float(row[f"p({n})"]) for n in data.class_names] for row in good]
    np.testing.assert_allclose(got, want, atol=1e-5)
    assert not any(row["class"].startswith("=") for row in rows)


def test_mistakes_of_the_command_are_said(path, tmp_path, capsys):
    (tmp_path / "new.csv").write_text("alcohol,b\n1,2\n")
    (tmp_path / "latin.csv").write_bytes("ä,b\n1,2\n".encode("latin-1"))
    twice = NEW.assign(x=1).rename(columns={"x": "alcohol"})
    twice.to_csv(tmp_path / "twice.csv", index=False)
    (tmp_path / "empty.csv").write_text("")
    for source, message in (
        ("new.csv", "FOLDER must have the 16 columns .* without 'malic acid'"),
        ("latin.csv", "FOLDER must be a CSV file.*no UTF-8"),
        ("twice.csv", "FOLDER must be a CSV file.*'alcohol' twice"),
        ("empty.csv", "FOLDER must have the 16 columns"),
        (".", "FOLDER must be a CSV file for a classifier of tables"),
    ):
        with pytest.raises(SystemExit):
            predict(path, tmp_path / source, f"--output={tmp_path}/p.csv")
        error = capsys.readouterr().err
        assert re.search(message, error), error
    assert not (tmp_path / "p.csv").exists()
