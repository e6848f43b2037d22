"""`python -m benchmarks gpu`: everything that only an accelerator can show, in a given time and in one file."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from benchmarks.gpu.files import read_json, write_json
from benchmarks.gpu.machine import machine
from benchmarks.gpu.parts import PARTS
from benchmarks.gpu.runner import Runner

_START = 30.0
"""Below this number of seconds a part cannot even import torch."""


def main(arguments: list[str]) -> int:
    """Run the parts that are not done; 0 if all are done, 1 if some are not, 2 for a wrong call."""
    began = time.time()
    parser = _parser()
    given = parser.parse_args(arguments)
    known = [part.name for part in PARTS]
    unknown = [name for name in (*given.parts, *given.again) if name not in known]
    if unknown:
        parser.error(f"there is no part {unknown[0]!r}; there are {', '.join(known)}")
    if given.minutes * 60 < _START:
        parser.error(f"--minutes is {given.minutes:g}; it must be at least {_START / 60:g}")
    record = _record(given, parser)
    for name in given.again:
        record["parts"].pop(name, None)
    parts = [part for part in PARTS if not given.parts or part.name in given.parts]
    write_json(given.json, record)  # a file that cannot be written is found now
    signal.signal(signal.SIGTERM, _interrupted)
    runner = Runner(given.json, record, small=given.small, say=_say)
    try:
        runner.run(parts, 60 * given.minutes - (time.time() - began))
    except KeyboardInterrupt:
        print(f"stopped; the same command continues from {given.json}", file=sys.stderr)
        return 130
    finally:
        record["seconds"] = round(record["seconds"] + time.time() - began, 1)
        write_json(given.json, record)
    left = [part.name for part in parts if runner.status(part.name) != "done"]
    if left:
        _say(f"not done: {', '.join(left)}; the same command continues with them")
    return 1 if left else 0


def _parser() -> argparse.ArgumentParser:
    listed = "; ".join(f"{part.name}: {part.summary}" for part in PARTS)
    parser = argparse.ArgumentParser(prog="python -m benchmarks gpu", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"by default all. {listed}")
    parser.add_argument("--minutes", type=float, default=10.0, help="the whole command takes no longer")
    parser.add_argument(
        "--json",
        type=Path,
        default=Path("gpu.json"),
        metavar="FILE",
        help="results; with an existing file, done parts are skipped, and failed or cut ones are tried again",
    )
    parser.add_argument(
        "--again", action="append", default=[], metavar="PART", help="forget this part's results first"
    )
    parser.add_argument("--small", action="store_true", help="only show that the parts work, on any machine")
    return parser


def _record(given: argparse.Namespace, parser: argparse.ArgumentParser) -> dict[str, Any]:
    """The results so far, or new ones; another machine's are an error."""
    if not given.json.resolve().parent.is_dir():
        parser.error(f"--json {given.json.parent}: there is no such folder")
    try:
        found = read_json(given.json)
    except ValueError as error:
        parser.error(f"{given.json} is not JSON: {error}")
    if found is not None and not {"parts", "environment", "small"} <= set(found):
        parser.error(f"{given.json} has no results of this command: name another file")
    about = machine()
    if about["device"]["type"] == "cpu" and not given.small:
        parser.error("torch finds no accelerator; --small shows on the processor that the parts work")
    if found is None:
        command = ["python", "-m", "benchmarks", "gpu", "--minutes", f"{given.minutes:g}"]
        return {"command": command, "environment": about, "small": given.small, "seconds": 0.0, "parts": {}}
    for what, then, now in (
        ("device", found["environment"]["device"], about["device"]),
        ("torch", found["environment"]["packages"]["torch"], about["packages"]["torch"]),
        ("--small", found["small"], given.small),
    ):
        if then != now:
            parser.error(f"{given.json} has {what} {then}, and here it is {now}: name another file")
    record: dict[str, Any] = found
    return record


def _say(text: str) -> None:
    print(text, flush=True)


def _interrupted(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt
