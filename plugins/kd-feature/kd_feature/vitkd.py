"""ViTKD: mimic the teacher's first blocks, and generate its last features from some of the student's tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_feature.heads import generator
from kd_feature.stages import StagePair, needed, shapes, stage_pairs
from kdcore import Problem, UserError
from kdcore.ops import check_same_shape, prepare_features

if TYPE_CHECKING:
    from kd_feature.options.generation import ViTKDOptions
    from kdcore import Batch, ModelOutput, Progress, Setup


def vitkd_mimic_loss(student_tokens: Tensor, teacher_tokens: Tensor) -> Tensor:
    """The squared difference, summed over blocks, tokens and channels; the mean over the samples.

    Both tokens are `[B, blocks, N, D]` with the same shape. The gradient goes to the student only. The result is
    float32 if they have a narrower type, otherwise it has the type of the student's.

    Source: Yang et al., "ViTKD: Practical Guidelines for ViT Feature Knowledge Distillation", CVPRW 2024, equation 1.

    Raises:
        ValueError: the shapes or types do not fit.
    """
    check_same_shape(student_tokens, teacher_tokens)
    student, teacher = prepare_features(student_tokens, teacher_tokens)
    return F.mse_loss(student, teacher, reduction="sum") / student.shape[0]


def vitkd_generation_loss(
    student_tokens: Tensor, teacher_tokens: Tensor, mask: Tensor, mask_ratio: float = 0.5
) -> Tensor:
    """The squared difference at the tokens that were hidden, summed; the mean over the samples, over `mask_ratio`.

    Both tokens are `[B, N, D]` with the same shape, `mask` `[B, N]` is 1 for the tokens that count. The gradient goes
    to the student only. The result is float32 if they have a narrower type, otherwise it has the type of the student's.

    Source: Yang et al., CVPRW 2024, equation 3, with the sums of the authors' code.

    Raises:
        ValueError: the shapes or types do not fit, or the ratio is not above 0.
    """
    check_same_shape(student_tokens, teacher_tokens)
    student, teacher = prepare_features(student_tokens, teacher_tokens, dims=3)
    if mask.shape != student.shape[:2]:
        raise ValueError(
            f"mask has shape {list(mask.shape)}; it must be [B, N], here {list(student.shape[:2])}"
        )
    if not mask_ratio > 0:
        raise ValueError(f"mask_ratio is {mask_ratio}; it must be above 0")
    apart = (student - teacher).square().sum(dim=2)
    return (apart * mask.to(apart.dtype)).sum() / student.shape[0] / mask_ratio


class ViTKD(nn.Module):
    """The distiller `vitkd`, with the loss terms `mimic` and `generation`.

    Class and register tokens are not used.

    Raises:
        ValueError: there is no teacher.
        UserError: a model has no such module, or the numbers of tokens differ.
    """

    def __init__(self, options: ViTKDOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.low = stage_pairs(options.stages)
        (self.high,) = stage_pairs((options.last,))
        self.requires = needed((*self.low, self.high))
        found = shapes((*self.low, self.high), setup)
        for pair, (of_student, of_teacher) in zip((*self.low, self.high), found, strict=True):
            if of_student.grid != of_teacher.grid:
                raise UserError(_unequal(pair, of_student.grid, of_teacher.grid))
        self.aligns = nn.ModuleList(
            nn.Identity() if s.channels == t.channels else nn.Linear(s.channels, t.channels) for s, t in found
        )
        width = found[-1][1].channels
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.generator = generator(width)

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss terms, weighted."""
        options = self.options
        *low, align = self.aligns
        mimic = [
            vitkd_mimic_loss(
                one(_tokens(student.features[pair.student].map)).unsqueeze(1),
                _tokens(teacher.features[pair.teacher].map).unsqueeze(1),
            )
            for one, pair in zip(low, self.low, strict=True)
        ]
        ours = student.features[self.high.student].map
        theirs = _tokens(teacher.features[self.high.teacher].map)
        tokens = align(_tokens(ours))
        mask = self._mask(tokens)
        hidden = torch.where(mask.unsqueeze(2) > 0, self.mask_token.to(tokens.dtype), tokens)
        made = _tokens(self.generator(hidden.mT.reshape(len(hidden), -1, *ours.shape[2:])))
        generation = vitkd_generation_loss(made, theirs, mask, options.mask_ratio)
        return {
            "mimic": options.weight * options.mimic_weight * torch.stack(mimic).sum(),
            "generation": options.weight * options.generation_weight * generation,
        }

    def _mask(self, tokens: Tensor) -> Tensor:
        """`[B, N]`: 1 for the tokens that are hidden; int(N (1 - ratio)) of each sample are kept, by chance."""
        samples, count = tokens.shape[:2]
        kept = int(count * (1 - self.options.mask_ratio))
        order = torch.rand(samples, count, device=tokens.device).argsort(dim=1).argsort(dim=1)
        return (order >= kept).to(torch.float32)


def _tokens(features: Tensor) -> Tensor:
    return features.flatten(2).mT


def _unequal(pair: StagePair, ours: tuple[int, int], theirs: tuple[int, int]) -> Problem:
    return Problem(
        "distiller",
        f"vitkd compares token by token, and the student's {pair.student!r} has {ours[0]}x{ours[1]} tokens, the "
        f"teacher's {pair.teacher!r} {theirs[0]}x{theirs[1]}",
        hint="use models with one grid of tokens, or a distiller that resizes maps, such as mgd or reviewkd",
    )
