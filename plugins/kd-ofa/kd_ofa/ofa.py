"""OFA-KD: stages of the student predict classes; every prediction learns from the teacher's logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_ofa.fitting import build_branches
from kdcore import Batch, ModelOutput, Progress, Requires, Setup, Stage

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
    if not eps > 0:
        raise ValueError(f"eps is {eps}; it must be above 0")
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}; it must be above 0")
    _check_logits(student_logits, teacher_logits)
    index = _class_index(target, student_logits).unsqueeze(1)
    student = student_logits if torch.finfo(student_logits.dtype).bits >= 32 else student_logits.float()
    log_student = F.log_softmax(student / temperature, dim=1)
    log_teacher = F.log_softmax(teacher_logits.detach().to(student.dtype) / temperature, dim=1)
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
        target = batch.target
        if target is None:
            raise ValueError("ofa reads the ground truth, and this batch has no target")
        options = self.options
        *eps_of_stages, eps_of_logits = options.eps_of_terms

        def term(logits: Tensor, eps: float, weight: float) -> Tensor:
            loss = ofa_loss(logits, teacher.logits, target, eps=eps, temperature=options.temperature)
            return options.weight * weight * loss

        terms = {"logits": term(student.logits, eps_of_logits, options.logits_weight)}
        for stage, branch, eps in zip(options.stages, self.branches, eps_of_stages, strict=True):
            terms[_term_name(stage)] = term(branch(student.features[stage]), eps, options.stage_weight)
        return terms


def _term_name(stage: Stage) -> str:
    return f"stage{stage}" if isinstance(stage, int) else stage


def _check_logits(student: Tensor, teacher: Tensor) -> None:
    for name, logits in (("student_logits", student), ("teacher_logits", teacher)):
        if not logits.is_floating_point():
            raise ValueError(f"{name} is {logits.dtype}; logits must be floating point")
    if student.dim() != 2 or student.shape != teacher.shape or student.shape[0] < 1 or student.shape[1] < 2:
        raise ValueError(
            f"student_logits has shape {list(student.shape)}, teacher_logits {list(teacher.shape)}; "
            "both must be [B, K] for the same samples and classes, with at least one sample and two classes"
        )


def _class_index(target: Tensor, logits: Tensor) -> Tensor:
    is_index = not (target.is_floating_point() or target.is_complex() or target.dtype == torch.bool)
    if is_index and target.shape == logits.shape[:1]:
        return target.long()
    if target.is_floating_point() and target.shape == logits.shape:
        return target.argmax(dim=1)
    raise ValueError(
        f"target is {target.dtype} of shape {list(target.shape)}; it must be class indices (integers) of "
        f"shape {list(logits.shape[:1])} or probabilities (floating point) of shape {list(logits.shape)}"
    )
