"""Writes the records of finished runs, docs/results/*.json, and tables made from them.

cifar10.json is for docs/results/cifar10.md and README.md, tune.json for docs/tune.md, prune.json for
docs/results/prune.md, and quantize.json for docs/export.md.

uv run python docs/evidence.py runs/few-labels-2000 ...            # folders of `kd compare` and `kd tune`
uv run python docs/evidence.py --tune runs/tune-dkd ...            # those of docs/tune.md
uv run python docs/evidence.py --prune runs                        # the folder of the runs of examples/prune
uv run python docs/evidence.py --eight-bits runs/eight-bits        # what examples/eight-bits/measure.py wrote
uv run python docs/evidence.py                                     # only the tables again, from the records

Records of other comparisons stay as they are.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
from pathlib import Path
from typing import Any

from kd_compare.statistics import paired_gain

RESULTS = Path(__file__).parent / "results"
RECORDS = RESULTS / "cifar10.json"
PAGES = (RESULTS / "cifar10.md", RESULTS.parents[1] / "README.md")
TUNE_RECORDS, TUNE_PAGES = RESULTS / "tune.json", (RESULTS.parent / "tune.md",)
PRUNE_RECORDS, PRUNE_PAGES = RESULTS / "prune.json", (RESULTS / "prune.md",)
EIGHT_RECORDS, EIGHT_PAGES = RESULTS / "quantize.json", (RESULTS.parent / "export.md",)
TABLE = re.compile(
    r"(<!-- table (\S+) (\S+): from docs/evidence.py -->\n).*?(<!-- end of the table -->)", re.DOTALL
)

WAYS = {
    "distilled": "from the teacher's weights, taught by the teacher",
    "fine-tuned": "from the teacher's weights, without a teacher",
    "scratch": "from initial weights, without a teacher",
}

ALL_LABELS = {"full-resnet8": "all labels", "full-resnet20": "all labels, ResNet-20"}

FORMS = {"student": "PyTorch", "onnx": "onnxruntime", "openvino": "OpenVINO"}

Data = dict[str, Any]


def comparison(folder: Path) -> Data:
    """What a comparison found: the models, each method's options, and a record for each run."""
    found = read(folder / "comparison.json")
    methods: dict[str, Data] = {}
    for run in found["runs"]:
        directory = folder / "runs" / Path(run["directory"]).name
        spec = read(directory / "spec.json")
        one = methods.setdefault(run["method"], {"changes": options(spec), "runs": []})
        one["runs"].append({"seed": run["seed"], "status": run["status"], **record(directory)})
    data, train = spec["data"], spec["train"]
    return {
        "kind": "comparison",
        "baseline": found["baseline"],
        "teacher": found["teacher"],
        "student": found["student"],
        "epochs": train["epochs"],
        "batch_size": train["batch_size"],
        "precision": train["precision"],
        "splits": {name: data[f"{name}_split"] for name in ("train", "eval", "test")},
        "environment": environment(directory),
        "methods": methods,
    }


def tuning(folder: Path) -> Data:
    """The trials of a tuning: their values and scores."""
    found = read(folder / "tuning.json")
    trials = [
        {"values": one["values"], "score": one["score"], "status": one["status"]} for one in found["trials"]
    ]
    tuned = {"kind": "tuning", "best": found["best"], "space": found["space"], "trials": trials}
    if found["comparison"] is None:
        return tuned
    final = folder / f"final-trial-{found['best']}"
    scores: dict[str, dict[str, float | None]] = {}
    for run in read(final / "comparison.json")["runs"]:
        one = record(final / "runs" / Path(run["directory"]).name)
        scores.setdefault(run["method"], {})[str(run["seed"])] = one["validation"]
    return {**tuned, "final": scores}


