"""Draws docs/results/families.svg and writes the table of docs/results/families.md from finished runs.

    uv run python docs/families.py runs

The folder holds the run directories PAIR-DISTILLER-PRECISION that the commands on that page make.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

PAIRS = {
    "resnet-to-mobilenetv2": "ResNet → MobileNetV2",
    "vit-to-resnet": "ViT → ResNet",
    "resnet-to-vit": "ResNet → ViT",
    "convnext-to-resnet": "ConvNeXt → ResNet",
}
DISTILLERS = {"fitnet": "FitNet", "crd": "CRD", "ofa": "OFA"}
PRECISIONS = {"fp32": "-", "bf16": "--"}
RESULTS = Path(__file__).parent / "results"
START, END = "<!-- table: from docs/families.py -->\n", "<!-- end of the table -->\n"

Run = tuple[dict[str, Any], list[dict[str, Any]]]


def read(folder: Path) -> dict[tuple[str, str, str], Run]:
    """Summary and records of each run, by pair, distiller and precision."""
    found = {}
    for pair in PAIRS:
        for distiller in DISTILLERS:
            for precision in PRECISIONS:
                directory = folder / f"{pair}-{distiller}-{precision}"
                summary = json.loads((directory / "summary.json").read_text())
                lines = (directory / "metrics.jsonl").read_text().splitlines()
                if summary["status"] != "finished":
                    raise SystemExit(f"{directory} is not finished")
                found[pair, distiller, precision] = summary, [json.loads(line) for line in lines]
    return found


def draw(runs: dict[tuple[str, str, str], Run], target: Path) -> None:
    """A panel for each pair and method: the terms relative to the first epoch, and the student's top-1."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "kd"  # the same runs give the same file
    from matplotlib import pyplot

    size = (3.2 * len(DISTILLERS), 2.1 * len(PAIRS))
    figure, panels = pyplot.subplots(len(PAIRS), len(DISTILLERS), figsize=size, sharex=True, squeeze=False)
    for row, pair in enumerate(PAIRS):
        for column, distiller in enumerate(DISTILLERS):
            left = panels[row][column]
            right = left.twinx()
            for precision, style in PRECISIONS.items():
                records = runs[pair, distiller, precision][1]
                epochs = [record["epoch"] for record in records]
                for name, first in records[0]["terms"].items():
                    values = [record["terms"][name] / first for record in records]
                    left.plot(epochs, values, style, color="tab:blue", label=f"{name}, {precision}")
                top1 = [record["eval"]["top1"] for record in records]
                right.plot(epochs, top1, style, color="tab:orange", label=f"top-1, {precision}")
            left.set_title(f"{PAIRS[pair]}, {DISTILLERS[distiller]}", fontsize=9)
            left.set_ylim(0, 1.1)
            right.set_ylim(0, 60)
            left.tick_params(labelsize=7, colors="tab:blue", axis="y")
            right.tick_params(labelsize=7, colors="tab:orange")
            if column == 0:
                left.set_ylabel("term / its first epoch", fontsize=7, color="tab:blue")
            if column == len(DISTILLERS) - 1:
                right.set_ylabel("top-1 in %", fontsize=7, color="tab:orange")
            if row == len(PAIRS) - 1:
                left.set_xlabel("epoch", fontsize=7)
    figure.suptitle("solid: fp32, dashed: bf16", fontsize=9)
    figure.tight_layout()
    figure.savefig(target, metadata={"Date": None})


def table(runs: dict[tuple[str, str, str], Run]) -> str:
    """A row per run: the term in the first and the last epoch, and the accuracies."""
    names = ("pair", "method", "precision", "term, first epoch", "last epoch", "top-1", "agreement")
    head = f"| {' | '.join(names)} |\n{'|---' * len(names)}|\n"
    rows = []
    for (pair, distiller, precision), (summary, records) in runs.items():
        first, last = (sum(record["terms"].values()) for record in (records[0], records[-1]))
        student = summary["student"]
        rows.append(
            f"| {PAIRS[pair]} | {DISTILLERS[distiller]} | {precision} | {first:.3f} | {last:.3f} | "
            f"{student['top1']:.2f} | {student['agreement']:.2f} |\n"
        )
    return head + "".join(rows)


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, help="folder of the run directories")
    runs = read(parser.parse_args().runs)
    draw(runs, RESULTS / "families.svg")
    page = RESULTS / "families.md"
    before, rest = page.read_text().split(START)
    page.write_text(before + START + "\n" + table(runs) + "\n" + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
