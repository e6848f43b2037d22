"""ConvNeXt and ConvNeXt V2."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdcore import TimmAdapter

if TYPE_CHECKING:
    from torch import nn


class ConvNeXtAdapter(TimmAdapter):
    """Stage i is the output of `stages.{i-1}`, in front of the norm that the head begins with.

    So in OFA-KD's code. Its values are of both signs.
    """

    def indices(self, model: nn.Module) -> tuple[int, int, int, int]:
        """The stem gives no map."""
        return 0, 1, 2, 3
