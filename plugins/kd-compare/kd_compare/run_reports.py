"""The reports of a comparison's runs: runs of a comparison make none by themselves."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kd_compare.planned_run import PlannedRun
    from kdcore.plugin import StopRequest


def without_report(runs: Sequence[PlannedRun]) -> list[PlannedRun]:
    """The finished runs that have no report."""
    return [run for run in runs if run.directory.finished and not run.directory.report.is_file()]


def make_reports(runs: Sequence[PlannedRun], stop: StopRequest, note: Callable[[str], None]) -> None:
    """Write the report of each finished run that has none, until somebody asks to stop.

    A report that cannot be made is a note: the comparison does not depend on it.
    """
    missing = without_report(runs)
    if not missing:
        return
    from kd_report import report  # imports torch

    for number, run in enumerate(missing, 1):
        if stop.signal is not None:
            return
        path = run.directory.path
        who = f"report {number}/{len(missing)}  {run.label}, seed {run.seed}"
        try:
            made = report(path)
        except Exception as error:  # also one of a plugin's section
            reason = f"{type(error).__name__}: {error}"
            note(f"{who}: it could not be made ({reason}); 'kd report {quote(str(path))}' tries again")
        else:
            note(f"{who}: {made.path}")
