"""DCD: recognise the teacher's embedding of the same sample in the batch, with consistent similarities both ways."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_feature.directions import unit
from kd_feature.stages import teacher_of
from kdcore import Batch, ModelOutput, Progress, Requires, Setup
from kdcore.ops import at_least_float32, check_positive, embeddings_of, full_precision

if TYPE_CHECKING:
    from kd_feature.options.contrastive import DCDOptions


def dcd_loss(
    student_embedding: Tensor,
    teacher_embedding: Tensor,
    log_scale: Tensor,
    bias: Tensor,
    alpha: float = 0.5,
    max_scale: float = 10.0,
) -> Tensor:
    """The cross-entropy of finding the own sample, plus alpha times the divergence between columns and rows.

    z `[B, B]` are the cosine similarities of the student's and the teacher's samples, times exp(log_scale), at most
    max_scale, plus the bias. The first term is the cross-entropy of the rows of z with the sample's own column. The
    second one is KL(p || q), the mean over the batch, with p the softmax of the columns of z, transposed, and q the
    softmax of its rows.

    Both embeddings are `[B, D]`, after their projections. The gradient goes to both, and to log_scale and bias, because
    the teacher's projection is trained too: detach the teacher's features before it. A batch of one has loss 0. The
    result is float32 if the embeddings have a narrower type, otherwise it has the type of the student's embedding.

    Source: Giakoumoglou and Stathaki, "Discriminative and Consistent Representation Distillation", 2024, and the
    authors' code.

    Raises:
        ValueError: the shapes or types do not fit, or max_scale is not above 0.
    """
    check_positive("max_scale", max_scale)
    _check(student_embedding, teacher_embedding)
    student = at_least_float32(student_embedding)
    teacher = teacher_embedding.to(student.dtype)
    with full_precision(student.device):
        alike = unit(student) @ unit(teacher).T
        # the limit in log space: beyond it, the exponential and its gradient may be infinite
        scale = log_scale.to(student.dtype).clamp(max=math.log(max_scale)).exp()
        scores = alike * scale + bias.to(student.dtype)
        rows = F.log_softmax(scores, dim=1)
        contrast = -rows.diagonal().mean()
        columns = F.log_softmax(scores, dim=0).T
        return contrast + alpha * F.kl_div(rows, columns, reduction="batchmean", log_target=True)


def _check(student: Tensor, teacher: Tensor) -> None:
    for name, value in (("student_embedding", student), ("teacher_embedding", teacher)):
        if not value.is_floating_point():
            raise ValueError(f"{name} is {value.dtype}; features must be floating point")
        if value.dim() != 2 or len(value) < 1:
            raise ValueError(
                f"{name} has shape {list(value.shape)}; it must be [B, D] with at least one sample"
            )
    if student.shape != teacher.shape:
        raise ValueError(
            f"student_embedding has shape {list(student.shape)}, teacher_embedding {list(teacher.shape)}; this loss "
            "compares them element by element"
        )


class DCD(nn.Module):
    """The distiller `dcd`, with the loss term `dcd`, on the embeddings after one trained projection each.

    The scale and the bias of the similarities are trained too.

    Raises:
        ValueError: there is no teacher.
        UserError: a model has no embedding.
    """

    def __init__(self, options: DCDOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.student_head = nn.Linear(setup.student.embedding_dim, options.dim)
        self.teacher_head = nn.Linear(teacher_of(setup).embedding_dim, options.dim)
        self.log_scale = nn.Parameter(torch.ones(()))
        self.bias = nn.Parameter(torch.zeros(()))
        self.requires = Requires(
            student_embedding=True, teacher_embedding=True, whole_batch=True, teacher_logits=False
        )

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        options = self.options
        of_student, of_teacher = embeddings_of(student, teacher)
        with full_precision(of_student.device):
            of_student = self.student_head(at_least_float32(of_student))
            # the teacher itself gets no gradient, but its head does
            of_teacher = self.teacher_head(at_least_float32(of_teacher.detach()))
        scale = (options.alpha, options.max_scale)
        loss = dcd_loss(of_student, of_teacher, self.log_scale, self.bias, *scale)
        return {"dcd": options.weight * loss}
