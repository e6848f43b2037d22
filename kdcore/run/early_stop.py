"""When a run ends before its last epoch: no better score for `train.patience` epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdcore.rundir.summary import is_percent, measure_label

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kdcore.spec.train_spec import TrainSpec


def patience_over(scores: Sequence[float | None], train: TrainSpec, name: str | None = None) -> str | None:
    """Why the training ends after these epochs, or None if it goes on.

    An epoch counts as better if its score is above the best one so far by more than `train.min_delta`. An epoch
    without a score, such as one whose evaluation gave NaN, is not better.

    Args:
        scores: the measure that decides after each epoch.
        train: has patience and min_delta.
        name: of the measure; a metric of a plugin is not in percent.
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
    value = "" if best is None else f"{best:.2f} %" if name is None or is_percent(name) else f"{best:.4g}"
    which = f"{measure_label(name)} " if train.metric is not None and name is not None else ""
    since = "at all" if best is None else f"since epoch {last_better} ({which}{value})"
    return f"train.patience = {train.patience}: no better score{more} {since}"
