"""Writes docs/results/everyday.json, the records of finished comparisons, and their tables in docs/everyday.md.

uv run python docs/everyday.py COMPARISON.json...    # of the comparisons that the page names
uv run python docs/everyday.py                       # only the tables again, from everyday.json
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

DOCS: Final = Path(__file__).parent
RECORDS: Final = DOCS / "results" / "everyday.json"
PAGE: Final = DOCS / "everyday.md"
END: Final = "<!-- end of the table -->\n"

Data = dict[str, Any]
_KEPT: Final = ("top1", "macro_f1", "map", "micro_f1", "exact_match")


def start(name: str) -> str:
    """What stands above the table of a comparison."""
    return f"<!-- table: {name}, from docs/everyday.py -->\n"


def read(path: Path) -> tuple[str, Data]:
    """The name of a comparison, and what it found: a record for each run, and its teacher's test."""
    found = json.loads(path.read_text("utf-8"))
    name = found["name"].removeprefix("compare-")
    runs = [
        {
            "method": run["method"],
            "seed": run["seed"],
            "status": run["status"],
            "scores": _kept(run["scores"]),
            "test_scores": _kept(run["test_scores"]),
        }
        for run in found["runs"]
    ]
    command = f"python examples/{name}/images.py && kd compare examples/{name}/compare.toml"
    return name, {"command": command, "epochs": found["epochs"], "teacher": _teacher(found), "runs": runs}


def _kept(scores: Data) -> Data:
    return {name: round(scores[name], 3) for name in _KEPT if scores.get(name) is not None}


def _teacher(found: Data) -> Data | None:
    """The measures of the teacher's own run."""
    if found["teacher"] is None:
        return None
    folder = Path(found["runs"][0]["directory"])
    teacher = f"{found['name'].removeprefix('compare-')}-teacher"
    while not (folder / teacher).is_dir() and folder != folder.parent:
        folder = folder.parent
    summary = json.loads((folder / teacher / "summary.json").read_text("utf-8"))
    test = summary.get("test") or {}
    return {"scores": _kept(summary["student"]), "test_scores": _kept(test.get("student") or {})}


def values(record: Data, method: str, measure: str, of: str = "scores") -> list[float]:
    """A measure of a method's runs, in the order of their seeds."""
    runs = sorted((run for run in record["runs"] if run["method"] == method), key=lambda run: run["seed"])
    return [run[of][measure] for run in runs]


def rare_classes(record: Data) -> str:
    """The table of what helps where classes are rare."""
    labels = {
        "vanilla": "as they are",
        "focal-loss": '`"task.loss": "focal"`',
        "balanced-sampling": '`"data.sampling": "balanced"`',
        "class-weights": '`"task.class_weights": "balanced"`',
    }
    found = {name: values(record, name, "macro_f1") for name in labels}
    ordered = sorted(labels, key=lambda name: statistics.mean(found[name]))
    rows = [
        (labels[name], _spread(found[name], best=name == ordered[-1]), _spread(values(record, name, "top1")))
        for name in ordered
    ]
    head = ("ResNet-10-T, 250 training images, 30 epochs", "macro F1 %", "top-1 %")
    return _table(head, rows)


def label_pairs(record: Data) -> str:
    """The table of several labels an image, few of them known, on the test images."""
    measures = ("map", "micro_f1", "exact_match")
    labels = {"vanilla": "alone, 100 labelled images", "mld-1": "`mld`, weight 1, all 1,000 images"}
    rows = [
        (
            label,
            *(
                _spread(values(record, name, measure, "test_scores"), best=name == "mld-1")
                for measure in measures
            ),
        )
        for name, label in labels.items()
    ]
    teacher = record["teacher"]["test_scores"]
    rows.append(("the teacher, trained on all 1,000 labels", *(f"{teacher[one]:.1f}" for one in measures)))
    head = ("ResNet-10-T, 0.34 M, 15 epochs; 1,000 test images", "mAP %", "micro F1 %", "all labels right %")
    return _table(head, rows)


TABLES: Final[dict[str, Callable[[Data], str]]] = {
    "rare-classes": rare_classes,
    "label-pairs": label_pairs,
}


def _spread(found: list[float], *, best: bool = False) -> str:
    """Mean and standard deviation over the seeds."""
    mean = f"{statistics.mean(found):.1f}"
    return f"{f'**{mean}**' if best else mean} ± {statistics.stdev(found):.1f}"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(cells)} |" for cells in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]]) + "\n"


def with_tables(page: str, records: Data) -> str:
    """The page with the tables of these records."""
    for name, record in records.items():
        before, mark, rest = page.partition(start(name))
        if not mark:
            raise SystemExit(f"{PAGE} has no table of '{name}'")
        page = before + mark + TABLES[name](record) + END + rest.partition(END)[2]
    return page


def main(paths: list[str]) -> None:
    """Write both files."""
    records: Data = json.loads(RECORDS.read_text("utf-8")) if RECORDS.is_file() else {}
    for path in paths:
        name, record = read(Path(path))
        records[name] = record
    lines = []
    for name, record in records.items():
        about = {key: value for key, value in record.items() if key != "runs"}
        runs = ",\n".join(f"    {json.dumps(run)}" for run in record["runs"])
        lines.append(f'  {json.dumps(name)}: {json.dumps(about)[:-1]}, "runs": [\n{runs}\n  ]}}')
    RECORDS.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    PAGE.write_text(with_tables(PAGE.read_text("utf-8"), records), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
