"""Whether a run makes a report by itself. Imports nothing heavy: every command asks the plugins, few make a report."""

from __future__ import annotations

import os
from typing import Final

NO_REPORT: Final = "KD_NO_REPORT"
"""Set to 1, no run makes a report by itself, whatever its spec says: for tests and for sweeps."""


def reports_are_on() -> bool:
    """Whether the environment lets runs make their reports."""
    return os.environ.get(NO_REPORT, "") in ("", "0")
