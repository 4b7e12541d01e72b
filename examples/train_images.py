"""Trains an image classifier with few labels and many unlabeled images.

On a folder of pictures, a few of them sorted by class:

    pictures/labeled/cat/*.jpg    pictures/unlabeled/**    pictures/test/cat/*
    python examples/train_images.py --dataset=pictures --output_dir=run

or on a data set of TensorFlow Datasets, by a published recipe:

    python examples/train_images.py --recipe=cifar10_4000 --output_dir=run

A recipe is where settings begin, and flags override it. Without --recipe it is
the one for images of that size, with batches that fit one device. Schedules
(warm-up, the student's wait, the ramp of the consistency) are stretched or
shortened with --steps, and learning rates grow with --labeled_batch_size.

On several GPUs, on a TPU (--strategy=tpu), or on several machines it is the
same command: where TF_CONFIG or Slurm names several workers, each of them runs
it, with the same flags, and sees the same --output_dir (examples/cluster/ has
more). It exits with code 75 where it is to be started again with --resume:
after a SIGTERM, and when another worker is gone.

The figures at the end are those of the last step. The test images choose
nothing: choose on a folder `validation`, or with --validation_fraction.
"""

import dataclasses
import importlib.util
import os
import sys
import time
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import tensorflow as tf
from absl import app, flags, logging

from mpl_keras import (
    augment,
    callbacks,
    datasets,
    distribute,
    evaluation,
    export,
    files,
    finetune,
    pipeline,
    recipes,
    report,
    runs,
)
from mpl_keras.checks import arguments

