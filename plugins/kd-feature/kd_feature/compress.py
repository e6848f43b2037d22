"""CompRess: match the similarities of a sample to earlier samples, each model in its own space."""

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
    embeddings_of,
    full_precision,
    gather,
    prepare_features,
)

if TYPE_CHECKING:
    from kd_feature.options.contrastive import CompRessOptions


def compress_loss(
    student_embedding: Tensor,
    teacher_embedding: Tensor,
    student_queue: Tensor,
    teacher_queue: Tensor,
    temperature: float = 0.04,
) -> Tensor:
    """KL of the teacher's probabilities over its queue from the student's over its own, the mean over the batch.

    A probability is the softmax of the products with the rows of a queue, divided by the temperature. Row k of both
    queues is the same sample.

    The embeddings `[B, D]` and `[B, D']` are normalised here. The queues `[K, D]` and `[K, D']` are used as they are;
    this batch goes in afterwards. The gradient goes to the student's embedding only. The tables `[B, K]` are not kept.
    The result is float32 if the embeddings have a narrower type, otherwise it has the type of the student's embedding.

    Source: Koohpayegani et al., "CompRess: Self-Supervised Learning by Compressing Representations", NeurIPS 2020, and
    the authors' code.

    Raises:
        ValueError: the shapes or types do not fit, or the temperature is not above 0.
    """
    check_positive("temperature", temperature)
    student, teacher = prepare_features(student_embedding, teacher_embedding, dims=2)
    if len(student_queue) != len(teacher_queue):
        raise ValueError(
            f"student_queue has {len(student_queue)} rows, teacher_queue {len(teacher_queue)}; row k of both must be "
            "the same sample"
        )
    with full_precision(student.device):
        ours, theirs = (unit(one) for one in (student, teacher))
        queues = (student_queue, teacher_queue)
        return soft_cross_entropy(ours, theirs, *queues, temperature, temperature, divergence=True)


class CompRess(nn.Module):
    """The distiller `compress`, with the loss term `compress`, on the embeddings, without heads.

    Each model has a queue of its normalised embeddings, a buffer that starts with random numbers; a batch goes into
    both after its loss. Every process has the same queues.

    Raises:
        ValueError: there is no teacher.
        UserError: a model has no embedding.
    """

    def __init__(self, options: CompRessOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        size = queue_size(options.queue, setup, "compress")
        self.student_queue = Queue(size, setup.student.embedding_dim, "uniform")
        self.teacher_queue = Queue(size, teacher_of(setup).embedding_dim, "uniform")
        self.requires = Requires(
            student_embedding=True,
            teacher_embedding=True,
            whole_batch=True,
            teacher_logits=False,
            student_pass=options.momentum is not None,
            student_momentum=options.momentum,
        )

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted; then this batch goes into both queues."""
        options, pair = self.options, embeddings_of(student, teacher)
        ours, theirs = self.student_queue, self.teacher_queue
        loss = compress_loss(*pair, ours.rows, theirs.rows, options.temperature)
        for queue, embedding in zip((ours, theirs), (self._key(student, batch), pair[1]), strict=True):
            queue.push(unit(at_least_float32(embedding.detach())))
        return {"compress": options.weight * loss}

    def _key(self, student: ModelOutput, batch: Batch) -> Tensor:
        """What goes into the student's queue: its own embedding, or that of its moving average."""
        found = student
        if self.options.momentum is not None:
            if student.student_pass is None:
                raise ValueError("compress with momentum runs an average of the student, and there is none")
            found = student.student_pass(batch.images, ema=True)
        if found.embedding is None:
            raise ValueError("compress reads the student's embedding, and it is missing")
        # the second pass is that of this process's images
        return found.embedding if found is student else gather(found.embedding)
