"""A trial of a run's learning rates before training: finds rates that are invalid and schedules that change nothing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from kdcore.errors import Problem, UserError

if TYPE_CHECKING:
    import torch
    from timm.scheduler.scheduler import Scheduler

    from kdcore.spec.models import SchedulerSpec

_MOST_EPOCHS: Final = 1000  # checked at most
_MAY_STAY: Final = ("constant", "plateau")
_LATE: Final = {
    "multistep": "decay_milestones {0.decay_milestones} are later",
    "step": "it decays once every {decay:g} epochs (decay_epochs)",
}


def try_schedule(
    spec: SchedulerSpec, scheduler: Scheduler, optimizer: torch.optim.Optimizer, epochs: int, steps: int
) -> str | None:
    """Step through `epochs` of `steps` each; returns a warning or None.

    Raises:
        UserError: the schedule fails, or gives a learning rate that is negative, NaN or infinite.
    """
    seen: set[float] = set()
    every = max(1, epochs // _MOST_EPOCHS)
    for epoch in (*range(0, epochs, every), epochs - 1):
        try:
            scheduler.step(epoch)
            scheduler.step_update(epoch * steps)
        except (ArithmeticError, ValueError, TypeError) as error:
            raise UserError(_problem(spec, f"fails in epoch {epoch + 1}: {error}")) from error
        rate = max(float(group["lr"]) for group in optimizer.param_groups)
        if not math.isfinite(rate) or rate < 0:
            raise UserError(_problem(spec, f"gives a learning rate of {rate} in epoch {epoch + 1}"))
        if epoch >= spec.warmup_epochs:
            seen.add(rate)
    after = epochs - spec.warmup_epochs
    if after < 2 or len(seen) > 1 or spec.per_step or spec.name in _MAY_STAY:
        return None
    late = _LATE.get(spec.name, "").format(spec, decay=spec.decay_epochs or 90)
    return f"scheduler: '{spec.name}' changes nothing in train.epochs = {epochs}" + (
        f": {late}" if late else ""
    )


def _problem(spec: SchedulerSpec, what: str) -> Problem:
    return Problem("scheduler", f"'{spec.name}' {what}", hint="change the scheduler's settings")