NAME = os.path.basename(__file__)
# Without --recipe: the one for images up to so many pixels, with what is
# different because its own data are not at hand.
CAUTIOUS = {
    "feedback": "hypergradient",
    "feedback_weight": 0.1,
    "feedback_normalization": "rms",
    "feedback_baseline": None,
    "pseudo_labels": "soft",
    "pseudo_label_view": "weak",
    "meta": "strong",
}
SMALL_BATCHES = {
    "labeled_batch_size": 32,
    "unlabeled_batch_size": 224,
    "teacher_learning_rate": 0.0125,
    "student_learning_rate": 0.0125,
    "steps": 20_000,
    "warmup_steps": 400,
    "student_wait": 400,
    "consistency_ramp_steps": 1000,
    "label_smoothing": 0.1,
}
DEFAULTS = (
    (31, "digits", CAUTIOUS),
    (64, "cifar10_4000", CAUTIOUS | SMALL_BATCHES),
    (10**6, "imagenet_10_percent", CAUTIOUS | SMALL_BATCHES),
)
# On a processor alone these would take days.
WITHOUT_GPU = {
    "labeled_batch_size": 16,
    "unlabeled_batch_size": 48,
    "steps": 2000,
    "warmup_steps": 100,
    "student_wait": 200,
    "consistency_ramp_steps": 300,
}
LIGHT_BACKBONES = ((64, "small_cnn", 0.1), (10**6, "MobileNetV2", 0.0125))

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "dataset",
    None,
    "A folder of pictures, a name of TensorFlow Datasets, or digits. By "
    "default the recipe's.",
)
flags.DEFINE_string(
    "recipe", None, f"Where settings begin: {', '.join(recipes.names())}."
)
flags.DEFINE_enum("method", "mpl", recipes.METHODS, "What to train with.")
flags.DEFINE_string("output_dir", None, "Where results go.", required=True)
flags.DEFINE_bool("resume", False, "Go on with the run in --output_dir.")
flags.DEFINE_bool(
    "labeled_in_unlabeled", True, "Whether labeled images are unlabeled too."
)
flags.DEFINE_float("validation_fraction", 0.0, "Share to choose settings on.")
flags.DEFINE_enum(
    "unreadable",
    "error",
    ["error", "leave_out"],
    "What to do about files of a folder that cannot be read.",
)
flags.DEFINE_string("data_dir", None, "Folder of TensorFlow Datasets.")
flags.DEFINE_bool("download", False, "Download and prepare it if need be.")
flags.DEFINE_string("weights", None, "File of pretrained weights.")
flags.DEFINE_bool("finetune", False, "Train on the labels at the end.")
flags.DEFINE_integer(
    "evaluate_every",
    None,
    "Steps between evaluations; by default about a twentieth of all, but 100.",
    lower_bound=1,
)
flags.DEFINE_integer(
    "backup_every",
    None,
    "Steps between backups, from which --resume goes on; by default those "
    "between evaluations.",
    lower_bound=1,
)
flags.DEFINE_enum(
    "strategy",
    "auto",
    distribute.STRATEGIES,
    "Devices to train on; auto: all workers that TF_CONFIG or Slurm names, or "
    "all GPUs.",
)
flags.DEFINE_integer(
    "virtual_devices",
    None,
    "Split the processor into so many devices, to try several replicas.",
    lower_bound=1,
)
flags.DEFINE_enum(
    "precision",
    "float32",
    ["float32", "mixed_bfloat16", "mixed_float16"],
    "In which networks compute; losses and feedback are in float32.",
)
flags.DEFINE_integer(
    "steps_per_execution",
    1,
    "Steps between which the program does not look at the device; must divide "
    "those between evaluations.",
    lower_bound=1,
)
flags.DEFINE_bool(
    "jit_compile", None, "Compile with XLA; by default as Keras decides."
)
flags.DEFINE_bool(
    "deterministic", False, "The same bits on a GPU too, which is slower."
)
flags.DEFINE_bool(
    "tensorboard", True, "Write what `tensorboard --logdir` shows."
)
flags.DEFINE_bool(
    "report", True, "Write report.html, which needs pip install jinja2."
)
flags.DEFINE_integer(
    "seed", 0, "Of split, networks, order and views.", lower_bound=0
)
# What a recipe says, and these flags override.
OVERRIDES = {
    "num_labeled": "Keep the labels of so many; by default of all in a folder.",
    "image_size": "Pixels of the square to train on.",
    "views": "Weak and strong views: cifar, svhn, imagenet, digits, ...",
    "backbone": "small_cnn, wide_resnet_28_2, or of keras.applications.",
    "steps": "Training steps; schedules are stretched with them.",
    "labeled_batch_size": "Labeled images in a step.",
    "unlabeled_batch_size": "Unlabeled ones; in proportion to the labeled.",
    "teacher_learning_rate": "Peak; in proportion to --labeled_batch_size.",
    "student_learning_rate": "The same of the student.",
    "warmup_steps": "Steps in which learning rates grow.",
    "student_wait": "Steps before the student starts.",
    "student_warmup_steps": "In which the student's grows; by default as many.",
    "student_final_fraction": "What the student's rate falls to, of its peak.",
    "clip_norm": "Largest norm of a gradient.",
    "weight_decay": "Factor of the weights in their gradients.",
    "teacher_dropout": "Rate before the last layer; single nets' too.",
    "student_dropout": "The same of the student.",
    "label_smoothing": "Of the supervised and the student's loss.",
    "ema_momentum": "Of the averaged network.",
    "consistency_weight": "Weight of UDA's consistency.",
    "consistency_ramp_steps": "Steps in which it grows.",
    "temperature": "Of UDA's targets.",
    "threshold": "Confidence that UDA asks for.",
    "feedback": f"To the teacher: {', '.join(recipes.FEEDBACKS)} or none.",
    "feedback_weight": "Factor of the feedback.",
    "pseudo_label_view": "What the teacher labels: weak or strong.",
    "meta": "View of the labeled images that feedback is from: labeled (the "
    "batch itself, a weak view) or strong.",
    "finetune_steps": "Steps of --finetune.",
    "finetune_batch_size": "Labeled images in such a step.",
    "finetune_learning_rate": "Its learning rate.",
}
TYPES = {
    field.name: str(field.type) for field in dataclasses.fields(recipes.Recipe)
}
for name, text in OVERRIDES.items():
    define = flags.DEFINE_string
    for kind, own in (
        ("int", flags.DEFINE_integer),
        ("float", flags.DEFINE_float),
    ):
        define = own if kind in TYPES[name] else define
    define(name, None, text)


def given(name, recipe):
    """What a flag says, or else the recipe, or None."""
    if FLAGS[name].value is not None:
        recipes.adapt(recipes.get("digits"), **{name: FLAGS[name].value})
        return FLAGS[name].value
    return recipe and getattr(recipe, name)


def load_data(verbose):
    """The data that the flags name, and the recipe to begin with."""
    recipe = recipe_named()
    name = FLAGS.dataset or (recipe and recipe.dataset)
    if name is None:
        raise ValueError("--dataset or --recipe must be given.")
    # Numbers out of range are found before many files are read.
    adapted(recipe or recipes.get("digits"))
    with arguments.calling({"name": "--dataset", "path": "--dataset"}):
        data = datasets.images(
            name,
            unreadable=FLAGS.unreadable,
            data_dir=FLAGS.data_dir,
            download=FLAGS.download,
            verbose=verbose,
            **data_options(name, recipe),
        )
    if recipe is not None:
        return data, recipe
    return data, default_recipe(min(shape_of(data)[:2]), data.num_classes)


