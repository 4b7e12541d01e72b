"""What a report tells of a training, chapter by chapter."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mpl_keras.checks import arrays
from mpl_keras.datasets import sources
from mpl_keras.evaluation import confusion, labeling, samples, statistics
from mpl_keras.report import figures, html_page, outcome, panels, vocabulary

_UNLABELED = 1000
_MISTAKES = 24
_WORTH_LABELING = 24
# More classes than this are not all listed.
_MANY = 30
_WORTH = (
    "Between which two classes the network wavers most, with the probability "
    "of the first one. Pairs of classes take turns. A label for these teaches "
    "it more than one for images that it is sure of."
)
# What gives the classes of each their colour.
_THINGS = {"labeled set": "labels", "pseudo labels": "pseudo labels"}


class Chapters:
    """Sections of the page about one training; None where there is nothing.

    Args:
        model: The trained `MetaPseudoLabels` or `UDA`.
        data: The `SemiSupervisedData` that it was trained on.
        measured: What `evaluation.measure` returned.

    Attributes:
        things: What the examples are called: images, or examples.
        thing: One of them.
        num_unlabeled: Number of unlabeled ones.

    Example:
    >>> import keras
    >>> from mpl_keras import UDA, datasets
    >>> model = UDA(keras.Sequential([keras.Input((2,)),
    ...                               keras.layers.Dense(2)]))
    >>> writer = Chapters(model, datasets.two_moons(), None)
    >>> writer.things, writer.held_out() is None
    ('examples', True)
    """

    def __init__(
        self, model: Any, data: Any, measured: confusion.Measured | None
    ):
        self._model, self._data, self._measured = model, data, measured
        self._names = [html_page.plain(name) for name in data.class_names]
        self._are_images = samples.images(data.unlabeled)
        self.things = "images" if self._are_images else "examples"
        self.thing = self.things[:-1]
        self.num_unlabeled = arrays.num_examples(data.unlabeled)
        if measured is not None:
            self._of = f"{measured.kind} {self.things}"
            self._first, self._counts = next(iter(measured.counts.items()))

    def networks(self) -> html_page.Section | None:
        """How much each network gets right."""
        if self._measured is None:
            return None
        rows = []
        for name, counts in self._measured.counts.items():
            right, total = int(np.trace(counts)), int(counts.sum())
            bounds = statistics.wilson_interval(right, total)
            low, high = (f"{100 * bound:.1f}" for bound in bounds)
            share = f"{100 * right / total:.2f} %"
            rows.append((name, share, f"{low} to {high} %", f"{right:,}"))
        text = (
            f"All are of the last step. The {self._of} have chosen nothing, "
            "neither the step nor a setting."
        )
        if self._measured.kind == "validation":
            text = (
                "All are of the last step, and of the validation "
                f"{self.things}: where settings were chosen by these, new "
                f"{self.things} are recognised less often."
            )
        table = html_page.Table(
            f"Accuracy on {int(self._counts.sum()):,} {self._of}, with "
            "Wilson's 95 % interval",
            ("network", "accuracy", "95 % interval", "right"),
            rows,
        )
        return html_page.Section("accuracy", "Accuracy", [text], tables=[table])

    def training(
        self, metrics: Mapping[str, Sequence[float]], held_out: str
    ) -> html_page.Section | None:
        """Curves, but for those of the pseudo labels.

        Args:
            metrics: Values by name, one for each epoch.
            held_out: What the "val_" metrics were measured on.
        """
        text = (
            "One point for each evaluation; curves of the labeled and "
            "unlabeled batches are means since the one before."
        )
        if len(next(iter(metrics.values()), ())) == 1:
            text = (
                "There was one evaluation alone, so that there are points in "
                "place of curves. More evaluations, by --evaluate_every or "
                "more epochs, make curves."
            )
        found = self._panels(metrics, held_out, of_pseudo_labels=False)
        if not found:
            return None
        return html_page.Section("training", "Training", [text], found)

    def pseudo_labels(
        self, metrics: Mapping[str, Sequence[float]]
    ) -> list[html_page.Section]:
        """Their quality through training, and what they are at the end.

        Args:
            metrics: Values by name, one for each epoch.
        """
        if self._model.method == "supervised":
            return []
        few = samples.unlabeled(self._data, _UNLABELED)
        probabilities = samples.probabilities(self._model.labeler, few.weak)
        drawings = self._panels(metrics, "", of_pseudo_labels=True)
        drawings.append(self._marginals(probabilities))
        labeler = "teacher" if self._model.method == "mpl" else "network"
        text = [
            f"What the {labeler} answers for the weak view of "
            f"{len(few.index):,} unlabeled {self.things}, at the end: "
            f"{100 * probabilities.max(axis=-1).mean():.1f} % confident on "
            f"average.{self._truth(probabilities, few.index)}"
        ]
        if "pseudo_label_coverage" in metrics:
            text.append(
                'Curves of "batches" are means over the steps; those of '
                f'"sample" are of some unlabeled {self.things}, as they are, '
                "after each epoch."
            )
        sections = [
            html_page.Section("pseudo-labels", "Pseudo labels", text, drawings)
        ]
        if few.strong is not None:
            sections.append(self._views(few, probabilities))
        return sections

    def _panels(self, metrics, held_out, of_pseudo_labels):
        where = f"{held_out} {self.things}"
        evaluated = vocabulary.averaged_name(self._model)
        return [
            html_page.drawing(
                lambda p=panel: figures.curves(
                    p.steps, p.series, p.title, p.unit, p.things
                ),
                f"Line chart. {panels.words(panel)}",
                f"In metrics.csv: {', '.join(panel.keys.values())}.",
            )
            for panel in panels.panels(metrics, where, evaluated)
            if panel.title.startswith("Pseudo labels") == of_pseudo_labels
        ]

    def _truth(self, probabilities, index):
        truth = self._data.unlabeled_labels
        if truth is None:
            return ""
        right = probabilities.argmax(axis=-1) == np.asarray(truth)[index]
        return f" {100 * right.mean():.1f} % of these pseudo labels are right."

    def _marginals(self, probabilities):
        own = arrays.class_ids(self._data.labeled[1])
        labels = probabilities.argmax(axis=-1)
        count = len(self._names)
        series = {
            "labeled set": np.bincount(own, minlength=count) / len(own),
            "pseudo labels": np.bincount(labels, minlength=count) / len(labels),
        }
        has, got = series.values()
        most = np.argsort(-got, kind="stable")[:3]
        told = "; ".join(
            f"{self._names[k]} {100 * got[k]:.1f} % ({100 * has[k]:.1f} % of "
            "the labeled set)"
            for k in most
        )
        gap = 50 * np.abs(has - got).sum()
        return html_page.drawing(
            lambda: figures.marginals(series, self._names, "Classes", _THINGS),
            f"Bar chart. The most frequent classes among {len(labels):,} "
            f"pseudo labels are {told}.",
            f"Classes at the end: {gap:.1f} % of the pseudo labels would have "
            "to change for the shares of the labeled set.",
        )

    def _views(self, few, probabilities):
        alts, captions = [], []
        truth = self._data.unlabeled_labels
        for place in few.shown:
            label = probabilities[place].argmax()
            name, number = self._names[label], few.index[place]
            share = f"{100 * probabilities[place, label]:.1f} %"
            lines = [("", name, f", {share}")]
            alt = (
                f"Weak and strong view of unlabeled image {number:,}, whose "
                f"pseudo label is {name} with {share}"
            )
            if truth is not None and truth[number] != label:
                lines.append(("true class", self._names[truth[number]], ""))
                alt += f", in truth {self._names[truth[number]]}"
            alts.append(f"{alt}.")
            captions.append(lines)
        return html_page.Section(
            "views",
            "Views",
            [
                "Left the weak view, which is labeled; right the strong one, "
                "which is learned from. Below them the pseudo label and its "
                "confidence."
            ],
            pictures=html_page.pictures(
                few.weak[few.shown], alts, captions, few.strong
            ),
            wide=True,
        )

    def held_out(self) -> html_page.Section | None:
        """What is taken for what, and how far confidence can be trusted."""
        if self._measured is None:
            return None
        drawings = [self._confusion(), self._reliability()]
        scores = confusion.scores(self._counts, self._names)
        caption = "All classes"
        if len(scores) > _MANY:
            caption = f"The {_MANY} classes of {len(scores):,} that are "
            caption += "recognised least often"
            known = [score for score in scores if score.count]
            scores = sorted(known, key=lambda score: score.recall)[:_MANY]
        rows = [
            (s.name, f"{s.count:,}", _percent(s.recall), _percent(s.precision))
            for s in scores
        ]
        caption += (
            ". Recall: share of its examples that were recognised; precision: "
            "share of what was called so that is"
        )
        table = html_page.Table(
            caption, ("class", "examples", "recall", "precision"), rows
        )
        return html_page.Section(
            "classes",
            "Classes and confidence",
            [f"Of the {self._first}, on the {self._of}."],
            drawings,
            tables=[table],
        )

    def _confusion(self):
        counts, names = self._counts, self._names
        worst = [
            f"{names[true]} taken for {names[called]} ({count:,} times)"
            for true, called, count in confusion.confusions(counts, 3)
        ]
        told = "No mistakes."
        if worst:
            told = f"Most often: {'; '.join(worst)}."
        total, right = int(counts.sum()), int(np.trace(counts))
        return html_page.drawing(
            lambda: figures.confusion(counts, names, "Confusion matrix"),
            f"Confusion matrix of {len(names):,} classes: {right:,} of "
            f"{total:,} {self._of} are on the diagonal. {told}",
            f"Rows are the true classes. {told}",
            raster=len(names) > _MANY,
        )

    def _reliability(self):
        probabilities = samples.softmax(self._measured.logits)
        truth = self._measured.truth
        confidence = 100 * probabilities.max(axis=-1).mean()
        accuracy = 100 * confusion.accuracy_of(self._counts)
        error = 100 * statistics.expected_calibration_error(
            probabilities, truth
        )
        return html_page.drawing(
            lambda: figures.reliability(probabilities, truth),
            "Reliability diagram. The expected calibration error is "
            f"{error:.1f} %: on average the network is {confidence:.1f} % "
            f"confident, and {accuracy:.1f} % of its answers are right.",
            "Bars below the dashed line: the network is more confident than "
            "right; above it: less.",
        )

    def mistakes(self) -> html_page.Section | None:
        """Pictures of the most confident mistakes."""
        if self._measured is None or not self._are_images:
            return None
        wrong = confusion.mistakes(
            self._measured.logits, self._measured.truth, _MISTAKES
        )
        if not wrong:
            text = f"The {self._first} names all {self._of} right."
            return html_page.Section("mistakes", "Worst mistakes", [text])
        if confusion.at_chance(self._counts):
            text = (
                f"They are left out, because the {self._first} is no better "
                "than chance: its answers say nothing about single images."
            )
            return html_page.Section("mistakes", "Worst mistakes", [text])
        batches = getattr(self._data, self._measured.kind)
        images, paths = confusion.read(batches, [w.index for w in wrong])
        alts, captions = [], []
        for one, path in zip(wrong, paths, strict=True):
            called, true = self._names[one.predicted], self._names[one.true]
            share = f"{100 * one.confidence:.1f} %"
            alts.append(
                f"{self._of[:-1].capitalize()} {one.index:,}, taken for "
                f"{called} with {share}, in truth {true}."
            )
            lines = [("", called, f", {share}"), ("true class", true, "")]
            if path:
                lines.append(("", os.path.basename(path), ""))
            captions.append(lines)
        total = int(self._counts.sum() - np.trace(self._counts))
        text = (
            f"The {len(wrong)} most confident of {total:,} wrong answers of "
            f"the {self._first}, the worst first: what it said and how "
            "confidently, and what it is."
        )
        return html_page.Section(
            "mistakes",
            "Worst mistakes",
            [text],
            pictures=html_page.pictures(images, alts, captions),
        )

    def worth_labeling(
        self,
        candidates: Sequence[labeling.Candidate] | None,
        note: str = "",
    ) -> html_page.Section | None:
        """Pictures of the unlabeled examples to label next.

        Args:
            candidates: What `evaluation.worth_labeling` returned, or None.
            note: Whose they are, or why there are none; see
                `outcome.whose_candidates`.
        """
        if not self._are_images:
            return None
        if candidates is None:
            candidates, note = self._candidates()
        section = html_page.Section("label-next", "Worth labeling next")
        shown = candidates[:_WORTH_LABELING]
        if not shown:
            return section._replace(text=[note]) if note else None
        return section._replace(
            text=[note, _WORTH] if note else [_WORTH],
            pictures=self._pictures_to_label(shown),
        )

    def _candidates(self):
        """The unlabeled examples to label next, and whose they are."""
        name = first = vocabulary.averaged_name(self._model)
        networks = {**self._model.trained, first: self._model.averaged}
        if self._measured is not None:
            first = self._first
            networks[first] = self._model.averaged
            counts = self._measured.counts.items()
            name = confusion.first_learned(
                {key: its for key, its in counts if key in networks}
            )
        note = outcome.whose_candidates(first, name, self.things)
        if name is None:
            return [], note
        return labeling.worth_labeling(
            networks[name], self._data, _WORTH_LABELING
        ), note

    def _pictures_to_label(self, shown):
        """Pictures of candidates, with what they may be."""
        x = sources.centered(self._data.unlabeled)
        images = samples.select(x, np.array([one.index for one in shown]))
        alts, captions = [], []
        for one in shown:
            likeliest, next_one = (self._names[k] for k in one.classes)
            first, second = (f"{100 * share:.1f} %" for share in one.shares)
            alts.append(
                f"Unlabeled image {one.index:,}: {likeliest} with {first}, or "
                f"{next_one} with {second}."
            )
            lines = [("", likeliest, f", {first}"), ("or", next_one, "")]
            lines.append(("", os.path.basename(one.file), ""))
            captions.append(lines if one.file else lines[:2])
        return html_page.pictures(images, alts, captions)


def settings(values: Mapping[str, Any]) -> html_page.Section:
    """The settings of a training, as a table.

    Args:
        values: By name, JSON-able.

    Example:
    >>> settings({"learning_rate": 0.1}).tables[0].rows
    [('learning rate', '0.1')]
    """
    rows = [
        (name.replace("_", " "), html_page.value(value))
        for name, value in values.items()
    ]
    table = html_page.Table(
        "All settings of the run", ("setting", "value"), rows, numbers=False
    )
    return html_page.Section(
        "settings", "Settings", tables=[table], folded=True
    )


def _percent(share):
    return f"{100 * share:.1f} %" if np.isfinite(share) else "–"
