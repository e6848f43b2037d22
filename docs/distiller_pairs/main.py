"""The command: which runs are made, and what is written."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch

from distiller_pairs.page import page
from distiller_pairs.specs import PAIRS
from distiller_pairs.train import train
from kdcore import DistillerEntry
from kdcore.plugin import get_plugins

if TYPE_CHECKING:
    from collections.abc import Sequence

DOCS: Final = Path(__file__).parents[1]
PACKAGES: Final = ("timm", "torch", "kdcore", "kd-classic", "kd-feature", "kd-ofa")

Data = dict[str, Any]


def main(arguments: Sequence[str]) -> int:
    """Make the runs that are missing and write both files; the exit code is 1 if one failed."""
    parser = argparse.ArgumentParser(
        prog="docs/pairs.py",
        description="Train every distiller for two epochs on five pairs of models. Writes docs/pairs.json and "
        "docs/pairs.md. Nothing is downloaded. An interrupted run goes on when it is called again.",
    )
    parser.add_argument("--methods", metavar="NAME,...", help="only these again; the others' results stay")
    parser.add_argument("--pair", type=int, metavar="N", help="only this pair, from 1")
    parser.add_argument("--fresh", action="store_true", help="make all runs again")
    parser.add_argument("--page", action="store_true", help="only write pairs.md again from pairs.json")
    parser.add_argument("--output", type=Path, default=DOCS, metavar="DIR", help="instead of docs/")
    given = parser.parse_args(arguments)
    target = given.output / "pairs.json"
    data: Data = json.loads(target.read_text("utf-8")) if target.exists() else {"runs": {}}
    if not given.page:
        data = _run(data, given, target)
    (given.output / "pairs.md").write_text(page(data), encoding="utf-8")
    failed = [(name, title) for name, title, record in _records(data) if record["status"] == "failed"]
    for name, title in failed:
        print(f"failed: {name}, {title}: {data['runs'][name][title]['reason']}", file=sys.stderr)
    return 1 if failed else 0


def versions() -> dict[str, str]:
    """What the results depend on."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {"python": python, **{name: version(name) for name in PACKAGES}}


def _run(data: Data, given: argparse.Namespace, target: Path) -> Data:
    os.environ.setdefault("KD_NO_REPORT", "1")
    os.fsync = lambda handle: None  # the runs are thrown away
    torch.set_num_threads(1)
    names = None if given.methods is None else given.methods.split(",")
    again = given.fresh or names is not None
    data = {"versions": versions(), "runs": data["runs"]}
    pairs = PAIRS if given.pair is None else PAIRS[given.pair - 1 : given.pair]
    for provided in get_plugins().all(DistillerEntry):
        name = provided.entry.name
        for pair in pairs:
            known = data["runs"].setdefault(name, {})
            if (names is not None and name not in names) or (pair.title in known and not again):
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                known[pair.title] = record = train(provided.entry, pair)
            print(name, pair.title, record, file=sys.stderr, flush=True)
            _write(target, data)
    return data


def _records(data: Data) -> list[tuple[str, str, Data]]:
    return [(name, title, record) for name, runs in data["runs"].items() for title, record in runs.items()]


def _write(path: Path, data: Data) -> None:
    """As JSON with a line for each record."""
    blocks = []
    for name in sorted(data["runs"]):
        rows = ",\n".join(
            f"  {json.dumps(title)}: {json.dumps(one)}" for title, one in data["runs"][name].items()
        )
        blocks.append(f"{json.dumps(name)}: {{\n{rows}\n}}")
    text = f'{{\n"versions": {json.dumps(data["versions"])},\n"runs": {{\n' + ",\n".join(blocks) + "\n}\n}\n"
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
