"""PAD: match embeddings, with a variance that the student predicts for each channel and sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional as F

from kd_feature.stages import teacher_of
from kdcore import Batch, ModelOutput, Progress, Requires, Setup
from kdcore.ops import (
    BatchNormOverProcesses,
    at_least_float32,
    check_positive,
    check_same_shape,
    embeddings_of,
    full_precision,
    prepare_features,
)

if TYPE_CHECKING:
    from kd_feature.options.embeddings import PADOptions

_LARGEST = 80.0  # of log variances


def pad_loss(
    student_embedding: Tensor, teacher_embedding: Tensor, log_variance: Tensor, eps: float = 1e-6
) -> Tensor:
    """The mean of (s - t)^2 / (eps + exp(v)) + v over all elements, with v the log variance.

    All have the same shape `[B, D]`. The gradient goes to the student and to the log variance. The result is float32 if
    the embeddings have a narrower type, otherwise it has the type of the student's embedding.

    Source: Zhang et al., "Prime-Aware Adaptive Distillation", ECCV 2020, with the mean instead of the sum, as in
    torchdistill.

    Raises:
        ValueError: the shapes or types do not fit, or eps is not above 0.
    """
    check_positive("eps", eps)
    check_same_shape(student_embedding, teacher_embedding)
    check_same_shape(student_embedding, log_variance)
    student, teacher = prepare_features(student_embedding, teacher_embedding, dims=2)
    log_variance = log_variance.to(student.dtype)
    with full_precision(student.device):
        # beyond the limit the quotient is 0 for any difference, and exp(v) would become infinite
        variance = log_variance.clamp(max=_LARGEST).exp()
        apart = F.mse_loss(student, teacher, reduction="none")
        return (apart / (variance + eps) + log_variance).mean()


class PAD(nn.Module):
    """The distiller `pad`, with the loss term `pad`, on the embeddings.

    The log variance comes from the student's embedding through a linear layer and batch norm over the whole batch. The
    student's embedding goes through a linear projection if the dimensions differ.

    Raises:
        ValueError: there is no teacher.
        UserError: a model has no embedding.
    """

    def __init__(self, options: PADOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        ours, theirs = setup.student.embedding_dim, teacher_of(setup).embedding_dim
        self.projection = nn.Identity() if ours == theirs else nn.Linear(ours, theirs)
        self.log_variance = nn.Sequential(nn.Linear(theirs, theirs), BatchNormOverProcesses(theirs))
        self.requires = Requires(student_embedding=True, teacher_embedding=True, teacher_logits=False)

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted.

        Raises:
            ValueError: the batch has a single sample.
        """
        of_student, of_teacher = embeddings_of(student, teacher)
        with full_precision(of_student.device):
            projected = self.projection(at_least_float32(of_student))
            log_variance = self.log_variance(projected)
        return {"pad": self.options.weight * pad_loss(projected, of_teacher, log_variance)}
