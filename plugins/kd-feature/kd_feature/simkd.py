"""SimKD: the student's last map, after a projector, goes through the teacher's classifier, also after training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.nn import functional as F

from kd_feature.grids import on_one_grid
from kd_feature.heads import bottleneck
from kd_feature.stages import StagePair, needed, teacher_of
from kdcore.ops import check_same_shape, prepare_features

if TYPE_CHECKING:
    from kd_feature.options.classifiers import SimKDOptions
    from kdcore import Batch, ModelOutput, Progress, Setup

_LAST = (StagePair(4, 4),)


class ReusedClassifier(nn.Module):
    """The student with the projector and the teacher's layers after stage 4: `[B, C, H, W]` to logits `[B, K]`.

    Args:
        model: the student, or a copy of it.
        extract: one pass of the student, as `ModelInfo.extract`.
        projector: from the student's last map to the teacher's.
        tail: the teacher's layers after stage 4, as `ModelInfo.tail`.
        grid: the largest grid at which the projector works; larger maps are averaged to it.
    """

    def __init__(
        self, model: nn.Module, extract: Any, projector: nn.Module, tail: nn.Module, grid: tuple[int, int]
    ) -> None:
        super().__init__()
        self.model, self.projector, self.tail = model, projector, tail
        self.extract, self.grid = extract, grid

    def forward(self, images: Tensor) -> Tensor:
        """The logits."""
        features = self.extract(self.model, images, (4,)).features[4].map
        if features.shape[2:] != self.grid:
            features = F.adaptive_avg_pool2d(features, self.grid)
        logits: Tensor = self.tail(self.projector(features)).logits
        return logits


class SimKD(nn.Module):
    """The distiller `simkd`, with the loss term `simkd`: the mean squared difference after a projector.

    The larger of both maps is averaged down to the grid of the smaller one. The projector has batch norm, so it sees
    the whole batch. What is evaluated and saved is the student with the projector and the teacher's classifier. The
    task loss reads the student without them, so its weight is 0 by default.

    Raises:
        ValueError: there is no teacher, or it reads a class token.
        UserError: the teacher's layers after stage 4 cannot be run alone.
    """

    def __init__(self, options: SimKDOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.requires = needed(_LAST, whole_batch=True)
        teacher = teacher_of(setup)
        ours, theirs = setup.student.stage(4), teacher.stage(4)
        if theirs.prefix_tokens:
            raise ValueError(
                f"simkd gives the student's map to the teacher's classifier, and {teacher.name} reads a class token, "
                "which the student's map does not have"
            )
        middle = max(theirs.channels // options.factor, 1)
        self.projector = bottleneck(
            ours.channels, middle, theirs.channels, ends_with_relu=options.activation == "relu"
        )
        grid = (min(ours.grid[0], theirs.grid[0]), min(ours.grid[1], theirs.grid[1]))
        self.kept = (setup.student.extract, teacher.tail(4), grid)  # in a tuple, because it is not trained

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        ours, theirs = on_one_grid(student.features[4].map, teacher.features[4].map)
        projected = self.projector(ours)
        check_same_shape(projected, theirs)
        return {"simkd": self.options.weight * F.mse_loss(*prepare_features(projected, theirs))}

    def student(self, model: nn.Module) -> nn.Module:
        """The student with the projector and the teacher's classifier."""
        extract, tail, grid = self.kept
        return ReusedClassifier(model, extract, self.projector, tail, grid)
