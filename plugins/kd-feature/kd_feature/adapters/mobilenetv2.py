"""MobileNetV2, EfficientNet and the others of their class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kdcore import FeatureMap, Stage, TimmAdapter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn


class MobileNetV2Adapter(TimmAdapter):
    """Stages 1 to 3 are the last blocks of stride 4, 8 and 16; stage 4 comes after the last 1x1 convolution.

    MobileNetV2: `blocks.1`, `blocks.2`, `blocks.4`, and 1280 channels after `conv_head` and `bn2` with its
    activation. OFA-KD's code has the same stages, for MobileNetV2 only; similar models use the same rule.
    RepDistiller's last map is the one before that convolution, `blocks.6` with 320 channels. In a network without
    `conv_head` (MobileNetV1), stage 4 is the last block.
    """

    def backbone(
        self, model: nn.Module, images: Tensor, stages: Sequence[Stage]
    ) -> tuple[Any, dict[Stage, FeatureMap]]:
        """The features, with the final ones, `[B, C, H, W]`, as stage 4."""
        final, features = super().backbone(model, images, stages)
        if 4 in features:
            features[4] = FeatureMap(final)
        return final, features

    def last_module(self, model: nn.Module, stage: int) -> str:
        """The module after which a stage is taken: for stage 4 the last norm."""
        return "bn2" if stage == 4 else super().last_module(model, stage)
