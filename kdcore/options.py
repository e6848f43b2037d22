"""The base classes of options: for a distiller, and for a model or dataset."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Options(BaseModel):
    """Options of a plugin's model or dataset in a spec: immutable, unknown keys are errors.

    Subclass it, and give each field a default and a description. The fields become keyword arguments of the entry's
    target.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DistillerOptions(Options):
    """Options of a distiller in a spec: immutable, unknown keys are errors, every field has a description.

    Subclass it. Give each field a description and a default: that of the paper's own code. The distiller multiplies
    all its terms by `weight`.
    """

    weight: float = Field(default=1.0, ge=0, description="Factor over all loss terms of this distiller.")
