"""The transform `int8`: the student trains on the grids of 8-bit integers that its exports have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kd_export.quantize.plan import Plan, make_plan
from kd_export.quantize.rounded import round_to_plan, rounded_part
from kdcore import Problem, Transformed, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import nn

    from kdcore import TransformSetup


class Int8:
    """Rounds weights and activations of the student in training and evaluation; a `kdcore.Transform`."""

    def __init__(self, options: None = None) -> None:
        pass

    def apply(self, model: nn.Module, setup: TransformSetup) -> Transformed:
        """Find what is rounded, and round it.

        Raises:
            UserError: nothing can be rounded, or it is done already.
        """
        if rounded_part(model) is not None:
            raise UserError(
                Problem("", "the student is already one that trains with 8 bits", hint="leave it out")
            )
        plan = make_plan(model, setup.image_size, setup.in_chans)
        if not plan.layers:
            message = f"'{setup.model}' has no layer that could be rounded to 8 bits"
            allowed = "a model with layers nn.Conv2d or nn.Linear that run once in a pass"
            raise UserError(Problem("", message, allowed=allowed))
        round_to_plan(model, plan)
        note = f"int8     {len(plan.layers)} layers train on grids of 8-bit integers"
        return Transformed(model, plan.as_record(), notes=(note,))

    def rebuild(self, model: nn.Module, record: Mapping[str, Any]) -> nn.Module:
        """The same places, with ranges that are not known yet."""
        round_to_plan(model, Plan.of_record(record))
        return model

    def check_training(self, setup: TransformSetup) -> None:
        """Check the settings of a run that trains such a student.

        Raises:
            UserError: one of them would lead to other ranges.
        """
        if problems := list(_problems(setup)):
            raise UserError(problems)


def _problems(setup: TransformSetup) -> Iterator[Problem]:
    """Settings with which the ranges would not be those of the student."""
    train = setup.train
    if train.fsdp is not None:
        message = (
            f"it computes with whole weights, and train.fsdp '{train.fsdp}' spreads them over the processes"
        )
        yield Problem("", message, hint="leave train.fsdp out")
    if train.grad_checkpointing:
        message = "the second forward pass of train.grad_checkpointing would measure the ranges once more"
        yield Problem("", message, hint="train.accumulate with a smaller train.batch_size saves memory too")
    if train.sync_bn and setup.processes > 1:
        message = (
            "it rounds after the batch norms, which train.sync_bn replaces in a run of several processes"
        )
        yield Problem("", message, hint="leave train.sync_bn out")
