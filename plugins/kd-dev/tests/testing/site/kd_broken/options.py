"""Options, good and bad."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from kdcore import DistillerOptions


class GoodOptions(DistillerOptions):
    """Options that keep every rule."""

    scale: float = Field(default=1.0, gt=0, description="Factor of the student's logits.")


class OtherOptions(DistillerOptions):
    """What the misdeclared distiller is declared with."""

    scale: float = Field(default=1.0, gt=0, description="Factor of the student's logits.")


class Undescribed(GoodOptions):
    """An option without a description."""

    beta: float = 1.0


class NotJson(GoodOptions):
    """An option that JSON turns into something else."""

    names: Any = Field(default=("a", "b"), description="Names.")
