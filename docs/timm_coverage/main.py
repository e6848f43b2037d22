"""The command: which models are tried, in which processes, and what is written."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor, as_completed
from fnmatch import fnmatch
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import timm
import torch

from timm_coverage.numbers import check_missing_numbers, check_numbers, representatives
from timm_coverage.page import page
from timm_coverage.paths import check_paths
from timm_coverage.shapes import check_missing, check_shapes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

DOCS: Final = Path(__file__).parents[1]
PACKAGES: Final = ("timm", "torch", "kdcore", "kd-feature", "kd-ofa")

Data = dict[str, Any]


def main(arguments: Sequence[str]) -> int:
    """Try the models and write both files; the exit code."""
    parser = argparse.ArgumentParser(
        prog="docs/coverage.py",
        description="Try every model of timm as student: all by shapes on the meta device, the smallest of each "
        "class with numbers on the CPU. Writes docs/coverage.json and docs/coverage.md. Nothing is downloaded. "
        "An interrupted run goes on when it is called again.",
    )
    parser.add_argument("--models", metavar="PATTERN", help="only these (`swin*`); the others' results stay")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: the cores)"
    )
    parser.add_argument("--page", action="store_true", help="only write coverage.md again from coverage.json")
    parser.add_argument("--output", type=Path, default=DOCS, metavar="DIR", help="instead of docs/")
    parser.add_argument(
        "--paths", action="store_true", help="only try every module path of these classes as a stage"
    )
    parser.add_argument(
        "--missing",
        metavar="PART,...",
        help="only complete records that lack these parts: embedding, hints, numbers (the hints of the classes)",
    )
    given = parser.parse_args(arguments)
    target, now = given.output / "coverage.json", versions()
    data = load(target)
    if given.page and not data:
        parser.error(f"there is no {target}; run it without --page")
    if given.paths:
        return try_paths(representatives(data["models"]), given.jobs)
    if given.missing:
        if data.get("versions") != now:
            parser.error(f"{target} is not of these versions: {now}; run it without --missing first")
        part = given.output / "missing.part"
        data = complete(data, given.missing.split(","), given.jobs, part, given.models or "*")
        write(target, data)
    elif not given.page:
        names = timm.list_models(given.models or "")
        if not names:
            parser.error(f"timm has no model that matches '{given.models}'")
        if given.models and data.get("versions") != now:
            parser.error(f"{target} is not of these versions: {now}; run it without --models first")
        if not given.models:
            data = {"versions": now, "models": {}, "classes": {}}
        data = run(data, names, given.jobs, given.output / "coverage.part")
        write(target, data)
    (given.output / "coverage.md").write_text(page(data), encoding="utf-8")
    return 0


def try_paths(names: Sequence[str], jobs: int) -> int:
    """Print what module paths as stages give; the exit code is 1 if one of them is wrong."""
    paths = overwritten = faults = 0
    for name, record in _results(check_paths, names, jobs):
        paths, overwritten = paths + record["paths"], overwritten + len(record["overwritten"])
        wrong = [*record["wrong"], *record["stages"]]
        faults += len(wrong)
        print(name, record["paths"], "paths,", len(record["overwritten"]), "overwritten; wrong:", wrong)
    print(f"{len(names)} models, {paths} paths, {overwritten} overwritten later in the pass, {faults} wrong")
    return 1 if faults else 0


def versions() -> dict[str, str]:
    """What the results depend on."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {"python": python, **{name: version(name) for name in PACKAGES}}


def run(data: Data, names: Sequence[str], jobs: int, part: Path) -> Data:
    """The data after these models were tried again. The file `part` keeps the results until all models are done."""
    done = _resume(part, {"versions": data["versions"], "names": list(names)})
    _complete("models", check_shapes, names, jobs, done["models"], part)
    models = {**data["models"], **done["models"]}
    smallest, known = representatives(models), {one["model"]: one for one in data["classes"].values()}
    wanted = [name for name in smallest if name in names or name not in known]
    _complete("classes", check_numbers, wanted, jobs, done["classes"], part)
    part.unlink()
    numbers = {**known, **done["classes"]}
    return {
        **data,
        "models": {name: models[name] for name in sorted(models)},
        "classes": {models[name]["class"]: numbers[name] for name in smallest if name in numbers},
    }


