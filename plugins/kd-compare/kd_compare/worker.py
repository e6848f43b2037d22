"""`python -m kd_compare.worker ARGUMENTS`: `kd ARGUMENTS`, which stops when the comparison's process is gone.

The comparison holds the other end of stdin. When it ends, however it ends, that is closed, and the run is asked to
stop: it writes a checkpoint. Without this, runs of a killed comparison would go on unseen and keep their directories
from the next call.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
from typing import Final

_WINDOWS: Final = sys.platform == "win32"
_STOPPED: Final = 143


def run_kd() -> None:
    """Run `kd` with the arguments in `sys.argv`, as `python -m kdcore` does; closing its stdin asks it to stop."""
    threading.Thread(target=_watch, daemon=True).start()
    runpy.run_module("kdcore", run_name="__main__", alter_sys=True)


def _watch() -> None:
    while os.read(0, 1):
        pass
    ask_to_stop()


def ask_to_stop() -> None:
    """Send this process SIGTERM, so that the run writes a checkpoint."""
    if not _WINDOWS:
        os.kill(os.getpid(), signal.SIGTERM)  # it also wakes the main thread where that waits for something
    elif signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        os._exit(_STOPPED)  # it was still importing
    else:
        signal.raise_signal(signal.SIGTERM)  # there, os.kill ends the process at once


if __name__ == "__main__":
    run_kd()
