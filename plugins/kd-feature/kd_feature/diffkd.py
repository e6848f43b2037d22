"""DiffKD: a diffusion model of the teacher's features removes the noise of the student's before they are compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_feature.diffusion import Autoencoder, FeatureDiffusion
from kd_feature.heads import resized
from kd_feature.shared_draws import SharedDraws
from kd_feature.stages import maps, needed, shapes, stage_pairs
from kdcore.ops import logits_of, prepare_features, prepare_logits

if TYPE_CHECKING:
    from kd_feature.options.generation import DiffKDOptions
    from kdcore import Batch, ModelOutput, Progress, Setup


class DiffKD(nn.Module):
    """The distiller `diffkd`, with the loss terms `features`, `logits`, `noise` and `reconstruction`.

    The terms `noise` and `reconstruction` train the diffusion models and the autoencoder. They have batch norm, so they
    see the whole batch, and every process draws the same noise. The student's map is first resized to the teacher's
    grid.

    Raises:
        ValueError: there is no teacher.
        UserError: a model has no such stage.
    """

    def __init__(self, options: DiffKDOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.pairs = stage_pairs(options.stages)
        self.requires = needed(self.pairs, whole_batch=True, teacher_logits=True)
        both, latent = shapes(self.pairs, setup), options.latent_channels
        self.autoencoders = nn.ModuleList(
            [] if latent is None else [Autoencoder(t.channels, latent) for _, t in both]
        )
        self.of_maps = nn.ModuleList(
            FeatureDiffusion(s.channels, t.channels if latent is None else latent, 3, options.steps)
            for s, t in both
        )
        classes = setup.num_classes
        self.of_logits = FeatureDiffusion(classes, classes, 1, options.steps)
        self.draws = SharedDraws(setup)

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss terms, weighted."""
        features, noises, errors = [], [], []
        generator = self.draws.next(logits_of(student, teacher)[0].device)
        for number, (ours, theirs) in enumerate(maps(self.pairs, student, teacher)):
            ours, theirs = resized(ours, (theirs.shape[2], theirs.shape[3])), theirs.detach()
            error = theirs.new_zeros(())
            if self.autoencoders:
                theirs, error = self.autoencoders[number](theirs)
            refined, target, noise = self.of_maps[number](ours, theirs, generator)
            features.append(F.mse_loss(*prepare_features(refined, target)))
            noises.append(noise)
            errors.append(error)
        logits, theirs = (one[:, :, None, None] for one in logits_of(student, teacher))
        refined, target, noise = self.of_logits(logits, theirs.to(logits.dtype), generator)
        mine, taught = prepare_logits(refined.flatten(1), target.flatten(1))
        divergence = F.kl_div(
            F.log_softmax(mine, 1), F.log_softmax(taught, 1), reduction="batchmean", log_target=True
        )
        terms = {
            "features": torch.stack(features).sum(),
            "logits": divergence,
            "noise": torch.stack([*noises, noise]).sum(),
            "reconstruction": torch.stack(errors).sum(),
        }
        return {name: self.options.weight * term for name, term in terms.items()}
