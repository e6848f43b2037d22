"""CC: make the differences from the teacher uncorrelated between neighbouring samples of a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from kd_feature.stages import teacher_of
from kdcore import Batch, ModelOutput, Progress, Requires, Setup
from kdcore.ops import at_least_float32, check_same_shape, embeddings_of, full_precision, prepare_features

if TYPE_CHECKING:
    from kd_feature.options.relations import CCOptions


def cc_loss(student_features: Tensor, teacher_features: Tensor) -> Tensor:
    """The product of |student - teacher| of each sample and of the next one, the mean over the B - 1 pairs.

    Both features have the same shape `[B, D]`. The gradient goes to the student only. A batch of one has loss 0. The
    result is float32 if the features have a narrower type, otherwise it has the type of the student's features.

    Source: Peng et al., "Correlation Congruence for Knowledge Distillation", ICCV 2019, in the form that its authors
    shared with RepDistiller (`distiller_zoo/CC.py`). It depends on the order of the samples. The paper describes
    another loss: the difference of two tables of correlations.

    Raises:
        ValueError: the shapes or types do not fit.
    """
    check_same_shape(student_features, teacher_features)
    return _congruence(*prepare_features(student_features, teacher_features, dims=2))


def _congruence(student: Tensor, teacher: Tensor) -> Tensor:
    apart = (student - teacher).abs()
    return (apart[:-1] * apart[1:]).sum() / max(len(apart) - 1, 1)


class CC(nn.Module):
    """The distiller `cc`, with the loss term `cc`, on the embeddings of both models after one trained head each.

    Raises:
        ValueError: there is no teacher.
        UserError: a model has no embedding.
    """

    def __init__(self, options: CCOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.student_head = nn.Linear(setup.student.embedding_dim, options.dim)
        self.teacher_head = nn.Linear(teacher_of(setup).embedding_dim, options.dim)
        self.requires = Requires(
            student_embedding=True, teacher_embedding=True, whole_batch=True, teacher_logits=False
        )

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        of_student, of_teacher = embeddings_of(student, teacher)
        with full_precision(of_student.device):
            of_student = self.student_head(at_least_float32(of_student))
            # the teacher itself gets no gradient, but its head does
            of_teacher = self.teacher_head(at_least_float32(of_teacher.detach()))
            return {"cc": self.options.weight * _congruence(of_student, of_teacher)}
