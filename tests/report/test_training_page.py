"""The report of a training: what it tells, and whatever it is of."""

import ast
import dataclasses
import html.parser
import os
import re
import sys
import types

import jinja2
import keras
import numpy as np
import pytest
import tensorflow as tf
from matplotlib import image

from mpl_keras import UDA, MetaPseudoLabels, evaluation, report
from mpl_keras.datasets import semi_supervised_data
from mpl_keras.evaluation import confusion
from mpl_keras.report import chapters, html_page, panels

# Markup, letters that are no letters, from right to left, and very long.
NAMES = ("<b>&\"'", "x\u202e\x01\udce9", "שלום", "very long " * 20)
FILE = "<script>&\"'.png"
VOID = {"meta", "link", "img", "br", "hr", "input", "source"}


class Page(html.parser.HTMLParser):
    """What a page holds; raises unless all that is opened is closed."""

    def __init__(self, path):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source.replace("\u00a0", " "))
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        assert len(dict(attributes)) == len(attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, words):
        if self.open and self.open[-1] != "style":
            self.words.append(words)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def network(classes, shape=(6, 6, 3)):
    return keras.Sequential(
        [
            keras.Input(shape),
            keras.layers.Flatten(),
            keras.layers.Dense(classes),
        ]
    )


def pictures(classes, names):
    x = np.random.RandomState(0).randint(0, 255, (4 * classes, 6, 6, 3))
    x, y = x.astype("uint8"), np.arange(4 * classes) % classes
    return semi_supervised_data.from_arrays(
        x[:classes],
        y[:classes],
        x,
        test=(x, y),
        class_names=names,
        unlabeled_labels=y,
    )


