"""PKT: match each sample's neighbours, as probabilities, to those in the teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from kdcore import Batch, ModelOutput, Progress, Requires, Setup
from kdcore.ops import embeddings_of, full_precision, prepare_features

if TYPE_CHECKING:
    from kd_feature.options.relations import PKTOptions

_EPS = 1e-7  # from the authors' code, added to norms and probabilities


def pkt_loss(student_features: Tensor, teacher_features: Tensor) -> Tensor:
    """The mean over `[B, B]` of t * log(t / s), with t and s the probabilities that two samples are neighbours.

    A probability is (1 + cosine similarity) / 2, divided by its sum over the samples, including the sample itself. 1e-7
    is added to the norms, and to t and s in the logarithm.

    Both features are `[B, ...]`; only B has to be equal. The gradient goes to the student only. The result is float32
    if the features have a narrower type, otherwise it has the type of the student's features.

    Source: Passalis and Tefas, "Learning Deep Representations with Probabilistic Knowledge Transfer", ECCV 2018,
    with the cosine kernel, and the authors' code.

    Raises:
        ValueError: the shapes or types do not fit.
    """
    student, teacher = prepare_features(student_features, teacher_features)
    with full_precision(student.device):
        ours, theirs = _neighbours(student), _neighbours(teacher)
        return (theirs * ((theirs + _EPS) / (ours + _EPS)).log()).mean()


def _neighbours(features: Tensor) -> Tensor:
    flat = features.flatten(1)
    norms: Tensor = torch.linalg.vector_norm(flat, dim=1, keepdim=True)
    unit = flat / (norms + _EPS)
    # rounding can make a cosine less than -1, and then the logarithm is not defined
    alike = (unit @ unit.T + 1).clamp(min=0)  # twice the kernel; dividing by the sum removes the factor
    return alike / alike.sum(dim=1, keepdim=True)


class PKT(nn.Module):
    """The distiller `pkt` on the embeddings, with the loss term `pkt`."""

    def __init__(self, options: PKTOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.requires = Requires(
            student_embedding=True, teacher_embedding=True, whole_batch=True, teacher_logits=False
        )

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        return {"pkt": self.options.weight * pkt_loss(*embeddings_of(student, teacher))}
