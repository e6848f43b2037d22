"""NaN and infinity checks before a run saves its state, and their messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from kdcore.errors import RunFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

ADVICE = (
    "Try a lower optimizer.lr, scheduler.warmup_epochs, train.clip_grad, or train.precision 'fp32' or 'bf16'"
)
AT_FIRST = (
    "No weight has changed yet: look at the images, at the weights that the run begins with, at the options of the "
    "distiller, and at train.precision"
)
_STATISTICS = ("running_mean", "running_var")
_SMALLEST_SCALE = 2.0**-14  # fp16's smallest normal number: with a smaller loss scale nothing fits


def last_good(step: int | None) -> str:
    """The checkpoint to return to, for messages."""
    return "there is no checkpoint yet" if step is None else f"the last good checkpoint is of step {step}"


def check_finite(
    module: nn.Module,
    scaler: torch.amp.GradScaler | None,
    step: int,
    saved: int | None,
    averages: Mapping[str, nn.Module] | None = None,
) -> None:
    """Check that all weights are finite and that the fp16 loss scale is usable. A finite loss can have bad gradients.

    With the weights, the running statistics of norms are checked: logits stay finite with an infinite variance. Other
    buffers may hold NaN or infinity on purpose, such as a mask.

    Args:
        module: everything that is trained.
        scaler: of the gradients, for fp16.
        step: completed optimizer steps.
        saved: step of the last checkpoint, or None.
        averages: of models, by what they are called in the message.

    Raises:
        RunFailed: a weight is NaN or infinite, or the scale is so small that no step is taken.
    """
    named = _checked(module)
    for which, average in (averages or {}).items():
        named += [(f"{name} of {which}", value) for name, value in _checked(average)]
    # one number from the device, whatever the model's size; each process checks its part of sharded weights
    whole = [_local(weight.detach()).isfinite().all() for _, weight in named]
    if whole and not bool(torch.stack(whole).all()):
        bad = next(name for (name, _), good in zip(named, whole, strict=True) if not good)
        raise RunFailed(
            f"{bad} became NaN or infinite by step {step}, although the losses were finite: a gradient or a feature "
            f"was not; {last_good(saved)}. {ADVICE}"
        )
    scale = _SMALLEST_SCALE if scaler is None else scaler.get_scale()
    if scale < _SMALLEST_SCALE:
        raise RunFailed(
            f"by step {step}, the gradients are NaN or infinite in fp16 even with a loss scale of {scale:g}, so no "
            f"step can be taken; {last_good(saved)}. {ADVICE}"
        )


def _checked(module: nn.Module) -> list[tuple[str, torch.Tensor]]:
    """The weights, and the running statistics of norms, by their kind and name."""
    found = [
        (f"weight {name}", weight) for name, weight in module.named_parameters() if weight.is_floating_point()
    ]
    return found + [
        (f"running statistic {name}", value)
        for name, value in module.named_buffers()
        if name.endswith(_STATISTICS)
    ]


def _local(weight: torch.Tensor) -> torch.Tensor:
    part = getattr(weight, "to_local", None)
    return weight if part is None else part()
