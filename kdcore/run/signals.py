"""Ctrl-C, SIGTERM and SIGHUP stop a run after the current step; a second Ctrl-C ends it at once."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_HANGUP = (signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()  # Windows does not have it


class StopRequest:
    """Whether the run was asked to stop, and by which signal."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    @property
    def exit_code(self) -> int:
        """130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP (a closed terminal)."""
        return 128 + int(self.signal or signal.SIGINT)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self.signal is not None and number == signal.SIGINT:
            os._exit(130)  # the second request: no checkpoint, no clean-up
        self.signal = signal.Signals(number)


@contextlib.contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Catch SIGINT, SIGTERM and SIGHUP. Outside the main thread, Python allows no handlers, so nothing is caught.

    A signal that is already ignored stays ignored: `nohup kd run` continues when its terminal is closed.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    numbers = [
        number
        for number in (signal.SIGINT, signal.SIGTERM, *_HANGUP)
        if number not in _HANGUP or signal.getsignal(number) != signal.SIG_IGN
    ]
    before = [signal.signal(number, request._handle) for number in numbers]
    try:
        yield request
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
