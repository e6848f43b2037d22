"""CRD: move a sample's embedding close to the teacher's of the same sample, and far from those of other classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_feature.crd_loss import CRDLoss
from kd_feature.negatives import NegativeSampler
from kd_feature.stages import teacher_of
from kdcore import Batch, ModelOutput, Progress, Requires, Setup
from kdcore.ops import at_least_float32, embeddings_of, full_precision

if TYPE_CHECKING:
    from kd_feature.options.contrastive import CRDOptions


class CRD(nn.Module):
    """The distiller `crd`, with the loss term `crd`: `CRDLoss` after a linear head for each model's embedding.

    Negatives are samples of another class; without labels, any other sample. The memories take
    8 * N * dim bytes: 1.3 GB for 1.28 million samples.

    Raises:
        ValueError: there is no teacher, the size of the training set is unknown, or there are no negatives.
        UserError: a model has no embedding.
    """

    def __init__(self, options: CRDOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.requires = Requires(
            student_embedding=True,
            teacher_embedding=True,
            sample_index=True,
            whole_batch=True,
            teacher_logits=False,
        )
        self.student_head = nn.Linear(setup.student.embedding_dim, options.dim)
        self.teacher_head = nn.Linear(teacher_of(setup).embedding_dim, options.dim)
        device = setup.generator.device
        seed = int(torch.randint(2**62, (), generator=setup.generator, device=device))
        self.sampler = NegativeSampler(setup.train_size, setup.train_labels, options.negatives, seed)
        self.loss = CRDLoss(
            options.dim, setup.train_size, self.sampler.negatives, options.temperature, options.momentum
        )

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted, and update the memories with this batch.

        Raises:
            ValueError: the batch has no index of its samples.
        """
        if batch.index is None:
            raise ValueError(
                "crd needs each sample's position in the training set, and this batch has no index"
            )
        of_student, of_teacher = embeddings_of(student, teacher)
        with full_precision(of_student.device):
            of_student = F.normalize(self.student_head(at_least_float32(of_student)), dim=1)
            # the teacher itself gets no gradient, but its head does
            of_teacher = F.normalize(self.teacher_head(at_least_float32(of_teacher.detach())), dim=1)
        loss = self.loss(of_student, of_teacher, batch.index, self.sampler(batch.index))
        return {"crd": self.options.weight * loss}
