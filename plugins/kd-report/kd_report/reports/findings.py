"""Measures of the predictions of student and teacher, for the figures of a report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor

from kd_report import measures
from kd_report.reports.maps import EmbeddingMap, embedding_map
from kdcore.inspect import has_label

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kdcore import Predictions
    from kdcore.inspect import Scores

SQUARE: Final = 2000  # most classes for which a matrix of all pairs is made
CONFUSIONS: Final = 10
DIFFERING: Final = 12


@dataclass(frozen=True)
class ModelFindings:
    """One model on the images; None where labels are missing."""

    top1: float | None
    top5: float | None
    nll: float | None
    calibration: measures.Calibration | None
    by_class: measures.ClassAccuracy | None
    scores: Scores
    map: EmbeddingMap | None


@dataclass(frozen=True)
class Confused:
    """Images of one class that the student takes for another.

    Attributes:
        truth: their class.
        taken_for: the student's.
        images: how many.
        percent: of the class's images.
        teacher_images: how many of the class the teacher takes for the same, or None.
    """

    truth: int
    taken_for: int
    images: int
    percent: float
    teacher_images: int | None


@dataclass(frozen=True)
class Outcomes:
    """Percent of labelled images on which both, one, or none of the two are right."""

    both: float
    student_only: float
    teacher_only: float
    none: float


@dataclass(frozen=True)
class Differing:
    """An image on which the two differ: classes with their probabilities in percent, the highest first."""

    position: int
    truth: int | None
    divergence: float
    student: tuple[tuple[int, float], ...]
    teacher: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Together:
    """Student and teacher on the same images.

    Attributes:
        agreement: percent of images with the same first class.
        divergence: mean KL(teacher || student) in nats.
        outcomes: who is right, where labels are known.
        correlation: difference of class correlations `[K, K]`, or None with too many classes or too few images.
        teacher_correlation: the same for the teacher alone.
        differing: the images with the largest divergence.
    """

    agreement: float
    divergence: float
    outcomes: Outcomes | None
    correlation: Tensor | None
    teacher_correlation: Tensor | None
    differing: tuple[Differing, ...]


@dataclass(frozen=True)
class Findings:
    """What a report says about images.

    Attributes:
        images: how many were looked at.
        dropped: how many were left out since a model's logits are not finite.
        names: of the classes.
        student: the student alone.
        teacher: the teacher alone, or None.
        confusion: the student's, `[K, K]`, or None without labels or with too many classes.
        confused: the student's most frequent mistakes.
        together: both, or None.
    """

    images: int
    dropped: int
    names: tuple[str, ...]
    student: ModelFindings
    teacher: ModelFindings | None
    confusion: Tensor | None
    confused: tuple[Confused, ...]
    together: Together | None

    @property
    def models(self) -> tuple[tuple[str, ModelFindings], ...]:
        """The student, and the teacher if there is one, with their names."""
        return (("student", self.student), *(() if self.teacher is None else (("teacher", self.teacher),)))

    @property
    def labelled(self) -> bool:
        """Whether any image has a class."""
        return self.student.top1 is not None


def find(
    student: Predictions,
    teacher: Predictions | None,
    names: Sequence[str] | None,
    *,
    tsne: bool = False,
) -> Findings | None:
    """All measures of predictions for the same images; None: no image is left.

    Args:
        student: its predictions.
        teacher: the teacher's, or None.
        names: of the classes; None: their numbers.
        tsne: make t-SNE maps too, which take seconds.
    """
    finite = finite_images(student, teacher)
    if not bool(finite.any()):
        return None
    logits, target = student.logits[finite], student.target[finite]
    guide = None if teacher is None else teacher.logits[finite]
    classes = logits.shape[1]
    colours = target if bool(has_label(target).any()) else (logits if guide is None else guide).argmax(dim=1)
    return Findings(
        images=len(target),
        dropped=int((~finite).sum()),
        names=tuple(names) if names is not None else tuple(str(k) for k in range(classes)),
        student=_model(
            logits, target, embedding_map(_embedding(student, finite), logits, colours, tsne=tsne)
        ),
        teacher=None
        if guide is None or teacher is None
        else _model(guide, target, embedding_map(_embedding(teacher, finite), guide, colours, tsne=tsne)),
        confusion=measures.confusion(logits, target) if classes <= SQUARE else None,
        confused=_confused(logits, guide, target),
        together=None if guide is None else _together(logits, guide, target, student.position[finite]),
    )


def finite_images(student: Predictions, teacher: Predictions | None) -> Tensor:
    """For which images the logits of all models are finite `[N]`."""
    if not len(student):
        return torch.zeros(0, dtype=torch.bool)
    finite = student.logits.isfinite().all(dim=1)
    return finite if teacher is None else finite & teacher.logits.isfinite().all(dim=1)


def _embedding(predictions: Predictions, finite: Tensor) -> Tensor | None:
    return None if predictions.embedding is None else predictions.embedding[finite]


def _model(logits: Tensor, target: Tensor, drawn: EmbeddingMap | None) -> ModelFindings:
    return ModelFindings(
        measures.top_k(logits, target),
        measures.top_5(logits, target),
        measures.nll(logits, target),
        measures.calibration(logits, target),
        measures.class_accuracy(logits, target),
        measures.details(logits, target, map_interval=False),
        drawn,
    )


def _confused(logits: Tensor, guide: Tensor | None, target: Tensor) -> tuple[Confused, ...]:
    first = logits.argmax(dim=1)
    wrong = has_label(target) & (first != target)
    if not bool(wrong.any()):
        return ()
    pairs, counts = torch.unique(torch.stack([target[wrong], first[wrong]]), dim=1, return_counts=True)
    order = counts.argsort(descending=True, stable=True)[:CONFUSIONS].tolist()
    found = []
    for index in order:
        truth, taken = (int(value) for value in pairs[:, index])
        of_class = target == truth
        by_teacher = None
        if guide is not None:
            by_teacher = int((guide[of_class].argmax(dim=1) == taken).sum())
        count = int(counts[index])
        found.append(Confused(truth, taken, count, 100 * count / int(of_class.sum()), by_teacher))
    return tuple(found)


def _together(logits: Tensor, guide: Tensor, target: Tensor, position: Tensor) -> Together:
    apart = measures.divergence(logits, guide)
    agreement = measures.agreement(logits, guide)
    assert agreement is not None  # there are images
    square = logits.shape[1] <= SQUARE and len(logits) > 2
    return Together(
        agreement,
        apart.mean().item(),
        _outcomes(logits, guide, target),
        measures.correlation_difference(logits, guide) if square else None,
        measures.class_correlation(guide) if square else None,
        tuple(
            Differing(
                int(position[index]),
                int(target[index]) if target[index] >= 0 else None,
                float(apart[index]),
                _highest(logits[index]),
                _highest(guide[index]),
            )
            for index in apart.argsort(descending=True, stable=True)[:DIFFERING].tolist()
        ),
    )


def _outcomes(logits: Tensor, guide: Tensor, target: Tensor) -> Outcomes | None:
    known = has_label(target)
    if not bool(known.any()):
        return None
    student = (logits.argmax(dim=1) == target)[known]
    teacher = (guide.argmax(dim=1) == target)[known]

    def percent(which: Tensor) -> float:
        return 100 * which.double().mean().item()

    return Outcomes(
        percent(student & teacher),
        percent(student & ~teacher),
        percent(~student & teacher),
        percent(~student & ~teacher),
    )


def _highest(logits: Tensor, wanted: int = 3) -> tuple[tuple[int, float], ...]:
    sure, which = logits.double().softmax(dim=0).topk(min(wanted, len(logits)))
    return tuple((int(k), 100 * float(p)) for k, p in zip(which, sure, strict=True))
