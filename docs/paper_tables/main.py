"""The command: finished runs become records, and the page is written."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kdcore import Problem, UserError
from paper_tables.page import page
from paper_tables.published import read_published
from paper_tables.records import find_runs, read_records, record, write_records

if TYPE_CHECKING:
    from collections.abc import Sequence

RESULTS: Final = Path(__file__).parents[1] / "results"


def main(arguments: Sequence[str]) -> int:
    """Write both files; the exit code is 2 if a run cannot be taken, and then nothing is written."""
    parser = argparse.ArgumentParser(
        prog="docs/papers.py",
        description="Take finished runs of the comparisons in examples/papers into docs/results/papers.json, and write "
        "docs/results/papers.md. Without a folder, only the page is written again.",
    )
    parser.add_argument(
        "folders", nargs="*", type=Path, metavar="FOLDER", help="comparisons, or run directories"
    )
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="DIR", help="instead of docs/results")
    given = parser.parse_args(arguments)
    published, target = read_published(), given.output / "papers.json"
    records, problems = read_records(target), list[Problem]()
    try:
        runs = find_runs(given.folders)
    except UserError as error:
        runs, problems = [], list(error.problems)
    for run in runs:
        try:
            found = record(run, published.pairs)
        except UserError as error:
            problems += error.problems
            continue
        if found is None:
            print(f"{run} is not finished: left out", file=sys.stderr)
            continue
        pair, label, seed, result = found
        records.setdefault(pair, {}).setdefault(label, {})[seed] = result
    if problems:
        print("\n".join(map(str, problems)), file=sys.stderr)
        return 2
    write_records(target, records)
    (given.output / "papers.md").write_text(page(published, records), encoding="utf-8")
    return 0
