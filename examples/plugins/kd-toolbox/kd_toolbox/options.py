"""The options of everything here that has some. Imports no torch."""

from __future__ import annotations

from kdcore import DistillerOptions, Options
from pydantic import Field


class LogitCosineOptions(DistillerOptions):
    """Options of `logit-cosine`."""

    centre: bool = Field(True, description="Subtract the mean over the classes from the logits first.")


class StripesOptions(Options):
    """Options of `stripes`."""

    samples: int = Field(256, ge=4, description="Images of each split.")
    side: int = Field(32, ge=8, description="Height and width of an image, in pixels.")


class PlainNetOptions(Options):
    """Options of `plain-net`."""

    width: int = Field(
        8, ge=1, description="Channels of the first block; each later block has twice as many."
    )


class LeakyOptions(Options):
    """Options of `leaky`."""

    slope: float = Field(0.1, gt=0, lt=1, description="What a negative value is multiplied with.")


class NiceOptions(Options):
    """Options of `nice`."""

    level: int = Field(
        10, ge=0, le=19, description="As in the command nice: 19 gives way to everything else."
    )
