"""Options of the methods with a distillation token. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kdcore import DistillerOptions


class DeiTHardOptions(DistillerOptions):
    """DeiT's hard distillation (Touvron et al., ICML 2021), the recipe of its published models."""

    weight: float = Field(
        default=0.5, ge=0, description="Factor of the loss term. 0.5 with a task weight of 0.5."
    )


class DeiTSoftOptions(DistillerOptions):
    """DeiT's soft distillation (Touvron et al., ICML 2021), defaults of the authors' code."""

    weight: float = Field(
        default=0.5,
        ge=0,
        description="Factor of the loss term. 0.5 with a task weight of 0.5; the paper: 0.1 with 0.9.",
    )
    temperature: float = Field(
        default=1.0, gt=0, description="Divides the logits of student and teacher. The paper: 3."
    )
    reduction: Literal["elements", "batchmean"] = Field(
        default="elements",
        description="elements: the mean over all B * K elements, as in the authors' code. batchmean: the mean over the "
        "samples, K times larger, as in timm.",
    )
