"""Options of the methods with several networks: peers that learn together, several teachers. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kdcore import DistillerOptions

_TEMPERATURE = "Divides the logits of the student and of the teachers."


class AverageOptions(DistillerOptions):
    """The mean of KD over several teachers (You et al., KDD 2017), defaults of CA-MKD's authors' code."""

    temperature: float = Field(default=4.0, gt=0, description=_TEMPERATURE)


class DMLOptions(DistillerOptions):
    """DML (Zhang et al., CVPR 2018), defaults of the authors' code."""

    weight: float = Field(default=1.0, ge=0, description="Factor of the terms of all networks.")
    peers: Literal["sum", "mean"] = Field(
        default="sum",
        description="With several peers: each network's loss is the sum over the others (the code) or the mean (the "
        "paper).",
    )


class EBKDOptions(DistillerOptions):
    """EBKD (Kwon et al., ICASSP 2020), defaults of CA-MKD's authors' code, which has it as a baseline."""

    temperature: float = Field(default=4.0, gt=0, description=_TEMPERATURE)
    normalize: bool = Field(
        default=False,
        description="Scale the weights of the M teachers so that their sum is 1. As released it is (M - 1) / M.",
    )


class CAMKDOptions(DistillerOptions):
    """CA-MKD (Zhang et al., ICASSP 2022) on logits, defaults of the authors' code."""

    temperature: float = Field(default=4.0, gt=0, description=_TEMPERATURE)
    normalize: bool = Field(
        default=False,
        description="Let the weights of the M teachers have the sum 1, as in the paper. As released it is 1 / M.",
    )
