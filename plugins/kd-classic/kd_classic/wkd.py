"""WKD-L: move probability between classes at a price; related classes are cheap to confuse."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_classic.class_costs import cka_costs, classifier_costs, file_costs
from kd_classic.logits import at_class, without
from kd_classic.read import read_logits
from kdcore import Batch, ModelOutput, Progress, Requires, Setup
from kdcore.ops import (
    at_least_float32,
    check_positive,
    class_index,
    full_precision,
    prepare_logits,
    target_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kd_classic.options.decoupled import WKDOptions

_MOST_BYTES = 16 * 2**30  # for the teacher's logits of all classes
_EPS = 1e-8  # from the authors' code, added to the costs and to the denominators


def wkd_logit_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    target: Tensor,
    cost: Tensor,
    *,
    temperature: float,
    gamma: float,
    regularization: float,
    iterations: int,
) -> Tensor:
    """The loss target term + gamma * Wasserstein distance of the other classes, the mean over the batch.

    With the target class y, the target term is -softmax(t)_y * log softmax(s)_y at temperature 1. The distance is that
    of the two distributions over the other classes at temperature T, with the price `cost[i, j]` for probability that
    moves from class i of the student to class j of the teacher: Sinkhorn's algorithm with entropic regularisation, a
    fixed number of iterations, and the gradient through all of them.

    Both logits are `[B, K]`. The target is class indices `[B]`, or probabilities `[B, K]`, whose most probable class is
    used. The cost is `[K, K]`; values below 0 count as 0. The gradient goes to the student only. The result is float32
    if the logits have a narrower type, otherwise it has the type of the student's logits.

    One matrix exp(-cost / regularization) serves the whole batch, because the target has no mass in either
    distribution. So memory grows with K^2 and B * K * iterations, not with B * K^2.

    Source: Lv et al., "Wasserstein Distance Rivals Kullback-Leibler Divergence for Knowledge Distillation", NeurIPS
    2024, and the authors' `mdistiller/distillers/WKD.py`.

    Raises:
        ValueError: shapes or types do not fit, a value is not above 0, or there is no iteration.
    """
    target_term, distance = wkd_terms(
        student_logits,
        teacher_logits,
        target,
        cost,
        temperature=temperature,
        regularization=regularization,
        iterations=iterations,
    )
    return target_term + gamma * distance


def wkd_terms(
    student_logits: Tensor,
    teacher_logits: Tensor,
    target: Tensor,
    cost: Tensor,
    *,
    temperature: float,
    regularization: float,
    iterations: int,
) -> tuple[Tensor, Tensor]:
    """The target term and the distance, unweighted; see `wkd_logit_loss`."""
    check_positive("temperature", temperature)
    check_positive("regularization", regularization)
    if iterations < 1:
        raise ValueError(f"iterations is {iterations}; it must be 1 or more")
    student, teacher = prepare_logits(student_logits, teacher_logits)
    classes = student.shape[1]
    if not cost.is_floating_point() or cost.shape != (classes, classes):
        raise ValueError(
            f"cost is {cost.dtype} of shape {list(cost.shape)}; it must be floating point {[classes, classes]}"
        )
    index = class_index(target, student)
    score = at_class(F.softmax(teacher, dim=1), index)
    target_term = -(score * at_class(F.log_softmax(student, dim=1), index)).mean()
    own = torch.zeros_like(student, dtype=torch.bool).scatter(1, index.unsqueeze(1), True)
    p, q = (without(logits, own, temperature).exp() for logits in (student, teacher))
    with full_precision(student.device):
        price = cost.detach().to(student.dtype).clamp(min=0).add_(_EPS)
        distance = _transport(p, q, own, price, regularization, iterations)
    return target_term, distance.mean()


def _transport(
    p: Tensor, q: Tensor, own: Tensor, cost: Tensor, regularization: float, iterations: int
) -> Tensor:
    """The price `[B]` of moving p to q, both `[B, K]` and 0 in the mask `own`; the memory of `cost` is used again."""
    kernel = torch.div(cost, -regularization).exp_()
    paid = cost.mul_(kernel)
    u = (~own).to(p.dtype) / (p.shape[1] - 1)
    v = u
    for _ in range(iterations):
        v = q / (u @ kernel + _EPS)
        u = p / (v @ kernel.T + _EPS)
    return (u * (v @ paid.T)).sum(dim=1)


class WKD(nn.Module):
    """The distiller `wkd`, with the loss terms `target` and `distance`.

    Raises:
        ValueError: there is no teacher, it has no linear classifier with a row for each class, the logits that the
            costs come from take too much memory, or the file of costs holds something else.
    """

    cost: Tensor

    def __init__(self, options: WKDOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.requires = Requires(target=True, unlabelled="skipped")
        if setup.teacher is None:
            raise ValueError("wkd needs a teacher")
        classes = setup.num_classes
        if options.cost == "classifier":
            cost = classifier_costs(setup.teacher, classes, options.sharpen)
            self.register_buffer("cost", cost, persistent=False)  # it follows from the teacher
            return
        if options.cost_file is not None:
            # kept in checkpoints, so that a changed file does not change a resumed run
            self.register_buffer("cost", file_costs(options.cost_file, classes, options.sharpen))
            return
        size = 4 * options.cost_samples * classes**2
        if size > _MOST_BYTES:
            raise ValueError(
                f"cost 'logits' takes {size / 2**30:.0f} GiB for {options.cost_samples} samples of each of {classes} "
                "classes; lower cost_samples, or use cost 'classifier'"
            )
        # not a number before `prepare`, so that a loop that forgets it has no finite loss
        self.register_buffer("cost", torch.full((classes, classes), torch.nan))
        self.__class__ = LogitCostWKD  # only this one asks for a pass over the training set

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return both loss terms, weighted."""
        options = self.options
        target_term, distance = wkd_terms(
            *read_logits(options, student, teacher, batch, "wkd"),
            target_of(batch, "wkd"),
            self.cost,
            temperature=options.temperature,
            regularization=options.regularization,
            iterations=options.iterations,
        )
        gamma = options.gamma
        if options.decay_from_epoch is not None:  # otherwise nothing depends on the epoch
            gamma *= decay_factor(progress.epoch, options.decay_from_epoch, progress.total_epochs)
        return {"target": options.weight * target_term, "distance": options.weight * gamma * distance}


