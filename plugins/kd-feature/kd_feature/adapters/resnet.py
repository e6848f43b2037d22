"""ResNet and models with the same structure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdcore import TimmAdapter

if TYPE_CHECKING:
    from torch import nn


class ResNetAdapter(TimmAdapter):
    """Stage i is the output of `layer{i}`, including its last ReLU; the stem is not a stage.

    RepDistiller (`feat[1:-1]`) and OFA-KD's code have the same stages. Dilated networks (`output_stride`) and
    stride-1 stems change the grids, not the stages.
    """

    def indices(self, model: nn.Module) -> tuple[int, int, int, int]:
        """All maps except map 0, which is that of the stem."""
        return 1, 2, 3, 4
