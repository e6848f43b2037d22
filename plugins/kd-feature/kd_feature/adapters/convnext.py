"""ConvNeXt and ConvNeXt V2."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdcore import TimmAdapter

if TYPE_CHECKING:
    from torch import nn


class ConvNeXtAdapter(TimmAdapter):
    """Stage i is the output of `stages.{i-1}`, before the first norm of the head.

    OFA-KD's code has the same stages. The values have both signs.
    """

    def indices(self, model: nn.Module) -> tuple[int, int, int, int]:
        """All four maps; the stem has no map."""
        return 0, 1, 2, 3
