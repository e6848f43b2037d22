"""A device that has no float64, as MPS, played by the device of the tests."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from kdcore.ops import precision
from kdcore.run import evaluate, loop, teacher_pass

_WIDE = (torch.float64, torch.complex128)


class NoFloat64(TorchDispatchMode):
    """Raises MPS's error where an operation makes a tensor of float64."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        for value in tree_leaves(made):
            if isinstance(value, torch.Tensor) and value.dtype in _WIDE:
                raise TypeError(f"this device has no float64, and {func} made a tensor of it")
        return made


def forbid_float64(monkeypatch: pytest.MonkeyPatch, steps: int = 1) -> None:
    """Let a run's first steps, its evaluation and `prepare` work without float64.

    What a run computes on its host, such as scores of all images, is not touched. On a machine with an accelerator
    this does nothing: there the tests use the numbers that the accelerator has.
    """
    if torch.accelerator.is_available():
        return
    monkeypatch.setattr(precision, "WITHOUT_FLOAT64", {"cpu"})
    left = [2 * steps]

    def without(method: Any, *, first: bool = False) -> Any:
        @functools.wraps(method)
        def inside(*args: Any, **options: Any) -> Any:
            left[0] -= first
            if first and left[0] < 0:  # the mode slows every operation
                return method(*args, **options)
            with NoFloat64():
                return method(*args, **options)

        return inside

    for place, name, first in (
        (loop.Training, "_forward_backward", True),
        (loop.Training, "take_step", True),
        (evaluate._Tally, "add", False),
        (teacher_pass, "_computed", False),
    ):
        monkeypatch.setattr(place, name, without(getattr(place, name), first=first))
