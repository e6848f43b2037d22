"""LDRLD: compare the student's top classes pair by pair, and the remaining classes among themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_classic.logits import divergence_without, divergences
from kd_classic.read import read_logits
from kdcore import Batch, ModelOutput, Progress, Requires, Setup
from kdcore.ops import check_positive, prepare_logits

if TYPE_CHECKING:
    from kd_classic.options.decoupled import LDRLDOptions


def ldrld_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    alpha: float,
    beta: float,
    temperature: float,
    top_k: int,
) -> Tensor:
    """The loss alpha * (pairs of top classes) + beta * (remaining classes), the mean over the batch; 0 if both agree.

    c_0 ... c_(k-1) are the classes with the student's largest logits. KL over a set of classes is between both models'
    distributions at temperature T, renormalised in the set. The first term is T^2 times the sum of KL over each pair,
    with the weight 2 / (1.5 + |i - j|) * exp(-0.05 * (i + j + 2)), and of KL over all k, divided by the number of these
    sets. The second is T^2 * KL over the other classes. If there are fewer classes than `top_k`, all of them are top
    classes and the second term is 0.

    Both logits are `[B, K]`. The gradient goes to the student only, and not through the choice of the classes. The
    result is float32 if the logits have a narrower type, otherwise it has the type of the student's logits.

    Source: Xu et al., "Local Dense Logit Relations for Enhanced Knowledge Distillation", ICCV 2025, and the authors'
    `distiller_zoo/LDRLD.py`.

    Raises:
        ValueError: the logits' shapes or types do not fit, the temperature is not above 0, or `top_k` is below 2.
    """
    relations, remaining = ldrld_terms(student_logits, teacher_logits, temperature=temperature, top_k=top_k)
    return alpha * relations + beta * remaining


def ldrld_terms(
    student_logits: Tensor, teacher_logits: Tensor, *, temperature: float, top_k: int
) -> tuple[Tensor, Tensor]:
    """The relations of the top classes and the remaining classes, unweighted; see `ldrld_loss`."""
    check_positive("temperature", temperature)
    if top_k < 2:
        raise ValueError(f"top_k is {top_k}; it must be 2 or more, because top classes are compared in pairs")
    student, teacher = prepare_logits(student_logits, teacher_logits)
    count = min(top_k, student.shape[1])
    chosen = student.detach().topk(count, dim=1).indices
    top_student, top_teacher = student.gather(1, chosen), teacher.gather(1, chosen)
    first, second, weights = _pairs(count, student)
    # a softmax over two classes is a sigmoid of the difference of their logits
    pairs = _binary(
        (top_student[:, first] - top_student[:, second]) / temperature,
        (top_teacher[:, first] - top_teacher[:, second]) / temperature,
    )
    together = divergences(top_student, top_teacher, temperature)
    if count == 2:  # the set of all top classes is a pair too, and has its weight
        together = together * weights[0]
    relations = (pairs @ weights * temperature**2 + together).mean() / (len(weights) + 1)
    on_top = torch.zeros_like(student, dtype=torch.bool).scatter(1, chosen, True)
    remaining = divergence_without(student, teacher, on_top, temperature)
    return relations, remaining


def _pairs(count: int, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The ranks of both classes of each pair, and the weights of the pairs."""
    first, second = torch.triu_indices(count, count, 1, device=like.device)
    apart, sums = (second - first).to(like.dtype), (first + second + 2).to(like.dtype)
    return first, second, 2 / (1.5 + apart) * (-0.05 * sums).exp()


def _binary(student: Tensor, teacher: Tensor) -> Tensor:
    """KL of two Bernoulli distributions with these logits, element by element."""
    ours, theirs = F.logsigmoid(student), F.logsigmoid(teacher)
    # log sigmoid(-x) is log sigmoid(x) - x
    return theirs.exp() * (theirs - ours) + torch.sigmoid(-teacher) * ((theirs - teacher) - (ours - student))


class LDRLD(nn.Module):
    """The distiller `ldrld`, with the loss terms `relations` and `remaining`."""

    def __init__(self, options: LDRLDOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.requires = Requires(target=options.correct is not None, unlabelled="given")

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return both loss terms, weighted."""
        options = self.options
        relations, remaining = ldrld_terms(
            *read_logits(options, student, teacher, batch, "ldrld"),
            temperature=options.temperature,
            top_k=options.top_k,
        )
        return {
            "relations": options.weight * options.alpha * relations,
            "remaining": options.weight * options.beta * remaining,
        }
