"""The launcher `ray`: the runs are tasks of a Ray cluster, or of a Ray that is started on this machine."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from kd_compare.extras import import_extra
from kd_compare.queued_task import STOPPED, THREADS, QueuedTask, TaskFiles
from kdcore import JobEnd, Problem, UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kd_compare.ray_options import RayOptions
    from kdcore import LaunchJob, LaunchSetup

_LONGEST: Final = 300  # characters of an error of Ray


@dataclass
class _Task:
    files: TaskFiles
    result: Any  # a reference of Ray
    asked: bool = False


class RayLauncher:
    """Tasks of Ray, each of which trains one run in a process of its own.

    Ray ends the tasks of a process that is gone. The runs notice this and write checkpoints, so no later process can
    take them over.

    Raises:
        UserError: Ray is not installed, or the cluster does not answer.
    """

    def __init__(self, options: RayOptions, setup: LaunchSetup) -> None:
        self._ray = import_ray()
        self._options = options
        self._folder = setup.folder / "tasks"
        self._room = setup.jobs
        self._running: dict[str, _Task] = {}
        self._connect()

    def start(self, job: LaunchJob) -> str | None:
        """Hand it to Ray, which starts it when there is room."""
        if self._room is not None and len(self._running) >= self._room:
            return None
        options = self._options
        cpus = options.cpus if options.cpus is not None else min(job.cpus, self._most("CPU"))
        gpus = options.gpus if options.gpus is not None else min(job.gpus, self._most("GPU"))
        files = TaskFiles(self._folder, f"{job.name}.{uuid.uuid4().hex[:12]}")
        environment = {name: os.environ[name] for name in (THREADS,) if name in os.environ}
        task = QueuedTask(
            job, files, options.threads, max(1, int(cpus)), {**environment, **options.environment}
        )
        needs = {"num_cpus": cpus, "num_gpus": gpus, "memory": options.memory, "resources": options.resources}
        # max_calls: a new process of Ray for each run, as a process keeps what its environment was
        remote = self._ray.remote(max_calls=1)(_train)
        handle = remote.options(**needs, name=job.name, max_retries=options.retries)
        self._running[job.name] = _Task(files, handle.remote(task))
        return files.key

    def attach(self, job: LaunchJob, handle: str) -> bool:
        """False: a task ends with the process that gave it to Ray."""
        return False

    def ended(self) -> list[JobEnd]:
        """The tasks that have a result."""
        results = [one.result for one in self._running.values()]
        if not results:
            return []
        ready, _ = self._ray.wait(results, num_returns=len(results), timeout=0, fetch_local=False)
        ends = []
        for name, one in list(self._running.items()):
            if one.result in ready:
                del self._running[name]
                ends.append(self._end(name, one))
        return ends

    def stop(self, names: Sequence[str]) -> None:
        """By a file, which the tasks look for; one that waits ends as soon as Ray starts it."""
        for name in names:
            one = self._running.get(name)
            if one is not None and not one.asked:
                one.asked = True
                one.files.ask()

    def _end(self, name: str, one: _Task) -> JobEnd:
        try:
            return JobEnd(name, int(self._ray.get(one.result)))
        except self._ray.exceptions.RayError as error:
            said = " ".join(str(error).split())[:_LONGEST]
            return JobEnd(name, STOPPED if one.asked else 1, f"Ray: {said or type(error).__name__}")

    def _most(self, kind: str) -> int:
        """The most processors or GPUs that one machine of the cluster has."""
        return int(
            max((node["Resources"].get(kind, 0) for node in self._ray.nodes() if node["Alive"]), default=0)
        )

    def _connect(self) -> None:
        if self._ray.is_initialized():
            return
        try:
            self._ray.init(
                address=self._options.address,
                log_to_driver=False,
                logging_level="error",
                include_dashboard=None if self._options.address not in (None, "local") else False,
            )
        except (ConnectionError, ValueError, RuntimeError) as error:
            said = " ".join(str(error).split())[:_LONGEST]
            hint = "start a cluster with 'ray start --head', or leave the option address out"
            raise UserError(
                Problem(
                    "--launcher-option address",
                    f"Ray does not answer: {said}",
                    self._options.address,
                    hint=hint,
                )
            ) from error


def import_ray() -> Any:
    """Ray.

    Raises:
        UserError: it is not installed.
    """
    return import_extra("ray", "ray", "--launcher", "ray")


def _train(task: QueuedTask) -> int:
    return task.train()
