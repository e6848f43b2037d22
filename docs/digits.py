"""Writes docs/results/digits.json, the records of finished comparisons, and docs/results/digits.md, their tables.

uv run python docs/digits.py COMPARISON.json...    # the comparisons that the commands on that page make
uv run python docs/digits.py                       # only the page again, from digits.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
START, END = "<!-- tables: from docs/digits.py -->\n", "<!-- end of the tables -->\n"

COLUMNS = ("method", "top-1", "difference to vanilla", "agrees with the teacher", "extra parameters")

Data = dict[str, Any]


def read(path: Path) -> Data:
    """What a comparison found: its models, and a record for each run."""
    found = json.loads(path.read_text("utf-8"))
    return {
        "comparison": found["name"],
        "teacher": found["teacher"],
        "student": found["student"],
        "runs": {run["method"]: record(run) for run in found["runs"]},
    }


def record(run: Data) -> Data:
    """The end of one run, and its curve."""
    folder = Path(run["directory"])
    summary = json.loads((folder / "summary.json").read_text("utf-8"))
    lines = (folder / "metrics.jsonl").read_text("utf-8").splitlines()
    return {
        "status": run["status"],
        "top1": run["top1"],
        "agreement": run["agreement"],
        "heads": summary["distiller"]["parameters"],
        "curve": [round(json.loads(line)["eval"]["top1"], 2) for line in lines],
    }


def tables(data: list[Data]) -> str:
    """A table for each comparison, the best method first."""
    parts = []
    for one in data:
        runs = one["runs"]
        base = runs["vanilla"]["top1"]
        ordered = sorted(runs.items(), key=lambda item: (-item[1]["top1"], item[0]))
        rows = [row(name, run, base) for name, run in ordered]
        head = f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}\n"
        parts.append(f"### {title(one)}\n\n{head}" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def row(name: str, run: Data, base: float) -> str:
    """The table's row of one method; `base` is the top-1 of the student alone."""
    gap = "" if name == "vanilla" else f"{run['top1'] - base:+.1f}"
    agreement = "" if run["agreement"] is None else f"{run['agreement']:.1f}"
    return f"| {name} | {run['top1']:.1f} | {gap} | {agreement} | {run['heads']:,} |"


def title(one: Data) -> str:
    """The comparison's name, and its teachers."""
    given = one["teacher"]
    teachers = [given] if isinstance(given, dict) else given or []
    scores = ", ".join(f"{each['top1']:.1f} %" for each in teachers if each.get("top1") is not None)
    return f"`{one['comparison']}`" + (f": teacher {scores}" if scores else "")


def main(paths: list[str]) -> None:
    """Write both files."""
    target = RESULTS / "digits.json"
    if paths:
        found = [read(Path(path)) for path in paths]
        lines = []
        for one in found:
            runs = ",\n".join(
                f"  {json.dumps(name)}: {json.dumps(run)}" for name, run in one.pop("runs").items()
            )
            lines.append(f'{json.dumps(one)[:-1]}, "runs": {{\n{runs}\n}}}}')
        target.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
    page = RESULTS / "digits.md"
    text = page.read_text("utf-8")
    before, after = text.partition(START)[0], text.partition(END)[2]
    page.write_text(
        before + START + tables(json.loads(target.read_text("utf-8"))) + END + after, encoding="utf-8"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
