"""Flags that any process of a run can set for all of them, so that they stop and save at the same step."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import torch

if TYPE_CHECKING:
    from accelerate import Accelerator

_SECONDS: Final = 1.0
"""About how long a flag that is set between two steps waits for the other processes."""
_MOST: Final = 64  # steps


class Agreement:
    """Asks all processes for their flags.

    If processes asked after each step, each step would wait for the slowest of them, and a GPU for the answer. They ask
    after every few steps instead, about once a second. After how many is part of the answer, so that all processes ask
    again after the same step.

    Attributes:
        steps: the number of steps between two questions.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        self.steps = 1
        self._waiting = 0
        self._since = time.monotonic()

    def now(self, *flags: bool) -> list[bool]:
        """Whether any process has set each flag; every process has to ask."""
        if self._accelerator.num_processes == 1:
            return list(flags)
        found = self._asked(*flags)[:-1]
        self._waiting, self._since = 0, time.monotonic()
        return [bool(flag) for flag in found]

    def between_steps(self, *flags: bool) -> list[bool]:
        """The same between two steps, each of which asks; where the other processes are not asked, no flag is set."""
        if self._accelerator.num_processes == 1:
            return list(flags)
        self._waiting += 1
        if self._waiting < self.steps:
            return [False] * len(flags)
        *found, microseconds = self._asked(*flags)
        mean = microseconds / self._accelerator.num_processes / 1e6
        self.steps = max(1, min(_MOST, int(_SECONDS / mean))) if mean > 0 else _MOST
        self._waiting, self._since = 0, time.monotonic()
        return [bool(flag) for flag in found]

    def _asked(self, *flags: bool) -> list[int]:
        """The sum of each flag, and of the microseconds of a step."""
        step = (time.monotonic() - self._since) / max(1, self._waiting)
        mine = torch.tensor([*flags, int(step * 1e6)], dtype=torch.int64, device=self._accelerator.device)
        found: list[int] = self._accelerator.reduce(mine, reduction="sum").tolist()
        return found
