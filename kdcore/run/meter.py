"""Running means of an epoch's losses and accuracy, kept on the device and copied to the host only when read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import gather_object
from torch import Tensor

from kdcore.data.special_targets import UNLABELLED, has_label
from kdcore.errors import RunFailed
from kdcore.ops import widest_float, world_size
from kdcore.run.finite_checks import ADVICE, AT_FIRST, last_good

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kdcore.distill.distillation import DistillationOutput

_FIXED = ("loss", "task_loss")
_TERM = "terms."  # prefix of a term's name: a term may be called 'loss' too
_COUNTS = 4  # top class right, right class in the top 5, labelled, images


class Meter:
    """Adds up losses and counts of the steps; reading synchronises with the device, adding does not."""

    def __init__(
        self, device: torch.device, distillers: Sequence[str] = (), *, several_labels: bool = False
    ) -> None:
        self._device, self._several_labels = device, several_labels  # then there is no top-1
        self._dtype = widest_float(device)
        self._distillers = tuple(distillers)  # to name a term's distiller in messages
        self.reset()

    def reset(self) -> None:
        """Begin an epoch."""
        self._names: tuple[str, ...] = ()
        self._sums: Tensor | None = None  # [loss values..., counts...]
        self._bad: Tensor | None = None  # first step at which each loss value was not finite, or -1
        self._teachers_bad: dict[str, Tensor] = {}  # the same for each teacher's logits

    def add(
        self, output: DistillationOutput, target: Tensor | None, step: int, size: int | None = None
    ) -> None:
        """Add one batch of this process: means weighted by its size, accuracy against the (most probable) class.

        `size` is the number of images; None: that of the logits, which an encoder does not give.
        """
        if size is None:
            assert output.logits is not None
            size = len(output.logits)
        terms = {_TERM + name: value for name, value in output.terms.items()}
        losses = {"loss": output.loss, "task_loss": output.task_loss, **terms}
        with torch.no_grad():
            sums, bad = self._room(losses)
            none = torch.zeros((), device=self._device)  # a term that is absent now adds nothing to the loss
            values = torch.stack([losses.get(name, none).detach().float() for name in self._names])
            self._bad = torch.where((bad < 0) & ~values.isfinite(), step, bad)
            for name, logits in output.logits_of_teachers.items():
                self._look_at_teacher(name, logits, step)
            self._sums = sums + torch.cat(
                [values.to(self._dtype) * size, self._hits(output.logits, target, size, sums.device)]
            )

    def _hits(self, logits: Tensor | None, target: Tensor | None, size: int, device: torch.device) -> Tensor:
        # filled, not copied from the host: a copy would wait for the GPU in each step
        images = torch.full((), size, dtype=self._dtype, device=device)
        if logits is None or target is None or self._several_labels:
            none = torch.zeros_like(images)
            return torch.stack([none, none, none, images])
        known = has_label(target)
        classes = torch.where(known, target if target.dim() == 1 else target.argmax(dim=1), UNLABELLED)
        hits = logits.topk(min(5, logits.shape[1]), dim=1).indices == classes.unsqueeze(1)
        counts = torch.stack([hits[:, 0].sum(), hits.sum(), known.sum()])
        return torch.cat([counts.to(self._dtype), images.unsqueeze(0)])

    def _look_at_teacher(self, name: str, logits: Tensor, step: int) -> None:
        bad = self._teachers_bad.get(name)
        if bad is None:
            bad = torch.full((), -1, dtype=torch.int64, device=logits.device)
        self._teachers_bad[name] = torch.where((bad < 0) & ~logits.isfinite().all(), step, bad)

    def _room(self, losses: Iterable[str]) -> tuple[Tensor, Tensor]:
        """`_sums` and `_bad`, with an entry for each of these names."""
        sums, bad = self._sums, self._bad
        if sums is None or bad is None:
            sums = torch.zeros(_COUNTS, dtype=self._dtype, device=self._device)
            bad = torch.zeros(0, dtype=torch.int64, device=self._device)
        new = [name for name in losses if name not in self._names]
        if new:
            self._names = (*self._names, *new)
            sums = torch.cat([sums[:-_COUNTS], sums.new_zeros(len(new)), sums[-_COUNTS:]])
            bad = torch.cat([bad, bad.new_full((len(new),), -1)])
        return sums, bad

    def check(self, saved: int | None) -> None:
        """Raise RunFailed if a loss was not finite; the message names the term or teacher, and the step."""
        if self._bad is None:
            return
        steps = {name: step for name, step in zip(self._names, self._bad.tolist(), strict=True) if step >= 0}
        if not steps:
            return
        first = min(steps.values())
        for name, step in ((name, int(bad)) for name, bad in self._teachers_bad.items()):
            if 0 <= step <= first:
                which = "the teacher" if len(self._teachers_bad) == 1 else f"teacher '{name}'"
                raise RunFailed(
                    f"{which}'s logits became NaN or infinite at step {step}; {last_good(saved)}. Try "
                    "teacher.precision 'fp32', or another checkpoint of the teacher"
                )
        # the sum is not finite if a part is not: name the parts
        guilty = [
            self._described(name) for name, step in steps.items() if step == first and name != "loss"
        ] or ["loss"]
        raise RunFailed(
            f"{' and '.join(guilty)} became NaN or infinite at step {first}; {last_good(saved)}. "
            f"{ADVICE if first else AT_FIRST}"
        )

    def _described(self, name: str) -> str:
        if not name.startswith(_TERM):
            return name
        term = name.removeprefix(_TERM)
        for distiller in self._distillers:
            if len(self._distillers) == 1 or term.startswith(f"{distiller}."):
                return f"loss term '{term.removeprefix(f'{distiller}.')}' of distiller '{distiller}'"
        return term

    def read(self, reduce: Any = None) -> dict[str, Any]:
        """Means of the epoch: `loss`, `task_loss`, `terms`, `top1` and `top5` in percent (None without labels)."""
        if reduce is not None:
            self._agree()
        if self._sums is None:
            return {"loss": None, "task_loss": None, "terms": {}, "top1": None, "top5": None}
        sums = (self._sums if reduce is None else reduce(self._sums)).tolist()
        *values, top1, top5, labelled, images = sums
        means = dict(zip(self._names, (value / images for value in values), strict=True))
        return {
            **{name: means.pop(name) for name in _FIXED},
            "terms": {name.removeprefix(_TERM): mean for name, mean in means.items()},
            "top1": 100 * top1 / labelled if labelled else None,
            "top5": 100 * top5 / labelled if labelled else None,
        }

    def _agree(self) -> None:
        """Give the sums of all processes the same order: one of them may lack a term, as no sample had a label."""
        if world_size() == 1 or self._sums is None or self._bad is None:
            return
        names = tuple(dict.fromkeys(gather_object(list(self._names))))
        if names == self._names:
            return
        sums, bad = self._room(names)
        order = [self._names.index(name) for name in names]
        self._sums = torch.cat([sums[:-_COUNTS][order], sums[-_COUNTS:]])
        self._names, self._bad = names, bad[order]

    def state_dict(self, reduce: Callable[[Tensor], Tensor]) -> dict[str, Any]:
        """State for a checkpoint within an epoch; `reduce` sums over processes, and all of them must call it."""
        self._agree()
        sums = None if self._sums is None else reduce(self._sums)
        return {"names": list(self._names), "sums": sums, "bad": self._bad}

    def load_state_dict(self, state: dict[str, Any], main_process: bool = True) -> None:
        """Restore the state within an epoch; the main process gets the sums of all processes."""
        self._names = tuple(state["names"])
        self._sums = None if state["sums"] is None else state["sums"].to(self._dtype).to(self._device)
        self._bad = None if state["bad"] is None else state["bad"].to(self._device)
        if self._sums is not None and not main_process:
            self._sums = torch.zeros_like(self._sums)
