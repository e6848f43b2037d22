"""DML: networks that learn together, each from the labels and from the others' predictions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from kd_classic.logits import divergences
from kdcore import Batch, ModelOutput, Progress, Requires, Setup
from kdcore.ops import logits_of, prepare_logits

if TYPE_CHECKING:
    from kd_classic.options.networks import DMLOptions


def dml_loss(student_logits: Tensor, peer_logits: Tensor) -> Tensor:
    """The loss KL(softmax(peer) || softmax(own)), the mean over the batch; there is no temperature.

    The authors' code adds 1e-8 inside the logarithms, which changes the loss where probabilities are smaller than that;
    here it is computed in log space.

    Both logits are `[B, K]`. The gradient goes to the student only: the peer has its own loss, with the roles
    exchanged. The result is float32 if the logits have a narrower type, otherwise it has the type of the student's.

    Source: Zhang et al., "Deep Mutual Learning", CVPR 2018, equation 5.

    Raises:
        ValueError: the logits' shapes or types do not fit.
    """
    return divergences(*prepare_logits(student_logits, peer_logits), 1.0).mean()


class DML(nn.Module):
    """The distiller `dml`: one term for each network, `student` and `teacher`, or the names of several peers.

    With several peers, each network follows all others: the sum of their losses (the authors' code) or the mean (the
    paper, equation 8).
    """

    def __init__(self, options: DMLOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        several = setup.teacher is None and len(setup.teachers) > 1
        self.requires = Requires(teacher_learns=True, several_teachers=several)

    def forward(
        self,
        student: ModelOutput,
        teacher: ModelOutput | Mapping[str, ModelOutput],
        batch: Batch,
        progress: Progress,
    ) -> dict[str, Tensor]:
        """Return a loss term for each network, weighted."""
        peers = teacher if isinstance(teacher, Mapping) else {"teacher": teacher}
        logits = {"student": student, **peers}
        known = {name: logits_of(student, output)[1] for name, output in logits.items()}
        weight = self.options.weight
        if self.options.peers == "mean":
            weight /= len(peers)
        return {
            name: weight
            * torch.stack([dml_loss(own, other) for key, other in known.items() if key != name]).sum()
            for name, own in known.items()
        }
