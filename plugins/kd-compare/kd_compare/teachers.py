"""The teachers of a comparison or a tuning are trained before its runs, each once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kd_compare.run_job import run_job
from kdcore import JobEnd, RunFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from kd_compare.handles import Handles
    from kd_compare.jobs import Jobs
    from kdcore.inspect import LoadedSpec
    from kdcore.plugin import StopRequest


def train_teachers(
    teachers: Sequence[LoadedSpec],
    folder: Path,
    jobs: Jobs,
    handles: Handles,
    note: Callable[[str], None],
    stop: StopRequest,
) -> JobEnd | None:
    """Train those that are not finished; returns early after a request to stop.

    Returns:
        The end of a teacher that is trained later; then nothing else can be trained now.

    Raises:
        RunFailed: a teacher's run failed, or ended without a result.
    """
    for teacher in teachers:
        name = teacher.spec.name
        if _is_trained(teacher):
            handles.forget(f"teacher-{name}")
            continue
        note(f"teacher: training '{name}' first")
        job = run_job(folder, f"teacher-{name}", teacher, alone=True)
        ends = list[JobEnd]()
        jobs.run([job], ends.append)
        if ends and ends[0].later is not None:
            return ends[0]
        if _is_trained(teacher):
            continue
        reason = ends[0].reason if ends else None
        if reason is None and stop.signal is not None:
            return None
        reason = reason or "it ended without a result"
        raise RunFailed(f"the teacher '{name}' failed: {reason}; its output is in {job.log}")
    return None


def _is_trained(teacher: LoadedSpec) -> bool:
    directory = teacher.directory
    return directory.finished and directory.epochs_wanted == teacher.spec.train.epochs
