"""SRD: match standardised embeddings after a linear projection, with a loss that emphasises large differences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_feature.stages import teacher_of
from kd_feature.standardised import standardised
from kdcore import Batch, ModelOutput, Progress, Requires, Setup
from kdcore.ops import (
    at_least_float32,
    check_positive,
    check_same_shape,
    embeddings_of,
    full_precision,
    prepare_features,
)

if TYPE_CHECKING:
    from kd_feature.options.relations import SRDOptions

_EPS = 1e-4  # from the authors' code, added to the variances


def srd_loss(student_embedding: Tensor, teacher_embedding: Tensor, exponent: float = 4.0) -> Tensor:
    """Log of the sum over samples and channels of |z_s - z_t|^exponent.

    z are the embeddings, standardised over the batch: the biased variance plus 1e-4. The student's embedding is
    already projected: both have the shape `[B, D]`. The gradient goes to the student only. Where both agree, the value
    is the log of the smallest number of the type instead of minus infinity. A batch of one has loss 0. The result is
    float32 if the embeddings have a narrower type, otherwise it has the type of the student's embedding.

    Source: Miles et al., "Understanding the Role of the Projector in Knowledge Distillation", AAAI 2024, and the
    authors' code for ImageNet.

    Raises:
        ValueError: the shapes or types do not fit, or the exponent is not above 0.
    """
    check_positive("exponent", exponent)
    check_same_shape(student_embedding, teacher_embedding)
    student, teacher = prepare_features(student_embedding, teacher_embedding, dims=2)
    if len(student) == 1:
        return 0.0 * student.sum()
    with full_precision(student.device):
        ours, theirs = (F.batch_norm(one, None, None, training=True, eps=_EPS) for one in (student, teacher))
        total = _powers(ours - theirs, exponent).sum()
        return total.clamp(min=torch.finfo(total.dtype).tiny).log()


def srd_correlation_loss(
    student_embedding: Tensor, teacher_embedding: Tensor, exponent: float = 4.0, eps: float = 1e-5
) -> Tensor:
    """Log of (eps plus the sum over the channels of |1 - c|^exponent), c the correlation of a channel of both models.

    Both embeddings have the same shape `[B, D]`; the student's is already projected. The gradient goes to the student
    only. A channel whose samples are all equal has correlation 0. The result is float32 if the embeddings have a
    narrower type, otherwise it has the type of the student's embedding.

    Source: Miles et al., "Understanding the Role of the Projector in Knowledge Distillation", AAAI 2024, and the
    authors' code for DeiT.

    Raises:
        ValueError: the shapes or types do not fit, or the exponent or eps is not above 0.
    """
    check_positive("exponent", exponent)
    check_positive("eps", eps)
    check_same_shape(student_embedding, teacher_embedding)
    student, teacher = prepare_features(student_embedding, teacher_embedding, dims=2)
    with full_precision(student.device):
        correlation = (standardised(student) * standardised(teacher)).mean(dim=0)
        return (_powers(1 - correlation, exponent).sum() + eps).log()


def _powers(values: Tensor, exponent: float) -> Tensor:
    return values.square().square() if exponent == 4 else values.abs().pow(exponent)


class SRD(nn.Module):
    """The distiller `srd`, with the loss term `srd`, on the embeddings after a linear projection of the student's.

    Raises:
        ValueError: there is no teacher.
        UserError: a model has no embedding.
    """

    def __init__(self, options: SRDOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.projection = nn.Linear(setup.student.embedding_dim, teacher_of(setup).embedding_dim)
        self.requires = Requires(
            student_embedding=True, teacher_embedding=True, whole_batch=True, teacher_logits=False
        )

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        options = self.options
        of_student, of_teacher = embeddings_of(student, teacher)
        loss = srd_loss if options.variant == "difference" else srd_correlation_loss
        with full_precision(of_student.device):
            projected = self.projection(at_least_float32(of_student))
        return {"srd": options.weight * loss(projected, of_teacher, options.exponent)}
