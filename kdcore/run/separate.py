"""The task's and the distillers' gradients apart, for an optimizer that asks for both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

from kdcore.errors import Problem
from kdcore.ops import Dot, align_gradients
from kdcore.spec.names import plain_optimizer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from accelerate import Accelerator
    from torch import Tensor

    from kdcore.distill.distillation import DistillationOutput
    from kdcore.spec.models import OptimizerSpec, RunSpec

Gradients = list["Tensor | None"]


class SeparateGradients:
    """Two gradients of each parameter, over the batches of a step and over all processes.

    DDP's hooks cannot serve two backward passes of one graph, so the gradients are averaged here.

    Args:
        optimizer: `Dot` takes both; any other one takes their sum.
        parameters: what is trained.
        accelerator: the processes and the scale of fp16.
        align: whether the distillers' gradient loses what opposes the task's.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        parameters: Iterable[Tensor],
        accelerator: Accelerator,
        *,
        align: bool = False,
    ) -> None:
        self._optimizer, self._accelerator, self._align = optimizer, accelerator, align
        self._parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self._task: Gradients = self._nothing
        self._distillation: Gradients = self._nothing

    def add(self, output: DistillationOutput, size: int) -> None:
        """Add the gradients of one of `size` batches of a step; frees the graph."""
        terms = sum(output.terms.values()) if output.terms else None
        learns = isinstance(terms, torch.Tensor) and terms.requires_grad
        self._task = self._added(self._task, output.task_loss, size, keep=learns)
        if learns:
            self._distillation = self._added(self._distillation, terms, size)

    def hand_over(self, clip: float | None) -> None:
        """Average, align, unscale and clip the gradients, and give them to the optimizer for its next step.

        Both are clipped by one factor, from the norm of their sum, which is also each parameter's `grad`.
        """
        self._average()
        if self._align:
            self._distillation = align_gradients(self._task, self._distillation)
        scaler = self._accelerator.scaler
        for parameter, *both in zip(self._parameters, self._task, self._distillation, strict=True):
            found = [gradient for gradient in both if gradient is not None]
            parameter.grad = torch.stack(found).sum(0) if found else None
        if scaler is not None:
            scale: Any = scaler.scale(torch.ones((), device=self._accelerator.device))
            self._accelerator.unscale_gradients()  # and looks for infinite ones
            self._multiply(scale.reciprocal())
        if clip is not None:
            sums = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
            factor = (clip / (torch.nn.utils.get_total_norm(sums) + 1e-6)).clamp(max=1.0)
            self._multiply(factor)
            for gradient in sums:
                gradient.mul_(factor)
        if isinstance(self._optimizer, Dot):
            self._optimizer.take(self._parameters, self._task, self._distillation)
        self._task, self._distillation = self._nothing, self._nothing

    @property
    def _nothing(self) -> Gradients:
        return [None] * len(self._parameters)

    def _added(self, before: Gradients, loss: Any, size: int, keep: bool = False) -> Gradients:
        if size > 1:
            loss = loss / size
        if self._accelerator.scaler is not None:
            loss = self._accelerator.scaler.scale(loss)
        found = torch.autograd.grad(loss, self._parameters, retain_graph=keep, allow_unused=True)
        return [
            one if other is None else other if one is None else one.add_(other)
            for one, other in zip(before, found, strict=True)
        ]

    def _average(self) -> None:
        world = self._accelerator.num_processes
        given = [gradient for gradient in (*self._task, *self._distillation) if gradient is not None]
        if world == 1 or not given:
            return
        # every process has gradients of the same parameters: the graph is the same
        whole = torch.cat([gradient.reshape(-1) for gradient in given])
        dist.all_reduce(whole)
        whole /= world
        parts = torch.split(whole, [gradient.numel() for gradient in given])
        averaged = iter([part.view_as(gradient) for part, gradient in zip(parts, given, strict=True)])
        self._task = [None if gradient is None else next(averaged) for gradient in self._task]
        self._distillation = [None if gradient is None else next(averaged) for gradient in self._distillation]

    def _multiply(self, factor: Tensor) -> None:
        for gradient in (*self._task, *self._distillation):
            if gradient is not None:
                gradient.mul_(factor)


def wants_both(spec: OptimizerSpec) -> bool:
    """Whether a run computes the task's and the distillers' gradients apart."""
    return spec.align_gradients or plain_optimizer(spec.name) == "dot"


def separate_problems(spec: RunSpec) -> Iterator[Problem]:
    """What a run with two gradients cannot have."""
    if not wants_both(spec.optimizer):
        return
    dot = plain_optimizer(spec.optimizer.name) == "dot"
    user = "'dot'" if dot else "'align_gradients'"
    if dot and spec.optimizer.align_gradients:
        message = "'dot' keeps the opposing part of the distillers' gradient apart, in a buffer of its own"
        hint = "use another optimizer, such as 'sgd', or leave align_gradients out"
        yield Problem("optimizer.align_gradients", message, value=True, allowed="false", hint=hint)
    if spec.train.fsdp is not None:
        message = f"{user} needs the gradients of two losses apart, which sharded weights do not give"
        yield Problem("train.fsdp", message, spec.train.fsdp, "null")
    for member in spec.members:
        if member.spec.learns:
            message = (
                f"{user} has two gradients for one task, and a teacher that learns has a task of its own"
            )
            yield Problem(f"{member.where}.learns", message, value=True, allowed="false")
    if spec.train.compile:
        message = f"{user} goes through the student's graph twice, which a compiled one does not allow"
        yield Problem("train.compile", message, value=spec.train.compile, allowed="false")
