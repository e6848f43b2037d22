"""UNIC: learn from several teachers at once, and for each image mostly from the one that is matched worst."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_feature.directions import cosines
from kd_feature.ladders import BlockHead, Ladder
from kd_feature.running import RunningStandardise
from kd_feature.tokens import blocks_of, class_token, on_grid, patches, resolved
from kdcore import Batch, ModelOutput, Progress, Requires, Setup, Stage
from kdcore.ops import at_least_float32, full_precision, sum_over_processes, world_size

if TYPE_CHECKING:
    from kd_feature.options.embeddings import UNICOptions


def keep_teachers(losses: Tensor, drop_probability: float) -> Tensor:
    """Which teachers count for which sample: `[T, B]` of 0 and 1, for losses `[T, B]`.

    The teacher with the largest loss always counts; each other one does not with this probability.

    Source: Sariyildiz et al., "UNIC: Universal Classification Models via Multi-teacher Distillation", ECCV 2024,
    section 3.3, and the authors' code.
    """
    losses = losses.detach()
    kept = (torch.rand_like(losses) >= drop_probability).to(losses.dtype)
    return kept.scatter(0, losses.argmax(dim=0, keepdim=True), 1.0)


class UNIC(nn.Module):
    """The distiller `unic`, with a loss term for each teacher, called as the teacher.

    Class token and patches of each teacher are standardised for each channel. The student's heads are a ladder: one MLP
    for each block, and their outputs are added; or one transformer block and a linear layer, as DUNE has them. A model
    without a class token has the mean of its map instead, and the student's maps are resized to the teacher's grid.

    The statistics are buffers, over the batches of all processes; every process has the same.

    Raises:
        ValueError: there is no teacher.
        UserError: a model has no such stage.
    """

    def __init__(self, options: UNICOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        if not setup.teachers:
            raise ValueError("it learns from one teacher or several, and there is none")
        self.names = tuple(setup.teachers)
        last: Stage = resolved("last", setup.student)
        blocks: tuple[Stage, ...] = blocks_of(setup.student) or (4,)
        self.stages = (last,) if options.head == "block" else options.student_stages or blocks
        self.teacher_stages: dict[str, Stage] = {
            name: resolved(options.teacher_stage, info) for name, info in setup.teachers.items()
        }
        widths = [setup.student.stage(stage).channels for stage in self.stages]
        self.heads, self.targets = nn.ModuleList(), nn.ModuleList()
        for name, info in setup.teachers.items():
            dim = info.stage(self.teacher_stages[name]).channels
            if options.head == "block":
                self.heads.append(BlockHead(widths[0], dim))
            else:
                ladder = (widths, dim, options.hidden_dim, options.last_hidden_dim)
                self.heads.append(nn.ModuleList([Ladder(*ladder), Ladder(*ladder)]))
            self.targets.append(nn.ModuleList([RunningStandardise(dim), RunningStandardise(dim)]))
        self.requires = Requires(
            student_stages=self.stages,
            teacher_stages={name: (stage,) for name, stage in self.teacher_stages.items()},
            teacher_logits=False,
            several_teachers=True,
        )

    def forward(
        self, student: ModelOutput, teacher: dict[str, ModelOutput], batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term of each teacher, weighted."""
        options = self.options
        momentum = self._momentum(progress)
        losses = torch.stack(
            [self._losses(number, student, teacher[name], momentum) for number, name in enumerate(self.names)]
        )
        kept = keep_teachers(losses, options.drop_probability)
        if options.balance == "image":
            shares = kept / kept.sum(dim=0) / kept.shape[1]
        else:
            # the mean over the processes of their terms is then the sum over the whole batch divided by its count
            shares = kept / (sum_over_processes(kept.sum()) / world_size())
        weighted = options.weight * (shares * losses).sum(dim=1)
        return dict(zip(self.names, weighted, strict=True))

    def _momentum(self, progress: Progress) -> float:
        """Along a cosine from the first to the last value."""
        first, last = self.options.momentum_start, self.options.momentum_end
        part = min(progress.step / max(progress.total_steps, 1), 1.0)
        return last + 0.5 * (first - last) * (1 + math.cos(math.pi * part))

    def _losses(self, number: int, student: ModelOutput, teacher: ModelOutput, momentum: float) -> Tensor:
        """The losses `[B]` of one teacher, the mean of class token and patches."""
        options = self.options
        seen = teacher.features[self.teacher_stages[self.names[number]]]
        grid = (seen.map.shape[2], seen.map.shape[3])
        features = [student.features[stage] for stage in self.stages]
        own = [at_least_float32(class_token(one)) for one in features]
        tokens = [patches(on_grid(at_least_float32(one.map), grid)) for one in features]
        head = self.heads[number]
        with full_precision(tokens[0].device):
            if isinstance(head, BlockHead):
                joined = head(torch.cat([own[0].unsqueeze(1), tokens[0]], dim=1))
                found = (joined[:, 0], joined[:, 1:])
            else:
                of_class, of_patches = cast("nn.ModuleList", head)
                found = (of_class(own), of_patches(tokens))
            targets = [
                norm(at_least_float32(target.detach()), options.standardise, momentum)
                for norm, target in zip(
                    cast("nn.ModuleList", self.targets[number]),
                    (class_token(seen), patches(seen.map)),
                    strict=True,
                )
            ]
            pairs = zip(found, targets, strict=True)
            both = [of_each_sample(*pair, options.cosine_weight, options.smooth_l1_weight) for pair in pairs]
        return (both[0] + both[1]) / 2


def of_each_sample(student: Tensor, teacher: Tensor, cosine: float, smooth_l1: float) -> Tensor:
    """`unic_loss` of each sample, `[B]`."""
    teacher = teacher.to(student.dtype)
    apart = 1 - cosines(student, teacher).reshape(len(student), -1).mean(dim=1)
    smooth = F.smooth_l1_loss(student, teacher, reduction="none").flatten(1).mean(dim=1)
    return cosine * apart + smooth_l1 * smooth
