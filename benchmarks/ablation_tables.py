"""Tables and a picture of what `ablation.py` found.

    python benchmarks/ablation_tables.py ablation

reads ablation/runs.csv, and writes table.md, differences.csv and
differences.png beside it. Of files, several of which are taken together, the
tables are printed and nothing is written:

    python benchmarks/ablation_tables.py --seeds=20:40 one.csv another.csv

A difference is that of two methods with the same seed; its 95 %
interval and p-value are those of the paired t-test, and p-values are corrected
(Holm, 1979) over what is compared together: the settings of two methods, or the
forms of feedback in one setting. The interval that is called corrected is the
one that Holm's step leaves. `mpl:teacher` is the teacher of `mpl` as trained,
`mpl:as_trained` its student without the average.
"""

import collections
import csv
import os
import re
import sys

import matplotlib
import numpy as np
from absl import app, flags
from scipy import stats

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402

FLAGS = flags.FLAGS
flags.DEFINE_list(
    "comparisons",
    [
        *("mpl-no_feedback", "mpl_aligned-uda_aligned"),
        *("mpl-uda", "mpl-uda_time"),
        *("mpl-uda_aligned", "mpl-uda_aligned_time"),
        *("mpl:teacher-uda", "mpl:teacher-uda_time"),
        *("mpl:teacher-uda_aligned", "mpl:teacher-uda_aligned_time"),
    ],
    "Pairs of methods, ONE-OTHER, each METHOD, which is its averaged network, "
    "METHOD:as_trained or METHOD:teacher.",
)
flags.DEFINE_string(
    "seeds", None, "From:to, the second not included; by default all."
)
COLUMNS = ("accuracy", "as_trained", "teacher")
NEEDED = ("setting", "method", "seed", "accuracy")
# What is compared with MPL without feedback where there are several of them.
FORMS = (
    *("mpl", "loss_difference", "cosine", "per_example", "weak_meta"),
    *(
        "strong_labels",
        "flipped",
        "shuffled",
        "class_mean",
        "no_class_mean",
        "noise",
    ),
)
HEAD = (
    *("family", "setting", "one", "other", "seeds", "difference", "error"),
    *("low", "high", "corrected_low", "corrected_high", "p", "corrected_p"),
)


