"""Whether a run makes a report by itself. Imports nothing heavy: every command asks the plugins, few make a report."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from kdcore.rundir.directory import RunDirectory

NO_REPORT: Final = "KD_NO_REPORT"
"""Set to 1, no run makes a report by itself, whatever its spec says: for tests and for sweeps."""


def report_wanted(run: RunDirectory) -> bool:
    """Whether this run makes a report at its end."""
    return os.environ.get(NO_REPORT, "") in ("", "0") and run.spec().get("report") is not False
