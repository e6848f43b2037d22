"""OFD: match the teacher's maps before the ReLU, where what is far below 0 counts as one margin."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_feature.activations import block_end, pairs_before_activation
from kd_feature.heads import conv_norm
from kd_feature.stages import maps, needed, shapes, stage_pairs, teacher_of
from kdcore.ops import at_least_float32, check_same_shape, prepare_features

if TYPE_CHECKING:
    from kd_feature.options.generation import OFDOptions
    from kdcore import Batch, ModelInfo, ModelOutput, Progress, Setup, Stage

_RARE = 0.001  # a channel that is negative less often has the margin -3 sigma


def ofd_loss(student_map: Tensor, teacher_map: Tensor, margin: Tensor) -> Tensor:
    """The squared difference to max(teacher, margin) of one stage, summed; the mean over the samples.

    It counts where the student's value is above that target, or the teacher's value above 0.

    Both maps are `[B, C, H, W]` with the same shape, `margin` `[C]` is below 0. The gradient goes to the student only.
    The result is float32 if the maps have a narrower type, otherwise it has the type of the student's map.

    Source: Heo et al., "A Comprehensive Overhaul of Feature Distillation", ICCV 2019, equation 4, and the authors'
    `distillation_loss`.

    Raises:
        ValueError: the shapes or types do not fit.
    """
    check_same_shape(student_map, teacher_map)
    student, teacher = prepare_features(student_map, teacher_map, dims=4)
    if margin.shape != (student.shape[1],):
        raise ValueError(f"margin has shape {list(margin.shape)}; it must be [C], here [{student.shape[1]}]")
    target = torch.maximum(teacher, margin.detach().to(teacher.dtype).view(1, -1, 1, 1))
    # as numbers, because torch.where takes nine times as long as a product on a CPU
    counts = (student > target).logical_or_(teacher > 0).to(student.dtype)
    return (F.mse_loss(student, target, reduction="none") * counts).sum() / student.shape[0]


def ofd_margin(weight: Tensor, bias: Tensor) -> Tensor:
    """The mean of the negative values of each channel after a batch norm, `[C]`.

    The values are normal with mean `bias` and deviation |`weight`|, both `[C]`. For channels that are negative in less
    than one of a thousand cases it is -3 |`weight`|.

    Source: Heo et al., ICCV 2019, equation 3, and the authors' `get_margin_from_BN`.

    Raises:
        ValueError: the shapes differ or are not [C].
    """
    if weight.shape != bias.shape or weight.dim() != 1:
        raise ValueError(f"weight has shape {list(weight.shape)}, bias {list(bias.shape)}; both must be [C]")
    deviation, mean = at_least_float32(weight.detach()).abs(), at_least_float32(bias.detach())
    steps = mean / deviation.clamp(min=1e-12)
    rarely = torch.special.ndtr(-steps)
    density = torch.exp(-steps.square() / 2) / math.sqrt(2 * math.pi)
    below = mean - deviation * density / rarely.clamp(min=_RARE)
    return torch.where(rarely > _RARE, below, -3 * deviation)


class OFD(nn.Module):
    """The distiller `ofd`, with the loss term `ofd`: `ofd_loss` of each stage: factor 1 for the last, then 1/2.

    Both maps are those before the last ReLU of a stage. The margins come from the teacher's batch norm there. The
    student's map goes through a 1x1 convolution and batch norm, so it sees the whole batch. A teacher's map on another
    grid is averaged to the student's.

    Raises:
        ValueError: there is no teacher, or a norm before the ReLU is not known.
        UserError: a model has no such stage or module.
    """

    def __init__(self, options: OFDOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        teacher = teacher_of(setup)
        chosen = stage_pairs(options.stages)
        norms = _norms(options, [pair.teacher for pair in chosen], teacher)
        self.pairs = pairs_before_activation(chosen, setup.student, teacher)
        self.requires = needed(self.pairs, whole_batch=True)
        self.connectors = nn.ModuleList()
        for number, (of_student, of_teacher) in enumerate(shapes(self.pairs, setup)):
            self.connectors.append(conv_norm(of_student.channels, of_teacher.channels, from_fan_out=True))
            margin = _margin(teacher.module(norms[number]), norms[number], of_teacher.channels)
            self.register_buffer(f"margin{number}", margin)

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        losses = []
        last = len(self.pairs) - 1
        pairs = maps(self.pairs, student, teacher)
        for number, (connector, (ours, theirs)) in enumerate(zip(self.connectors, pairs, strict=True)):
            if theirs.shape[2:] != ours.shape[2:]:
                theirs = F.adaptive_avg_pool2d(theirs, (ours.shape[2], ours.shape[3]))
            margin = self.get_buffer(f"margin{number}")
            losses.append(ofd_loss(connector(ours), theirs, margin) / 2 ** (last - number))
        return {"ofd": self.options.weight * torch.stack(losses).sum()}


def _norms(options: OFDOptions, stages: list[Stage], teacher: ModelInfo) -> list[str]:
    if options.teacher_norms is not None:
        if len(options.teacher_norms) != len(stages):
            raise ValueError(
                f"'teacher_norms' has {len(options.teacher_norms)} paths for {len(stages)} stages; give one per stage"
            )
        return list(options.teacher_norms)
    ends = [block_end(teacher, stage) for stage in stages]
    for stage, end in zip(stages, ends, strict=True):
        if end is None:
            raise ValueError(
                f"ofd takes its margins from the batch norm before a ReLU, and kd knows none at the end of stage "
                f"{stage!r} of {teacher.name}; give 'stages' as paths 'PATH:in' and the norms in 'teacher_norms'"
            )
    return [end.norm for end in ends if end is not None]


def _margin(norm: nn.Module, path: str, channels: int) -> Tensor:
    weight, bias = getattr(norm, "weight", None), getattr(norm, "bias", None)
    fits = isinstance(weight, Tensor) and isinstance(bias, Tensor) and weight.shape == (channels,)
    if not fits:
        raise ValueError(
            f"'{path}' of the teacher is {type(norm).__name__}; ofd needs a norm with a weight and a bias for each "
            f"of {channels} channels"
        )
    assert isinstance(weight, Tensor)
    assert isinstance(bias, Tensor)
    return ofd_margin(weight, bias)
