"""Which kind of model a name means, from timm's file that has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kdcore import UserError
from kdcore.inspect import find_model

_TOKENS: Final = frozenset(
    (
        *(
            "beit",
            "cait",
            "coat",
            "convit",
            "crossvit",
            "davit",
            "deit",
            "eva",
            "flexivit",
            "gcvit",
            "hiera",
            "levit",
        ),
        *(
            "mlp_mixer",
            "mvitv2",
            "naflexvit",
            "nest",
            "pit",
            "pvt_v2",
            "swin_transformer",
            "swin_transformer_v2",
        ),
        *(
            "swin_transformer_v2_cr",
            "tiny_vit",
            "tnt",
            "twins",
            "vision_transformer",
            "vision_transformer_hybrid",
        ),
        *("vision_transformer_relpos", "vision_transformer_sam", "visformer", "volo", "xcit"),
    )
)
_MOBILE: Final = frozenset(("efficientnet", "ghostnet", "hardcorenas", "mobilenetv3", "rexnet"))
SMALL_INPUT: Final = frozenset(
    (
        *(
            "convnext",
            "deit",
            "efficientnet",
            "mobilenetv3",
            "resnet",
            "swin_transformer",
            "swin_transformer_v2",
        ),
        "vision_transformer",
    )
)
"""Files of timm whose models have a variant for 32-px images; a test holds it to those of kdcore."""


@dataclass(frozen=True, slots=True)
class ModelFamily:
    """A model's family.

    Attributes:
        file: of timm, without its suffix; None for a plugin's model.
        tokens: it works on tokens: ViT, Swin, Mixer and similar models.
        mobile: it is made of depthwise convolutions, for small devices.
        small_input: it has a variant for 32-px images.
    """

    file: str | None
    tokens: bool
    mobile: bool
    small_input: bool


def family_of(model: str) -> ModelFamily:
    """The family of a model that a spec names."""
    try:
        file = find_model(model)
    except UserError:  # it was accepted as a file of weights, or another check reports it
        file = None
    return ModelFamily(file, file in _TOKENS, file in _MOBILE, file in SMALL_INPUT)
