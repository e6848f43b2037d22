"""Theia: match all tokens of an image as one vector, after a small convolutional head."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
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

    Outputs = ModelOutput | dict[str, ModelOutput]

_COSINE, _SMOOTH_L1 = 0.9, 0.1
_ONLY = ""  # the name of a teacher that is the only one here


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
    """The distiller `theia`, with the loss term `theia`: the mean over the teachers of `theia_loss`.

    Each teacher has a head of the student. The teachers' tokens are standardised for each channel, with statistics of
    the training set that are buffers.

    Raises:
        ValueError: there is no teacher.
        UserError: a model has no such stage.
    """

    def __init__(self, options: TheiaOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        # a spec with several teachers, of which the distiller names none, gives no single one
        several = setup.teacher is None and bool(setup.teachers)
        teachers = setup.teachers if several else {_ONLY: teacher_of(setup)}
        self.student_stage = resolved(options.student_stage, setup.student)
        self.teacher_stages = {name: resolved(options.teacher_stage, one) for name, one in teachers.items()}
        channels = setup.student.stage(self.student_stage).channels
        self.heads, self.targets = nn.ModuleList(), nn.ModuleList()
        for name, one in teachers.items():
            target = one.stage(self.teacher_stages[name])
            self.heads.append(TheiaHead(channels, target.channels, target.grid))
            self.targets.append(Standardise(target.channels) if options.standardise else nn.Identity())
        stages = {name: (stage,) for name, stage in self.teacher_stages.items()}
        self.requires = Requires(
            student_stages=(self.student_stage,),
            teacher_stages=stages if several else stages[_ONLY],
            teacher_logits=False,
            several_teachers=several,
        )
        if options.standardise:
            self.__class__ = StandardisedTheia  # only this one asks for a pass over the training set

    def forward(
        self, student: ModelOutput, teacher: Outputs, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        features = at_least_float32(student.features[self.student_stage].map)
        losses = []
        for head, target, seen in zip(self.heads, self.targets, self._maps(teacher), strict=True):
            with full_precision(features.device):
                tokens = head(on_grid(features, (seen.shape[2], seen.shape[3])))
                losses.append(theia_loss(tokens, target(patches(seen.detach()))))
        return {"theia": self.options.weight * torch.stack(losses).mean()}

    def _maps(self, teacher: Outputs) -> list[Tensor]:
        """The map of each teacher."""
        outputs = teacher if isinstance(teacher, dict) else {_ONLY: teacher}
        return [outputs[name].features[stage].map for name, stage in self.teacher_stages.items()]


class StandardisedTheia(Theia):
    """The same with standardised tokens: it looks at the teachers' outputs before the first step."""

    def prepare(self, outputs: Iterable[tuple[Outputs, Batch]]) -> None:
        """Compute the statistics of the teachers' tokens."""
        moments: list[Moments] = []
        for teacher, _ in outputs:
            every = [patches(one) for one in self._maps(teacher)]
            moments = moments or [Moments(one.shape[-1], one.device) for one in every]
            for found, tokens in zip(moments, every, strict=True):
                found.add(tokens)
        for target, found in zip(self.targets, moments, strict=bool(moments)):
            assert isinstance(target, Standardise)
            target.fit(found)