def recipe_named():
    """The recipe of --recipe, or None."""
    if FLAGS.recipe is None:
        return None
    with arguments.calling({"name": "--recipe"}):
        return recipes.get(FLAGS.recipe)


def data_options(name, recipe):
    """What decides which images there are, and in which form."""
    num_labeled = given("num_labeled", recipe)
    if os.path.isdir(name):
        num_labeled = FLAGS.num_labeled  # by default all that are sorted
    return {
        "num_labeled": num_labeled,
        "image_size": given("image_size", recipe),
        "seed": FLAGS.seed,
        "validation_fraction": FLAGS.validation_fraction,
        "labeled_in_unlabeled": FLAGS.labeled_in_unlabeled,
    }


def default_recipe(side, num_classes):
    """Settings for images of so many pixels, on this machine."""
    name, changes = next(d[1:] for d in DEFAULTS if side <= d[0])
    changes = dict(changes)
    if num_classes < 5:
        # Of two classes, one always has a confidence of 0.5.
        changes["threshold"] = 0.9
    if name != "digits" and not tf.config.list_logical_devices("GPU"):
        backbone, rate = next(b[1:] for b in LIGHT_BACKBONES if side <= b[0])
        changes |= WITHOUT_GPU | {
            "backbone": backbone,
            "teacher_learning_rate": rate,
            "student_learning_rate": rate,
            "clip_norm": 1.0,
        }
        light = [
            f"--{name}={changes[name]}"
            for name in ("backbone", "steps", "labeled_batch_size")
            if FLAGS[name].value is None
        ]
        if light:
            print(
                "note: there is no GPU, so that settings are light: "
                + ", ".join(light)
            )
    return dataclasses.replace(recipes.get(name), **changes)


def shape_of(data):
    """(height, width, channels) of images as networks take them."""
    x = data.unlabeled
    return tuple(getattr(x, "view_shape", x.shape[1:]))


def adapted(recipe):
    """The recipe with what flags say."""
    return recipes.adapt(
        recipe, **{name: FLAGS[name].value for name in OVERRIDES}
    )


def settings_of(recipe, data):
    """All that a run which goes on must have in common with this one."""
    settings = dataclasses.asdict(recipe)
    for name in ("source", "departures", "published"):
        del settings[name]
    for name in ("method", "seed", "validation_fraction", "weights"):
        settings[name] = FLAGS[name].value
    for name in (
        "labeled_in_unlabeled",
        "finetune",
        "evaluate_every",
        "precision",
    ):
        settings[name] = FLAGS[name].value
    name = FLAGS.dataset or recipe.dataset
    return settings | {
        "dataset": name,
        "data_options": data_options(name, recipe_named()),
        "class_names": data.class_names,
        "labeled_images": len(data.labeled[1]),
        "unlabeled_images": len(data.unlabeled),
    }


def describe(recipe, data, model, batches):
    """Prints what will be done."""
    count = len(data.unlabeled)
    shape = " x ".join(str(n) for n in shape_of(data))
    tests = [
        f"{batches.stream.num_examples:,} for {name}"
        for name, batches in (
            ("validation", data.validation),
            ("test", data.test),
        )
        if batches is not None
    ]
    networks, told = 1, ""
    if FLAGS.method == "mpl":
        networks, told = 2, f", feedback {recipe.feedback}"
    print(
        f"images     {len(data.labeled[1]):,} labeled, {count:,} unlabeled, "
        f"{', '.join(tests) or 'none to test with'}; {shape}\n"
        f"classes    {data.num_classes}: {', '.join(data.class_names[:8])}"
        f"{', ...' if data.num_classes > 8 else ''}\n"
        f"method     {FLAGS.method}{told}, after recipe {recipe.name}, "
        f"seed {FLAGS.seed}\n"
        f"networks   {networks} x {recipe.backbone}, "
        f"{model.averaged.count_params():,} parameters each\n"
        f"training   {recipe.steps:,} steps of {recipe.labeled_batch_size} "
        f"labeled and {recipe.unlabeled_batch_size} unlabeled images\n"
        f"devices    {devices(model.distribute_strategy, batches.stream.shards)}\n"
        f"results    {FLAGS.output_dir}"
    )
    if data.validation is None and data.test is not None:
        print("val_...    is of the test images: choose nothing by it")


