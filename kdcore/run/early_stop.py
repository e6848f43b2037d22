"""When a run ends before its last epoch: no better score for `train.patience` epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kdcore.spec.train_spec import TrainSpec


def patience_over(scores: Sequence[float | None], train: TrainSpec) -> str | None:
    """Why the training ends after these epochs, or None if it goes on.

    An epoch counts as better if its score is above the best one so far by more than `train.min_delta`. An epoch
    without a score, such as one whose evaluation gave NaN, is not better.

    Args:
        scores: the main measure after each epoch, in percent.
        train: has patience and min_delta.
    """
    if train.patience is None:
        return None
    best, last_better = None, 0
    for epoch, score in enumerate(scores, 1):
        if score is not None and (best is None or score > best + train.min_delta):
            best, last_better = score, epoch
    if len(scores) - last_better < train.patience:
        return None
    more = f" by more than {train.min_delta:g}" if train.min_delta else ""
    since = "at all" if best is None else f"since epoch {last_better} ({best:.2f} %)"
    return f"train.patience = {train.patience}: no better score{more} {since}"
