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
    try:
        with log.open("rb") as file:
            file.seek(start)
            text = file.read().decode("utf-8", "replace")
    except OSError:
        text = ""
    said = text.rpartition("error: ")[2].strip() if "error: " in text else ""
    said = " ".join(said.split()) or f"exit code {code}"
    return said if len(said) <= _LONGEST else said[: _LONGEST - 3] + "..."


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
