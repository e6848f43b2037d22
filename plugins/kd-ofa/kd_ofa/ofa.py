"""OFA-KD: stages of the student predict classes; every prediction learns from the teacher's logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_ofa.fitting import build_branches
from kdcore import Batch, ModelOutput, Progress, Requires, Setup, Stage
from kdcore.ops import check_positive, class_index, logits_of, prepare_logits, target_of

if TYPE_CHECKING:
    from kd_ofa.options import OFAOptions


def ofa_loss(
    student_logits: Tensor, teacher_logits: Tensor, target: Tensor, *, eps: float, temperature: float
) -> Tensor:
    """The loss -sum_i ((pt_i + [i = y])^eps - [i = y]) * log ps_i, the mean over the batch.

    p = softmax(logits/T), and y is the target class. For eps 1 it is the cross-entropy with the teacher's
    probabilities. With a larger eps the target class gets more weight if the teacher is confident, and the
    other classes get less. It is not a divergence: at student = teacher it is not 0. There is no factor T^2.

    Both logits are `[B, K]`. The target is class indices `[B]`, or probabilities `[B, K]`, whose most probable
    class is used, as in the authors' code. The gradient goes to the student only. The result is float32 if the
    logits have a narrower type, otherwise it has the type of the student's logits.

    Source: Hao et al., "One-for-All: Bridge the Gap Between Heterogeneous Architectures in Knowledge
    Distillation", NeurIPS 2023, and the authors' `distillers/ofa.py`, where the exponent is on all classes.

    Raises:
        ValueError: shapes or types do not fit, or eps or the temperature is not above 0.
    """
    check_positive("eps", eps)
    check_positive("temperature", temperature)
    student, teacher = prepare_logits(student_logits, teacher_logits)
    index = class_index(target, student).unsqueeze(1)
    log_student = F.log_softmax(student / temperature, dim=1)
    log_teacher = F.log_softmax(teacher / temperature, dim=1)
    # (1 + p)^eps - 1 in a form that keeps its digits if p is small
    at_target = torch.expm1(eps * torch.log1p(log_teacher.gather(1, index).exp()))
    factors = (eps * log_teacher).exp().scatter(1, index, at_target)
    return -(factors * log_student).sum(dim=1).mean()


class OFA(nn.Module):
    """The distiller `ofa`, with the loss term `logits` and one for each stage: `stage1`, or the module path.

    Each stage of the student has a branch that turns its feature map into logits; see `kd_ofa.branches`.
    """

    def __init__(self, options: OFAOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.requires = Requires(student_stages=options.stages, target=True)
        self.branches = nn.ModuleList(build_branches(options, setup))

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return all loss terms, weighted."""
        target = target_of(batch, "ofa")
        student_logits, teacher_logits = logits_of(student, teacher)
        options = self.options
        *eps_of_stages, eps_of_logits = options.eps_of_terms

        def term(logits: Tensor, eps: float, weight: float) -> Tensor:
            loss = ofa_loss(logits, teacher_logits, target, eps=eps, temperature=options.temperature)
            return options.weight * weight * loss

        terms = {"logits": term(student_logits, eps_of_logits, options.logits_weight)}
        for stage, branch, eps in zip(options.stages, self.branches, eps_of_stages, strict=True):
            terms[_term_name(stage)] = term(branch(student.features[stage]), eps, options.stage_weight)
        return terms


def _term_name(stage: Stage) -> str:
    return f"stage{stage}" if isinstance(stage, int) else stage