def complete(data: Data, parts: Sequence[str], jobs: int, part: Path, pattern: str) -> Data:
    """The data with these parts added to the records that lack them."""
    keys = {"embedding": ("embedding", "as_teacher"), "hints": ("hints",)}

    def lacks(record: Data) -> bool:
        wanted = [
            keys[name] for name in parts if name in keys and not ("excluded" in record and name == "hints")
        ]
        return any(not any(key in record for key in choices) for choices in wanted)

    known = data["models"]
    names = [name for name, record in known.items() if fnmatch(name, pattern) and lacks(record)]
    numbers = {one["model"]: one for one in data["classes"].values()}
    classes = [
        name
        for name in representatives(known)
        if "numbers" in parts and fnmatch(name, pattern) and "hints" not in numbers.get(name, {"hints": 0})
    ]
    done = _resume(part, {"versions": data["versions"], "parts": list(parts)})
    shapes = partial(check_missing, parts=[name for name in parts if name in keys])
    _complete("models", shapes, names, jobs, done["models"], part)
    _complete("classes", check_missing_numbers, classes, jobs, done["classes"], part)
    part.unlink()
    return {
        **data,
        "models": {name: {**record, **done["models"].get(name, {})} for name, record in known.items()},
        "classes": {
            cls: {**one, **done["classes"].get(one["model"], {})} for cls, one in data["classes"].items()
        },
    }


def _resume(part: Path, key: Data) -> dict[str, Data]:
    """The results of an interrupted run of the same models; otherwise `part` starts over."""
    done: dict[str, Data] = {"models": {}, "classes": {}}
    lines = part.read_text("utf-8").splitlines(keepends=True) if part.exists() else []
    first = f"{json.dumps(key)}\n"
    # a last line without its end was cut off while it was written
    whole = [first, *(line for line in lines[1:] if line.endswith("\n"))] if lines[:1] == [first] else [first]
    part.write_text("".join(whole), encoding="utf-8")
    for entry in map(json.loads, whole[1:]):
        done[entry["table"]][entry["name"]] = entry["record"]
    return done


def _complete(
    table: str, check: Callable[[str], Data], names: Sequence[str], jobs: int, done: Data, part: Path
) -> None:
    """Add the records of those names that are not done."""
    started, waiting = time.monotonic(), [name for name in names if name not in done]
    for count, (name, record) in enumerate(_results(check, waiting, jobs), 1):
        done[name] = record
        with part.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps({'table': table, 'name': name, 'record': record})}\n")
        told = f"{table} {count}/{len(waiting)}, {time.monotonic() - started:.0f} s: {name}"
        print(
            told, *(f"{key} {record[key]}" for key in ("failures", "lost") if key in record), file=sys.stderr
        )


def _results(check: Callable[[str], Data], names: Sequence[str], jobs: int) -> Iterator[tuple[str, Data]]:
    if jobs == 1:
        for name in names:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                record = check(name)
            yield name, record
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _prepare) as pool:
        futures = {pool.submit(check, name): name for name in names}
        for future in as_completed(futures):
            yield futures[future], future.result()


def _prepare() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")


def load(path: Path) -> Data:
    """The data of an earlier run; empty if there was none."""
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def write(path: Path, data: Data) -> None:
    """As JSON with a line for each record."""
    blocks = [f'"versions": {json.dumps(data["versions"])}']
    for table in ("models", "classes"):
        rows = ",\n".join(f"{json.dumps(name)}: {json.dumps(record)}" for name, record in data[table].items())
        blocks.append(f'"{table}": {{\n{rows}\n}}')
    path.write_text("{\n" + ",\n".join(blocks) + "\n}\n", encoding="utf-8")
