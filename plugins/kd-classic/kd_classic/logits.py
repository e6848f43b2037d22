"""What several losses do with logits: leave out the target class, and compare sample by sample.

There are no matrix products, so autocast does not lower the precision once the logits are in float32.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def at_class(values: Tensor, index: Tensor) -> Tensor:
    """The values `[B]` of `[B, K]` at one class per sample `[B]`."""
    return values.gather(1, index.unsqueeze(1)).squeeze(1)


def without_class(values: Tensor, index: Tensor) -> Tensor:
    """The values `[B, K]` without one class per sample `[B]`, as `[B, K - 1]`; the others keep their order.

    This is exact. The original implementations of the methods subtract a constant from the logit instead, which
    fails if a logit is larger than that constant.
    """
    before = torch.arange(values.shape[1] - 1, device=values.device) < index.unsqueeze(1)
    return torch.where(before, values[:, :-1], values[:, 1:])


def divergences(student: Tensor, teacher: Tensor, temperature: float | Tensor) -> Tensor:
    """T^2 * KL(softmax(t/T) || softmax(s/T)) of each sample: logits `[..., K]` to `[...]`."""
    log_student = F.log_softmax(student / temperature, dim=-1)
    log_teacher = F.log_softmax(teacher / temperature, dim=-1)
    return F.kl_div(log_student, log_teacher, reduction="none", log_target=True).sum(-1) * temperature**2


def without(logits: Tensor, left_out: Tensor, temperature: float) -> Tensor:
    """Log-probabilities `[B, K]` of the classes that are not left out (a mask `[B, K]`) among themselves, for logits/T.

    Those of the classes that are left out are a finite number of about -1e38, so that probability * log-probability is
    0 and not NaN. In a row without any class left all values are equal: the divergence of two such rows is 0, and they
    get no gradient.
    """
    softened = (logits / temperature).masked_fill_(left_out, torch.finfo(logits.dtype).min / 2)
    return F.log_softmax(softened, dim=1)


def divergence_without(student: Tensor, teacher: Tensor, left_out: Tensor, temperature: float) -> Tensor:
    """The mean of T^2 * KL(softmax(t/T) || softmax(s/T)) over the classes that are not left out (a mask `[B, K]`)."""
    log_student, log_teacher = (
        without(student, left_out, temperature),
        without(teacher, left_out, temperature),
    )
    return F.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True) * temperature**2
