"""The options of `prune`. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from kdcore import Options

MOST: Final = 0.9
Path = Annotated[str, Field(min_length=1)]


class PruneOptions(Options):
    """What is removed, and how the layers are chosen."""

    share: float = Field(
        default=0.5,
        gt=0,
        lt=1,
        description="The share that is removed: of what 'of' says. With half of the channels of every layer about a "
        "quarter of the multiply-adds remain.",
    )
    of: Literal["channels", "macs", "parameters"] = Field(
        default="channels",
        description="What the share is a share of: the channels; or the multiply-adds or parameters of the whole "
        "model, for which kd searches the share of channels that is enough.",
    )
    importance: Literal["magnitude", "bn-scale", "lamp", "random"] = Field(
        default="magnitude",
        description="Which channels stay: those with the largest weights in all layers that have the channel "
        "('magnitude'), with the largest scale of their batch norm ('bn-scale'), with the largest LAMP score ('lamp'), "
        "or any ('random', to compare with).",
    )
    spread: Literal["even", "global"] = Field(
        default="even",
        description="'even': every layer loses the same share. 'global': the channels of all layers are compared, and "
        "some layers lose more than others.",
    )
    most: float = Field(
        default=MOST,
        gt=0,
        lt=1,
        description="With spread 'global', the largest share of its channels that one layer loses.",
    )
    round_to: int = Field(
        default=8,
        ge=1,
        le=256,
        description="The number of channels that stay in a layer is a multiple of this, where the layer has as many: "
        "processors are fast at multiples of 8.",
    )
    keep: tuple[Path, ...] = Field(
        default=(),
        description="Module paths, such as 'layer1.0', in which no layer's outputs are removed; the classifier always "
        "keeps its outputs.",
    )

    @model_validator(mode="after")
    def _most_is_read(self) -> Self:
        if self.spread != "global" and self.most != MOST:
            raise ValueError("'most' is for 'spread' global: otherwise every layer loses the same share")
        return self
