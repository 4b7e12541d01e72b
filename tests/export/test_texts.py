"""Texts as people deploy them: strings in, class names out."""

import csv
import dataclasses
import json
import re
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import seeds
import tensorflow as tf

from mpl_keras import datasets, export, networks
from mpl_keras.commands.predict import COMMAND
from mpl_keras.export import text_serving

TEXTS = [
    *("A ship, with salt and sail", "waves of the harbour", "The tide, a ship"),
    *("clouds and a bird", "A plane: wind!", "the star's wing, a bird"),
    *("Über die Wolken", "sail and SHIP", "nothing", "wind and star"),
]
LABELS = ["sea"] * 3 + ["=sky"] * 3 + [None] * 4
NEW = ["a SHIP, a ship", "bird; plane", "Über Wolken", "zzz", "", "漢字 wave"]


@pytest.fixture(scope="module")
def data():
    return datasets.from_text(TEXTS, LABELS, max_length=7)


@pytest.fixture(scope="module")
def net(data):
    seeds.set_random_seed(0)
    net = networks.word_average(7, data.vocabulary_size, 2)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile(keras.optimizers.Adam(0.05), loss)
    net.fit(*data.labeled, epochs=20, verbose=0)
    return net


@pytest.fixture(scope="module")
def paths(data, net, tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    found = {}
    for format in text_serving.FORMATS:
        found[format] = folder / f"words{export.suffix(format)}"
        told = export.write_classifier(net, found[format], data, format=format)
        assert str(told).startswith(
            "on 10 texts, which the network calls by 2 "
        )
    return found


def expected(data, net):
    return tf.nn.softmax(net(data.encode(NEW), training=False)).numpy()


@pytest.mark.parametrize("format", text_serving.FORMATS)
def test_strings_go_in(format, paths, data, net):
    classifier = export.load(paths[format])
    assert isinstance(classifier, export.TextClassifier)
    got = classifier(NEW)
    np.testing.assert_allclose(got, expected(data, net), atol=1e-6)
    assert got.dtype == np.float32 and classifier([]).shape == (0, 2)
    np.testing.assert_array_equal(classifier(np.array(NEW)), got)
    assert classifier.names(NEW[:2]) == ["sea", "=sky"]
    assert classifier.class_names == ("=sky", "sea")
    for wrong, message in (("a ship", "list"), ([1], "1 at position 0")):
        with pytest.raises(ValueError, match=f"`strings` must be.*{message}"):
            classifier(wrong)


ALONE = """
import json, sys
import numpy as np, tensorflow as tf

class Nowhere:
    def find_spec(self, name, *rest):
        if name.split(".")[0] in ("mpl_keras", "pandas"):
            raise ImportError(name)

sys.meta_path.insert(0, Nowhere())
model = tf.saved_model.load(sys.argv[1])
answer = model.signatures["serving_default"](
    strings=tf.constant(json.loads(sys.argv[2]))
)
names = [name.decode() for name in answer["classes"].numpy()]
print(json.dumps([names, answer["probabilities"].numpy().tolist()]))
"""


@pytest.mark.slow
def test_it_needs_nothing_of_ours(paths, data, net):
    path = paths["tf_saved_model"]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(ALONE), path, json.dumps(NEW)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    names, probabilities = json.loads(done.stdout)
    want = expected(data, net)
    np.testing.assert_allclose(probabilities, want, atol=1e-6)
    assert names == [data.class_names[k] for k in want.argmax(-1)]
    assert set(names) == {"sea", "=sky"}


def test_the_card_says_how(paths):
    for path in paths.values():
        card = (path.parent / f"{path.name}.md").read_text()
        assert "10 texts" in card and "picture" not in card
        assert "tokenizer" in card
    whole = keras.saving.load_model(paths["keras"], compile=False)
    assert whole(tf.constant(NEW)).shape == (6, 2)


def test_what_cannot_be_written(data, net, tmp_path):
    for format in ("onnx", "litert", "litert_int8"):
        path = tmp_path / f"net{export.suffix(format)}"
        with pytest.raises((ValueError, ImportError), match="format.*texts"):
            export.write_classifier(net, path, data, format=format)
    other = networks.word_average(9, data.vocabulary_size, 2)
    with pytest.raises(ValueError, match="hold the token ids.*data=7 ids"):
        export.write_classifier(other, tmp_path / "a", data)
    wide = networks.word_average(7, data.vocabulary_size, 3)
    with pytest.raises(ValueError, match="class_names"):
        export.write_classifier(wide, tmp_path / "a", data)
    layer = data.tokenizer
    own = dataclasses.replace(data, tokenizer=lambda strings: layer(strings))
    with pytest.raises(ValueError, match="tokenizer a Keras layer"):
        export.write_classifier(net, tmp_path / "a", own)
    assert not list(tmp_path.iterdir())


def test_what_differs_is_not_kept(data, net, tmp_path, monkeypatch):
    plain = text_serving.write_saved_model
    layer = keras.layers.TextVectorization(
        vocabulary=["ship"], output_sequence_length=7
    )
    layer(["a ship"])
    monkeypatch.setattr(
        text_serving,
        "write_saved_model",
        lambda net, path, tokenizer, known: plain(net, path, layer, known),
    )
    with pytest.raises(ValueError, match="differs from the network.*10 texts"):
        export.write_classifier(net, tmp_path / "a", data)
    assert not list(tmp_path.iterdir())


def test_a_tokenizer_of_ones_own(tmp_path):
    """Adapted, of characters, and by Keras's own standardization."""
    layer = keras.layers.TextVectorization(
        split="character", output_sequence_length=12
    )
    layer.adapt(TEXTS)
    data = datasets.from_text(TEXTS, LABELS, tokenizer=layer)
    net = networks.word_average(12, data.vocabulary_size, 2)
    for format in text_serving.FORMATS:
        path = tmp_path / f"words{export.suffix(format)}"
        export.write_classifier(net, path, data, format=format)
        np.testing.assert_allclose(
            export.load(path)(NEW), expected(data, net), atol=1e-6
        )


# The command.


def predict(*arguments):
    COMMAND.run([str(argument) for argument in arguments])


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("format", text_serving.FORMATS)
def test_predict_takes_texts(format, paths, data, net, tmp_path, capsys):
    with open(tmp_path / "new.csv", "w", newline="") as file:
        csv.writer(file).writerows([["n", "text"], *enumerate(NEW)])
    (tmp_path / "new.txt").write_text("\n".join(NEW) + "\n", encoding="utf-8")
    want = expected(data, net)
    for name in ("new.csv", "new.txt"):
        output = tmp_path / f"{name}.out"
        predict(paths[format], tmp_path / name, f"--output={output}")
        assert "1 with errors" in capsys.readouterr().out
        rows = read(output)
        assert rows[4]["error"] == "no text in column 'text'"
        good = [row for row in rows if not row["error"]]
        place = [0, 1, 2, 3, 5]
        got = [row["class"].removeprefix("'") for row in good]
        assert got == [data.class_names[want[k].argmax()] for k in place]
        best = [float(row["probability"]) for row in good]
        np.testing.assert_allclose(best, want[place].max(-1), atol=1e-5)
        assert not any(row["class"].startswith("=") for row in rows)


def test_mistakes_of_the_command_are_said(paths, tmp_path, capsys):
    (tmp_path / "new.csv").write_text("texts,b\n1,2\n")
    (tmp_path / "latin.txt").write_bytes("ä\n".encode("latin-1"))
    for source, message in (
        ("new.csv", "FOLDER must have a column 'text'.*did you mean 'texts'"),
        ("latin.txt", "no UTF-8"),
        (".", "FOLDER must be a CSV file for a classifier of tables or texts"),
    ):
        with pytest.raises(SystemExit):
            path = tmp_path / source
            predict(paths["keras"], path, f"--output={tmp_path}/p.csv")
        error = capsys.readouterr().err
        assert re.search(message, error), error
    assert not (tmp_path / "p.csv").exists()
