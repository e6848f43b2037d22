"""The options of the launcher `local`."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from kdcore import Options


class LocalOptions(Options):
    """Options of the launcher `local`."""

    gpus: list[str] | None = Field(
        None,
        min_length=1,
        description="The GPUs that runs get, one each, as CUDA_VISIBLE_DEVICES names them: '0,1'. None: all.",
    )
    threads: int | None = Field(
        None, ge=1, description="Threads of each run. None: the cores divided by the runs at a time."
    )
    fork: bool = Field(
        True,
        description="On Linux, fork the runs from a process that has imported torch and timm, so that each starts at "
        "once. False, and on other systems: each run is a new Python.",
    )

    @field_validator("gpus", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        """A number or a text with commas, as a command line gives it."""
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        return (
            [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
        )
