"""`data.eval_fraction`: evaluation images that are drawn from the training split."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from kdcore.data.chosen_samples import ChosenSource
from kdcore.data.keyed_randomness import SUBSET, keyed_numbers
from kdcore.data.subset import known_labels
from kdcore.errors import Problem, UserError

if TYPE_CHECKING:
    from kdcore.data.draws import Positions
    from kdcore.data.source import Source

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
    labels = known_labels(source).numpy()
    known = labels >= 0 if source.labelled else np.ones(len(labels), dtype=bool)
    chosen, groups = np.zeros(len(labels), dtype=bool), source.groups
    if groups is None:
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

    A class of two samples or more keeps one and gives one.
    """
    numbers = keyed_numbers(len(labels), SUBSET, _SEED)
    chosen = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        count = int(np.floor(fraction * len(own) + 0.5))
        if len(own) > 1:
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
    missing = fraction * counts.sum(axis=0)
    taken = np.zeros(len(names), dtype=bool)
    for number in np.argsort(keyed_numbers(len(names), SUBSET, _SEED), kind="stable"):
        left = missing - counts[number]
        if np.abs(left).sum() < np.abs(missing).sum():
            taken[number], missing = True, left
    return taken[group]
