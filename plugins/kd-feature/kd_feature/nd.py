"""ND: move an embedding in the direction of its class's mean teacher embedding, up to the teacher's norm."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from kd_feature.directions import unit
from kd_feature.stages import teacher_of
from kdcore import Batch, ModelOutput, Progress, Requires, Setup
from kdcore.ops import (
    BatchNormOverProcesses,
    at_least_float32,
    check_same_shape,
    embeddings_of,
    full_precision,
    prepare_features,
    target_of,
    widest_float,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kd_feature.options.embeddings import NDOptions


def nd_loss(student_embedding: Tensor, teacher_embedding: Tensor, centers: Tensor, target: Tensor) -> Tensor:
    """The mean of 1 - <s, c> / max(|s|, |t|), with c the unit vector of the center of the sample's class.

    The embeddings are `[B, D]`, the centers `[K, D]`, the target class indices `[B]` or probabilities `[B, K]`, of
    which the most probable class counts. The gradient goes to the student only, through the larger norm too. The result
    is float32 if the embeddings have a narrower type, otherwise it has the type of the student's embedding.

    Source: Wang et al., "Improving Knowledge Distillation via Regularizing Feature Norm and Direction" (KD++), 2023,
    and the authors' code.

    Raises:
        ValueError: the shapes or types do not fit.
    """
    check_same_shape(student_embedding, teacher_embedding)
    student, teacher = prepare_features(student_embedding, teacher_embedding, dims=2)
    if centers.dim() != 2 or centers.shape[1] != student.shape[1]:
        raise ValueError(f"centers has shape {list(centers.shape)}; it must be [K, {student.shape[1]}]")
    index = _class_index(target, len(student), len(centers))
    with full_precision(student.device):
        direction = unit(centers.detach()[index].to(student.dtype))
        norms = [torch.linalg.vector_norm(one, dim=1) for one in (student, teacher)]
        largest = torch.maximum(*norms)
        # where both are 0 there is no direction, and no gradient
        largest = torch.where(largest > 0, largest, math.inf)
        return (1 - (student * direction).sum(dim=1) / largest).mean()


def _class_index(target: Tensor, samples: int, classes: int) -> Tensor:
    if not target.is_floating_point() and target.shape == (samples,):
        return target.long()
    if target.is_floating_point() and target.shape == (samples, classes):
        return target.argmax(dim=1)
    raise ValueError(
        f"target is {target.dtype} of shape {list(target.shape)}; it must be class indices (integers) of shape "
        f"[{samples}] or probabilities (floating point) of shape [{samples}, {classes}]"
    )


class ND(nn.Module):
    """The distiller `nd`, with the loss term `nd`, on the embeddings.

    The centers are the teacher's mean embeddings of the classes over the training set; they are a buffer, which
    `prepare` fills before the first step. If the dimensions differ, the student's embedding goes through batch norm
    over the whole batch, dropout and a linear layer.

    Raises:
        ValueError: there is no teacher.
        UserError: a model has no embedding.
    """

    centers: Tensor

    def __init__(self, options: NDOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        ours, theirs = setup.student.embedding_dim, teacher_of(setup).embedding_dim
        self.projection: nn.Module = nn.Identity()
        if ours != theirs:
            self.projection = nn.Sequential(
                BatchNormOverProcesses(ours), nn.Dropout(options.dropout), nn.Linear(ours, theirs)
            )
        self.register_buffer("centers", torch.zeros(setup.num_classes, theirs))
        self.requires = Requires(
            student_embedding=True, teacher_embedding=True, target=True, teacher_logits=False
        )

    def prepare(self, outputs: Iterable[tuple[ModelOutput, Batch]]) -> None:
        """Compute the centers from the teacher's embeddings of the training set."""
        dtype = widest_float(self.centers.device)
        sums = self.centers.new_zeros(self.centers.shape, dtype=dtype)
        counts = sums.new_zeros(len(sums))
        for teacher, batch in outputs:
            if teacher.embedding is None:
                raise ValueError("nd reads the teacher's embedding, and it is missing")
            embedding = teacher.embedding.detach().to(dtype)
            index = _class_index(target_of(batch, "nd"), len(embedding), len(sums))
            sums.index_add_(0, index, embedding)
            counts.index_add_(0, index, torch.ones_like(index, dtype=dtype))
        self.centers.copy_(sums / counts.clamp(min=1).unsqueeze(1))

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        of_student, of_teacher = embeddings_of(student, teacher)
        with full_precision(of_student.device):
            projected = self.projection(at_least_float32(of_student))
        loss = nd_loss(projected, of_teacher, self.centers, target_of(batch, "nd"))
        return {"nd": self.options.weight * loss}
