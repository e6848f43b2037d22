"""SemCKD: each layer of the student learns from all layers of the teacher, with weights from an attention."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_feature.grids import on_one_grid
from kd_feature.heads import bottleneck
from kd_feature.stages import maps, needed, shapes, stage_pairs
from kdcore.ops import at_least_float32, full_precision, prepare_features

if TYPE_CHECKING:
    from kd_feature.options.generation import SemCKDOptions
    from kdcore import Batch, ModelOutput, Progress, Setup

_SHRINK = 4  # the width of queries and keys relative to the batch, from the authors' code
_SMALLEST = 1e-12  # a norm that counts
_BATCH = 64  # the authors' batch, if that of the run is not known


def semckd_loss(pair_losses: Tensor, attention: Tensor) -> Tensor:
    """The sum of the losses of all pairs of layers, weighted by the attention, divided by B and the student's layers.

    Both are `[B, S, T]`: for each sample, the student's layers and the teacher's. The gradient goes to both.

    Source: Chen et al., "Cross-Layer Distillation with Semantic Calibration", AAAI 2021, equation 6.

    Raises:
        ValueError: the shapes differ or are not [B, S, T].
    """
    if pair_losses.shape != attention.shape or pair_losses.dim() != 3:
        raise ValueError(
            f"pair_losses has shape {list(pair_losses.shape)}, attention {list(attention.shape)}; both must be "
            "[B, S, T]"
        )
    losses, weights = at_least_float32(pair_losses), at_least_float32(attention)
    return (losses * weights).sum() / (losses.shape[0] * losses.shape[1])


class Embed(nn.Module):
    """Two linear layers and an L2 norm, of a sample's similarities: `[B, batch]` to `[B, batch // 4]`."""

    def __init__(self, batch_size: int) -> None:
        super().__init__()
        width = max(batch_size // _SHRINK, 1)
        self.layers = nn.Sequential(nn.Linear(batch_size, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))

    def forward(self, similarities: Tensor) -> Tensor:
        """The normalised embedding."""
        return F.normalize(self.layers(similarities), dim=1, eps=_SMALLEST)


class SemCKD(nn.Module):
    """The distiller `semckd`, with the loss term `semckd`: `semckd_loss` of all pairs of the stages.

    The student's map is projected for each pair, and both maps are averaged to the smaller grid. The attention reads
    the similarities of the samples of the whole batch, so its weights belong to one batch size. A smaller batch, as at
    the end of an epoch, counts as one with samples that have similarity 0.

    Raises:
        ValueError: there is no teacher, or batches are larger than `batch_size`.
        UserError: a model has no such stage.
    """

    def __init__(self, options: SemCKDOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.pairs = stage_pairs(options.stages)
        self.requires = needed(self.pairs, whole_batch=True)
        self.batch_size = options.batch_size or setup.batch_size or _BATCH
        if setup.batch_size is not None:
            self._check(setup.batch_size)
        found = shapes(self.pairs, setup)
        self.queries = nn.ModuleList(Embed(self.batch_size) for _ in found)
        self.keys = nn.ModuleList(Embed(self.batch_size) for _ in found)
        self.projectors = nn.ModuleList(
            bottleneck(ours.channels, 2 * theirs.channels, theirs.channels, ends_with_relu=False)
            for ours, _ in found
            for _, theirs in found
        )

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        both = list(maps(self.pairs, student, teacher))
        ours, theirs = [one for one, _ in both], [one.detach() for _, one in both]
        query = torch.stack(
            [embed(self._similar(one)) for embed, one in zip(self.queries, ours, strict=True)], 1
        )
        key = torch.stack(
            [embed(self._similar(one)) for embed, one in zip(self.keys, theirs, strict=True)], 1
        )
        attention = (query @ key.mT / self.options.softness).softmax(dim=2)
        pairs = ((one, other) for one in ours for other in theirs)
        losses = [_differences(project, *pair) for project, pair in zip(self.projectors, pairs, strict=True)]
        table = torch.stack(losses, dim=1).view(len(ours[0]), len(ours), len(theirs))
        return {"semckd": self.options.weight * semckd_loss(table, attention)}

    def _similar(self, features: Tensor) -> Tensor:
        """The products of every two samples `[B, batch_size]`, with zeros for samples that are missing."""
        flat = at_least_float32(features.flatten(1))
        self._check(len(flat))
        with full_precision(flat.device):
            return F.pad(flat @ flat.mT, (0, self.batch_size - len(flat)))

    def _check(self, samples: int) -> None:
        if samples > self.batch_size:
            raise ValueError(
                f"semckd has 'batch_size' {self.batch_size}, and the batch has {samples} samples; set it to the batch "
                "of all processes"
            )


def _differences(project: nn.Module, ours: Tensor, theirs: Tensor) -> Tensor:
    """The mean squared difference of each sample `[B]`."""
    ours, theirs = on_one_grid(ours, theirs)
    mine, taught = prepare_features(project(ours), theirs)
    return (mine - taught).square().flatten(1).mean(dim=1)
