"""Texts as data: labels, vocabulary, what is set aside, mistakes."""

import keras
import numpy as np
import pytest

from mpl_keras import datasets, networks

WORDS = {
    "sea": "ship wave salt harbour sail tide".split(),
    "sky": "cloud wing bird plane wind star".split(),
    "soil": "root worm stone clay field seed".split(),
}


def make_texts(count, seed=0):
    """Sentences of words of a class among others, and their classes."""
    random = np.random.RandomState(seed)
    names = sorted(WORDS)
    labels = [names[k] for k in random.randint(0, 3, count)]
    texts = []
    for name in labels:
        words = [*random.choice(WORDS[name], 3), *random.choice(OTHERS, 4)]
        texts.append(" ".join(random.permutation(words)).capitalize() + ".")
    return texts, labels


OTHERS = "the a of and with by one two".split()
TEXTS, LABELS = make_texts(60)


def ids_of(data):
    """Which id each word of the vocabulary has."""
    return {w: i for i, w in enumerate(data.tokenizer.get_vocabulary())}


@pytest.fixture(scope="module")
def data():
    return datasets.from_text(
        TEXTS,
        LABELS,
        num_labeled=6,
        test_fraction=0.2,
        validation_fraction=0.25,
        max_length=9,
    )


def test_unlabeled_rows_lead_to_the_texts(data):
    found = data.encode([TEXTS[row] for row in data.unlabeled_rows])
    np.testing.assert_array_equal(found, data.unlabeled)
    more = datasets.from_text(TEXTS[:20], LABELS[:20], TEXTS[20:])
    assert more.unlabeled_rows.tolist() == list(range(60))


def test_shapes_and_names(data):
    assert repr(data) == "TextData(labeled=6, unlabeled=36, classes=3)"
    assert data.class_names == ("sea", "sky", "soil")
    x, y = data.labeled
    assert x.shape == (6, 9) and x.dtype == np.int32
    assert sorted(y.tolist()) == [0, 0, 1, 1, 2, 2]
    assert data.max_length == 9
    assert data.vocabulary_size == data.tokenizer.vocabulary_size() == 28
    assert sum(len(y) for _, y in data.test) == 12
    assert sum(len(y) for _, y in data.validation) == 12
    assert set(data.examples) <= set(TEXTS) and len(data.examples) == 36
    assert len(data.unlabeled_labels) == 36 and data.preprocessing is None


def test_labels_are_those_of_the_texts(data):
    for x, y in ((data.unlabeled, data.unlabeled_labels), *data.test):
        place = {w: k for k, n in enumerate(sorted(WORDS)) for w in WORDS[n]}
        vocabulary = data.tokenizer.get_vocabulary()
        for row, label in zip(np.array(x), np.array(y), strict=True):
            words = [vocabulary[token] for token in row if token]
            assert {place[w] for w in words if w in place} == {label}


def test_the_vocabulary_is_that_of_the_training_texts():
    test = (["Quasar beacon ship", "star"], ["sea", "sky"])
    data = datasets.from_text(
        TEXTS[:30],
        LABELS[:30],
        ["zephyr zephyr over the field"],
        test=test,
        validation=test,
    )
    ids = ids_of(data)
    assert {"zephyr", "over", "ship"} <= set(ids)
    assert not {"quasar", "beacon"} & set(ids)
    (x, y), *_ = data.test
    assert x[0, :4].numpy().tolist() == [1, 1, ids["ship"], 0]
    assert y.numpy().tolist() == [0, 1]
    assert data.statistics.num_texts == 31
    # The same texts are set aside, or hidden, by a seed alone.
    again = datasets.from_text(TEXTS, LABELS, num_labeled=6, seed=1)
    other = datasets.from_text(TEXTS, LABELS, num_labeled=6, seed=1)
    np.testing.assert_array_equal(again.labeled[0], other.labeled[0])


def test_no_word_of_a_text_set_aside_is_known():
    marked = [f"{text} unique{n}" for n, text in enumerate(TEXTS)]
    data = datasets.from_text(
        marked, LABELS, ["x"], test_fraction=0.3, validation_fraction=0.2
    )
    known = {word for word in ids_of(data) if word.startswith("unique")}
    assert len(known) == 60 - 18 - 8 == len(data.unlabeled) - 1
    assert data.statistics.num_texts == len(data.unlabeled)


def test_size_and_length_are_limits():
    data = datasets.from_text(
        TEXTS, LABELS, ["more"], max_length=3, vocabulary_size=10
    )
    assert data.unlabeled.shape[1] == 3 and data.vocabulary_size == 10
    assert data.unlabeled.max() == 9 and (data.unlabeled == 1).any()
    assert data.statistics.counts[:2].sum() == 0


def test_words_are_told_apart_as_people_do():
    texts = ["C++-based: Über-TOOL, don't\nstop 2nd 漢字", "x y"]
    data = datasets.from_text(texts, ["a", "b"], ["z"])
    words = {*"c based über tool don t stop 2nd 漢字 x y z".split()}
    assert set(ids_of(data)) == {"", "[UNK]", *words}


