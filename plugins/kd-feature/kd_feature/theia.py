"""Theia: match all tokens of an image as one vector, after a small convolutional head."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional as F

from kd_feature.directions import cosines
from kd_feature.phi_s import Moments, Standardise
from kd_feature.stages import teacher_of
from kd_feature.tokens import on_grid, patches, resolved
from kdcore import Batch, ModelOutput, Progress, Requires, Setup
from kdcore.ops import at_least_float32, check_same_shape, full_precision, prepare_features

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kd_feature.options.embeddings import TheiaOptions

_COSINE, _SMOOTH_L1 = 0.9, 0.1


def theia_loss(student_tokens: Tensor, teacher_tokens: Tensor) -> Tensor:
    """0.9 * (1 - cosine of the flattened tokens) + 0.1 * smooth L1, the mean over the samples.

    Both have the same shape `[B, N, D]`; the cosine is that of vectors of N * D numbers. The gradient goes to the
    student only. The result is float32 if the tokens have a narrower type, otherwise it has the type of the student's
    tokens.

    Source: Shang et al., "Theia: Distilling Diverse Vision Foundation Models for Robot Learning", CoRL 2024, and the
    authors' code.

    Raises:
        ValueError: the shapes or types do not fit.
    """
    check_same_shape(student_tokens, teacher_tokens)
    student, teacher = prepare_features(student_tokens, teacher_tokens)
    with full_precision(student.device):
        cosine = cosines(student.flatten(1), teacher.flatten(1)).mean()
        return _COSINE * (1 - cosine) + _SMOOTH_L1 * F.smooth_l1_loss(student, teacher)


class TheiaHead(nn.Module):
    """Theia's light convolutional translator: `[B, C, H, W]` to tokens `[B, H * W, D]`.

    Layer norm over channels and positions, then twice a 3x3 convolution, ReLU and such a layer norm, then a linear
    layer for each position. The authors change the grid by the strides of the convolutions, for a few grids only; here
    the student's map is resized first.
    """

    def __init__(self, channels: int, dim: int, grid: tuple[int, int]) -> None:
        super().__init__()
        shape = (channels, *grid)
        self.layers = nn.Sequential(
            nn.LayerNorm(shape),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.LayerNorm(shape),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.LayerNorm(shape),
        )
        self.linear = nn.Linear(channels, dim)

    def forward(self, features: Tensor) -> Tensor:
        """`[B, C, H, W]` to `[B, H * W, D]`."""
        tokens: Tensor = self.linear(patches(self.layers(features)))
        return tokens


class Theia(nn.Module):
    """The distiller `theia`, with the loss term `theia`, on the tokens of a map.

    The teacher's tokens are standardised for each channel, with statistics of the training set that are buffers.

    Raises:
        ValueError: there is no teacher.
        UserError: a model has no such stage.
    """

    def __init__(self, options: TheiaOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        teacher = teacher_of(setup)
        self.stages = (
            resolved(options.student_stage, setup.student),
            resolved(options.teacher_stage, teacher),
        )
        target = teacher.stage(self.stages[1])
        self.head = TheiaHead(setup.student.stage(self.stages[0]).channels, target.channels, target.grid)
        self.target = Standardise(target.channels) if options.standardise else nn.Identity()
        self.requires = Requires(
            student_stages=self.stages[:1], teacher_stages=self.stages[1:], teacher_logits=False
        )
        if options.standardise:
            self.__class__ = StandardisedTheia  # only this one asks for a pass over the training set

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        of_student, of_teacher = (
            output.features[stage].map for output, stage in zip((student, teacher), self.stages, strict=True)
        )
        height, width = of_teacher.shape[2:]
        with full_precision(of_student.device):
            tokens = self.head(on_grid(at_least_float32(of_student), (height, width)))
            target = self.target(patches(of_teacher.detach()))
        return {"theia": self.options.weight * theia_loss(tokens, target)}


class StandardisedTheia(Theia):
    """The same with standardised tokens: it looks at the teacher's outputs before the first step."""

    def prepare(self, outputs: Iterable[tuple[ModelOutput, Batch]]) -> None:
        """Compute the statistics of the teacher's tokens."""
        moments = None
        for teacher, _ in outputs:
            tokens = patches(teacher.features[self.stages[1]].map)
            moments = moments or Moments(tokens.shape[-1], tokens.device)
            moments.add(tokens)
        if moments is not None:
            assert isinstance(self.target, Standardise)
            self.target.fit(moments)
