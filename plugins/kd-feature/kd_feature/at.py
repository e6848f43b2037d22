"""AT: the student attends to the places that the teacher attends to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_feature.stages import maps, needed, stage_pairs
from kd_feature.tensors import on_one_grid, prepare_features

if TYPE_CHECKING:
    from kd_feature.options import ATOptions
    from kdcore import Batch, ModelOutput, Progress, Setup


def at_loss(student_features: Tensor, teacher_features: Tensor, *, power: float = 2.0) -> Tensor:
    """The mean squared difference of both attention maps, over samples and places.

    A place's attention is the mean over the channels of |value|^power; a sample's attention map is that of all
    places, divided by its L2 norm.

    Both features are maps `[B, C, H, W]` that may differ in all but B; the larger grid is averaged down to the
    other first. The gradient goes to the student only. The result is float32 for features of a narrower type, else
    of the student's.

    Source: Zagoruyko and Komodakis, "Paying More Attention to Attention", ICLR 2017, equation 2; the mean instead of
    the norm of the difference, as in the authors' code and RepDistiller.

    Raises:
        ValueError: the shapes or types do not fit.
    """
    student, teacher = on_one_grid(*prepare_features(student_features, teacher_features, dims=4))
    return F.mse_loss(_attention(student, power), _attention(teacher, power))


def _attention(features: Tensor, power: float) -> Tensor:
    # a norm over the channels would not make the squares [B, C, H, W], and takes nearly twice the time
    powers = features.square() if power == 2 else features.abs().pow(power)
    attention = powers.mean(dim=1)
    return F.normalize(attention.flatten(1), dim=1)


class AT(nn.Module):
    """The distiller `at`, with the loss term `at`: `at_loss` summed over the stages."""

    def __init__(self, options: ATOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.pairs = stage_pairs(options.stages)
        self.requires = needed(self.pairs)

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """The loss term, weighted."""
        options = self.options
        losses = [at_loss(*pair, power=options.power) for pair in maps(self.pairs, student, teacher)]
        return {"at": options.weight * torch.stack(losses).sum()}
