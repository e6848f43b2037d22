"""What a tuning is: its space, sampler and seeds. A later call with the same folder must say the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from kdcore import Problem, UserError
from kdcore.plugin import nearest

if TYPE_CHECKING:
    from kd_compare.tuning.constraints import Constraint
    from kd_compare.tuning.search import Dimension

SAMPLERS: Final = ("tpe", "random", "gp")
PRUNERS: Final = ("none", "hyperband", "halving", "median")
ETA: Final = 3


@dataclass(frozen=True, kw_only=True)
class TuneSettings:
    """What decides which trials there are, apart from their number.

    Attributes:
        space: what is searched.
        sampler, pruner: their names.
        sampler_seed: with the same seed, the same trials.
        seeds: of the runs of each trial.
        together: trials that are chosen together, before the result of any of them is known.
        objective: the measure that counts; None: what methods are ranked by.
        minimize: less of it is better.
        constraints: what a student must keep.
        epochs: of a whole run.
    """

    space: tuple[Dimension, ...]
    sampler: str
    pruner: str
    sampler_seed: int
    seeds: tuple[int, ...]
    together: int
    objective: str | None
    minimize: bool
    constraints: tuple[Constraint, ...]
    epochs: int

    def described(self) -> dict[str, Any]:
        """For the study: texts and numbers, to compare with a later call."""
        return {
            "--search": {one.path: str(one) for one in self.space},
            "--sampler": self.sampler,
            "--pruner": self.pruner,
            "--sampler-seed": self.sampler_seed,
            "--seeds": list(self.seeds),
            "--together": self.together,
            "--objective": self.objective,
            "--minimize": self.minimize,
            "--constraint": [str(one) for one in self.constraints],
            "train.epochs": self.epochs,
        }

    @property
    def rungs(self) -> tuple[int, ...]:
        """Rising epochs after which a pruner judges the trials."""
        if self.pruner == "none":
            return ()
        if self.pruner == "median":
            return tuple(sorted({max(1, self.epochs * part // 4) for part in (1, 2, 3)} - {self.epochs}))
        rungs, epoch = list[int](), self.least
        while epoch < self.epochs:
            rungs.append(epoch)
            epoch *= ETA
        return tuple(rungs)

    @property
    def least(self) -> int:
        """The epochs before anything is judged."""
        return max(1, self.epochs // ETA**3)


def known_name(where: str, name: str, names: tuple[str, ...]) -> str:
    """The name, if it is one of these.

    Raises:
        UserError: it is not one of them.
    """
    if name not in names:
        raise UserError(
            Problem(where, "this name is not known", name, ", ".join(names), nearest(name, names))
        )
    return name
