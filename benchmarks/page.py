"""Fill a page's tables from measurements: `python -m benchmarks.page RESULTS.json PAGE.md`.

A table stands between `<!-- measured: GROUP/CASE -->` and `<!-- end -->`; `environment` is what it was measured on.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from benchmarks.rounds import Measured
from benchmarks.table import markdown, rounds

_PLACE = re.compile(r"(<!-- measured: (?P<name>[^\n]+?) -->\n).*?(<!-- end -->)", re.DOTALL)


def fill(page: str, results: dict[str, Any]) -> str:
    """The page with every table that the results have; one that they lack stays as it is."""
    cases = {
        f"{group}/{fields['name']}": Measured(**fields)
        for group, found in results["groups"].items()
        for fields in found
    }

    def table(match: re.Match[str]) -> str:
        name = match["name"]
        if name == "environment":
            text = described(results)
        elif name in cases:
            text = f"{markdown(cases[name])}\n\n{rounds(cases[name])} rounds."
        else:
            return match[0]
        return f"{match[1]}\n{text}\n\n{match[3]}"

    return _PLACE.sub(table, page)


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
    text = page.read_text()
    page.write_text(fill(text, json.loads(results.read_text())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
