"""Everything between a batch and its loss as one function of `torch.compile`, and what of it could not be compiled."""

from __future__ import annotations

from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Final

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from kdcore.compat import CompileEvents, dynamic_numbers, no_warning_at_breaks
from kdcore.protocols import Progress
from kdcore.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor, nn

    from kdcore.protocols import ModelOutput, Requires

BACKEND: Final = "inductor"
"""The compiler, by its name in torch."""
_PARTS: Final = 2**40  # of an epoch
_LONGEST: Final = 300  # characters of a reason in a warning


class CompiledStep:
    """A step's losses, compiled whole: the passes of student and teachers, the task loss, all terms and their sum.

    torch compiles the backward pass from the same graph. Numbers that are different in each step would make torch
    compile each step again, except for whole numbers, which it can take as variables. So the function gets the epoch
    as a whole number of small parts, and divides it within the graph: a distiller reads the same `Progress` as
    elsewhere. If it compares it in Python, torch compiles the step again when the result of the comparison changes.

    Of the results only the loss has a gradient: the backward pass of the others would be computed for nothing.

    What cannot be compiled runs as usual, with the same results, and `warn` gets one line about each place in the code:
    where the graph breaks, and if torch cannot compile a part or has compiled it too often.

    Args:
        losses: computes them from images, target, index, progress, known outputs of teachers, and partners.
        warn: gets the lines.
    """

    def __init__(self, losses: Callable[..., Any], warn: Callable[[str], None]) -> None:
        self._losses, self._warn = losses, warn
        no_warning_at_breaks()
        # code of its own: torch counts how often it compiled a piece of code, over all runs of a process
        own = FunctionType(CompiledStep._whole.__code__.replace(), globals())
        self._compiled = torch.compile(MethodType(own, self), backend=BACKEND)
        self._told: set[str] = set()

    def __call__(
        self,
        images: Tensor,
        target: Tensor | None,
        index: Tensor | None,
        progress: Progress | None,
        teacher_output: ModelOutput | Mapping[str, ModelOutput] | None,
        partner: Tensor | None,
    ) -> Any:
        """One step's losses; see `Distillation.forward`.

        Raises:
            ValueError: there is no progress.
        """
        if progress is None:
            raise ValueError("progress is missing: a compiled step needs it, because a distiller may read it")
        with dynamic_numbers(("parts", "step")), CompileEvents() as events:
            output = self._compiled(
                images,
                target,
                index,
                round(progress.epoch * _PARTS),
                progress.step,
                progress.total_steps,
                progress.total_epochs,
                teacher_output,
                partner,
            )
        for place, reason in events.breaks:
            self._tell(
                place,
                f"train.compile 'step': the graph breaks at {place}, so the step is compiled in parts, which is "
                f"slower; the results are the same. torch's reason: {_short(reason)}",
            )
        for function, reason in events.too_often:
            self._tell(
                function,
                f"train.compile 'step': torch compiled {function} again and again, and no longer does: from now on it "
                "runs as without compiling, which is slower; the results are the same. The condition that changed "
                f"last: {_short(reason)}",
            )
        for text in events.failed:
            self._tell(
                "failed",
                "train.compile 'step': torch cannot compile a part of the step, which runs as without compiling; the "
                f"results are the same. torch's reason: {_short(_error_line(text))}",
            )
        return output

    def _whole(
        self,
        images: Tensor,
        target: Tensor | None,
        index: Tensor | None,
        parts: int,
        step: int,
        total_steps: int,
        total_epochs: int,
        teacher_output: ModelOutput | Mapping[str, ModelOutput] | None,
        partner: Tensor | None,
    ) -> Any:
        progress = Progress(parts / _PARTS, step, total_steps, total_epochs)
        output = self._losses(images, target, index, progress, teacher_output, partner)
        return output._replace(
            task_loss=output.task_loss.detach(),
            terms={name: term.detach() for name, term in output.terms.items()},
            logits=None if output.logits is None else output.logits.detach(),
        )

    def _tell(self, place: str, text: str) -> None:
        if place not in self._told:
            self._told.add(place)
            self._warn(text)


def keeps_tensors(distiller: nn.Module, requires: Requires) -> str | None:
    """What a distiller changes in each step, such as a memory bank; None: only the statistics of batch norms.

    A compiled backward pass may compute a part of the forward pass again, and torch does not notice that a tensor was
    changed since: its gradient would be wrong.
    """
    if requires.student_momentum is not None:
        return "an average of the student"
    for name, module in distiller.named_modules():
        if isinstance(module, _BatchNorm):
            continue
        kept = [own for own, value in vars(module).items() if isinstance(value, torch.Tensor)]
        kept = [*module._buffers, *kept]
        if kept:
            return f"the tensor '{f'{name}.' if name else ''}{kept[0]}'"
    return None


def _error_line(text: str) -> str:
    """The last line that names an error."""
    lines = text.strip().splitlines()
    return next((line for line in reversed(lines) if "Error: " in line), lines[0])


def _short(reason: Any) -> str:
    """The first line of what torch says."""
    text = printable(" ".join(str(reason).split()))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
