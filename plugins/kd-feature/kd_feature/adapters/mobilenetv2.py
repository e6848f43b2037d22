"""MobileNetV2, EfficientNet and the others of their class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kdcore import FeatureMap, Stage, TimmAdapter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn


class MobileNetV2Adapter(TimmAdapter):
    """Stages 1 to 3 end the levels of stride 4, 8 and 16; stage 4 comes after the last 1x1 convolution.

    MobileNetV2: `blocks.1`, `blocks.2`, `blocks.4`, and 1280 channels after `conv_head` and `bn2` with its
    activation. So in OFA-KD's code, which has MobileNetV2 only; its kin follow. RepDistiller's last map is
    the one in front of that convolution, `blocks.6` with 320 channels. A network without `conv_head`
    (MobileNetV1) has its last block there.
    """

    def backbone(
        self, model: nn.Module, images: Tensor, stages: Sequence[Stage]
    ) -> tuple[Any, dict[Stage, FeatureMap]]:
        """Here the final features, `[B, C, H, W]`, are stage 4."""
        final, features = super().backbone(model, images, stages)
        if 4 in features:
            features[4] = FeatureMap(final)
        return final, features
