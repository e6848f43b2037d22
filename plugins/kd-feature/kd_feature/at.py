"""AT: match the positions that the student attends to with those of the teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_feature.grids import on_one_grid
from kd_feature.stages import maps, needed, stage_pairs
from kdcore.ops import prepare_features

if TYPE_CHECKING:
    from kd_feature.options.maps import ATOptions
    from kdcore import Batch, ModelOutput, Progress, Setup


def at_loss(student_features: Tensor, teacher_features: Tensor) -> Tensor:
    """The mean squared difference of both attention maps, over samples and positions.

    The attention of a position is the mean over the channels of the squared values. A sample's attention map is that of
    all positions, divided by its L2 norm.

    Both features are maps `[B, C, H, W]`; only B has to be equal. The larger grid is first averaged down to the other
    one. The gradient goes to the student only. The result is float32 if the features have a narrower type, otherwise
    it has the type of the student's features.

    Source: Zagoruyko and Komodakis, "Paying More Attention to Attention", ICLR 2017, equation 2, with the mean instead
    of the norm of the difference, as in the authors' code and RepDistiller.

    Raises:
        ValueError: the shapes or types do not fit.
    """
    return _difference(student_features, teacher_features, 2.0)


def _difference(student_features: Tensor, teacher_features: Tensor, power: float) -> Tensor:
    """`at_loss` with the attention |value|^power."""
    student, teacher = on_one_grid(*prepare_features(student_features, teacher_features, dims=4))
    return F.mse_loss(_attention(student, power), _attention(teacher, power))


def _attention(features: Tensor, power: float) -> Tensor:
    # a norm over the channels would not store the squares [B, C, H, W], but takes nearly twice the time
    powers = features.square() if power == 2 else features.abs().pow(power)
    attention = powers.mean(dim=1)
    return F.normalize(attention.flatten(1), dim=1)


class AT(nn.Module):
    """The distiller `at`, with the loss term `at`: `at_loss` summed over the stages.

    Its option `power` is 2 in the function.
    """

    def __init__(self, options: ATOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.pairs = stage_pairs(options.stages)
        self.requires = needed(self.pairs)

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        options = self.options
        losses = [_difference(*pair, options.power) for pair in maps(self.pairs, student, teacher)]
        return {"at": options.weight * torch.stack(losses).sum()}