def devices(strategy, shards):
    """What trains, in words."""
    count = strategy.num_replicas_in_sync
    workers = distribute.num_workers(strategy)
    text = f"{count} replica{'s' * (count > 1)}, {FLAGS.precision}"
    if workers > 1:
        text += f", in {workers} workers"
        if shards % count:
            text += ", each of which reads and augments all images"
    return text


def epoch_length(steps):
    """Steps between evaluations: they must divide all steps."""
    if FLAGS.evaluate_every is None:
        most = min(max(steps // 20, 100), 1000)
        length = max(n for n in range(1, most + 1) if steps % n == 0)
        return length if 4 * length > most else steps
    if steps % FLAGS.evaluate_every:
        raise ValueError(
            f"--evaluate_every must divide --steps, {steps}. "
            f"Received: {FLAGS.evaluate_every}"
        )
    return FLAGS.evaluate_every


def make_batches(recipe, data):
    """What is trained on; views are tried."""
    return pipeline.training_dataset(
        data,
        recipe.labeled_batch_size,
        recipe.unlabeled_batch_size,
        steps_per_epoch=epoch_length(recipe.steps),
        meta=recipe.meta if FLAGS.method == "mpl" else None,
        seed=FLAGS.seed,
    )


def train(recipe, data, batches, model, run):
    """Trains, from the last backup on where there is one."""
    saver = callbacks.Backup(backup_folder(), FLAGS.backup_every, minutes=10)
    first = []
    if run is not None:
        first = [callbacks.Progress(recipe.steps)]
        first += [*measuring(recipe, data, model), runs.SaveMetrics(run)]
        first += watching(recipe, data)
    try:
        model.fit(
            batches,
            epochs=recipe.steps // batches.stream.steps_per_epoch,
            validation_data=data.validation or data.test,
            callbacks=[*first, saver],
            verbose=0,
        )
    except distribute.WorkerLost as error:
        lost(error)
    except (FloatingPointError, ValueError, OSError) as error:
        sys.exit(message(error))
    except KeyboardInterrupt:
        print(f"\nStopped. {resume_hint()}")
        sys.exit(130)


def measuring(recipe, data, model):
    """What measures pseudo labels, of a few images that stay the same."""
    workers = distribute.num_workers(model.distribute_strategy)
    if FLAGS.method == "supervised" or workers > 1:
        return []
    few = evaluation.probe(data, 1000)
    return [
        callbacks.PseudoLabelMonitor(
            few.x,
            few.y,
            network=model.teacher if FLAGS.method == "mpl" else model.model,
            threshold=recipe.threshold,
            expected_marginals=few.marginals,
        )
    ]


def watching(recipe, data):
    """What shows the training in TensorBoard, if it is to be."""
    if not FLAGS.tensorboard:
        return []
    settings = runs.described(settings_of(recipe, data))
    # Without it there is nothing to show them with, and the rest is written.
    known = importlib.util.find_spec("tensorboard") is not None
    return [
        callbacks.TensorBoard(
            os.path.join(FLAGS.output_dir, "tensorboard"),
            data=data,
            hyperparameters=settings if known else None,
        )
    ]


def backup_folder():
    """Where all workers find the backups."""
    return os.path.join(FLAGS.output_dir, "backup")


def backups():
    """Steps and files of the backups so far."""
    return callbacks.Backup(backup_folder()).backups()


def lost(error):
    """Ends a worker of which another is gone."""
    print(f"{NAME}: {error}\n{resume_hint()}", file=sys.stderr, flush=True)
    sys.exit(error.exit_code)


def resume_hint():
    """From which step --resume would go on."""
    known = backups()
    if not known:
        return "There is no backup: --resume would begin anew."
    return f"--resume goes on after step {known[-1][0]:,}."


def message(error):
    """An error of the library, in the words of the command line."""
    text = arguments.renamed(
        str(error),
        {
            **{name: f"--{name}" for name in FLAGS},
            "steps_per_epoch": "--evaluate_every",
            "labeled batch size": "--labeled_batch_size",
            "weak batch size": "--unlabeled_batch_size",
        },
    )
    text = text.replace('="leave_out"', "=leave_out")
    text = text.replace(
        "unless overwriting is asked for", "unless with --resume"
    )
    return f"{NAME}: {text}"


def views_of(recipe, data):
    """Views by name if a flag or the recipe in use names them."""
    if FLAGS.views is None and FLAGS.recipe is None:
        return data.views
    with arguments.calling({"name": "--views"}):
        return augment.named_views(recipe.views, *shape_of(data)[:2])


def write_results(recipe, data, model, run, seconds):
    """Measures the networks, and writes all that is left of the run."""
    mpl = FLAGS.method == "mpl"
    name = "student" if mpl else "network"
    averaged = f"averaged {name}"
    networks = {averaged: (name, model.averaged)}
    as_trained = model.student if mpl else model.model
    networks[f"{name} as trained"] = f"{name}_as_trained", as_trained
    if mpl:
        networks["teacher"] = "teacher", model.teacher
    if FLAGS.finetune and recipe.finetune_steps:
        tuned = finetune.finetune(
            model,
            data,
            learning_rate=recipe.finetune_learning_rate,
            steps=recipe.finetune_steps,
            batch_size=recipe.finetune_batch_size,
            views="weak",
            seed=FLAGS.seed,
        )
        networks["finetuned"] = "finetuned", tuned
    by_name = {label: network for label, (_, network) in networks.items()}
    measured = report.measure(by_name, data)
    settings = runs.described(settings_of(recipe, data))
    # What matters most comes first: there may be no room for all.
    outputs = {}
    for stem, network in networks.values():
        outputs[f"{stem}.keras"] = writer(network, data, "keras")
    for label in (averaged, "finetuned"):
        if label in networks:
            stem, network = networks[label]
            outputs[stem] = writer(network, data, "tf_saved_model")
            facts = {
                "network": label,
                "trained_steps": recipe.steps,
                "format": "tf_saved_model",
                "settings": settings,
            }
            if measured is not None:
                facts["confusion"] = measured.kind, measured.counts[label]
            outputs[f"{stem}.md"] = files.text_writer(
                report.text(network, data, facts)
            )
    accuracies = {}
    if data.test is not None:
        accuracies = {
            label: 100 * report.accuracy_of(counts)
            for label, counts in measured.counts.items()
        }
    tell(measured, data, by_name)
    outputs |= pictures(settings, data, model, run, measured, seconds)
    # Last, because it says that the run is finished.
    result = {"step": recipe.steps, "test_accuracy": accuracies}
    outputs["results.json"] = files.json_writer(result)
    write_all(run, outputs)


def tell(measured, data, networks):
    """Prints how good the networks are, by name."""
    useless = []
    for label, counts in measured.counts.items() if measured else ():
        share = 100 * report.accuracy_of(counts)
        print(f"{label:20} {share:.2f} % of the {measured.kind} images")
        if report.sole_answer(counts) is not None:
            useless.append(label)
    if measured is None:
        few = evaluation.unlabeled(data, 1000).weak
        for label, network in networks.items():
            found = evaluation.probabilities(network, few).argmax(axis=-1)
            if len(set(found)) == 1:
                useless.append(label)
    if useless:
        text = (
            f"note: {' and '.join(useless)} put all images into one class, and "
            "have learned nothing of use. More --steps or labels may help, or "
            "a lower learning rate"
        )
        if "teacher" in networks and "teacher" not in useless:
            text += (
                "; the teacher has learned: export.py --network=teacher "
                "exports it"
            )
        print(f"{text}.")


def writer(network, data, format):
    """What writes a network so that it classifies images alone."""
    return lambda path: export.convert(network, path, data, format)


def pictures(settings, data, model, run, measured, seconds):
    """What draws the curves, the confusion matrix and the report."""
    outputs = {
        "curves.png": lambda path: report.plot_curves(
            run.metrics(),
            f"{FLAGS.method}, seed {FLAGS.seed}",
            path,
            "validation images" if data.validation else "test images",
        )
    }
    if data.test is not None:
        label, counts = next(iter(measured.counts.items()))
        accuracy = 100 * report.accuracy_of(counts)
        outputs["confusion_matrix.png"] = lambda path: report.plot_confusion(
            counts,
            data.class_names,
            f"{label}: {accuracy:.2f} % of the test images",
            path,
        )
    if FLAGS.report:
        outputs["report.html"] = lambda path: report.write(
            path,
            model,
            data,
            metrics=run.metrics(),
            settings=settings,
            measured=measured,
            seconds=seconds,
        )
    return outputs


def write_all(run, outputs):
    """Writes what can be written, and says what could not."""
    missing = {}
    for name, write in outputs.items():
        if missing and name == "results.json":
            break
        try:
            run.write(name, write)
        except Exception as error:
            # A picture that cannot be drawn must not cost what comes after it.
            missing[name] = error
    if missing:
        sys.exit(
            f"{NAME}: not written to {run.path}: "
            + "; ".join(f"{name} ({why})" for name, why in missing.items())
            + f". The rest is there. When that is cured: {resume_hint()}"
        )
    print(f"wrote {', '.join(outputs)} to {run.path}")


def prepare(strategy, chief):
    """Checks, and makes all that is needed; nothing is written."""
    # What is quickly checked comes first.
    if chief:
        files.check_folder(FLAGS.output_dir, FLAGS.resume, "--output_dir")
        report.check(FLAGS.report)
    data, recipe = load_data(chief)
    recipe = adapted(recipe)
    data = dataclasses.replace(data, views=views_of(recipe, data))
    run = None
    if chief:
        run = runs.RunFolder(
            FLAGS.output_dir,
            settings_of(recipe, data),
            FLAGS.resume,
            "--output_dir",
        )
        if os.path.exists(run.file("results.json")):
            return recipe, data, None, None, run
    with strategy.scope():
        model = make_model(recipe, data)
    batches = make_batches(recipe, data)
    model.check_execution(batches, batches.stream.steps_per_epoch)
    return recipe, data, batches, model, run


def make_model(recipe, data):
    """The compiled model, on the devices of the strategy in use."""
    jit = "auto" if FLAGS.jit_compile is None else FLAGS.jit_compile
    with arguments.calling({"name": "--backbone"}):
        return recipes.make_model(
            recipe,
            shape_of(data),
            data.num_classes,
            method=FLAGS.method,
            weights=FLAGS.weights,
            seed=FLAGS.seed,
            steps_per_execution=FLAGS.steps_per_execution,
            jit_compile=jit,
        )


def on_one_device(recipe, data, model):
    """The model, as this process alone can measure and write it."""
    if model.distribute_strategy is tf.distribute.get_strategy():
        return model
    alone = make_model(recipe, data)
    alone.set_weights(model.get_weights())
    return alone


def attempt(function, *arguments):
    """What it returns, and in words what went wrong, or None."""
    try:
        return function(*arguments), None
    except (ValueError, OSError, ImportError) as error:
        return (None,) * 5, message(error)


def agree(strategy, problem):
    """Ends all workers if one of them has a problem."""
    if distribute.sum_over_workers(strategy, [int(problem is not None)])[0]:
        sys.exit(problem or f"{NAME}: another worker could not begin.")


def main(argv):
    """Checks, says what it will do, trains, and writes the results."""
    logging.set_verbosity(logging.ERROR)
    # Names of files need not be UTF-8.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    warnings.showwarning = lambda text, *_, **__: print(f"note: {text}")
    if argv[1:]:
        sys.exit(f"{NAME}: unknown arguments {argv[1:]}")
    try:
        strategy = distribute.make_strategy(
            FLAGS.strategy, FLAGS.virtual_devices
        )
    except ValueError as error:
        sys.exit(message(error))
    chief = distribute.is_chief(strategy)
    keras.config.set_dtype_policy(FLAGS.precision)
    if FLAGS.deterministic:
        tf.config.experimental.enable_op_determinism()
    try:
        (recipe, data, batches, model, run), problem = attempt(
            prepare, strategy, chief
        )
        agree(strategy, problem)
        settings = settings_of(recipe, data)
        if not distribute.same_everywhere(strategy, settings):
            sys.exit(f"{NAME}: all workers must have the same flags and data.")
        finished = chief and model is None
        if distribute.sum_over_workers(strategy, [int(finished)])[0]:
            print(f"The run in {FLAGS.output_dir} is finished.")
            return
        if chief:
            _, problem = attempt(run.begin)
        agree(strategy, problem)
        if chief:
            describe(recipe, data, model, batches)
    except distribute.WorkerLost as error:
        lost(error)
    try:
        begin, anew = time.monotonic(), not backups()
        train(recipe, data, batches, model, run)
        if chief:
            # Of a training that went on, what came before is not known.
            seconds = time.monotonic() - begin if anew else None
            model = on_one_device(recipe, data, model)
            write_results(recipe, data, model, run, seconds)
    finally:
        if chief:
            run.end()


if __name__ == "__main__":
    app.run(main)
