"""Two processes with a gloo group: started when they are first needed, and kept until Python ends."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, Any, Final

from kd_dev.testing.check import Violation

_WORLD: Final = 2
SECONDS: Final = 180  # starting includes importing torch and timm twice
PROGRAM: Final = "from kd_dev.testing.worker import serve; serve()"


class Unreachable(Exception):
    """The processes cannot import the subject."""


def ask(job: dict[str, Any]) -> None:
    """Let both processes do a job.

    Raises:
        Unreachable: they cannot import it.
        Violation: one failed, or did not end.
    """
    workers = Workers.running or Workers()
    answers = workers.ask(job)
    unknown = [answer["unknown"] for answer in answers if "unknown" in answer]
    if unknown:
        raise Unreachable(unknown[0])
    failed = [answer["error"] for answer in answers if "error" in answer]
    if failed:
        workers.close()
        raise Violation(f"a process of two failed: {failed[0]}")


class Workers:
    """The processes; the answers come on their standard output, line by line."""

    running: Workers | None = None

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="kd-processes-")
        place = Path(self._folder.name)
        self._errors: list[IO[str]] = [(place / f"{rank}.log").open("w+") for rank in range(_WORLD)]
        self._processes = [
            subprocess.Popen(  # noqa: S603  # this Python
                [sys.executable, "-c", PROGRAM, str(rank), str(place / "rendezvous")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                # settings that tests turn on must not affect another Python process
                env={name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"},
            )
            for rank, errors in enumerate(self._errors)
        ]
        Workers.running = self
        atexit.register(self.close)

    def ask(self, job: dict[str, Any]) -> list[dict[str, str]]:
        """Let all processes work on a job; the answer of each."""
        line = json.dumps(job) + "\n"
        timer = threading.Timer(SECONDS, self._kill)
        timer.start()
        try:
            for process in self._processes:
                assert process.stdin is not None
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write(line)
                    process.stdin.flush()
            return [self._answer(rank) for rank in range(_WORLD)]
        finally:
            timer.cancel()

    def _answer(self, rank: int) -> dict[str, str]:
        stdout = self._processes[rank].stdout
        assert stdout is not None
        line = stdout.readline()
        if line:
            answer: dict[str, str] = json.loads(line)
            return answer
        self._errors[rank].seek(0)
        said = self._errors[rank].read().strip().splitlines() or [f"it did not end within {SECONDS} s"]
        return {"error": said[-1]}

    def _kill(self) -> None:
        for process in self._processes:
            process.kill()

    def close(self) -> None:
        """End the processes."""
        atexit.unregister(self.close)
        if Workers.running is self:
            Workers.running = None
        for process in self._processes:
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                with contextlib.suppress(OSError):
                    pipe.close()  # the processes end when their input ends
        for process in self._processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for errors in self._errors:
            errors.close()
        self._folder.cleanup()
