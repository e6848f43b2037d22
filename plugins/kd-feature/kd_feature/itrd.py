"""ITRD: match the correlations of channels, and the similarities of samples, by terms from information theory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from kd_feature.directions import unit
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
    from kd_feature.options.relations import ITRDOptions


def itrd_correlation_loss(student_embedding: Tensor, teacher_embedding: Tensor, alpha: float = 1.5) -> Tensor:
    """log2 of the sum over the channels of ((c - 1)^2)^alpha, c the correlation of a channel of both models.

    The embeddings `[B, D]` are standardised over the batch with the unbiased deviation, and their products are divided
    by B; so c is at most (B - 1) / B. The student's embedding is already projected. The gradient goes to the student
    only. A channel whose samples are all equal has correlation 0. The result is float32 if the embeddings have a
    narrower type, otherwise it has the type of the student's embedding.

    Source: Miles et al., "Information Theoretic Representation Distillation", BMVC 2022, and the authors' code.

    Raises:
        ValueError: the shapes or types do not fit, or alpha is not above 0.
    """
    check_positive("alpha", alpha)
    check_same_shape(student_embedding, teacher_embedding)
    student, teacher = prepare_features(student_embedding, teacher_embedding, dims=2)
    with full_precision(student.device):
        ours, theirs = (standardised(one, unbiased=True) for one in (student, teacher))
        correlation = (ours * theirs).mean(dim=0)
        return (correlation - 1).square().pow(alpha).sum().log2()


def itrd_mutual_loss(student_embedding: Tensor, teacher_embedding: Tensor) -> Tensor:
    """The sum of squares of G_s / tr G_s minus that of J / tr J, with J = G_s * G_t element by element.

    G are the cosine similarities of the samples `[B, B]`. Both embeddings are `[B, D]`; only B has to be equal. The
    gradient goes to the student only. A batch of one has loss 0. The result is float32 if the embeddings have a
    narrower type, otherwise it has the type of the student's embedding.

    Source: Miles et al., "Information Theoretic Representation Distillation", BMVC 2022, and the authors' code, in
    which G_t is not divided by its trace.

    Raises:
        ValueError: the shapes or types do not fit.
    """
    student, teacher = prepare_features(student_embedding, teacher_embedding, dims=2)
    with full_precision(student.device):
        ours, theirs = (unit(one) for one in (student, teacher))
        alike = ours @ ours.T
        joint = alike * (theirs @ theirs.T)
        return _purity(alike) - _purity(joint)


def _purity(matrix: Tensor) -> Tensor:
    # the trace is B, or less where samples are 0
    return matrix.square().sum() / matrix.diagonal().sum().square().clamp(min=1e-12)


class ITRD(nn.Module):
    """The distiller `itrd` on the embeddings, with the loss terms `correlation` and `mutual`.

    The student's embedding goes through a linear projection: always for the first term, and for the second one if the
    dimensions differ.

    Raises:
        ValueError: there is no teacher.
        UserError: a model has no embedding.
    """

    def __init__(self, options: ITRDOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        ours, theirs = setup.student.embedding_dim, teacher_of(setup).embedding_dim
        needed = options.correlation_weight > 0 or (options.mutual_weight > 0 and ours != theirs)
        self.projection = nn.Linear(ours, theirs) if needed else None
        self.project_both = ours != theirs
        self.requires = Requires(
            student_embedding=True, teacher_embedding=True, whole_batch=True, teacher_logits=False
        )

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return both loss terms, weighted, without those of weight 0."""
        options = self.options
        of_student, of_teacher = embeddings_of(student, teacher)
        projected = of_student
        if self.projection is not None:
            with full_precision(of_student.device):
                projected = self.projection(at_least_float32(of_student))
        terms = {}
        if options.correlation_weight:
            loss = itrd_correlation_loss(projected, of_teacher, options.alpha)
            terms["correlation"] = options.weight * options.correlation_weight * loss
        if options.mutual_weight:
            seen = projected if self.project_both else of_student
            terms["mutual"] = options.weight * options.mutual_weight * itrd_mutual_loss(seen, of_teacher)
        return terms
