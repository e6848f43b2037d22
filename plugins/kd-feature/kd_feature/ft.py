"""FT: the student's factors, from a trained translator, match those of a network that compresses the teacher's map."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_feature.grids import on_one_grid
from kd_feature.stages import maps, needed, shapes, stage_pairs
from kdcore.ops import prepare_features

if TYPE_CHECKING:
    from kd_feature.options.initial import FTOptions
    from kdcore import Batch, ModelOutput, Progress, Setup

_SLOPE = 0.1  # of the authors' leaky ReLU


def ft_loss(student_factor: Tensor, teacher_factor: Tensor, p1: float = 2, p2: float = 1) -> Tensor:
    """The mean difference, to the power `p2`, of both factors' maps of attention.

    The attention of a place is the mean over the channels of value^`p1`. A sample's map is divided by its L2 norm. A
    power `p1` that is not whole is for factors without negative values.

    Both factors are `[B, C, H, W]`; only B has to be equal, and the larger grid is averaged down to the smaller one.
    The gradient goes to the student only. The result is float32 if the factors have a narrower type, otherwise it has
    the type of the student's factor.

    Source: Kim et al., "Paraphrasing Complex Network: Network Compression via Factor Transfer", NeurIPS 2018, equation
    3, in the form of RepDistiller's `FactorTransfer`; the paper normalises the whole factor.

    Raises:
        ValueError: the shapes or types do not fit.
    """
    ours, theirs = on_one_grid(*prepare_features(student_factor, teacher_factor, dims=4))
    apart = (_attention(ours, p1) - _attention(theirs, p1)).abs()
    return (apart if p2 == 1 else apart.pow(p2)).mean()


def _attention(factor: Tensor, power: float) -> Tensor:
    return F.normalize(factor.pow(power).mean(dim=1).flatten(1), dim=1)


class Paraphraser(nn.Module):
    """Three 3x3 convolutions to the teacher's factors and three transposed ones back, each with leaky ReLU."""

    def __init__(self, channels: int, factors: int) -> None:
        super().__init__()
        self.encoder = _layers(channels, channels, factors, norm=False)
        back = ((factors, factors), (factors, channels), (channels, channels))
        self.decoder = nn.Sequential(
            *(
                layer
                for inputs, outputs in back
                for layer in (nn.ConvTranspose2d(inputs, outputs, 3, padding=1), nn.LeakyReLU(_SLOPE))
            )
        )

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """`[B, C, H, W]` -> the factors `[B, factors, H, W]`, and the map that is made of them."""
        factor = self.encoder(features)
        return factor, self.decoder(factor)


def translator(channels: int, factors: int) -> nn.Sequential:
    """Three 3x3 convolutions to the student's factors, each with batch norm and leaky ReLU."""
    return _layers(channels, channels, factors, norm=True)


def _layers(channels: int, middle: int, factors: int, *, norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in ((channels, middle), (middle, factors), (factors, factors)):
        layers.append(nn.Conv2d(inputs, outputs, 3, padding=1))
        if norm:
            layers.append(nn.BatchNorm2d(outputs))
        layers.append(nn.LeakyReLU(_SLOPE))
    return nn.Sequential(*layers)


class FT(nn.Module):
    """The distiller `ft`, with the loss terms `ft` and `paraphraser`, the error of the paraphraser's reconstruction.

    The translator has batch norm, so it sees the whole batch.

    Raises:
        ValueError: there is no teacher, or a grid is 1x1.
        UserError: a model has no such stage.
    """

    def __init__(self, options: FTOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.pairs = stage_pairs(options.stages)
        # first only the paraphraser is trained, and then only the translator
        self.requires = replace(
            needed(self.pairs, whole_batch=True), idle_parameters=options.paraphraser_epochs is not None
        )
        self.paraphrasers, self.translators = nn.ModuleList(), nn.ModuleList()
        for of_student, of_teacher in shapes(self.pairs, setup):
            if (1, 1) in (of_teacher.grid, of_student.grid):
                raise ValueError(
                    "ft compares places, and a map has a grid of one place; use shallower stages or larger images"
                )
            factors = max(int(of_teacher.channels * options.ratio), 1)
            self.paraphrasers.append(Paraphraser(of_teacher.channels, factors))
            self.translators.append(translator(of_student.channels, factors))

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss terms, weighted; `ft` is 0 in the epochs of the paraphraser alone."""
        options = self.options
        alone = fixed = False
        if (
            options.paraphraser_epochs is not None
        ):  # an if, because a compiled step has no number that `not` takes
            if progress.epoch < options.paraphraser_epochs:
                alone = True
            else:
                fixed = True
        losses, errors = [], []
        pairs = zip(self.paraphrasers, self.translators, maps(self.pairs, student, teacher), strict=True)
        for paraphraser, translate, (ours, theirs) in pairs:
            theirs = theirs.detach()
            with torch.set_grad_enabled(torch.is_grad_enabled() and not fixed):
                factor, again = paraphraser(theirs)
                errors.append(F.mse_loss(*prepare_features(again, theirs)))
            if alone:
                losses.append(torch.zeros_like(errors[-1]))
            else:
                losses.append(ft_loss(translate(ours), factor, options.p1, options.p2))
        return {
            "ft": options.weight * torch.stack(losses).sum(),
            "paraphraser": options.weight * options.paraphraser_weight * torch.stack(errors).sum(),
        }
