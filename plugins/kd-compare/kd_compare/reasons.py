"""Why a run failed, from its exit code and its log."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_LONGEST: Final = 400  # characters that are shown


def reason_of(code: int, log: Path, start: int) -> str:
    """The signal that ended the run, or the last error in its log from the position `start` on."""
    if code < 0:
        return f"killed by {_signal(-code)}" + (" (out of memory?)" if -code == signal.SIGKILL else "")
    return last_error(log, start) or f"exit code {code}"


def last_error(log: Path, start: int) -> str | None:
    """The last error in a log from the position `start` on."""
    try:
        with log.open("rb") as file:
            file.seek(start)
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return None
    said = " ".join(text.rpartition("error: ")[2].split()) if "error: " in text else ""
    if len(said) > _LONGEST:
        said = said[: _LONGEST - 3] + "..."
    return said or None


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
