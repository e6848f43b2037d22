"""Proteus: match the teacher's class token and all its tokens, without labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from kd_feature.fitnet import hint_loss
from kd_feature.projections import normed_linear
from kd_feature.stages import teacher_of
from kd_feature.tokens import all_tokens, class_token, resolved
from kdcore import Batch, ModelOutput, Progress, Requires, Setup
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
    """The distiller `proteus`, with the loss terms `token` (class token) and `feature` (all tokens).

    Each has a head of layer norm and linear layer for the student. A model without a class token has the mean of its
    map instead. The student's map is resized to the teacher's grid.

    Raises:
        ValueError: there is no teacher.
        UserError: a model has no such stage.
    """

    def __init__(self, options: ProteusOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        teacher = teacher_of(setup)
        self.stages = (
            resolved(options.student_stage, setup.student),
            resolved(options.teacher_stage, teacher),
        )
        dims = (setup.student.stage(self.stages[0]).channels, teacher.stage(self.stages[1]).channels)
        weights = {"token": options.token_weight, "feature": options.feature_weight}
        self.heads = nn.ModuleDict({name: normed_linear(*dims) for name, weight in weights.items() if weight})
        if not self.heads:
            raise ValueError("token_weight and feature_weight are both 0; at least one must be above 0")
        self.requires = Requires(
            student_stages=self.stages[:1], teacher_stages=self.stages[1:], teacher_logits=False
        )

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss terms, weighted, without those of weight 0."""
        options = self.options
        ours, theirs = student.features[self.stages[0]], teacher.features[self.stages[1]]
        height, width = theirs.map.shape[2:]
        terms = {}
        with full_precision(ours.map.device):
            if "token" in self.heads:
                head, factor = self.heads["token"], options.weight * options.token_weight
                projected = head(at_least_float32(class_token(ours)))
                terms["token"] = factor * hint_loss(projected, class_token(theirs))
            if "feature" in self.heads:
                head, factor = self.heads["feature"], options.weight * options.feature_weight
                projected = head(at_least_float32(all_tokens(ours, (height, width))))
                terms["feature"] = factor * hint_loss(projected, all_tokens(theirs, (height, width)))
        return terms
