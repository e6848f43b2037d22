"""Mean, deviation, and the gain over the baseline with its confidence interval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CONFIDENCE: Final = 0.95
INTERVAL: Final = "95 % confidence intervals of the mean difference, paired by seed, Student's t"
_LARGEST: Final = 1e6  # of a quantile that is looked for


@dataclass(frozen=True)
class Gain:
    """Mean difference to the baseline over the seeds that both have.

    Attributes:
        mean: in percent points.
        low: lower end of the 95 % confidence interval of this method alone; None with one seed.
        high: upper end.
        pairs: how many seeds both have.
        corrected_low: lower end of the interval at the level 1 - 0.05 / m (Bonferroni), where m methods are compared
            with the baseline: all m intervals together hold with at least 95 %.
        corrected_high: upper end.
    """

    mean: float
    low: float | None
    high: float | None
    pairs: int
    corrected_low: float | None
    corrected_high: float | None

    @property
    def half(self) -> float | None:
        """Half the width of the interval of this method alone."""
        return None if self.high is None else self.high - self.mean

    @property
    def corrected_half(self) -> float | None:
        """Half the width of the corrected interval."""
        return None if self.corrected_high is None else self.corrected_high - self.mean

    @property
    def clear(self) -> bool:
        """Whether the corrected interval leaves out zero."""
        low, high = self.corrected_low, self.corrected_high
        return low is not None and high is not None and (low > 0 or high < 0)


def interval_text(methods: int) -> str:
    """What the corrected intervals of this number of methods are."""
    return INTERVAL if methods < 2 else f"{INTERVAL}, corrected for {methods} methods (Bonferroni)"


def mean(values: Sequence[float]) -> float | None:
    """The mean; None of nothing."""
    return math.fsum(values) / len(values) if values else None


def deviation(values: Sequence[float]) -> float | None:
    """The sample's standard deviation (divided by n - 1); None of fewer than two."""
    middle = mean(values)
    if middle is None or len(values) < 2:
        return None
    return math.sqrt(math.fsum((value - middle) ** 2 for value in values) / (len(values) - 1))


def paired_gain(scores: Mapping[int, float], baseline: Mapping[int, float], methods: int = 1) -> Gain | None:
    """What a method gains over the baseline, seed by seed; None where they share no seed.

    The same seed gives both the same student at the start, the same images and order, so that the differences vary
    less than the scores.

    Args:
        scores: by seed.
        baseline: by seed.
        methods: how many are compared with the baseline: what the corrected interval is corrected for.
    """
    differences = [scores[seed] - baseline[seed] for seed in sorted(scores.keys() & baseline.keys())]
    middle, spread, count = mean(differences), deviation(differences), len(differences)
    if middle is None:
        return None
    if spread is None:
        return Gain(middle, None, None, count, None, None)
    error = spread / math.sqrt(count)
    half = t_quantile(0.5 + CONFIDENCE / 2, count - 1) * error
    corrected = t_quantile(1 - (1 - CONFIDENCE) / (2 * methods), count - 1) * error
    return Gain(middle, middle - half, middle + half, count, middle - corrected, middle + corrected)


def paired_gains(scores: Mapping[str, Mapping[int, float]], baseline: Mapping[int, float]) -> dict[str, Gain]:
    """The gain of each method that shares a seed with the baseline, corrected for the number of these methods.

    Args:
        scores: by label, and by seed; without the baseline's own.
        baseline: by seed.
    """
    compared = {label: own for label, own in scores.items() if own.keys() & baseline.keys()}
    gains = {label: paired_gain(own, baseline, len(compared)) for label, own in compared.items()}
    return {label: gain for label, gain in gains.items() if gain is not None}


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