@pytest.mark.parametrize(
    ("labels", "options", "names", "first"),
    [
        (["b", "a", "b"], {}, ("a", "b"), [1, 0, 1]),
        (["b", "a", "b"], {"class_names": "ba"}, ("b", "a"), [0, 1, 0]),
        ([7, 3, 7], {}, ("3", "7"), [1, 0, 1]),
        ([1.0, 0.0, float("nan")], {}, ("0", "1"), [1, 0]),
        (np.array([1, 0, 1]), {"class_names": "no yes".split()}, None, [1, 0]),
        ([True, False, None], {}, ("False", "True"), [1, 0]),
        (["b", "a", "?"], {"missing": ["?"]}, ("a", "b"), [1, 0]),
        ([1, 0, -1], {"missing": [-1]}, ("0", "1"), [1, 0]),
        (["b", "a", "?"], {"missing": ()}, ("?", "a", "b"), [2, 1, 0]),
    ],
)
def test_labels_of_any_kind(labels, options, names, first):
    strings = "one two three".split()
    data = datasets.from_text(strings, labels, ["four"], **options)
    assert data.class_names == (names or ("no", "yes"))
    assert data.labeled[1].tolist()[: len(first)] == first
    known = sum(value is not None and value == value for value in labels)
    if "missing" in options and options["missing"]:
        known -= 1
    assert len(data.labeled[1]) == known and len(data.unlabeled) == 4


def test_an_own_tokenizer():
    layer = keras.layers.TextVectorization(
        vocabulary=["ship", "star"], output_sequence_length=4
    )
    data = datasets.from_text(TEXTS, LABELS, ["x"], tokenizer=layer)
    assert data.tokenizer is layer and data.vocabulary_size == 4

    def letters(strings):
        rows = [list(s.numpy()[:5].ljust(5, b"\0")) for s in strings]
        return np.array(rows)

    data = datasets.from_text(
        *(TEXTS, LABELS, ["x"]),
        tokenizer=letters,
        vocabulary_size=256,
        reserved=[0],
    )
    assert data.vocabulary_size == 256 and data.unlabeled.shape[1] == 5
    assert data.encode(["ab"]).tolist() == [[97, 98, 0, 0, 0]]
    assert data.statistics.reserved == (0,)


BAD = {
    "one string": (lambda: load("a b", ["a"]), "`strings` .*list of strings"),
    "no text": (lambda: load(["a", None], ["a", "b"]), "None at position 1"),
    "too few labels": (lambda: load(["a", "b"], ["a"]), "1 labels for 2 texts"),
    "one class": (
        lambda: load(["a", "b"], ["c", "c"]),
        "`labels`.*two classes",
    ),
    "looks missing": (
        lambda: load(["a", "b", "c"], ["x", "y", "unknown"]),
        r"`labels` must be classes.*missing=\('unknown',\)",
    ),
    "minus one": (
        lambda: load(["a", "b", "c"], [0, 1, -1]),
        r"missing=\(-1,\)",
    ),
    "alike": (lambda: load(["a", "b"], ["x", "X"]), "`labels`.*case"),
    "mixed": (lambda: load(["a", "b"], ["x", 1]), "`labels`.*int and str"),
    "fractions": (lambda: load(["a", "b"], [0.5, 1]), "`labels`.*whole"),
    "all labeled": (
        lambda: datasets.from_text(["a", "b"], ["x", "y"]),
        "`unlabeled_strings` must be given",
    ),
    "names": (
        lambda: load(["a", "b"], ["x", "y"], class_names="xz"),
        "`class_names` must be the labels",
    ),
    "test class": (
        lambda: load(["a", "b"], ["x", "y"], test=(["c"], ["z"])),
        r"`test\[1\]` must be .*'z'",
    ),
    "test gap": (
        lambda: load(["a", "b"], ["x", "y"], validation=(["c"], [None])),
        r"`validation\[1\]` must be .*1 missing",
    ),
    "test pair": (
        lambda: load(["a", "b"], ["x", "y"], test=["c"]),
        r"`test` must be a pair \(strings, labels\)",
    ),
    "no words": (lambda: load(["!", "?!"], ["x", "y"], "."), "hold words"),
    "length": (
        lambda: load(["a", "b"], ["x", "y"], max_length=0),
        "`max_length`",
    ),
    "size": (
        lambda: load(["a", "b"], ["x", "y"], vocabulary_size=2),
        "`vocabulary_size`",
    ),
    "ragged": (
        lambda: load(
            ["a", "b c"],
            ["x", "y"],
            tokenizer=keras.layers.TextVectorization(
                vocabulary=["a"], ragged=True
            ),
        ),
        "`tokenizer` must give integers.*rows of different lengths",
    ),
    "no tokenizer": (
        lambda: load(["a", "b"], ["x", "y"], tokenizer="words"),
        "`tokenizer` must give integers",
    ),
}


def load(strings, labels, more="z", **options):
    return datasets.from_text(strings, labels, [more], **options)


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_network_is_a_weighted_sum():
    data = datasets.from_text(TEXTS, LABELS, ["more"], max_length=8)
    weights = data.statistics.word_weights
    size, width = data.vocabulary_size, 5
    net = networks.word_average(8, size, 3, word_weights=weights, width=width)
    table = net.get_layer("words").get_weights()[0]
    kernel, bias = net.get_layer("logits").get_weights()
    bias = bias + 1.0
    net.get_layer("logits").set_weights([kernel, bias])
    x = data.encode([TEXTS[0], "of the sea", "never seen", "!"])
    for row, got in zip(x, net.predict(x, verbose=0), strict=True):
        share = np.array([weights[token] for token in row])
        share = share / (np.linalg.norm(share) or 1)
        want = sum(s * table[t] for s, t in zip(share, row, strict=True))
        np.testing.assert_allclose(got, want @ kernel + bias, atol=1e-5)
    assert weights[:2].tolist() == [0, 0]
    assert weights[ids_of(data)["ship"]] > weights[ids_of(data)["the"]]
    assert [v.shape[-1] for v in net.trainable_variables] == [width, 3, 3]
    with pytest.raises(ValueError, match="`word_weights`.*28|.*shape"):
        networks.word_average(8, size, 3, word_weights=weights[1:])
    with pytest.raises(ValueError, match="`word_weights`.*at least 0"):
        networks.word_average(8, size, 3, word_weights=-weights)
