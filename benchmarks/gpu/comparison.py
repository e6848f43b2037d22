"""What a student gains if few images have a label: on CIFAR-10 where it is installed, otherwise on the digits."""

from __future__ import annotations

import json
import runpy
import shutil
from functools import partial
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.gpu.parts import Items, Turn

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
CIFAR, DIGITS = EXAMPLES / "cifar10" / "few-labels", EXAMPLES / "few-labels"
NEEDED = ("kd-cifar-models", "kd-efficientnet-lite")
SEEDS = 10


def items(small: bool) -> Items:
    """As many seeds as fit, each with all methods; those before it are not trained again."""
    what = "digits" if small or missing() else "CIFAR-10"
    count = 1 if small else SEEDS
    return {f"{what}, seed {seed}": partial(_until, what, seed) for seed in range(count)}


def missing() -> list[str]:
    """What the comparison on CIFAR-10 lacks here."""
    found = [] if (CIFAR.parent / "data" / "train").is_dir() else ["examples/cifar10/data"]
    for name in NEEDED:
        try:
            distribution(name)
        except PackageNotFoundError:
            found.append(name)
    return found


def _until(what: str, seed: int, turn: Turn) -> dict[str, Any]:
    """All methods with the seeds up to this one.

    Raises:
        RuntimeError: a run failed.
    """
    from kd_compare import compare

    file = _prepared(what, turn)
    changes = ["train.epochs=1", "data.eval_samples=20"] if turn.small else []
    result = compare(file, seeds=seed + 1, overrides=changes, output=turn.folder / "runs", jobs=1, quiet=True)
    failed = [f"{run.method}, seed {run.seed}: {run.error}" for run in result.runs if run.error is not None]
    if failed:
        raise RuntimeError("\n".join(failed))
    return {
        "runs": [
            {
                "method": run.method,
                "seed": run.seed,
                "epochs": run.epochs,
                "top1": run.top1 if run.test_top1 is None else run.test_top1,
                "images_per_second": run.images_per_second,
                "seconds": run.wall_seconds,
            }
            for run in result.runs
        ],
        "missing": missing() if what == "digits" else [],
    }


def _prepared(what: str, turn: Turn) -> Path:
    """The comparison's file; its tables of images are written first."""
    if what == "CIFAR-10":
        if not (CIFAR / "all-500.csv").exists():
            runpy.run_path(str(CIFAR / "tables.py"))["main"](CIFAR.parent / "data", CIFAR)
        return CIFAR / "500.yaml"
    folder = turn.folder / "few-labels"
    if not (folder / "compare.toml").exists():
        folder.mkdir(exist_ok=True)
        runpy.run_path(str(DIGITS / "images.py"))["write"](folder)
        for name in ("student.json", "teacher.json"):
            _copy(DIGITS / name, folder / name, turn)
        shutil.copy(DIGITS / "compare.toml", folder)  # last: it says that all is there
    return folder / "compare.toml"


def _copy(source: Path, target: Path, turn: Turn) -> None:
    """A spec whose runs are among the part's files; small: of one epoch."""
    spec = json.loads(source.read_text("utf-8"))
    spec["output"] = str(turn.folder / "runs")
    if turn.small:
        spec["train"]["epochs"] = 1
    target.write_text(json.dumps(spec, indent=2), "utf-8")
