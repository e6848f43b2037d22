"""What contradicts itself in the schedules of the learning rate and of distillers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdcore.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kdcore.spec.loaded import ResolvedDistiller
    from kdcore.spec.models import SchedulerSpec


def schedule_problems(spec: SchedulerSpec, epochs: int) -> Iterator[Problem]:
    """The contradictions within the section `scheduler`, and between it and the number of epochs."""
    shared = spec.warmup_epochs + spec.cooldown_epochs
    if spec.name != "none" and shared >= epochs:
        where = "warmup_epochs" if spec.warmup_epochs else "cooldown_epochs"
        message = (
            f"{spec.warmup_epochs:g} epochs of warm-up and {spec.cooldown_epochs} of cool-down leave none of "
            f"train.epochs = {epochs} between them"
        )
        yield Problem(f"scheduler.{where}", message, getattr(spec, where))
    if spec.name != "none" and not spec.per_step and spec.warmup_epochs % 1:
        message = "a part of an epoch needs a learning rate that changes in each step"
        hint = "set scheduler.per_step to true"
        yield Problem("scheduler.warmup_epochs", message, spec.warmup_epochs, "whole numbers", hint=hint)
    if spec.name == "rsqrt" and spec.warmup_epochs == 0:
        message = "'rsqrt' decays relative to the length of the warm-up, and there is none"
        yield Problem("scheduler.warmup_epochs", message, 0, "1 or more")
    if spec.name == "plateau" and spec.per_step:
        message = "'plateau' looks at the accuracy after each epoch and cannot change the learning rate in each step"
        yield Problem("scheduler.per_step", message, True, "false")
    if spec.name == "step" and spec.decay_epochs is not None and spec.decay_epochs < 1:
        message = "'step' decays once an epoch at most"
        yield Problem("scheduler.decay_epochs", message, spec.decay_epochs, "1 or more")
    if spec.name == "multistep" and not spec.decay_milestones:
        message = "'multistep' needs the epochs after which the learning rate decays"
        yield Problem(
            "scheduler.decay_milestones", message, [], "a list of rising epochs, such as [150, 180, 210]"
        )


def distiller_schedule_problems(distiller: ResolvedDistiller, where: str, epochs: int) -> Iterator[Problem]:
    """A distiller that would never take part."""
    first = 0 if distiller.schedule is None else distiller.schedule.from_epoch
    if first >= epochs:
        message = f"the distiller would never take part: the run has {epochs} epochs, counted from 0"
        yield Problem(f"{where}.schedule.from_epoch", message, first, f"0 to {epochs - 1}")
