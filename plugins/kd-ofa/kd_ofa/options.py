"""The options of OFA-KD. Imports no torch."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from kdcore import DistillerOptions, Stage
from kdcore.plugin import STAGES


class OFAOptions(DistillerOptions):
    """OFA-KD (Hao et al., NeurIPS 2023), defaults of the authors' code."""

    weight: float = Field(default=1.0, ge=0, description="Factor of all loss terms.")
    logits_weight: float = Field(
        default=1.0, ge=0, description="Factor of the term of the student's own logits."
    )
    stage_weight: float = Field(
        default=1.0,
        ge=0,
        description="Factor of each stage's term. The authors' runs on CIFAR-100 use 0.1.",
    )
    eps: float | tuple[float, ...] = Field(
        default=1.0,
        description="A larger value gives the target class more weight if the teacher is confident. One number "
        "above 0 for all terms, or a list with one for each of 'stages' and, last, one for the logits. "
        "ImageNet, DeiT-T to ResNet-18: 1.5.",
    )
    temperature: float = Field(
        default=1.0,
        gt=0,
        description="Divides the logits of student and teacher. The loss is not multiplied by its square.",
    )
    stages: tuple[Stage, ...] = Field(
        default=STAGES,
        description="Stages of the student that get a branch: 1 to 4, or module paths from shallow to deep. "
        "Empty: only the term of the logits.",
    )
    branch: Literal["auto", "conv", "token"] = Field(
        default="auto",
        description="Kind of the branches. 'auto': 'token' for a student with class or register tokens, with "
        "one grid at all stages, or with 'swin' in its name; otherwise 'conv'.",
    )
    token_grid: int = Field(
        default=7,
        ge=1,
        description="For a token student with one grid: the smallest number of patches along a side after "
        "halving. The grids of other token students are halved down to their deepest grid.",
    )
    width: int | None = Field(
        default=None,
        ge=1,
        description="Features before a branch's classifier; null: the width of the student's embedding, or, "
        "for convolutional branches, that of the teacher's embedding if it is larger.",
    )

    @field_validator("eps", mode="before")
    @classmethod
    def _numbers(cls, value: Any) -> float | tuple[float, ...]:
        numbers = tuple(_positive(item) for item in (value if isinstance(value, list | tuple) else [value]))
        return numbers if isinstance(value, list | tuple) else numbers[0]

    @field_validator("stages", mode="before")
    @classmethod
    def _different_stages(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise ValueError("must be a list of stages, such as [1, 2, 3, 4]")
        for stage in value:
            if isinstance(stage, bool) or not (stage in STAGES or (isinstance(stage, str) and stage)):
                raise ValueError(f"{stage!r} is not a stage; a stage is 1, 2, 3, 4 or a module path")
        if len(set(value)) < len(value):
            raise ValueError("a stage is named twice")
        return value

    @model_validator(mode="after")
    def _one_eps_per_term(self) -> OFAOptions:
        terms = len(self.stages) + 1
        if isinstance(self.eps, tuple) and len(self.eps) not in (1, terms):
            raise ValueError(
                f"eps has {len(self.eps)} values for {len(self.stages)} stages; it must be one number, or a "
                f"list of {terms}: one for each stage and, last, one for the logits"
            )
        return self

    @property
    def eps_of_terms(self) -> tuple[float, ...]:
        """One for each stage and, last, one for the logits."""
        values = self.eps if isinstance(self.eps, tuple) else (self.eps,)
        return values * (len(self.stages) + 1) if len(values) == 1 else values


def _positive(value: Any) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 < number < math.inf:
        raise ValueError(f"{value!r} is not a number above 0; eps must be such a number, or a list of them")
    return number
