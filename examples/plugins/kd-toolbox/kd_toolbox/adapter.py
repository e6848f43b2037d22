"""The stages of `plain-net`: the outputs of its four blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from kdcore import FeatureMap, ModelOutput, Stage, StageInfo

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from kd_toolbox.model import PlainNet


class PlainNetAdapter:
    """One pass that keeps the maps of the blocks."""

    def stages(self, model: nn.Module, image_size: tuple[int, int]) -> tuple[StageInfo, ...]:
        """Stages 1 to 4: each block halves the grid, rounding up."""
        height, width = image_size
        found = []
        for stage, convolution in enumerate(cast("PlainNet", model).blocks, 1):
            height, width = -(-height // 2), -(-width // 2)
            found.append(StageInfo(stage, cast("nn.Conv2d", convolution).out_channels, (height, width)))
        return tuple(found)

    def forward(
        self, model: nn.Module, images: Tensor, stages: Sequence[Stage], embedding: bool
    ) -> ModelOutput:
        """Repeat the steps of `PlainNet.forward`, and keep the requested maps."""
        net = cast("PlainNet", model)
        features: dict[Stage, FeatureMap] = {}
        for stage, convolution in enumerate(net.blocks, 1):
            images = net.pool(convolution(images).relu())
            if stage in stages:
                features[stage] = FeatureMap(images)
        vector = images.mean((2, 3))
        return ModelOutput(net.head(vector), features, vector if embedding else None)
