"""Proteus: match the teacher's class token and all its tokens, without labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from kd_feature.fitnet import hint_loss
from kd_feature.projections import normed_linear
from kd_feature.stages import teacher_of
from kd_feature.tokens import all_tokens, class_token, on_grid, patches, resolved_pair
from kdcore import (
    Batch,
    FeatureMap,
    ModelInfo,
    ModelOutput,
    Progress,
    Requires,
    Setup,
    StageInfo,
    UserError,
)
from kdcore.ops import at_least_float32, full_precision

if TYPE_CHECKING:
    from kd_feature.options.embeddings import ProteusOptions


def proteus_loss(student_tokens: Tensor, teacher_tokens: Tensor) -> Tensor:
    """The mean squared difference of the class tokens plus that of all tokens.

    Both have the same shape `[B, 1 + N, D]`, with the class token first. The gradient goes to the student only. The
    result is float32 if the tokens have a narrower type, otherwise it has the type of the student's tokens.

    Source: Zhang et al., "Accessing Vision Foundation Models via ImageNet-1K", ICLR 2025, and the authors' code,
    without the term of masked patches.

    Raises:
        ValueError: the shapes or types do not fit.
    """
    if student_tokens.dim() != 3:
        raise ValueError(f"student_tokens has shape {list(student_tokens.shape)}; it must be [B, 1 + N, D]")
    of_class = hint_loss(student_tokens[:, 0], teacher_tokens[:, 0])
    return of_class + hint_loss(student_tokens, teacher_tokens)


class Proteus(nn.Module):
    """The distiller `proteus`, with the loss terms `token` (class token), `feature` (all tokens) and `patch`.

    Each has a head of layer norm and linear layer for the student. A model without a class token has the mean of its
    map instead. The student's map is resized to the teacher's grid. For `patch` the student sees half of the images
    again, with half of their patches replaced by a trained token; the loss is that of these patches.

    Raises:
        ValueError: there is no teacher, all weights are 0, or the student's patches cannot be masked.
        UserError: a model has no such stage.
    """

    def __init__(self, options: ProteusOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        teacher = teacher_of(setup)
        self.stages = resolved_pair(options.student_stage, options.teacher_stage, setup)
        own = setup.student.stage(self.stages[0])
        patches_in = _patches(setup.student, own)
        patch_weight = options.patch_weight
        if patch_weight is None:
            patch_weight = 0.0 if patches_in is None else 1.0
        self.weights = {
            "token": options.token_weight,
            "feature": options.feature_weight,
            "patch": patch_weight,
        }
        dims = (own.channels, teacher.stage(self.stages[1]).channels)
        self.heads = nn.ModuleDict(
            {name: normed_linear(*dims) for name, weight in self.weights.items() if weight}
        )
        if not self.heads:
            raise ValueError("token_weight, feature_weight and patch_weight are 0; one must be above 0")
        if patch_weight:
            if patches_in is None:
                raise ValueError(
                    f"the patches of {setup.student.name} cannot be masked, because its last tokens are not those of "
                    "its patch embedding; set patch_weight to 0"
                )
            self.mask_token = nn.Parameter(torch.zeros(patches_in.channels))
        self.requires = Requires(
            student_stages=self.stages[:1],
            teacher_stages=self.stages[1:],
            teacher_logits=False,
            student_pass=bool(patch_weight),
        )

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss terms, weighted, without those of weight 0."""
        ours, theirs = student.features[self.stages[0]], teacher.features[self.stages[1]]
        grid = (theirs.map.shape[2], theirs.map.shape[3])
        losses = {}
        with full_precision(ours.map.device):
            if "token" in self.heads:
                projected = self.heads["token"](at_least_float32(class_token(ours)))
                losses["token"] = hint_loss(projected, class_token(theirs))
            if "feature" in self.heads:
                projected = self.heads["feature"](at_least_float32(all_tokens(ours, grid)))
                losses["feature"] = hint_loss(projected, all_tokens(theirs, grid))
        if "patch" in self.heads:
            losses["patch"] = self._of_masked(student, ours, theirs, batch)
        return {name: self.options.weight * self.weights[name] * loss for name, loss in losses.items()}

    def _of_masked(self, student: ModelOutput, ours: FeatureMap, theirs: FeatureMap, batch: Batch) -> Tensor:
        """The mean squared difference of the patches that a second pass does not see."""
        if student.student_pass is None:
            raise ValueError(
                "proteus runs the student a second time, and there is no pass; set patch_weight to 0"
            )
        grid, device = (ours.map.shape[2], ours.map.shape[3]), ours.map.device
        samples, places = len(batch.images), grid[0] * grid[1]
        chosen = torch.randperm(samples, device=device)[: max(samples // 2, 1)]
        hidden = max(places // 2, 1)
        mask = torch.rand(len(chosen), places, device=device).argsort(dim=1) < hidden
        seen = student.student_pass(batch.images[chosen], mask, mask_token=self.mask_token)
        with full_precision(device):
            tokens = patches(at_least_float32(seen.features[self.stages[0]].map))
            target = patches(on_grid(theirs.map.detach()[chosen], grid)).to(tokens.dtype)
            apart = (self.heads["patch"](tokens) - target).square().mean(dim=2)
            loss: Tensor = (apart * mask).sum() / (len(chosen) * hidden)
            return loss


def _patches(student: ModelInfo, last: StageInfo) -> StageInfo | None:
    """The output of the patch embedding, if the last tokens stand for the same patches."""
    try:
        found = student.stage("patch_embed")
    except UserError:
        return None
    return found if found.grid == last.grid else None
