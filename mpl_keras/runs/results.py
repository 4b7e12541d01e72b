"""What is left of a training: networks, figures, pictures, a page."""

import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from typing import Any

import keras

from mpl_keras import datasets, evaluation, export, files, finetune, report
from mpl_keras.report import model_card, outcome, vocabulary
from mpl_keras.runs import label_next

FILE = "results.json"
BASELINE = "baseline"  # the folder of the training on the labels alone
_OWN_BATCHES = 4  # of labeled images, where none were held out


class ResultsError(RuntimeError):
    """Some results of a training could not be written.

    Example:
    >>> raise ResultsError("curves.png: the disk is full")
    Traceback (most recent call last):
    ...
    mpl_keras.runs.results.ResultsError: curves.png: the disk is full
    """


def read(folder: Any) -> dict[str, Any]:
    """What results.json in the folder of a finished run holds."""
    with open(os.path.join(folder, FILE), encoding="utf-8") as file:
        return json.load(file)


def write(training: Any, model: Any, seconds: float | None) -> dict[str, Any]:
    """Measures the networks of a training, and writes all that is left of it.

    Args:
        training: The `Training`.
        model: Its model, as one process can measure it.
        seconds: What the training took, if that is known.

    Returns:
        What results.json holds.

    Raises:
        ResultsError: Something could not be written; the rest is there.
    """
    networks = _networks(training, model)
    by_name = {label: network for label, (_, network) in networks.items()}
    measured = evaluation.measure(by_name, training.data)
    _tell(training, measured, by_name)
    found = _figures(training, by_name, measured, seconds)
    # What matters most comes first: there may be no space for all.
    outputs = _models(training, networks, measured)
    if training.light:
        outputs = dict([next(iter(outputs.items()))])
    else:
        known = {"measured": measured, "seconds": seconds}
        if training.settings.baseline and measured is not None:
            found[BASELINE] = known[BASELINE] = _compare(training, measured)
        outputs |= _label_next(training, by_name, known)
        _tell_more(training, known)
        outputs |= _pictures(training, model, known)
    # Last, because it says that the run is finished.
    outputs[FILE] = files.json_writer(found)
    _write_all(training, outputs)
    return found


def _networks(training, model):
    """Networks by what people call them: the name of a file, and itself."""
    *others, last = model.trained
    name = {"model": "network"}.get(last, last)
    networks = {vocabulary.averaged_name(model): (name, model.averaged)}
    as_trained = f"{name}_as_trained", model.trained[last]
    networks[f"{name} as trained"] = as_trained
    for other in others:
        networks[other] = other, model.trained[other]
    recipe = training.recipe
    if training.settings.finetune and recipe.finetune_steps:
        tuned = finetune.finetune(
            model,
            training.data,
            learning_rate=recipe.finetune_learning_rate,
            steps=recipe.finetune_steps,
            batch_size=recipe.finetune_batch_size,
            views="weak",
            seed=training.settings.seed,
        )
        networks["finetuned"] = "finetuned", tuned
    return networks


def _figures(training, networks, measured, seconds):
    """What results.json holds."""
    data = training.data
    accuracies = {}
    if measured is not None:
        accuracies[measured.kind] = _accuracies(measured)
    if data.test is not None and data.validation is not None:
        alone = dataclasses.replace(data, test=None)
        chosen_on = evaluation.measure(networks, alone)
        accuracies["validation"] = _accuracies(chosen_on)
    return {
        "step": training.recipe.steps,
        "method": training.settings.method,
        "seed": training.settings.seed,
        "network": next(iter(networks)),
        "test_accuracy": {
            label: value["accuracy"]
            for label, value in accuracies.get("test", {}).items()
        },
        "accuracies": accuracies,
        "label_spreading": neighbors(training.spreading),
        "seconds": seconds,
        "versions": model_card.versions(),
    }


def neighbors(spread: Any) -> dict[str, float | None] | None:
    """What files say of label spreading, its accuracy in percent.

    Args:
        spread: A `datasets.LabelSpreading`, or None.
    """
    return spread and {
        "accuracy": spread.accuracy and 100 * spread.accuracy,
        "strength": spread.strength,
    }


def _accuracies(measured):
    """Percent right of each network, of how many, and the 95 % interval."""
    found = {}
    for label, counts in measured.counts.items():
        right, total = int(counts.trace()), int(counts.sum())
        low, high = evaluation.wilson_interval(right, total)
        found[label] = {
            "accuracy": 100 * evaluation.accuracy_of(counts),
            "n": total,
            "interval": [100 * low, 100 * high],
        }
    return found


def _compare(training, measured):
    """The averaged network and the one trained on the labels alone."""
    data = training.data
    path = os.path.join(training.output_dir, BASELINE)
    alone = keras.saving.load_model(
        os.path.join(path, "network.keras"), compile=False
    )
    batches = getattr(data, measured.kind)
    logits, truth = evaluation.predictions(alone, batches)
    right = measured.logits.argmax(axis=-1) == measured.truth
    before = logits.argmax(axis=-1) == truth
    gain, *interval = evaluation.paired_gain(right, before)
    return {
        "method": "supervised",
        "measured_on": measured.kind,
        "accuracy": 100 * float(before.mean()),
        "n": len(truth),
        "gain": 100 * gain,
        "interval": [100 * end for end in interval],
        "seconds": read(path)["seconds"],
    }


