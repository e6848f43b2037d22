"""The difference of two tables of cosine similarities, without keeping the tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from kd_feature.gradient_in_forward import parts, with_gradient

if TYPE_CHECKING:
    from torch import Tensor


def gram_difference(student: Tensor, teacher: Tensor) -> Tensor:
    """The mean squared difference of the products of every two of M vectors, over G groups and all M^2 pairs.

    The tables are computed some groups at once and are not kept: memory for the backward pass is that of the vectors.

    Args:
        student: `[G, M, D]`; the gradient goes here only.
        teacher: `[G, M, D']`.
    """
    teacher = teacher.detach()
    groups, vectors = student.shape[:2]
    elements = groups * vectors * vectors

    def compute(student: Tensor, needed: bool) -> tuple[Tensor, Tensor | None]:
        loss = student.new_zeros(())
        gradients = []
        for part in parts(groups, vectors * vectors):
            ours, theirs = student[part], teacher[part]
            apart = torch.baddbmm(theirs @ theirs.mT, ours, ours.mT, beta=-1)
            loss += torch.linalg.vector_norm(apart).square()
            if needed:
                # both factors of a product are the student's, and the table is symmetric
                gradients.append((apart @ ours).mul_(4 / elements))
        return loss / elements, torch.cat(gradients) if needed else None

    return with_gradient(student, compute)