def pruning(folder: Path) -> Data:
    """The runs `WAY-SEED` of examples/prune in a folder, by way, and their teacher."""
    methods: dict[str, Data] = {}
    for directory in sorted(folder.glob("*-[0-9]")):
        way, _, seed = directory.name.rpartition("-")
        run = {"seed": int(seed), "status": read(directory / "summary.json")["status"], **record(directory)}
        methods.setdefault(way, {"runs": []})["runs"].append(run)
    summary = read(folder / "teacher" / "summary.json")["student"]
    teacher = {"top1": rounded(summary["top1"]), "parameters": summary["parameters"]}
    return {
        "kind": "pruning",
        "teacher": teacher,
        "parameters": read(directory / "summary.json")["student"]["parameters"],
        "environment": environment(directory),
        "methods": methods,
    }


def eight_bits(folder: Path) -> Data:
    """What `examples/eight-bits/measure.py` found."""
    runs = read(folder / "record.json")
    return {"kind": "eight bits", "environment": environment(folder), "runs": runs}


def options(spec: Data) -> Data:
    """What distinguishes a method in a comparison: its distillers, and the other values that were tuned."""
    return {
        "distiller": spec["distiller"],
        "task.weight": spec["task"]["weight"],
        "task.label_smoothing": spec["task"]["label_smoothing"],
        "optimizer.lr": spec["optimizer"]["lr"],
        "train.epochs": spec["train"]["epochs"],
    }


def record(directory: Path) -> Data:
    """The end of one run, its curve, and what it cost."""
    summary = read(directory / "summary.json")
    epochs = [json.loads(line) for line in (directory / "metrics.jsonl").read_text("utf-8").splitlines()]
    test = summary.get("test") or {}
    return {
        "validation": rounded(summary["student"]["top1"]),
        "test": rounded(test["student"]["top1"]) if test else None,
        "agreement": rounded(summary["student"]["agreement"]),
        "heads": summary["distiller"]["parameters"],
        "curve": [rounded(epoch["eval"]["top1"]) for epoch in epochs],
        "images_per_second": round(epochs[-1]["images_per_second"]),
        "seconds": round(summary["wall_seconds"], 1),
        "peak_memory_mib": round(summary["peak_memory_bytes"] / 2**20),
    }


def environment(directory: Path) -> Data:
    """The versions that the runs were made with."""
    found = read(directory / "environment.json")
    return {name: found[name] for name in ("python", "kdcore", "packages", "cpus") if name in found}


def rounded(value: float | None) -> float | None:
    """To the two digits that the tables show."""
    return None if value is None else round(value, 2)


def read(path: Path) -> Any:
    """A JSON file."""
    return json.loads(path.read_text("utf-8"))


def gain(scores: dict[int, float], base: dict[int, float], methods: int) -> tuple[float, float]:
    """The mean difference seed by seed, half its 95 % interval, corrected for the number of methods."""
    found = paired_gain(scores, base, methods)
    assert found is not None
    assert found.corrected_half is not None
    return found.mean, found.corrected_half


def scores_of(method: Data) -> dict[int, float]:
    """Top-1 on the test images by seed."""
    return {run["seed"]: run["test"] for run in method["runs"]}


def accuracy_table(records: Data, names: list[str]) -> str:
    """A row for each method, the highest mean first."""
    (one,) = (records[name] for name in names)
    seeds = sorted(scores_of(one["methods"][one["baseline"]]))
    head = ["method", *(f"seed {seed}" for seed in seeds), "mean", f"gain over {one['baseline']}"]
    rows = [[*head, "agrees with the teacher", "memory"], ["---"] * (len(head) + 2)]
    for label, own, gained in ranked(one):
        runs = one["methods"][label]["runs"]
        rows.append(
            [
                label,
                *(f"{own[seed]:.2f}" for seed in seeds),
                spread(own),
                gained,
                f"{statistics.mean(run['agreement'] for run in runs):.1f}",
                f"{max(run['peak_memory_mib'] for run in runs):,} MiB",
            ]
        )
    return markdown(rows)


def pruned_table(records: Data, names: list[str]) -> str:
    """A row for each way to train the pruned network, the highest mean first."""
    (one,) = (records[name] for name in names)
    found = {
        way: {run["seed"]: run["validation"] for run in method["runs"]}
        for way, method in one["methods"].items()
    }
    seeds = sorted(next(iter(found.values())))
    rows = [["pruned network", *(f"seed {seed}" for seed in seeds), "mean"], ["---"] * (len(seeds) + 2)]
    ways = sorted(found, key=lambda way: -statistics.mean(found[way].values()))
    rows += [[WAYS[way], *(f"{found[way][seed]:.2f}" for seed in seeds), spread(found[way])] for way in ways]
    return markdown(rows)


