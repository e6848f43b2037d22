"""Fill a page's tables from measurements: `python -m benchmarks.page RESULTS.json PAGE.md`.

A table stands between `<!-- measured: GROUP/CASE -->` and `<!-- end -->`; what it was measured on, where the name is
`environment`. With `summary: GROUP/TEXT` it has a row for each case with this text in its name.

Results of `python -m benchmarks gpu` fill the tables `gpu/PART` as well; those of `--small` fill none.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks.gpu.tables import tables
from benchmarks.rounds import Measured, ratio
from benchmarks.table import markdown, number, rounds

PEAK = ", peak extra memory"
_PLACE = re.compile(
    r"(?P<head><!-- (?P<kind>measured|summary): (?P<name>[^\n]+?) -->\n).*?(?P<end><!-- end -->)", re.DOTALL
)


def fill(page: str, results: dict[str, Any]) -> str:
    """The page with every table that the results have; one that they lack stays as it is."""
    on_accelerator = tables(results) if "parts" in results else {}
    cases = {
        f"{group}/{fields['name']}": Measured(**fields)
        for group, found in results.get("groups", {}).items()
        for fields in found
    }

    def table(match: re.Match[str]) -> str:
        name = match["name"]
        if name == "environment":
            text = described(results)
        elif match["kind"] == "summary":
            group, _, wanted = name.partition("/")
            found = [
                case for known, case in cases.items() if known.startswith(f"{group}/") and wanted in case.name
            ]
            if not found:
                return match[0]
            text = summary(found)
        elif name in on_accelerator:
            text = on_accelerator[name]
        elif name in cases:
            text = f"{markdown(cases[name])}\n\n{rounds(cases[name])} rounds."
        else:
            return match[0]
        return f"{match['head']}\n{text}\n\n{match['end']}"

    return _PLACE.sub(table, page)


def summary(cases: list[Measured]) -> str:
    """A row for each case: what its base takes, and the others as ratios to it, then the same of its peak memory."""
    memory = {case.name.removesuffix(PEAK): case for case in cases if case.name.endswith(PEAK)}
    times = [case for case in cases if not case.name.endswith(PEAK)] or cases
    first = times[0]
    others = [name for name in first.values if name != first.base]
    head, rule = [first.base, *others], ["---:"] * len(first.values)
    lines = [("", *head, *([f"memory: {name}" for name in head] if memory else ()))]
    lines.append(("---", *rule, *(rule if memory else ())))
    for case in times:
        lines.append((case.name, *_cells(case), *(_cells(memory[case.name]) if case.name in memory else ())))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cells(case: Measured) -> list[str]:
    scale = 1000 if case.unit == "ms" else 1
    base = scale * statistics.median(case.values[case.base])
    others = [name for name in case.values if name != case.base]
    ratios = [f"{ratio(case.values[name], case.values[case.base]).median:.3f}" for name in others]
    return [f"{number(base)} {case.unit}", *ratios]


def described(results: dict[str, Any]) -> str:
    """The command, and what it ran on."""
    about = results["environment"]
    versions = ", ".join(f"{name} {about['packages'][name]}" for name in ("torch", "torchvision", "timm"))
    device = about["device"]
    where = f"{device['type']} ({device['name']})"
    threads = f", {device['threads']} threads" if "threads" in device else ""
    command = " ".join(results["command"])
    machine = f"{where}, {about['cpus']} CPUs{threads}"
    return f"`{command}` on {machine}; Python {about['python']}, {versions}."


def main() -> int:
    """Rewrite the page."""
    results, page = (Path(argument) for argument in sys.argv[1:3])
    found = json.loads(results.read_text("utf-8"))
    if found.get("small"):
        print(f"{results} is of --small: it shows that the parts work, and measures nothing", file=sys.stderr)
        return 2
    page.write_text(fill(page.read_text("utf-8"), found), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
