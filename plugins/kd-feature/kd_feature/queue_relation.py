"""Queue relation: match the similarities to a queue of teacher embeddings, as in the first version of LightlyTrain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from kd_feature.directions import unit
from kd_feature.projections import small_linear
from kd_feature.queues import Queue, soft_cross_entropy
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
    from kd_feature.options.contrastive import QueueRelationOptions

_LARGEST, _SMALLEST = 8192, 16


def lightly_global_loss(
    student_embedding: Tensor, teacher_embedding: Tensor, queue: Tensor, temperature: float = 0.07
) -> Tensor:
    """KL of the teacher's probabilities over the queue from the student's, the mean over the batch.

    A probability is the softmax of the cosine similarities with the rows of the queue, divided by the temperature.

    Both embeddings `[B, D]` are normalised here. The queue `[K, D]` is used as it is: rows of zeros are classes too.
    The gradient goes to the student only. The table `[B, K]` is not kept. The result is float32 if the embeddings have
    a narrower type, otherwise it has the type of the student's embedding.

    Source: the method `distillation` of LightlyTrain up to version 0.6.

    Raises:
        ValueError: the shapes or types do not fit, or the temperature is not above 0.
    """
    check_positive("temperature", temperature)
    check_same_shape(student_embedding, teacher_embedding)
    student, teacher = prepare_features(student_embedding, teacher_embedding, dims=2)
    with full_precision(student.device):
        ours, theirs = (unit(one) for one in (student, teacher))
        return soft_cross_entropy(ours, theirs, queue, queue, temperature, temperature, divergence=True)


class QueueRelation(nn.Module):
    """The distiller `queue-relation`, with the loss term `queue_relation`, on the embeddings.

    The student's embedding goes through a linear projection. The queue of the teacher's normalised embeddings is a
    buffer that starts with zeros; a batch goes into it before its loss. Every process has the same queue.

    Raises:
        ValueError: there is no teacher.
        UserError: a model has no embedding.
    """

    def __init__(self, options: QueueRelationOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        dim = teacher_of(setup).embedding_dim
        self.projection = small_linear(setup.student.embedding_dim, dim)
        self.queue = Queue(options.queue or automatic_size(setup.train_size), dim, "zeros")
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
            of_student = self.projection(at_least_float32(of_student))
        self.queue.push(unit(at_least_float32(of_teacher.detach())))
        loss = lightly_global_loss(of_student, of_teacher, self.queue.rows, options.temperature)
        return {"queue_relation": options.weight * loss}


def automatic_size(train_size: int) -> int:
    """The power of two that is 25 to 50 % of the training set, from 16 to 8192; 8192 if the size is not known."""
    if train_size <= 0:
        return _LARGEST
    half: int = max(train_size // 2, 1)
    return min(max(1 << (half.bit_length() - 1), _SMALLEST), _LARGEST)
