"""SKD: match the directions of the logits, sample against sample, with KD on each sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_classic.kd import kd_loss
from kd_classic.read import read_logits
from kdcore import Batch, ModelOutput, Progress, Requires, Setup
from kdcore.ops import check_positive, full_precision, prepare_logits

if TYPE_CHECKING:
    from kd_classic.options.relations import SKDOptions


def skd_direction_loss(student_logits: Tensor, teacher_logits: Tensor, *, tikhonov: float) -> Tensor:
    """The Mahalanobis length of the difference of both models' cosine matrices, the mean over the batch.

    D `[B, B]` is (cosines between the student's logits) - (cosines between the teacher's), divided by the number of
    classes K. With the covariance S of the columns of D, the loss is the mean over the rows d of
    sqrt(d (S + tikhonov * I)^-1 d^T); the gradient flows through S too. It is 0 if both matrices agree, and in a batch
    of one. The division by K is the authors'; because of it the loss falls with the number of classes: about 0.04 at
    K = 100 and 0.001 at K = 1000, for random logits.

    Both logits are `[B, K]`. A row without any length counts as orthogonal to all others and gets no gradient. The
    gradient goes to the student only. The result is float32 if the logits have a narrower type, otherwise it has the
    type of the student's logits.

    Source: the authors' `Distiller/SKD.py` of "Streamlined Knowledge Distillation", CVPR 2026.

    Raises:
        ValueError: the logits' shapes or types do not fit, or `tikhonov` is not above 0.
    """
    check_positive("tikhonov", tikhonov)
    student, teacher = prepare_logits(student_logits, teacher_logits)
    with full_precision(student.device):
        ours, theirs = _directions(student), _directions(teacher)
        difference = (ours @ ours.T - theirs @ theirs.T) / student.shape[1]
        samples = len(difference)
        centred = difference - difference.mean(dim=0)
        identity = torch.eye(samples, device=student.device, dtype=student.dtype)
        covariance = centred.T @ centred / max(samples - 1, 1) + tikhonov * identity
        # does not wait for the device, as torch.linalg.cholesky does; the matrix is positive definite
        factor, _ = torch.linalg.cholesky_ex(covariance)
        whitened = torch.linalg.solve_triangular(factor, difference.T, upper=False)
    # a norm, because the square root of a sum of squares has an infinite slope where both models agree
    loss: Tensor = torch.linalg.vector_norm(whitened, dim=0).mean()
    return loss


def _directions(logits: Tensor) -> Tensor:
    """The rows with length 1; rows of zeros stay zeros, and get no gradient."""
    length = torch.linalg.vector_norm(logits, dim=1, keepdim=True)
    unit: Tensor = logits / length.masked_fill(length == 0, torch.inf)
    return unit


class SKD(nn.Module):
    """The distiller `skd`, with the loss terms `instance` (KD) and `direction`."""

    def __init__(self, options: SKDOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.requires = Requires(target=options.correct is not None, unlabelled="given", whole_batch=True)

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return both loss terms, weighted."""
        options = self.options
        student_logits, teacher_logits = read_logits(options, student, teacher, batch, "skd")
        instance = kd_loss(student_logits, teacher_logits, temperature=options.temperature)
        direction = skd_direction_loss(student_logits, teacher_logits, tikhonov=options.tikhonov)
        if options.median_factors:
            samples, classes = shares_below_median(teacher_logits)
            instance, direction = samples * instance, classes * direction
        return {"instance": options.weight * instance, "direction": options.weight * direction}


def shares_below_median(teacher_logits: Tensor) -> tuple[Tensor, Tensor]:
    """The shares of the samples, and of the classes, whose confidence is at most the median.

    The confidence of a sample is its largest probability, that of a class is its probability summed over the batch. The
    released code multiplies the losses' means by these masks, so only their means matter: 1/2 for even numbers.
    """
    probabilities = F.softmax(teacher_logits.detach(), dim=1)
    samples, classes = probabilities.amax(dim=1), probabilities.sum(dim=0)
    of_samples, of_classes = (
        (one <= one.median()).to(probabilities.dtype).mean() for one in (samples, classes)
    )
    return of_samples, of_classes