def read(paths, names, seeds):
    """Accuracies by setting and method, each a dict by seed.

    Methods are by their averaged network; METHOD:COLUMN where it is in `names`.
    """
    found = collections.defaultdict(lambda: collections.defaultdict(dict))
    for path in paths:
        with open(path, newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            if not set(NEEDED) <= set(rows.fieldnames or ()):
                sys.exit(f"{path} must have columns {', '.join(NEEDED)}")
            for row in rows:
                if seeds is None or int(row["seed"]) in seeds:
                    add(found, row, names)
    return {name: found[name] for name in sorted(found, key=by_kind)}


def add(found, row, names):
    """Puts the accuracies of a run where they belong."""
    for column in COLUMNS:
        usual = column == "accuracy"
        name = row["method"] + ("" if usual else f":{column}")
        if (usual or name in names) and row.get(column):
            of_seeds = found[row["setting"]][name]
            of_seeds[int(row["seed"])] = float(row[column])


def by_kind(setting):
    """Settings of one kind are together, in the order of their numbers."""
    numbers = [int(number) for number in re.findall(r"\d+", setting)]
    return re.sub(r"\d+", "", setting), numbers


def holm(values):
    """By how many each p-value is multiplied, and the corrected values."""
    order = np.argsort(values, kind="stable")
    factors = np.empty(len(values), int)
    factors[order] = np.arange(len(values), 0, -1)
    corrected = np.empty(len(values))
    corrected[order] = np.maximum.accumulate(
        np.minimum(factors[order] * np.asarray(values)[order], 1)
    )
    return factors, corrected


def asked_pairs():
    """Of --comparisons, as pairs."""
    pairs = [tuple(pair.split("-", 1)) for pair in FLAGS.comparisons]
    for pair in pairs:
        if len(pair) != 2:
            sys.exit(f"--comparisons must be ONE-OTHER. Received: {pair[0]}")
    return pairs


def asked_seeds():
    """Of --seeds, as a range; None is all."""
    if FLAGS.seeds is None:
        return None
    found = re.fullmatch(r"(\d+):(\d+)", FLAGS.seeds)
    if not found or int(found[1]) >= int(found[2]):
        sys.exit(
            "--seeds must be FROM:TO, such as 20:40 for 20 to 39. Received: "
            f"{FLAGS.seeds}"
        )
    return range(int(found[1]), int(found[2]))


def check_known(found, pairs):
    """Raises for a method that was asked for and that no run is of."""
    known = sorted({name for methods in found.values() for name in methods})
    missing = {name for pair in pairs for name in pair} - set(known)
    if missing and FLAGS["comparisons"].present:
        sys.exit(
            f"--comparisons: there are runs of {', '.join(known)}, not of "
            f"{' and '.join(sorted(missing))}; after METHOD: comes teacher or "
            "as_trained, or nothing; nothing was written"
        )


def families(found, pairs):
    """What is compared together: lists of (setting, one, other) by name."""
    known = {
        f"{one} minus {other}": [(name, one, other) for name in found]
        for one, other in pairs
    }
    known |= {
        f"{name}: minus no_feedback": [
            (name, form, "no_feedback") for form in FORMS if form in methods
        ]
        for name, methods in found.items()
        if len(set(FORMS) & set(methods)) > 1
    }
    return known


def paired(found, family):
    """A row for each comparison whose methods share some seeds."""
    rows = []
    for setting, one, other in family:
        methods = found[setting]
        seeds = sorted(set(methods.get(one, ())) & set(methods.get(other, ())))
        if len(seeds) < 2:
            continue
        gains = np.array(
            [methods[one][seed] - methods[other][seed] for seed in seeds]
        )
        rows.append(
            {
                "setting": setting,
                "one": one,
                "other": other,
                "seeds": len(seeds),
                "difference": gains.mean(),
                "error": gains.std(ddof=1) / len(gains) ** 0.5,
                "p": float(stats.ttest_1samp(gains, 0).pvalue)
                if gains.std()
                else float(not gains.any()),
            }
        )
    if rows:
        factors, corrected = holm([row["p"] for row in rows])
        for row, factor, p in zip(rows, factors, corrected, strict=True):
            row["corrected_p"] = p
            for prefix, alpha in (("", 0.05), ("corrected_", 0.05 / factor)):
                half = row["error"] * stats.t.ppf(
                    1 - alpha / 2, row["seeds"] - 1
                )
                row[f"{prefix}low"] = row["difference"] - half
                row[f"{prefix}high"] = row["difference"] + half
    return rows


def label(name, row):
    """What tells a row of a family from the others."""
    return (
        row["one"] if name.startswith(f"{row['setting']}:") else row["setting"]
    )


def mean_of(values, usual):
    """A cell: mean ± standard error, and how many where that is unusual."""
    if not values:
        return ""
    error = np.std(values, ddof=1) / len(values) ** 0.5 if values[1:] else None
    text = f"{np.mean(values):.1f}" + (
        "" if error is None else f" ± {error:.1f}"
    )
    return text if len(values) == usual else f"{text} ({len(values)})"


def markdown(found, comparisons):
    """Means of every method, then the differences."""
    methods = list(
        dict.fromkeys(name for known in found.values() for name in known)
    )
    usual = collections.Counter(
        len(seeds) for known in found.values() for seeds in known.values()
    ).most_common(1)[0][0]
    lines = [
        f"Test accuracy in %, mean ± standard error of {usual} seeds, or of as "
        "many as are in brackets.\n",
        "| setting | " + " | ".join(methods) + " |",
        "|---" * (len(methods) + 1) + "|",
    ]
    for setting, known in found.items():
        cells = [
            mean_of(list(known.get(method, {}).values()), usual)
            for method in methods
        ]
        lines.append("| " + " | ".join([setting, *cells]) + " |")
    for name, rows in comparisons.items():
        lines += [
            f"\n{name}, paired, in points:\n",
            "| | seeds | difference | 95 % interval | corrected | "
            "p, corrected |",
            "|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {label(name, r)} | {r['seeds']} | {r['difference']:+.2f} ± "
            f"{r['error']:.2f} | {r['low']:+.2f} to {r['high']:+.2f} | "
            f"{r['corrected_low']:+.2f} to {r['corrected_high']:+.2f} | "
            f"{r['corrected_p']:.2g} |"
            for r in rows
        ]
    return "\n".join(lines) + "\n"


def draw(comparisons, path):
    """Differences with their 95 % intervals, one panel for a family."""
    from mpl_keras import report  # here, because it takes seconds

    count = -(-len(comparisons) // 2)
    sizes = [len(rows) + 3 for rows in comparisons.values()]
    heights = [max(sizes[2 * row : 2 * row + 2]) for row in range(count)]
    figure, axes = plt.subplots(
        count,
        2,
        figsize=(11, 0.26 * sum(heights)),
        height_ratios=heights,
        squeeze=False,
        layout="constrained",
    )
    axes = list(axes.flat)
    for axis in axes[len(comparisons) :]:
        axis.remove()
    for axis, (name, rows) in zip(axes, comparisons.items(), strict=False):
        for place, row in enumerate(rows):
            clear = row["corrected_low"] > 0 or row["corrected_high"] < 0
            axis.errorbar(
                row["difference"],
                place,
                xerr=row["high"] - row["difference"],
                fmt="o",
                color=report.color("mpl" if clear else "faint"),
                markersize=4,
                capsize=2,
            )
        axis.axvline(0, color=report.color("ink"), linewidth=0.8)
        axis.set_yticks(range(len(rows)), [label(name, row) for row in rows])
        axis.invert_yaxis()
        axis.set_title(name, fontsize=10)
        axis.grid(axis="x", alpha=0.3)
        axis.margins(y=0.5 / len(rows))
        axis.tick_params(labelbottom=True, labelsize=8)
    figure.supxlabel(
        "points of test accuracy, 95 % intervals; in colour: clear after "
        "Holm's correction over the panel",
        fontsize=9,
    )
    figure.savefig(path, dpi=120)
    plt.close(figure)


def write_differences(folder, comparisons):
    """As CSV and as a picture."""
    path = os.path.join(folder, "differences.csv")
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, HEAD)
        writer.writeheader()
        for name, rows in comparisons.items():
            writer.writerows({"family": name, **row} for row in rows)
    draw(comparisons, os.path.join(folder, "differences.png"))


def main(argv):
    """Reads the runs, prints the tables, writes those of a folder."""
    folder = argv[1] if len(argv) == 2 and os.path.isdir(argv[1]) else None
    paths = [os.path.join(folder, "runs.csv")] if folder else argv[1:]
    if not paths or not all(map(os.path.isfile, paths)):
        sys.exit(f"usage: {argv[0]} FOLDER, with runs.csv in it, or FILES")
    pairs = asked_pairs()
    names = {name for pair in pairs for name in pair}
    found = read(paths, names, asked_seeds())
    if not found:
        sys.exit(f"{' and '.join(paths)}: no runs")
    check_known(found, pairs)
    comparisons = {
        name: rows
        for name, family in families(found, pairs).items()
        if (rows := paired(found, family))
    }
    text = markdown(found, comparisons)
    print(text)
    if folder:
        path = os.path.join(folder, "table.md")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        if comparisons:
            write_differences(folder, comparisons)


if __name__ == "__main__":
    app.run(main)
