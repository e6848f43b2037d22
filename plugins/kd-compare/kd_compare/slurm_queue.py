"""Slurm's queue: tasks are submitted with submitit, and looked for with squeue.

submitit itself looks with sacct, which many clusters do not have; squeue is everywhere.
"""

from __future__ import annotations

import logging
import shutil
import subprocess
from typing import TYPE_CHECKING, Any, Final, Protocol

from kd_compare.extras import import_extra
from kdcore import Problem, RunFailed, UserError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from kd_compare.slurm_options import SlurmOptions
    from kd_compare.slurm_task import SlurmTask

GONE: Final = "GONE"
ENDED: Final = {
    "BOOT_FAIL": "the node did not start",
    "CANCELLED": "it was cancelled in Slurm",
    "COMPLETED": "it ended without a result",
    "DEADLINE": "Slurm ended it at its deadline",
    "FAILED": "it failed in Slurm",
    "NODE_FAIL": "its node failed",
    "OUT_OF_MEMORY": "it had not enough memory: give it more with --launcher-option memory=",
    "PREEMPTED": "Slurm gave its place to another job and did not requeue it",
    "REVOKED": "Slurm revoked it",
    "TIMEOUT": "Slurm ended it at its time limit",
    GONE: "Slurm does not know it any more: it was cancelled, or the queue was cleared",
}
"""States of tasks that have ended, and what to say if they left no result."""
_FORMAT: Final = "%j|%F|%K|%T"
_SECONDS: Final = 60  # that squeue and scancel get


class Queue(Protocol):
    """Where tasks wait and run."""

    def submit(self, name: str, tasks: Sequence[SlurmTask], cpus: int, gpus: int) -> list[str]:
        """Submit tasks as one job, and return the number of each."""

    def states(self, names: Collection[str]) -> dict[str, dict[str, str]] | None:
        """By the name of a job, by number the states of its tasks that the queue knows; None: it did not answer."""

    def withdraw(self, numbers: Sequence[str]) -> None:
        """Take tasks out of the queue that do not run."""


def import_submitit() -> Any:
    """Submitit, which writes nothing to this process's output.

    Raises:
        UserError: it is not installed.
    """
    submitit = import_extra("submitit", "slurm", "--launcher", "slurm")
    logging.getLogger("submitit").handlers.clear()
    return submitit


def submitted(
    submitit: Any, folder: Path, options: SlurmOptions, tasks: Sequence[SlurmTask], about: dict[str, Any]
) -> list[Any]:
    """Submit tasks as one job; several tasks are an array.

    Raises:
        RunFailed: the cluster refused them.
    """
    starts = {"max_num_timeout": options.timeouts, "python": options.python}
    executor = submitit.AutoExecutor(
        folder, cluster=options.cluster, **{f"{options.cluster}_{name}": one for name, one in starts.items()}
    )
    executor.update_parameters(
        **about,
        timeout_min=options.time,
        slurm_signal_delay_s=options.warning,
        local_setup=options.setup or None,
    )
    try:
        with executor.batch():
            jobs = [executor.submit(task) for task in tasks]
    except submitit.core.utils.FailedJobError as error:
        raise RunFailed(f"sbatch refused the job: {_why(error)}") from error
    return jobs


def _why(error: Exception) -> str:
    """What sbatch says about a job that it has refused; submitit keeps only the exit code."""
    cause = error.__cause__ or error
    said = ""
    if isinstance(cause, subprocess.CalledProcessError):
        program, *arguments = cause.cmd
        test = [program, "--test-only", *arguments]
        said = subprocess.run(test, capture_output=True, text=True, check=False).stderr  # noqa: S603
    return " ".join((said or str(cause)).split())


class SlurmQueue:
    """A cluster's queue.

    Raises:
        UserError: this machine does not have Slurm's commands.
    """

    def __init__(self, options: SlurmOptions, folder: Path) -> None:
        self._submitit = import_submitit()
        self._options = options
        self._folder = folder
        missing = [name for name in ("sbatch", "squeue", "scancel", "srun") if shutil.which(name) is None]
        if missing:
            message = f"needs Slurm's commands, and this machine does not have {', '.join(missing)}"
            hint = "call it on a machine of the cluster that may submit jobs"
            raise UserError(Problem("--launcher", message, "slurm", hint=hint))

    def submit(self, name: str, tasks: Sequence[SlurmTask], cpus: int, gpus: int) -> list[str]:
        """One array job."""
        options = self._options
        flags = {
            "partition": options.partition,
            "account": options.account,
            "qos": options.qos,
            "constraint": options.constraint,
            "mem": options.memory,
            "setup": options.setup or None,
            "array_parallelism": options.at_once,
            "srun_args": [f"--cpus-per-task={cpus}"],  # srun does not read sbatch's
            "additional_parameters": dict(options.more),
        }
        about = {"name": name, "cpus_per_task": cpus, **({"gpus_per_node": gpus} if gpus else {})}
        about |= {f"slurm_{key}": value for key, value in flags.items()}
        return [str(job.job_id) for job in submitted(self._submitit, self._folder, options, tasks, about)]

    def states(self, names: Collection[str]) -> dict[str, dict[str, str]] | None:
        """From squeue, which knows ended tasks for some minutes too."""
        command = ["squeue", "--noheader", "--array", "--states=all"]
        asked = _asked([*command, f"--name={','.join(names)}", f"--format={_FORMAT}"])
        if asked is None:
            return None
        found: dict[str, dict[str, str]] = {name: {} for name in names}
        for line in asked.splitlines():
            name, job, task, state = line.strip().rsplit("|", 3)
            found.setdefault(name, {})[f"{job}_{task}" if task.isdecimal() else job] = state
        return found

    def withdraw(self, numbers: Sequence[str]) -> None:
        """By scancel, which leaves those alone that run."""
        _asked(["scancel", "--state=PENDING", *numbers])


class LocalQueue:
    """Processes of this machine, which submitit starts."""

    def __init__(self, options: SlurmOptions, folder: Path) -> None:
        self._submitit = import_submitit()
        self._options = options
        self._folder = folder
        self._jobs: dict[str, dict[str, Any]] = {}

    def submit(self, name: str, tasks: Sequence[SlurmTask], cpus: int, gpus: int) -> list[str]:
        """A process for each."""
        about = {"gpus_per_node": gpus}
        jobs = submitted(self._submitit, self._folder, self._options, tasks, about)
        self._jobs[name] = {str(job.job_id): job for job in jobs}
        return list(self._jobs[name])

    def states(self, names: Collection[str]) -> dict[str, dict[str, str]] | None:
        """Whether the processes still run."""
        return {
            name: {
                number: "COMPLETED" if job.done() else "RUNNING"
                for number, job in self._jobs.get(name, {}).items()
            }
            for name in names
        }

    def withdraw(self, numbers: Sequence[str]) -> None:
        """None of them waits."""


def _asked(command: list[str]) -> str | None:
    """What one of Slurm's commands prints; None: it failed, as when the controller is busy."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_SECONDS)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
