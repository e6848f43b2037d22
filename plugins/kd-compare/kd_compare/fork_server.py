"""`python -m kd_compare.fork_server DESCRIPTOR`: a process that has imported torch and timm, and forks for each run.

It starts no thread and touches no device, so a forked process is as good as a new one. What else the runs import, such
as the modules of a data set, it imports when the first run has ended that used it. It ends with its launcher.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import select
import signal
import socket
import sys
import tempfile
import threading
import warnings
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import IO, Final

from kd_compare.fork_messages import RunEnded, RunRefused, RunStarted, StartRun, receive, send
from kd_compare.worker import run_kd

PRELOADED: Final = ("torch", "torchvision", "timm", "accelerate", "kdcore.run.run")
_POLL: Final = 0.02  # seconds between two looks at the processes


@dataclass
class _Child:
    name: str
    imported: IO[str]  # the modules that it imported in addition, written when it ends


class ForkServer:
    """The server's loop.

    Args:
        connection: to the launcher.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._children: dict[int, _Child] = {}
        self._plugins = {
            entry.value.partition(":")[0].split(".")[0] for entry in entry_points(group="kdcore")
        }

    def serve(self) -> StartRun | None:
        """Fork for each request until the launcher is gone. In a forked process: its request; in the server: None."""
        while True:
            wait = _POLL if self._children else None
            ready, _, _ = select.select([self._connection], [], [], wait)
            self._collect()
            if not ready:
                continue
            received = receive(self._connection, wait=True)
            if received is None:
                return None
            request, descriptors = received
            assert isinstance(request, StartRun)
            if not can_fork():
                send(self._connection, RunRefused(request.name))
            elif self._fork(request, descriptors):
                return request
            for descriptor in descriptors:
                os.close(descriptor)

    def _fork(self, request: StartRun, descriptors: list[int]) -> bool:
        """Whether this is the forked process."""
        imported = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115  # read when the process has ended
        send(self._connection, RunStarted(request.name))
        gc.freeze()  # what is there now is not looked at again, so its memory stays shared
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            with warnings.catch_warnings():
                # about BLAS's threads, which it ends itself for a fork
                warnings.simplefilter("ignore", DeprecationWarning)
                number = os.fork()
        except OSError:  # no memory, or too many processes
            imported.close()
            send(self._connection, RunRefused(request.name))
            return False
        if number == 0:
            self._connection.close()
            become(request, descriptors)
            atexit.register(gc.unfreeze)  # the end of Python collects everything
            atexit.register(_write_imported, set(sys.modules), imported)
            return True
        self._children[number] = _Child(request.name, imported)
        return False

    def _collect(self) -> None:
        for number in list(self._children):
            ended, status = os.waitpid(number, os.WNOHANG)
            if not ended:
                continue
            child = self._children.pop(number)
            code = os.waitstatus_to_exitcode(status)
            send(self._connection, RunEnded(child.name, code))
            if code == 0:
                with contextlib.suppress(OSError, ValueError):  # the disk was full, so the list is cut off
                    self._learn(child.imported)
            child.imported.close()

    def _learn(self, imported: IO[str]) -> None:
        """Import what a run has imported. Modules of plugins are left to each run: kd watches their import."""
        imported.seek(0)
        for module in json.loads(imported.read() or "[]"):
            if module.split(".")[0] not in self._plugins and can_fork():
                preload(module)


def preload(module: str) -> None:
    """Import a module; an error is left to the run that needs the module."""
    if module not in sys.modules:
        with contextlib.suppress(Exception, SystemExit):
            import_module(module)


def can_fork() -> bool:
    """Whether a forked process is as good as a new one: torch is there, no other thread runs, no device is in use."""
    torch = sys.modules.get("torch")
    return torch is not None and threading.active_count() == 1 and not torch.cuda.is_initialized()


def become(request: StartRun, descriptors: list[int]) -> None:
    """Make this forked process what a new one is: its session, folder, streams, variables and arguments."""
    os.setsid()
    stdin, log = descriptors
    for source, target in ((stdin, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    for descriptor in descriptors:
        os.close(descriptor)
    os.chdir(request.folder)
    os.environ.update(request.environment)
    sys.argv[1:] = request.arguments
    sys.modules["numpy"].random.seed()  # like Python's own generator, another one in each process


def _write_imported(before: set[str], file: IO[str]) -> None:
    json.dump([name for name in list(sys.modules) if name not in before], file)
    file.flush()


def main() -> None:
    """Serve; in a forked process, run `kd`."""
    # some parents leave it ignored, and then no exit code is known
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        for module in PRELOADED:
            preload(module)
        gc.collect()
        request = ForkServer(connection).serve()
    if request is None:
        os._exit(0)  # the runs stop by themselves
    run_kd()


if __name__ == "__main__":
    main()
