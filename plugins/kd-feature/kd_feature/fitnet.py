"""FitNet: match the student's feature map, after a trained regressor, to the teacher's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_feature.regressor import Regressor
from kd_feature.stages import maps, needed, shapes, stage_pairs, teacher_of
from kdcore.ops import check_same_shape, prepare_features

if TYPE_CHECKING:
    from kd_feature.options.maps import FitNetOptions
    from kdcore import Batch, ModelInfo, ModelOutput, Progress, Setup, StageInfo


def hint_loss(student_features: Tensor, teacher_features: Tensor) -> Tensor:
    """The mean squared difference, over all elements.

    Both features have the same shape `[B, ...]`. The gradient goes to the student only. The result is float32 if the
    features have a narrower type, otherwise it has the type of the student's features.

    Source: Romero et al., "FitNets: Hints for Thin Deep Nets", ICLR 2015, equation 3, with the mean instead of half
    the sum, as in RepDistiller.

    Raises:
        ValueError: the shapes or types do not fit.
    """
    check_same_shape(student_features, teacher_features)
    return F.mse_loss(*prepare_features(student_features, teacher_features))


class FitNet(nn.Module):
    """The distiller `fitnet`, with the loss term `fitnet`: `hint_loss` after a regressor, summed over the stages.

    A regressor with batch norm sees the whole batch, because its statistics relate the samples.

    Raises:
        ValueError: there is no teacher.
        UserError: a model has no such stage.
    """

    def __init__(self, options: FitNetOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.pairs = stage_pairs(options.stages)
        teacher = teacher_of(setup)
        self.regressors = nn.ModuleList()
        normalized = False
        for of_student, of_teacher in shapes(self.pairs, setup):
            nonlinear = options.regressor == "conv"
            if options.regressor == "auto":
                nonlinear = not _is_of_tokens(of_teacher, teacher)
            normalized |= nonlinear
            self.regressors.append(Regressor(of_student, of_teacher, nonlinear=nonlinear))
        self.requires = needed(self.pairs, whole_batch=normalized)

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        pairs = zip(self.regressors, maps(self.pairs, student, teacher), strict=True)
        losses = [
            hint_loss(regressor(of_student), of_teacher) for regressor, (of_student, of_teacher) in pairs
        ]
        return {"fitnet": self.options.weight * torch.stack(losses).sum()}


def _is_of_tokens(stage: StageInfo, teacher: ModelInfo) -> bool:
    """Whether the teacher is a network of tokens on one grid, so that its maps do not come from a ReLU."""
    if stage.prefix_tokens:
        return True
    return isinstance(stage.stage, int) and teacher.stage(1).grid == teacher.stage(4).grid
