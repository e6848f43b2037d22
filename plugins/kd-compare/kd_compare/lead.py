"""Which method leads a comparison, and whether it leads clearly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kd_compare.statistics import paired_gain

if TYPE_CHECKING:
    from kd_compare.result import ComparisonResult


@dataclass(frozen=True)
class Lead:
    """The method with the highest mean, and the others.

    Attributes:
        highest: its label.
        best: the same label, if its difference to every other method is clear; None: it does not lead clearly.
        unclear: the labels of the others that do not differ clearly from it, in the order of the ranking.
        others: how many other methods have a score: what the intervals are corrected for.
    """

    highest: str
    best: str | None
    unclear: tuple[str, ...]
    others: int


def find_lead(result: ComparisonResult) -> Lead | None:
    """The lead of a comparison; None: no method has a score.

    A difference is clear if its interval, paired by seed and corrected for the number of the other methods
    (Bonferroni), leaves out zero. So with 95 % or more, no method is called the best that is not.
    """
    scored = [row.label for row in result.ranked() if row.score is not None]
    if not scored:
        return None
    highest, *others = scored
    own = result.scores(highest)
    unclear = []
    for label in others:
        difference = paired_gain(own, result.scores(label), len(others))
        if difference is None or not difference.clear or difference.mean < 0:
            unclear.append(label)
    return Lead(highest, highest if others and not unclear else None, tuple(unclear), len(others))
