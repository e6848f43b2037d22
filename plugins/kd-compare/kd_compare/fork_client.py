"""The launcher's side of its fork server: runs that are forked from a process which has imported torch and timm."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import weakref
from typing import TYPE_CHECKING, Final

from kd_compare.fork_messages import RunEnded, RunRefused, RunStarted, StartRun, receive, send
from kd_compare.run_process import RunProcess
from kdcore import JobEnd

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from kdcore import LaunchJob

SERVER: Final = (sys.executable, "-m", "kd_compare.fork_server")
_LOST: Final = "the process that started it is gone"


def can_fork() -> bool:
    """Whether this system can: on macOS, libraries do not survive a fork, and Windows has none."""
    return sys.platform == "linux"


class ForkedRun:
    """A run forked by the server, or a process of its own if the server cannot fork."""

    def __init__(self, server: ForkServerClient, job: LaunchJob, devices: Mapping[str, str]) -> None:
        self.job = job
        self.started = False
        self.end: JobEnd | None = None
        self._server = server
        self._devices = devices
        self._process: RunProcess | None = None
        job.log.parent.mkdir(parents=True, exist_ok=True)
        reader, writer = os.pipe()
        self._stdin = os.fdopen(writer, "wb")
        weakref.finalize(self, self._stdin.close)
        with os.fdopen(reader, "rb") as stdin, job.log.open("ab") as log:
            request = StartRun(job.name, job.arguments, str(job.folder), dict(devices))
            server.send(request, (stdin.fileno(), log.fileno()))

    @property
    def handle(self) -> str:
        """A text for a later call, which cannot take it over."""
        return f"forked by {self._server.number}"

    def ended(self) -> JobEnd | None:
        """Its end; None while it runs."""
        if self._process is not None:
            return self._process.ended()
        self._server.read()
        if self.end is not None:
            self.ask()
        return self.end

    def ask(self) -> None:
        """Close its standard input: its worker stops the run then."""
        if self._process is not None:
            self._process.ask()
        else:
            self._stdin.close()

    def start_alone(self) -> None:
        """Start it as a process of its own, unless it was asked to stop before it started."""
        asked = self._stdin.closed
        self.ask()
        self._process = RunProcess(self.job, {**self._server.environment, **self._devices})
        if asked:
            self._process.ask()


class ForkServerClient:
    """Starts the server, which ends with this object.

    Args:
        environment: all variables of the server, and of its runs.
        log: the file that the server's own output is added to.
    """

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self.environment = environment
        self._runs = weakref.WeakValueDictionary[str, ForkedRun]()  # no cycle: runs end with their launcher
        self._connection, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        log.parent.mkdir(parents=True, exist_ok=True)
        # is_available() asks the driver's tool: the usual way would start CUDA, which does not survive a fork
        variables = {"PYTORCH_NVML_BASED_CUDA_CHECK": "1", **environment}
        with other, log.open("ab") as file:
            self._popen = subprocess.Popen(  # noqa: S603  # this Python, and arguments of our own
                [*SERVER, str(other.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=variables,
                pass_fds=[other.fileno()],
                start_new_session=True,
            )
        self.number = self._popen.pid
        weakref.finalize(self, _end, self._connection, self._popen)

    @property
    def gone(self) -> bool:
        """Whether the server has ended: it starts no more runs."""
        return self._popen.poll() is not None

    def start(self, job: LaunchJob, devices: Mapping[str, str]) -> ForkedRun:
        """Start a run with these variables in addition."""
        run = self._runs[job.name] = ForkedRun(self, job, devices)
        return run

    def send(self, request: StartRun, descriptors: tuple[int, int]) -> None:
        """Send a request; if the server is gone, `read` notices it."""
        with contextlib.suppress(OSError):
            send(self._connection, request, descriptors)

    def read(self) -> None:
        """Read what the server has said since."""
        while self._runs:
            try:
                received = receive(self._connection, wait=False)
            except BlockingIOError:
                return
            if received is None:
                self._lose()
                return
            self._note(received[0])

    def _note(self, message: object) -> None:
        match message:
            case RunStarted(name):
                self._runs[name].started = True
            case RunRefused(name):
                self._runs.pop(name).start_alone()
            case RunEnded(name, code):
                self._runs.pop(name).end = JobEnd(name, code)

    def _lose(self) -> None:
        """The server is gone: runs that it has not started become processes; nobody learns how the others end."""
        for run in list(self._runs.values()):
            if run.started:
                run.end = JobEnd(run.job.name, 1, _LOST)
            else:
                run.start_alone()
        self._runs.clear()


def _end(connection: socket.socket, popen: subprocess.Popen[bytes]) -> None:
    connection.close()
    popen.wait()
