"""MLP-Mixer for small images (Tolstikhin et al., "MLP-Mixer: An all-MLP Architecture for Vision", NeurIPS 2021)."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field, validate_call
from timm.models.mlp_mixer import MlpMixer

from kd_cifar_models.network import Normalize, input_of

_SIDE: Final = 32  # of the images; the layers that mix patches have one weight for each pair of them

Count = Annotated[int, Field(strict=True, ge=1)]


@validate_call
def cifar_mixer(
    num_classes: int,
    in_chans: int,
    *,
    patch_size: Count = 8,
    num_blocks: Count = 6,
    embed_dim: Count = 96,
    normalize: Normalize = "cifar100",
) -> MlpMixer:
    """Timm's MLP-Mixer for images of 32x32; its own functions have patches of 16 and more pixels.

    Args:
        num_classes: K.
        in_chans: channels of the images.
        patch_size: side of a patch in pixels; it divides 32.
        num_blocks: blocks; each mixes the patches, and then the channels.
        embed_dim: channels C. The hidden layer over patches has C / 2 units, that over channels 4 C, as in the paper.
        normalize: see `Network`.

    Raises:
        ValueError: the patches do not fit the images.
    """
    if _SIDE % patch_size:
        raise ValueError(f"patch_size is {patch_size}; it must divide the side of the images, {_SIDE}")
    model = MlpMixer(
        num_classes=num_classes,
        img_size=_SIDE,
        in_chans=in_chans,
        patch_size=patch_size,
        num_blocks=num_blocks,
        embed_dim=embed_dim,
    )
    given = input_of(num_classes, in_chans, normalize, classifier="head")
    model.pretrained_cfg = given  # type: ignore[assignment]
    return model
