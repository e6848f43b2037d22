"""VID: maximise the student's information about the teacher's maps: a Gaussian around a trained prediction."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_feature.grids import on_one_grid
from kd_feature.stages import maps, needed, shapes, stage_pairs
from kdcore.ops import at_least_float32, check_same_shape, prepare_features

if TYPE_CHECKING:
    from kd_feature.options.maps import VIDOptions
    from kdcore import Batch, ModelOutput, Progress, Setup

_EPS = 1e-5  # from the authors' code: the smallest variance


def vid_loss(student_features: Tensor, teacher_features: Tensor, log_scale: Tensor) -> Tensor:
    """The negative log-likelihood of the teacher's maps, without its constant: the mean over all elements.

    It is ((s - t)^2 / v + log v) / 2. v = softplus(log_scale) + 1e-5 is the variance of each teacher channel, and s is
    the prediction that a regressor makes from the student's map. The loss can be below 0.

    Both features are `[B, C, H, W]` with the same shape, `log_scale` is `[C]`. The gradient goes to the student and to
    `log_scale`. The result is float32 if the features have a narrower type, otherwise it has the type of the student's
    features.

    Source: Ahn et al., "Variational Information Distillation for Knowledge Transfer", CVPR 2019, and the
    authors' code.

    Raises:
        ValueError: the shapes or types do not fit.
    """
    check_same_shape(student_features, teacher_features)
    student, teacher = prepare_features(student_features, teacher_features, dims=4)
    if log_scale.shape != (student.shape[1],):
        raise ValueError(
            f"log_scale has shape {list(log_scale.shape)}; it must be [C], here [{student.shape[1]}]"
        )
    variance = (F.softplus(at_least_float32(log_scale)) + _EPS).to(student.dtype)
    # first the mean of each channel: then nothing else has the size of the maps
    squares = (student - teacher).square().mean(dim=(0, 2, 3))
    return 0.5 * (squares / variance + variance.log()).mean()


class VID(nn.Module):
    """The distiller `vid`, with the loss term `vid`: `vid_loss` after a regressor, summed over the stages.

    A regressor is three 1x1 convolutions without bias, with ReLU between them, all with the teacher's width. Maps on
    two grids are first averaged down to the smaller one.

    Raises:
        ValueError: there is no teacher.
        UserError: a model has no such stage.
    """

    def __init__(self, options: VIDOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.pairs = stage_pairs(options.stages)
        self.requires = needed(self.pairs)
        self.regressors = nn.ModuleList()
        self.log_scales = nn.ParameterList()
        start = math.log(math.expm1(options.initial_variance - _EPS))  # the inverse of softplus
        for of_student, of_teacher in shapes(self.pairs, setup):
            self.regressors.append(_regressor(of_student.channels, of_teacher.channels))
            self.log_scales.append(nn.Parameter(torch.full((of_teacher.channels,), start)))

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        losses = []
        pairs = maps(self.pairs, student, teacher)
        for regressor, log_scale, pair in zip(self.regressors, self.log_scales, pairs, strict=True):
            of_student, of_teacher = on_one_grid(*pair)
            losses.append(vid_loss(regressor(of_student), of_teacher, log_scale))
        return {"vid": self.options.weight * torch.stack(losses).sum()}


def _regressor(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, 1, bias=False),
        nn.ReLU(),
        nn.Conv2d(width, width, 1, bias=False),
        nn.ReLU(),
        nn.Conv2d(width, width, 1, bias=False),
    )
