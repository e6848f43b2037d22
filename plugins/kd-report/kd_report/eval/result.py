"""What an evaluation found, as frozen values."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from kd_report import measures
from kdcore.inspect import label_scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kd_report.eval.speed import Speed
    from kdcore import Predictions
    from kdcore.inspect import Scores


@dataclass(frozen=True)
class ModelScores:
    """One model.

    Attributes:
        name: as a spec calls it.
        parameters: how many it has.
        macs: multiply-adds of one image (1 MAC = 2 FLOPs); None where they cannot be counted.
        weights_bytes: of parameters and buffers.
        image_size: height and width of its input.
        top1: percent; None, as the next three, if no image has a label or images have several.
        top5: percent; None with 5 classes or fewer too.
        nll: mean negative log-likelihood, in nats.
        ece: expected calibration error in percent, 15 bins.
        speed: at each batch size.
        metrics: the values of plugins' metrics by name; None for one that failed. Empty if no image has a label.
        scores: the other measures of the predicted classes, and mAP, in percent by name; empty without labels.
        intervals: 95 % confidence intervals of top-1, top-5 and the scores, by resampling the images.
        per_class: for each class its `class`, `images`, `precision`, `recall`, `f1` and `average_precision`; with
            several labels an image for each label, with `threshold` and `tuned_f1`; and the `intervals` of these.
    """

    name: str
    parameters: int
    macs: int | None
    weights_bytes: int
    image_size: tuple[int, int]
    top1: float | None
    top5: float | None
    nll: float | None
    ece: float | None
    speed: tuple[Speed, ...]
    metrics: dict[str, float | None] = field(default_factory=dict)
    scores: dict[str, float | None] = field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    per_class: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class EvalResult:
    """Measures of a model, and of its teacher if there is one, on the images of a split.

    Attributes:
        target: what was evaluated, as it was named.
        weights: of a run: 'last', 'ema' or 'best'; None: not a run.
        dataset: the data.
        split: of it.
        images: how many were looked at.
        labelled: how many of them have a class.
        student: the model.
        teacher: the teacher, or the mean of the probabilities of several; None without one.
        teachers: each of several teachers, by name, without speed.
        teacher_missing: why there is none although the run had one.
        agreement: percent of images on which both have the same first class; with several labels an image percent of
            images and labels.
        divergence: mean KL(teacher || student) of their probabilities, in nats; None with several labels an image.
        machine: what the speed was measured on.
        precision: of the forward passes.
        warnings: one line each for the user.
    """

    target: str
    weights: str | None
    dataset: str
    split: str
    images: int
    labelled: int
    student: ModelScores
    teacher: ModelScores | None
    teacher_missing: str | None
    agreement: float | None
    divergence: float | None
    machine: str
    precision: str
    warnings: tuple[str, ...]
    teachers: dict[str, ModelScores] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def scored(found: Predictions, names: Sequence[str] | None, top_k: Sequence[int]) -> dict[str, Any]:
    """The measures of a model that read the targets; `names` of the classes, and more values of k for top-k."""
    calibrated = measures.calibration(found.logits, found.target)
    details = measures.details(found.logits, found.target, top_k)
    return {
        "scores": {name: value for name, value in details.overall.items() if name not in ("top1", "top5")},
        "intervals": details.intervals,
        "per_class": _named(details, names),
        "top1": measures.top_k(found.logits, found.target, 1),
        "top5": measures.top_5(found.logits, found.target),
        "nll": measures.nll(found.logits, found.target),
        "ece": None if calibrated is None else calibrated.ece,
    }


def scored_labels(
    found: Predictions, names: Sequence[str] | None, thresholds: Sequence[float] | None
) -> dict[str, Any]:
    """The same with several labels an image.

    `thresholds` are those of the labels; None: not known. The best ones on these images would flatter the model, so it
    has no measures with thresholds then.
    """
    given = None if thresholds is None else torch.tensor(thresholds, dtype=torch.float64)
    details = label_scores(found.logits, found.target, thresholds=given, tuned=given is not None)
    return {
        "scores": details.overall,
        "intervals": details.intervals,
        "per_class": _named(details, names),
        **dict.fromkeys(("top1", "top5", "nll", "ece")),
    }


def _named(details: Scores, names: Sequence[str] | None) -> tuple[dict[str, Any], ...]:
    return tuple(
        {"class": str(index) if names is None else names[index], **row}
        for index, row in enumerate(details.per_class)
    )
