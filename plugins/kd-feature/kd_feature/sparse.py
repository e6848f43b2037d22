"""Sparse soft targets: learn from the largest stored probabilities of a teacher, as TinyViT does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional as F

from kdcore.ops import at_least_float32

if TYPE_CHECKING:
    from torch import Tensor


def sparse_soft_target_loss(student_logits: Tensor, index: Tensor, probability: Tensor) -> Tensor:
    """The cross-entropy with a teacher's k largest probabilities, the rest of 1 spread evenly; the mean over the batch.

    `student_logits` are `[B, K]`, `index` the classes `[B, k]`, each once, and `probability` theirs `[B, k]`. Each of
    the K - k other classes has the probability (1 - sum) / (K - k). The gradient goes to the student only. The result
    is float32 if the logits have a narrower type, otherwise it has their type.

    In a run, `teacher_cache.top_k` stores the same, and the distiller `kd` with temperature 1 and `task.weight` 0 is
    this method.

    Source: Wu et al., "TinyViT: Fast Pretraining Distillation for Small Vision Transformers", ECCV 2022, and the
    authors' code.

    Raises:
        ValueError: the shapes or types do not fit.
    """
    if student_logits.dim() != 2 or not student_logits.is_floating_point() or len(student_logits) < 1:
        raise ValueError(
            f"student_logits is {student_logits.dtype} of shape {list(student_logits.shape)}; it must be floating "
            "point [B, K] with at least one sample"
        )
    if index.shape != probability.shape or index.dim() != 2 or len(index) != len(student_logits):
        raise ValueError(
            f"index has shape {list(index.shape)}, probability {list(probability.shape)}; both must be "
            f"[{len(student_logits)}, k]"
        )
    classes, kept = student_logits.shape[1], index.shape[1]
    if not 1 <= kept <= classes:
        raise ValueError(f"{kept} probabilities of each sample are given; allowed: 1 to {classes}")
    log_student = F.log_softmax(at_least_float32(student_logits), dim=1)
    probability = probability.detach().to(log_student.dtype)
    rest = (1 - probability.sum(dim=1)).clamp(min=0) / max(classes - kept, 1)
    own = log_student.gather(1, index.long())
    # the sum over all classes minus that over the kept ones, without a table [B, K] of the teacher's
    loss: Tensor = -((probability - rest.unsqueeze(1)) * own).sum(dim=1) - rest * log_student.sum(dim=1)
    return loss.mean() if kept < classes else -(probability * own).sum(dim=1).mean()
