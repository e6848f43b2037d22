"""What an evaluation measures of a model with several labels an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from kdcore.data.special_targets import has_label
from kdcore.inspect.bootstrap import RESAMPLES
from kdcore.inspect.class_counts import ClassCounts
from kdcore.inspect.scores import Draw, Scores, add_class_intervals, add_precision, intervals_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kdcore.inspect.bootstrap import Interval

HALF: Final = 0.5
"""The threshold of a label's probability, if no other was chosen."""
_BLOCK: Final = 20_000_000  # images x resamples at once


def count_labels(predicted: Tensor, target: Tensor) -> ClassCounts:
    """The counts of each label `[K]`.

    Args:
        predicted: the labels that each image gets `[N, K]`, boolean.
        target: its labels `[N, K]`, 0 or 1; below 0 where they are not known, which is left out.
    """
    positive, given = target > 0, predicted & (target >= 0)
    return ClassCounts(
        right=(given & positive).sum(dim=0), images=positive.sum(dim=0), predicted=given.sum(dim=0)
    )


def label_averages(counts: ClassCounts) -> dict[str, Tensor]:
    """The measures over all labels, in percent `[...]`, from counts `[..., K]`.

    `micro_*` adds up the counts of all labels; `macro_*` is the mean over the labels.

    Source: scikit-learn's `precision_recall_fscore_support` with zero_division 0.
    """
    whole = ClassCounts(*(part.sum(dim=-1) for part in (counts.right, counts.images, counts.predicted)))
    of_all = {"f1": whole.f1, "precision": whole.precision, "recall": whole.recall}
    of_each = {"f1": counts.f1, "precision": counts.precision, "recall": counts.recall}
    return {
        **{f"micro_{name}": value for name, value in of_all.items()},
        **{f"macro_{name}": value.mean(dim=-1) for name, value in of_each.items()},
    }


def best_thresholds(probabilities: Tensor, target: Tensor) -> Tensor:
    """The threshold for each label with the largest F1 `[K]`, float64; an image above it gets the label.

    It is in the middle between two of the label's probabilities. Of equally good ones it is the highest; for a label
    that no image has it is 0.5.

    Args:
        probabilities: `[N, K]`.
        target: `[N, K]`, 0 or 1; below 0 where it is not known, which is left out.
    """
    columns = zip(probabilities.double().T, target.T, strict=True)
    return torch.stack([_best_threshold(one[of >= 0], of[of >= 0] > 0) for one, of in columns])


def _best_threshold(probabilities: Tensor, positive: Tensor) -> Tensor:
    if not bool(positive.any()):
        return torch.tensor(HALF, dtype=torch.float64)
    ranked, order = probabilities.sort(descending=True)
    right = positive[order].cumsum(dim=0).double()
    given = torch.arange(1, len(ranked) + 1, dtype=torch.float64)
    f1 = 2 * right / (given + right[-1])
    below = torch.cat([ranked[1:], ranked.new_zeros(1)])
    last = ranked > below  # equal probabilities cannot be separated
    last[-1] = True
    best = int(torch.where(last, f1, -1.0).argmax())
    return (ranked[best] + below[best]) / 2


def label_scores(
    logits: Tensor,
    target: Tensor,
    *,
    thresholds: Tensor | None = None,
    tuned: bool = True,
    resamples: int = RESAMPLES,
    seed: int = 0,
    map_interval: bool = True,
) -> Scores:
    """The measures of predictions for images, in percent: mAP, F1, precision, recall, exact match.

    The labels of an image are those whose probability is above 0.5, and for the measures `tuned_*` above the label's
    own threshold.

    Args:
        logits: `[N, K]`.
        target: `[N, K]`, 0 or 1, -1 where a label is not known: it is left out, and the exact match is that of the
            labels that are known.
        thresholds: of each label `[K]`; None: those with the largest F1 on these images, so the `tuned_*` are what
            could be reached at best.
        tuned: whether to measure with thresholds at all.
        resamples: of the bootstrap; 0: no intervals.
        seed: of the bootstrap.
        map_interval: whether mAP gets an interval.
    """
    known = has_label(target)
    logits, target = logits[known].double(), target[known]
    if not len(target):
        return Scores()
    seen = target >= 0
    decided = [(logits > 0) & seen]
    if not tuned:
        thresholds = None
    else:
        probabilities = logits.sigmoid()
        if thresholds is None:
            thresholds = best_thresholds(probabilities, target)
        decided.append((probabilities > thresholds) & seen)
    positive = target > 0
    counts = [count_labels(one, target) for one in decided]
    overall: dict[str, float | None] = {name: float(value) for name, value in _averages(counts).items()}
    exact = (decided[0] == positive).all(dim=1)
    overall["exact_match"] = 100 * float(exact.double().mean())
    draw = Draw(seed, resamples)
    labels = _per_label(counts, thresholds)
    intervals = _intervals(decided, positive, exact, labels, draw) if resamples else {}
    known_ones = None if bool(seen.all()) else seen
    add_precision(overall, intervals, labels, logits, positive, draw if map_interval else None, known_ones)
    return Scores(overall, intervals, tuple(labels), thresholds)


def _averages(counts: Sequence[ClassCounts]) -> dict[str, Tensor]:
    """The measures of the decisions at 0.5, and of those with thresholds, if there are any."""
    plain, *tuned = counts
    found = label_averages(plain)
    for one in tuned:
        own = label_averages(one)
        found |= {f"tuned_{name}": own[name] for name in ("micro_f1", "macro_f1")}
    return found


def _per_label(counts: Sequence[ClassCounts], thresholds: Tensor | None) -> list[dict[str, Any]]:
    plain = counts[0]
    columns = {
        "images": plain.images,
        "precision": plain.precision,
        "recall": plain.recall,
        "f1": plain.f1,
    }
    if thresholds is not None:
        columns |= {"threshold": thresholds, "tuned_f1": counts[1].f1}
    values = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [{**dict(zip(columns, row, strict=True)), "intervals": {}} for row in values]


def _intervals(
    decided: Sequence[Tensor], positive: Tensor, exact: Tensor, labels: Sequence[dict[str, Any]], draw: Draw
) -> dict[str, Interval]:
    """The intervals of what the predicted labels say; those of each label are added to its row."""
    parts = [positive, *(part for one in decided for part in (one & positive, one))]
    table = torch.cat([*parts, exact.unsqueeze(1)], dim=1).double()  # exact sums, whatever their order
    drawn = draw(torch.ones(len(table), dtype=torch.int64))
    step = max(1, _BLOCK // len(table))
    sums = torch.cat([drawn[start : start + step].double() @ table for start in range(0, len(drawn), step)])
    images, *others = sums[:, :-1].chunk(len(parts), dim=1)
    pairs = zip(others[::2], others[1::2], strict=True)
    counts = [ClassCounts(right, images, given) for right, given in pairs]
    for before, one in zip(("", "tuned_"), counts, strict=False):
        add_class_intervals(labels, one, before)
    found = _averages(counts)
    found["exact_match"] = 100 * sums[:, -1] / len(table)
    return intervals_of(found)
