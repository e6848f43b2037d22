"""SEED: match how similar a sample is to its own teacher embedding and to a queue of other samples' embeddings."""

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
    from kd_feature.options.contrastive import SEEDOptions


def seed_loss(
    student_embedding: Tensor,
    teacher_embedding: Tensor,
    queue: Tensor,
    student_temperature: float = 0.2,
    teacher_temperature: float = 1e-4,
) -> Tensor:
    """The cross-entropy of the student's probabilities and the teacher's, the mean over the batch.

    The student's are the softmax of [s t, s queue] / student_temperature, the teacher's of [1, t queue] /
    teacher_temperature: nearly all of the own sample.

    Both embeddings `[B, D]` are normalised here. The queue `[K, D]` is used as it is; this batch goes in afterwards.
    The gradient goes to the student only. The table `[B, 1 + K]` is not kept. The result is float32 if the embeddings
    have a narrower type, otherwise it has the type of the student's embedding.

    Source: Fang et al., "SEED: Self-supervised Distillation For Visual Representation", ICLR 2021, and the authors'
    code.

    Raises:
        ValueError: the shapes or types do not fit, or a temperature is not above 0.
    """
    check_positive("student_temperature", student_temperature)
    check_positive("teacher_temperature", teacher_temperature)
    check_same_shape(student_embedding, teacher_embedding)
    student, teacher = prepare_features(student_embedding, teacher_embedding, dims=2)
    with full_precision(student.device):
        ours, theirs = (unit(one) for one in (student, teacher))
        temperatures = (student_temperature, teacher_temperature)
        return soft_cross_entropy(ours, theirs, queue, queue, *temperatures, own=True)


class SEED(nn.Module):
    """The distiller `seed`, with the loss term `seed`, on the embeddings.

    The student's embedding goes through an MLP of two linear layers to the teacher's dimension. The queue of the
    teacher's normalised embeddings is a buffer; a batch goes into it after its loss. Every process has the same queue.

    Raises:
        ValueError: there is no teacher.
        UserError: a model has no embedding.
    """

    def __init__(self, options: SEEDOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        ours, theirs = setup.student.embedding_dim, teacher_of(setup).embedding_dim
        self.head = nn.Sequential(nn.Linear(ours, ours), nn.ReLU(), nn.Linear(ours, theirs))
        self.queue = Queue(queue_size(options.queue, setup, "seed"), theirs, "unit")
        self.requires = Requires(
            student_embedding=True, teacher_embedding=True, whole_batch=True, teacher_logits=False
        )

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted; then this batch goes into the queue."""
        options = self.options
        of_student, of_teacher = embeddings_of(student, teacher)
        with full_precision(of_student.device):
            projected = self.head(at_least_float32(of_student))
        temperatures = (options.student_temperature, options.teacher_temperature)
        loss = seed_loss(projected, of_teacher, self.queue.rows, *temperatures)
        self.queue.push(unit(at_least_float32(of_teacher.detach())))
        return {"seed": options.weight * loss}
