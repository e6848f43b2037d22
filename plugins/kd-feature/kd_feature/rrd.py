"""RRD: match how similar a sample is to a queue of teacher embeddings, with a sharper target than prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from kd_feature.directions import unit
from kd_feature.queues import Queue, queue_size, soft_cross_entropy
from kd_feature.stages import teacher_of
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
    from kd_feature.options.contrastive import RRDOptions


def rrd_loss(
    student_embedding: Tensor,
    teacher_embedding: Tensor,
    queue: Tensor,
    student_temperature: float = 0.1,
    teacher_temperature: float = 0.02,
) -> Tensor:
    """The cross-entropy of the student's probabilities over the queue and the teacher's, the mean over the batch.

    A probability is the softmax of the cosine similarities with the rows of the queue, divided by the temperature.

    Both embeddings `[B, D]` are normalised here. The queue `[K, D]` is used as it is; the teacher's embeddings of this
    batch are already in it. The gradient goes to the student only. The table `[B, K]` is not kept. The result is
    float32 if the embeddings have a narrower type, otherwise it has the type of the student's embedding.

    Source: Giakoumoglou and Stathaki, "Relational Representation Distillation", 2024, and the authors' code.

    Raises:
        ValueError: the shapes or types do not fit, or a temperature is not above 0.
    """
    check_positive("student_temperature", student_temperature)
    check_positive("teacher_temperature", teacher_temperature)
    check_same_shape(student_embedding, teacher_embedding)
    student, teacher = prepare_features(student_embedding, teacher_embedding, dims=2)
    with full_precision(student.device):
        ours, theirs = (unit(one) for one in (student, teacher))
        return soft_cross_entropy(ours, theirs, queue, queue, student_temperature, teacher_temperature)


class RRD(nn.Module):
    """The distiller `rrd`, with the loss term `rrd`, on the embeddings after one linear projection each.

    In the authors' code no gradient reaches the teacher's projection, so it stays a random projection. Here it is
    frozen: it is part of the state, and not trained. The queue of the teacher's projected embeddings is a buffer.

    Raises:
        ValueError: there is no teacher.
        UserError: a model has no embedding.
    """

    def __init__(self, options: RRDOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.student_head = nn.Linear(setup.student.embedding_dim, options.dim)
        self.teacher_head = nn.Linear(teacher_of(setup).embedding_dim, options.dim).requires_grad_(False)
        self.queue = Queue(queue_size(options.queue, setup, "rrd"), options.dim, "unit")
        self.requires = Requires(
            student_embedding=True, teacher_embedding=True, whole_batch=True, teacher_logits=False
        )

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted; this batch goes into the queue first."""
        options = self.options
        of_student, of_teacher = embeddings_of(student, teacher)
        with full_precision(of_student.device):
            of_student = self.student_head(at_least_float32(of_student))
            of_teacher = unit(self.teacher_head(at_least_float32(of_teacher.detach())))
        self.queue.push(of_teacher)
        temperatures = (options.student_temperature, options.teacher_temperature)
        return {"rrd": options.weight * rrd_loss(of_student, of_teacher, self.queue.rows, *temperatures)}
