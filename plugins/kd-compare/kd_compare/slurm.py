"""The launcher `slurm`: the runs are tasks of array jobs in a cluster's queue."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from kd_compare.queued_task import STOPPED, TaskFiles
from kd_compare.shared_folder import look_again
from kd_compare.slurm_queue import ENDED, GONE, LocalQueue, Queue, SlurmQueue
from kd_compare.slurm_task import SlurmTask
from kdcore import JobEnd, RunFailed
from kdcore.plugin import read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from kd_compare.slurm_options import SlurmOptions
    from kdcore import LaunchJob, LaunchSetup

_LARGEST: Final = 1000  # tasks of an array; Slurm's own default allows 1001
_LOOK: Final = 1.0  # seconds between two looks at the files of the tasks
_PATIENCE: Final = (
    90.0  # seconds from the end in Slurm to the file with the result, which NFS may show that late
)
_SHAPE: Final = {"names!": [str], "numbers": [str]}


@dataclass
class _Queued:
    job: LaunchJob
    files: TaskFiles
    array: str
    number: str  # of the task in Slurm
    asked: bool = False
    over: float | None = None  # since when Slurm says that it has ended, while there is no result


@dataclass
class _Array:
    """Tasks that will be submitted together, as they need the same."""

    name: str
    jobs: list[LaunchJob]


class SlurmLauncher:
    """Tasks in Slurm's queue, submitted with submitit.

    Runs that kd starts together are one array job. They go on if this process ends, and the next call finds them. Each
    task is asked to stop by a file, and reports its end by another: the folder must be on a disk that all nodes see, as
    the runs themselves.
    """

    def __init__(self, options: SlurmOptions, setup: LaunchSetup) -> None:
        self._options = options
        self._folder = setup.folder
        # processes of this machine do not wait for each other; a cluster's queue does that by itself
        self._room = (setup.jobs or 1) if options.cluster == "local" else None
        kind = LocalQueue if options.cluster == "local" else SlurmQueue
        self._queue: Queue = kind(options, setup.folder / "submitit")
        self._waiting: dict[tuple[int, int], _Array] = {}
        self._queued: dict[str, _Queued] = {}
        self._ends: list[JobEnd] = []
        self._looked = self._polled = 0.0

    def start(self, job: LaunchJob) -> str | None:
        """Collect it: `ended`, which is called next, submits all that were collected."""
        if self._room is not None and self._count >= self._room:
            return None
        needs = (
            self._options.cpus or job.cpus,
            job.gpus if self._options.gpus is None else self._options.gpus,
        )
        array = self._waiting.get(needs)
        if array is None or len(array.jobs) >= _LARGEST:
            if array is not None:
                self._submit(needs, array)
            array = self._waiting[needs] = _Array(f"kd-{uuid.uuid4().hex[:12]}", [])
        array.jobs.append(job)
        return array.name

    def attach(self, job: LaunchJob, handle: str) -> bool:
        """Whether it was submitted; `ended` finds out what has become of it."""
        files = self._files(handle, job.name)
        number = self._number(handle, job.name)
        if number is None or files.stop.exists() or self._options.cluster == "local":
            return False
        self._queued[job.name] = _Queued(job, files, handle, number)
        return True

    def ended(self) -> list[JobEnd]:
        """Submit what was collected; the tasks that wrote their end, or that Slurm ended."""
        for needs, array in list(self._waiting.items()):
            self._submit(needs, array)
        now = time.monotonic()
        if now - self._looked >= _LOOK:
            self._looked = now
            for name, one in list(self._queued.items()):
                code = one.files.code()
                if code is not None:
                    self._end(JobEnd(name, code))
        if self._queued and now - self._polled >= self._options.poll:
            self._polled = now
            self._poll()
        ends, self._ends = self._ends, []
        return ends

    def stop(self, names: Sequence[str]) -> None:
        """Those that run write a checkpoint; those that wait are taken out of the queue."""
        for array in self._waiting.values():
            self._ends += [JobEnd(job.name, STOPPED) for job in array.jobs if job.name in names]
            array.jobs = [job for job in array.jobs if job.name not in names]
        asked = [self._queued[name] for name in names if name in self._queued]
        for one in asked:
            one.asked = True
            one.files.ask()
        if asked:
            self._queue.withdraw([one.number for one in asked])
            self._polled = 0.0

    @property
    def _count(self) -> int:
        return len(self._queued) + sum(len(array.jobs) for array in self._waiting.values())

    def _submit(self, needs: tuple[int, int], array: _Array) -> None:
        if not array.jobs:
            del self._waiting[needs]
            return
        cpus, gpus = needs
        names = [job.name for job in array.jobs]
        tasks = [
            SlurmTask(
                job, self._files(array.name, job.name), self._options.threads, cpus, self._options.environment
            )
            for job in array.jobs
        ]
        for job in array.jobs:
            job.log.parent.mkdir(parents=True, exist_ok=True)
        record = self._record(array.name)
        record.parent.mkdir(parents=True, exist_ok=True)
        write_json(record, {"names": names})  # Slurm knows it by its name if this process is killed now
        numbers = self._queue.submit(array.name, tasks, cpus, gpus)
        write_json(record, {"names": names, "numbers": numbers})
        for job, number in zip(array.jobs, numbers, strict=True):
            files = self._files(array.name, job.name)
            self._queued[job.name] = _Queued(job, files, array.name, number)
        del self._waiting[needs]  # not before: if they are refused, `stop` reports their ends
        self._polled = time.monotonic()

    def _poll(self) -> None:
        states = self._queue.states({one.array for one in self._queued.values()})
        if states is None:
            return  # Slurm does not answer: ask again later
        now, looked = time.monotonic(), False
        for name, one in list(self._queued.items()):
            state = states[one.array].get(one.number, GONE)
            if state not in ENDED:
                one.over = None  # a requeued task is between two states for a moment
                continue
            if not looked:
                look_again(one.files.folder)
                looked = True
            one.over = now if one.over is None else one.over
            code = one.files.code()
            if code is not None:
                self._end(JobEnd(name, code))
            elif one.asked:
                self._end(JobEnd(name, STOPPED))
            elif now - one.over >= _PATIENCE:
                self._end(JobEnd(name, 1, self._reason(one, state)))

    def _reason(self, one: _Queued, state: str) -> str:
        said = f"{ENDED[state]} (job {one.number})"
        logs = sorted((self._folder / "submitit").glob(f"{one.number}_*_log.err"))
        return f"{said}; Slurm's own log is {logs[0]}" if logs else said

    def _end(self, end: JobEnd) -> None:
        del self._queued[end.name]
        self._ends.append(end)

    def _files(self, array: str, name: str) -> TaskFiles:
        return TaskFiles(self._folder / "tasks", f"{name}.{array}")

    def _record(self, array: str) -> Path:
        return self._folder / "arrays" / f"{array}.json"

    def _number(self, array: str, name: str) -> str | None:
        """The number of a task that an earlier process submitted; None: it was not submitted."""
        try:
            record: dict[str, Any] = read_json(self._record(array), _SHAPE)
        except (OSError, ValueError):
            return None
        if name not in record["names"]:
            return None
        place, numbers = record["names"].index(name), record.get("numbers")
        if numbers is not None:
            return str(numbers[place])
        # it was killed while it submitted them
        states = self._queue.states([array])
        if states is None:
            raise RunFailed(
                "Slurm does not answer, so it is not known which runs it has; the same command asks again"
            )
        found = states.get(array, {})
        wanted = [number for number in found if len(record["names"]) == 1 or number.endswith(f"_{place}")]
        return wanted[0] if wanted else None
