"""PS-KD: the student learns from its own predictions of one epoch before."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdcore import Batch, ModelOutput, Progress, Requires, Setup
from kdcore.ops import at_least_float32, class_index, gather, prepare_logits, target_of

if TYPE_CHECKING:
    from kd_classic.options.teacher_free import PSKDOptions

_TYPES: Final = {"float32": torch.float32, "float16": torch.float16}


def pskd_loss(
    student_logits: Tensor, previous_probabilities: Tensor, target: Tensor, *, alpha: float
) -> Tensor:
    """The cross-entropy against (1 - alpha) * one-hot target + alpha * the sample's earlier probabilities.

    This is the whole loss of the method: it takes the place of the task loss.

    Args:
        student_logits: `[B, K]`.
        previous_probabilities: `[B, K]`, what the model said about these samples before; no gradient goes there.
        target: class indices `[B]`, or probabilities `[B, K]`, whose most probable class is used.
        alpha: the share of the earlier probabilities.

    Returns:
        The mean over the batch, in float32 at least.

    Source: Kim et al., "Self-Knowledge Distillation with Progressive Refinement of Targets", ICCV 2021, equation 3.

    Raises:
        ValueError: shapes or types do not fit.
    """
    student, previous = prepare_logits(student_logits, previous_probabilities)
    log_student = F.log_softmax(student, dim=1)
    of_target = F.nll_loss(log_student, class_index(target, student))
    return (1 - alpha) * of_target - alpha * (previous * log_student).sum(1).mean()


class PSKD(nn.Module):
    """The distiller `pskd`, with the loss term `pskd`: what its targets add to the task loss.

    The term is alpha * (CE against the earlier probabilities - CE against the ground truth), so with a task weight of 1
    and a weight of 1 both together are the paper's loss. alpha grows in each epoch, up to `alpha` in the last one. The
    term can be negative. A sample that comes for the first time has none.

    The probabilities of all samples are a buffer of 4 * N * K bytes in float32: 20 MB for CIFAR-100, 5.1 GB for
    ImageNet, half of it in float16.

    Raises:
        ValueError: the size of the training set is unknown.
    """

    def __init__(self, options: PSKDOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        if setup.train_size < 1:
            raise ValueError(
                "pskd keeps the predictions of every sample, and the training set's size is unknown"
            )
        self.requires = Requires(teacher=False, sample_index=True, target=True)
        self.register_buffer(
            "previous", torch.zeros(setup.train_size, setup.num_classes, dtype=_TYPES[options.table])
        )
        self.register_buffer("seen", torch.zeros(setup.train_size, dtype=torch.bool))
        self.previous: Tensor
        self.seen: Tensor

    def forward(
        self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted, and keep this batch's predictions.

        Raises:
            ValueError: the batch has no index of its samples.
        """
        if batch.index is None or student.logits is None:
            raise ValueError("pskd needs the student's logits and each sample's position in the training set")
        log_student = F.log_softmax(at_least_float32(student.logits), dim=1)
        truth = _distribution(target_of(batch, "pskd"), log_student)
        previous = self.previous[batch.index].to(log_student.dtype)
        seen = self.seen[batch.index].to(log_student.dtype)
        gain = ((truth - previous) * log_student).sum(1)
        self._keep(gather(batch.index), gather(log_student.detach().exp()))
        alpha = self.options.alpha * (math.floor(progress.epoch) + 1) / max(progress.total_epochs, 1)
        return {"pskd": self.options.weight * min(alpha, self.options.alpha) * (seen * gain).mean()}

    def _keep(self, index: Tensor, probabilities: Tensor) -> None:
        """Every process keeps the predictions of all, because a sample may come to another one in the next epoch."""
        self.previous[index] = probabilities.to(self.previous.dtype)
        self.seen[index] = True


def _distribution(target: Tensor, log_student: Tensor) -> Tensor:
    """The target as the task loss reads it: probabilities `[B, K]` as they are, a class index as one-hot."""
    if target.is_floating_point():
        class_index(target, log_student)  # checks the shape
        return target.to(log_student.dtype)
    index = class_index(target, log_student)
    return torch.zeros_like(log_student).scatter_(1, index.unsqueeze(1), 1.0)
