"""`data.eval_fraction`: evaluation images that are drawn from the training split."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from kdcore.data.chosen_samples import ChosenSource
from kdcore.data.keyed_randomness import SUBSET, keyed_numbers
from kdcore.data.subset import known_labels
from kdcore.errors import Problem, UserError

if TYPE_CHECKING:
    from kdcore.data.draws import Positions
    from kdcore.data.source import Source

Rows = np.ndarray[Any, np.dtype[np.int8]]
WHERE: Final = "data.eval_fraction"
_SEED: Final = 1  # not the run's: runs with different seeds are evaluated on the same images


def held_out(source: Source, fraction: float) -> tuple[Source, Source]:
    """The training images without those that are held out, and these; both in the source's order.

    If only some of the images have a label, all that are held out have one; what else belongs to their groups is in
    neither part.

    Raises:
        UserError: the split is a stream, or too small for this fraction.
    """
    if source.stream:
        message = "a stream has no part that can be held out: its samples have no index"
        raise UserError(Problem(WHERE, message, fraction, "null"))
    labels, sets = known_labels(source).numpy(), source.label_sets
    known = labels >= 0 if source.labelled else np.ones(len(labels), dtype=bool)
    chosen, groups = np.zeros(len(labels), dtype=bool), source.groups
    if sets is not None:
        rows = sets.rows.clamp(min=0).numpy()[labels[known]]
        if groups is None:
            chosen[known] = draw_labelled(rows, fraction)
        else:
            chosen[known] = draw_labelled_groups(rows, groups[known], fraction)
    elif groups is None:
        chosen[known] = draw(labels[known], fraction)
    else:
        chosen[known] = draw_groups(labels[known], groups[known], fraction)
    if not chosen.any() or chosen[known].all():
        which = "none" if not chosen.any() else "all"
        number = 0 if groups is None else len(np.unique(groups))
        of = f" in {number} group{'s' * (number > 1)}" if number else ""
        message = f"of {int(known.sum())} training images{of} {which} would be held out"
        raise UserError(Problem(WHERE, message, fraction, hint="change the fraction"))
    kept = ~chosen if groups is None else ~np.isin(groups, groups[chosen])
    parts = [ChosenSource(source, np.flatnonzero(one)) for one in (kept, chosen)]
    parts[1].notes = ()  # the training split has reported them
    return parts[0], parts[1]


def draw(labels: Positions, fraction: float) -> Positions:
    """Which of the samples are held out, booleans `[N]`: of each class this fraction, rounded, with labels `[N]`.

    A class of two samples or more keeps one and gives one; a single sample is kept.
    """
    numbers = keyed_numbers(len(labels), SUBSET, _SEED)
    chosen = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        count = int(np.floor(fraction * len(own) + 0.5))
        count = min(max(count, 1), len(own) - 1)
        chosen[own[np.argsort(numbers[own], kind="stable")[:count]]] = True
    return chosen


def draw_groups(labels: Positions, groups: Positions, fraction: float) -> Positions:
    """Which of the samples are held out, booleans `[N]`: whole groups, with labels `[N]` and groups `[N]`.

    In a random order, a group is held out if that brings the numbers of each class closer to the fraction. So the
    fraction is met as closely as the sizes of the groups allow.
    """
    names, group = np.unique(groups, return_inverse=True)
    classes, label = np.unique(labels, return_inverse=True)
    counts = np.zeros((len(names), len(classes)), dtype=np.int64)
    np.add.at(counts, (group, label), 1)
    return _draw(counts, group, fraction)


def draw_labelled(rows: Rows, fraction: float) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which samples are held out with several labels an image, booleans `[N]`: of each label about this fraction.

    The rarest label among the samples that are left is divided first, so that none is taken with a frequent one.
    Source: iterative stratification, Sechidis et al., "On the Stratification of Multi-Label Data", 2011, here with each
    label's samples divided at once, and one sample of each label is kept.

    Args:
        rows: the labels of each sample `[N, K]`, 0 or 1.
        fraction: the part to hold out.
    """
    order = keyed_numbers(len(rows), SUBSET, _SEED)
    wanted = fraction * rows.sum(axis=0, dtype=np.float64)
    chosen, left = np.zeros(len(rows), dtype=bool), np.ones(len(rows), dtype=bool)
    while True:
        counts = rows[left].sum(axis=0, dtype=np.int64)
        if not counts.any():
            break
        label = int(np.where(counts > 0, counts, len(rows) + 1).argmin())
        members = np.flatnonzero(left & (rows[:, label] > 0))
        count = int(np.clip(np.floor(wanted[label] + 0.5), 0, len(members)))
        taken = members[np.argsort(order[members], kind="stable")[:count]]
        chosen[taken], left[members] = True, False
        wanted -= rows[taken].sum(axis=0)
    others = np.flatnonzero(left)  # without any label
    count = int(np.floor(fraction * len(others) + 0.5))
    chosen[others[np.argsort(order[others], kind="stable")[:count]]] = True
    for missing in np.flatnonzero(rows.any(axis=0) & ~rows[~chosen].any(axis=0)):
        own = np.flatnonzero(rows[:, missing] > 0)
        if chosen[own].all():  # not if it was kept for an earlier one
            chosen[own[order[own].argmax()]] = False
    return chosen


def draw_labelled_groups(rows: Rows, groups: Positions, fraction: float) -> Positions:
    """The same, with whole groups `[N]`: as `draw_groups`, and the number of images counts like one more label."""
    names, group = np.unique(groups, return_inverse=True)
    counts = np.zeros((len(names), rows.shape[1] + 1), dtype=np.int64)
    np.add.at(counts[:, :-1], group, rows)
    counts[:, -1] = np.bincount(group)
    return _draw(counts, group, fraction)


def _draw(counts: np.ndarray[Any, np.dtype[np.int64]], group: Positions, fraction: float) -> Positions:
    """Which samples are held out, by the counts of each group `[G, K]` and the group of each sample `[N]`."""
    missing = fraction * counts.sum(axis=0)
    taken = np.zeros(len(counts), dtype=bool)
    for number in np.argsort(keyed_numbers(len(counts), SUBSET, _SEED), kind="stable"):
        left = missing - counts[number]
        if np.abs(left).sum() < np.abs(missing).sum():
            taken[number], missing = True, left
    return taken[group]
