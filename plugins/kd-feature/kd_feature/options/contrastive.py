"""Options of the methods that contrast a sample with others. Imports no torch."""

from __future__ import annotations

from pydantic import Field

from kd_feature.options.shared import DIM
from kdcore import DistillerOptions


class CRDOptions(DistillerOptions):
    """CRD, contrastive representation distillation (Tian et al., ICLR 2020)."""

    weight: float = Field(default=0.8, ge=0, description="Factor of the loss term.")
    dim: int = Field(default=128, ge=1, description=DIM)
    negatives: int = Field(
        default=16384,
        ge=1,
        description="Number of samples of other classes that each sample is compared with. If fewer training samples "
        "are outside the largest class, this smaller number is used.",
    )
    temperature: float = Field(default=0.07, gt=0, description="Divides the similarities of embeddings.")
    momentum: float = Field(
        default=0.5, ge=0, le=1, description="The part of a sample's row in the memory that an update keeps."
    )
