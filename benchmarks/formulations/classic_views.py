"""Losses of two views as their authors compute them, from their formulas. The second view is made of the first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional as F

from benchmarks.formulations.loss import Loss

if TYPE_CHECKING:
    from torch import Tensor


def _divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    of_student = F.log_softmax(student / temperature, dim=1)
    of_teacher = F.softmax(teacher / temperature, dim=1)
    return F.kl_div(of_student, of_teacher, reduction="none").sum(1) * temperature**2


def mlkd(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """Jin et al., as released: products of all classes (13 GB for 21,841 of them), and masks that act as shares."""
    strong, strong_teacher = student.flip(0), teacher.flip(0)
    sure = F.softmax(teacher, dim=1)
    share = (sure.amax(1) <= sure.amax(1).quantile(0.5)).to(sure.dtype).mean()
    classes = (sure.sum(0) <= sure.sum(0).quantile(0.5)).to(sure.dtype).mean()
    loss = student.new_zeros(())
    for t in (temperature, 3.0, 5.0, 2.0, 6.0):
        p, q = F.softmax(student / t, dim=1), F.softmax(teacher / t, dim=1)
        of_samples = ((q @ q.T - p @ p.T) ** 2).sum() / len(p)
        of_classes = ((q.T @ q - p.T @ p) ** 2).sum() / p.shape[1]
        loss = loss + share * (_divergence(student, teacher, t).mean() + of_samples) + classes * of_classes
        again = (student, teacher) if t in (2.0, 6.0) else (strong, strong_teacher)
        loss = loss + _divergence(*again, t).mean()
    return loss


def our_mlkd(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """kd's, with the same second view."""
    from kd_classic import mlkd_loss

    return mlkd_loss(student, teacher, student.flip(0), teacher.flip(0), temperature=temperature)


def crld(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """Zhang et al., as DeepKD has it."""
    strong, strong_teacher = student.flip(0), teacher.flip(0)
    weak_mask, strong_mask = (
        (F.softmax(one, dim=1).amax(1) >= at).to(one.dtype)
        for one, at in ((teacher, 0.1), (strong_teacher, 0.05))
    )
    within = _divergence(student, teacher, temperature) + _divergence(strong, strong_teacher, temperature)
    across = _divergence(strong, teacher, temperature) + _divergence(student, strong_teacher, temperature)
    return 2.0 * (within * weak_mask).mean() + 0.5 * (across * strong_mask).mean()


def our_crld(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """kd's, with the same second view and thresholds."""
    from kd_classic import crld_loss

    return crld_loss(
        student,
        teacher,
        student.flip(0),
        teacher.flip(0),
        temperature=temperature,
        within_weight=2.0,
        cross_weight=0.5,
        weak_threshold=0.1,
        strong_threshold=0.05,
    )


LOSSES = {
    "mlkd": Loss(f"{__name__}:our_mlkd", mlkd, {"temperature": 4.0}, most_classes=1000),
    "crld": Loss(f"{__name__}:our_crld", crld, {"temperature": 4.0}),
}
