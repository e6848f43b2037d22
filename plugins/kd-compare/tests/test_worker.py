"""How a run whose comparison is gone is asked to stop."""

from __future__ import annotations

import os
import signal

import pytest
from kd_compare import worker


@pytest.mark.parametrize("windows", [False, True])
def test_a_run_that_is_asked_to_stop_handles_sigterm(windows: bool, monkeypatch: pytest.MonkeyPatch):
    """On Windows, os.kill would end the process before it writes a checkpoint."""
    monkeypatch.setattr(worker, "_WINDOWS", windows)
    if windows:
        monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("os.kill was called"))
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: seen.append(number))
    try:
        worker.ask_to_stop()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == [signal.SIGTERM]


def test_on_windows_a_run_that_is_still_importing_ends_as_stopped(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(worker, "_WINDOWS", True)
    monkeypatch.setattr(signal, "getsignal", lambda number: signal.SIG_DFL)
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    worker.ask_to_stop()
    assert codes == [143]
