"""`python killed_tuning.py FOLDER`: a tuning that is killed at random moments, and one that is not.

It prints the trials of both as JSON, and when it killed. The processes are forked from this one after the imports,
and train in themselves: SIGKILL hits whatever is done then, a step, a checkpoint or a write of the study.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from kd_compare.fork_server import PRELOADED
from kd_compare.tuning import tune as module
from kd_compare.tuning.storage import open_storage

from kdcore import JobEnd, LaunchJob
from kdcore.cli import main

KILLS = int(os.environ.get("KD_TEST_KILLS", "1"))
NARROW = {"model": "resnet10t", "options": {"channels": [8, 8, 16, 16]}}
DATA = {"dataset": "digits", "image_size": 16, "train_samples": 20, "eval_samples": 20, "workers": 0}
SPEC = {
    "name": "base",
    "data": DATA,
    "student": NARROW,
    "distiller": "vanilla",
    "train": {"epochs": 2, "batch_size": 10},
}


class InThisProcess:
    """Trains a run when it is started."""

    name = "here"

    def __init__(self) -> None:
        self._ends: list[JobEnd] = []

    def start(self, job: LaunchJob) -> str:
        """Train it."""
        code: Any = 0
        os.environ.update(job.environment)
        try:
            main(job.arguments)
        except SystemExit as ended:
            code = ended.code
        self._ends.append(JobEnd(job.name, int(code or 0)))
        return job.name

    def attach(self, job: LaunchJob, handle: str) -> bool:
        """None."""
        return False

    def ended(self) -> list[JobEnd]:
        """Those that were trained."""
        found, self._ends = self._ends, []
        return found

    def stop(self, names: Any) -> None:
        """Nothing."""


def tune(spec: Path, output: Path) -> None:
    """The tuning, or the rest of it."""
    module.find_launcher = lambda *_: lambda setup: InThisProcess()  # type: ignore[assignment]
    module.tune(
        spec,
        search=["optimizer.lr=log(1e-3..1)", "optimizer.momentum=0.5..0.99"],
        trials=int(os.environ.get("KD_TEST_TRIALS", "2")),
        final_seeds=0,
        output=output,
        quiet=True,
    )


def forked(spec: Path, output: Path, seconds: float | None = None) -> bool:
    """Tune in a process that is killed after these seconds; whether it came to its end before."""
    child = os.fork()
    if child == 0:
        try:
            tune(spec, output)
        except BaseException:
            os._exit(1)
        os._exit(0)
    until = None if seconds is None else time.monotonic() + seconds
    while until is None or time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            assert status == 0, status
            return True
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def trials(output: Path) -> list[Any]:
    """Values and scores, unrounded."""
    found = json.loads((output / "tune-base" / "tuning.json").read_text())["trials"]
    return [
        [one[name] for name in ("number", "status", "values", "score", "scores", "after")] for one in found
    ]


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    path = folder / "base.json"
    path.write_text(json.dumps(SPEC))
    open_storage("sqlite", folder)
    for name in (*PRELOADED, "kdcore.run.preflight", "sklearn.datasets", "kd_report.page"):
        import_module(name)
    begun = time.monotonic()
    forked(path, folder / "whole")
    whole = time.monotonic() - begun
    rng = random.Random(3)
    moments = []
    while len(moments) < KILLS:
        moment = rng.uniform(0.2, 0.7) * whole
        if forked(path, folder / "killed", moment):
            break
        moments.append(moment / whole)
    forked(path, folder / "killed")
    print(
        json.dumps({"whole": trials(folder / "whole"), "killed": trials(folder / "killed"), "kills": moments})
    )
