"""Undo the changes that importing a plugin may have made to this process."""

from __future__ import annotations

import contextlib
import locale
import os
import signal
import sys
import threading
import warnings
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_STARTED = WeakSet[threading.Thread]()


def started_by_plugins(thread: threading.Thread) -> bool:
    """Whether this thread was started while a plugin was imported: kd never waits for such a thread."""
    return thread in _STARTED


@contextlib.contextmanager
def process_restored() -> Iterator[None]:
    """Restore what belongs to the process and not to one plugin.

    Restored are: the current folder, the search path of modules (new entries move to its end, so that they hide
    nothing), standard streams, arguments, error hooks, signal handlers and the locale.
    """
    before = list(_state())
    path, threads = list(sys.path), set(threading.enumerate())
    try:
        yield
    finally:
        for put_back in before:
            with contextlib.suppress(Exception):  # the folder may be gone, the handler may not be Python's
                put_back()
        sys.path[:] = [*path, *(entry for entry in sys.path if entry not in path)]
        _STARTED.update(set(threading.enumerate()) - threads)


def _state() -> Iterator[Callable[[], Any]]:
    with contextlib.suppress(OSError):  # the current folder may be gone
        folder = os.getcwd()  # noqa: PTH109  # text, as it goes back
        yield lambda: os.chdir(folder)
    for name in ("argv", "stdin", "stdout", "stderr", "excepthook", "displayhook"):
        yield _attribute(sys, name)
    yield _locale()
    yield _attribute(warnings, "showwarning")
    if threading.current_thread() is threading.main_thread():
        for number in (
            signal.SIGINT,
            signal.SIGTERM,
            *_of_this_system("SIGHUP", "SIGPIPE", "SIGCHLD", "SIGALRM"),
        ):
            yield _handler(number)


def _attribute(owner: Any, name: str) -> Callable[[], None]:
    value = getattr(owner, name)
    return lambda: setattr(owner, name, value)


def _locale() -> Callable[[], object]:
    found = locale.setlocale(locale.LC_ALL)
    return lambda: locale.setlocale(locale.LC_ALL, found)


def _of_this_system(*names: str) -> list[signal.Signals]:
    return [getattr(signal, name) for name in names if hasattr(signal, name)]


def _handler(number: signal.Signals) -> Callable[[], object]:
    handler = signal.getsignal(number)
    return lambda: signal.signal(number, handler) if signal.getsignal(number) is not handler else None
