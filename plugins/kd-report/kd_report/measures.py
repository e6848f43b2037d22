"""Measures of predictions: accuracy, likelihood, calibration, confusion, agreement, correlation between classes.

Pure functions of logits `[N, K]` and targets `[N]`; `label_agreement` is for several labels an image. A negative target
means that the image has no label. Measures that read targets ignore such images, and are None if no image has a label.
Shares are percentages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from kdcore.inspect import class_ranks, class_scores, has_label
from kdcore.plugin import has_top_5

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kdcore.inspect import Scores

BINS = 15  # as Guo et al. 2017


@dataclass(frozen=True)
class Calibration:
    """How far the probability of the first class is from the share of images for which this class is right.

    Attributes:
        ece: expected calibration error in percent: the mean of |accuracy - confidence| over the images' bins.
        edges: of the bins of equal width, `[bins + 1]`, in percent; a bin includes its upper edge, not its lower edge.
        counts: images in each bin `[bins]`.
        accuracy: percent of these images that are right `[bins]`; 0 for an empty bin.
        confidence: their mean probability of the first class, in percent `[bins]`; 0 for an empty bin.
    """

    ece: float
    edges: Tensor
    counts: Tensor
    accuracy: Tensor
    confidence: Tensor


@dataclass(frozen=True)
class ClassAccuracy:
    """Accuracy by the true class.

    Attributes:
        percent: of the class's images that are right `[K]`; 0 for a class without images.
        counts: its images `[K]`.
    """

    percent: Tensor
    counts: Tensor

    @property
    def seen(self) -> Tensor:
        """Which classes have images `[K]`."""
        return self.counts > 0


def top_k(logits: Tensor, target: Tensor, k: int = 1) -> float | None:
    """Percent of labelled images whose class is among the `k` highest logits."""
    logits, target = labelled(logits, target)
    if not len(target):
        return None
    best = logits.topk(min(k, logits.shape[1]), dim=1).indices
    return 100 * (best == target.unsqueeze(1)).any(dim=1).double().mean().item()


def top_5(logits: Tensor, target: Tensor) -> float | None:
    """`top_k` of 5; None with 5 classes or fewer, where it is always 100."""
    return top_k(logits, target, 5) if has_top_5(logits.shape[1]) else None


def details(
    logits: Tensor, target: Tensor, top_k: Sequence[int] = (), *, map_interval: bool = True
) -> Scores:
    """Precision, recall, F1 and mAP over all classes and for each, with confidence intervals.

    Args:
        logits: `[N, K]`.
        target: class indices `[N]`.
        top_k: more values of k for top-k than 1 and 5; those of K and above are left out.
        map_interval: whether mAP has an interval too, which takes seconds for thousands of images.
    """
    classes = logits.shape[1]
    wanted = [k for k in dict.fromkeys((1, 5, *top_k)) if k < classes]
    predicted, ranks = class_ranks(logits, target, max(wanted, default=1))
    return class_scores(
        predicted, target, ranks, classes, top_k=wanted, logits=logits, map_interval=map_interval
    )


def nll(logits: Tensor, target: Tensor) -> float | None:
    """Mean negative log-likelihood of the labelled images' classes, in nats."""
    logits, target = labelled(logits, target)
    return F.cross_entropy(logits.double(), target).item() if len(target) else None


def calibration(logits: Tensor, target: Tensor, bins: int = BINS) -> Calibration | None:
    """Expected calibration error and the bins of a reliability diagram.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", equations 2, 3 and 5: bins of equal width over the
    probability of the first class.
    """
    logits, target = labelled(logits, target)
    if not len(target):
        return None
    sure, first = logits.double().softmax(dim=1).max(dim=1)
    right = (first == target).double()
    index = ((sure * bins).ceil().long() - 1).clamp(0, bins - 1)
    counts = torch.zeros(bins, dtype=torch.float64, device=logits.device).index_add_(
        0, index, torch.ones_like(sure)
    )
    filled = counts.clamp(min=1)
    accuracy = torch.zeros_like(counts).index_add_(0, index, right) / filled
    confidence = torch.zeros_like(counts).index_add_(0, index, sure) / filled
    ece = ((accuracy - confidence).abs() * counts).sum().item() / len(target)
    return Calibration(
        100 * ece,
        torch.linspace(0, 100, bins + 1, dtype=torch.float64),
        counts.long(),
        100 * accuracy,
        100 * confidence,
    )


def class_accuracy(logits: Tensor, target: Tensor) -> ClassAccuracy | None:
    """Accuracy of the images of each class."""
    classes = logits.shape[1]
    logits, target = labelled(logits, target)
    if not len(target):
        return None
    counts = torch.bincount(target, minlength=classes)
    right = torch.bincount(target[logits.argmax(dim=1) == target], minlength=classes)
    return ClassAccuracy(100 * right.double() / counts.clamp(min=1), counts)


def confusion(logits: Tensor, target: Tensor) -> Tensor | None:
    """Images by true class (row) and by the model's first class (column), `[K, K]`."""
    classes = logits.shape[1]
    logits, target = labelled(logits, target)
    if not len(target):
        return None
    pairs = target * classes + logits.argmax(dim=1)
    return torch.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def agreement(logits: Tensor, other: Tensor) -> float | None:
    """Percent of images, labelled or not, on which two models have the same first class; None without images."""
    if not len(logits):
        return None
    return 100 * (logits.argmax(dim=1) == other.argmax(dim=1)).double().mean().item()


def label_agreement(logits: Tensor, other: Tensor) -> float | None:
    """Percent of images and labels for which two models decide the same at 0.5; None without images."""
    if not len(logits):
        return None
    return 100 * ((logits > 0) == (other > 0)).double().mean().item()


def divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """KL divergence of the student's probabilities from the teacher's, KL(teacher || student), in nats `[N]`."""
    log_teacher = teacher.double().log_softmax(dim=1)
    # 0 log 0 is 0: a class to which the teacher gives the probability 0 adds nothing
    part = log_teacher.exp() * (log_teacher - student.double().log_softmax(dim=1))
    return part.nan_to_num(nan=0.0).sum(dim=1)


def class_correlation(logits: Tensor) -> Tensor:
    """Pearson correlation over the images between the logits of each two classes, `[K, K]`.

    If a class has the same logit for all images, its row and column are 0.
    """
    centred = logits.double() - logits.double().mean(dim=0)
    length = centred.norm(dim=0)
    # rounding leaves a small rest of a large constant
    constant = length <= 1e-12 * (1 + logits.double().norm(dim=0))
    unit = torch.where(constant, 0.0, centred / length.masked_fill(constant, 1.0))
    return (unit.T @ unit).clamp(-1, 1)


def correlation_difference(student: Tensor, teacher: Tensor) -> Tensor:
    """Student's minus teacher's correlation between the logits of each two classes, `[K, K]` in -2..2.

    Figure 2 of Tian et al. 2020, "Contrastive Representation Distillation": values near 0 mean that the student has
    learned how the teacher relates classes to each other.
    """
    return class_correlation(student) - class_correlation(teacher)


def labelled(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and targets of the images that have a label."""
    known = has_label(target)
    return (logits, target) if bool(known.all()) else (logits[known], target[known])
