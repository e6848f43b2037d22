"""ResNet and what is built like it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdcore import TimmAdapter

if TYPE_CHECKING:
    from torch import nn


class ResNetAdapter(TimmAdapter):
    """Stage i is the output of `layer{i}`, its last ReLU included; the stem is none.

    So in RepDistiller (`feat[1:-1]`) and in OFA-KD's code. Dilated networks (`output_stride`) and stride-1
    stems change the grids, not the stages.
    """

    def indices(self, model: nn.Module) -> tuple[int, int, int, int]:
        """Map 0 is the stem's."""
        return 1, 2, 3, 4
