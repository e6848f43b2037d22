"""Successive halving: after each rung only the best part of the methods is trained on.

Jamieson and Talwalkar, Non-stochastic Best Arm Identification and Hyperparameter Optimization, AISTATS 2016. A method
is judged by the mean over all its seeds, at the schedule of the whole run: learning rates fall as if nobody would ever
be dropped, so that a survivor's run is the one that it would have been without a budget.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kdcore import Problem, UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

AUTO: Final = "auto"
ETA: Final = 3


@dataclass(frozen=True)
class Budget:
    """When methods are judged, and how many go on.

    Attributes:
        rungs: rising epochs after which the methods are judged, all below the run's epochs.
        eta: 1/eta of the methods continue, rounded up.
    """

    rungs: tuple[int, ...]
    eta: int = ETA


def parse_budget(text: str, eta: int, *, epochs: int, methods: int) -> Budget:
    """A budget from what the user wrote: `auto`, or rungs like `3,9`.

    Raises:
        UserError: the rungs do not increase, or are not below `epochs`.
    """
    if text.strip() == AUTO:
        return Budget(automatic_rungs(epochs, eta, methods), eta)
    allowed = f"auto, or rising epochs below train.epochs = {epochs}, such as {max(1, epochs // ETA)}"
    try:
        rungs = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UserError(Problem("--budget", "these are not epochs", text, allowed)) from None
    if list(rungs) != sorted(set(rungs)) or rungs[0] < 1 or rungs[-1] >= epochs:
        raise UserError(Problem("--budget", "the rungs do not rise, or not within the run", text, allowed))
    return Budget(rungs, eta)


def automatic_rungs(epochs: int, eta: int, methods: int) -> tuple[int, ...]:
    """The run's epochs divided by eta, eta², ..., as long as there are methods to drop and whole epochs."""
    rungs: list[int] = []
    left, epoch = methods, epochs / eta
    while left > 1 and round(epoch) >= 1 and round(epoch) < epochs:
        rungs.append(round(epoch))
        left, epoch = -(-left // eta), epoch / eta
    return tuple(sorted(set(rungs)))


def survivors(scores: Mapping[str, float | None], eta: int) -> list[str]:
    """The methods that go on, in their order: the best ceil(n / eta); those without a score never do."""
    keep = -(-len(scores) // eta)
    known = [(score, name) for name, score in scores.items() if score is not None]
    best = sorted(known, key=lambda item: -item[0])[:keep]  # stable: of equals the first goes on
    chosen = {name for _, name in best}
    return [name for name in scores if name in chosen]
