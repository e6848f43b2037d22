"""The end of the process, which waits for no thread that a plugin left running."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import time
from concurrent.futures import thread as pools
from typing import Final

from kdcore.cli import output
from kdcore.plugins.restore import started_by_plugins

_SECONDS: Final = 10.0
"""How long threads have that nobody waited for, such as the last upload of a tracker."""


def leave_threads(code: int) -> None:
    """End the process with this exit code if a thread does not end; otherwise return.

    Python itself would wait for it without end and without a word. Threads that a plugin started when it was imported
    are not waited for at all.
    """
    _wake_pools()
    end = time.monotonic() + _SECONDS
    while (
        waiting := [thread for thread in _others() if not started_by_plugins(thread)]
    ) and time.monotonic() < end:
        waiting[0].join(min(0.1, max(end - time.monotonic(), 0.0)))
    if not _others():
        return
    names = ", ".join(repr(thread.name) for thread in waiting)
    if names:
        output.warn_all(
            [f"kd ends, though these threads still run: {names} (a plugin or library started them)"]
        )
    with contextlib.suppress(Exception):  # whatever an exit handler raises
        atexit._run_exitfuncs()
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    os._exit(code)


def _wake_pools() -> None:
    """Let the idle threads of pools end, as Python does when it ends: torch's compiler leaves such a pool.

    Python's own function would also wait for the threads that are not idle.
    """
    with pools._global_shutdown_lock:
        pools._shutdown = True
    for queue in list(pools._threads_queues.values()):
        queue.put(None)


def _others() -> list[threading.Thread]:
    main = threading.main_thread()
    return [
        thread
        for thread in threading.enumerate()
        if thread is not main and not thread.daemon and thread.is_alive()
    ]
