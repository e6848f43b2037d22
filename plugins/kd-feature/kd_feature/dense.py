"""Dense: match the teacher's last feature maps position by position, as in the second version of LightlyTrain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from kd_feature.fitnet import hint_loss
from kd_feature.projections import small_linear
from kd_feature.stages import teacher_of
from kd_feature.tokens import blocks_of, on_grid, patches, resolved
from kdcore import Requires
from kdcore.ops import at_least_float32, full_precision

if TYPE_CHECKING:
    from kd_feature.options.embeddings import DenseOptions
    from kdcore import Batch, ModelOutput, Progress, Setup

_HIDDEN = 2048


class Dense(nn.Module):
    """The distiller `dense`, with the loss term `dense`: the mean squared difference of projected maps.

    The teacher's maps are joined along the channels, without a norm. The student's last map goes through a linear layer
    for each position, after `hidden_layers` of linear layer, layer norm and GELU, and is resized to the teacher's grid.

    Raises:
        ValueError: there is no teacher, or the grids of its stages differ.
        UserError: a model has no such stage.
    """

    def __init__(self, options: DenseOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        teacher = teacher_of(setup)
        self.student_stage = resolved(options.student_stage, setup.student)
        self.teacher_stages = options.teacher_stages or blocks_of(teacher)[-2:] or (4,)
        infos = [teacher.stage(stage) for stage in self.teacher_stages]
        grids = {info.grid for info in infos}
        if len(grids) > 1:
            raise ValueError(
                f"the teacher's stages {list(self.teacher_stages)} have different grids; choose others"
            )
        (self.grid,) = grids
        width = setup.student.stage(self.student_stage).channels
        layers: list[nn.Module] = []
        for _ in range(options.hidden_layers):
            layers += [small_linear(width, _HIDDEN), nn.LayerNorm(_HIDDEN), nn.GELU()]
            width = _HIDDEN
        self.projection = nn.Sequential(*layers, small_linear(width, sum(info.channels for info in infos)))
        self.requires = Requires(
            student_stages=(self.student_stage,), teacher_stages=self.teacher_stages, teacher_logits=False
        )

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        of_student = student.features[self.student_stage].map
        with full_precision(of_student.device):
            projected = self.projection(patches(at_least_float32(of_student)))
            resized = on_grid(projected.transpose(1, 2).unflatten(2, of_student.shape[2:]), self.grid)
        of_teacher = torch.cat([teacher.features[stage].map for stage in self.teacher_stages], dim=1)
        return {"dense": self.options.weight * hint_loss(resized, of_teacher)}