def measured(found, logits=None):
    truth = np.concatenate([y for _, y in found.test])
    if logits is None:
        logits = np.random.RandomState(0).normal(
            size=(len(truth), found.num_classes)
        )
        logits[::2] += 2 * np.eye(found.num_classes)[truth[::2]]
    counts = confusion.count(truth, logits.argmax(axis=-1), found.num_classes)
    networks = {"averaged network": counts, "other <i>": counts}
    return evaluation.Measured(
        "test", networks, logits.astype("float32"), truth
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    found = pictures(4, NAMES)
    files = types.SimpleNamespace(paths=[f"/a/b/{FILE}"] * 16)
    found.test.stream = dataclasses.replace(found.test.stream, examples=files)
    model = UDA(network(4))
    path = tmp_path_factory.mktemp("report") / "report.html"
    report.write(
        path,
        model,
        found,
        metrics={
            "step": [10, 20, 30],
            "val_accuracy": [0.25, 0.5, 0.75],
            "loss": [2.0, np.nan, np.inf],
            "pseudo_label_accuracy": [0.1, 0.2, 0.3],
            "unknown": [1.0, 2.0, 3.0],
        },
        settings={
            "method": "uda",
            "dataset": "<u>pets</u>",
            "class_names": NAMES,
            "nothing": None,
        },
        measured=measured(found),
        seconds=3700,
    )
    return Page(path)


def test_it_needs_nothing_but_itself(page):
    for _, attributes in page.tags:
        for name in ("src", "href", "srcset"):
            assert re.match("data:|#", attributes.get(name, "#"))
        assert not [name for name in attributes if name.startswith("on")]
    assert {"script", "iframe", "style", "link"} & {
        t for t, _ in page.tags
    } == {
        "style",
        "link",
    }
    assert "url(" not in page.source and "@import" not in page.source
    assert len(page.source) < 1_000_000


def test_names_are_no_markup(page):
    assert not {"b", "i", "u", "script"} & {tag for tag, _ in page.tags}
    for name in (NAMES[0], NAMES[2], FILE, "other <i>", "<u>pets</u>"):
        assert name in page.text
    assert "x\ufffd\ufffd\ufffd" in page.text


def test_pictures_are_told_in_words(page):
    alts = [picture["alt"] for picture in page.all("img")]
    assert all(len(alt) > 20 and alt.endswith(".") for alt in alts)
    text = "\n".join(alts)
    assert "test images from 25 % to 75 %, at most 75 %." in text
    assert "training loss 2, and no number at the end." in text
    assert re.search("Confusion matrix of 4 classes: . of 16 test images", text)
    assert re.search("Test image .*, taken for .*, in truth .*", text)
    assert "Weak and strong view of unlabeled image" in text
    assert "expected calibration error is" in text
    for word in ("on-light", "on-dark"):
        drawn = [p for p in page.all("img") if p.get("class") == word]
        assert len(drawn) == 6


def test_what_it_tells(page):
    for text in (
        "UDA on <u>pets</u>",
        "1 h 1 min",
        "16 test images right",
        "95 % interval",
        "of these pseudo labels are right",
        "recall precision",
        "nothing none",
        f"Keras {keras.__version__}",
    ):
        assert text in page.text
    assert page.all("html") == [{"lang": "en"}]
    ids = [a["id"] for _, a in page.tags if "id" in a]
    links = [a["href"] for a in page.all("a")]
    assert len(set(ids)) == len(ids) and len(links) == 8
    assert {link[1:] for link in links} <= set(ids)
    assert {a["scope"] for a in page.all("th")} == {"col", "row"}


def test_a_network_of_one_answer_is_called_so(tmp_path):
    found = pictures(4, NAMES)
    path = tmp_path / "report.html"
    for column, said in ((np.zeros(16), True), (np.arange(16) % 3, False)):
        logits = np.eye(4)[column.astype(int)]
        report.write(
            path,
            UDA(network(4)),
            found,
            metrics={},
            settings={},
            measured=measured(found, logits),
        )
        text = f"It calls all of them {NAMES[0]}: it has learned nothing"
        assert (text in Page(path).text) == said


def write_with_a_lost_student(path, found, teacher):
    """A page of a student with one answer, beside a teacher."""
    logits = np.eye(4)[np.zeros(16, int)]
    lost = measured(found, logits)
    counts = {"averaged student": lost.counts["averaged network"]}
    counts |= {"student as trained": LOST, "teacher": teacher}
    report.write(
        path,
        MetaPseudoLabels(network(4), network(4)),
        found,
        metrics={},
        settings={},
        measured=lost._replace(counts=counts),
        notes=["100 steps are few."],
    )
    return Page(path)


LOST = np.eye(4, dtype=int)[[0, 0, 0, 0]] * 4


def test_a_teacher_says_what_to_label_where_the_student_is_lost(tmp_path):
    found = pictures(4, tuple("abcd"))
    teacher = 4 * np.eye(4, dtype=int)
    page = write_with_a_lost_student(tmp_path / "page", found, teacher)
    assert "averaged student is no better than chance, so that" in page.text
    assert "those of which the teacher is least sure." in page.text
    assert "Between which two classes" in page.text
    assert "They are left out, because the averaged student is" in page.text
    assert not re.search("Test image .*, taken for", page.source)
    assert re.search(r"Unlabeled image \d", page.source)
    assert "100 steps are few." in page.text


def test_nothing_is_shown_of_networks_that_are_all_lost():
    found = pictures(4, tuple("abcd"))
    lost = measured(found, np.eye(4)[np.zeros(16, int)])
    writer = chapters.Chapters(UDA(network(4)), found, lost)
    section = writer.worth_labeling(None)
    assert not section.pictures and len(section.text) == 1
    assert "No network is better than chance, so that" in section.text[0]
    assert not writer.mistakes().pictures


def test_one_evaluation_is_told_of():
    found = pictures(4, tuple("abcd"))
    writer = chapters.Chapters(UDA(network(4)), found, None)
    for steps, said in (([100], True), ([50, 100], False)):
        metrics = {"step": steps, "loss": [1.0] * len(steps)}
        section = writer.training(metrics, "test")
        assert ("one evaluation alone" in section.text[0]) == said


@pytest.mark.parametrize("kind", ["mpl", "supervised"])
def test_what_is_not_there_is_left_out(kind, tmp_path):
    x = np.zeros((6, 3), "float32")
    found = semi_supervised_data.from_arrays(x, np.arange(6) % 2, x)
    model = UDA(network(2, (3,)), consistency=None)
    if kind == "mpl":
        model = MetaPseudoLabels(network(2, (3,)), network(2, (3,)))
    path = tmp_path / "report.html"
    report.write(path, model, found, metrics={"loss": [0.5]}, settings={})
    page = Page(path)
    assert "No labeled examples were held out" in page.text
    assert "Views" not in page.text and "mistakes" not in page.text
    assert ("Pseudo labels" in page.text) == (kind == "mpl")
    assert "at step 1: training loss 0.5." in page.all("img")[0]["alt"]


def test_a_thousand_classes_and_no_mistakes(tmp_path):
    found = pictures(1000, tuple(f"class {k}" for k in range(1000)))
    path = tmp_path / "report.html"
    right = np.eye(1000)[np.arange(4000) % 1000]
    found = dataclasses.replace(found, views=None)
    report.write(
        path,
        UDA(network(1000)),
        found,
        metrics={"loss": list(np.random.rand(20_000))},
        settings={"class_names": found.class_names},
        measured=measured(found, right),
    )
    page = Page(path)
    assert "The 30 classes of 1,000" in page.text
    assert "and 970 more" in page.text and "class 500" not in page.text
    assert "names all test images right" in page.text
    assert len(page.source) < 1_500_000


def test_curves_are_thinned_and_end_at_the_end():
    found = panels.panels({"loss": list(range(10_000)), "h": [np.nan] * 10_000})
    assert [panel.title for panel in found] == ["Loss"]
    assert len(found[0].steps) == 300 and found[0].steps[-1] == 10_000
    assert panels.panels({}) == [] == panels.panels({"loss": [np.nan]})


def test_examples_of_any_data_set():
    x = np.arange(12.0).reshape(6, 2)
    batches = tf.data.Dataset.from_tensor_slices((x, np.zeros(6))).batch(4)
    came, names = confusion.read(batches, [5, 0, 4])
    np.testing.assert_array_equal(came, x[[5, 0, 4]])
    assert names == ["", "", ""]


def test_without_jinja2(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    told = r'^report.html needs Jinja2: pip install "mpl_keras\[report\]"$'
    with pytest.raises(ImportError, match=told):
        report.check_installed()
    report.check_installed(page=False)
    assert "will have no report.html. For these: pip" in report.missing()


def test_all_that_is_missing_is_told_at_once(monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="^Pictures and report.html need mat"):
        report.check_installed()
    assert report.missing() == (
        "matplotlib and Jinja2 are not installed, so that this run will have "
        "no pictures and no report.html. For these: pip install "
        '"mpl_keras[report]"'
    )
    assert "matplotlib is" in report.missing(page=False)
    assert "report.html" not in report.missing(page=False)


def test_a_name_that_the_template_lacks():
    with pytest.raises(jinja2.UndefinedError, match="title"):
        html_page.render("report.html", language="en")


def test_every_file_is_in_the_package():
    root = os.path.dirname(html_page.__file__)
    setup = open(os.path.join(root, "../../setup.py")).read()
    listed = re.search(r'"mpl_keras": (\[.*?\])', setup, re.DOTALL)[1]
    patterns = ast.literal_eval(listed)
    assert os.listdir(os.path.join(root, "templates")) == ["report.html"]
    assert "report/templates/*.html" in patterns


# Numbers, and pictures by themselves.


@pytest.mark.parametrize("one_hot", [False, True])
def test_confusion_matrix_counts(one_hot):
    random = np.random.RandomState(0)
    true, predicted = random.randint(0, 4, (2, 50))
    y = np.eye(4)[true] if one_hot else true
    batches = tf.data.Dataset.from_tensor_slices(
        (np.eye(4)[predicted].astype("float32"), y)
    ).batch(16)
    same = keras.Sequential([keras.Input((4,)), keras.layers.Identity()])
    counts = evaluation.confusion_matrix(same, batches, 4)
    for row in range(4):
        for column in range(4):
            want = np.sum((true == row) & (predicted == column))
            assert counts[row, column] == want
    assert evaluation.accuracy_of(counts) == np.mean(true == predicted)
    recall = confusion.scores(counts, "abcd")[2].recall
    assert recall == np.mean(predicted[true == 2] == 2)


@pytest.mark.parametrize("num_classes", [2, 10, 100])
def test_a_picture_of_a_confusion_matrix(num_classes, tmp_path):
    counts = np.diag(np.arange(num_classes))
    names = [f"class <{k}> with a very long name" for k in range(num_classes)]
    report.plot_confusion(counts, names, "all right", tmp_path / "a.png")
    assert image.imread(tmp_path / "a.png").shape[0] > 400


def test_a_picture_of_curves(tmp_path):
    metrics = {
        "step": [10, 20],
        "loss": [2.0, np.nan],
        "val_accuracy": [0.1, 0.9],
        "something else": [0.0, 0.0],
    }
    report.plot_curves(metrics, "two epochs", tmp_path / "a.png")
    few = image.imread(tmp_path / "a.png").shape
    metrics |= {"mask_rate": [0.1, 0.2], "feedback_share": [0.1, 0.1]}
    report.plot_curves(metrics, "two epochs", tmp_path / "a.png")
    assert image.imread(tmp_path / "a.png").shape[0] > few[0]
    report.plot_curves({}, "nothing", tmp_path / "a.png")
