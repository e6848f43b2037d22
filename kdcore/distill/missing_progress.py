"""The progress that distillers read if the caller gives none, and the warning about it."""

from __future__ import annotations

import warnings
from dataclasses import fields
from typing import Any

from kdcore.protocols import Progress

_FIELDS = frozenset(field.name for field in fields(Progress))


class AssumedProgress(Progress):
    """The beginning of a run, used if the caller gives no progress; it notices whether it is read."""

    __slots__ = ("read",)
    read: bool

    def __init__(
        self, epoch: float = 0.0, step: int = 0, total_steps: int = 1, total_epochs: int = 1
    ) -> None:
        super().__init__(epoch, step, total_steps, total_epochs)
        object.__setattr__(self, "read", False)

    def __getattribute__(self, name: str) -> Any:
        if name in _FIELDS:
            object.__setattr__(self, "read", True)
        return super().__getattribute__(name)


def warn_missing_progress(distiller: str, stacklevel: int) -> None:
    """Warn the caller of `Distillation` that a distiller stays at the beginning of its schedule."""
    warnings.warn(
        f"distiller '{distiller}' reads how far the run is, and no progress was given: it stays at the first step of "
        "its schedule, for example of its warm-up. In each step, pass progress=kdcore.Progress(epoch=..., step=..., "
        "total_steps=..., total_epochs=...); epoch counts from 0.0 and grows within the epoch",
        UserWarning,
        stacklevel=stacklevel,
    )
