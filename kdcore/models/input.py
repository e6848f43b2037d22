"""A model's own input, as timm's configuration of it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from timm.data.config import resolve_data_config

from kdcore.data.inputs import InputConfig, per_channel

if TYPE_CHECKING:
    from collections.abc import Mapping


def input_of(config: Mapping[str, Any], size: tuple[int, int] | None, in_chans: int) -> InputConfig:
    """The input that timm's `pretrained_cfg` describes, at `size` where it is given.

    For another number of channels than the configuration's, mean and deviation are averaged: grey images
    have about the statistics of the colours together.
    """
    resolve: Any = resolve_data_config
    data = resolve(pretrained_cfg=dict(config), args={"in_chans": in_chans})
    height, width = size or data["input_size"][1:]
    mean, std = (per_channel(tuple(data[name]), in_chans) for name in ("mean", "std"))
    return InputConfig((height, width), mean, std, data["interpolation"], data["crop_pct"])
