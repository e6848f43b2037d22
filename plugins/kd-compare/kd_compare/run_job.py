"""The job of one run: `kd run` on the spec that the comparison or the tuning wrote."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kd_report.switch import NO_REPORT

from kd_compare.planned_run import spec_path
from kdcore import LaunchJob

if TYPE_CHECKING:
    from kdcore.inspect import LoadedSpec


def run_job(
    folder: Path, name: str, loaded: LoadedSpec, until: int | None = None, *, alone: bool = False
) -> LaunchJob:
    """The job that trains a run.

    Args:
        folder: of the comparison or the tuning, with the run's spec.
        name: of the run.
        loaded: its spec.
        until: the epoch after which it pauses; None: it is trained to its end.
        alone: no other job runs at the same time.
    """
    pause = () if until is None else ("--until", str(until))
    return LaunchJob(
        name,
        ("run", str(spec_path(folder, name)), *pause),
        folder=Path.cwd(),
        directory=loaded.directory.path,
        log=log_path(folder, name),
        # a report for each of many runs is more than anybody reads: kd report RUN makes one
        environment={NO_REPORT: "1"},
        cpus=1 + (loaded.spec.data.workers or 0),
        alone=alone,
    )


def log_path(folder: Path, name: str) -> Path:
    """The file with the output of a run."""
    return folder / "logs" / f"{name}.log"
