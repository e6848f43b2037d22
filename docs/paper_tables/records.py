"""Records of finished runs: which row a run belongs to, whether its spec is that row's, and what it reached."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from kdcore import Problem, RunDirectory, UserError
from kdcore.inspect import resolved_dict, spec_changes
from kdcore.plugin import listed, nearest, write_text
from paper_tables.published import load_row

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from paper_tables.published import Pair

Data = dict[str, Any]

_RUN: Final = re.compile(r"(?P<label>.+)-seed(?P<seed>\d+)")
# the same row with another seed, or with the images in another place
_FREE: Final = frozenset({"seed", "teacher.run", "data.dataset", "data.root"})
# changes speed and rounding: the page says it
_NOTED: Final = frozenset({"train.precision", "train.compile", "train.channels_last"})


def find_runs(paths: Iterable[Path]) -> list[Path]:
    """The run directories that are given, or in the folders of comparisons that are given.

    Raises:
        UserError: a folder has none.
    """
    found: list[Path] = []
    for path in paths:
        inside = [one.parent for one in sorted(path.glob("**/runs/*/summary.json"))]
        if (path / "summary.json").is_file():
            inside = [path]
        if not inside:
            hint = "give folders of comparisons, such as runs/papers/compare-cifar100-resnet56-to-resnet20"
            raise UserError(Problem(str(path), "there is no run of a comparison in this folder", hint=hint))
        found += inside
    return list(dict.fromkeys(path.resolve() for path in found))


def record(path: Path, pairs: Mapping[str, Pair]) -> tuple[str, str, str, Data] | None:
    """Pair, label, seed and record of a run; None: it is not finished.

    Raises:
        UserError: it is not a run of these tables, or its spec is another one.
    """
    directory = RunDirectory(path)
    summary = directory.summary()
    pair, label, seed = _row_of(path, pairs)
    if summary is None or summary["status"] != "finished":
        return None
    expected = resolved_dict(load_row(pair, label))
    wanted = expected["train"]["epochs"]
    changes = spec_changes(expected, directory.spec())
    if summary["epochs"] != wanted and "train.epochs" not in {place for place, _, _ in changes}:
        changes.append(("train.epochs", wanted, summary["epochs"]))
    if wrong := [change for change in changes if change[0] not in _FREE | _NOTED]:
        raise UserError(
            Problem(f"{path}: {place}", f"the table's spec has {there!r}, this run has {here!r}")
            for place, there, here in wrong
        )
    changed = {place: here for place, _, here in changes if place in _NOTED}
    return pair.name, label, seed, _result(path, summary, changed)


def read_records(path: Path) -> Data:
    """The stored records: by pair, method and seed."""
    return dict(json.loads(path.read_text("utf-8"))) if path.exists() else {}


def write_records(path: Path, records: Data) -> None:
    """Store records as JSON with a line for each run."""
    blocks = []
    for pair in sorted(records):
        lines = [
            f"  {json.dumps(label)}: {{\n"
            + ",\n".join(
                f"    {json.dumps(seed)}: {json.dumps(runs[seed])}" for seed in sorted(runs, key=int)
            )
            + "\n  }"
            for label, runs in sorted(records[pair].items())
        ]
        blocks.append(f"{json.dumps(pair)}: {{\n" + ",\n".join(lines) + "\n}")
    write_text(path, "{\n" + ",\n".join(blocks) + "\n}\n" if blocks else "{}\n")


def _row_of(path: Path, pairs: Mapping[str, Pair]) -> tuple[Pair, str, str]:
    name, match = path.parent.parent.name, _RUN.fullmatch(path.name)
    if match is None or name not in pairs:
        message = "this is not a run of a comparison of examples/papers"
        raise UserError(Problem(str(path), message, name, listed(pairs), nearest(name, pairs)))
    pair, label = pairs[name], match["label"]
    if label not in pair.rows:
        message = "the tables have no row for this method"
        raise UserError(Problem(str(path), message, label, listed(pair.rows), nearest(label, pair.rows)))
    return pair, label, match["seed"]


def _result(path: Path, summary: Data, changed: Data) -> Data:
    environment = json.loads((path / "environment.json").read_text("utf-8"))
    student, teacher = summary["student"], summary["teacher"] or {}
    return {
        "top1": round(student["top1"], 3),
        "best_top1": round(student["best_top1"], 3),
        "teacher_top1": None if teacher.get("top1") is None else round(teacher["top1"], 3),
        "epochs": summary["epochs"],
        "wall_seconds": round(summary["wall_seconds"]),
        "device": environment["device"].get("name"),
        "processes": environment["processes"],
        "kdcore": environment["kdcore"],
        "torch": environment["packages"].get("torch"),
        "changed": changed,
    }
