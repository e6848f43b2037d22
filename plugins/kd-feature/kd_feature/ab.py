"""AB: the student's neurons are active where the teacher's are: match the boundary of the ReLU, not the values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from kd_feature.activations import pairs_before_activation
from kd_feature.regressor import Regressor
from kd_feature.stages import maps, needed, shapes, stage_pairs, teacher_of
from kdcore.ops import check_positive, check_same_shape, prepare_features

if TYPE_CHECKING:
    from kd_feature.options.initial import ABOptions
    from kdcore import Batch, ModelOutput, Progress, Setup

_FACTOR = 0.003  # from RepDistiller's code: relative to its batch and its learning rate


def ab_loss(student_map: Tensor, teacher_map: Tensor, margin: float = 1.0) -> Tensor:
    """The squared distance to the right side of 0, plus a margin: 0.003 times the sum, the mean over the samples.

    Where the teacher's value is above 0, the student's should be above `margin`; elsewhere below -`margin`.

    Both maps are `[B, C, H, W]` with the same shape, taken before the ReLU. The gradient goes to the student only. The
    result is float32 if the maps have a narrower type, otherwise it has the type of the student's map.

    Source: Heo et al., "Knowledge Transfer via Distillation of Activation Boundaries Formed by Hidden Neurons", AAAI
    2019, equation 5, with the factor of RepDistiller's `ABLoss`.

    Raises:
        ValueError: the shapes or types do not fit, or the margin is not above 0.
    """
    check_positive("margin", margin)
    check_same_shape(student_map, teacher_map)
    student, teacher = prepare_features(student_map, teacher_map, dims=4)
    # with the teacher's sign both cases are one: the signed value should be above the margin
    # the sign as a number, because torch.where takes nine times as long as a product on a CPU
    signed = student * (teacher > 0).to(student.dtype).mul_(2).sub_(1)
    return (margin - signed).clamp(min=0).square().sum() * (_FACTOR / student.shape[0])


class AB(nn.Module):
    """The distiller `ab`, with the loss term `ab`: `ab_loss` of each stage, the last with factor 1, then 1/2, 1/4.

    Where channels or grids differ, a convolution with batch norm comes first. Batch norm relates the samples, so
    then it sees the whole batch.

    Raises:
        ValueError: there is no teacher.
        UserError: a model has no such stage.
    """

    def __init__(self, options: ABOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.pairs = pairs_before_activation(stage_pairs(options.stages), setup.student, teacher_of(setup))
        self.connectors = nn.ModuleList()
        for of_student, of_teacher in shapes(self.pairs, setup):
            same = (of_student.channels, of_student.grid) == (of_teacher.channels, of_teacher.grid)
            self.connectors.append(
                nn.Identity()
                if same
                else nn.Sequential(
                    Regressor(of_student, of_teacher, nonlinear=False), nn.BatchNorm2d(of_teacher.channels)
                )
            )
        has_norm = any(isinstance(module, nn.BatchNorm2d) for module in self.connectors.modules())
        self.requires = needed(self.pairs, whole_batch=has_norm)

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        last = len(self.pairs) - 1
        pairs = zip(self.connectors, maps(self.pairs, student, teacher), strict=True)
        losses = [
            ab_loss(connector(ours), theirs, self.options.margin) / 2 ** (last - number)
            for number, (connector, (ours, theirs)) in enumerate(pairs)
        ]
        return {"ab": self.options.weight * torch.stack(losses).sum()}
