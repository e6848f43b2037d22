"""Manifold distillation: match the similarities of tokens within an image, between images, and of random tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_feature.directions import unit
from kd_feature.gram import gram_difference
from kd_feature.shared_draws import SharedDraws
from kd_feature.stages import maps, needed, shapes, stage_pairs
from kd_feature.tokens import check_tokens, patches
from kdcore.ops import full_precision, prepare_features

if TYPE_CHECKING:
    from kd_feature.options.relations import ManifoldOptions
    from kdcore import Batch, ModelOutput, Progress, Setup


def manifold_patch_loss(student_tokens: Tensor, teacher_tokens: Tensor) -> Tensor:
    """The mean squared difference of the cosine similarities of every two tokens of an image, over `[B, N, N]`.

    Tokens are `[B, N, D]`; B and N have to be equal. The gradient goes to the student only. The tables are not kept.
    The result is float32 if the tokens have a narrower type, otherwise it has the type of the student's tokens.

    Source: Hao et al., "Learning Efficient Vision Transformers via Fine-Grained Manifold Distillation", NeurIPS 2022,
    and the authors' code.

    Raises:
        ValueError: the shapes or types do not fit.
    """
    student, teacher = _unit(student_tokens, teacher_tokens)
    return gram_difference(student, teacher)


def manifold_sample_loss(student_tokens: Tensor, teacher_tokens: Tensor) -> Tensor:
    """The same between the samples of the batch, for each place of a token: over `[N, B, B]`.

    Args, result, source and errors are those of `manifold_patch_loss`.
    """
    student, teacher = _unit(student_tokens, teacher_tokens)
    return gram_difference(student.transpose(0, 1), teacher.transpose(0, 1))


def manifold_random_loss(student_tokens: Tensor, teacher_tokens: Tensor, index: Tensor) -> Tensor:
    """The same between some tokens of all samples, which the index `[K]` chooses among the B * N: over `[K, K]`.

    Args, result and source are those of `manifold_patch_loss`.

    Raises:
        ValueError: the shapes or types do not fit, or the index has no tokens.
    """
    check_tokens(student_tokens, teacher_tokens)
    if not index.numel():
        raise ValueError(
            "the index has no tokens, so there is nothing to compare; give the places of at least one"
        )
    student, teacher = prepare_features(student_tokens, teacher_tokens, dims=3)
    with full_precision(student.device):
        # the other tokens are not computed with
        chosen = [unit(one.flatten(0, 1)[index]).unsqueeze(0) for one in (student, teacher)]
        return gram_difference(*chosen)


def _unit(student_tokens: Tensor, teacher_tokens: Tensor) -> tuple[Tensor, Tensor]:
    check_tokens(student_tokens, teacher_tokens)
    student, teacher = prepare_features(student_tokens, teacher_tokens, dims=3)
    return unit(student), unit(teacher)


class Manifold(nn.Module):
    """The distiller `manifold`, with the loss terms `patch`, `sample` and `random`: each the mean over the stages.

    Tokens are the positions of a map, without class and register tokens. If one grid is a multiple of the other one,
    neighbouring tokens of the finer grid are joined to one token by concatenation.

    Raises:
        ValueError: there is no teacher, or two grids do not fit.
        UserError: a model has no such stage.
    """

    def __init__(self, options: ManifoldOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.pairs = stage_pairs(options.stages)
        self.requires = needed(self.pairs, whole_batch=True)
        for of_student, of_teacher in shapes(self.pairs, setup):
            _common_grid(of_student.grid, of_teacher.grid)
        self.draws = SharedDraws(setup)

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss terms, weighted, without those of weight 0."""
        options = self.options
        losses: dict[str, list[Tensor]] = {"patch": [], "sample": [], "random": []}
        weights = (options.patch_weight, options.sample_weight, options.random_weight)
        factors = {name: weight for name, weight in zip(losses, weights, strict=True) if weight}
        generator = self.draws.next()
        for pair in maps(self.pairs, student, teacher):
            tokens = merged(*pair)
            if "patch" in factors:
                losses["patch"].append(manifold_patch_loss(*tokens))
            if "sample" in factors:
                losses["sample"].append(manifold_sample_loss(*tokens))
            if "random" in factors:
                samples, places = tokens[0].shape[:2]
                drawn = torch.randperm(samples * places, generator=generator, device="cpu")
                index = drawn[: options.random_tokens].to(tokens[0].device)
                losses["random"].append(manifold_random_loss(*tokens, index))
        scale = options.weight / len(self.pairs)
        return {name: scale * factor * torch.stack(losses[name]).sum() for name, factor in factors.items()}


def merged(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Two maps `[B, C, H, W]` as tokens `[B, N, D]` with equal N: neighbours on a finer grid are concatenated."""
    ours, theirs = tuple(student.shape[2:]), tuple(teacher.shape[2:])
    grid = _common_grid(ours, theirs)
    return _joined(student, grid), _joined(teacher, grid)


def _joined(features: Tensor, grid: tuple[int, int]) -> Tensor:
    if tuple(features.shape[2:]) == grid:
        return patches(features)
    factors = (features.shape[2] // grid[0], features.shape[3] // grid[1])
    with full_precision(features.device):
        return F.unfold(features, factors, stride=factors).transpose(1, 2)


def _common_grid(ours: tuple[int, ...], theirs: tuple[int, ...]) -> tuple[int, int]:
    """The coarser grid in height and in width.

    Raises:
        ValueError: the finer one is not a multiple of it.
    """
    sides = [(max(pair), min(pair)) for pair in zip(ours, theirs, strict=True)]
    if any(larger % smaller for larger, smaller in sides):
        raise ValueError(
            f"the student's grid is {list(ours)} and the teacher's is {list(theirs)}; tokens can only be joined if one "
            "is a multiple of the other in height and width: choose other stages or another image size"
        )
    (_, height), (_, width) = sides
    return height, width