def _tell_more(training, known):
    """Says what the unlabeled images brought, and which classes are weak."""
    if BASELINE in known:
        measured = known["measured"]
        training.say(outcome.gained(known[BASELINE], measured=measured))
    elif training.settings.method != "supervised":
        training.say(
            "what the unlabeled images brought is not measured: --baseline "
            "trains on the labels alone, too"
        )
    if known["measured"] is not None:
        names = training.data.class_names
        where = label_next.FILE if known["candidates"] else ""
        text = outcome.weakest(
            known["measured"],
            names,
            label_next=where,
            matrix=_drawn_matrix(training),
        )
        training.say(text)
    if known["candidates_note"]:
        training.say(f"note: {known['candidates_note']}")


def _drawn_matrix(training):
    """The file that will show the confusion matrix, or ""."""
    if training.draws and training.data.test is not None:
        return "confusion_matrix.png"
    return "report.html" if training.writes_page else ""


def _tell(training, measured, networks):
    """Says how good the networks are, by name."""
    useless = []
    for label, counts in measured.counts.items() if measured else ():
        share = 100 * evaluation.accuracy_of(counts)
        training.say(f"{label:20} {share:.2f} % of the {measured.kind} images")
        if evaluation.at_chance(counts):
            useless.append(label)
    if measured is None:
        few = evaluation.unlabeled(training.data, 1000).weak
        for label, network in networks.items():
            answers = evaluation.probabilities(network, few).argmax(axis=-1)
            if len(set(answers)) == 1:
                useless.append(label)
    if useless:
        one = len(useless) == 1
        text = (
            f"note: {' and '.join(useless)} {'is' if one else 'are'} no better "
            f"than chance, and {'has' if one else 'have'} learned nothing of "
            "use. More --steps or labels may help, or a lower learning rate"
        )
        if "teacher" in networks and "teacher" not in useless:
            text += (
                "; the teacher has learned: mpl-keras export "
                "--network=teacher exports it"
            )
        training.say(f"{text}.")


def _label_next(training, networks, known):
    """What writes the unlabeled images to label next, if that is known."""
    data, measured = training.data, known["measured"]
    first = next(iter(networks))
    if measured is not None:
        counts = measured.counts
    else:
        own = datasets.evaluation_batches(*data.labeled).take(_OWN_BATCHES)
        counts = {
            name: evaluation.confusion_matrix(network, own, data.num_classes)
            for name, network in networks.items()
        }
    name = evaluation.first_learned(counts)
    known["candidates_note"] = outcome.whose_candidates(first, name)
    known["candidates"] = []
    if name is not None:
        known["candidates"] = evaluation.worth_labeling(
            networks[name], data, label_next.MOST
        )
    if not known["candidates"]:
        return {}
    root = training.settings.data_name()
    root = root if os.path.isdir(root) else ""
    table = label_next.table(data, known["candidates"], root)
    return {label_next.FILE: files.text_writer(table)}


def _models(training, networks, measured):
    """What writes the networks, so that each classifies images alone."""
    outputs = {}
    data = training.data

    def writer(network: keras.Model, format: str) -> Callable[[str], Any]:
        return lambda path: export.convert(network, path, data, format)

    for stem, network in networks.values():
        outputs[f"{stem}.keras"] = writer(network, "keras")
    for label in (next(iter(networks)), "finetuned"):
        if label not in networks:
            continue
        stem, network = networks[label]
        outputs[stem] = writer(network, "tf_saved_model")
        facts = {
            "network": label,
            "trained_steps": training.recipe.steps,
            "format": "tf_saved_model",
            "settings": training.described(),
        }
        if measured is not None:
            facts["confusion"] = measured.kind, measured.counts[label]
        outputs[f"{stem}.md"] = files.text_writer(
            model_card.text(network, data, facts)
        )
    return outputs


def _pictures(training, model, known):
    """What draws the curves, the confusion matrix and the report."""
    if not training.draws:
        return {}
    data, settings = training.data, training.settings
    metrics = training.folder.metrics()
    outputs = {
        "curves.png": lambda path: report.plot_curves(
            metrics,
            f"{report.method_name(settings.method)}, seed {settings.seed}",
            path,
            "validation images" if data.validation else "test images",
            vocabulary.averaged_name(model),
        )
    }
    if data.test is not None:
        label, counts = next(iter(known["measured"].counts.items()))
        accuracy = 100 * evaluation.accuracy_of(counts)
        outputs["confusion_matrix.png"] = lambda path: report.plot_confusion(
            counts,
            data.class_names,
            f"{label}: {accuracy:.2f} % of the test images",
            path,
        )
    if training.writes_page:
        outputs["report.html"] = lambda path: report.write(
            path,
            model,
            data,
            metrics=metrics,
            settings=training.described(),
            notes=training.notes,
            **known,
        )
    return outputs


def _write_all(training, outputs: Mapping[str, Callable[[str], Any]]):
    """Writes what can be written; raises, with what could not."""
    missing = {}
    for name, write_output in outputs.items():
        if missing and name == FILE:
            break
        try:
            training.folder.write(name, write_output)
        except Exception as error:
            # A picture that cannot be drawn must not cost what comes after it.
            missing[name] = error
    folder = training.folder.path
    if missing:
        reasons = "; ".join(f"{name} ({why})" for name, why in missing.items())
        raise ResultsError(
            f"not written to {folder}: {reasons}. The rest is there."
        )
    training.say(f"wrote {', '.join(outputs)} to {folder}")
    name = next(iter(outputs)).removesuffix(".keras")
    training.say(
        f"`mpl-keras predict {folder} FOLDER` classifies pictures with {name}"
    )