def eight_bits_table(records: Data, names: list[str]) -> str:
    """A row for each student and each of its forms."""
    (one,) = (records[name] for name in names)
    seeds = [run["seed"] for run in one["runs"]]
    rows = [["trained", "computed by", *(f"seed {seed}" for seed in seeds), "mean"]]
    rows.append(["---"] * len(rows[0]))
    for way, trained in {"fp32": "in 32 bits", "int8": "with `int8`"}.items():
        for form, label in FORMS.items():
            found = {run["seed"]: run[way][form] for run in one["runs"]}
            bits = "32 bits" if (way, form) == ("fp32", "student") else "8 bits"
            name = f"{label}, {'rounded' if (way, form) == ('int8', 'student') else bits}"
            rows.append([trained, name, *(f"{found[seed]:.2f}" for seed in seeds), spread(found)])
    return markdown(rows)


def summary_table(records: Data, names: list[str]) -> str:
    """The means and gains alone: two columns for each comparison; empty where it does not have the method."""
    head, columns = ["method"], list[dict[str, tuple[str, str]]]()
    for name in names:
        one = records[name]
        labels = ALL_LABELS.get(name) or f"{int(name.rpartition('-')[2]):,} labels"
        head += [f"{labels}: top-1", f"gain over {one['baseline']}"]
        columns.append(
            {label: (f"{statistics.mean(own.values()):.1f}", gained) for label, own, gained in ranked(one)}
        )
    methods = dict.fromkeys(label for column in columns for label in column)
    rows = [
        [method, *(cell for column in columns for cell in column.get(method, ("", "")))] for method in methods
    ]
    return markdown([head, ["---"] * len(head), *rows])


def spread(scores: dict[int, float]) -> str:
    """Mean and standard deviation over the seeds."""
    return f"{statistics.mean(scores.values()):.2f} ± {statistics.stdev(scores.values()):.2f}"


def ranked(one: Data) -> list[tuple[str, dict[int, float], str]]:
    """Each method's label, its top-1 by seed and its gain as text, the highest mean first."""
    base = scores_of(one["methods"][one["baseline"]])
    found = []
    for label, method in one["methods"].items():
        own, gained = scores_of(method), "baseline"
        if label != one["baseline"]:
            middle, half = gain(own, base, len(one["methods"]) - 1)
            gained = f"{middle:+.2f} ± {half:.2f}"
        found.append((label, own, gained))
    return sorted(found, key=lambda row: -statistics.mean(row[1].values()))


def costs_table(records: Data, names: list[str]) -> str:
    """What an epoch of 48,000 images takes at the speed of the runs, and what they held at most.

    The speed is the median of a method's runs. Several comparisons are in one table, with a column for the student.
    """
    head = [
        "student",
        "method",
        "seconds an epoch, cached",
        "live",
        "memory, cached",
        "live",
        "parameters of heads",
    ]
    rows = [head, ["---", "---", *["---:"] * (len(head) - 2)]]
    for name in names:
        one = records[name]
        methods = one["methods"]
        for label in (label for label in methods if not label.endswith("-live")):
            live = (
                label if label == one["baseline"] else f"{label}-live"
            )  # without a teacher, both are the same
            both = [methods[place]["runs"] if place in methods else [] for place in (label, live)]
            cells = [*(seconds(runs) for runs in both), *(memory(runs) for runs in both)]
            rows.append([one["student"]["model"], label, *cells, f"{both[0][0]['heads']:,}"])
    with_live = any(label.endswith("-live") for name in names for label in records[name]["methods"])
    left_out = {*([] if len(names) > 1 else [0]), *([] if with_live else [3, 5])}
    return markdown([[cell for number, cell in enumerate(row) if number not in left_out] for row in rows])


def seconds(runs: list[Data]) -> str:
    """An epoch of 48,000 images at the median speed of runs."""
    return f"{48_000 / statistics.median(run['images_per_second'] for run in runs):.0f}" if runs else ""


