"""The bases of options: of a distiller, and of a model or dataset."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Options(BaseModel):
    """Options of a plugin's model or dataset as a spec gives them: immutable, unknown keys are errors.

    Subclass it, and give each field a default and a description. The fields become keyword arguments of the entry's
    target.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DistillerOptions(Options):
    """Options of a distiller as a spec gives them: immutable, unknown keys are errors, every field described.

    Subclass it, give each field a default (the paper's own code's) and a description. The distiller multiplies
    all its terms by `weight`.
    """

    weight: float = Field(default=1.0, ge=0, description="Factor over all loss terms of this distiller.")
