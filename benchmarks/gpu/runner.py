"""Runs the parts within a number of minutes and keeps what they found in one file, also if it is killed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.gpu.child import AGAIN
from benchmarks.gpu.files import read_json, write_json

if TYPE_CHECKING:
    from benchmarks.gpu.parts import Part

ROOT = Path(__file__).resolve().parents[2]
GRACE = 5.0
"""Seconds between the request to end and the end, at most: an interrupted run writes a checkpoint in it."""
_POLL = 0.1
_LOG = 2000

Say = Callable[[str], None]


class Runner:
    """One call of the command.

    Args:
        file: the results; those of earlier calls are kept.
        record: what is in it.
        small: whether the parts only show that they work.
        say: gets a line for each thing that happened.
    """

    def __init__(self, file: Path, record: dict[str, Any], *, small: bool, say: Say) -> None:
        self.file, self.record, self.small, self.say = file, record, small, say
        self.folder = file.with_suffix(".files").resolve()

    def run(self, parts: Sequence[Part], seconds: float) -> None:
        """Do what is not done of these parts; each gets its share of the time that is left."""
        end = time.time() + seconds
        todo = [part for part in parts if self.status(part.name) != "done"]
        for part in parts:
            if part not in todo:
                self.say(f"{part.name}: done in an earlier call")
        for place, part in enumerate(todo):
            left = end - time.time()
            share = left * part.weight / sum(one.weight for one in todo[place:])
            if share < 1:
                self.say(f"{part.name}: no time is left")
                continue
            self._part(part, share)

    def status(self, name: str) -> str:
        """`open`, `done`, `failed` or `cut` (by time)."""
        return str(self.record["parts"].get(name, {}).get("status", "open"))

    def _part(self, part: Part, share: float) -> None:
        self.say(f"{part.name}: {part.summary}; at most {share:.0f} s")
        began, kept = time.time(), self.record["parts"].setdefault(part.name, {"items": {}, "seconds": 0.0})
        before, until = kept["seconds"], began + share
        kept.pop("error", None)
        # what failed or was cut is tried again, once in a call
        tried = {name for name, item in kept["items"].items() if "value" in item}
        going = True
        while going and time.time() < until:
            kept["status"] = "cut"
            attempt = Attempt(part, self, kept, tried)
            code = attempt.run(until)
            new = attempt.tried - tried
            tried |= new
            kept["seconds"] = round(before + time.time() - began, 1)
            # after a crash, the other items get a process of their own
            going = code not in (0, None) and bool(new)
        kept["status"] = _status(kept)
        write_json(self.file, self.record)
        if kept["status"] == "done":
            shutil.rmtree(self.folder / part.name, ignore_errors=True)
            with contextlib.suppress(OSError):  # another part's files are in it
                self.folder.rmdir()
        count = sum("value" in item for item in kept["items"].values())
        self.say(f"{part.name}: {kept['status']}, {count} of {len(kept.get('planned') or [])} items")


class Attempt:
    """One process of a part.

    Args:
        part: what it does.
        runner: whose call this is.
        kept: what the file has of the part; gets what the process finds.
        skip: items that it leaves out.

    Attributes:
        tried: items that it has begun.
    """

    def __init__(self, part: Part, runner: Runner, kept: dict[str, Any], skip: set[str]) -> None:
        self.part, self.runner, self.kept, self.skip = part, runner, kept, skip
        self.tried: set[str] = set()
        self._running: str | None = None
        self._seen: set[str] = set()

    def run(self, until: float) -> int | None:
        """Its exit code, or None if its time was over."""
        stop = until - min(GRACE, (until - time.time()) / 10)
        folder = self.runner.folder / self.part.name
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            state, log = Path(scratch) / "state.json", Path(scratch) / "log"
            task = {
                "module": self.part.module,
                "small": self.runner.small,
                "known": sorted(self.skip),
                "until": stop,
                "file": str(state),
                "folder": str(folder),
            }
            with log.open("wb") as out:
                process = subprocess.Popen(  # noqa: S603  # this very program
                    [sys.executable, "-m", "benchmarks.gpu.child", json.dumps(task)],
                    cwd=ROOT,
                    env={"GOMP_SPINCOUNT": "0", "KD_NO_REPORT": "1", **os.environ},
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            try:
                code = self._watch(process, state, stop)
            finally:
                _end(process, until)
            self._take(state)
            if code != 0:
                self._unfinished(code, log.read_text("utf-8", "replace")[-_LOG:])
        return code

    def _watch(self, process: subprocess.Popen[bytes], state: Path, stop: float) -> int | None:
        while time.time() < stop:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(_POLL)
            self._take(state)
        return process.poll()

    def _take(self, state: Path) -> None:
        """Keep what the process has written since the last look."""
        found = read_json(state)
        if found is None:
            return
        self.kept["planned"], self._running = found["planned"], found["running"]
        new = {name: item for name, item in found["items"].items() if name not in self._seen}
        self._seen |= new.keys()
        self.tried |= new.keys()
        for name, item in new.items():
            self.kept["items"][name] = item
            how = "cut by time" if "cut" in item else "failed" if "error" in item else "done"
            self.runner.say(f"  {name}: {how}, {item['seconds']:.1f} s")
        if new:
            write_json(self.runner.file, self.runner.record)

    def _unfinished(self, code: int | None, log: str) -> None:
        """Record the item that was in progress, or that the process ended outside of all items."""
        if code == AGAIN:
            return
        how = "its time was over" if code is None else f"the process ended with exit code {code}"
        if self._running is not None:
            self.tried.add(self._running)
            cut = {"cut": True} if code is None else {}
            self.kept["items"][self._running] = {"error": f"{how}\n{log}", **cut}
        elif code is not None:
            self.kept["error"] = f"{how}\n{log}"


def _status(kept: dict[str, Any]) -> str:
    items, planned = kept["items"], kept.get("planned")
    if "error" in kept or any("error" in item and "cut" not in item for item in items.values()):
        return "failed"
    whole = planned is not None and all("value" in items.get(name, {}) for name in planned)
    return "done" if whole else "cut"


def _end(process: subprocess.Popen[bytes], until: float) -> None:
    """Ask the process and those that it started to end, and end them at `until`."""
    for number, wait in ((signal.SIGTERM, until - time.time() - 0.2), (signal.SIGKILL, 5.0)):
        # also what a process left behind that has ended: its group is still there
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, wait))
