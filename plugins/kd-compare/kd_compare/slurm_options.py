"""The options of the launcher `slurm`."""

from __future__ import annotations

import re
from typing import Any, Final, Literal

from pydantic import ConfigDict, Field, field_validator

from kdcore import Options

_MINUTES: Final = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d{1,2}))?(?::(\d{1,2}))?")
_FORMS: Final = "minutes, 'HOURS:MINUTES:SECONDS', 'DAYS-HOURS' or 'DAYS-HOURS:MINUTES'"


class SlurmOptions(Options):
    """Options of the launcher `slurm`."""

    model_config = ConfigDict(
        coerce_numbers_to_str=True
    )  # `memory=16000` and `account=1234` are texts of sbatch

    partition: str | None = Field(None, description="The partition. None: the default one.")
    time: int = Field(
        1440,
        ge=1,
        description=f"The time limit of each start of a run: {_FORMS}. A run that reaches it writes a checkpoint, and "
        "goes on from it when Slurm starts it again.",
    )
    timeouts: int = Field(
        20, ge=0, description="How many times a run that has reached the time limit is started again."
    )
    warning: int = Field(
        120, ge=1, description="Seconds before the time limit at which a run is asked for its checkpoint."
    )
    gpus: int | None = Field(None, ge=0, description="GPUs of a run, 0 on a cluster without. None: one.")
    cpus: int | None = Field(
        None, ge=1, description="Processors of a run. None: one, and one for each process that loads images."
    )
    memory: str | None = Field(
        None, description="Memory of a run, such as 16G. None: what the cluster gives by default."
    )
    threads: int | None = Field(
        None, ge=1, description="Threads of a run. None: OMP_NUM_THREADS if it is set, otherwise `cpus`."
    )
    account: str | None = Field(None, description="The account that pays.")
    qos: str | None = Field(None, description="The quality of service.")
    constraint: str | None = Field(None, description="Features that a node must have, such as a100.")
    at_once: int = Field(256, ge=1, description="Tasks of an array that Slurm runs at the same time.")
    environment: dict[str, str] = Field(
        default_factory=dict, description="Variables of the runs, in addition to those of `kd compare`."
    )
    setup: list[str] = Field(
        default_factory=list,
        description="Shell commands that each task runs first, such as 'module load cuda'.",
    )
    python: str | None = Field(
        None,
        description="The command that starts Python on a node. None: this Python, which nodes must see too.",
    )
    more: dict[str, str | int | float | bool] = Field(
        default_factory=dict,
        description="Other flags of sbatch, such as nodelist or mail-user, by their name.",
    )
    poll: float = Field(15, gt=0, description="Seconds between two calls of squeue.")
    cluster: Literal["slurm", "local"] = Field(
        "slurm",
        description="'local': processes of this machine instead, which submitit starts, to try the options.",
    )

    @field_validator("time", mode="before")
    @classmethod
    def _minutes(cls, value: Any) -> Any:
        """A text as sbatch takes it, in minutes."""
        return _in_minutes(value) if isinstance(value, str) else value

    @field_validator("environment", mode="before")
    @classmethod
    def _texts(cls, value: Any) -> Any:
        """Numbers of a TOML file become texts."""
        if not isinstance(value, dict):
            return value
        return {
            name: str(one) if isinstance(one, int | float) and not isinstance(one, bool) else one
            for name, one in value.items()
        }

    @field_validator("setup", mode="before")
    @classmethod
    def _lines(cls, value: Any) -> Any:
        """A single command may stand alone."""
        return [value] if isinstance(value, str) else value


def _in_minutes(text: str) -> int:
    """Minutes of a time as sbatch takes it, seconds rounded up."""
    found = _MINUTES.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"this is not a time; allowed: {_FORMS}")
    days, *parts = found.groups()
    numbers = [int(part) for part in parts if part is not None]
    if days is not None:
        hours, minutes, seconds = (*numbers, 0, 0)[:3]
    elif len(numbers) == 3:
        hours, minutes, seconds = numbers
    else:
        hours, (minutes, seconds) = 0, (*numbers, 0)[:2]
    return 60 * (24 * int(days or 0) + hours) + minutes + -(-seconds // 60)
