"""Running means of an epoch's losses and accuracy, kept on the device and read only when somebody looks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from kdcore.errors import RunFailed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kdcore.engine.distillation import DistillationOutput

_FIXED = ("loss", "task_loss")
_COUNTS = 4  # right first, right among five, labelled, images


class Meter:
    """Adds up what the steps gave; one read synchronises, adding does not."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.reset()

    def reset(self) -> None:
        """Begin an epoch."""
        self._names: tuple[str, ...] = ()
        self._sums: Tensor | None = None  # [loss values..., counts...]
        self._bad: Tensor | None = None  # first step at which each loss value was not finite, else -1

    def add(self, output: DistillationOutput, target: Tensor | None, step: int) -> None:
        """One batch of this process: means weighted by its size, accuracy against the (most probable) class."""
        losses = {"loss": output.loss, "task_loss": output.task_loss, **output.terms}
        with torch.no_grad():
            size = output.logits.shape[0]
            self._make_room(losses)
            assert self._sums is not None
            none = torch.zeros((), device=self._device)  # a term that is absent now adds nothing to the loss
            values = torch.stack([losses.get(name, none).detach().float() for name in self._names])
            self._bad = torch.where((self._bad < 0) & ~values.isfinite(), step, self._bad)
            self._sums += torch.cat([values.double() * size, _hits(output.logits, target)])

    def _make_room(self, losses: Iterable[str]) -> None:
        new = [name for name in losses if name not in self._names]
        if not new:
            return
        sums = torch.zeros(_COUNTS, dtype=torch.float64, device=self._device) if self._sums is None else self._sums
        bad = torch.empty(0, dtype=torch.int64, device=self._device) if self._bad is None else self._bad
        self._names = (*self._names, *new)
        self._sums = torch.cat([sums[:-_COUNTS], sums.new_zeros(len(new)), sums[-_COUNTS:]])
        self._bad = torch.cat([bad, bad.new_full((len(new),), -1)])

    def check(self, last_good: int | None) -> None:
        """Raises RunFailed, naming term and step, where a loss was not finite."""
        if self._bad is None:
            return
        steps = {name: step for name, step in zip(self._names, self._bad.tolist(), strict=True) if step >= 0}
        if not steps:
            return
        first = min(steps.values())
        # the sum is not finite whenever a part is: name the parts
        guilty = [name for name, step in steps.items() if step == first and name != "loss"] or ["loss"]
        kept = (
            "there is no checkpoint yet"
            if last_good is None
            else f"the last good checkpoint is of step {last_good}"
        )
        raise RunFailed(
            f"{' and '.join(guilty)} became NaN or infinite at step {first}; {kept}. What to try: a lower "
            "optimizer.lr, scheduler.warmup_epochs, train.clip_grad, or train.precision 'fp32' or 'bf16'"
        )

    def read(self, reduce: Any = None) -> dict[str, Any]:
        """Means so far: `loss`, `task_loss`, `terms`, `top1` and `top5` in percent (None without labels)."""
        if self._sums is None:
            return {"loss": None, "task_loss": None, "terms": {}, "top1": None, "top5": None}
        sums = (self._sums if reduce is None else reduce(self._sums)).tolist()
        *values, top1, top5, labelled, images = sums
        means = dict(zip(self._names, (value / images for value in values), strict=True))
        return {
            **{name: means.pop(name) for name in _FIXED},
            "terms": means,
            "top1": 100 * top1 / labelled if labelled else None,
            "top5": 100 * top5 / labelled if labelled else None,
        }

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint within an epoch."""
        return {"names": list(self._names), "sums": self._sums, "bad": self._bad}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with an epoch."""
        self._names = tuple(state["names"])
        self._sums = None if state["sums"] is None else state["sums"].to(self._device)
        self._bad = None if state["bad"] is None else state["bad"].to(self._device)


def _hits(logits: Tensor, target: Tensor | None) -> Tensor:
    size = logits.shape[0]
    if target is None:
        return torch.tensor([0, 0, 0, size], dtype=torch.float64, device=logits.device)
    classes = target if target.dim() == 1 else target.argmax(dim=1)
    hits = logits.topk(min(5, logits.shape[1]), dim=1).indices == classes.unsqueeze(1)
    return torch.stack(
        [hits[:, 0].sum(), hits.sum(), (classes >= 0).sum(), torch.tensor(size, device=logits.device)]
    ).double()
