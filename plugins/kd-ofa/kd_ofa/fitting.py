"""Which branches a student gets: their kind, how often they halve its grid, and their width."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from kd_ofa.branches import ConvBranch, TokenBranch, init_weights
from kdcore import ModelInfo, Setup, Stage, StageInfo, UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from kd_ofa.options import OFAOptions

Grid = tuple[int, int]


def build_branches(options: OFAOptions, setup: Setup) -> list[nn.Module]:
    """A branch for each of `options.stages`, initialised as in the authors' code.

    Raises:
        UserError: a stage does not exist, or an embedding is not known and no width is given.
    """
    if not options.stages:
        return []
    student = setup.student
    network = _network_stages(student, options.stages)
    kind = branch_kind(student.name, network) if options.branch == "auto" else options.branch
    width = options.width or _embedding_dim(student)
    if kind == "conv" and options.width is None and setup.teacher is not None:
        width = max(width, _embedding_dim(setup.teacher))
    deepest = network[-1].grid
    one_grid = all(info.grid == deepest for info in network)
    branches: list[nn.Module] = []
    for place, stage in enumerate(options.stages):
        info = student.stage(stage)
        if kind == "conv":
            branch: nn.Module = ConvBranch(
                info.channels, halvings(info.grid, deepest), width, setup.num_classes
            )
        else:
            deeper = 4 - stage if isinstance(stage, int) else len(options.stages) - 1 - place
            branch = TokenBranch(
                info.channels,
                info.prefix_tokens,
                mergings=halvings_above(info.grid, options.token_grid)
                if one_grid
                else halvings(info.grid, deepest),
                blocks=max(deeper, 1),
                width=width,
                num_classes=setup.num_classes,
            )
        branches.append(branch.apply(init_weights))
    return branches


def branch_kind(name: str, stages: Sequence[StageInfo]) -> Literal["conv", "token"]:
    """The kind of branch that the authors give to such a student.

    Class or register tokens, or the same grid at all stages, mark a token student. A hierarchical transformer
    has neither, and its shapes look like those of a convolutional network. The authors treat Swin as a token
    student, so for Swin the name decides. They treat CycleMLP and Hire-MLP as convolutional students, and so
    does this function for any other pyramid.
    """
    if any(info.prefix_tokens for info in stages):
        return "token"
    if len(stages) > 1 and len({info.grid for info in stages}) == 1:
        return "token"
    return "token" if "swin" in name.lower() else "conv"


def halvings(grid: Grid, deepest: Grid) -> int:
    """The number of halvings, each rounded up as with a stride of 2, that bring `grid` nearest to `deepest`.

    Nearest by ratio, because networks also round down; at equal distance the smaller number.
    """

    def distance(side: Grid) -> float:
        return abs(math.log(side[0] / deepest[0])) + abs(math.log(side[1] / deepest[1]))

    count, best = 0, (distance(grid), 0)
    while max(grid) > 1:
        grid = (-(-grid[0] // 2), -(-grid[1] // 2))
        count += 1
        best = min(best, (distance(grid), count))
    return best[1]


def halvings_above(grid: Grid, least: int) -> int:
    """The number of halvings that keep the side of a square with the same number of cells at `least` or more."""
    side, count = math.isqrt(grid[0] * grid[1]), 0
    while side >= least * 2 ** (count + 1):
        count += 1
    return count


def _network_stages(student: ModelInfo, stages: Sequence[Stage]) -> tuple[StageInfo, ...]:
    """Stages 1..4 if the branches are at these; otherwise the stages of the branches, as there may be no others."""
    if all(isinstance(stage, int) for stage in stages):
        return student.stages
    return tuple(student.stage(stage) for stage in stages)


def _embedding_dim(model: ModelInfo) -> int:
    try:
        return model.embedding_dim
    except UserError as error:
        hint = "or give ofa the option 'width', the features in front of a branch's classifier"
        raise UserError(
            replace(problem, hint=f"{problem.hint}, {hint}" if problem.hint else hint)
            for problem in error.problems
        ) from error
