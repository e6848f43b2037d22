"""`python killed_tuning.py FOLDER`: a tuning that is killed at random moments, and one that is not.

It prints the trials of both as JSON, and when it killed. The processes are forked from this one after the imports,
and train in themselves: the kill hits whatever is done then, a step, a checkpoint or a write of the study.

A moment is a number of files that a tuning has opened to write, and a short time of its processor after that. So it
does not depend on what else the machine does.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import traceback
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


class Writes:
    """Counts the files of a folder that this process opens to write, and kills it after some of them.

    Args:
        folder: theirs.
        last: after this number, the process is killed; None: never.
        seconds: the processor time that it has after that. The signal of this timer has no handler, and so ends the
            process as SIGKILL does.
    """

    def __init__(self, folder: Path, last: int | None, seconds: float) -> None:
        self._folder, self._last, self._seconds = str(folder), last, seconds
        self.count = 0
        sys.addaudithook(self._heard)

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" or not str(arguments[0]).startswith(self._folder):
            return
        if arguments[2] & (os.O_WRONLY | os.O_RDWR):
            self.count += 1
            if self.count == self._last:
                signal.setitimer(signal.ITIMER_PROF, self._seconds)


def forked(spec: Path, output: Path, last: int | None = None, seconds: float = 0.0) -> int | None:
    """Tune in a process, and kill it as `Writes` says; the number of files it opened, None if it was killed."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            writes = Writes(output, last, seconds)
            tune(spec, output)
            os.write(write, str(writes.count).encode())
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        said = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == -signal.SIGPROF:
        return None
    assert code == 0, code
    return int(said)


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
    whole = forked(path, folder / "whole")
    assert whole is not None
    rng = random.Random(3)
    moments = []
    while len(moments) < KILLS:
        last = int(rng.uniform(0.2, 0.7) * whole)
        if forked(path, folder / "killed", last, rng.uniform(1e-3, 0.02)) is not None:
            break
        moments.append(last / whole)
    forked(path, folder / "killed")
    print(
        json.dumps({"whole": trials(folder / "whole"), "killed": trials(folder / "killed"), "kills": moments})
    )
