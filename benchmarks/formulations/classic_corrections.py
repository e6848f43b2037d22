"""KD on logits that its options change first, as their authors compute them, written from their formulas."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from benchmarks.formulations.classic_softened import kd
from benchmarks.formulations.loss import Loss

if TYPE_CHECKING:
    from torch import Tensor


def standardized(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """Sun, S. et al.: z-scores of each sample."""
    scores = [
        (one - one.mean(1, keepdim=True)) / (1e-7 + one.std(1, keepdim=True)) for one in (student, teacher)
    ]
    return kd(scores[0], scores[1], temperature=temperature)


def our_standardized(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """kd's, as the option `standardize` computes it."""
    from kd_classic import kd_loss, standardize_logits

    return kd_loss(standardize_logits(student), standardize_logits(teacher), temperature=temperature)


def swapped(student: Tensor, teacher: Tensor, target: Tensor, *, temperature: float) -> Tensor:
    """Sun, W. et al.: the largest logit and that of the target, exchanged in a copy."""
    own = target.unsqueeze(1)
    largest, top = teacher.max(dim=1, keepdim=True)
    right = teacher.clone().scatter_(1, top, teacher.gather(1, own)).scatter_(1, own, largest)
    return kd(student, right, temperature=temperature)


def moved(student: Tensor, teacher: Tensor, target: Tensor, *, temperature: float) -> Tensor:
    """SortKD: two sorts, one of them with a target that is larger by 1e9."""
    own = torch.zeros_like(teacher).scatter_(1, target.unsqueeze(1), 1).bool()
    order = (teacher + own * 1e9).sort(dim=1, descending=True).indices
    values = teacher.sort(dim=1, descending=True).values
    right = torch.zeros_like(values).scatter_(1, order, values)
    return kd(student, right, temperature=temperature)


LOSSES = {
    "kd with standardize": Loss(f"{__name__}:our_standardized", standardized, {"temperature": 2.0}),
    "kd with swap": Loss("kd_classic:swap_kd_loss", swapped, {"temperature": 4.0}, labels=True),
    "kd with sort": Loss("kd_classic:sort_kd_loss", moved, {"temperature": 4.0}, labels=True),
}