def memory(runs: list[Data]) -> str:
    """The largest peak of runs."""
    return f"{max(run['peak_memory_mib'] for run in runs):,} MiB" if runs else ""


def tuned_table(records: Data, names: list[str]) -> str:
    """A row for each tuning: its budget, what it searched, and what it found."""
    rows = [["method", "trials", "first trial", "best trial", "values found"], ["---"] * 5]
    for name in names:
        one = records[name]
        best = one["trials"][one["best"]]
        found = ", ".join(f"`{path}` {short(value)}" for path, value in best["values"].items())
        scores = [f"{trial['score']:.2f}" for trial in (one["trials"][0], best)]
        rows.append(
            [re.sub("^tune-(few-labels|[a-z0-9]+)-", "", name), str(len(one["trials"])), *scores, found]
        )
    return markdown(rows)


def fresh_table(records: Data, names: list[str]) -> str:
    """A row for each tuning: its budget, and what the best values gain with seeds that no trial had."""
    head = [
        "method",
        "trials",
        "first trial",
        "best trial",
        "fresh seeds: spec",
        "fresh seeds: tuned",
        "gain",
    ]
    rows = [head, ["---", *["---:"] * (len(head) - 1)]]
    for name in names:
        one = records[name]
        old, new = final_scores(one)
        middle, half = gain(new, old, 1)
        scores = [f"{trial['score']:.2f}" for trial in (one["trials"][0], one["trials"][one["best"]])]
        scores += [spread(old), spread(new)]
        rows.append([name, str(len(one["trials"])), *scores, f"{middle:+.2f} ± {half:.2f}"])
    return markdown(rows)


def final_scores(one: Data) -> tuple[dict[int, float], dict[int, float]]:
    """Top-1 by seed of the spec's own values, and of the best ones."""
    old, new = (one["final"][label] for label in ("default", "tuned"))
    return {int(seed): score for seed, score in old.items()}, {
        int(seed): score for seed, score in new.items()
    }


def short(value: Any) -> str:
    """A value with three digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def markdown(rows: list[list[str]]) -> str:
    """A table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def tables(text: str, records: Data) -> str:
    """The page with its tables made again: a comment says which one belongs where."""

    def one(found: re.Match[str]) -> str:
        begin, kind, names, end = found.groups()
        makers = {
            "accuracy": accuracy_table,
            "summary": summary_table,
            "costs": costs_table,
            "tuned": tuned_table,
            "fresh": fresh_table,
            "pruned": pruned_table,
            "eight": eight_bits_table,
        }
        return f"{begin}{makers[kind](records, names.split(','))}{end}"

    return TABLE.sub(one, text)


def written(records: Data) -> str:
    """The records as JSON with a line for each run."""
    text = json.dumps(records, indent=1)
    flat = re.compile(r"\{[^{}]*\}|\[[^\[\]{}]*\]")
    return flat.sub(lambda found: re.sub(r"\s*\n\s*", " ", found.group()), text) + "\n"


def main(arguments: list[str]) -> None:
    """Add the folders' records, and write the tables."""
    flag = arguments[0] if arguments[:1] in (["--tune"], ["--prune"], ["--eight-bits"]) else ""
    given = list(map(Path, arguments[1:] if flag else arguments))
    kinds = (
        ("", RECORDS, PAGES, comparison),
        ("--tune", TUNE_RECORDS, TUNE_PAGES, comparison),
        ("--prune", PRUNE_RECORDS, PRUNE_PAGES, pruning),
        ("--eight-bits", EIGHT_RECORDS, EIGHT_PAGES, eight_bits),
    )
    for kind, path, pages, reading in kinds:
        records = read(path) if path.exists() else {}
        folders = given if kind == flag else []
        for folder in folders:
            tuned = (folder / "tuning.json").exists()
            records[folder.resolve().name] = tuning(folder) if tuned else reading(folder)
        if folders:
            path.write_text(written(records), encoding="utf-8")
        for page in pages:
            page.write_text(tables(page.read_text("utf-8"), records), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
