"""The result of an evaluation, and what it measures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from kdcore.inspect.metrics import Metrics, Values
    from kdcore.inspect.scores import Scores


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation.

    Attributes:
        top1: percent of labelled images whose class has the highest logit; None if no image is labelled, or images have
            several labels.
        top5: percent whose class is among the five highest; None in the same cases.
        agreement: percent of images with the same top class for model and teacher, with several labels an image percent
            of all images and labels; with several teachers the mean over them; None without a teacher.
        agreements: the same for each of several teachers, by name.
        predictions: the model's top class for each image of this process `[N]`, or its labels `[N, K]`, boolean; in the
            data's order.
        not_finite: images for which a logit is NaN or infinite.
        scores: the other measures of the predicted classes, by name; empty if no image is labelled.
        details: with intervals, and for each class; None if they were not asked for.
        metrics: the values of plugins' metrics by name; None for one that failed.
        labels: whether images have several labels.
    """

    top1: float | None
    top5: float | None
    agreement: float | None
    predictions: Tensor
    not_finite: int = 0
    agreements: dict[str, float] = field(default_factory=dict)
    scores: Values = field(default_factory=dict)
    details: Scores | None = None
    metrics: Values = field(default_factory=dict)
    labels: bool = False

    @property
    def ranking(self) -> dict[str, float | None]:
        """The scores that choose the best epoch where the spec names none: the first that was measured decides."""
        if self.labels:
            known = {name: self.scores.get(name) for name in ("map", "micro_f1")}
            return {**known, "agreement": self.agreement}
        return {"top1": self.top1, "agreement": self.agreement}

    def as_dict(self) -> dict[str, Any]:
        """The percentages that were measured, and the metrics of plugins, by name."""
        values = {
            "top1": self.top1,
            "top5": self.top5,
            "agreement": self.agreement,
            "agreements": self.agreements or None,
            **self.scores,
        }
        return {**{name: value for name, value in values.items() if value is not None}, **self.metrics}


@dataclass(frozen=True)
class Wanted:
    """What an evaluation measures in addition to top-1, top-5 and agreement.

    Attributes:
        top_k: the values of k of more top-k accuracies.
        map: mAP, among the scores; the logits of all images are kept on the CPU.
        details: intervals, and the measures of each class.
        details_map: mAP in the details; the logits are kept too.
        metrics: those of plugins; if there are any, the logits are kept too.
        labels: whether images have several labels.
        thresholds: with several labels the threshold of each `[K]`, for the measures `tuned_*`; None: the best ones.
    """

    top_k: Sequence[int] = ()
    map: bool = False
    details: bool = False
    details_map: bool = False
    metrics: Metrics | None = None
    labels: bool = False
    thresholds: Tensor | None = None
