"""Measure kd relative to a bare loop and to other tools: `python -m benchmarks [GROUP...]`.

Each group runs in a process of its own, its cases one after the other. In a round each contender does one step, in
random order; a ratio is taken within its round. Printed are the medians, with the ratios' quartiles; the JSON file
has every single time and the environment. Nothing else should run on the machine meanwhile.

`python -m benchmarks gpu --help` explains the command for a machine with an accelerator.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.gpu.command import main as gpu
from benchmarks.groups import GROUPS, run_group
from benchmarks.table import as_dict, text


def main() -> int:
    """Run the groups, or everything that only an accelerator can show."""
    if sys.argv[1:2] == ["gpu"]:
        return gpu(sys.argv[2:])
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    listed = "; ".join(f"{group.name}: {group.summary}" for group in GROUPS.values())
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"by default all. {listed}")
    parser.add_argument("--rounds", type=int, default=60, help="largest number of rounds for each case")
    parser.add_argument("--seconds", type=float, help="time to measure each case; default: the group's own")
    parser.add_argument("--only", default="", metavar="TEXT", help="only cases with this in their name")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write every time and the environment there"
    )
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    unknown = [name for name in arguments.groups if name not in GROUPS]
    if unknown:
        parser.error(f"there is no group {unknown[0]!r}; there are {', '.join(GROUPS)}")
    chosen = arguments.groups or list(GROUPS)
    if arguments.child:
        cases = [
            _show(case)
            for case in run_group(GROUPS[chosen[0]], arguments.rounds, arguments.seconds, arguments.only)
        ]
        arguments.json.write_text(json.dumps({"environment": _environment(), "cases": cases}))
        return 0
    results: dict[str, Any] = {"command": ["python", "-m", "benchmarks", *sys.argv[1:]], "groups": {}}
    failed = []
    for name in chosen:
        print(f"== {name}: {GROUPS[name].summary}\n", flush=True)
        found = _in_child(name, arguments)
        if found is None:
            failed.append(name)
            continue
        results["environment"] = found["environment"]
        results["groups"][name] = found["cases"]
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _show(case: Any) -> dict[str, Any]:
    print(text(case) + "\n", flush=True)
    return as_dict(case)


def _in_child(name: str, arguments: argparse.Namespace) -> dict[str, Any] | None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "measured.json"
        command = [sys.executable, "-m", "benchmarks", name, "--child", "--json", str(file)]
        command += ["--rounds", str(arguments.rounds), "--only", arguments.only]
        if arguments.seconds is not None:
            command += ["--seconds", str(arguments.seconds)]
        environment = {"GOMP_SPINCOUNT": "0", "KD_NO_REPORT": "1", **os.environ}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # bytecode is what an installed package has
        if subprocess.run(command, env=environment, check=False).returncode:  # noqa: S603
            return None
        found: dict[str, Any] = json.loads(file.read_text())
        return found


def _environment() -> dict[str, Any]:
    from benchmarks.device import device
    from kdcore.plugins import get_plugins
    from kdcore.run.environment import environment

    return {**environment(get_plugins(), device(), 1, Path(__file__).parent), "cpus": os.cpu_count()}


if __name__ == "__main__":
    sys.exit(main())
