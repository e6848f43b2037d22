"""The base of every distiller's options."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class DistillerOptions(BaseModel):
    """Options of a distiller as a spec gives them: immutable, unknown keys are errors, every field described.

    Subclass it, give each field a default (the paper's own code's) and a description. The distiller multiplies
    all its terms by `weight`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    weight: float = Field(default=1.0, ge=0, description="Factor over all loss terms of this distiller.")
