"""Mean, deviation, and the gain over the baseline with its confidence interval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CONFIDENCE: Final = 0.95
INTERVAL: Final = "95 % confidence interval of the mean difference, paired by seed, Student's t"
_LARGEST: Final = 1e6  # of a quantile that is looked for


@dataclass(frozen=True)
class Gain:
    """Mean difference to the baseline over the seeds that both have.

    Attributes:
        mean: in percent points.
        low: lower end of the confidence interval; None with one seed.
        high: upper end.
        pairs: how many seeds both have.
    """

    mean: float
    low: float | None
    high: float | None
    pairs: int

    @property
    def half(self) -> float | None:
        """Half the interval's width."""
        return None if self.high is None else self.high - self.mean

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def mean(values: Sequence[float]) -> float | None:
    """The mean; None of nothing."""
    return math.fsum(values) / len(values) if values else None


def deviation(values: Sequence[float]) -> float | None:
    """The sample's standard deviation (divided by n - 1); None of fewer than two."""
    middle = mean(values)
    if middle is None or len(values) < 2:
        return None
    return math.sqrt(math.fsum((value - middle) ** 2 for value in values) / (len(values) - 1))


def paired_gain(scores: Mapping[int, float], baseline: Mapping[int, float]) -> Gain | None:
    """What a method gains over the baseline, seed by seed; None where they share no seed.

    The same seed gives both the same student at the start, the same images and order, so that the differences vary
    less than the scores.
    """
    differences = [scores[seed] - baseline[seed] for seed in sorted(scores.keys() & baseline.keys())]
    middle, spread, count = mean(differences), deviation(differences), len(differences)
    if middle is None:
        return None
    if spread is None:
        return Gain(middle, None, None, count)
    half = t_quantile(0.5 + CONFIDENCE / 2, count - 1) * spread / math.sqrt(count)
    return Gain(middle, middle - half, middle + half, count)


def t_quantile(probability: float, freedom: int) -> float:
    """The value that a variable of Student's t distribution exceeds with 1 - `probability`, which is 0.5 or more."""
    low, high = 0.0, _LARGEST
    while high - low > 1e-12 * max(1.0, high):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_below(middle, freedom) < probability else (low, middle)
    return (low + high) / 2


def _t_below(value: float, freedom: int) -> float:
    """Probability of a smaller value than `value` >= 0: Abramowitz and Stegun 26.7.3 and 26.7.4."""
    angle = math.atan2(value, math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term = total = 0.0
    if freedom > 1:
        term = total = cosine if odd else 1.0
    for step in range(3 if odd else 2, freedom - 1, 2):
        term *= cosine**2 * (step - 1) / step
        total += term
    both = 2 / math.pi * (angle + sine * total) if odd else sine * total
    return 0.5 + both / 2
