"""Distillation-oriented training: the task's and the distillers' gradients have momentum buffers of their own.

Source: Zhao, Cui, Song and Liang, "DOT: A Distillation-Oriented Trainer" (ICCV 2023), and mdistiller's `engine/dot.py`.
Its arithmetic is that of two SGD optimizers on one parameter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


def dot_descent(
    parameter: Tensor,
    task_gradients: Tensor,
    distillation_gradients: Tensor,
    *,
    lr: float,
    momentum: float,
    delta: float,
    weight_decay: float,
) -> Tensor:
    """A parameter after S steps of DOT with given gradients.

    Args:
        parameter: its value before the first step, `[P]`; it is not changed.
        task_gradients: the task loss's gradient in each step, `[S, P]`.
        distillation_gradients: the loss terms' gradient in each step, `[S, P]`.
        lr: learning rate.
        momentum: m; the task's buffer has the momentum m - delta, that of the distillers m + delta.
        delta: the difference of both.
        weight_decay: added to the task's gradient as a multiple of the parameter.

    Returns:
        The parameter, `[P]`.

    Raises:
        ValueError: the gradients do not fit the parameter, or a number is out of range.
    """
    _check(lr, momentum, delta, weight_decay)
    wanted = (len(task_gradients), *parameter.shape)
    for name, given in (
        ("task_gradients", task_gradients),
        ("distillation_gradients", distillation_gradients),
    ):
        if tuple(given.shape) != wanted:
            raise ValueError(f"{name} has the shape {list(given.shape)}; allowed: [S, P] = {list(wanted)}")
    found, buffers = parameter.detach().clone(), _Buffers()
    for task, distillation in zip(task_gradients, distillation_gradients, strict=True):
        _descend(found, task, distillation, buffers, lr, momentum, delta, weight_decay)
    return found


class _Buffers:
    """The two momentum buffers of a parameter; None before the first gradient."""

    def __init__(self, task: Tensor | None = None, distillation: Tensor | None = None) -> None:
        self.task, self.distillation = task, distillation


@torch.no_grad()
def _descend(
    parameter: Tensor,
    task: Tensor | None,
    distillation: Tensor | None,
    buffers: _Buffers,
    lr: float,
    momentum: float,
    delta: float,
    weight_decay: float,
) -> None:
    """One step, in place. A parameter that only one of both reaches has the momentum m, as in the authors' code."""
    apart = delta if task is not None and distillation is not None else 0.0
    if weight_decay != 0:
        if task is not None:
            task = task.add(parameter, alpha=weight_decay)
        elif distillation is not None:
            distillation = distillation.add(parameter, alpha=weight_decay)
    buffers.task = _moved(buffers.task, task, momentum - apart)
    buffers.distillation = _moved(buffers.distillation, distillation, momentum + apart)
    for gradient, buffer in ((task, buffers.task), (distillation, buffers.distillation)):
        if gradient is not None and buffer is not None:
            parameter.add_(buffer, alpha=-lr)


def _moved(buffer: Tensor | None, gradient: Tensor | None, momentum: float) -> Tensor | None:
    if gradient is None:
        return buffer
    return gradient.detach().clone() if buffer is None else buffer.mul_(momentum).add_(gradient)


class Dot(torch.optim.Optimizer):
    """SGD whose momentum is larger for the distillers' gradient than for the task's.

    In a loop of your own, call `take` with both gradients before each `step`. A run does that.

    Args:
        params: parameters, or groups of them.
        lr: learning rate.
        momentum: m; the task's buffer has the momentum m - delta, that of the distillers m + delta.
        delta: the difference of both: 0.075 on CIFAR-100, 0.09 on ImageNet in the paper.
        weight_decay: added to the task's gradient; for a parameter that only the distillers reach, to theirs.

    Attributes:
        separate: whether a run computes both gradients for it.

    Raises:
        ValueError: a number is out of range.
    """

    separate = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.05,
        momentum: float = 0.9,
        delta: float = 0.075,
        weight_decay: float = 0.0,
    ) -> None:
        _check(lr, momentum, delta, weight_decay)
        super().__init__(
            params, {"lr": lr, "momentum": momentum, "delta": delta, "weight_decay": weight_decay}
        )
        self._given: dict[Tensor, tuple[Tensor | None, Tensor | None]] = {}

    def take(
        self,
        parameters: Sequence[Tensor],
        task: Sequence[Tensor | None],
        distillation: Sequence[Tensor | None],
    ) -> None:
        """Both gradients of each parameter for the next step; None: this loss does not reach it."""
        self._given = dict(zip(parameters, zip(task, distillation, strict=True), strict=True))

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step with the gradients of the last `take`, which are used once."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                task, distillation = self._given.get(parameter, (None, None))
                if task is None and distillation is None:
                    continue
                state = self.state[parameter]
                buffers = _Buffers(state.get("task_buffer"), state.get("distillation_buffer"))
                _descend(
                    parameter,
                    task,
                    distillation,
                    buffers,
                    float(group["lr"]),
                    group["momentum"],
                    group["delta"],
                    group["weight_decay"],
                )
                if buffers.task is not None:
                    state["task_buffer"] = buffers.task
                if buffers.distillation is not None:
                    state["distillation_buffer"] = buffers.distillation
        self._given = {}
        return loss


def _check(lr: float, momentum: float, delta: float, weight_decay: float) -> None:
    if lr < 0 or weight_decay < 0:
        raise ValueError(f"lr is {lr} and weight_decay {weight_decay}; neither may be below 0")
    if not (0 <= momentum < 1 and momentum - delta >= 0 and momentum + delta < 1):
        raise ValueError(
            f"momentum is {momentum} and delta {delta}; momentum - delta and momentum + delta must be from 0 to below 1"
        )
