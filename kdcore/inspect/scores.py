"""What an evaluation measures of a model: overall, with confidence intervals, and for each class."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from kdcore.data.special_targets import has_label
from kdcore.inspect.average_precision import average_precision
from kdcore.inspect.bootstrap import RESAMPLES, column_intervals, interval, resample
from kdcore.inspect.class_counts import ClassCounts, count_classes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kdcore.inspect.bootstrap import Interval

_WORK: Final = (
    200_000_000  # images x classes x resamples of an interval of mAP, if there are enough resamples
)
_FEWEST: Final = 200  # resamples
_LARGEST: Final = 5_000_000  # images x classes: more have no interval of mAP, which would take minutes


@dataclass(frozen=True)
class Scores:
    """Measures of one model; all in percent.

    Attributes:
        overall: by name; None for one that has no value, such as mAP without scores.
        intervals: 95 % confidence intervals of them: the images are drawn again with replacement.
        per_class: for each class, by name: its `images` (a number), `precision`, `recall`, `f1`, and if the scores are
            known `average_precision` (None for a class without images); and `intervals`, those of these measures.
        thresholds: with several labels an image, that of each label's probability `[K]` for the measures `tuned_*`.
    """

    overall: dict[str, float | None] = field(default_factory=dict)
    intervals: dict[str, Interval] = field(default_factory=dict)
    per_class: tuple[dict[str, Any], ...] = ()
    thresholds: Tensor | None = None


def class_ranks(logits: Tensor, target: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """The class with the highest logit `[B]`, and the rank of the target from 0 `[B]`; at most `most`.

    Args:
        logits: `[B, K]`.
        target: class indices `[B]`; an image without a label has the rank `most`.
        most: the number of classes that are looked at.
    """
    best = logits.float().topk(min(most, logits.shape[1]), dim=1).indices
    hits = best == target.unsqueeze(1)
    return best[:, 0], torch.where(hits.any(dim=1), hits.int().argmax(dim=1), most)


def overall_scores(counts: ClassCounts) -> dict[str, float | None]:
    """The measures that the counts give; None without labelled images."""
    if not int(counts.images.sum()):
        return dict.fromkeys(counts.averages())
    return {name: float(value) for name, value in counts.averages().items()}


def class_scores(
    predicted: Tensor,
    target: Tensor,
    ranks: Tensor,
    num_classes: int,
    *,
    top_k: Sequence[int] = (),
    logits: Tensor | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
    map_interval: bool = True,
) -> Scores:
    """All measures of a model whose images have one class each.

    Args:
        predicted: the class with the highest logit `[N]`.
        target: class indices `[N]`; images without a label are left out.
        ranks: of the target among the logits, from 0 `[N]`.
        num_classes: K.
        top_k: the values of k for which `top<k>` is measured, with top-1.
        logits: `[N, K]`, for mAP: one class against the others, by their probabilities; None: it is not measured.
        seed: of the intervals.
        resamples: how often the images are drawn again; 0: no intervals.
        map_interval: whether mAP has an interval too; for 10,000 images and 10 classes it takes about five seconds.
    """
    known = has_label(target)
    predicted, target, ranks = predicted[known], target[known], ranks[known]
    if not len(target):
        return Scores()
    counts = count_classes(predicted, target, num_classes)
    wanted, draw = tuple(dict.fromkeys((1, *top_k))), Draw(seed, resamples)
    overall: dict[str, float | None] = {f"top{k}": 100 * float((ranks < k).double().mean()) for k in wanted}
    overall |= overall_scores(counts)
    classes = _per_class(counts)
    intervals: dict[str, Interval] = {}
    if resamples:
        drawn = _drawn_counts(predicted, target, ranks, num_classes, wanted, draw)
        intervals = intervals_of({**drawn[0], **drawn[1].averages()})
        add_class_intervals(classes, drawn[1])
    if logits is not None:
        # float64: no two probabilities are rounded to the same number
        sure = logits[known].double().log_softmax(dim=1)
        positive = torch.nn.functional.one_hot(target, num_classes).bool()
        add_precision(overall, intervals, classes, sure, positive, draw if map_interval else None)
    return Scores(overall, intervals, tuple(classes))


@dataclass(frozen=True)
class Draw:
    """Draws images again."""

    seed: int
    resamples: int

    def __call__(self, counts: Tensor, resamples: int | None = None) -> Tensor:
        """As `resample`; `resamples`: how often, in place of its own number."""
        return resample(counts, seed=self.seed, resamples=self.resamples if resamples is None else resamples)


def _per_class(counts: ClassCounts) -> list[dict[str, Any]]:
    columns = {
        "images": counts.images.tolist(),
        "precision": counts.precision.tolist(),
        "recall": counts.recall.tolist(),
        "f1": counts.f1.tolist(),
    }
    rows = zip(*columns.values(), strict=True)
    return [{**dict(zip(columns, values, strict=True)), "intervals": {}} for values in rows]


def _drawn_counts(
    predicted: Tensor, target: Tensor, ranks: Tensor, num_classes: int, top_k: Sequence[int], draw: Draw
) -> tuple[dict[str, Tensor], ClassCounts]:
    """In all samples: the top-k accuracies `[R]` by name, and the counts of the classes `[R, K]`."""
    # images that are equal in all three are one group: there are fewer of them than images
    groups, counts = torch.unique(torch.stack([target, predicted, ranks]), dim=1, return_counts=True)
    drawn = draw(counts)
    owned, given, rank = groups
    values = ClassCounts(
        right=_summed(drawn[:, owned == given], owned[owned == given], num_classes),
        images=_summed(drawn, owned, num_classes),
        predicted=_summed(drawn, given, num_classes),
    )
    found = {f"top{k}": 100 * drawn[:, rank < k].sum(dim=1) / drawn.sum(dim=1) for k in top_k}
    return found, values


def _summed(drawn: Tensor, classes: Tensor, num_classes: int) -> Tensor:
    """The images of each class `[R, K]`, from those of groups `[R, C]` and the class of each group `[C]`."""
    return drawn.new_zeros(len(drawn), num_classes).index_add_(1, classes, drawn)


def intervals_of(found: Mapping[str, Tensor]) -> dict[str, Interval]:
    """The intervals of measures in all samples `[R]`; those without one are left out."""
    ends = {name: interval(values) for name, values in found.items()}
    return {name: pair for name, pair in ends.items() if pair is not None}


def add_class_intervals(classes: Sequence[dict[str, Any]], drawn: ClassCounts, before: str = "") -> None:
    """Add the intervals of each class; a sample in which 0 is divided by 0 has no value.

    Args:
        classes: a row for each class; measures that they lack get no interval.
        drawn: the counts in all samples `[R, K]`.
        before: the first part of the measures' names.
    """
    both = drawn.images + drawn.predicted
    measures = {
        "precision": (drawn.precision, drawn.predicted),
        "recall": (drawn.recall, drawn.images),
        "f1": (drawn.f1, both),
    }
    for name, (values, whole) in measures.items():
        if before + name in classes[0]:
            _add_intervals(classes, before + name, values.masked_fill(whole == 0, math.nan))


def _add_intervals(classes: Sequence[dict[str, Any]], name: str, values: Tensor) -> None:
    """Add the intervals of a measure of the classes, from its values in all samples `[R, K]`."""
    for about, ends in zip(classes, column_intervals(values), strict=True):
        if ends is not None:
            about["intervals"][name] = ends


def add_precision(
    overall: dict[str, float | None],
    intervals: dict[str, Interval],
    classes: list[dict[str, Any]],
    scores: Tensor,
    positive: Tensor,
    draw: Draw | None,
    known: Tensor | None = None,
) -> None:
    """Add mAP, its interval, and the average precision of each class; `known` as in `average_precision`."""
    each = average_precision(scores, positive, known=known)
    for about, value in zip(classes, each.tolist(), strict=True):
        about["average_precision"] = None if math.isnan(value) else value
    seen = ~each.isnan()
    overall["map"] = float(each[seen].mean()) if bool(seen.any()) else None
    if draw is None or not draw.resamples or not bool(seen.any()) or scores.numel() > _LARGEST:
        return
    resamples = min(draw.resamples, max(_FEWEST, _WORK // scores.numel()))
    counts = draw(torch.ones(len(scores), dtype=torch.int64), resamples)
    # a sample without an image of a class has no value for it, and the mean is over the others
    drawn = counts.T.float().contiguous()
    own = None if known is None else known[:, seen]
    values = average_precision(scores[:, seen], positive[:, seen], drawn, known=own)
    intervals |= intervals_of({"map": values.nanmean(dim=1)})
    with_images = [about for about, has in zip(classes, seen.tolist(), strict=True) if has]
    _add_intervals(with_images, "average_precision", values)
