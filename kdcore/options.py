"""The base classes of options: for a distiller, and for a model or dataset."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


@dataclass(frozen=True, slots=True)
class PathKind:
    """Marks an option as a path, and says what is there."""

    what: Literal["file", "folder", "any"]


SpecFile = Annotated[str, PathKind("file")]
"""An option of a distiller, model or dataset that is the path of a file, relative to the spec's file.

The target gets it absolute. A file that does not exist is a problem with the spec, before anything is built.
"""

SpecFolder = Annotated[str, PathKind("folder")]
"""The same for a folder."""


class Options(BaseModel):
    """Options of a plugin's model or dataset in a spec: immutable, unknown keys are errors.

    Subclass it, and give each field a default and a description. The fields become keyword arguments of the entry's
    target.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Schedule(Options):
    """When a distiller takes part in a run, and how the factor of its terms grows and falls.

    Every distiller of a spec has one next to its options.

    The factor is constant within an epoch, as in the papers' code. Epochs are counted from 0.
    """

    warmup_epochs: int = Field(
        default=0,
        ge=0,
        description="Epochs in which the factor grows linearly to 1: with 4 it is 0.25, 0.5, 0.75, 1.",
    )
    from_epoch: int = Field(default=0, ge=0, description="The first epoch with this distiller; 0: the first.")
    until_epoch: int | None = Field(
        default=None, ge=1, description="The first epoch without it; null: it stays to the end."
    )
    decay: Literal["none", "linear", "cosine"] = Field(
        default="none",
        description="How the factor falls to 0 after the warm-up, up to the last epoch with it.",
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.until_epoch is not None and self.until_epoch <= self.from_epoch:
            raise ValueError("'until_epoch' must be greater than 'from_epoch'")
        if self.until_epoch is not None and self.until_epoch < self.from_epoch + self.warmup_epochs:
            raise ValueError("the warm-up must end before 'until_epoch'")
        return self

    def factor(self, epoch: float, total_epochs: int) -> float:
        """The factor of the distiller's terms, from 0 to 1.

        Args:
            epoch: of the run, counted from 0.0; its fraction makes no difference.
            total_epochs: of the run.
        """
        now = math.floor(epoch)
        end = total_epochs if self.until_epoch is None else self.until_epoch
        if not self.from_epoch <= now < end:
            return 0.0
        passed = now - self.from_epoch
        if passed < self.warmup_epochs:
            return (passed + 1) / self.warmup_epochs
        part = (passed - self.warmup_epochs) / max(end - self.from_epoch - self.warmup_epochs, 1)
        return {"none": 1.0, "linear": 1 - part, "cosine": (1 + math.cos(math.pi * part)) / 2}[self.decay]


class DistillerOptions(Options):
    """Options of a distiller in a spec: immutable, unknown keys are errors, every field has a description.

    Subclass it. Give each field a description and a default: that of the paper's own code. The distiller multiplies
    all its terms by `weight`. The schedule of a distiller is not an option: kd has it for every distiller.
    """

    weight: float = Field(default=1.0, ge=0, description="Factor over all loss terms of this distiller.")
