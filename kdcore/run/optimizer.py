"""Optimizer and scheduler, by timm's factories."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, cast

from timm.optim import create_optimizer_v2, param_groups_layer_decay, param_groups_weight_decay
from timm.scheduler import create_scheduler_v2

from kdcore.errors import Problem, UserError
from kdcore.ops import Dot
from kdcore.run.optimizer_options import option_problems, option_values
from kdcore.spec.names import DOT, plain_optimizer
from kdcore.spec.schedule import schedule_problems

if TYPE_CHECKING:
    import torch
    from timm.scheduler.scheduler import Scheduler
    from torch import nn

    from kdcore.distill.distillation import Distillation
    from kdcore.spec.models import OptimizerSpec, SchedulerSpec


def build_optimizer(spec: OptimizerSpec, distillation: Distillation) -> torch.optim.Optimizer:
    """The optimizer over the parameters of the student, the distillers, and the teachers that learn.

    Raises:
        UserError: the optimizer does not take one of its options.
    """
    groups = _student_groups(spec, distillation.student) + _head_groups(spec, distillation.distillers)
    for learner in distillation.learners:
        groups += _student_groups(spec, learner)
    with warnings.catch_warnings():
        # the check before the run has already reported it
        warnings.filterwarnings("ignore", ".*opt_einsum", UserWarning)
        return create_optimizer(spec, groups)


def create_optimizer(spec: OptimizerSpec, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """The optimizer over groups of parameters.

    Raises:
        UserError: the optimizer does not take one of its options.
    """
    try:
        if problems := list(option_problems(spec)):
            raise UserError(problems)
        if spec.name.lower() == DOT:
            delta = 0.075 if spec.delta is None else spec.delta
            return Dot(groups, spec.lr, spec.momentum, delta, spec.weight_decay)
        options = option_values(spec)
        if spec.momentum == 0 and plain_optimizer(spec.name) == "sgd":
            options.setdefault("nesterov", False)  # timm's default for sgd, which needs a momentum
        return create_optimizer_v2(
            groups,
            opt=spec.name,
            lr=spec.lr,
            weight_decay=spec.weight_decay,
            momentum=spec.momentum,
            **options,
        )
    except (TypeError, ValueError, AssertionError, RuntimeError, ImportError) as error:
        raise UserError(_refused(spec, error)) from error


def _refused(spec: OptimizerSpec, error: Exception) -> Problem:
    if "CUDA required" in str(error):
        message, hint = (
            "this optimizer runs on a CUDA GPU only, and there is none here",
            "use another optimizer",
        )
        return Problem("optimizer.name", message, spec.name, hint=hint)
    message = f"'{spec.name}' refused its settings: {error}"
    if spec.options:
        return Problem("optimizer", message, spec.options, hint="change optimizer.options")
    return Problem("optimizer", message)


def _student_groups(spec: OptimizerSpec, student: nn.Module) -> list[dict[str, Any]]:
    skipped: set[str] = getattr(student, "no_weight_decay", set)() if spec.filter_bias_and_bn else set()
    if spec.layer_decay is not None:
        if not hasattr(student, "group_matcher"):
            raise UserError(
                Problem(
                    "optimizer.layer_decay",
                    f"{type(student).__name__} does not say which layers it has (it lacks group_matcher)",
                )
            )
        groups: list[dict[str, Any]] = param_groups_layer_decay(
            student,
            weight_decay=spec.weight_decay,
            no_weight_decay_list=skipped,
            weight_decay_exclude_1d=spec.filter_bias_and_bn,
            layer_decay=spec.layer_decay,
        )
        return groups
    return _decay_groups(spec, student, skipped)


def _head_groups(spec: OptimizerSpec, distillers: nn.Module) -> list[dict[str, Any]]:
    return _decay_groups(spec, distillers, set())


def _decay_groups(spec: OptimizerSpec, module: nn.Module, skipped: set[str]) -> list[dict[str, Any]]:
    groups = param_groups_weight_decay(
        module,
        weight_decay=spec.weight_decay,
        no_weight_decay_list=skipped,
        weight_decay_exclude_1d=spec.filter_bias_and_bn,
    )
    return [group for group in groups if group["params"]]


def build_scheduler(
    spec: SchedulerSpec, optimizer: torch.optim.Optimizer, *, epochs: int, steps_per_epoch: int
) -> Scheduler | None:
    """The scheduler whose last epoch is `epochs`, warm-up and cool-down included; None for 'none'.

    Raises:
        UserError: its settings contradict each other.
    """
    if problems := list(schedule_problems(spec, epochs)):
        raise UserError(problems)
    # timm decays when the count of epochs *begun* reaches a milestone; the papers, when that of epochs done does
    late = 1 / steps_per_epoch if spec.per_step else 1
    warmup: Any = spec.warmup_epochs
    if spec.per_step and warmup > 0:
        warmup = max(1, round(warmup * steps_per_epoch)) / steps_per_epoch  # whole steps
    milestones: list[Any] = [milestone + late for milestone in spec.decay_milestones]
    try:
        with warnings.catch_warnings():
            # timm warns that the state of 'plateau' is not kept; kd's checkpoints keep it
            warnings.filterwarnings("ignore", "PlateauLRScheduler is deprecated", FutureWarning)
            made: tuple[Scheduler | None, int] = create_scheduler_v2(
                optimizer,
                sched=spec.name,
                num_epochs=epochs - spec.cooldown_epochs,
                decay_epochs=spec.decay_epochs,
                decay_milestones=milestones,
                cooldown_epochs=spec.cooldown_epochs,
                patience_epochs=spec.patience_epochs,
                decay_rate=spec.decay_rate,
                min_lr=spec.min_lr,
                warmup_lr=spec.warmup_lr,
                warmup_epochs=warmup,
                step_on_epochs=not spec.per_step,
                updates_per_epoch=steps_per_epoch,
            )
    except (TypeError, ValueError, AssertionError) as error:
        where = "scheduler.decay_epochs" if "decay" in str(error) else "scheduler"
        raise UserError(Problem(where, f"'{spec.name}' refused its settings: {error}")) from error
    scheduler: Any = made[0]
    if spec.name == "plateau" and warmup == 0:
        # with 0, timm takes epoch 0 for a warm-up, and trains at warmup_lr until the first decay
        scheduler.warmup_t = -1
    return cast("Scheduler | None", scheduler)