class LogitCostWKD(WKD):
    """The same with costs from the teacher's logits, which it looks at before the first step."""

    def prepare(self, outputs: Iterable[tuple[ModelOutput, Batch]]) -> None:
        """Compute the costs.

        Raises:
            ValueError: a class has fewer than two samples, or the teacher gives no logits.
        """
        most, classes = self.options.cost_samples, len(self.cost)
        seen: list[list[Tensor]] = [[] for _ in range(classes)]
        for teacher, batch in outputs:
            if teacher.logits is None:
                raise ValueError("wkd reads the teacher's logits, and the teacher gives none")
            index = class_index(target_of(batch, "wkd"), teacher.logits)
            for number, logits in zip(index.tolist(), teacher.logits.detach(), strict=True):
                if len(seen[number]) < most:
                    seen[number].append(at_least_float32(logits))
        least = min(range(classes), key=lambda number: len(seen[number]))
        count = len(seen[least])
        if count < 2:
            raise ValueError(
                f"cost 'logits' needs two samples of each class, and class {least} has {count}; "
                "use cost 'classifier'"
            )
        stacked = torch.stack([torch.stack(one[:count]) for one in seen])
        self.cost.copy_(cka_costs(stacked, self.options.sharpen))


def decay_factor(epoch: float, decay_from_epoch: int, total_epochs: int) -> float:
    """The factor of gamma in this epoch: 1 up to an epoch, then half a cosine down to 0 in the last one.

    It is constant within an epoch. The authors count epochs from 1.
    """
    passed = math.floor(epoch) + 1 - decay_from_epoch
    if passed <= 0:
        return 1.0
    return (1 + math.cos(math.pi * min(passed / max(total_epochs - decay_from_epoch, 1), 1.0))) / 2
