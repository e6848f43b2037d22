"""The report at the end of a run."""

from __future__ import annotations

import time
from shlex import quote
from typing import TYPE_CHECKING, Final

from kd_report.reports.collect import LEFT_OUT
from kd_report.reports.report import most_images, write_report
from kdcore import RunFailed, open_run
from kdcore.plugin import get_plugins

if TYPE_CHECKING:
    from kdcore import RunDirectory

_LONG: Final = 120.0  # seconds of a run compared with which those of t-SNE are few


def report_at_the_end(run: RunDirectory) -> str:
    """Write the report of a finished run; returns lines with its place.

    Raises:
        RunFailed: it could not be made.
    """
    started = time.monotonic()
    try:
        plugins = get_plugins()
        opened = open_run(run.path, most=most_images(run.spec()), plugins=plugins)
        seconds = (run.summary() or {}).get("wall_seconds") or 0.0
        result = write_report(run, opened, plugins=plugins, tsne=seconds > _LONG)
    except Exception as error:
        raise RunFailed(
            f"report: it could not be made ({type(error).__name__}: {error}); "
            f"'kd report {quote(str(run.path))}' tries again"
        ) from error
    notes = [note for note in result.notes if "matplotlib" in note or note.startswith(LEFT_OUT)]
    lines = [*notes, f"{result.path} ({time.monotonic() - started:.1f} s)"]
    return "\n".join(f"report   {line}" for line in lines)
